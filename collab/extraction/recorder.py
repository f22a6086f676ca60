"""The recorder: a policy that lets the generator write alone and keeps its steps."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from pydantic import Field, PrivateAttr

from collab.capabilities import Need
from collab.decisions import Continue, Decision, Verify
from collab.extraction.steps import States, Step
from collab.problems import Problem
from collab.proposals import Proposal, Token
from collab.protocols import (
    Case,
    Draft,
    Policy,
    PolicySession,
    Verifier,
    VerifierDesk,
    VerifierSession,
)
from collab.roles import GENERATOR
from collab.signals import Gate, Observation
from collab.units import StepUnit, first_unit_end
from collab.verdicts import Abstain, Verdict


@dataclass(slots=True)
class Recorded:
    """What is known of one problem's steps while it is worked on.

    Attributes:
        texts: Of each step.
        states: At the delimiter that opens it, by layer.
        again: What was written when the generator went on anew from there.
    """

    texts: list[str] = field(default_factory=list)
    states: list[tuple[Sequence[float], ...]] = field(default_factory=list)
    again: list[tuple[str, ...]] = field(default_factory=list)

    def open(self, states: tuple[Sequence[float], ...]) -> None:
        """Begin a step; one that has stayed blank, between two delimiters, is forgotten."""
        self._drop_blank()
        self.texts.append("")
        self.states.append(states)
        self.again.append(())

    def finished(self) -> tuple[list[Step], States]:
        """Return its steps, and their states `(steps, layers, hidden)`."""
        self._drop_blank()
        steps = [Step(text, again) for text, again in zip(self.texts, self.again, strict=True)]
        return steps, np.array(self.states, np.float32)

    def _drop_blank(self) -> None:
        if self.texts and not self.texts[-1].strip():
            del self.texts[-1], self.states[-1], self.again[-1]


class Recorder(Policy):
    """Never ask a mentor; keep every step with the state at the delimiter that opens it.

    A step begins after each token with the delimiter in its text, wherever units are cut. Text
    before the generator's own first delimiter is left out, and so is what stands after the end of
    its thinking.

    References:
        SEAL, arXiv:2504.07986: a step is represented by the state at the delimiter that opens it.
    """

    unit: StepUnit = Field(description="What a step is.")
    thinking_end: str | None = Field(description="Steps after this tag are left out.")
    is_verifying: bool = Field(description="Verify each step: `Rewriter` writes it again.")
    _layers: tuple[int, ...] = PrivateAttr(default=())
    _kept: dict[str, Recorded] = PrivateAttr(default_factory=dict)

    @property
    def needs(self) -> Sequence[Need]:
        """Hidden states of the generator."""
        return (Need(GENERATOR, "hidden_states"),)

    @property
    def observations(self) -> Sequence[Observation]:
        """One for each layer, at tokens with the delimiter in them."""
        gate = Gate((self.unit.delimiter,))
        return [Observation(_name(layer), layer, gate) for layer in self._layers]

    def read(self, layers: tuple[int, ...]) -> None:
        """Read the states of these layers from now on: known once the model is connected."""
        self._layers = layers

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return a session that keeps the problem's steps until they are taken."""
        recorded = self._kept[problem.id] = Recorded()
        return _RecorderSession(self, self._layers, recorded)

    def recorded(self, problem: str) -> Recorded:
        """Return what is known of a problem's steps."""
        return self._kept[problem]

    def take(self, problem: str) -> Recorded:
        """Return a problem's steps, once; none if it was never begun."""
        return self._kept.pop(problem, Recorded())


class _RecorderSession(PolicySession):
    def __init__(self, recorder: Recorder, layers: Sequence[int], recorded: Recorded) -> None:
        self._recorder = recorder
        self._names = [_name(layer) for layer in layers]
        self._recorded = recorded
        self._is_thinking = True
        self._is_open = False

    def decide(self, draft: Draft) -> Decision:
        if not self._is_thinking:
            return Continue()
        room = len(self._thought(draft))
        is_new = bool(room and draft.answer and self._states(draft.tokens[0]))
        for place, token in enumerate(draft.tokens):
            if room <= 0:
                break
            states = self._states(token)
            if states and (draft.answer or place):
                self._recorded.open(states)
                self._is_open = True
            if self._is_open:
                self._recorded.texts[-1] += token.text[:room]
            room -= len(token.text)
        return Verify() if is_new and self._recorder.is_verifying else Continue()

    def _thought(self, draft: Draft) -> str:
        """Return the part of a draft before the end of thinking."""
        tag = self._recorder.thinking_end
        if tag is None:
            return draft.text
        before = draft.answer[-len(tag) + 1 :] if len(tag) > 1 else ""
        place = (before + draft.text).find(tag)
        if place < 0:
            return draft.text
        self._is_thinking = False
        return draft.text[: max(place - len(before), 0)]

    def _states(self, token: Token) -> tuple[Sequence[float], ...]:
        """Return the states from which a token was drawn, if a delimiter stands before it."""
        observed = token.observed or {}
        found = tuple(observed[name] for name in self._names if name in observed)
        return found if len(found) == len(self._names) else ()


class Rewriter(Verifier):
    """Have the generator write each step again from its opening delimiter; the draft stands."""

    recorder: Recorder
    samples: int
    tokens: int

    @property
    def reads_look_ahead(self) -> bool:
        """Nothing is compared with it."""
        return False

    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        """Return a session that adds to what the recorder keeps."""
        return _RewriterSession(self, self.recorder.recorded(problem.id), rng)


class _RewriterSession(VerifierSession):
    def __init__(self, rewriter: Rewriter, recorded: Recorded, rng: random.Random) -> None:
        self._rewriter = rewriter
        self._recorded = recorded
        self._rng = rng

    async def verify(self, case: Case, desk: VerifierDesk) -> Verdict | Abstain:
        here = Proposal(GENERATOR, (), "length")
        again: list[str] = []
        for _ in range(self._rewriter.samples):
            written = await desk.roll_out(
                GENERATOR, here, self._rewriter.tokens, seed=self._rng.getrandbits(63)
            )
            again.append(self._first_step(written))
        self._recorded.again[-1] = tuple(again)
        return Verdict(GENERATOR, why="written again")

    def _first_step(self, written: Proposal) -> str:
        texts = [token.text for token in written.tokens]
        return "".join(texts[: first_unit_end(texts, self._rewriter.recorder.unit)])


def _name(layer: int) -> str:
    return f"step.{layer}"
