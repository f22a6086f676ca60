"""Answering problems with a recipe and with its mentor alone, in turn and in rounds."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

from collab.collecting.alone import alone
from collab.controller import Controller, Result
from collab.errors import CollabError
from collab.examining.estimate import Estimate, Measured, answer_tokens_of, estimate
from collab.examining.timings import Timing, Turn, speed_up_range
from collab.limits import Budget
from collab.problems import Problem
from collab.recipes import Recipe
from collab.roles import GENERATOR
from collab.runs.rows import Row
from collab.runs.runner import Progress, Report
from collab.seam import ConsultationBackend, Model
from collab.usage import Price
from collab.views import ViewOptions

WARM_UP_TOKENS = 4
"""Length of an answer that is thrown away before anything is timed: first passes are slow."""

LEAST_ROUNDS, MOST_ROUNDS = 2, 4
"""Every problem is answered so often by both ways; more than the least only while it is unclear."""


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


async def compare(
    participants: Mapping[str, Connected],
    recipe: Recipe,
    problems: Sequence[Problem],
    *,
    seed: int,
    budget: Budget,
    on_progress: Report = lambda _: None,
) -> Estimate:
    """Answer `problems` one by one, each with the recipe and with its mentor alone, in rounds.

    The mentor is the one that the recipe asked most; all mentors' calls are taken together. Who
    begins changes from problem to problem and from round to round, so that what slows the machine
    down for a while slows both ways down.

    Args:
        participants: The connected models.
        recipe: What they are compared with.
        problems: At least one.
        seed: Of the answers.
        budget: Of each answer.
        on_progress: Called for each problem answered both ways; more rounds raise the total.

    Raises:
        CollabError: There is no mentor or no problem, or every answer of a way failed.
    """
    mentors = {role: one for role, one in participants.items() if role != GENERATOR}
    if not mentors or not problems:
        missing = "mentor to compare the recipe with" if problems else "problem to measure with"
        raise CollabError(f"there is no {missing}")
    make = partial(Controller, seed=seed, budget=budget)
    pair = partial(make, generator=participants[GENERATOR], mentor=mentors)
    mentor = await _most_asked(pair, recipe, problems, mentors)
    by_itself = partial(make, generator=mentors[mentor])
    lone = alone(recipe)
    await _warm_up(pair, recipe, problems[0])
    await _warm_up(by_itself, lone, problems[0])
    async with pair(recipe=recipe) as together, by_itself(recipe=lone) as single:
        rounds = await _rounds(single, together, problems, on_progress)
    by_mentor = _measured(f"{mentor} alone", [one for found in rounds for one, _ in found])
    measured = _measured("recipe", [one for found in rounds for _, one in found])
    return replace(estimate(mentor, by_mentor, measured), turns=_turns(rounds))


async def _rounds(
    single: Controller, together: Controller, problems: Sequence[Problem], on_progress: Report
) -> list[list[tuple[Result, Result]]]:
    """Return, for each round and problem, the answers by the mentor alone and with the recipe."""
    rounds: list[list[tuple[Result, Result]]] = []
    on_progress(Progress(None, 0, LEAST_ROUNDS * len(problems)))
    while len(rounds) < LEAST_ROUNDS or (len(rounds) < MOST_ROUNDS and _is_unclear(_turns(rounds))):
        number, answers = len(rounds), list[tuple[Result, Result]]()
        total = max(LEAST_ROUNDS, number + 1) * len(problems)
        for place, problem in enumerate(problems):
            is_mentor_first = (number + place) % 2 == 1
            both = await _both(single, together, problem, is_mentor_first=is_mentor_first)
            answers.append(both)
            outcome = "error" if any(one.error for one in both) else "answered"
            row: Row = {"id": problem.id, "outcome": outcome}
            on_progress(Progress(row, number * len(problems) + place + 1, total))
        rounds.append(answers)
    return rounds


async def _both(
    single: Controller, together: Controller, problem: Problem, *, is_mentor_first: bool
) -> tuple[Result, Result]:
    if is_mentor_first:
        by_mentor = await single.solve(problem)
        return by_mentor, await together.solve(problem)
    recipe = await together.solve(problem)
    return await single.solve(problem), recipe


def _turns(rounds: Sequence[Sequence[tuple[Result, Result]]]) -> list[list[Turn]]:
    """Return the turns of each problem, without those in which an answer failed."""
    by_problem = [
        [
            Turn(_timing(by_mentor), _timing(recipe))
            for by_mentor, recipe in answers
            if by_mentor.error is None and recipe.error is None
        ]
        for answers in zip(*rounds, strict=True)
    ]
    return [turns for turns in by_problem if turns]


def _timing(result: Result) -> Timing:
    return Timing(result.duration_s, answer_tokens_of([result]))


def _is_unclear(turns: Sequence[Sequence[Turn]]) -> bool:
    if not turns:
        return False
    low, high = speed_up_range(turns)
    return low <= 1 <= high


async def _warm_up(make: Callable[..., Controller], recipe: Recipe, problem: Problem) -> None:
    async with make(recipe=replace(recipe, max_answer_tokens=WARM_UP_TOKENS)) as controller:
        await controller.solve(problem)


def _measured(name: str, results: Sequence[Result]) -> Measured:
    done = [result for result in results if result.error is None]
    failures = [f"{result.problem.id}: {result.error}" for result in results if result.error]
    measured = Measured(done, failures)
    if not done or not measured.answer_tokens:
        why = failures[0] if failures else "all answers are empty"
        raise CollabError(f"the run of the {name} gave no answer: {why}")
    return measured


async def _most_asked(
    pair: Callable[..., Controller],
    recipe: Recipe,
    problems: Sequence[Problem],
    mentors: Mapping[str, Connected],
) -> str:
    """Return the mentor that the recipe asks most; where there are several, it is tried out."""
    if len(mentors) == 1:
        return next(iter(mentors))
    async with pair(recipe=recipe) as controller:
        results = [await controller.solve(problem) for problem in problems]
    asked = Counter(call.role for result in results for call in result.calls)
    return max(mentors, key=lambda role: asked[role])
