"""Asking one server for single tokens, to see what it takes and how it is to be asked."""

from collab.errors import CollabError
from collab_backends.remote.attempts import Attempt
from collab_backends.remote.endpoint import Endpoint
from collab_backends.remote.faults import ServerBusyError, ServerUnreachableError
from collab_backends.remote.requests import Json, beyond_protocol, path_of, streaming
from collab_backends.remote.wire import Answer, parse_answer, read_stream

ASKED = "Count."
_STRICT = (
    "what the protocol does not have is refused: the server's own top_k, min_p and penalties count"
)


class Prober:
    """Asks one endpoint, with all that the requests of a run hold.

    Args:
        endpoint: The server.
        model: The model's name there.
        extra: Added to every request.

    Attributes:
        notes: What was looked for and not seen, for people.
        is_lenient: Whether parameters beyond the protocol are taken; they are sent until then.
        refusal: What the server said when it last refused.
    """

    def __init__(self, endpoint: Endpoint, model: str, extra: Json) -> None:
        self.notes: list[str] = []
        self.is_lenient = True
        self.refusal = ""
        self._endpoint = endpoint
        self._model = model
        self._extra = extra

    # --- asking -----------------------------------------------------------------------------

    async def ask(self, request: Json, *, is_chat: bool) -> Answer:
        """Return an answer of one token.

        Raises:
            CollabError: The server refuses, or cannot be reached.
        """
        body = self._body(request, is_chat=is_chat)

        async def work(attempt: Attempt) -> Answer:
            answered = await attempt.post(path_of(is_chat=is_chat), body)
            return parse_answer(answered, is_chat=is_chat)

        return await self._endpoint.call(work, tries=self._endpoint.tries(attempts=2))

    def _body(self, request: Json, *, is_chat: bool) -> Json:
        """Return a request with all that those of a run hold."""
        body = {"model": self._model, "max_tokens": 1, "temperature": 0.0, "top_p": 1.0, "seed": 0}
        if self.is_lenient:
            body |= beyond_protocol(0, is_chat=is_chat)
        return body | request | self._extra

    async def tried(self, request: Json, *, is_chat: bool) -> Answer | None:
        """Return an answer of one token, or `None` where the server refuses.

        Raises:
            ServerBusyError: It has no time, which says nothing about what it can do.
            ServerUnreachableError: It is not there (any more), which says as little.
        """
        try:
            return await self.ask(request, is_chat=is_chat)
        except (ServerBusyError, ServerUnreachableError):
            raise
        except CollabError as error:
            self.refusal = str(error)
            # Some answer with status 500 what they cannot do; they are not down for that.
            self._endpoint.breaker.note_success()
            return None

    async def find_manners(self) -> Answer | None:
        """Find out whether the server refuses what the protocol does not have.

        Returns:
            The first answer; `None` if there is none.
        """
        for is_chat, request in ((False, {"prompt": "a"}), (True, messages())):
            for self.is_lenient in (True, False):
                if (answer := await self.tried(request, is_chat=is_chat)) is not None:
                    if not self.is_lenient:
                        self.notes.append(_STRICT)
                    return answer
        return None

    async def streams(self, request: Json, *, is_chat: bool) -> bool:
        """Whether an answer may be streamed; notes it if not."""
        body = streaming(self._body(request, is_chat=is_chat), is_lenient=self.is_lenient)

        async def work(attempt: Attempt) -> Answer:
            async with attempt.stream(path_of(is_chat=is_chat), body | self._extra) as events:
                return await read_stream(events, is_chat=is_chat, is_enough=lambda _: False)

        try:
            await self._endpoint.call(work, tries=self._endpoint.tries(attempts=2))
        except (ServerBusyError, ServerUnreachableError):
            raise
        except CollabError as error:
            self._endpoint.breaker.note_success()
            self.notes.append(f"answers are not streamed, so they are asked for whole: {error}")
            return False
        return True


def messages(begun: str = "") -> Json:
    """Return a question as messages, with an answer that is begun if one is given."""
    asked = [{"role": "user", "content": ASKED}]
    if begun:
        asked.append({"role": "assistant", "content": begun})
    return {"messages": asked}
