"""The harness: works through the problems of a collection, and goes on where it stopped."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio.to_thread
from pydantic import JsonValue

from collab.capabilities import Capabilities
from collab.controller import Controller, Result
from collab.errors import ConfigError
from collab.problems import Problem
from collab.recipes import Recipe
from collab.runs.assembly import controller_of
from collab.runs.config import RunConfig, installed_versions
from collab.runs.prices import price_record
from collab.runs.rows import Row, ledger_row
from collab.runs.runner import Progress, Report, graded_row, note_abandoned
from collab.runs.store import RunStore
from collab.seam import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """Base of collections: what comes of each problem when a recipe works on it.

    Attributes:
        config: The pair, the grader, the concurrency.
        problems: All, in their order.
        needs_models: Connect the models even where every problem is finished.
    """

    config: RunConfig
    problems: Sequence[Problem]
    needs_models: bool = False

    @property
    def compared(self) -> dict[str, JsonValue]:
        """What has to be equal to go on, beside the configuration."""
        return {}

    def recipe(self) -> Recipe:
        """Return how problems are worked on; may be slow, as plug-ins are imported.

        Raises:
            ConfigError: It fits no configuration of this kind.
        """
        raise NotImplementedError

    def recipe_for(self, recipe: Recipe, models: Mapping[str, Model]) -> Recipe:
        """Return `recipe` with what depends on the connected models filled in.

        Raises:
            ConfigError: It does not fit them.
        """
        return recipe

    def kept(
        self, result: Result, models: Mapping[str, Model], folder: Path
    ) -> dict[str, JsonValue]:
        """Return what the row of a finished problem holds beside the usual; write its states.

        Raises:
            RunDirectoryError: They cannot be written.
        """
        raise NotImplementedError

    def is_enough(self, outcomes: Mapping[str, int]) -> bool:
        """Whether no further problem is to be begun, by how many had which outcome."""
        return False


async def collect(
    collection: Collection, folder: Path, *, on_progress: Report
) -> Mapping[str, Capabilities]:
    """Work on every problem that is not finished or that failed; keep what comes of each.

    Problems are begun in their order. What comes of one is on disk before `on_progress` is called.
    Where enough is collected, those in work are finished and kept.

    Args:
        collection: What is collected.
        folder: The run directory.
        on_progress: As for `collab.runs.runner.run`.

    Returns:
        What the models can do, by participant; empty if they did not have to be connected.

    Raises:
        ConfigError: It cannot be begun, or not be gone on with; what was collected is on disk.
    """
    config = collection.config
    controller = await anyio.to_thread.run_sync(_controller_of, collection)
    compared = config.compared_record() | collection.compared
    with RunStore(folder, compared, installed_versions() | price_record(config)) as store:
        queue = _Queue(collection, store.rows)
        on_progress(Progress(None, queue.done, len(collection.problems)))
        if queue.is_over and not collection.needs_models:
            return {}
        async with controller:
            controller.recipe = collection.recipe_for(controller.recipe, controller.models)
            store.begin()
            keeper = _Keeper(collection, controller.models, store)
            controller.on_abandoned = partial(note_abandoned, store)
            async with controller.map(iter(queue), concurrency=config.concurrency) as results:
                async for result in results:
                    row = await keeper.keep(result, queue.places[result.problem.id])
                    queue.note(row)
                    on_progress(Progress(row, queue.done, len(collection.problems)))
            return {role: model.capabilities for role, model in controller.models.items()}


def _controller_of(collection: Collection) -> Controller:
    return controller_of(collection.config, collection.recipe())


@dataclass(frozen=True, slots=True)
class _Keeper:
    """Puts finished problems on disk."""

    collection: Collection
    models: Mapping[str, Model]
    store: RunStore

    async def keep(self, result: Result, place: int) -> Row:
        if isinstance(result.error, ConfigError):
            raise result.error  # the others would fail as well
        attempt = self.store.next_attempt(result.problem.id)
        row = await graded_row(result, self.collection.config, attempt=attempt)
        row["place"] = place
        row["models"] = {role: _record(model) for role, model in self.models.items()}
        row |= self.collection.kept(result, self.models, self.store.folder)
        self.store.add(row, ledger_row(result, attempt=attempt))
        return row


class _Queue:
    """The problems still to be begun, as long as they are needed."""

    def __init__(self, collection: Collection, rows: Mapping[str, Row]) -> None:
        self.places = {problem.id: place for place, problem in enumerate(collection.problems)}
        self.done = 0
        self._collection = collection
        self._outcomes: Counter[str] = Counter()
        finished = {key for key, row in rows.items() if row["outcome"] != "error"}
        for key in finished & self.places.keys():
            self.note(rows[key])
        self._pending = [one for one in collection.problems if one.id not in finished]

    @property
    def is_over(self) -> bool:
        """Whether no problem is to be begun."""
        return not self._pending or self._collection.is_enough(self._outcomes)

    def note(self, row: Row) -> None:
        """Count a finished problem."""
        self.done += 1
        self._outcomes[str(row["outcome"])] += 1

    def __iter__(self) -> Iterator[Problem]:
        for problem in self._pending:
            if self._collection.is_enough(self._outcomes):
                return
            yield problem


def _record(model: Model) -> dict[str, JsonValue]:
    return {
        "name": model.name,
        "fingerprint": model.capabilities.fingerprint,
        "blocks": model.capabilities.blocks,
        "hidden_size": model.capabilities.hidden_size,
    }
