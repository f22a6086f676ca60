"""Two short runs, of the mentor alone and of a recipe, and what they say about the pair."""

import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean

from collab.controller import Controller, Result
from collab.decisions import Continue, Decision
from collab.errors import CollabError
from collab.feasibility import Fit, Forecast, Load, Plan, fit_speed
from collab.limits import Budget
from collab.problems import Problem
from collab.protocols import Draft, Policy, PolicySession
from collab.recipes import Recipe
from collab.roles import GENERATOR
from collab.seam import ConsultationBackend, Model
from collab.trace import mentor_share, written_tokens
from collab.usage import Call, Price, Purpose
from collab.views import ViewOptions

WARM_UP_TOKENS = 4
"""Length of an answer that is thrown away before anything is timed: first passes are slow."""

_MUCH_SLOWER = 1.25
_JUDGING: frozenset[Purpose] = frozenset({"judge", "score"})


@dataclass(frozen=True, slots=True)
class Connected:
    """A backend whose model is connected already; it belongs to whoever connected it."""

    backend: ConsultationBackend
    model: Model

    @property
    def price(self) -> Price | None:
        """As the backend's."""
        return self.backend.price

    @property
    def view(self) -> ViewOptions:
        """As the backend's."""
        return self.backend.view

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Model]:
        """Hand out the model."""
        yield self.model


@dataclass(frozen=True, slots=True)
class Measured:
    """The answers of one calibration run.

    Attributes:
        results: Those that did not fail.
        failures: What went wrong with the others.
    """

    results: Sequence[Result]
    failures: Sequence[str]

    @property
    def calls(self) -> list[Call]:
        """All their calls."""
        return [call for result in self.results for call in result.calls]

    @property
    def answer_tokens(self) -> int:
        """Tokens of their answers."""
        spans = (span for result in self.results for span in result.spans)
        return written_tokens((span.author, span.kind, span.tokens) for span in spans)[1]

    @property
    def mentor_share(self) -> float:
        """Mentor-written share of all their answers."""
        return mentor_share([span for result in self.results for span in result.spans])

    @property
    def token_s(self) -> float:
        """Wall-clock seconds of one answer token, one problem at a time."""
        return sum(result.duration_s for result in self.results) / self.answer_tokens

    def cost_usd(self, role: str | None = None) -> float | None:
        """Return the cost of one answer token, or a role's part; `None` without any price."""
        costs = [
            call.cost_usd
            for call in self.calls
            if call.cost_usd is not None and role in (None, call.role)
        ]
        return sum(costs) / self.answer_tokens if costs else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What two calibration runs say about a pair and its recipe; see `collab.feasibility`.

    Attributes:
        mentor: Who the recipe was compared with.
        alone: The run of that mentor alone.
        recipe: The recipe's run.
        generator_fit: Of the calls in which the generator wrote.
        mentor_fit: Of the calls in which mentors wrote, in both runs.
        forecast: Of one answer token.
    """

    mentor: str
    alone: Measured
    recipe: Measured
    generator_fit: Fit
    mentor_fit: Fit
    forecast: Forecast

    @property
    def judge_call_s(self) -> float | None:
        """Mean seconds of a call that judges or scores; `None` if there was none."""
        seconds = [call.total_s for call in self.recipe.calls if call.purpose in _JUDGING]
        return fmean(seconds) if seconds else None

    @property
    def mentor_calls(self) -> float:
        """Calls to mentors per answer token, judging included."""
        calls = [call for call in self.recipe.calls if call.role != GENERATOR]
        return len(calls) / self.recipe.answer_tokens

    @property
    def measured_speed_up(self) -> float:
        """Wall-clock time of the mentor alone over the recipe's, per answer token."""
        return self.alone.token_s / self.recipe.token_s

    @property
    def warnings(self) -> list[str]:
        """Why the pair cannot pay, and what weakens the estimate."""
        warnings = list(self.forecast.warnings)
        if not any(call.role != GENERATOR for call in self.recipe.calls):
            warnings.insert(0, "no mentor was asked in this run: the recipe may ask too rarely")
        for name, fit in (("generator", self.generator_fit), ("mentor", self.mentor_fit)):
            if not fit.is_separated:
                warnings.append(
                    f"the fixed cost of a call to the {name} cannot be told from its tokens': "
                    "its calls were too much alike"
                )
        unexplained = self.recipe.token_s / self.forecast.seconds if self.forecast.seconds else 1.0
        if unexplained > _MUCH_SLOWER:
            warnings.append(
                f"the run itself took {unexplained:.2g} times as long as these figures explain; "
                "where both models share a machine, looking ahead slows the mentor down"
            )
        failures = [*self.alone.failures, *self.recipe.failures]
        if failures:
            warnings.append(f"{len(failures)} answers failed and are left out: {failures[0]}")
        return warnings


async def calibrate(
    participants: Mapping[str, Connected],
    recipe: Recipe,
    problems: Sequence[Problem],
    *,
    seed: int,
    budget: Budget,
) -> Estimate:
    """Answer `problems` one by one, with the recipe and with its mentor alone.

    The mentor is the one that the recipe asked most; all mentors' calls are taken together.

    Raises:
        CollabError: There is no mentor or no problem, or every answer of a run failed.
    """
    mentors = {role: one for role, one in participants.items() if role != GENERATOR}
    if not mentors or not problems:
        missing = "mentor to compare the recipe with" if problems else "problem to measure with"
        raise CollabError(f"there is no {missing}")
    make = partial(Controller, seed=seed, budget=budget)
    pair = partial(make, generator=participants[GENERATOR], mentor=mentors)
    measured = await _measure("recipe", pair, recipe, problems)
    mentor = _most_asked(measured.calls, mentors)
    lone = replace(recipe, policy=_Alone(), verifiers=())
    by_itself = partial(make, generator=mentors[mentor])
    alone = await _measure(f"{mentor} alone", by_itself, lone, problems)
    return estimate(mentor, alone, measured)


def estimate(mentor: str, alone: Measured, recipe: Measured) -> Estimate:
    """Return what two runs say about a pair.

    Raises:
        CollabError: A model wrote nothing.
    """
    own = [call for call in recipe.calls if call.role == GENERATOR]
    others = [call for call in recipe.calls if call.role != GENERATOR]
    looking_ahead = [call for call in own if call.purpose == "look-ahead"]
    drafting = [call for call in _writing(own) if call.purpose != "look-ahead"]
    # What is written beside a mentor on the same machine is slower than what is written alone.
    generator_fit = _fit(drafting) or _fit(looking_ahead)
    mentor_fit = _fit([*alone.calls, *others])
    if generator_fit is None or mentor_fit is None:
        raise CollabError(
            f"the {'mentor' if generator_fit else 'generator'} wrote nothing that could be timed"
        )
    tokens = recipe.answer_tokens
    judging = [call for call in recipe.calls if call.purpose in _JUDGING]
    plan = Plan(
        alone=_load(alone.calls).per(alone.answer_tokens),
        drafting=_load(drafting).per(tokens),
        looking_ahead=_load(looking_ahead).per(tokens),
        consulting=_load(_writing(others)).per(tokens),
        judging_s=sum(call.total_s for call in judging) / tokens,
    )
    return Estimate(
        mentor=mentor,
        alone=alone,
        recipe=recipe,
        generator_fit=generator_fit,
        mentor_fit=mentor_fit,
        forecast=Forecast(
            generator=generator_fit.speed,
            mentor=mentor_fit.speed,
            plan=plan,
            cost_usd=recipe.cost_usd(),
            alone_cost_usd=alone.cost_usd(),
        ),
    )


async def _measure(
    name: str, make: Callable[..., Controller], recipe: Recipe, problems: Sequence[Problem]
) -> Measured:
    async with make(recipe=replace(recipe, max_answer_tokens=WARM_UP_TOKENS)) as controller:
        await controller.solve(problems[0])
    async with make(recipe=recipe) as controller:
        results = [await controller.solve(problem) for problem in problems]
    done = [result for result in results if result.error is None]
    failures = [f"{result.problem.id}: {result.error}" for result in results if result.error]
    measured = Measured(done, failures)
    if not done or not measured.answer_tokens:
        why = failures[0] if failures else "all answers are empty"
        raise CollabError(f"the calibration run of the {name} gave no answer: {why}")
    return measured


def _most_asked(calls: Iterable[Call], mentors: Iterable[str]) -> str:
    asked = Counter(call.role for call in calls)
    return max(mentors, key=lambda role: asked[role])


def _writing(calls: Iterable[Call]) -> list[Call]:
    return [call for call in calls if call.purpose not in _JUDGING]


def _fit(calls: Iterable[Call]) -> Fit | None:
    """Fit the calls that wrote to their end; cancelled ones say nothing of a token's time."""
    return fit_speed(
        (call.completion_tokens, call.total_s) for call in _writing(calls) if call.outcome == "ok"
    )


def _load(calls: Sequence[Call]) -> Load:
    return Load(len(calls), sum(call.completion_tokens for call in calls))


class _Alone(Policy):
    """Asks for all of the answer at once."""

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        return _AloneSession()


class _AloneSession(PolicySession):
    def ahead(self) -> int:
        return sys.maxsize

    def decide(self, draft: Draft) -> Decision:
        return Continue()
