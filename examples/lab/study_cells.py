"""The cells of the study: one way to use the pair each, as the configuration of an ordinary run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from collab.roles import GENERATOR, MENTOR
from collab.runs.config import RunConfig
from collab.runs.config_files import PAIRS, parse_config
from collab_policies.mentorcollab_free import MentorCollabFree

RATES = (0.05, 0.1, 0.25, 0.5, 1.0)
SEGMENT_TOKENS = 16
SEGMENTS = (4, 8, 16, 32)
SEGMENT_RATE = 0.25
ALWAYS_MENTOR = "always-mentor"
VERIFIERS: Mapping[str, Mapping[str, object]] = {
    ALWAYS_MENTOR: {"use": ALWAYS_MENTOR},
    "always-generator": {"use": "always-generator"},
    "coin": {"use": "coin"},
    "generator-logprob": {"use": "generator-logprob"},
    "mentor-logprob": {"use": "mentor-logprob"},
    "self-judge": {"use": "self-judge"},
    "self-judge-both": {"use": "self-judge", "order": "both"},
    "self-judge-likeliest": {"use": "self-judge", "reading": "likeliest"},
    "mentor-judge": {"use": "mentor-judge"},
    "oracle": {"use": "oracle"},
}
"""What stands behind `agreement`, by name. `mlp` joins them where its weights are given."""

SEGMENT_VERIFIERS = (ALWAYS_MENTOR, "mentor-logprob", "self-judge", "oracle")


@dataclass(frozen=True, slots=True)
class Cell:
    """One verifier at one rate, or one model alone.

    Attributes:
        verifier: A name of the study, or empty for a model alone.
        rate: Probability of asking, per word.
        segment_tokens: Length of both segments.
        alone: The model that writes alone, `generator` or `mentor`, if one does.
    """

    verifier: str = ""
    rate: float = 0.0
    segment_tokens: int = SEGMENT_TOKENS
    alone: str = ""

    @property
    def folder(self) -> str:
        """The name of its run directory, which tells it from every other cell."""
        if self.alone:
            return f"{self.alone}-alone"
        return f"{self.verifier}-rate-{self.rate:g}-segment-{self.segment_tokens}"


@dataclass(frozen=True, slots=True)
class Setting:
    """What all cells have in common.

    Attributes:
        problems: The problems file.
        limit: Only the first so many; `None` for all.
        out: The folder of all run directories.
        concurrency: Problems in work at a time; changes no result.
        generator: The generator's folder or name.
        mentor: The mentor's.
        mlp: A folder of `collab train verifier`, if there is one.
    """

    problems: Path
    limit: int | None
    out: Path
    concurrency: int
    generator: str
    mentor: str
    mlp: Path | None = None

    @property
    def verifiers(self) -> dict[str, Mapping[str, object]]:
        """All verifiers that can be studied."""
        mlp = {"mlp": {"use": "mlp", "path": str(self.mlp)}} if self.mlp else {}
        return {**VERIFIERS, **mlp}

    def config(self, cell: Cell) -> RunConfig:
        """Return a cell as a run; all but the verifier is as in the recipe `mentorcollab-free`."""
        lab = PAIRS["lab"]
        generator = lab[GENERATOR] | {"model": self.generator}
        mentor = lab[MENTOR] | {"model": self.mentor}
        values: dict[str, object]
        if cell.alone:
            writer = generator if cell.alone == GENERATOR else mentor
            values = {"pair": {GENERATOR: writer}, "policy": "never"}
        else:
            values = {
                "pair": {GENERATOR: generator, MENTOR: mentor},
                "policy": {"use": "random", "rate": cell.rate},
                "verifiers": ["agreement", self.verifiers[cell.verifier]],
            }
        published = MentorCollabFree().recipe()
        values |= {
            "segment_tokens": cell.segment_tokens,
            "max_answer_tokens": published.max_answer_tokens,
            "repeat_limit": published.repeat_limit,
            "stop_strings": list(published.stop_strings),
            "problems": self.problems,
            "limit": self.limit,
            "concurrency": self.concurrency,
            "out": self.out / cell.folder,
        }
        return parse_config(values, f"study, {cell.folder}")


def rate_cells(verifiers: Sequence[str], rates: Sequence[float]) -> list[Cell]:
    """Return every verifier at every rate, in order."""
    return [Cell(verifier, rate) for verifier in verifiers for rate in rates]


def segment_cells(verifiers: Sequence[str]) -> list[Cell]:
    """Return the main verifiers among `verifiers` at every segment length."""
    chosen = [one for one in SEGMENT_VERIFIERS if one in verifiers]
    return [Cell(one, SEGMENT_RATE, length) for one in chosen for length in SEGMENTS]
