"""The handshake: what a server can do, found out by a few short calls."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from collab.capabilities import PrefixMode
from collab.errors import CollabError, InvalidPromptError, ModelLoadError
from collab.views import View, ViewOptions
from collab_backends.remote.contents import THINKS_APART
from collab_backends.remote.endpoint import Endpoint
from collab_backends.remote.faults import ServerBusyError, ServerUnreachableError
from collab_backends.remote.listing import read_listing
from collab_backends.remote.probes import SENTENCE, Probes
from collab_backends.remote.requests import CONTINUE_LAST, Json, is_chat
from collab_backends.remote.wire import Answer

if TYPE_CHECKING:
    from collab_backends.tokenizing.codec import TextCodec


@dataclass(frozen=True, slots=True)
class Observed:
    """What was seen of a server.

    Attributes:
        mode: How exactly it continues a partial text.
        owner: Who it says serves the model; empty if it does not.
        is_lenient: Whether it takes parameters beyond the protocol.
        top_logprobs: Most candidates per token that it gave.
        can_score: Whether it gives the log-probabilities of a given text, each at its place.
        score_top_logprobs: Most candidates per token of a given text that it gave.
        can_stream: Whether it streams.
        can_pick_logprobs: Whether it gives those of the ids that it is asked for.
        context_tokens: Longest text, if it says.
        has_usage: Whether it counts tokens.
        adds_begin: Whether it puts a begin-of-text token before every text, wanted or not.
        trims_end: Whether its chat template takes blanks off the end of a begun answer.
        losses: What a run asks for and the server refuses.
        notes: What was looked for and not seen, for people.
    """

    mode: PrefixMode
    owner: str
    is_lenient: bool
    top_logprobs: int
    can_score: bool
    score_top_logprobs: int
    can_pick_logprobs: bool
    can_stream: bool
    context_tokens: int | None
    has_usage: bool
    adds_begin: bool
    trims_end: bool
    losses: tuple[str, ...]
    notes: tuple[str, ...]


class Handshake:
    """Observes one endpoint.

    Args:
        endpoint: The server.
        model: The model's name there.
        codec: The model's tokenizer, if there is one here.
        view: How problems are shown to the model.
        extra: Added to every request.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        model: str,
        codec: "TextCodec | None",
        view: ViewOptions,
        extra: Json,
    ) -> None:
        self._endpoint = endpoint
        self._model = model
        self._codec = codec
        self._view = view
        self._probes = Probes(endpoint, model, extra)

    async def observe(self, wanted: PrefixMode | None) -> Observed:
        """Return what the server can do.

        Args:
            wanted: The mode to use; `None` for the best that is seen.

        Raises:
            ModelLoadError: It does not have the model, or is no such server.
            ServerUnreachableError: It is not there.
        """
        entry = await self._entry()
        probes = self._probes
        mode = await self._mode(wanted)
        base = await self._short_answer(mode)
        if base.reasoning and not base.text:
            probes.notes.append(THINKS_APART)
        top = await probes.top_logprobs(self._request(mode), is_chat=is_chat(mode))
        codec = self._codec
        meta = entry.get("meta")
        context = entry.get("max_model_len") or (
            meta.get("n_ctx") if isinstance(meta, Mapping) else None
        )
        can_score = bool(mode == "tokens" and top and codec and await probes.scores(codec))
        return Observed(
            mode,
            str(entry.get("owned_by", "")),
            probes.is_lenient,
            top,
            can_score=can_score,
            score_top_logprobs=(
                await probes.score_top_logprobs(codec, top) if can_score and codec else 0
            ),
            can_pick_logprobs=bool(
                mode == "tokens" and top and codec and await probes.picks_logprobs(codec)
            ),
            can_stream=await probes.streams(self._request(mode), is_chat=is_chat(mode)),
            context_tokens=context if isinstance(context, int) else None,
            has_usage=base.paid.completion is not None,
            adds_begin=mode == "text" and await self._adds_begin(),
            trims_end=await self._trims_end(mode),
            losses=self._endpoint.manners.losses,
            notes=(*self._endpoint.manners.notes, *probes.notes),
        )

    async def ensure_has_model(self) -> None:
        """Check that the server has the model: it lists it, or answers in its name.

        Raises:
            ModelLoadError: It does not, or is no such server.
            ServerUnreachableError: It is not there.
        """
        await self._entry()

    # --- the model --------------------------------------------------------------------------

    async def _entry(self) -> Mapping[str, object]:
        """Return what the server lists of the model, which may be nothing.

        Raises:
            ModelLoadError: It does not answer, whether it lists it or not.
        """
        listing = await read_listing(self._endpoint, self._model)
        answer = await self._probes.find_manners()
        if answer is None:
            said = self._probes.refusal
            if listing.lack:
                raise ModelLoadError(f"{listing.lack}. A call was tried anyway; it says: {said}")
            raise ModelLoadError(f"{self._endpoint.base_url} does not answer: {said}")
        if listing.lack:
            name = f" as {answer.model!r}" if answer.model else ""
            self._probes.notes.append(f"{listing.lack}; but it answers{name}")
        return listing.entry

    # --- the prefix mode --------------------------------------------------------------------

    async def _mode(self, wanted: PrefixMode | None) -> PrefixMode:
        if wanted is None:
            mode = await self._best_mode()
        elif await self._can_be(wanted) is False:
            raise ModelLoadError(
                f"{self._endpoint.base_url} cannot be asked in mode {wanted!r}: "
                f"{self._probes.notes[-1]}; leave `mode` out for the best that is seen"
            )
        else:
            mode = wanted
        if is_chat(mode):
            await self._probes.ensure_prompt_is_not_given_back()
        return mode

    async def _best_mode(self) -> PrefixMode:
        is_rendered_here = self._codec is not None or self._view.template == "raw"
        if self._codec is not None and await self._can_be("tokens"):
            return "tokens"
        if is_rendered_here and await self._can_be("text"):
            return "text"
        if await self._can_be("chat-continue"):
            return "chat-continue"
        if await self._probes.gives_begun_back():
            return "prefill"
        self._probes.notes.append("no exact continuation was seen; it is asked for in words")
        return "quoted"

    async def _can_be(self, mode: PrefixMode) -> bool | None:
        """Whether a mode is seen to work; `None` if that cannot be told."""
        match mode:
            case "tokens" if self._codec is None:
                raise ModelLoadError("mode 'tokens' needs `tokenizer`")
            case "tokens" if self._codec is not None:
                return await self._probes.takes_ids(self._codec)
            case "text":
                return await self._probes.continues_text()
            case "chat-continue":
                return await self._probes.continues_messages()
        # Not every server that writes on at a last message gives it back, and all can be asked.
        return None

    async def _adds_begin(self) -> bool:
        codec = self._codec
        if codec is None:
            return False
        try:
            rendered = codec.render(View("probe", SENTENCE, self._view))
        except InvalidPromptError as error:
            raise ModelLoadError(f"no problem can be shown to {self._model!r}: {error}") from error
        return await self._probes.begin_of_text_is_doubled(rendered, codec)

    async def _trims_end(self, mode: PrefixMode) -> bool:
        if mode not in ("chat-continue", "prefill"):
            return False
        flags = CONTINUE_LAST if mode == "chat-continue" else {}
        await self._probes.note_dropped_thinking(flags)
        return await self._probes.trims_end(flags)

    async def _short_answer(self, mode: PrefixMode) -> Answer:
        try:
            return await self._probes.ask(self._request(mode), is_chat=is_chat(mode))
        except (ServerBusyError, ServerUnreachableError):
            raise
        except CollabError as error:
            raise ModelLoadError(
                f"{self._endpoint.base_url} does not answer in mode {mode!r}: {error}"
            ) from error

    def _request(self, mode: PrefixMode) -> Json:
        if mode == "tokens" and self._codec is not None:
            return {"prompt": self._codec.splice((), SENTENCE).added}
        if mode == "text":
            return {"prompt": SENTENCE}
        return {"messages": [{"role": "user", "content": SENTENCE}]}
