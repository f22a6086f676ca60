"""The controller: the short way to a pair of models with one recipe."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Self

import anyio
import anyio.lowlevel
from anyio.abc import ObjectReceiveStream, TaskGroup

from collab.concurrency import unwrapped
from collab.controller.delivery import StreamEvent
from collab.controller.pair import Backends, Pair
from collab.controller.request import NO_BUDGET
from collab.controller.result import Result
from collab.errors import ConfigError
from collab.limits import Budget
from collab.messages import Prompt
from collab.problems import Problem
from collab.recipes import Recipe, RecipeFactory, as_recipe
from collab.seam import ConsultationBackend, Model


class Controller:
    """Works on problems: the generator writes, mentors speak where the recipe asks them to.

    Use it as an async context manager: entering connects the models and checks that they can
    do what the recipe needs; leaving releases them. Any number of problems may be in work at a
    time; what becomes of one depends only on the problem, the seed and the models. For several
    recipes on the same models, use `Pair`.

    Args:
        generator: How to reach the model that writes.
        mentor: How to reach the mentor, or mentors by name; `None` for a generator alone.
        judges: How to reach models that only judge, score or reward, by name.
        recipe: How problems are worked on: a recipe, a factory of one, or an installed name.
        seed: Of every random choice, together with the problem's id.
        budget: What one problem may spend.

    Attributes:
        recipe: As given. Problems that begin after it is replaced are worked on by the new one,
            such as one that depends on the connected models.
    """

    def __init__(
        self,
        *,
        generator: ConsultationBackend,
        mentor: Backends = None,
        judges: Mapping[str, ConsultationBackend] | None = None,
        recipe: Recipe | RecipeFactory | str,
        seed: int = 0,
        budget: Budget = NO_BUDGET,
    ) -> None:
        # The caller bounds how many problems are in work.
        self._pair = Pair(
            generator=generator, mentor=mentor, judges=judges or {}, max_requests=None
        )
        self.recipe = as_recipe(recipe)
        self.seed = seed
        self.budget = budget
        self.degradations: tuple[str, ...] = ()

    async def __aenter__(self) -> Self:
        """Connect the models; equal backends share one model. What fails leaves nothing open.

        Raises:
            ModelLoadError: A model cannot be loaded or reached.
            CapabilityError: The models cannot do what the recipe's plug-ins need.
        """
        await self._pair.__aenter__()
        try:
            self.degradations = self._pair.degradations_of(self.recipe)
        except BaseException as error:
            await self._pair.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Release the models.

        Raises:
            ConfigError: Another task than the one that entered leaves, as cells of a notebook do.
        """
        await self._pair.__aexit__(kind, error, traceback)

    @property
    def pair(self) -> Pair:
        """The models: other recipes can be used on them too."""
        return self._pair

    @property
    def models(self) -> Mapping[str, Model]:
        """The connected models, by participant; none outside of the block."""
        return self._pair.models

    @property
    def on_abandoned(self) -> Callable[[Result], None]:
        """Called with each result that no one receives; see `Pair.on_abandoned`."""
        return self._pair.on_abandoned

    @on_abandoned.setter
    def on_abandoned(self, function: Callable[[Result], None]) -> None:
        self._pair.on_abandoned = function

    async def solve(self, problem: Problem | Prompt) -> Result:
        """Answer one problem.

        Never raises for what goes wrong with the problem itself: that is the result's `error`,
        beside the partial answer. See `Result.raise_for_error`.
        """
        return await self._pair.solve(
            problem, recipe=self.recipe, seed=self.seed, budget=self.budget
        )

    def stream(
        self, problem: Problem | Prompt
    ) -> AbstractAsyncContextManager[ObjectReceiveStream[StreamEvent]]:
        """Answer one problem, delivering events as they happen; see `Pair.stream`."""
        return self._pair.stream(problem, recipe=self.recipe, seed=self.seed, budget=self.budget)

    @asynccontextmanager
    async def map(
        self, problems: Iterable[Problem | Prompt], *, concurrency: int = 8
    ) -> AsyncIterator[ObjectReceiveStream[Result]]:
        """Answer many problems, at most `concurrency` at a time, delivering each as it finishes.

        Problems are taken from the iterable only when there is room for them. Leaving
        the block early cancels those in work.
        """
        if concurrency < 1:
            raise ConfigError(f"concurrency is {concurrency}; it must be at least 1")
        source = iter(problems)
        sender, receiver = anyio.create_memory_object_stream[Result](0)

        async def work(workers: TaskGroup) -> None:
            for problem in source:
                result = await self.solve(problem)
                with self._pair.abandoning(result):
                    try:
                        await sender.send(result)
                    except anyio.BrokenResourceError:  # the reader closed its end
                        workers.cancel_scope.cancel()
                        await anyio.lowlevel.checkpoint()

        async def work_on_all() -> None:
            with unwrapped():
                async with sender, anyio.create_task_group() as workers:
                    for _ in range(concurrency):
                        workers.start_soon(work, workers)

        with unwrapped():
            async with receiver, anyio.create_task_group() as group:
                group.start_soon(work_on_all)
                yield receiver
                group.cancel_scope.cancel()
