"""What tests of training share: a pair of which each is right where the other is wrong."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, JsonValue

from collab.capabilities import Need
from collab.protocols import Case, VerifierDesk
from collab.runs.config import RunConfig
from collab.runs.config_files import parse_config
from collab.seam import Model
from collab.testing import ALL_CAPABILITIES, FakeModel
from collab.training.cards import Card
from collab.training.examples import Example
from collab.training.trainer import Trained, Trainer
from collab.usage import Price
from collab.views import ViewOptions

GUESSER = f"{Path(__file__)}:Guesser"


class Guesser(BaseModel):
    """Answers `a + 1 = `: right for even numbers if `even`, else for odd ones, else off by one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    even: bool
    always_right: bool = False
    fails_at: int = -1
    fingerprint: str = "f"
    price: Price | None = None
    view: ViewOptions = ViewOptions()

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Model]:
        answers = {
            f"{a} + 1 = ": f"I add both. The answer is {a + 1 + self._error(a)}." for a in range(99)
        }
        yield FakeModel(
            name="even" if self.even else "odd",
            answers=answers,
            fails_at=self.fails_at,
            capabilities=replace(
                ALL_CAPABILITIES,
                has_hidden_states=True,
                hidden_size=2,
                fingerprint=self.fingerprint,
            ),
        )

    def _error(self, number: int) -> int:
        return 0 if self.always_right or (number % 2 == 0) == self.even else 1


class Parity(Trainer):
    """Reads the number in the generator's segment: whoever is right follows from it."""

    layer: int = -1

    @property
    def needs(self) -> Sequence[Need]:
        return (Need("generator", "hidden_states"),)

    @property
    def reading(self) -> dict[str, JsonValue]:
        return {"layer": self.layer}

    async def read(self, case: Case, desk: VerifierDesk) -> Sequence[float]:
        await desk.observe("generator", "", self.layer)
        said = int(case.own.text.strip(" ."))
        # The generator is right for even a and else off by one: it says 3 for 1 + 1.
        return [float(said), 1.0]

    def fit(self, examples: Sequence[Example], *, seed: int) -> Trained:
        return TrainedParity(len(examples))


class TrainedParity:
    """Scores by the second number, which knows nothing: 1 for whatever it sees."""

    def __init__(self, count: int) -> None:
        self.notes: Mapping[str, JsonValue] = {"count": count}

    def scores(self, states: Sequence[Sequence[float]]) -> list[float]:
        return [state[1] * 0.75 for state in states]

    def save(self, folder: Path, card: Card) -> Path:
        path = folder / "verifier.json"
        path.write_text(card.model_dump_json())
        return path


def guesser_config(folder: Path, *, problems: int = 8, **values: object) -> RunConfig:
    """Return a run of both that asks at every word, with segments of two tokens."""
    path = folder / "problems.jsonl"
    lines = [
        json.dumps({"id": f"p{a}", "prompt": f"{a} + 1 = ", "answer": str(a + 1)})
        for a in range(1, problems + 1)
    ]
    path.write_text("".join(f"{line}\n" for line in lines))
    defaults: dict[str, object] = {
        "pair": {
            "generator": {"use": GUESSER, "even": True},
            "mentor": {"use": GUESSER, "even": False},
        },
        "policy": "always",
        "segment_tokens": 2,
        "problems": path,
        "out": folder / "out",
        "concurrency": 3,
    }
    return parse_config(defaults | values, "test")
