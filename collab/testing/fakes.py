"""Fakes: models that write what a test tells them to, through the same seam as real ones."""

import re
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import zip_longest

import anyio
import anyio.lowlevel
from pydantic import ConfigDict, Field

from collab.capabilities import Capabilities
from collab.errors import ModelCallError
from collab.messages import text_of
from collab.proposals import Candidate, Distribution, Proposal, Sampling, Token, Until
from collab.seam import Backend, Meter, Model, Session, SessionMark
from collab.seam.lineage import NO_FORK, Lineage
from collab.seam.scanning import ProposalBuilder
from collab.seam.tail import Tail
from collab.signals import NO_SIGNALS, Observed, Signals, Steering
from collab.views import View

_PIECES = re.compile(r"\n\n|\s?\w+|\s?[^\w\s]|\s")

ALL_CAPABILITIES = Capabilities(
    prefix_mode="tokens",
    top_logprobs=1_000,
    score_top_logprobs=1_000,
    has_token_ids=True,
    can_judge=True,
    can_score=True,
    can_reward=True,
    can_cancel=True,
)


def pieces(text: str) -> list[str]:
    """Return the tokens of the fakes' tokenizer: words with their leading space, blank lines."""
    return _PIECES.findall(text)


@dataclass(eq=False)
class FakeModel:
    """A model that writes one given answer, whatever the prompt, and counts what it does.

    It continues any text by the pieces of `writes` behind as many pieces as the text already
    has, so it goes on after foreign text too.

    Attributes:
        writes: Its whole answer.
        answers: Other answers by prompt, a conversation's by its `collab.messages.text_of`.
        labels: Probabilities it gives to labels when judging; missing ones have 0.
        entropies: Entropy in nats by token text; others have 0.
        rewards: Of steps by their text; others have 0.
        alternatives: Log-probabilities, by text, of what else it might have written in a token's
            place, by the token's text; they are given where `Signals.top_k` asks for them.
        states: Hidden states by the text that they are asked for behind, in any layer; of other
            texts they are zeros. Tokens carry the one of the piece before them, without a
            reduction. Its `capabilities` have to say their `hidden_size`.
        steered: What its sessions were steered with, if its `capabilities` say that it can be.
        fails_at: Raise `ModelCallError` at this call, counted from 0; -1 for never.
        is_stuck: Never finish a call, until cancelled.
        stuck_at: Never finish these calls, counted from 0, until cancelled.
        capabilities: What it claims to be able to do.
        open_sessions: Sessions open now.
        calls: Calls begun.
        prefilled: Context tokens computed, over all sessions.
        decoded: Tokens decoded, over all sessions.
    """

    writes: str = ""
    answers: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, float] = field(default_factory=dict)
    entropies: Mapping[str, float] = field(default_factory=dict)
    rewards: Mapping[str, float] = field(default_factory=dict)
    alternatives: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    states: Mapping[str, Sequence[float]] = field(default_factory=dict)
    steered: list[Steering | None] = field(default_factory=list)
    fails_at: int = -1
    is_stuck: bool = False
    stuck_at: Collection[int] = ()
    name: str = "fake"
    capabilities: Capabilities = ALL_CAPABILITIES
    open_sessions: int = 0
    calls: int = 0
    prefilled: int = 0
    decoded: int = 0

    @asynccontextmanager
    async def open(
        self, view: View, *, seed: int, signals: Signals = NO_SIGNALS
    ) -> AsyncIterator["FakeSession"]:
        """Open a session after the view's prompt; a conversation is one text to it."""
        prompt = text_of(view.prompt)
        self.capabilities.ensure_prompt_fits(len(pieces(prompt)), self.name)
        self.open_sessions += 1
        try:
            kind = SteeredFakeSession if self.capabilities.can_steer else FakeSession
            yield kind(self, view.participant, prompt, signals)
        finally:
            self.open_sessions -= 1


class FakeBackend(Backend):
    """A backend that hands out one given fake model."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    model: FakeModel = Field(default_factory=FakeModel)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Model]:
        """Hand out the model."""
        yield self.model


class FakeSession:
    """A live text of pieces, with decoded pieces behind its head."""

    def __init__(
        self, model: FakeModel, author: str, prompt: str, signals: Signals = NO_SIGNALS
    ) -> None:
        self.meter = Meter()
        self._model = model
        self._author = author
        self._prompt = prompt
        self._signals = signals
        self._pieces: list[str] = []
        self._tail = Tail()
        self._lineage: Lineage[int] = Lineage()
        self._computed = 0

    @property
    def text(self) -> str:
        """The text behind the prompt, up to the head."""
        return "".join(self._pieces)

    @property
    def mark(self) -> SessionMark:
        """A pointer to the head."""
        return self._lineage.mark(len(self._pieces))

    async def generate(self, until: Until, sampling: Sampling) -> Proposal:
        """Continue by the scripted answer."""
        replayed = len(self._tail.tokens)
        builder = self._tail.replay(until, self.text)
        if not builder.is_done:
            await self._begin_call()
            self._decode(builder)
        if not builder.is_done:
            builder.end("eos")
        return builder.build(self._author, replayed=replayed)

    async def judge(self, question: str, labels: Sequence[str]) -> Distribution:
        """Return the scripted label probabilities; the likeliest is one of them, if any."""
        await self._begin_call(len(pieces(question)))
        self._count_decoded()
        scripted = self._model.labels
        return Distribution(
            {label: scripted.get(label, 0.0) for label in labels},
            likeliest=max(scripted, key=scripted.__getitem__, default=""),
        )

    async def score(self, text: str) -> tuple[Token, ...]:
        """Return log-probability 0 for what it would write itself, -1 for anything else."""
        await self._begin_call(len(pieces(text)))
        place = len(self._pieces)
        return tuple(
            Token(n, piece, logprob=0.0 if own == piece else -1.0, top=self._top(own, place + n))
            for n, (piece, own) in enumerate(
                zip_longest(pieces(text), self._answer()[place:], fillvalue="")
            )
            if piece
        )

    async def reward(self, steps: Sequence[str]) -> Sequence[float]:
        """Return the scripted rewards."""
        await self._begin_call(len(pieces("".join(steps))))
        return [self._model.rewards.get(step, 0.0) for step in steps]

    async def observe(self, text: str, layer: int) -> Sequence[float]:
        """Return the scripted hidden state."""
        size = self._model.capabilities.hidden_size
        if size is None:
            raise ModelCallError(f"{self._model.name!r} hands over no hidden states")
        await self._begin_call(len(pieces(text)))
        return self._model.states.get(text, [0.0] * size)

    def commit(self, tokens: int) -> None:
        """Move the head over decoded pieces."""
        self._pieces += [token.text for token in self._tail.commit(tokens)]
        self._lineage.move()

    def append(self, text: str) -> int:
        """Splice foreign pieces in."""
        self._drop_tail()
        added = pieces(text)
        self._pieces += added
        self._lineage.move()
        return len(added)

    def rollback(self, mark: SessionMark) -> None:
        """Go back to `mark`."""
        del self._pieces[self._lineage.go_back(mark) :]
        self._drop_tail()

    def reseed(self, seed: int) -> None:
        """Drop what was decoded; nothing that is written changes."""
        self._drop_tail()

    @asynccontextmanager
    async def fork(self) -> AsyncIterator["FakeSession"]:
        """Return a copy."""
        twin = type(self)(self._model, self._author, self._prompt, self._signals)
        twin._pieces, twin._computed = list(self._pieces), self._computed
        twin._tail, twin._lineage = self._tail.copy(), self._lineage.fork()
        self._model.open_sessions += 1
        try:
            yield twin
        finally:
            twin._lineage.close()
            self._model.open_sessions -= 1

    def adopt(self, twin: Session) -> None:
        """Take over a fork's pieces, tail, and what counts as computed."""
        if not isinstance(twin, FakeSession) or not twin._lineage.is_fork_of(self._lineage):
            raise ValueError(NO_FORK)
        self._lineage.adopt(twin._lineage)
        self._pieces, twin._pieces = twin._pieces, self._pieces
        self._tail, twin._tail = twin._tail, self._tail
        self._computed, twin._computed = twin._computed, self._computed

    def _answer(self) -> list[str]:
        return pieces(self._model.answers.get(self._prompt, self._model.writes))

    async def _begin_call(self, extra: int = 0) -> None:
        model, meter = self._model, self.meter
        number, model.calls = model.calls, model.calls + 1
        head = len(pieces(self._prompt)) + len(self._pieces) + len(self._tail.tokens)
        fresh = head - self._computed + extra
        meter.attempts += 1
        meter.prompt_tokens += head + extra
        meter.cached_tokens += head + extra - fresh
        meter.first_token_s = 0.0
        model.prefilled += fresh
        self._computed = head
        await anyio.lowlevel.checkpoint()
        if number == model.fails_at:
            raise ModelCallError(f"call {number} of {model.name!r} failed as told")
        if model.is_stuck or number in model.stuck_at:
            await anyio.sleep_forever()

    def _decode(self, builder: ProposalBuilder) -> None:
        answer = self._answer()
        while not builder.is_done:
            place = len(self._pieces) + len(self._tail.tokens)
            self._count_decoded()
            if place >= len(answer):
                self._tail.has_ended = True
                break
            piece = answer[place]
            entropy = self._model.entropies.get(piece, 0.0)
            token = Token(
                place,
                piece,
                logprob=0.0,
                entropy_nats=entropy,
                margin=1.0,
                observed=self._observed_behind(answer[place - 1] if place else self._prompt),
                top=self._top(piece, place),
            )
            self._tail.tokens.append(token)
            self._computed += 1
            builder.feed(token)

    def _observed_behind(self, piece: str) -> Observed | None:
        size = self._model.capabilities.hidden_size
        return {
            one.name: self._model.states.get(piece, [0.0] * (size or 0))
            for one in self._signals.observations
            if one.gate.selects(piece)
        } or None

    def _top(self, piece: str, place: int) -> tuple[Candidate, ...]:
        """Return what it writes at a place, and the likeliest alternatives to it."""
        others = self._model.alternatives.get(piece, {})
        likeliest = sorted(others.items(), key=lambda one: -one[1])
        candidates = [Candidate(place, piece, 0.0)] if piece else []
        candidates += [Candidate(-1, text, logprob) for text, logprob in likeliest]
        return tuple(candidates[: self._signals.top_k])

    def _count_decoded(self) -> None:
        self._model.decoded += 1
        self.meter.completion_tokens += 1

    def _drop_tail(self) -> None:
        self._computed = min(self._computed, len(pieces(self._prompt)) + len(self._pieces))
        self._tail.drop()


class SteeredFakeSession(FakeSession):
    """A live text of a fake model that can be steered."""

    def steer(self, steering: Steering | None) -> None:
        """Take note of it; nothing that is written changes."""
        self._drop_tail()
        self._model.steered.append(steering)
