"""The handshake: a few short calls that observe what a server can do.

Servers ignore what they do not know and answer with status 200, so nothing is believed that was
not seen in an answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from collab.capabilities import PrefixMode
from collab.errors import CollabError, ModelCallError, ModelLoadError
from collab_backends.remote.endpoint import Endpoint
from collab_backends.remote.failures import quoted
from collab_backends.remote.requests import Json, is_chat, logprobs_of, path_of
from collab_backends.remote.wire import Answer, parse_answer

if TYPE_CHECKING:
    from collab_backends.local.tokens import TextCodec

_SENTENCE = "The quick brown fox jumps over the lazy"
_BEGUN = [
    {"role": "user", "content": "Count."},
    {"role": "assistant", "content": "One, two, three"},
]
_LENIENT = ("vllm", "llamacpp", "sglang")
_LOGPROB_STEPS = (20, 5)


@dataclass(frozen=True, slots=True)
class Observed:
    """What was seen of a server.

    Attributes:
        mode: How exactly it continues a partial text.
        owner: Who it says serves the model; empty if it does not.
        top_logprobs: Most candidates per token that it gave.
        can_score: Whether it gives the log-probabilities of a given text, each at its place.
        can_pick_logprobs: Whether it gives those of the ids that it is asked for.
        context_tokens: Longest text, if it says.
        has_usage: Whether it counts tokens.
        notes: What was looked for and not seen, for people.
    """

    mode: PrefixMode
    owner: str
    top_logprobs: int
    can_score: bool
    can_pick_logprobs: bool
    context_tokens: int | None
    has_usage: bool
    notes: tuple[str, ...]


class Handshake:
    """Observes one endpoint.

    Args:
        endpoint: The server.
        model: The model's name there.
        codec: The model's tokenizer, if there is one here.
        extra: Added to every request.
    """

    def __init__(
        self, endpoint: Endpoint, model: str, codec: "TextCodec | None", extra: Json
    ) -> None:
        self._endpoint = endpoint
        self._model = model
        self._codec = codec
        self._extra = extra
        self._notes: list[str] = []

    async def observe(self, wanted: PrefixMode | None, *, is_raw: bool) -> Observed:
        """Return what the server can do.

        Args:
            wanted: The mode to use; `None` for the best that is seen.
            is_raw: Whether the prompt is shown without a chat template.

        Raises:
            ModelLoadError: It cannot be reached, does not have the model, or is no such server.
        """
        entry = await self._listed_model()
        mode = wanted or await self._best_mode(is_raw=is_raw)
        base = await self._short_answer(mode)
        top = await self._top_logprobs(mode)
        owner = str(entry.get("owned_by", ""))
        meta = entry.get("meta")
        context = entry.get("max_model_len") or (
            meta.get("n_ctx") if isinstance(meta, Mapping) else None
        )
        return Observed(
            mode,
            owner,
            top,
            can_score=bool(mode == "tokens" and top and await self._scores()),
            can_pick_logprobs=bool(not is_chat(mode) and top and await self._picks_logprobs()),
            context_tokens=context if isinstance(context, int) else None,
            has_usage=base.paid.completion is not None,
            notes=tuple(self._notes),
        )

    # --- the model --------------------------------------------------------------------------

    async def _listed_model(self) -> Mapping[str, object]:
        """Return the server's entry of the model; an empty one if it lists none."""
        try:
            body = await self._endpoint.get("/models")
        except ModelCallError as error:
            raise ModelLoadError(f"{self._endpoint.base_url} cannot be used: {error}") from error
        listed = body.get("data") if isinstance(body, Mapping) else None
        if not isinstance(listed, list):
            raise ModelLoadError(
                f"{self._endpoint.base_url} is no OpenAI-compatible server; /models answers: "
                f"{quoted(body)}. Does the base URL end with the version path, such as /v1?"
            )
        entries = {str(one.get("id")): one for one in listed if isinstance(one, Mapping)}
        if self._model not in entries:
            names = ", ".join(sorted(entries)) or "none"
            raise ModelLoadError(
                f"{self._endpoint.base_url} has no model {self._model!r}; it has: {names}"
            )
        return entries[self._model]

    # --- the prefix mode --------------------------------------------------------------------

    async def _best_mode(self, *, is_raw: bool) -> PrefixMode:
        if self._codec is not None and await self._takes_ids(self._codec):
            return "tokens"
        if (is_raw or self._codec is not None) and await self._continues_text():
            return "text"
        begun = await self._tried({"messages": _BEGUN}, is_chat=True)
        if await self._continues_messages(begun):
            return "chat-continue"
        if begun is not None and begun.text.startswith(_BEGUN[-1]["content"]):
            # A last message of the assistant is continued by itself, and given back whole.
            return "prefill"
        self._notes.append("no exact continuation was seen; continuations are asked for in words")
        return "quoted"

    async def _takes_ids(self, codec: "TextCodec") -> bool:
        """Whether ids are taken as they are: the server counts as many as were sent."""
        ids = codec.splice((), _SENTENCE).added
        answer = await self._tried({"prompt": ids}, is_chat=False)
        if answer is None or answer.paid.prompt is None:
            self._notes.append("token ids are not taken as a prompt")
            return False
        if answer.paid.prompt != len(ids):
            self._notes.append(
                f"{len(ids)} token ids were counted as {answer.paid.prompt}: another tokenizer, or "
                "a template is put around them"
            )
            return False
        return True

    async def _continues_text(self) -> bool:
        """Whether a text is continued as it is: hardly more tokens are counted than it has."""
        answer = await self._tried({"prompt": "a"}, is_chat=False)
        if answer is None or answer.paid.prompt is None or answer.paid.prompt > 3:
            self._notes.append("texts are not continued as they are by /completions")
            return False
        return True

    async def _continues_messages(self, plain: Answer | None) -> bool:
        """Whether a last message is continued: then no new turn is opened, which costs tokens.

        Args:
            plain: The answer to the same messages without asking for that.
        """
        flags = {"continue_final_message": True, "add_generation_prompt": False}
        flagged = await self._tried({"messages": _BEGUN, **flags}, is_chat=True)
        counts = [one.paid.prompt if one else None for one in (plain, flagged)]
        if counts[0] is None or counts[1] is None or counts[1] >= counts[0]:
            self._notes.append("continue_final_message has no effect")
            return False
        return True

    # --- probabilities ----------------------------------------------------------------------

    async def _short_answer(self, mode: PrefixMode) -> Answer:
        try:
            return await self._ask(self._request(mode), is_chat=is_chat(mode))
        except CollabError as error:
            raise ModelLoadError(
                f"{self._endpoint.base_url} does not answer in mode {mode!r}: {error}"
            ) from error

    async def _top_logprobs(self, mode: PrefixMode) -> int:
        by_messages = is_chat(mode)
        for count in _LOGPROB_STEPS:
            asked = self._request(mode) | logprobs_of(count, is_chat=by_messages)
            answer = await self._tried(asked, is_chat=by_messages)
            seen = len(answer.entries[0].top) if answer and answer.entries else 0
            if seen >= count - 1:
                return min(seen, count)
        self._notes.append("no log-probabilities are given")
        return 0

    async def _picks_logprobs(self) -> bool:
        """Whether the log-probabilities of chosen ids are given: an unlikely one must appear."""
        if self._codec is None:
            return False
        ids = self._codec.splice((), _SENTENCE).added
        asked = [ids[0], ids[-1], 0]
        answer = await self._tried(
            {
                "prompt": ids,
                "logprobs": 1,
                "logprob_token_ids": asked,
                "return_tokens_as_token_ids": True,
            },
            is_chat=False,
        )
        seen = {one.id for one in answer.entries[0].top} if answer and answer.entries else set()
        return set(asked) <= seen

    async def _scores(self) -> bool:
        """Whether an echo gives each token's log-probability at its own place.

        The last token's has to be the one that is given for it when it is asked for by itself.
        """
        assert self._codec is not None, "only asked in mode tokens"
        ids = self._codec.splice((), _SENTENCE).added
        alone = await self._tried({"prompt": ids[:-1], "logprobs": 20}, is_chat=False)
        echoed = await self._tried({"prompt": ids, "logprobs": 1, "echo": True}, is_chat=False)
        if alone is None or echoed is None or len(echoed.entries) < len(ids):
            self._notes.append("no echo of the prompt's log-probabilities")
            return False
        written = alone.entries[0]
        again = await self._tried(
            {"prompt": [*ids[:-1], written.id], "logprobs": 1, "echo": True}, is_chat=False
        )
        if written.id < 0 or again is None or len(again.entries) < len(ids):
            return False
        there, here = again.entries[len(ids) - 1].logprob, written.logprob
        if there is None or here is None or abs(there - here) > 1e-2:
            self._notes.append("an echo's log-probabilities are not at their places")
            return False
        return True

    # --- asking -----------------------------------------------------------------------------

    def _request(self, mode: PrefixMode) -> Json:
        if mode == "tokens":
            if self._codec is None:
                raise ModelLoadError("mode 'tokens' needs `tokenizer`")
            return {"prompt": self._codec.splice((), _SENTENCE).added}
        if mode == "text":
            return {"prompt": _SENTENCE}
        return {"messages": [{"role": "user", "content": _SENTENCE}]}

    async def _tried(self, request: Json, *, is_chat: bool) -> Answer | None:
        """Return a short answer, or `None` where the server refuses."""
        try:
            return await self._ask(request, is_chat=is_chat)
        except CollabError:
            return None

    async def _ask(self, request: Json, *, is_chat: bool) -> Answer:
        body = {
            "model": self._model,
            "max_tokens": 1,
            "temperature": 0.0,
            "return_token_ids": True,
            **request,
            **self._extra,
        }

        async def work() -> Answer:
            return parse_answer(
                await self._endpoint.post(path_of(is_chat=is_chat), body), is_chat=is_chat
            )

        return await self._endpoint.call(work, attempts=2)


def is_lenient(owner: str) -> bool:
    """Whether a server takes parameters beyond the protocol instead of refusing them."""
    return owner.lower() in _LENIENT
