"""Strategies on the shipped pair: what a fake cannot show."""

import pytest
from support.desks import Does, Work
from support.documents import ROOT

from collab import (
    GENERATOR,
    Desk,
    Ending,
    Pair,
    Problem,
    Recipe,
    Sampling,
    StepUnit,
    TokenUnit,
    Until,
    read_problems,
)
from collab_backends.local.backend import LocalTorch
from collab_policies.lookahead import Lookahead

LAB = ROOT / "backends/collab_backends/lab/problems.jsonl"
GENERATOR_MODEL = LocalTorch(model="lab/generator", threads=1)
MENTOR_MODEL = LocalTorch(model="lab/mentor", threads=1)


def problems(count: int) -> list[Problem]:
    found = [one for one in read_problems(LAB) if isinstance(one, Problem)]
    return found[:count]


@pytest.mark.parametrize("depth", [1, 4])
async def test_looking_ahead_without_a_judge_writes_what_the_mentor_alone_writes(
    depth: int,
) -> None:
    recipe = Recipe(
        strategy=Lookahead(depth=depth, judge=None),
        unit=StepUnit(max_tokens=64),
        max_answer_tokens=256,
    )
    async with (
        Pair(generator=GENERATOR_MODEL, mentor=MENTOR_MODEL) as pair,
        Pair(generator=MENTOR_MODEL) as mentor,
    ):
        for problem in problems(4):
            together = await pair.solve(problem, recipe=recipe)
            alone = await mentor.solve(problem, recipe=Recipe(max_answer_tokens=256))

            assert together.raise_for_error().text == alone.text
            for role, usage in together.usage.items():
                written = sum(span.tokens for span in together.spans if span.author == role)
                assert usage.kept_tokens == written


async def solve(work: Work) -> None:
    recipe = Recipe(
        strategy=Does(work=work), unit=TokenUnit(size=12), sampling=Sampling(temperature=6.0)
    )
    async with Pair(generator=GENERATOR_MODEL) as pair:
        (await pair.solve(problems(1)[0], recipe=recipe, seed=3)).raise_for_error()


async def test_alternatives_are_texts_of_their_own_and_the_chosen_one_goes_on() -> None:
    seen: list[str] = []

    async def work(desk: Desk) -> Ending | None:
        many = await desk.write_many(GENERATOR, 3, Until(12))
        seen.extend(one.text for one in many)
        await desk.commit(many[2])
        longer = await desk.write(GENERATOR, Until(4))
        await desk.commit(longer)
        seen.append(desk.text)
        return desk.finish()

    await solve(work)

    assert len(set(seen[:3])) == 3
    assert seen[3].startswith(seen[2])


async def test_a_branch_draws_as_its_desk_would_unless_it_is_reseeded() -> None:
    seen: list[str] = []

    async def work(desk: Desk) -> Ending | None:
        async with desk.branch() as same, desk.branch(is_reseeded=True) as other:
            for branch in (desk, same, other):
                seen.append((await branch.write(GENERATOR, Until(12))).text)  # noqa: PERF401
        await desk.inject("done")
        return desk.finish()

    await solve(work)

    assert seen[0] == seen[1] != seen[2]
