"""The recorder: a policy that lets the generator write alone and keeps its steps."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from pydantic import Field

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
class OpenedStep:
    """A step that the recorder has seen.

    Attributes:
        unit: Of the draft with the token that opened it.
        states: At the delimiter before that token, by layer.
        text: As far as it is written.
    """

    unit: int
    states: tuple[Sequence[float], ...]
    text: str = ""


Rewritten = dict[int, tuple[str, ...]]
"""What was written instead of a unit's step: what the rewriter hands over."""


def recorded_steps(kept: Mapping[str, object]) -> tuple[list[Step], States]:
    """Return the steps of a result, from its `kept`, and their states `(steps, layers, hidden)`.

    What is blank, between two delimiters, is no step.
    """
    opened = cast(list[OpenedStep], kept.get("policy", []))
    rewritten = cast(Rewritten, kept.get("verifier-0", {}))
    opened = [one for one in opened if one.text.strip()]
    latest = {one.unit: place for place, one in enumerate(opened)}
    steps = [
        Step(one.text, rewritten.get(one.unit, ()) if latest[one.unit] == place else ())
        for place, one in enumerate(opened)
    ]
    return steps, np.array([one.states for one in opened], np.float32)


class Recorder(Policy):
    """Never ask a mentor; keep every step with the state at the delimiter that opens it.

    A step begins after each token with the delimiter in its text, wherever units are cut. Text
    before the generator's own first delimiter is left out, and so is what stands after the end of
    its thinking.

    References:
        SEAL, arXiv:2504.07986: a step is represented by the state at the delimiter that opens it.
    """

    unit: StepUnit = Field(description="What a step is.")
    layers: tuple[int, ...] = Field(default=(), description="Whose states are kept.")
    thinking_end: str | None = Field(description="Steps after this tag are left out.")
    is_verifying: bool = Field(description="Verify each step: `Rewriter` writes it again.")

    @property
    def needs(self) -> Sequence[Need]:
        """Hidden states of the generator."""
        return (Need(GENERATOR, "hidden_states"),)

    @property
    def observations(self) -> Sequence[Observation]:
        """One for each layer, at tokens with the delimiter in them."""
        gate = Gate((self.unit.delimiter,))
        return [Observation(_name(layer), layer, gate) for layer in self.layers]

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return a session that keeps the problem's steps."""
        return _RecorderSession(self)


class _RecorderSession(PolicySession):
    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._names = [_name(layer) for layer in recorder.layers]
        self._steps: list[OpenedStep] = []
        self._is_thinking = True

    def kept(self) -> list[OpenedStep]:
        return self._steps

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
                self._steps.append(OpenedStep(draft.unit, states))
            if self._steps:
                self._steps[-1].text += token.text[:room]
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

    unit: StepUnit
    samples: int
    tokens: int

    @property
    def reads_look_ahead(self) -> bool:
        """Nothing is compared with it."""
        return False

    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        """Return a session that keeps what is written."""
        return _RewriterSession(self, rng)


class _RewriterSession(VerifierSession):
    def __init__(self, rewriter: Rewriter, rng: random.Random) -> None:
        self._rewriter = rewriter
        self._rng = rng
        self._rewritten: Rewritten = {}

    async def verify(self, case: Case, desk: VerifierDesk) -> Verdict | Abstain:
        here = Proposal(GENERATOR, (), "length")
        again: list[str] = []
        for _ in range(self._rewriter.samples):
            written = await desk.roll_out(
                GENERATOR, here, self._rewriter.tokens, seed=self._rng.getrandbits(63)
            )
            again.append(self._first_step(written))
        self._rewritten[case.draft.unit] = tuple(again)
        return Verdict(GENERATOR, why="written again")

    def kept(self) -> Rewritten:
        return self._rewritten

    def _first_step(self, written: Proposal) -> str:
        texts = [token.text for token in written.tokens]
        return "".join(texts[: first_unit_end(texts, self._rewriter.unit)])


def _name(layer: int) -> str:
    return f"step.{layer}"
