"""Reading results and events: leaving early, closing the stream, reading slowly."""

import anyio
import pytest

from collab import Budget, Controller, Problem, Recipe
from collab.controller import Finished
from collab.testing import FakeBackend, FakeModel
from collab.trace import Ended
from collab_policies.never import Never

PROBLEMS = [Problem(id=f"p{n}", prompt=f"question {n}") for n in range(20)]
LONG = " ".join(f"w{n}" for n in range(60))


def alone(model: FakeModel, budget: Budget | None = None) -> Controller:
    return Controller(
        generator=FakeBackend(model=model), recipe=Recipe(policy=Never()), budget=budget or Budget()
    )


async def test_closing_the_results_early_stops_the_work_and_harms_nothing() -> None:
    model = FakeModel(LONG)

    async with alone(model) as controller, controller.map(PROBLEMS, concurrency=2) as results:
        await results.receive()
        await results.aclose()
        await anyio.wait_all_tasks_blocked()
        is_still_here = True

    assert is_still_here
    assert (model.open_sessions, model.calls < len(PROBLEMS)) == (0, True)


async def test_closing_the_events_early_stops_the_problem_and_harms_nothing() -> None:
    model = FakeModel(LONG)
    recipe = Recipe(policy=Never(), repeat_limit=0)
    controller = Controller(generator=FakeBackend(model=model), recipe=recipe)

    async with controller, controller.stream("q") as events:
        await events.aclose()
        await anyio.wait_all_tasks_blocked()
        is_still_here = True

    assert (is_still_here, model.open_sessions) == (True, 0)


async def test_a_slow_reader_sees_one_end() -> None:
    model = FakeModel("a b c")

    async with (
        alone(model, Budget(deadline_s=0.2)) as controller,
        controller.stream("q") as events,
    ):
        await anyio.wait_all_tasks_blocked()
        seen = [event async for event in events]

    assert [type(event) for event in seen[-2:]] == [Ended, Finished]
    assert len([event for event in seen if isinstance(event, Ended)]) == 1


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_no_problem_is_worked_on_twice(concurrency: int) -> None:
    async with (
        alone(FakeModel("a")) as controller,
        controller.map(PROBLEMS, concurrency=concurrency) as results,
    ):
        names = [result.problem.id async for result in results]

    assert sorted(names) == sorted(problem.id for problem in PROBLEMS)
