"""The recorder of steps: what it keeps lives in the session of one problem."""

from dataclasses import replace
from functools import partial

from collab import Controller, Problem, Recipe, StepUnit
from collab.concurrency import concurrently
from collab.extraction.recorder import Recorder, recorded_steps
from collab.testing import ALL_CAPABILITIES, FakeBackend, FakeModel

TEXT = "Let me add.\n\nSo far so good.\n\nThe answer is 3."


async def test_one_problem_worked_on_twice_at_a_time_keeps_its_steps_apart() -> None:
    model = FakeModel(
        answers={"2 + 1 = ": TEXT},
        states={"\n\n": [1.0, 2.0]},
        capabilities=replace(ALL_CAPABILITIES, has_hidden_states=True, hidden_size=2, blocks=4),
    )
    recorder = Recorder(unit=StepUnit(), layers=(1,), thinking_end=None, is_verifying=False)
    recipe = Recipe(policy=recorder, unit=recorder.unit)

    async with Controller(generator=FakeBackend(model=model), recipe=recipe) as controller:
        solve = partial(controller.solve, Problem(id="p", prompt="2 + 1 = "))
        results = await concurrently(solve, solve)

    for result in results:
        steps, states = recorded_steps(result.kept)
        assert [step.text for step in steps] == ["So far so good.\n\n", "The answer is 3."]
        assert states.shape == (2, 1, 2)
