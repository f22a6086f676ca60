"""A participant: one model at work on one problem, which sees the trace through its own view."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import replace

import anyio

from collab.controller.metered import MeteredSession
from collab.errors import PluginCallError
from collab.proposals import Distribution, Proposal, Sampling, Token, Until
from collab.seam import SessionMark
from collab.signals import Steering
from collab.trace import Span, Trace
from collab.usage import Purpose
from collab.views import ThinkingTags, translate_pieces, translate_tags


class Participant:
    """Keeps a session in step with the trace.

    Spans by others are spliced in lazily, right before the next call; what the participant wrote
    itself is committed as its own tokens. Texts in the trace carry the generator's thinking
    tags; they are translated in both directions here. A live text takes one call at a time: others
    wait for it, and it does not change meanwhile.

    Attributes:
        name: As traces and ledgers call it.
        is_observed: Whether its tokens carry hidden states.
    """

    def __init__(
        self,
        name: str,
        session: MeteredSession,
        *,
        own_tags: ThinkingTags | None,
        trace_tags: ThinkingTags | None,
        is_observed: bool = False,
    ) -> None:
        self.name = name
        self.is_observed = is_observed
        self._session = session
        self._own_tags = own_tags
        self._trace_tags = trace_tags
        # Position of the session after each span it has seen; the first is the bare prompt.
        self._marks: list[SessionMark] = [session.mark]
        # What follows the head, in the trace's tags. It cannot be derived from the session's: a tag
        # may stand across tokens of which only some are committed.
        self._at_hand: list[str] = []
        self._turn = anyio.Lock()

    @property
    def thinking(self) -> ThinkingTags | None:
        """The thinking tags of texts in the trace."""
        return self._trace_tags

    @property
    def decoded_tokens(self) -> int:
        """How many tokens it has decoded for the problem."""
        return self._session.decoded_tokens

    def check_budget(self) -> None:
        """Raise `BudgetReached` now if the next call would."""
        self._session.check_budget()

    async def generate(
        self, trace: Trace, purpose: Purpose, until: Until, sampling: Sampling
    ) -> Proposal:
        """Return what this participant would write next."""
        async with self._in_turn(trace):
            return await self._generate(purpose, until, sampling)

    async def _generate(self, purpose: Purpose, until: Until, sampling: Sampling) -> Proposal:
        stops = {self._outward(stop): stop for stop in until.stop_strings}
        until = replace(until, stop_strings=tuple(stops))
        proposal = await self._session.generate(purpose, until, sampling)
        tokens = self._inward(proposal.tokens)
        texts = [token.text for token in tokens]
        if self._at_hand[: len(texts)] != texts:
            self._at_hand = texts
        return replace(
            proposal,
            author=self.name,
            tokens=tokens,
            stop_string=stops.get(proposal.stop_string, proposal.stop_string),
        )

    async def judge(self, trace: Trace, question: str, labels: Sequence[str]) -> Distribution:
        """Return label probabilities after the trace and `question`."""
        async with self._in_turn(trace):
            return await self._session.judge(self._outward(question), labels)

    async def score(self, trace: Trace, text: str) -> tuple[Token, ...]:
        """Return the log-probabilities of `text` after the trace."""
        async with self._in_turn(trace):
            return await self._session.score(self._outward(text))

    async def observe(self, trace: Trace, text: str, layer: int) -> Sequence[float]:
        """Return the hidden state at the last token of `text` after the trace."""
        async with self._in_turn(trace):
            return await self._session.observe(self._outward(text), layer)

    async def reward(self, trace: Trace, steps: Sequence[str]) -> Sequence[float]:
        """Return rewards for steps that follow the trace."""
        async with self._in_turn(trace):
            return await self._session.reward([self._outward(step) for step in steps])

    async def roll_out(
        self,
        trace: Trace,
        after: Proposal,
        until: Until,
        sampling: Sampling,
        *,
        seed: int | None,
    ) -> Proposal:
        """Return what this participant would write after the trace and a proposal, on a fork."""
        self.catch_up(trace)
        text = self._outward(after.text)
        proposal = await self._session.roll_out(
            text, until, sampling, is_cut=after.is_cut, seed=seed
        )
        return replace(proposal, author=self.name, tokens=self._inward(proposal.tokens))

    def steer(self, trace: Trace, steering: Steering | None) -> None:
        """Add a vector to this participant's hidden states from the end of the trace on."""
        self.ensure_idle()
        self.catch_up(trace)
        self._at_hand.clear()
        self._session.steer(steering)

    @asynccontextmanager
    async def fork(self, trace: Trace) -> AsyncIterator["Participant"]:
        """Yield a participant that goes on from the end of the trace on its own."""
        self.catch_up(trace)
        async with self._session.fork() as session:
            twin = copy(self)
            twin._session, twin._marks = session, [*self._marks]
            twin._at_hand, twin._turn = [*self._at_hand], anyio.Lock()
            yield twin

    def reseed(self, seed: int) -> None:
        """Draw from another random stream from here on."""
        self._at_hand.clear()
        self._session.reseed(seed)

    def take_over(self, twin: "Participant") -> None:
        """Go on where a fork of this participant is; the fork is used no more."""
        self.ensure_idle()
        twin.ensure_idle()
        self._session.adopt(twin._session)
        self._marks, self._at_hand = twin._marks, twin._at_hand

    def adopt(self, trace: Trace, proposal: Proposal) -> tuple[int, ...]:
        """Commit what this participant wrote, as the span about to be recorded.

        Args:
            trace: Without that span yet.
            proposal: It starts at the end of the text.

        Returns:
            For each token, the ledger's call that decoded it.

        Raises:
            PluginCallError: It starts elsewhere.
        """
        self.ensure_idle()
        self.catch_up(trace)
        texts = [token.text for token in proposal.tokens]
        compared = len(texts) - proposal.is_cut
        if len(texts) > len(self._at_hand) or self._at_hand[:compared] != texts[:compared]:
            raise PluginCallError(
                f"{texts[0]!r} by the {self.name} cannot be committed: it was not written at the "
                "end of this text; commit a proposal before the text changes, and only at its own "
                "desk or branch"
            )
        cut_text = self._outward(texts[-1]) if proposal.is_cut else None
        calls = self._session.commit(len(texts), cut_text)
        self._keep_at_hand(len(texts))
        self._marks.append(self._session.mark)
        return calls

    def ensure_idle(self) -> None:
        """Raise `PluginCallError` while a call is in work: the text it began with has to stay."""
        if self._turn.locked():
            raise PluginCallError(
                f"the text changed while the {self.name} was at work on it; await its calls first, "
                "or make them on a branch"
            )

    def catch_up(self, trace: Trace) -> None:
        """Splice in the visible spans not seen yet.

        Raises:
            PluginCallError: There are some, and a call is in work.
        """
        if trace.length > len(self._marks) - 1:
            self.ensure_idle()
            self._see_all(trace)

    @asynccontextmanager
    async def _in_turn(self, trace: Trace) -> AsyncIterator[None]:
        """Wait for the calls before, and splice in what they could not see yet."""
        async with self._turn:
            self._see_all(trace)
            yield

    def _see_all(self, trace: Trace) -> None:
        for span in trace.since(len(self._marks) - 1):
            self._see(span)
            self._marks.append(self._session.mark)

    def rollback(self, spans: int) -> None:
        """Go back to where the trace had `spans` spans."""
        if len(self._marks) - 1 > spans:
            self.ensure_idle()
            self._session.rollback(self._marks[spans])
            self._at_hand.clear()
            del self._marks[spans + 1 :]

    def _see(self, span: Span) -> None:
        if not span.is_visible_to(self.name) or not span.text:
            return
        before = self._session.at_hand
        self._session.append(self._outward(span.text))
        self._keep_at_hand(before - self._session.at_hand)

    def _keep_at_hand(self, moved: int) -> None:
        """Keep what still follows the head, which moved over `moved` tokens."""
        del self._at_hand[:moved]
        if not self._session.at_hand:
            self._at_hand.clear()

    def _outward(self, text: str) -> str:
        return translate_tags(text, self._trace_tags, self._own_tags)

    def _inward(self, tokens: tuple[Token, ...]) -> tuple[Token, ...]:
        texts = [token.text for token in tokens]
        translated = translate_pieces(texts, self._own_tags, self._trace_tags)
        if translated == texts:
            return tokens
        return tuple(
            replace(token, text=text) for token, text in zip(tokens, translated, strict=True)
        )
