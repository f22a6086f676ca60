"""What verifiers may look at: hidden states at the mark, and how an answer could have ended."""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from support.plugins import Scripted, fails_with, solve

from collab import (
    Abstain,
    Consult,
    Controller,
    Problem,
    Recipe,
    Sampling,
    Verdict,
    Verifier,
    VerifierSession,
)
from collab.capabilities import Need
from collab.errors import CapabilityError, ModelCallError
from collab.proposals import Proposal
from collab.protocols import Case, VerifierDesk
from collab.seam import Backend, Model
from collab.seam.stateless import TextModel
from collab.testing import ALL_CAPABILITIES, FakeBackend, FakeModel

DEEP = replace(ALL_CAPABILITIES, has_hidden_states=True, hidden_size=2)
SEEN: list[object] = []


class Looks(Verifier):
    """Looks at whatever a test wants to see, and lets the mentor stand."""

    rolls: bool = False
    is_needy: bool = True

    @property
    def needs(self) -> Sequence[Need]:
        return (Need("generator", "hidden_states", 2),) if self.is_needy else ()

    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        return LooksSession(self.rolls)


class LooksSession(VerifierSession):
    def __init__(self, rolls: bool) -> None:
        self._rolls = rolls

    async def verify(self, case: Case, desk: VerifierDesk) -> Verdict | Abstain:
        if self._rolls:
            SEEN[:] = [await self._foreseen(one, case, desk) for one in case.proposals]
        else:
            SEEN[:] = [[*await desk.observe("generator", " well?", -1)]]
        return Verdict(case.mentor)

    async def _foreseen(self, one: Proposal, case: Case, desk: VerifierDesk) -> tuple[str, str]:
        rest = await desk.roll_out("generator", one, 99, seed=7)
        return case.answer + one.text + rest.text, rest.stop


class Plain(TextModel):
    name = "plain"

    async def write(self, text: str, max_tokens: int, sampling: Sampling) -> AsyncIterator[str]:
        yield "one"


class PlainBackend(Backend):
    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Model]:
        yield Plain()


async def test_a_verifier_reads_the_generators_state_and_the_ledger_has_it() -> None:
    generator = FakeModel("one two three", capabilities=DEEP, states={" well?": [0.5, -1.0]})

    result = await solve(
        Scripted(script={0: Consult()}),
        generator=generator,
        mentor=FakeModel("uno dos tres"),
        verifiers=[Looks()],
        max_answer_tokens=3,
    )

    assert result.error is None
    assert SEEN == [[0.5, -1.0]]
    (call,) = [call for call in result.calls if call.purpose == "probe"]
    assert (call.role, call.completion_tokens, call.discarded_tokens) == ("generator", 0, 0)
    assert sum(one.fresh_tokens for one in result.calls if one.role == "generator") == (
        generator.prefilled
    )


async def test_both_ways_are_rolled_out_to_the_end_of_the_answer() -> None:
    generator = FakeModel("one two three four five", capabilities=DEEP)

    result = await solve(
        Scripted(script={1: Consult(max_tokens=2)}),
        generator=generator,
        mentor=FakeModel("uno dos tres"),
        verifiers=[Looks(rolls=True)],
    )

    assert SEEN == [
        ("one two three four five", "eos"),
        ("one dos tres four five", "eos"),
    ]
    # What was looked at leaves no trace: the mentor's stands, and the generator goes on.
    assert result.text == "one dos tres four five"
    probes = [call for call in result.calls if call.purpose == "probe"]
    assert [call.kept_tokens for call in probes] == [0, 0]
    spent = [call.completion_tokens for call in result.calls if call.role == "generator"]
    assert sum(spent) == generator.decoded


async def test_a_proposal_that_ends_the_answer_is_not_rolled_out() -> None:
    await solve(
        Scripted(script={0: Consult(max_tokens=8)}),
        generator=FakeModel("one two", capabilities=DEEP),
        mentor=FakeModel("uno dos tres cuatro"),
        verifiers=[Looks(rolls=True)],
        max_answer_tokens=4,
    )

    assert SEEN == [("one two", "eos"), ("uno dos tres cuatro", "length")]


async def test_a_roll_out_stops_where_the_answer_would() -> None:
    result = await solve(
        Scripted(script={0: Consult(max_tokens=2)}),
        generator=FakeModel("one two three STOP four", capabilities=DEEP),
        mentor=FakeModel("uno dos"),
        verifiers=[Looks(rolls=True)],
        stop_strings=(" STOP",),
    )

    assert SEEN[1] == ("uno dos three", "stop_string")
    assert result.text == "uno dos three"


async def test_a_model_without_hidden_states_is_refused_before_the_first_token() -> None:
    generator = FakeModel("one two")

    with pytest.raises(CapabilityError) as raised:
        await solve(
            Scripted(script={0: Consult()}),
            generator=generator,
            mentor=FakeModel("uno"),
            verifiers=[Looks()],
        )

    assert "Looks needs hidden_states (2 numbers) of the generator" in str(raised.value)
    assert "Use a backend that can (`local` can do all of it)" in str(raised.value)
    assert generator.calls == 0


async def test_a_session_that_cannot_be_observed_fails_the_problem_alone() -> None:
    recipe = Recipe(policy=Scripted(script={0: Consult()}), verifiers=(Looks(is_needy=False),))
    mentor = FakeBackend(model=FakeModel("uno"))

    async with Controller(generator=PlainBackend(), mentor=mentor, recipe=recipe) as controller:
        result = await controller.solve("q")

    fails_with(ModelCallError, "'plain' hands over no hidden states")(result)


async def test_several_samples_need_a_stream_of_their_own() -> None:
    recipe = Recipe(
        policy=Scripted(script={0: Consult(max_tokens=1)}),
        verifiers=(Looks(rolls=True, is_needy=False),),
        sampling=Sampling(temperature=1.0),
    )
    controller = Controller(
        generator=PlainBackend(), mentor=FakeBackend(model=FakeModel("uno dos")), recipe=recipe
    )
    async with controller:
        result = await controller.solve("q")

    fails_with(ModelCallError, "'plain' cannot draw several samples of one text")(result)
