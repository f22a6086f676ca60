"""Signals of steps, as a routing policy sees them, and how they lie on disk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from pydantic import JsonValue, TypeAdapter

from collab.collecting.states import Array, keep_states, read_states
from collab.decisions import Mark
from collab.proposals import Proposal, Token
from collab.protocols import Draft
from collab.roles import GENERATOR

States = Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True)
class SignalledStep:
    """One step that the generator wrote alone.

    Attributes:
        text: What it says.
        entropies: Of its tokens, in nats; `None` where the model gave none.
        logprobs: Of its tokens.
        opening: States that came with its first token, by observation.
        closing: States that came with the token after it.
        is_last: Whether the text ends with it.
        is_bad: Whether it is a bad one, if somebody has judged it.
    """

    text: str
    entropies: tuple[float | None, ...]
    logprobs: tuple[float | None, ...]
    opening: States = field(default_factory=dict, repr=False)
    closing: States = field(default_factory=dict, repr=False)
    is_last: bool = False
    is_bad: bool | None = None

    @property
    def tokens(self) -> int:
        """Its length."""
        return len(self.entropies)

    def draft(self, unit: int, answer: str) -> Draft:
        """Return the draft that a policy would be asked about after it."""
        pairs = zip(self.entropies, self.logprobs, strict=True)
        tokens = tuple(
            Token(
                -1,
                self.text if place == 0 else "",
                logprob=logprob,
                entropy_nats=entropy,
                observed=self.opening if place == 0 else None,
            )
            for place, (entropy, logprob) in enumerate(pairs)
        )
        beyond = (Token(-1, "", observed=self.closing),) if self.closing else ()
        proposal = Proposal(GENERATOR, tokens, "unit")
        return Draft(proposal, unit, Mark(unit), answer, self.is_last, beyond=beyond)


@dataclass(frozen=True, slots=True)
class SignalledText:
    """The steps of one problem.

    Attributes:
        problem: Whose.
        is_right: Whether the text came to the right answer; `None` if that is not known.
        steps: In their order.
    """

    problem: str
    is_right: bool | None
    steps: tuple[SignalledStep, ...]


_Steps = TypeAdapter(tuple[SignalledStep, ...])
_SIDES = "opening", "closing"


def keep_text(folder: Path, problem: str, steps: Sequence[SignalledStep]) -> dict[str, JsonValue]:
    """Write the states of a text's steps; return what its row says of the steps.

    Raises:
        RunDirectoryError: They cannot be written.
    """
    arrays = {
        f"{side}/{place}/{name}": np.asarray(state, np.float32)
        for place, step in enumerate(steps)
        for side, states in zip(_SIDES, (step.opening, step.closing), strict=True)
        for name, state in states.items()
    }
    without_states = _Steps.dump_python(tuple(steps), mode="json", exclude={"__all__": set(_SIDES)})
    return {"steps": without_states, **keep_states(folder, problem, arrays)}


def read_text(row: Mapping[str, JsonValue], folder: Path) -> SignalledText:
    """Return the text that a row of results tells of.

    Raises:
        TrainingError: Its states are not there any more.
        KeyError: The row is of another kind of run.
        ValueError: It is damaged.
    """
    steps = _Steps.validate_python(row["steps"])
    arrays = read_states(row, folder)
    outcome = row["outcome"]
    return SignalledText(
        problem=str(row["id"]),
        is_right=None if outcome in ("ungraded", "ungradable") else outcome == "correct",
        steps=tuple(
            replace(
                step,
                opening=_with_prefix(arrays, f"opening/{place}/"),
                closing=_with_prefix(arrays, f"closing/{place}/"),
            )
            for place, step in enumerate(steps)
        ),
    )


def _with_prefix(arrays: Mapping[str, Array], prefix: str) -> States:
    return {
        name.removeprefix(prefix): array.tolist()
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
