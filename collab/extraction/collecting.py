"""Collecting steps: the generator alone works on problems, and its hidden states are kept.

They are kept in a run directory, row by row; the same call goes on where it stopped, and a higher
number of texts adds to them.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import anyio.to_thread
from pydantic import JsonValue

from collab.controller import Controller, Result
from collab.errors import ConfigError, TrainingError
from collab.extraction.extractor import Extractor
from collab.extraction.recorder import Recorder, Rewriter, recorded_steps
from collab.extraction.steps import SteppedText, keep_steps, read_steps
from collab.problems import Problem
from collab.roles import GENERATOR
from collab.runs.assembly import build_recipe, controller_of
from collab.runs.config import PairConfig, RunConfig, installed_versions
from collab.runs.prices import price_record
from collab.runs.rows import Row, ledger_row
from collab.runs.run_files import read_rows
from collab.runs.runner import Progress, graded_row
from collab.runs.store import RunStore
from collab.training.collecting import problems_with_answers
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
        folder: Where it is kept.
        texts: Right and wrong ones in the order of their problems, at most as many as asked.
        generator: Name and fingerprint of the model whose states were read.
        blocks: Its number of blocks.
        hidden_size: Width of its states.
        failed: Problems that failed; they are tried again by the next call.
    """

    folder: Path
    texts: tuple[SteppedText, ...]
    generator: tuple[str, str]
    blocks: int
    hidden_size: int
    failed: int


async def collect_steps(
    config: RunConfig,
    extractor: Extractor,
    *,
    texts: int = TEXTS,
    on_progress: Callable[[Progress], None] = lambda _: None,
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
    out = config.out
    if config.problems is None or out is None:
        missing = "problems" if config.problems is None else "out"
        raise ConfigError(f"extraction needs {missing}; give --{missing}")
    why = "so it is unknown which texts are right"
    problems = problems_with_answers(config, config.problems, why)
    config = config.model_copy(update={"pair": PairConfig(generator=config.pair.generator)})
    collection = await anyio.to_thread.run_sync(_Collection.of, config, extractor)
    compared = config.compared_record() | {
        "collecting": {"extractor": type(extractor).__name__, **extractor.reading}
    }
    with RunStore(out, compared, installed_versions() | price_record(config)) as store:
        queue = _Queue(problems, store.rows, texts)
        on_progress(Progress(None, queue.done, len(problems)))
        if queue.is_over:
            return
        async with collection.controller as controller:
            collection.begin()
            store.begin()
            async with controller.map(iter(queue), concurrency=config.concurrency) as results:
                async for result in results:
                    row = await collection.keep(result, store, queue.places[result.problem.id])
                    queue.note(row)
                    on_progress(Progress(row, queue.done, len(problems)))


def read_collected_steps(folder: Path, *, texts: int = TEXTS) -> CollectedSteps:
    """Return what a directory holds, its states still on disk.

    Raises:
        RunDirectoryError: It cannot be read.
        TrainingError: It holds no steps, or states of several generators.
    """
    rows = sorted(read_rows(folder).values(), key=lambda row: int(str(row.get("place", 0))))
    done = [row for row in rows if row["outcome"] in (_RIGHT, *_WRONG)]
    found = [read_steps(row, folder) for row in done]
    models = {_told(row) for row in done}
    failed = sum(row["outcome"] == "error" for row in rows)
    if len(models) > 1:
        prints = ", ".join(sorted(fingerprint for _, fingerprint, *_ in models))
        raise TrainingError(
            f"{folder} holds states of {len(models)} generators (fingerprints {prints}): its model "
            "was replaced while steps were collected; begin in another directory"
        )
    if not any(text.steps for text in found):
        errors = [row["error"] for row in rows if isinstance(row["error"], dict)]
        first = errors[0] if errors else None
        why = f"; {failed} problems failed, the first: {first['message']}" if first else ""
        raise TrainingError(
            f"no step was found in {len(done)} texts{why}. A step follows a blank line that the "
            "generator wrote, in a token of its own vocabulary that contains it, and comes before "
            "the end of its thinking (texts of one phase: --set extractor.thinking_end=null); "
            f"what was collected is kept in {folder}"
        )
    name, fingerprint, blocks, hidden_size = models.pop()
    return CollectedSteps(
        folder=folder,
        texts=tuple(_first(found, texts)),
        generator=(name, fingerprint),
        blocks=blocks,
        hidden_size=hidden_size,
        failed=failed,
    )


@dataclass(frozen=True, slots=True)
class _Collection:
    """What one call works with."""

    config: RunConfig
    extractor: Extractor
    controller: Controller
    recorder: Recorder

    @classmethod
    def of(cls, config: RunConfig, extractor: Extractor) -> "_Collection":
        recipe = build_recipe(config)
        if not isinstance(recipe.unit, StepUnit):
            raise ConfigError(f"extraction reads steps, not units of the kind {recipe.unit.kind!r}")
        if extractor.samples and recipe.sampling.is_greedy:
            raise ConfigError(
                "written again without sampling, every step is the same; set "
                "sampling.temperature, such as 0.6, to tell which steps come again"
            )
        recorder = Recorder(
            unit=recipe.unit,
            thinking_end=extractor.thinking_end,
            is_verifying=extractor.samples > 0,
        )
        rewriter = Rewriter(
            unit=recipe.unit, samples=extractor.samples, tokens=extractor.sample_tokens
        )
        phases = recipe.phases and recipe.phases.model_copy(update={"answer_by": GENERATOR})
        alone = replace(
            recipe,
            policy=recorder,
            verifiers=(rewriter,) if extractor.samples else (),
            phases=phases,
            steering=None,
        )
        return cls(config, extractor, controller_of(config, alone), recorder)

    def begin(self) -> None:
        """Choose the layers, now that the model is known."""
        blocks = self.controller.models[GENERATOR].capabilities.blocks
        if blocks is None:
            name = self.controller.models[GENERATOR].name
            raise ConfigError(f"{name!r} does not say how many blocks it has; `local` does")
        layers = self.extractor.layers_read(blocks)
        recorder = self.recorder.model_copy(update={"layers": layers})
        self.controller.recipe = replace(self.controller.recipe, policy=recorder)

    async def keep(self, result: Result, store: RunStore, place: int) -> Row:
        """Put a finished problem with its steps on disk."""
        if isinstance(result.error, ConfigError):
            raise result.error  # the others would fail as well
        attempt = store.next_attempt(result.problem.id)
        row = await graded_row(result, self.config, attempt=attempt)
        model = self.controller.models[GENERATOR]
        row["place"] = place
        row["layers"] = list(self.extractor.layers_read(model.capabilities.blocks))
        row["model"] = {
            "name": model.name,
            "fingerprint": model.capabilities.fingerprint,
            "blocks": model.capabilities.blocks,
            "hidden_size": model.capabilities.hidden_size,
        }
        if result.error is None:
            row |= keep_steps(store.folder, result.problem.id, *recorded_steps(result.kept))
        store.add(row, ledger_row(result, attempt=attempt))
        return row


class _Queue:
    """The problems still to be begun, until there are enough texts of both kinds.

    Args:
        problems: All, in their order.
        rows: Those that are finished.
        texts: How many right and how many wrong ones are enough.
    """

    def __init__(self, problems: Sequence[Problem], rows: Mapping[str, Row], texts: int) -> None:
        self.places = {problem.id: place for place, problem in enumerate(problems)}
        self._texts = texts
        self._found: Counter[bool] = Counter()
        finished = {key for key, row in rows.items() if row["outcome"] != "error"}
        self.done = 0
        for key in finished & self.places.keys():
            self.note(rows[key])
        self._pending = [problem for problem in problems if problem.id not in finished]

    @property
    def is_over(self) -> bool:
        """Whether no problem is to be begun."""
        return not self._pending or self._is_enough

    @property
    def _is_enough(self) -> bool:
        return min(self._found[True], self._found[False]) >= self._texts

    def note(self, row: Row) -> None:
        """Count a finished problem."""
        self.done += 1
        if row["outcome"] in (_RIGHT, *_WRONG):
            self._found[row["outcome"] == _RIGHT] += 1

    def __iter__(self) -> Iterator[Problem]:
        """Yield problems as long as they are needed."""
        for problem in self._pending:
            if self._is_enough:
                return
            yield problem


def _first(found: Sequence[SteppedText], texts: int) -> Iterator[SteppedText]:
    """Yield the first right and the first wrong texts."""
    taken: Counter[bool] = Counter()
    for text in found:
        taken[text.is_right] += 1
        if taken[text.is_right] <= texts:
            yield text


def _told(row: Mapping[str, JsonValue]) -> tuple[str, str, int, int]:
    model = row.get("model")
    if not isinstance(model, dict):
        raise TrainingError(f"the problem {row['id']!r} is not of a run of `collab extract`")
    return (
        str(model["name"]),
        str(model["fingerprint"]),
        int(str(model["blocks"])),
        int(str(model["hidden_size"])),
    )
