"""Calibration: exact numbers from scripted ledgers, relations from the shipped pair."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from collab import Desk, Problem, Recipe, Result, Strategy
from collab.endings import Ending
from collab.errors import CollabError
from collab.examining.estimate import Estimate, Measured, estimate
from collab.examining.rounds import LEAST_ROUNDS, MOST_ROUNDS, Connected, compare
from collab.examining.timings import Timing, Turn
from collab.limits import Budget
from collab.roles import GENERATOR
from collab.runs.assembly import build_backends, build_recipe
from collab.runs.config_files import parse_config
from collab.runs.runner import Progress
from collab.signals import NO_SIGNALS, Signals
from collab.testing import FakeBackend, FakeModel, FakeSession
from collab.trace import Span
from collab.usage import Call, Purpose
from collab.views import View
from collab_policies.mentorcollab_free import MentorCollabFree
from collab_policies.never import Never


class Asking(Strategy):
    """Has the generator write a unit, and the mentor the rest."""

    async def run(self, desk: Desk) -> Ending | None:
        await desk.commit(await desk.write("generator"))
        while desk.ending is None:
            await desk.commit(await desk.write("mentor"))
        return None


def call(role: str, purpose: Purpose, tokens: int, total_s: float, cost: float | None) -> Call:
    return Call(
        index=0,
        role=role,
        model="m",
        purpose=purpose,
        completion_tokens=tokens,
        total_s=total_s,
        cost_usd=cost,
    )


def answered(spans: dict[str, int], duration_s: float, *calls: Call) -> Measured:
    written = tuple(
        Span(index=n, author=author, text="x", tokens=tokens, kind="draft")
        for n, (author, tokens) in enumerate(spans.items())
    )
    result = Result(
        problem=Problem(prompt="q"),
        ending=Ending("eos"),
        spans=written,
        events=(),
        calls=calls,
        duration_s=duration_s,
    )
    return Measured([result], [])


def test_the_figures_are_those_of_the_ledger() -> None:
    # The generator: 2 ms a call and 1 ms a token; the mentor: 10 ms and 5 ms; judging 30 ms.
    alone = answered({"generator": 100}, 0.6, call("generator", "draft", 100, 0.510, 200e-6))
    recipe = answered(
        {"generator": 90, "mentor": 10},
        0.3,
        call("generator", "draft", 60, 0.062, None),
        call("generator", "draft", 20, 0.022, None),
        call("generator", "look-ahead", 16, 0.018, None),
        call("mentor", "consult", 10, 0.060, 50e-6),
        call("mentor", "consult", 16, 0.090, 80e-6),
        call("generator", "judge", 1, 0.030, None),
    )

    found = estimate("mentor", alone, recipe)

    forecast = found.forecast
    speeds = [(one.call_s, one.token_s) for one in (forecast.generator, forecast.mentor)]
    assert speeds == [pytest.approx((0.002, 0.001)), pytest.approx((0.010, 0.005))]
    assert found.judge_call_s == pytest.approx(0.030)
    # Drafts 62 + 22 ms, consulting 60 + 90 ms with 18 ms of looking ahead beside it, judging 30.
    assert 100 * forecast.seconds == pytest.approx(0.264)
    assert 100 * forecast.alone_s == pytest.approx(0.510)
    assert forecast.speed_up == pytest.approx(0.510 / 0.264)
    assert found.measured_speed_up == pytest.approx(2)
    assert forecast.cost_ratio == pytest.approx(0.65)
    assert recipe.mentor_share == pytest.approx(0.1)
    assert found.mentor_calls == pytest.approx(0.02)
    assert found.warnings == []


def test_a_run_slower_than_its_figures_explain_is_told() -> None:
    alone = answered({"generator": 10}, 0.1, call("generator", "draft", 10, 0.1, None))
    recipe = answered({"mentor": 10}, 0.3, call("generator", "draft", 10, 0.1, None))

    # 10 tokens of 10 ms are expected to take 0.1 s.
    assert any(
        "the run itself took 3 times as long as these figures explain" in warning
        for warning in estimate("mentor", alone, recipe).warnings
    )


def test_a_recipe_that_asks_nobody_is_told() -> None:
    alone = answered({"generator": 10}, 1, call("generator", "draft", 10, 0.1, None))
    recipe = answered({"generator": 10}, 1, call("generator", "draft", 10, 0.01, None))

    warnings = estimate("mentor", alone, recipe).warnings

    assert "no mentor was asked in this run: the recipe may ask too rarely" in warnings
    assert any("cannot be told from its tokens'" in warning for warning in warnings)


async def test_answers_that_fail_are_left_out_and_told() -> None:
    generator, mentor = FakeModel("a b c d"), FakeModel("A B C D", fails_at=3)
    participants = {
        "generator": Connected(FakeBackend(model=generator), generator),
        "mentor": Connected(FakeBackend(model=mentor), mentor),
    }
    problems = [Problem(prompt=f"q{n}") for n in range(6)]
    recipe = MentorCollabFree(rate=0.9, stop_strings=()).recipe()

    found = await compare(participants, recipe, problems, seed=0, budget=Budget())

    rounds = max(map(len, found.turns))
    assert LEAST_ROUNDS <= rounds <= MOST_ROUNDS
    assert len(found.recipe.results) + len(found.alone.results) == 2 * 6 * rounds - 1
    assert len(found.turns) == 6
    assert any("1 answers failed and are left out: " in one for one in found.warnings)


async def test_a_strategy_is_compared_with_the_mentor_alone_and_each_problem_is_reported() -> None:
    generator, mentor = FakeModel("a b c d"), FakeModel("A B C D")
    participants = {
        "generator": Connected(FakeBackend(model=generator), generator),
        "mentor": Connected(FakeBackend(model=mentor), mentor),
    }
    problems = [Problem(id=f"p{n}", prompt="q") for n in range(2)]
    events: list[Progress] = []

    found = await compare(
        participants,
        Recipe(strategy=Asking()),
        problems,
        seed=0,
        budget=Budget(),
        on_progress=events.append,
    )

    assert {result.text for result in found.alone.results} == {"A B C D"}
    rounds = len(found.turns[0])
    assert [one.done for one in events] == list(range(2 * rounds + 1))
    assert events[-1].total == 2 * rounds
    assert events[0].row is None
    assert events[1].row == {"id": "p0", "outcome": "answered"}


async def test_without_a_mentor_there_is_nothing_to_compare() -> None:
    model = FakeModel("a")
    recipe = MentorCollabFree().recipe()

    with pytest.raises(CollabError, match="there is no mentor to compare the recipe with"):
        await compare(
            {"generator": Connected(FakeBackend(model=model), model)},
            recipe,
            [Problem(prompt="q")],
            seed=0,
            budget=Budget(),
        )


@pytest.mark.slow
async def test_the_figures_of_real_models_fit_together() -> None:
    config = parse_config(
        {
            "pair": {
                role: {
                    "use": "local",
                    "model": f"lab/{role}",
                    "threads": 1,
                    "price": {"prompt": 1, "cached": 0, "completion": completion},
                }
                for role, completion in (("generator", 1), ("mentor", 4))
            },
            "recipe": "mentorcollab-free",
        },
        "test",
    )
    backends, recipe = build_backends(config), build_recipe(config)
    problems = [
        Problem(prompt=f"Mod 10: a = {n}, b = a + 3, c = b * 3, d = c - 1. What is d?")
        for n in range(3)
    ]
    async with backends["generator"].connect() as small, backends["mentor"].connect() as large:
        found = await compare(
            {
                "generator": Connected(backends["generator"], small),
                "mentor": Connected(backends["mentor"], large),
            },
            recipe,
            problems,
            seed=0,
            budget=Budget(),
        )

    forecast = found.forecast
    assert sum(forecast.seconds_by_term.values()) == pytest.approx(forecast.seconds)
    assert forecast.speed_up == pytest.approx(forecast.alone_s / forecast.seconds)
    assert min(forecast.seconds, forecast.alone_s, found.measured_speed_up) > 0
    assert 0 <= found.recipe.mentor_share < 1
    assert found.mentor_calls > forecast.plan.alone.calls
    parts = [found.recipe.cost_usd(role) for role in ("generator", "mentor")]
    assert sum(part or 0 for part in parts) == pytest.approx(found.recipe.cost_usd())
    assert forecast.cost_ratio == pytest.approx(
        (found.recipe.cost_usd() or 0) / (found.alone.cost_usd() or 1)
    )


def fast_and_slow(*ratios: float) -> Estimate:
    """Return an estimate that expects 1, with turns of these measured speed-ups."""
    alone = answered({"generator": 10}, 1, call("generator", "draft", 10, 0.1, None))
    recipe = answered({"mentor": 10}, 1, call("generator", "draft", 10, 0.1, None))
    turns = [[Turn(Timing(ratio, 10), Timing(1.0, 10)) for ratio in ratios]] * 8
    return replace(estimate("mentor", alone, recipe), turns=turns)


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [((1.2, 1.3), "faster"), ((0.7, 0.8), "slower"), ((0.5, 2.0), "unclear")],
)
def test_the_measurement_decides(ratios: tuple[float, ...], verdict: str) -> None:
    assert fast_and_slow(*ratios).verdict == verdict


def test_a_measurement_against_the_expectation_is_told() -> None:
    found = fast_and_slow(0.5, 0.5)

    assert (
        "1.00 times the speed was expected of these calls, and 0.50 to 0.50 were measured: what "
        "was measured counts" in found.warnings
    )


def test_a_noisy_machine_is_told() -> None:
    warnings = fast_and_slow(0.5, 2.0).warnings

    # Alone took 0.5 and 2 s, the recipe 1 and 1: the median of 4 and 1.
    assert any("the same answer took 2.5 times as long in one round" in one for one in warnings)
    assert not any("in one round" in one for one in fast_and_slow(0.7, 0.8).warnings)


class Noting(FakeModel):
    """Notes which problems it answers in the generator's seat."""

    notes: list[str] = []

    @asynccontextmanager
    async def open(
        self, view: View, *, seed: int, signals: Signals = NO_SIGNALS
    ) -> AsyncIterator[FakeSession]:
        if view.participant == GENERATOR:
            self.notes.append(f"{self.name} {view.prompt}")
        async with super().open(view, seed=seed, signals=signals) as session:
            yield session


async def test_both_ways_answer_in_turn_and_neither_always_begins() -> None:
    generator, mentor = Noting("a b c d", name="pair"), Noting("A B C D", name="alone")
    generator.notes = mentor.notes = []
    participants = {
        "generator": Connected(FakeBackend(model=generator), generator),
        "mentor": Connected(FakeBackend(model=mentor), mentor),
    }
    problems = [Problem(prompt="q"), Problem(prompt="r")]

    await compare(participants, Recipe(policy=Never()), problems, seed=0, budget=Budget())

    warm_up, first, second = (generator.notes[n : n + size] for n, size in ((0, 2), (2, 4), (6, 4)))
    assert warm_up == ["pair q", "alone q"]
    assert first == ["pair q", "alone q", "alone r", "pair r"]
    assert second == ["alone q", "pair q", "pair r", "alone r"]
