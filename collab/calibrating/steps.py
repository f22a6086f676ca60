"""Signals of steps, as a routing policy sees them, and how they lie on disk."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from collab.decisions import Mark
from collab.durable_files import make_folder, replace_file
from collab.errors import TrainingError
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


def keep_text(folder: Path, problem: str, steps: Sequence[SignalledStep]) -> dict[str, JsonValue]:
    """Write the states of a text's steps; return what its row says of the steps.

    Raises:
        OSError: They cannot be written.
    """
    names = sorted({name for step in steps for name in (*step.opening, *step.closing)})
    listed: list[JsonValue] = [_as_json(step) for step in steps]
    if not names:
        return {"steps": listed, "states": None}
    arrays = {
        f"{side}/{place}/{name}": np.asarray(states[name], "<f4")
        for place, step in enumerate(steps)
        for side, states in (("opening", step.opening), ("closing", step.closing))
        for name in names
        if name in states
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # names are arrays, no options
    content = buffer.getvalue()
    file = f"states/{hashlib.sha256(problem.encode()).hexdigest()[:32]}.npz"
    make_folder(folder / "states")
    replace_file(folder / file, content)
    digest = hashlib.sha256(content).hexdigest()
    return {"steps": listed, "states": {"file": file, "sha256": digest}}


def read_text(row: Mapping[str, JsonValue], folder: Path) -> SignalledText:
    """Return the text that a row of results tells of.

    Raises:
        TrainingError: The row is of another kind of run, or its states are not there any more.
    """
    problem = str(row.get("id"))
    try:
        arrays = _arrays(row["states"], folder)
        listed = row["steps"]
        if not isinstance(listed, list):
            raise ValueError("no list of steps")  # noqa: TRY301, TRY004  # told below
        steps = tuple(_step(one, place, arrays) for place, one in enumerate(listed))
    except (KeyError, ValueError, OSError) as error:
        raise TrainingError(
            f"{folder} is not a directory of `collab calibrate`, or is damaged at the problem "
            f"{problem!r}: {error}"
        ) from error
    outcome = row.get("outcome")
    is_right = None if outcome in ("ungraded", "ungradable") else outcome == "correct"
    return SignalledText(problem, is_right, steps)


def _as_json(step: SignalledStep) -> JsonValue:
    return {
        "text": step.text,
        "entropies": list(step.entropies),
        "logprobs": list(step.logprobs),
        "is_last": step.is_last,
        "is_bad": step.is_bad,
    }


def _arrays(states: JsonValue, folder: Path) -> dict[str, NDArray[np.float32]]:
    if not isinstance(states, dict):
        return {}
    content = (folder / str(states["file"])).read_bytes()
    if hashlib.sha256(content).hexdigest() != states["sha256"]:
        raise ValueError(f"{states['file']} does not hold the states that were written there")
    with np.load(io.BytesIO(content), allow_pickle=False) as found:
        return {name: found[name] for name in found.files}


def _step(found: JsonValue, place: int, arrays: Mapping[str, NDArray[np.float32]]) -> SignalledStep:
    if not isinstance(found, dict):
        raise ValueError(f"not a step: {found!r}")  # noqa: TRY004  # told as damage
    sides: dict[str, dict[str, Sequence[float]]] = {"opening": {}, "closing": {}}
    for side, states in sides.items():
        prefix = f"{side}/{place}/"
        states |= {
            name.removeprefix(prefix): array.tolist()
            for name, array in arrays.items()
            if name.startswith(prefix)
        }
    is_bad = found["is_bad"]
    return SignalledStep(
        text=str(found["text"]),
        entropies=_numbers(found["entropies"]),
        logprobs=_numbers(found["logprobs"]),
        opening=sides["opening"],
        closing=sides["closing"],
        is_last=bool(found["is_last"]),
        is_bad=None if is_bad is None else bool(is_bad),
    )


def _numbers(found: JsonValue) -> tuple[float | None, ...]:
    if not isinstance(found, list):
        raise ValueError(f"expected a list, found {found!r}")  # noqa: TRY004  # told as damage
    return tuple(None if one is None else float(str(one)) for one in found)
