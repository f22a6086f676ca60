"""Verifiers that read nothing: baselines for those that do."""

import random

from support.cases import PROBLEM, Judge, ask, case, draft_alone
from support.plugins import Scripted, solve

from collab import NOBODY, Consult, Verdict
from collab.testing import FakeModel
from collab_policies.always_generator import AlwaysGenerator
from collab_policies.coin import Coin

QUESTION = case(["a"], ["own"], ["offered"])


async def test_always_generator_lets_the_generator_stand_with_or_without_an_offer() -> None:
    stands = Verdict("generator", why="always the generator")

    assert await ask(AlwaysGenerator(), QUESTION) == stands
    assert await ask(AlwaysGenerator(), draft_alone("a")) == stands


async def test_always_generator_writes_what_the_generator_alone_writes() -> None:
    policy = Scripted(script={1: Consult(max_tokens=2)})

    result = await solve(
        policy,
        generator=FakeModel("a b c d"),
        mentor=FakeModel("A B C D"),
        verifiers=[AlwaysGenerator()],
    )

    assert (result.text, result.mentor_share) == ("a b c d", 0)
    assert result.usage["mentor"].discarded_tokens == 2


async def test_a_coin_is_one_draw_per_question_from_the_problems_stream() -> None:
    draws = random.Random(5)
    expected = ["mentor" if draws.random() < 0.3 else "generator" for _ in range(50)]
    session = Coin(probability=0.3).start(PROBLEM, random.Random(5))

    verdicts = [await session.verify(QUESTION, Judge()) for _ in range(50)]

    assert [one.stands for one in verdicts if isinstance(one, Verdict)] == expected


async def test_a_coin_of_one_side_always_falls_on_it() -> None:
    assert await ask(Coin(probability=1), QUESTION) == Verdict("mentor", why="drawn")
    assert await ask(Coin(probability=0), QUESTION) == Verdict("generator", why="drawn")


async def test_without_an_offer_a_coin_has_the_draft_redone_or_not() -> None:
    assert await ask(Coin(probability=1), draft_alone("a")) == Verdict(NOBODY, why="drawn")
    assert await ask(Coin(probability=0), draft_alone("a")) == Verdict("generator", why="drawn")
