"""Asking a model: one call to its endpoints, metered whatever becomes of it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

from collab.capabilities import Capabilities
from collab.errors import ContextOverflowError, ModelCallError
from collab.seam import Meter
from collab.telemetry import names
from collab.telemetry.events import log_event
from collab.telemetry.spans import annotate_call
from collab_backends.remote.attempts import Attempt
from collab_backends.remote.endpoint import Endpoint
from collab_backends.remote.estimating import (
    Estimates,
    SentPrompt,
    completion_tokens,
    impossible,
    prompt_of,
)
from collab_backends.remote.failures import fault_of
from collab_backends.remote.faults import AttemptFailed, Fault
from collab_backends.remote.hedging import Hedge, Race
from collab_backends.remote.paid import kept_usage
from collab_backends.remote.requests import Json, is_chat, path_of, streaming
from collab_backends.remote.wire import Answer, parse_answer, read_stream

if TYPE_CHECKING:
    from collab_backends.tokenizing.codec import TextCodec

Enough = Callable[[Answer], bool]
Hear = Callable[[Answer], None]
"""Takes as much of an answer as has come."""

Work = Callable[[Endpoint, Attempt, Hear], Awaitable[Answer]]


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
        can_stream: Whether it streams.
        extra: Added to the body of every request.
        hedge: Decides which calls are asked twice.
        estimates: What is paid for that the server does not count.
    """

    name: str
    label: str
    capabilities: Capabilities
    codec: "TextCodec | None"
    is_lenient: bool
    trims_end: bool
    can_pick_logprobs: bool
    can_stream: bool
    extra: Json
    hedge: Hedge
    estimates: Estimates

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
        self._asked: SentPrompt = ()

    async def answer(self, body: Json) -> Answer:
        """Return the whole answer to a request.

        Raises:
            ContextOverflowError: The text is too long for the model.
            ModelCallError: No server answered.
        """
        terms = self._terms

        async def work(endpoint: Endpoint, attempt: Attempt, hear: Hear) -> Answer:
            answered = await attempt.post(terms.path, body)
            answer = parse_answer(answered, is_chat=terms.is_chat, hear=hear)
            return _from_same_model(answer, endpoint)

        return await self._metered(body, work)

    async def stream(self, body: Json, is_enough: Enough) -> Answer:
        """Return a streamed answer; the request is left as soon as it is enough.

        Raises:
            ContextOverflowError: The text is too long for the model.
            ModelCallError: No server answered.
        """
        terms = self._terms
        body = {**streaming(body, is_lenient=terms.is_lenient), **terms.extra}

        async def work(endpoint: Endpoint, attempt: Attempt, hear: Hear) -> Answer:
            def heard_enough(so_far: Answer) -> bool:
                hear(so_far)
                return is_enough(so_far)

            async with attempt.stream(terms.path, body) as events:
                answer = await read_stream(
                    events, is_chat=terms.is_chat, is_enough=heard_enough, hear=hear
                )
            hear(answer)
            return _from_same_model(answer, endpoint)

        return await self._metered(body, work)

    async def _metered(self, body: Json, work: Work) -> Answer:
        started = perf_counter()
        self._meter.first_token_s = None

        def hear(_: Answer) -> None:
            if self._meter.first_token_s is None:
                self._meter.first_token_s = perf_counter() - started

        async def ask_once(endpoint: Endpoint, attempt: Attempt) -> Answer:
            annotate_call(endpoint.server)
            return await self._attempt(body, endpoint, partial(work, endpoint, attempt), hear)

        ask = partial(self._with_failover, ask_once)
        hedge_s = self._terms.hedge.delay_s(body)
        if hedge_s is None:
            answer = await ask(self._endpoints)
        else:
            others = [*self._endpoints[1:], *self._endpoints[:1]]
            answer = await Race[Answer]().run(
                partial(ask, self._endpoints),
                partial(ask, others),
                hedge_s,
                self._terms.hedge.may_begin,
            )
        annotate_call(_origin(answer))
        return answer

    async def _with_failover(
        self,
        ask_once: Callable[[Endpoint, Attempt], Awaitable[Answer]],
        endpoints: Sequence[Endpoint],
    ) -> Answer:
        """Ask each server once, then the first one with all patience."""
        first, *others = endpoints
        for endpoint in endpoints if others else ():
            once = endpoint.tries(is_first_round=True)
            try:
                return await endpoint.call(
                    partial(ask_once, endpoint), self._count_attempt, tries=once
                )
            except ContextOverflowError:
                raise
            except ModelCallError as error:
                log_event("remote.failed_over", host=endpoint.host, why=str(error))
        return await first.call(partial(ask_once, first), self._count_attempt)

    def _count_attempt(self) -> None:
        self._meter.attempts += 1

    async def _attempt(
        self,
        body: Json,
        endpoint: Endpoint,
        work: Callable[[Hear], Awaitable[Answer]],
        hear: Hear,
    ) -> Answer:
        """Return the answer of one attempt, and count what it cost whatever becomes of it.

        What was refused cost nothing. Anything else that failed or was left has cost its prompt,
        and as much of an answer as was heard.
        """
        heard: Answer | None = None
        was_refused = False

        def note(so_far: Answer) -> None:
            nonlocal heard
            heard = so_far
            hear(so_far)

        try:
            heard = await work(note)
        except Exception as error:
            was_refused = fault_of(error).is_refusal
            raise
        finally:
            if heard is not None or not was_refused:
                self._count(body, endpoint, Answer("") if heard is None else heard)
        return heard

    def _count(self, body: Json, endpoint: Endpoint, answer: Answer) -> None:
        """Count what was paid, as the server says or as it can be estimated."""
        meter, paid, estimates = self._meter, answer.paid, self._terms.estimates
        asked, before, self._asked = prompt_of(body), self._asked, prompt_of(body)
        estimates.learn(asked, paid)
        prompt = estimates.prompt_tokens(asked) if paid.prompt is None else paid.prompt
        cached = estimates.cached_tokens(asked, before) if paid.prompt is None else paid.cached
        is_known = paid.completion is not None and not answer.is_left
        completion = (paid.completion or 0) if is_known else completion_tokens(answer)
        odd = [*paid.contradictions, *filter(None, [impossible(asked, paid)])]
        meter.prompt_tokens += prompt
        meter.cached_tokens += min(cached or 0, prompt)
        meter.completion_tokens += completion
        meter.reasoning_tokens += min(paid.reasoning or 0, completion)
        meter.estimates += paid.prompt is None or not is_known or bool(odd)
        if paid.raw:
            meter.raw_usage += (kept_usage(paid.raw, endpoint.scrubbed),)
        if odd:
            log_event("remote.usage_contradicted", model=self._terms.label, what=odd)


def _origin(answer: Answer) -> dict[str, str | tuple[str, ...]]:
    """Return what traces tell of an answer, as far as its server told it."""
    said: dict[str, str | tuple[str, ...]] = {
        names.RESPONSE_ID: answer.id,
        names.RESPONSE_MODEL: answer.model,
        names.RESPONSE_FINISH_REASONS: (answer.finish,) if answer.finish else (),
    }
    return {name: value for name, value in said.items() if value}


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
