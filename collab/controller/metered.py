"""A session whose every call is bounded by the budget and recorded in the ledger."""

import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass, replace
from time import perf_counter

import anyio

from collab.concurrency import is_asked_to_stop
from collab.errors import CollabError, ModelCallError
from collab.proposals import Distribution, Proposal, Sampling, Token, Until
from collab.seam import (
    Meter,
    Model,
    ObservedSession,
    ReseededSession,
    RewardedSession,
    ServedModel,
    Session,
    SessionMark,
    SteeredSession,
)
from collab.signals import Steering
from collab.telemetry.spans import Asked, CallSpan, traced_call
from collab.usage import Call, CallOutcome, Ledger, Price, Purpose


@dataclass(frozen=True, slots=True)
class _Spent:
    """One call's time and outcome, and its session's meter before it and now."""

    before: Meter
    now: Meter
    outcome: CallOutcome
    total_s: float


class MeteredSession:
    """The only way to a model: one record per call, also for calls cancelled or failed.

    It remembers which call decoded each token after the head, so that a committed token is
    credited to the call that paid for it, and the text of what it proposed, so that foreign text
    which follows a proposal costs nothing. It takes one call at a time.
    """

    def __init__(
        self,
        session: Session,
        ledger: Ledger,
        *,
        role: str,
        model: Model,
        price: Price | None,
        guard: Callable[[str], None],
    ) -> None:
        self._session = session
        self._ledger = ledger
        self._role = role
        self._model = model.name
        self._service = model.service if isinstance(model, ServedModel) else None
        self._price = price
        self._guard = guard
        self._owners: list[int] = []
        self._proposed: list[str] = []

    @property
    def mark(self) -> SessionMark:
        """A pointer to the head."""
        return self._session.mark

    @property
    def at_hand(self) -> int:
        """How many proposed tokens follow the head."""
        return len(self._proposed)

    @property
    def decoded_tokens(self) -> int:
        """How many tokens this participant has decoded for the problem, in all its sessions."""
        usage = self._ledger.usage.get(self._role)
        return usage.completion_tokens if usage else 0

    def check_budget(self) -> None:
        """Raise `BudgetReached` now if the next call would."""
        self._guard(self._role)

    async def generate(self, purpose: Purpose, until: Until, sampling: Sampling) -> Proposal:
        """Continue from the head; see `collab.seam.Session.generate`."""
        async with self._recorded(purpose, until.max_tokens, sampling.temperature) as index:
            before = self._session.meter.completion_tokens
            proposal = await self._session.generate(until, sampling)
        texts = [token.text for token in proposal.tokens]
        if self._proposed[: len(texts)] != texts:
            self._proposed = texts
        decoded = self._session.meter.completion_tokens - before
        if decoded:
            self._owners = [*self._owners[: proposal.replayed], *[index] * decoded]
        return proposal

    async def judge(self, question: str, labels: Sequence[str]) -> Distribution:
        """Read label probabilities after `question`."""
        async with self._recorded("judge"):
            return await self._session.judge(question, labels)

    async def score(self, text: str) -> tuple[Token, ...]:
        """Read the log-probabilities of `text` at the head."""
        async with self._recorded("score"):
            return await self._session.score(text)

    async def observe(self, text: str, layer: int) -> Sequence[float]:
        """Read the hidden state at the last token of `text`, put after the head.

        Raises:
            ModelCallError: The model hands over none, or failed.
        """
        if not isinstance(self._session, ObservedSession):
            raise ModelCallError(f"{self._model!r} hands over no hidden states")
        async with self._recorded("probe"):
            return await self._session.observe(text, layer)

    async def reward(self, steps: Sequence[str]) -> Sequence[float]:
        """Read rewards for steps that follow the head.

        Raises:
            ModelCallError: The model gives none, or not one for each step.
        """
        if not isinstance(self._session, RewardedSession):
            raise ModelCallError(f"{self._model!r} gives no rewards")
        async with self._recorded("score"):
            rewards = await self._session.reward(steps)
        if len(rewards) != len(steps):
            raise ModelCallError(
                f"{self._model!r} gave {len(rewards)} rewards for {len(steps)} steps"
            )
        return rewards

    async def roll_out(
        self, after: str, until: Until, sampling: Sampling, *, is_cut: bool, seed: int | None
    ) -> Proposal:
        """Continue from the end of a text at the head, on a fork; head and proposals stay.

        Several may be made at the same time, as each is a live text of its own.

        Args:
            after: The text; what this model proposed itself is not computed again.
            until: When to stop.
            sampling: How tokens are drawn.
            is_cut: Whether `after` ends within a token.
            seed: Of a random stream of its own; `None` draws as this text itself would.

        Raises:
            ModelCallError: The model failed, or samples and cannot be given a stream.
        """
        asked = self._asked("probe", until.max_tokens, sampling.temperature)
        async with self._session.fork() as twin, self._counted(asked, twin.meter):
            if followed := 0 if is_cut else self._count_followed(after):
                twin.commit(followed)
            else:
                twin.append(after)
            if seed is not None and not sampling.is_greedy:
                self._reseed(twin, seed)
            return await twin.generate(until, sampling)

    @asynccontextmanager
    async def fork(self) -> AsyncIterator["MeteredSession"]:
        """Yield a session of its own with the same text and the same proposals at hand."""
        async with self._session.fork() as session:
            twin = copy(self)
            twin._session = session
            twin._owners, twin._proposed = [*self._owners], [*self._proposed]
            yield twin

    def reseed(self, seed: int) -> None:
        """Draw from another random stream; what was decoded ahead is dropped.

        Raises:
            ModelCallError: The model cannot do that.
        """
        self._forget_proposal()
        self._reseed(self._session, seed)

    def adopt(self, twin: "MeteredSession") -> None:
        """Take over the text of a fork of this session and what is computed for it."""
        self._session.adopt(twin._session)
        self._owners, self._proposed = twin._owners, twin._proposed

    def commit(self, tokens: int, cut_text: str | None = None) -> tuple[int, ...]:
        """Move the head over `tokens` decoded tokens; return the call that decoded each.

        If the last one's text was cut, `cut_text` takes its place.
        """
        owners = tuple(self._owners[:tokens])
        if cut_text is not None:
            self._session.commit(tokens - 1)
            self._forget_proposal()
            self._session.append(cut_text)
            return owners
        self._session.commit(tokens)
        del self._owners[:tokens], self._proposed[:tokens]
        return owners

    def append(self, text: str) -> int:
        """Splice foreign text in at the head; return by how many own tokens the text grew.

        Where it says what this model proposed itself, the head moves over the proposal: nothing
        is computed again, and the rest of the proposal stays at hand.
        """
        if followed := self._count_followed(text):
            self.commit(followed)
            return followed
        self._forget_proposal()
        return self._session.append(text)

    def steer(self, steering: Steering | None) -> None:
        """Add a vector to hidden states from here on; what was decoded ahead is dropped.

        Raises:
            ModelCallError: The model cannot be steered.
        """
        if not isinstance(self._session, SteeredSession):
            raise ModelCallError(f"{self._model!r} cannot be steered")
        self._forget_proposal()
        self._session.steer(steering)

    def rollback(self, mark: SessionMark) -> None:
        """Move the head back."""
        self._forget_proposal()
        self._session.rollback(mark)

    def _forget_proposal(self) -> None:
        self._owners.clear()
        self._proposed.clear()

    def _count_followed(self, text: str) -> int:
        """Return how many proposed tokens say exactly `text`; 0 if none do."""
        said = ""
        for count, piece in enumerate(self._proposed, start=1):
            said += piece
            if said == text:
                return count
            if not text.startswith(said):
                return 0
        return 0

    def _reseed(self, twin: Session, seed: int) -> None:
        if not isinstance(twin, ReseededSession):
            raise ModelCallError(
                f"{self._model!r} cannot draw several samples of one text; sample greedily"
            )
        twin.reseed(seed)

    def _asked(
        self, purpose: Purpose, max_tokens: int | None = None, temperature: float | None = None
    ) -> Asked:
        return Asked(
            role=self._role,
            model=self._model,
            purpose=purpose,
            service=self._service,
            max_tokens=max_tokens,
            temperature=temperature,
        )

    @asynccontextmanager
    async def _recorded(
        self,
        purpose: Purpose,
        max_tokens: int | None = None,
        temperature: float | None = None,
    ) -> AsyncIterator[int]:
        asked = self._asked(purpose, max_tokens, temperature)
        async with self._counted(asked, self._session.meter) as index:
            yield index

    @asynccontextmanager
    async def _counted(self, asked: Asked, meter: Meter) -> AsyncIterator[int]:
        self.check_budget()
        with traced_call(asked) as span:
            async with self._entered(asked, meter, span) as index:
                yield index

    @asynccontextmanager
    async def _entered(
        self, asked: Asked, meter: Meter, span: CallSpan | None
    ) -> AsyncIterator[int]:
        index = self._ledger.begin()
        before = replace(meter)
        started = perf_counter()
        outcome: CallOutcome = "failed"
        try:
            yield index
            outcome = "ok"
        except anyio.get_cancelled_exc_class() as error:
            if not is_asked_to_stop():
                raise ModelCallError(f"{self._model!r} cancelled its own call") from error
            outcome = "cancelled"
            raise
        except CollabError:
            raise
        except (Exception, SystemExit) as error:
            # A backend may be a stranger's code; one problem must not end the program.
            raise ModelCallError(
                f"{self._model!r} raised {type(error).__name__}: {error}"
            ) from error
        finally:
            total_s = perf_counter() - started
            spent = _Spent(before, meter, outcome, total_s)
            call = self._call(index, asked.purpose, spent)
            if call.attempts:  # else answered from what was decoded before, or refused before
                self._ledger.add(call)
                if span is not None:
                    span.end(call, "" if outcome == "ok" else type(sys.exception()).__name__)

    def _call(self, index: int, purpose: Purpose, spent: "_Spent") -> Call:
        before, now, price = spent.before, spent.now, self._price
        prompt = now.prompt_tokens - before.prompt_tokens
        cached = now.cached_tokens - before.cached_tokens
        completion = now.completion_tokens - before.completion_tokens
        return Call(
            index=index,
            role=self._role,
            model=self._model,
            purpose=purpose,
            prompt_tokens=prompt,
            cached_tokens=cached,
            completion_tokens=completion,
            reasoning_tokens=now.reasoning_tokens - before.reasoning_tokens,
            attempts=now.attempts - before.attempts,
            queue_wait_s=now.queue_wait_s - before.queue_wait_s,
            first_token_s=now.first_token_s,
            total_s=spent.total_s,
            cost_usd=price.of(prompt=prompt, cached=cached, completion=completion)
            if price
            else None,
            outcome=spent.outcome,
            is_estimated=now.estimates > before.estimates,
            raw_usage=now.raw_usage[len(before.raw_usage) :],
        )
