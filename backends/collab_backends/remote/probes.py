"""Short calls to one server, each of which shows one thing that it can or cannot do.

Servers ignore what they do not know and answer with status 200, so nothing is believed that was
not seen in an answer.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from collab.errors import ModelLoadError
from collab.signals import NO_SIGNALS
from collab_backends.remote.pieces import HALF_CHARACTER, by_ids, told_ids
from collab_backends.remote.prober import ASKED, Prober, messages
from collab_backends.remote.requests import (
    CONTINUE_LAST,
    Json,
    logprobs_of,
)
from collab_backends.remote.wire import Answer

if TYPE_CHECKING:
    from collab_backends.tokenizing.codec import TextCodec

SENTENCE = "The quick brown fox jumps over the lazy"
_MOST_FOR_A_LETTER = 3
_SPELT_TOKENS = 8
_BEGUN = "One, two, three"
_LOGPROB_STEPS = (20, 5)
_SAME_LOGPROB = 1e-2
_THOUGHT = "<think>\nOne and one and one and one is four.\n</think>\n\n"
_THOUGHT_TOKENS = 6


class Probes(Prober):
    """What can be tried on one endpoint."""

    # --- continuing -------------------------------------------------------------------------

    async def takes_ids(self, codec: "TextCodec") -> bool | None:
        """Whether ids are taken as they are: the server counts as many as were sent."""
        ids = codec.splice((), SENTENCE).added
        answer = await self.tried({"prompt": ids}, is_chat=False)
        if answer is None:
            self.notes.append("token ids are not taken as a prompt")
            return False
        if answer.paid.prompt is None:
            self._cannot_tell("token ids are taken as a prompt")
            return None
        if answer.paid.prompt != len(ids):
            self.notes.append(
                f"{len(ids)} token ids were counted as {answer.paid.prompt}: another tokenizer, or "
                "a template is put around them"
            )
            return False
        await self._ensure_same_tokens(codec, ids)
        return True

    async def _ensure_same_tokens(self, codec: "TextCodec", before: Sequence[int]) -> None:
        """Check that what the server writes reads the same by its ids here, where it tells them."""
        asked = {"prompt": before, "max_tokens": _SPELT_TOKENS, "logprobs": 1}
        answer = await self.tried(asked, is_chat=False)
        ids = told_ids(answer) if answer else ()
        if answer is None or len(ids) != answer.paid.completion:
            return
        spelt = "".join(one.text for one in by_ids(codec, before, ids, answer, NO_SIGNALS))
        if spelt != answer.text.rstrip(HALF_CHARACTER):
            raise ModelLoadError(
                f"the tokenizer {codec.name!r} is not that of {self._model!r}: what its server "
                f"wrote as {answer.text!r} reads {codec.decode(ids)!r} here"
            )

    async def continues_text(self) -> bool | None:
        """Whether a text is continued as it is: hardly more tokens are counted than it has."""
        answer = await self.tried({"prompt": "a"}, is_chat=False)
        if answer is not None and answer.paid.prompt is None:
            self._cannot_tell("texts are continued as they are")
            return None
        if answer is None or answer.paid.prompt is None or answer.paid.prompt > _MOST_FOR_A_LETTER:
            self.notes.append("texts are not continued as they are by /completions")
            return False
        return True

    async def begin_of_text_is_doubled(self, rendered: Sequence[int], codec: "TextCodec") -> bool:
        """Whether the server puts a begin-of-text token before texts that have one already.

        Notes it if the server cuts texts into other tokens than this tokenizer.
        """
        counted = await self._count_text(codec.decode(rendered))
        if counted == len(rendered):
            return False
        if counted == len(rendered) + 1 and codec.count_leading_bos(rendered):
            return await self._count_text(codec.decode(rendered[1:])) == len(rendered)
        self.notes.append(
            f"a prompt of {len(rendered)} tokens is counted as {counted} by the server: it cuts "
            "texts otherwise than the tokenizer given here, or adds to them"
        )
        return False

    async def continues_messages(self) -> bool | None:
        """Whether a last message is continued: then no new turn is opened, which costs tokens."""
        plain = await self._begun()
        flagged = await self.tried(messages(_BEGUN) | CONTINUE_LAST, is_chat=True)
        if flagged is None:
            self.notes.append("continue_final_message is not taken")
            return False
        if plain is None or plain.paid.prompt is None or flagged.paid.prompt is None:
            self._cannot_tell("continue_final_message has an effect")
            return None
        if flagged.paid.prompt >= plain.paid.prompt:
            self.notes.append("continue_final_message has no effect")
            return False
        return True

    async def gives_begun_back(self) -> bool:
        """Whether a last message of the assistant is continued, and given back with the answer.

        Some servers give every prompt back; that says nothing.
        """
        begun = await self._begun()
        return begun is not None and begun.text.startswith(_BEGUN)

    async def ensure_prompt_is_not_given_back(self) -> None:
        """Check that an answer to messages is the answer alone.

        Raises:
            ModelLoadError: It begins with the prompt.
        """
        answer = await self.tried(messages(), is_chat=True)
        if answer is not None and answer.text.startswith(ASKED):
            raise ModelLoadError(
                f"{self._endpoint.base_url} gives the prompt back with every answer to messages; "
                "name the model's `tokenizer`, so that texts are continued through /completions"
            )

    async def _begun(self) -> Answer | None:
        return await self.tried(messages(_BEGUN), is_chat=True)

    def _cannot_tell(self, what: str) -> None:
        self.notes.append(f"tokens are not counted: whether {what} cannot be told")

    async def trims_end(self, flags: Json) -> bool:
        """Whether the server's chat template takes blanks off the end of a begun message."""
        bare = await self._count_begun(_BEGUN, flags)
        blank = await self._count_begun(f"{_BEGUN}\n\n \n\n ", flags)
        if bare is None or bare != blank:
            return False
        self.notes.append("the chat template trims the end of a begun answer; it is healed")
        return True

    async def note_dropped_thinking(self, flags: Json) -> None:
        """Note it if the server's chat template drops the thinking of a begun message."""
        bare = await self._count_begun(_BEGUN, flags)
        whole = await self._count_begun(_THOUGHT + _BEGUN, flags)
        if bare is not None and (whole is None or whole - bare < _THOUGHT_TOKENS):
            self.notes.append(
                "the chat template drops or refuses the thinking of a begun answer; name the "
                "model's `tokenizer`, so that texts are rendered here"
            )

    async def _count_begun(self, text: str, flags: Json) -> int | None:
        answer = await self.tried(messages(text) | flags, is_chat=True)
        return answer.paid.prompt if answer else None

    async def _count_text(self, text: str) -> int | None:
        answer = await self.tried({"prompt": text}, is_chat=False)
        return answer.paid.prompt if answer else None

    # --- probabilities ----------------------------------------------------------------------

    async def top_logprobs(self, request: Json, *, is_chat: bool) -> int:
        """Return how many candidates per token are given, 20 at most."""
        for count in _LOGPROB_STEPS:
            asked = request | logprobs_of(count, is_chat=is_chat)
            answer = await self.tried(asked, is_chat=is_chat)
            seen = len(answer.entries[0].candidates) if answer and answer.entries else 0
            if seen >= count - 1:
                return min(seen, count)
        self.notes.append("no log-probabilities are given")
        return 0

    async def picks_logprobs(self, codec: "TextCodec") -> bool:
        """Whether the log-probabilities of chosen ids are given: an unlikely one must appear."""
        ids = codec.splice((), SENTENCE).added
        asked = [ids[0], ids[-1], 0]
        answer = await self.tried(
            {
                "prompt": ids,
                "logprobs": 1,
                "logprob_token_ids": asked,
                "return_tokens_as_token_ids": True,
            },
            is_chat=False,
        )
        seen = (
            {one.id for one in answer.entries[0].candidates} if answer and answer.entries else set()
        )
        return set(asked) <= seen

    async def scores(self, codec: "TextCodec") -> bool:
        """Whether an echo gives each token's log-probability at its own place.

        The last token's has to be the one that is given for it when it is written.
        """
        ids = codec.splice((), SENTENCE).added[:-1]
        alone = await self.tried({"prompt": ids, "logprobs": 1}, is_chat=False)
        told = told_ids(alone) if alone else ()
        if alone is None or not alone.entries or not told:
            self.notes.append("no echo of the prompt's log-probabilities")
            return False
        echo = {"prompt": [*ids, told[0]], "logprobs": 1, "echo": True}
        echoed = await self.tried(echo, is_chat=False)
        if echoed is None or len(echoed.entries) <= len(ids):
            self.notes.append("no echo of the prompt's log-probabilities")
            return False
        there, here = echoed.entries[len(ids)].logprob, alone.entries[0].logprob
        if there is None or here is None or abs(there - here) > _SAME_LOGPROB:
            self.notes.append("an echo's log-probabilities are not at their places")
            return False
        return True

    async def score_top_logprobs(self, codec: "TextCodec", most: int) -> int:
        """Return how many candidates an echo gives at a given token, `most` at most."""
        ids = codec.splice((), SENTENCE).added
        echoed = await self.tried({"prompt": ids, "logprobs": most, "echo": True}, is_chat=False)
        if echoed is None or len(echoed.entries) < len(ids):
            return 0
        given = echoed.entries[len(ids) - 1]
        values = given.logprobs
        # Servers also name the given token itself. Where it is the least likely, it may be extra.
        is_extra = bool(values) and given.logprob is not None and given.logprob <= values[-1]
        return min(len(values) - is_extra, most)
