"""A pair: connected models for many requests, each with its own recipe, seed, sampling, budget."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest

from collab import (
    Backend,
    Budget,
    Capabilities,
    Committed,
    Finished,
    Message,
    Model,
    Pair,
    Problem,
    Recipe,
    Result,
    Sampling,
    Settled,
    StreamEvent,
    TokenUnit,
    Until,
)
from collab.errors import (
    CapabilityError,
    ConfigError,
    OverloadedError,
    PluginError,
    UnknownPluginError,
)
from collab.seam.stateless import TextModel
from collab.testing import FakeBackend, FakeModel
from collab_policies.always import Always
from collab_policies.entropy import Entropy
from collab_policies.lookahead import Lookahead
from collab_policies.mentorcollab_free import MentorCollabFree
from collab_policies.never import Never
from collab_policies.random_positions import RandomPositions

OWN = " ".join(f"w{n}" for n in range(30))
OTHER = " ".join(f"m{n}" for n in range(30))
ALONE, ALWAYS = Recipe(policy=Never()), Recipe(policy=Always())


def pair_of(
    generator: FakeModel | None = None, mentor: FakeModel | None = None, **options: object
) -> Pair:
    return Pair(
        generator=FakeBackend(model=generator or FakeModel(OWN)),
        mentor=FakeBackend(model=mentor or FakeModel(OTHER)),
        **options,  # type: ignore[arg-type]
    )


async def test_requests_bring_their_own_recipes_at_the_same_time() -> None:
    results: dict[str, Result] = {}

    async with pair_of() as pair:

        async def solve(name: str, recipe: Recipe | MentorCollabFree | str) -> None:
            results[name] = await pair.solve(Problem(id=name, prompt="q"), recipe=recipe)

        async with anyio.create_task_group() as group:
            group.start_soon(solve, "alone", ALONE)
            group.start_soon(solve, "always", ALWAYS)
            group.start_soon(solve, "factory", MentorCollabFree(rate=0.0))
            group.start_soon(solve, "named", "mentorcollab-free")

    assert results["alone"].text == OWN
    assert results["always"].text == OTHER
    assert results["factory"].text == OWN
    assert results["named"].error is None


async def test_a_result_depends_on_its_own_seed_and_on_nothing_beside_it() -> None:
    recipe = Recipe(policy=RandomPositions(rate=0.3), unit=TokenUnit())
    problem = Problem(id="p", prompt="q")
    async with pair_of() as pair:
        first = await pair.solve(problem, recipe=recipe, seed=1)
        await pair.solve(problem, recipe=ALWAYS, seed=5)
        again = await pair.solve(problem, recipe=recipe, seed=1)
        other = await pair.solve(problem, recipe=recipe, seed=2)

    assert (first.spans, first.events) == (again.spans, again.events)
    assert first.text != other.text


async def test_a_request_brings_its_own_budget_and_sampling() -> None:
    class Plain(TextModel):
        async def write(self, text: str, max_tokens: int, sampling: Sampling) -> AsyncIterator[str]:
            yield f"at {sampling.temperature}"

    class Warmth(Backend):
        @asynccontextmanager
        async def connect(self) -> AsyncIterator[Model]:
            yield Plain()

    async with Pair(generator=Warmth()) as pair:
        warm = await pair.solve("q", recipe=ALONE, sampling=Sampling(temperature=0.5))
        greedy = await pair.solve("q", recipe=ALONE)
    async with pair_of() as pair:
        short = await pair.solve("q", recipe=ALWAYS, budget=Budget(max_calls=1))

    assert (warm.text, greedy.text) == ("at 0.5", "at 0.0")
    assert str(short.ending) == "budget: max_calls"


async def test_capabilities_are_matched_for_each_request() -> None:
    plain = FakeModel(OWN, capabilities=Capabilities(prefix_mode="text"))

    async with pair_of(plain) as pair:
        with pytest.raises(CapabilityError, match=r"Entropy needs entropy \(k=20\)"):
            await pair.solve("q", recipe=Recipe(policy=Entropy()))
        result = await pair.solve("q", recipe=ALONE)

    assert result.text == OWN


async def test_an_unknown_recipe_is_named() -> None:
    async with pair_of() as pair:
        with pytest.raises(UnknownPluginError, match="no recipe 'rankgiude'; did you mean 'rankg"):
            await pair.solve("q", recipe="rankgiude")


async def test_requests_wait_for_a_place() -> None:
    generator = FakeModel(OWN)
    most = 0

    async with pair_of(generator, max_requests=2) as pair:

        async def solve(number: int) -> None:
            nonlocal most
            await pair.solve(Problem(id=str(number), prompt="q"), recipe=ALWAYS)
            most = max(most, generator.open_sessions)

        async with anyio.create_task_group() as group:
            for number in range(8):
                group.start_soon(solve, number)

    assert most <= 2
    assert generator.calls >= 8


async def test_one_request_too_many_is_refused_and_the_others_stay() -> None:
    generator = FakeModel(OWN, is_stuck=True)
    async with pair_of(generator, max_requests=1, max_waiting=1) as pair:
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(partial(pair.solve, "q", recipe=ALONE))
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(OverloadedError, match="1 requests are in work and 1 wait; try"):
                await pair.solve("q", recipe=ALONE)
            in_work = generator.calls
            group.cancel_scope.cancel()
        generator.is_stuck = False
        result = await pair.solve("q", recipe=ALONE)

    assert (in_work, result.text) == (1, OWN)


async def test_a_place_is_free_again_after_a_cancelled_request() -> None:
    async with pair_of(FakeModel(OWN, stuck_at=(0,)), max_requests=1, max_waiting=0) as pair:
        with anyio.move_on_after(0.01):
            await pair.solve("q", recipe=ALONE)
        result = await pair.solve("q", recipe=ALONE)

    assert result.text == OWN


@pytest.mark.parametrize(
    ("bounds", "told"),
    [
        ({"max_requests": 0}, "max_requests is 0; it must be at least 1"),
        ({"max_waiting": -1}, "max_waiting is -1; it must be at least 0"),
    ],
)
def test_bounds_that_admit_nobody_are_refused(bounds: dict[str, int], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        pair_of(**bounds)  # type: ignore[arg-type]


async def test_an_unconnected_pair_says_how_to_connect() -> None:
    pair = pair_of()

    with pytest.raises(ConfigError, match="the models are not connected; use `async with`"):
        await pair.solve("q", recipe=ALONE)
    async with pair:
        pass
    with pytest.raises(ConfigError, match="the models are not connected; use `async with`"):
        await pair.solve("q", recipe=ALONE)


async def test_an_abandoned_request_yields_its_ledger() -> None:
    given_up: list[Result] = []
    async with pair_of(FakeModel(OWN), FakeModel(OTHER, is_stuck=True)) as pair:
        pair.on_abandoned = given_up.append
        with anyio.move_on_after(0.01):
            await pair.solve("q", recipe=ALWAYS)

    (result,) = given_up
    assert result.reason == "cancelled"
    assert [(call.role, call.outcome) for call in result.calls] == [
        ("generator", "ok"),
        ("mentor", "cancelled"),
    ]


async def test_a_result_that_waits_in_a_stream_that_is_left_is_handed_over() -> None:
    given_up: list[Result] = []
    async with pair_of(FakeModel("a b c")) as pair:
        pair.on_abandoned = given_up.append
        async with pair.stream("q", recipe=ALONE) as events:
            await anyio.wait_all_tasks_blocked()
            await events.receive()

    assert [(result.text, result.reason) for result in given_up] == [("a b c", "eos")]


async def test_a_result_that_was_read_is_not_handed_over() -> None:
    given_up: list[Result] = []
    async with pair_of(FakeModel("a b c")) as pair:
        pair.on_abandoned = given_up.append
        async with pair.stream("q", recipe=ALONE) as events:
            seen = [event async for event in events]

    assert isinstance(seen[-1], Finished)
    assert given_up == []


async def test_a_conversation_is_a_problem() -> None:
    talk = (Message(role="user", content="q"),)
    async with pair_of() as pair:
        result = await pair.solve(talk, recipe=ALONE)

    assert (result.problem.text, result.text) == ("q", OWN)


async def test_a_strategy_is_no_recipe() -> None:
    async with pair_of() as pair:
        with pytest.raises(PluginError, match="Lookahead is a strategy, not a recipe; give Recipe"):
            await pair.solve("q", recipe=Lookahead())  # type: ignore[arg-type]


async def test_a_judge_never_writes() -> None:
    judges = {"critic": FakeBackend(model=FakeModel("no"))}
    async with pair_of(judges=judges) as pair:
        result = await pair.solve("q", recipe=Recipe(policy=Always(mentor="critic")))

    assert "asked for the mentor 'critic'; mentors of this pair: mentor" in str(result.error)


def test_a_name_is_a_mentors_or_a_judges() -> None:
    with pytest.raises(ConfigError, match="'mentor' is both a mentor and a judge"):
        pair_of(judges={"mentor": FakeBackend()})


# --- what a stream shows ----------------------------------------------------------------------


async def streamed(pair: Pair, recipe: Recipe) -> list[StreamEvent]:
    async with pair, pair.stream("q", recipe=recipe) as events:
        return [event async for event in events]


def shown(events: list[StreamEvent]) -> list[tuple[str, str]]:
    return [(event.author, event.text) for event in events if isinstance(event, Settled)]


async def test_settled_text_is_the_answer_with_its_authors() -> None:
    recipe = Recipe(policy=RandomPositions(rate=0.2), unit=TokenUnit(), segment=Until(2))

    events = await streamed(pair_of(), recipe)

    assert isinstance(events[-1], Finished)
    result = events[-1].result
    assert "".join(text for _, text in shown(events)) == result.text
    assert {author for author, _ in shown(events)} == {"generator", "mentor"}
    spans = [event.span for event in events if isinstance(event, Committed)]
    by_author = {
        author: "".join(text for who, text in shown(events) if who == author)
        for author in ("generator", "mentor")
    }
    for author, text in by_author.items():
        assert text == "".join(span.text for span in spans if span.author == author)


async def test_the_beginning_of_a_stop_string_is_held_back() -> None:
    # The stop string " c d" may begin with " c", which is no end yet.
    generator = FakeModel("a b c x c d e")
    mentor = FakeModel("a b c x c d e")
    recipe = Recipe(policy=Always(), unit=TokenUnit(), stop_strings=(" c d",), segment=Until(1))

    events = await streamed(pair_of(generator, mentor), recipe)

    assert "".join(text for _, text in shown(events)) == "a b c x"
    assert events[-1].result.text == "a b c x"  # type: ignore[union-attr]  # the last one


async def test_all_settled_text_comes_before_the_end() -> None:
    events = await streamed(pair_of(), Recipe(policy=Never(), stop_strings=("w29!",)))

    kinds = [type(event).__name__ for event in events]
    assert kinds[-2:] == ["Ended", "Finished"]
    assert "Settled" not in kinds[-2:]
    assert "".join(text for _, text in shown(events)) == OWN
