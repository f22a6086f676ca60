"""What tests of steering vectors share: a generator of steps, collected texts, vector files."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from collab.collecting.cards import TrainedOn
from collab.extraction.cards import VectorCard
from collab.extraction.steps import Step, SteppedText, keep_steps, read_steps
from collab.runs.config import RunConfig
from collab.runs.config_files import parse_config
from collab.seam import Model
from collab.testing import ALL_CAPABILITIES, FakeModel
from collab.usage import Price
from collab.views import ViewOptions
from collab_policies.steering_vectors.extractor import VectorExtractor
from collab_policies.steering_vectors.vector_file import VECTOR_NAME, save_vector

STEPPER = f"{Path(__file__)}:Stepper"


class Stepper(BaseModel):
    """Answers `a + 1 = ` in steps, right for even numbers; checks itself where it is wrong."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fails_at: int = -1
    fingerprint: str = "f"
    blocks: int | None = 4
    tail: str = ""
    price: Price | None = None
    view: ViewOptions = ViewOptions()

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Model]:
        yield FakeModel(
            name="stepper",
            answers={f"{a} + 1 = ": self._answer(a) for a in range(99)},
            states={"\n\n": [1.0, 2.0]},
            fails_at=self.fails_at,
            capabilities=replace(
                ALL_CAPABILITIES,
                has_hidden_states=True,
                can_steer=True,
                hidden_size=2,
                blocks=self.blocks,
                fingerprint=self.fingerprint,
            ),
        )

    def _answer(self, a: int) -> str:
        if a % 2 == 0:
            return f"Let me add.\n\nSo far so good.\n\nThe answer is {a + 1}.{self.tail}"
        return f"Let me add.\n\nWait, let me see.\n\nThe answer is {a}.{self.tail}"


def stepper_config(folder: Path, *, problems: int = 8, **values: object) -> RunConfig:
    """Return a run of the stepper alone."""
    path = folder / "problems.jsonl"
    lines = [
        json.dumps({"id": f"p{a}", "prompt": f"{a} + 1 = ", "answer": str(a + 1)})
        for a in range(1, problems + 1)
    ]
    path.write_text("".join(f"{line}\n" for line in lines))
    defaults: dict[str, object] = {
        "pair": {"generator": {"use": STEPPER}, "mentor": {"use": STEPPER}},
        "policy": "never",
        "unit": "step",
        "problems": path,
        "out": folder / "out",
        "concurrency": 3,
    }
    return parse_config(defaults | values, "test")


def stepped_text(
    folder: Path,
    name: str,
    steps: Sequence[tuple[str, Sequence[float]]],
    *,
    is_right: bool = True,
    again: Sequence[Sequence[str]] = (),
) -> SteppedText:
    """Return a text whose steps, each with its state at layer 1, lie in `folder`."""
    rewritten = [*again, *([()] * (len(steps) - len(again)))]
    listed = [Step(text, tuple(more)) for (text, _), more in zip(steps, rewritten, strict=True)]
    states = np.array([[state] for _, state in steps], np.float32)
    row = keep_steps(folder, name, listed, states)
    outcome = "correct" if is_right else "wrong"
    return read_steps({"id": name, "outcome": outcome, "layers": [1], **row}, folder)


def vector_card(
    fingerprint: str = "f", *, hidden_size: int = 3, scale: float = -1.0, **extractor: object
) -> VectorCard:
    return VectorCard(
        steerer="vector",
        generator=TrainedOn(name="g", fingerprint=fingerprint),
        blocks=4,
        layer=1,
        hidden_size=hidden_size,
        convention="mean(reflection and transition) - mean(execution), applied with -1",
        scale=scale,
        extractor=VectorExtractor.model_validate(extractor).model_dump(mode="json"),
        data={},
        measures={},
        versions={},
    )


def vector_folder(
    folder: Path, vector: Sequence[float] = (1.0, 0.0, -2.0), fingerprint: str = "f"
) -> Path:
    """Write a vector as `collab extract steering` does; return the folder."""
    folder.mkdir(exist_ok=True)
    card = vector_card(fingerprint, hidden_size=len(vector))
    save_vector(folder / VECTOR_NAME, vector, card)
    return folder
