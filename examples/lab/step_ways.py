"""The ways by steps that the study compares, each as the configuration of an ordinary run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from collab.roles import GENERATOR, MENTOR
from collab.runs.config import RunConfig
from collab.runs.config_files import PAIRS, parse_config

STEP_TOKENS, THINKING_TOKENS = 64, 240
ONE_PHASE = {
    "thinking_end": None,
    "thinking_tokens": THINKING_TOKENS,
    "step_tokens": STEP_TOKENS,
    "repeat_limit": 0,
}
ORACLE = str(Path(__file__).with_name("step_oracle.py")) + ":StepOracle"


@dataclass(frozen=True, slots=True)
class Way:
    """One recipe with its options.

    Attributes:
        name: What it is called in the tables.
        recipe: A named recipe; empty for a model alone or the oracle.
        options: Of the recipe, beside those of texts of one phase.
        is_calibrated: Whether its thresholds are set for the study's target.
        alone: The model that writes alone, if one does.
        calibrator: Options of the calibration.
    """

    name: str
    recipe: str = ""
    options: Mapping[str, object] = field(default_factory=dict, hash=False)
    is_calibrated: bool = False
    alone: str = ""
    calibrator: Mapping[str, object] = field(default_factory=dict, hash=False)


GENERATOR_ALONE = Way("generator alone", alone=GENERATOR)
MENTOR_ALONE = Way("mentor alone", alone=MENTOR)
THE_ORACLE = Way("oracle: wrong steps redone")
CALIBRATED = (
    Way("glimprouter", "glimprouter", is_calibrated=True),
    Way("tensor-rank", "tensor-rank", is_calibrated=True),
    Way("rankguide, hard, after", "rankguide", is_calibrated=True),
    Way("rankguide, soft, after", "rankguide", {"rule": "soft"}, is_calibrated=True),
    Way("rankguide, hard, before", "rankguide", {"reading": "before"}, is_calibrated=True),
    Way("rankguide, hard, after, mean entropy", "rankguide", {"entropy": "mean"}, True),
    # The same without its rank: what the rank has to add to.
    Way("mean entropy alone", "rankguide", {"entropy": "mean"}, True, "", {"rank_part": 0.0}),
)
PUBLISHED = (
    Way("specreason, greedy", "specreason"),
    Way("specreason, expected", "specreason", {"scoring": "expected"}),
    Way("trigreason", "trigreason"),
    Way("speculative-thinking", "speculative-thinking"),
    Way("entropy-adaptive", "entropy-adaptive"),
    Way("steer", "steer", {"warm_up": 3}),
    Way("string-loop", "string-loop"),
)


@dataclass(frozen=True, slots=True)
class StepSetting:
    """What all ways have in common.

    Attributes:
        generator: The generator's folder or name.
        problems: The problems file.
        limit: Only the first so many; `None` for all.
        out: The folder of all run directories of this generator.
        concurrency: Problems in work at a time; changes no result.
    """

    generator: str
    problems: Path
    limit: int | None
    out: Path
    concurrency: int

    @property
    def pair(self) -> dict[str, dict[str, object]]:
        """Both backends."""
        lab = PAIRS["lab"]
        return {GENERATOR: lab[GENERATOR] | {"model": self.generator}, MENTOR: lab[MENTOR]}

    def config(self, way: Way, calibrated: Mapping[str, object]) -> RunConfig:
        """Return a way as a run."""
        phase: Mapping[str, object]
        length: Mapping[str, object]
        values: dict[str, object] = {
            "pair": self.pair,
            "problems": self.problems,
            "limit": self.limit,
            "concurrency": self.concurrency,
            "out": self.out / folder_of(way.name),
        }
        if way.recipe:
            whole = {"max_answer_tokens": THINKING_TOKENS}
            phase, length = ONE_PHASE, {}
            if way.recipe == "entropy-adaptive":
                phase, length = {}, whole
            elif way.recipe == "seal":
                phase, length = {"thinking_end": None, "step_tokens": STEP_TOKENS}, whole
            options = {**phase, **length, **way.options, **calibrated}
            values["recipe"] = {"use": way.recipe, **options}
        else:
            step = {"kind": "step", "max_tokens": STEP_TOKENS}
            values |= {"unit": step, "max_answer_tokens": THINKING_TOKENS}
            values |= {"policy": {"use": "never"}} if way.alone else _oracle(step)
        if way.alone:
            values["pair"] = {GENERATOR: self.pair[way.alone]}
        return parse_config(values, f"study, {way.name}")

    def random_steps(self, rate: float) -> Way:
        """Return the control at a rate."""
        return Way(f"random-steps-{rate:g}", "random-steps", {"rate": rate})


def steered(vector: Path) -> tuple[Way, ...]:
    """Return the ways that a vector of `collab extract steering` adds."""
    path = str(vector)
    return (
        Way("seal", "seal", {"path": path}),
        Way("seal, half", "seal", {"path": path, "scale": -0.5}),
        Way(
            "rankguide, hard, after, steered by half",
            "rankguide",
            {"vector": path, "vector_scale": -0.5},
            is_calibrated=True,
        ),
    )


def folder_of(name: str) -> str:
    """Return the name of a way's run directory."""
    return name.replace(", ", "-").replace(": ", "-").replace(" ", "-")


def _oracle(step: Mapping[str, object]) -> dict[str, object]:
    return {"policy": {"use": ORACLE}, "segment_unit": step, "segment_tokens": STEP_TOKENS}
