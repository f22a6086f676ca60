"""A controller without `await`: over several cells, beside a running loop; results as they look."""

import asyncio

import pytest

from collab import BlockingController, Controller, Problem, Recipe, Until
from collab.errors import ConfigError
from collab.testing import FakeBackend, FakeModel
from collab_policies.always import Always
from collab_policies.never import Never


def controller(model: FakeModel | None = None) -> Controller:
    return Controller(
        generator=FakeBackend(model=model or FakeModel("a b c")), recipe=Recipe(policy=Never())
    )


async def test_it_stays_open_over_several_cells_beside_a_running_loop() -> None:
    model = FakeModel("a b c")
    solver = BlockingController(controller(model)).open()
    problems = [Problem(id=f"p{n}", prompt=f"q{n}") for n in range(5)]

    # A cell of a notebook is a task of its own.
    async def first() -> str:
        return solver.solve("q").text

    async def second() -> set[str]:
        return {result.problem.id for result in solver.map(problems, concurrency=2)}

    async def last() -> None:
        solver.close()

    texts = await asyncio.create_task(first()), await asyncio.create_task(second())
    await asyncio.create_task(last())

    assert texts == ("a b c", {"p0", "p1", "p2", "p3", "p4"})
    assert model.open_sessions == 0
    with pytest.raises(ConfigError, match=r"the controller is closed; call open\(\)"):
        solver.solve("q")


def test_it_is_opened_once_at_a_time_and_may_be_opened_again() -> None:
    solver = BlockingController(controller())
    with solver:
        with pytest.raises(ConfigError, match="the controller is open already; close it first"):
            solver.open()
    with solver:
        assert solver.solve("q").text == "a b c"


def test_results_may_be_left_early() -> None:
    model = FakeModel("a b c")
    with BlockingController(controller(model)) as solver:
        results = solver.map([f"q{n}" for n in range(50)], concurrency=2)
        next(results)
        results.close()  # type: ignore[attr-defined]  # a generator is an iterator that can be closed

    assert model.open_sessions == 0
    assert model.calls < 50


async def test_leaving_in_another_task_says_what_to_do() -> None:
    entered = controller()
    await entered.__aenter__()

    with pytest.raises(ConfigError, match="in a notebook use `collab.BlockingController`"):
        await asyncio.create_task(entered.__aexit__(None, None, None))

    await entered.__aexit__(None, None, None)


async def test_a_result_shows_who_wrote_what_and_prints_in_a_line() -> None:
    recipe = Recipe(policy=Always(), segment=Until(1))
    async with Controller(
        generator=FakeBackend(model=FakeModel("a <b> c")),
        mentor=FakeBackend(model=FakeModel("X <Y>")),
        recipe=recipe,
    ) as asked:
        result = await asked.solve(Problem(id="p", prompt="q"))

    shown = result._repr_html_()
    assert '<u style="color: #a0a" title="mentor">X</u>' in shown
    assert "&lt;" in shown
    assert "by mentors" in shown
    assert repr(result).startswith("Result('p', 'eos', mentor_share=")
