"""Many problems at a time: order, seeds, neighbours, and what is left behind."""

from collections.abc import Iterator

import anyio
import pytest

from collab import Budget, Controller, Finished, Problem, Recipe, Result, Settled
from collab.capabilities import Capabilities
from collab.errors import (
    CapabilityError,
    CollabError,
    ConfigError,
    ContextOverflowError,
    EmptyPromptError,
    InvalidPromptError,
)
from collab.testing import FakeBackend, FakeModel
from collab.trace import Committed, Decided, Ended, Verified
from collab.usage import Price
from collab.views import ThinkingTags, ViewOptions
from collab_policies.always import Always
from collab_policies.always_mentor import AlwaysMentor
from collab_policies.entropy import Entropy
from collab_policies.mentorcollab_free import MentorCollabFree
from collab_policies.never import Never
from collab_policies.random_positions import RandomPositions
from collab_policies.self_judge import SelfJudge

LONG = " ".join(f"w{n}" for n in range(60))
OTHER = " ".join(f"m{n}" for n in range(60))
PROBLEMS = [Problem(id=f"p{n}", prompt=f"question {n}") for n in range(40)]


def pair(**options: object) -> Controller:
    generator = FakeModel(LONG, labels={"A": 0.4, "B": 0.6})
    defaults: dict[str, object] = {
        "generator": FakeBackend(model=generator),
        "mentor": FakeBackend(model=FakeModel(OTHER)),
        "recipe": MentorCollabFree(rate=0.3, segment_tokens=3),
    }
    return Controller(**{**defaults, **options})  # type: ignore[arg-type]


async def solve_all(controller: Controller, concurrency: int) -> dict[str, Result]:
    async with controller, controller.map(PROBLEMS, concurrency=concurrency) as results:
        return {result.problem.id: result async for result in results}


def without_times(result: Result) -> object:
    calls = [(c.role, c.purpose, c.completion_tokens, c.kept_tokens) for c in result.calls]
    return result.reason, result.spans, result.events, calls


async def test_results_are_the_same_at_any_concurrency() -> None:
    alone = await solve_all(pair(), concurrency=1)
    together = await solve_all(pair(), concurrency=64)

    assert len(alone) == len(PROBLEMS)
    for name, result in alone.items():
        assert without_times(result) == without_times(together[name])


async def test_another_seed_draws_other_positions() -> None:
    first = await solve_all(pair(seed=1), concurrency=8)
    second = await solve_all(pair(seed=2), concurrency=8)

    assert any(first[name].text != second[name].text for name in first)


async def test_a_failing_problem_does_not_harm_its_neighbours() -> None:
    broken = FakeModel(LONG, fails_at=100)

    results = await solve_all(
        pair(generator=FakeBackend(model=broken), recipe=Recipe(policy=RandomPositions(rate=0.1))),
        concurrency=8,
    )

    failed = [result for result in results.values() if result.error]
    assert len(failed) == 1
    assert len(results) == len(PROBLEMS)
    assert (failed[0].reason, broken.open_sessions) == ("error", 0)


async def test_the_ledger_sums_to_what_the_models_counted() -> None:
    generator, mentor = FakeModel(LONG, labels={"B": 1.0}), FakeModel(OTHER)

    results = await solve_all(
        pair(generator=FakeBackend(model=generator), mentor=FakeBackend(model=mentor)), 16
    )

    for role, model in (("generator", generator), ("mentor", mentor)):
        usages = [result.usage[role] for result in results.values() if role in result.usage]
        assert sum(u.completion_tokens for u in usages) == model.decoded
        assert sum(u.prompt_tokens - u.cached_tokens for u in usages) == model.prefilled
        assert sum(u.calls for u in usages) == model.calls
    for result in results.values():
        for role, usage in result.usage.items():
            written = sum(span.tokens for span in result.spans if span.author == role)
            assert usage.kept_tokens == written


async def test_a_stream_delivers_events_as_they_happen_and_ends_with_the_result() -> None:
    recipe = Recipe(policy=Always(), verifiers=(AlwaysMentor(),))
    controller = pair(recipe=recipe, mentor=FakeBackend(model=FakeModel("only this")))

    async with controller, controller.stream("q") as events:
        seen = [event async for event in events]

    assert [type(event) for event in seen] == [
        Decided,
        Verified,
        Committed,
        Settled,
        Ended,
        Finished,
    ]
    assert isinstance(seen[-1], Finished)
    assert seen[-1].result.text == "only this"


async def test_leaving_a_stream_early_leaves_nothing_behind() -> None:
    generator, mentor = FakeModel(LONG), FakeModel(OTHER)
    controller = pair(generator=FakeBackend(model=generator), mentor=FakeBackend(model=mentor))

    async with controller:
        async with controller.stream("q") as events:
            await events.receive()
        open_sessions = generator.open_sessions + mentor.open_sessions

    assert open_sessions == 0


async def test_leaving_a_map_early_leaves_nothing_behind() -> None:
    generator = FakeModel(LONG)
    controller = pair(generator=FakeBackend(model=generator), recipe=Recipe(policy=Never()))

    async with controller:
        before = anyio.get_running_tasks()
        async with controller.map(PROBLEMS, concurrency=8) as results:
            await results.receive()
        tasks = anyio.get_running_tasks()

    assert generator.open_sessions == 0
    assert len(tasks) == len(before)


async def test_cancelling_a_problem_closes_its_sessions_and_counts_its_calls() -> None:
    generator = FakeModel(LONG, is_stuck=True)
    controller = pair(generator=FakeBackend(model=generator), recipe=Recipe(policy=Never()))

    async with controller:
        with anyio.move_on_after(0.01):
            await controller.solve("q")

    assert (generator.open_sessions, generator.calls) == (0, 1)


async def test_the_ledger_of_a_cancelled_problem_is_handed_over() -> None:
    generator = FakeModel(LONG)
    mentor = FakeModel(LONG, is_stuck=True)
    controller = pair(
        generator=FakeBackend(model=generator),
        mentor=FakeBackend(model=mentor),
        recipe=Recipe(policy=Always()),
    )
    given_up: list[Result] = []
    controller.on_abandoned = given_up.append

    async with controller:
        with anyio.move_on_after(0.01):
            await controller.solve("q")

    (result,) = given_up
    assert (result.reason, result.text) == ("cancelled", "")
    assert [(call.role, call.outcome) for call in result.calls] == [
        ("generator", "ok"),
        ("mentor", "cancelled"),
    ]


async def test_problems_are_taken_only_when_there_is_room() -> None:
    taken: list[str] = []

    def problems() -> object:
        for problem in PROBLEMS:
            taken.append(problem.id)
            yield problem

    controller = pair(recipe=Recipe(policy=Never()))
    async with controller:
        async with controller.map(problems(), concurrency=2) as results:  # type: ignore[arg-type]
            await results.receive()
            count = len(taken)

    assert count <= 4


async def test_an_error_in_the_callers_block_comes_out_as_itself() -> None:
    controller = pair(recipe=Recipe(policy=Never()))

    with pytest.raises(KeyError, match="mine"):
        async with controller, controller.map(PROBLEMS) as results:
            await results.receive()
            raise KeyError("mine")


async def test_needs_are_checked_before_the_first_token() -> None:
    blind = FakeModel(LONG, capabilities=Capabilities(prefix_mode="text"))
    recipe = Recipe(policy=Entropy(), verifiers=(SelfJudge(),))

    with pytest.raises(CapabilityError, match=r"Entropy needs entropy \(k=20\).*SelfJudge needs"):
        async with pair(generator=FakeBackend(model=blind), recipe=recipe):
            pass

    assert blind.calls == 0


async def test_an_empty_prompt_fails_its_problem() -> None:
    async with pair() as controller:
        result = await controller.solve(Problem(id="p", prompt="  \n"))

    with pytest.raises(EmptyPromptError, match="problem 'p' has an empty prompt"):
        result.raise_for_error()


async def test_a_prompt_that_does_not_fit_the_mentor_fails_before_any_call() -> None:
    generator = FakeModel(LONG)
    narrow = FakeModel(OTHER, capabilities=Capabilities(prefix_mode="text", context_tokens=3))
    recipe = Recipe(policy=Never())

    async with pair(
        generator=FakeBackend(model=generator), mentor=FakeBackend(model=narrow), recipe=recipe
    ) as controller:
        result = await controller.solve("one two three four")

    assert generator.calls == 0
    with pytest.raises(ContextOverflowError, match="prompt of 4 tokens exceeds the 3 of 'fake'"):
        result.raise_for_error()


async def test_an_unexpected_error_is_recorded_and_raised_as_ours() -> None:
    class Bad(FakeModel):
        def open(self, view: object, **options: object) -> Never:  # type: ignore[override]
            raise KeyError

    async with pair(generator=FakeBackend(model=Bad())) as controller:
        result = await controller.solve(Problem(id="p", prompt="q"))

    with pytest.raises(CollabError, match="'p' failed: KeyError"):
        result.raise_for_error()


async def test_half_a_character_in_a_prompt_fails_only_its_problem() -> None:
    prompts = ["one", "half \ud800 a character", "two"]

    async with pair() as controller, controller.map(prompts, concurrency=2) as results:
        found = {result.problem.prompt: result async for result in results}

    assert [found[prompt].error is None for prompt in prompts] == [True, False, True]
    with pytest.raises(InvalidPromptError, match="contains half a character"):
        found[prompts[1]].raise_for_error()


async def test_an_unconnected_controller_says_how_to_connect() -> None:
    with pytest.raises(ConfigError, match="the models are not connected; use `async with`"):
        await pair().solve("q")


async def test_equal_backends_share_one_model() -> None:
    backend = FakeBackend(model=FakeModel("a b"))

    async with pair(generator=backend, mentor=backend) as controller:
        result = await controller.solve("q")

    assert result.text == "a b"


async def test_the_generators_name_cannot_be_a_mentors() -> None:
    with pytest.raises(ConfigError, match="'generator' cannot be a mentor's or judge's name"):
        pair(mentor={"generator": FakeBackend()})


async def test_the_concurrency_is_at_least_one() -> None:
    async with pair() as controller:
        with pytest.raises(ConfigError, match="concurrency is 0; it must be at least 1"):
            async with controller.map([], concurrency=0):
                pass


async def test_thinking_tags_are_translated_in_both_directions() -> None:
    generator = FakeModel("<t> a </t> b c")
    mentor = FakeModel("[ x ] y z")
    spec = ThinkingTags(opening="<t>", closing="</t>")
    other = ThinkingTags(opening="[", closing="]")
    controller = pair(
        generator=FakeBackend(model=generator, view=ViewOptions(thinking=spec)),
        mentor=FakeBackend(model=mentor, view=ViewOptions(thinking=other)),
        recipe=Recipe(policy=Always(), verifiers=(AlwaysMentor(),)),
    )

    async with controller:
        result = await controller.solve("q")

    assert result.text == "<t> x </t> y z"


async def test_thinking_tags_are_translated_also_where_they_span_tokens() -> None:
    controller = pair(
        generator=FakeBackend(
            model=FakeModel("a b"), view=ViewOptions(thinking=ThinkingTags(opening="<t>"))
        ),
        mentor=FakeBackend(
            model=FakeModel("so <reason> x </reason> y"),
            view=ViewOptions(thinking=ThinkingTags(opening="<reason>", closing="</reason>")),
        ),
        recipe=Recipe(policy=Always(), verifiers=(AlwaysMentor(),)),
    )

    async with controller:
        result = await controller.solve("q")

    # The fakes' tokens are words and marks, so each tag is three or four of them.
    assert result.text == "so <t> x </think> y"


async def test_problems_that_cannot_be_read_on_say_so_themselves() -> None:
    def failing() -> Iterator[str]:
        yield "q"
        raise KeyError("no more")

    with pytest.raises(KeyError, match="no more"):
        async with pair() as controller, controller.map(failing(), concurrency=2) as results:
            async for _ in results:
                pass


async def test_calls_are_priced_and_money_stops_a_problem() -> None:
    mentor = FakeBackend(model=FakeModel(OTHER), price=Price(prompt=0, completion=1e6))
    controller = pair(
        mentor=mentor,
        recipe=Recipe(policy=Always(), verifiers=(AlwaysMentor(),)),
        budget=Budget(max_cost_usd=20),
    )

    async with controller:
        result = await controller.solve("q")

    # 16 tokens a call at one dollar each: the second call passes the bound, the third is not made
    assert (result.cost_usd, str(result.ending)) == (32, "budget: max_cost_usd")
