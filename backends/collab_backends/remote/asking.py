"""Asking a model: one call to its endpoints, metered whatever becomes of it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

from collab.capabilities import Capabilities
from collab.errors import ContextOverflowError, ModelCallError
from collab.seam import Meter
from collab_backends.remote.endpoint import Endpoint
from collab_backends.remote.failures import AttemptFailed, Fault
from collab_backends.remote.requests import Json, is_chat, path_of
from collab_backends.remote.wire import Answer, Paid, parse_answer, read_stream

if TYPE_CHECKING:
    from collab_backends.local.tokens import TextCodec

Enough = Callable[[Answer], bool]
Work = Callable[[Endpoint], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Terms:
    """How one model is asked.

    Attributes:
        name: The model, as the server calls it.
        label: Its name in ledgers and errors.
        capabilities: What it can do.
        codec: Its tokenizer, if there is one here.
        is_lenient: Whether the server takes parameters that the protocol does not have.
        trims_end: Whether its chat template takes blanks off the end of a begun answer.
        can_pick_logprobs: Whether it gives the log-probabilities of ids that it is asked for.
        extra: Added to the body of every request.
    """

    name: str
    label: str
    capabilities: Capabilities
    codec: "TextCodec | None"
    is_lenient: bool
    trims_end: bool
    can_pick_logprobs: bool
    extra: Json

    @property
    def is_chat(self) -> bool:
        """Whether it is asked by messages."""
        return is_chat(self.capabilities.prefix_mode)

    @property
    def path(self) -> str:
        """Where it is asked."""
        return path_of(is_chat=self.is_chat)


class Asker:
    """Asks one model, and counts in a meter what that costs.

    Args:
        terms: How the model is asked.
        endpoints: Its servers, in the order in which they are asked.
        meter: Counts attempts and tokens, also of calls that fail or are cancelled.
    """

    def __init__(self, terms: Terms, endpoints: Sequence[Endpoint], meter: Meter) -> None:
        self._terms = terms
        self._endpoints = endpoints
        self._meter = meter

    async def answer(self, body: Json) -> Answer:
        """Return the whole answer to a request.

        Raises:
            ContextOverflowError: The text is too long for the model.
            ModelCallError: No server answered.
        """
        terms = self._terms

        async def work(endpoint: Endpoint) -> Answer:
            answered = await endpoint.post(terms.path, body)
            return _from_same_model(parse_answer(answered, is_chat=terms.is_chat), endpoint)

        return await self._metered(body, work)

    async def stream(self, body: Json, is_enough: Enough) -> Answer:
        """Return a streamed answer; the request is left as soon as it is enough.

        Raises:
            ContextOverflowError: The text is too long for the model.
            ModelCallError: No server answered.
        """
        terms = self._terms
        body = {**body, "stream_options": {"include_usage": True}}

        async def work(endpoint: Endpoint) -> Answer:
            async with endpoint.stream(terms.path, body) as events:
                answer = await read_stream(events, is_chat=terms.is_chat, is_enough=is_enough)
            return _from_same_model(answer, endpoint)

        return await self._metered(body, work)

    async def _metered(self, body: Json, work: Work) -> Answer:
        started = perf_counter()
        self._meter.first_token_s = None
        answer: Answer | None = None
        try:
            answer = await self._with_failover(work)
        finally:
            self._count(body, answer)
            if answer is not None:
                self._meter.first_token_s = perf_counter() - started
        return answer

    async def _with_failover(self, work: Work) -> Answer:
        last: ModelCallError | None = None
        for endpoint in self._endpoints:
            try:
                return await endpoint.call(partial(work, endpoint), self._count_attempt)
            except ContextOverflowError:
                raise
            except ModelCallError as error:
                last = error
        assert last is not None, "there is at least one endpoint"
        raise last

    def _count_attempt(self) -> None:
        self._meter.attempts += 1

    def _count(self, body: Json, answer: Answer | None) -> None:
        """Count what was paid, as the server says or as it can be estimated."""
        meter, paid = self._meter, answer.paid if answer else Paid()
        prompt = paid.prompt if paid.prompt is not None else _estimated_prompt(body)
        meter.prompt_tokens += prompt
        meter.cached_tokens += min(paid.cached or 0, prompt)
        meter.completion_tokens += (
            paid.completion if paid.completion is not None else _estimated_completion(answer)
        )
        if paid.prompt is None or paid.completion is None:
            meter.is_estimated = True


def _from_same_model(answer: Answer, endpoint: Endpoint) -> Answer:
    """Return an answer if the model that wrote the server's first one wrote it.

    Servers have names of their own for a model; what matters is that it stays the same.

    Raises:
        AttemptFailed: Another model wrote it.
    """
    first = endpoint.served_as = endpoint.served_as or answer.model
    if answer.model and answer.model != first:
        what = f"the model {answer.model!r} answered, where {first!r} had answered before"
        raise AttemptFailed(Fault(what, is_retried=True))
    return answer


def _estimated_prompt(body: Json) -> int:
    prompt = body.get("prompt")
    if isinstance(prompt, list):
        return len(prompt)
    said = prompt if isinstance(prompt, str) else str(body.get("messages"))
    return len(said.split())


def _estimated_completion(answer: Answer | None) -> int:
    if answer is None:
        return 0
    return len(answer.ids) or len(answer.entries) or len(answer.text.split())
