"""The conformance checks can fail, and say why."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import pytest
from pydantic import BaseModel, ConfigDict

from collab import (
    Consult,
    Continue,
    Controller,
    Draft,
    Policy,
    PolicySession,
    Problem,
    Recipe,
    Verdict,
    Verifier,
)
from collab.capabilities import Need
from collab.messages import text_of
from collab.proposals import Candidate, Sampling, Until
from collab.protocols import VerifierSession
from collab.signals import NO_SIGNALS, Signals
from collab.testing import (
    ConformanceError,
    FakeBackend,
    FakeModel,
    FakeSession,
    check_backend,
    check_policy,
    check_recipe,
    check_verifier,
)
from collab.views import View, ViewOptions

VIEW = View("generator", "?", ViewOptions())


class Forgetful(PolicySession):
    def decide(self, draft: Draft) -> Continue:
        return Continue()


async def test_the_fakes_keep_to_the_contract() -> None:
    await check_backend(FakeBackend(model=FakeModel("one two three four five six seven eight")))


class Careless(FakeSession):
    """Goes back to whatever it is given."""

    def rollback(self, mark: object) -> None:
        with suppress(ValueError):
            super().rollback(mark)


async def test_a_session_that_takes_any_mark_is_found() -> None:
    @dataclass(eq=False)
    class CarelessModel(FakeModel):
        @asynccontextmanager
        async def open(
            self, view: View, *, seed: int, signals: Signals = NO_SIGNALS
        ) -> AsyncIterator[FakeSession]:
            yield Careless(self, view.participant, text_of(view.prompt), signals)

    with pytest.raises(ConformanceError, match=r"rollback\(\) to a foreign mark is not refused"):
        await check_backend(FakeBackend(model=CarelessModel("one two three four")))


def test_a_policy_that_shares_its_session_is_found() -> None:
    shared = Forgetful()

    class Sharing(Policy):
        def start(self, problem: Problem, rng: random.Random) -> PolicySession:
            return shared

    with pytest.raises(ConformanceError, match="returns the same session twice"):
        check_policy(Sharing())


def test_a_policy_with_its_own_dice_is_found() -> None:
    dice = random.Random(1)

    class Dicing(Policy):
        def start(self, problem: Problem, rng: random.Random) -> PolicySession:
            return DicingSession()

    class DicingSession(PolicySession):
        def decide(self, draft: Draft) -> Consult | Continue:
            return Consult() if dice.random() < 0.5 else Continue()

    with pytest.raises(ConformanceError, match="same random stream decide differently"):
        check_policy(Dicing())


def test_a_policy_that_is_not_frozen_is_found() -> None:
    class Loose(Policy):
        model_config = ConfigDict(frozen=False)

    with pytest.raises(ConformanceError, match="model_config is not frozen"):
        check_policy(Loose())


def test_a_policy_that_takes_any_option_is_found() -> None:
    class Open(Policy):
        model_config = ConfigDict(extra="ignore")

        def start(self, problem: Problem, rng: random.Random) -> PolicySession:
            return Forgetful()

    with pytest.raises(ConformanceError, match="accepts unknown options"):
        check_policy(Open())


async def test_a_verifier_that_names_a_stranger_is_found() -> None:
    class Stranger(Verifier):
        def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
            return StrangerSession()

    class StrangerSession(VerifierSession):
        async def verify(self, case: object, models: object) -> Verdict:
            return Verdict("somebody")

    with pytest.raises(ConformanceError, match="expected Abstain or a Verdict for one of"):
        await check_verifier(Stranger())


def test_a_recipe_that_makes_none_is_found() -> None:
    class Empty(BaseModel):
        model_config = ConfigDict(extra="forbid", frozen=True)

        def recipe(self) -> str:
            return "soup"

    with pytest.raises(ConformanceError, match="returned 'soup', not a Recipe"):
        check_recipe(Empty())  # type: ignore[arg-type]  # that is the point


def test_a_signal_that_is_no_number_is_found_and_told_as_such() -> None:
    class Unclear(Policy):
        def start(self, problem: Problem, rng: random.Random) -> PolicySession:
            return UnclearSession()

    class UnclearSession(PolicySession):
        def decide(self, draft: Draft) -> Consult | Continue:
            return Continue(signal=float("nan"))

    with pytest.raises(
        ConformanceError,
        match=r"decide\(\) returned a decision with the signal nan, which is no number; give None",
    ):
        check_policy(Unclear())


async def test_a_fake_names_what_else_it_might_have_written() -> None:
    model = FakeModel("one two", alternatives={" two": {" three": -2.0, " four": -1.0}})

    async with model.open(VIEW, seed=0, signals=Signals(top_k=2)) as live:
        one, two = (await live.generate(Until(2), Sampling())).tokens
        scored = await live.score("one six")

    assert one.top == (Candidate(0, "one", 0.0),)
    assert two.top == (Candidate(1, " two", 0.0), Candidate(-1, " four", -1.0))
    assert [(token.logprob, token.top) for token in scored] == [(0.0, one.top), (-1.0, two.top)]


async def test_a_policy_that_needs_the_likeliest_tokens_is_shown_them() -> None:
    seen: list[int] = []

    class Choosy(Policy):
        @property
        def needs(self) -> tuple[Need, ...]:
            return (Need("generator", "top_logprobs", 2),)

        def start(self, problem: Problem, rng: random.Random) -> PolicySession:
            return ChoosySession()

    class ChoosySession(PolicySession):
        def decide(self, draft: Draft) -> Continue:
            seen.extend(len(token.top) for token in draft.tokens)
            return Continue()

    generator = FakeBackend(model=FakeModel("one two", alternatives={" two": {" three": -2.0}}))
    async with Controller(generator=generator, recipe=Recipe(policy=Choosy())) as controller:
        (await controller.solve("?")).raise_for_error()

    assert seen == [1, 2]
