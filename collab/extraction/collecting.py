"""Collecting steps: the generator alone works on problems, and its hidden states are kept.

A higher number of texts adds to what was collected before.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import JsonValue

from collab.collecting.alone import alone
from collab.collecting.harness import Collection, collect
from collab.collecting.problems import ensured_places, problems_with_answers
from collab.collecting.reading import CollectedRows, read_collection, telling_damage
from collab.controller import Result
from collab.errors import ConfigError, TrainingError
from collab.extraction.extractor import Extractor
from collab.extraction.recorder import Recorder, Rewriter, recorded_steps
from collab.extraction.steps import SteppedText, keep_steps, read_steps
from collab.recipes import Recipe
from collab.roles import GENERATOR
from collab.runs.assembly import build_recipe
from collab.runs.config import PairConfig, RunConfig
from collab.runs.runner import Report
from collab.seam import Model
from collab.units import StepUnit

TEXTS = 500
"""Right texts, and as many wrong ones.

References:
    SEAL, arXiv:2504.07986: the first 500 of each.
"""

_RIGHT = "correct"
_WRONG = ("wrong", "truncated", "no_answer")


@dataclass(frozen=True, slots=True)
class CollectedSteps:
    """What was collected so far.

    Attributes:
        source: The rows it was read from.
        texts: Right and wrong ones in the order of their problems, at most as many as asked.
    """

    source: CollectedRows
    texts: tuple[SteppedText, ...]


async def collect_steps(
    config: RunConfig,
    extractor: Extractor,
    *,
    texts: int = TEXTS,
    on_progress: Report = lambda _: None,
) -> None:
    """Have the generator alone write until there are enough right and enough wrong texts.

    Problems are begun in their order, so that which texts are the first does not depend on how many
    are in work at a time. Those in work when there are enough are finished and kept.

    Args:
        config: `problems` and `out` have to be given; of the recipe its unit, which has to be a
            step, its lengths, stop strings, phases and sampling are kept, of the pair the
            generator.
        extractor: Says what is read.
        texts: Right ones, and wrong ones.
        on_progress: As for `collab.runs.runner.run`.

    Raises:
        ConfigError: It cannot be begun, or not be gone on with; what was collected is on disk.
        TrainingError: No problem has a right answer that the grader can read.
    """
    source, folder = ensured_places(config, "extraction")
    problems = problems_with_answers(config, source, "so it is unknown which texts are right")
    config = config.model_copy(update={"pair": PairConfig(generator=config.pair.generator)})
    steps = _Steps(config=config, problems=problems, extractor=extractor, texts=texts)
    await collect(steps, folder, on_progress=on_progress)


def read_collected_steps(folder: Path, *, texts: int = TEXTS) -> CollectedSteps:
    """Return what a directory holds, its states still on disk.

    Raises:
        RunDirectoryError: It cannot be read.
        TrainingError: It holds no steps, or states of several generators.
    """
    rows = read_collection(folder, "extract")
    found: list[SteppedText] = []
    for row in rows.finished:
        if row["outcome"] in (_RIGHT, *_WRONG):
            with telling_damage(folder, "extract", row):
                found.append(read_steps(row, folder))
    if not any(text.steps for text in found):
        raise TrainingError(
            f"no step was found in {len(found)} texts{rows.failure}. A step follows a blank line "
            "that the generator wrote, in a token of its own vocabulary that contains it, and "
            "comes before the end of its thinking (texts of one phase: --set "
            f"extractor.thinking_end=null); what was collected is kept in {folder}"
        )
    return CollectedSteps(rows, tuple(_first(found, texts)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Steps(Collection):
    """The steps of right and wrong texts."""

    extractor: Extractor
    texts: int

    @property
    def compared(self) -> dict[str, JsonValue]:
        extractor = type(self.extractor).__name__
        return {"collecting": {"extractor": extractor, **self.extractor.reading}}

    def recipe(self) -> Recipe:
        recipe, extractor = build_recipe(self.config), self.extractor
        unit = recipe.unit
        if not isinstance(unit, StepUnit):
            raise ConfigError(f"extraction reads steps, not units of the kind {unit.kind!r}")
        if extractor.samples and recipe.sampling.is_greedy:
            raise ConfigError(
                "written again without sampling, every step is the same; set "
                "sampling.temperature, such as 0.6, to tell which steps come again"
            )
        recorder = Recorder(
            unit=unit, thinking_end=extractor.thinking_end, is_verifying=extractor.samples > 0
        )
        rewriter = Rewriter(unit=unit, samples=extractor.samples, tokens=extractor.sample_tokens)
        plain = replace(recipe, steering=None)
        return alone(plain, recorder, (rewriter,) if extractor.samples else ())

    def recipe_for(self, recipe: Recipe, models: Mapping[str, Model]) -> Recipe:
        layers = {"layers": self._layers(models[GENERATOR])}
        return replace(recipe, policy=recipe.policy.model_copy(update=layers))

    def kept(
        self, result: Result, models: Mapping[str, Model], folder: Path
    ) -> dict[str, JsonValue]:
        layers: dict[str, JsonValue] = {"layers": [*self._layers(models[GENERATOR])]}
        if result.error is not None:
            return layers
        return layers | keep_steps(folder, result.problem.id, *recorded_steps(result.kept))

    def is_enough(self, outcomes: Mapping[str, int]) -> bool:
        wrong = sum(outcomes[outcome] for outcome in _WRONG)
        return min(outcomes[_RIGHT], wrong) >= self.texts

    def _layers(self, generator: Model) -> tuple[int, ...]:
        blocks = generator.capabilities.blocks
        if blocks is None:
            raise ConfigError(
                f"{generator.name!r} does not say how many blocks it has; `local` does"
            )
        return self.extractor.layers_read(blocks)


def _first(found: Sequence[SteppedText], texts: int) -> Iterator[SteppedText]:
    """Yield the first right and the first wrong texts."""
    taken: Counter[bool] = Counter()
    for text in found:
        taken[text.is_right] += 1
        if taken[text.is_right] <= texts:
            yield text
