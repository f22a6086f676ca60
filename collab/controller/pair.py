"""A pair: connected models that work on many requests at a time, each with its own recipe."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from types import MappingProxyType, TracebackType
from typing import Self

import anyio
from anyio.abc import ObjectReceiveStream

from collab.capabilities import inexact_modes, match_needs
from collab.controller.admission import Admission
from collab.controller.answering import Answering
from collab.controller.committer import emit_nothing
from collab.controller.connecting import ConnectedModels, Connections
from collab.controller.delivery import StreamEvent, abandoning, streamed
from collab.controller.request import NO_BUDGET, Request
from collab.controller.result import Result
from collab.errors import ConfigError
from collab.limits import Budget
from collab.messages import Prompt
from collab.problems import Problem
from collab.proposals import Sampling
from collab.recipes import Recipe, RecipeFactory, as_recipe
from collab.roles import GENERATOR, MENTOR
from collab.seam import ConsultationBackend, Model
from collab.verdicts import NOBODY

Backends = ConsultationBackend | Mapping[str, ConsultationBackend] | None


class Pair:
    """Connected models: a generator, mentors, and judges, which never write.

    Use it as an async context manager: entering connects the models, leaving releases them. Any
    number of requests may be made at the same time; what becomes of one depends only on its
    problem, recipe, seed and the models::

        async with Pair(generator=small, mentor=large) as pair:
            result = await pair.solve("What is 8 - 2?", recipe="mentorcollab-free")

    Args:
        generator: How to reach the model that writes.
        mentor: How to reach the mentor, or mentors by name; `None` for a generator alone.
        judges: How to reach models that only judge, score or reward, by name.
        max_requests: Requests in work at a time; `None` for any number.
        max_waiting: Requests that may wait for their turn; `None` for any number. One more is
            refused with `OverloadedError`.

    Attributes:
        on_abandoned: Called with each result that no one receives, so that its paid calls can be
            kept: of a problem cancelled in the middle, with its partial text and the reason
            `cancelled`, or of one that was finished just before. Must not wait for anything.
    """

    def __init__(
        self,
        *,
        generator: ConsultationBackend,
        mentor: Backends = None,
        judges: Mapping[str, ConsultationBackend] = MappingProxyType({}),
        max_requests: int | None = 64,
        max_waiting: int | None = None,
    ) -> None:
        self.on_abandoned: Callable[[Result], None] = _drop
        mentors = mentor if isinstance(mentor, Mapping) else {MENTOR: mentor} if mentor else {}
        self._backends = {GENERATOR: generator, **mentors, **judges}
        _ensure_names(mentors, judges)
        self._judging = frozenset(judges)
        self._admission = Admission(max_requests, max_waiting)
        self._connected: ConnectedModels | None = None
        self._stack = AsyncExitStack()
        self._entered_by = 0

    async def __aenter__(self) -> Self:
        """Connect the models; equal backends share one model. What fails leaves nothing open.

        Raises:
            ModelLoadError: A model cannot be loaded or reached.
        """
        if self._connected is not None:
            raise ConfigError("the models are connected already; use one block at a time")
        async with AsyncExitStack() as stack:
            connections, models = Connections(stack), dict[str, Model]()
            for role, backend in self._backends.items():
                models[role] = await connections.connect(role, backend)
            self._stack = stack.pop_all()
        self._connected = ConnectedModels(self._backends, models, self._judging)
        self._entered_by = anyio.get_current_task().id
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
        if anyio.get_current_task().id != self._entered_by:
            raise ConfigError(
                "the models are left in another task than the one that connected them; in a "
                "notebook use `collab.BlockingController`, or one `async with` block in one cell"
            )
        self._connected = None
        await self._stack.__aexit__(kind, error, traceback)

    @property
    def models(self) -> Mapping[str, Model]:
        """The connected models, by participant; none outside of the block."""
        return MappingProxyType(dict(self._connected.models) if self._connected else {})

    def degradations_of(self, recipe: Recipe | RecipeFactory | str) -> tuple[str, ...]:
        """Return what these models do otherwise than `recipe` asks, by name.

        Raises:
            CapabilityError: They cannot do what its plug-ins need.
            ConfigError: It observes a layer that the generator does not have, or the models are
                not connected.
        """
        recipe, capabilities = as_recipe(recipe), self._ensured().capabilities
        layers = [one.layer for one in recipe.policy.observations]
        blocks = capabilities[GENERATOR].blocks
        if blocks is not None and max(layers, default=0) > blocks:
            raise ConfigError(
                f"{type(recipe.policy).__name__} observes layer {max(layers)}, which is out of "
                f"range; the generator has {blocks} blocks, so layers 0 to {blocks}"
            )
        return (*match_needs(recipe.needs, capabilities), *inexact_modes(capabilities))

    async def solve(
        self,
        problem: Problem | Prompt,
        *,
        recipe: Recipe | RecipeFactory | str,
        seed: int = 0,
        sampling: Sampling | None = None,
        budget: Budget = NO_BUDGET,
    ) -> Result:
        """Answer one problem.

        What goes wrong with the problem itself is the result's `error`, beside the partial answer;
        see `Result.raise_for_error`.

        Args:
            problem: The problem, its text, or a conversation.
            recipe: How it is worked on: a recipe, a factory of one, or an installed name.
            seed: Of every random choice, together with the problem's id.
            sampling: How tokens are drawn, instead of the recipe's own.
            budget: What may be spent.

        Raises:
            CapabilityError: The models cannot do what the recipe needs.
            ConfigError: The recipe cannot be made, or the models are not connected.
            OverloadedError: Too many requests wait already.
        """
        request = self._request(problem, recipe, seed, sampling, budget)
        async with self._admission.admitted():
            return await self._answering(request).result(emit_nothing)

    @asynccontextmanager
    async def stream(
        self,
        problem: Problem | Prompt,
        *,
        recipe: Recipe | RecipeFactory | str,
        seed: int = 0,
        sampling: Sampling | None = None,
        budget: Budget = NO_BUDGET,
    ) -> AsyncIterator[ObjectReceiveStream[StreamEvent]]:
        """Answer one problem, delivering events as they happen; the last is `Finished`.

        `Settled` events hold the text that can be shown: it is never taken back. The others say
        what happens in detail. The problem waits for its reader: at most 16 events are kept.
        Leaving the block early cancels the problem. Arguments and errors are those of `solve`.
        """
        request = self._request(problem, recipe, seed, sampling, budget)
        async with (
            self._admission.admitted(),
            streamed(self._answering(request), request.recipe, self._abandon) as events,
        ):
            yield events

    def abandoning(self, result: Result) -> AbstractContextManager[None]:
        """Return a block that hands a result over to `on_abandoned` if it is cancelled."""
        return abandoning(result, self._abandon)

    def _answering(self, request: Request) -> Answering:
        return Answering(request, self._ensured(), self._abandon)

    def _abandon(self, result: Result) -> None:
        self.on_abandoned(result)

    def _request(
        self,
        problem: Problem | Prompt,
        recipe: Recipe | RecipeFactory | str,
        seed: int,
        sampling: Sampling | None,
        budget: Budget,
    ) -> Request:
        recipe = as_recipe(recipe)
        if sampling is not None:
            recipe = replace(recipe, sampling=sampling)
        problem = problem if isinstance(problem, Problem) else Problem(prompt=problem)
        return Request(problem, recipe, seed, budget, self.degradations_of(recipe))

    def _ensured(self) -> ConnectedModels:
        if self._connected is None:
            raise ConfigError("the models are not connected; use `async with`")
        return self._connected


def _ensure_names(
    mentors: Mapping[str, ConsultationBackend], judges: Mapping[str, ConsultationBackend]
) -> None:
    if bad := {GENERATOR, NOBODY} & {*mentors, *judges}:
        raise ConfigError(f"{bad.pop()!r} cannot be a mentor's or judge's name")
    if twice := set(mentors) & set(judges):
        raise ConfigError(f"{twice.pop()!r} is both a mentor and a judge; give each its own name")


def _drop(result: Result) -> None:
    """Drop what there is of a cancelled problem."""
