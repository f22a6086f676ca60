"""What a mentor behind a server is asked for in a consultation: no more than may be read."""

from collections.abc import Sequence

from support.servers import Scripted, running

from collab import Controller, Recipe, Result
from collab.proposals import Sampling, Token, Until
from collab.testing import FakeBackend, FakeModel
from collab.units import WordUnit
from collab.views import View, ViewOptions
from collab_policies.agreement import Agreement
from collab_policies.always import Always
from collab_policies.always_mentor import AlwaysMentor

GREEDY = Sampling()
VIEW = View("mentor", "q", ViewOptions(template="raw"))
WORDS = (" one", " two", " three", " four", " five", " six")


async def consult(server: Scripted, writes: str, *verifiers: object) -> Result:
    """Have a generator that writes `writes` ask the server at every word."""
    recipe = Recipe(
        policy=Always(),
        verifiers=(*verifiers, AlwaysMentor()),  # type: ignore[arg-type]
        unit=WordUnit(),
        segment=Until(4),
        max_answer_tokens=6,
    )
    async with Controller(
        generator=FakeBackend(model=FakeModel(writes)), mentor=server.backend(), recipe=recipe
    ) as controller:
        server.asked.clear()
        return await controller.solve("q")


async def test_a_mentor_that_agrees_is_asked_for_the_drafts_word_alone() -> None:
    async with running(Scripted(writes=WORDS)) as server:
        result = await consult(server, "".join(WORDS), Agreement())

    # Whether a word is complete shows in the next token, which is then there already.
    assert [body["max_tokens"] for body in server.asked] == [2, 1, 1, 1, 1]
    assert not any(body.get("stream") for body in server.asked)
    assert result.text == "".join(WORDS)
    mentor = [call for call in result.calls if call.role == "mentor"]
    assert sum(call.completion_tokens for call in mentor) == 6
    assert not any(call.is_estimated for call in mentor)


async def test_a_mentor_that_disagrees_is_asked_for_the_rest_of_its_segment_too() -> None:
    async with running(Scripted(writes=WORDS)) as server:
        result = await consult(server, " one zwei drei", Agreement())

    first, second, *_ = server.asked
    assert (first["max_tokens"], first["prompt"]) == (2, "q")
    # " two" is there already, and is no " zwei".
    assert (second["max_tokens"], second["prompt"]) == (3, "q one two")
    assert not any(body.get("stream") for body in server.asked)
    assert result.text.startswith(" one two three four five")


async def test_a_segment_of_which_all_is_read_is_asked_for_at_once() -> None:
    async with running(Scripted(writes=WORDS)) as server:
        await consult(server, "".join(WORDS))

    assert [body["max_tokens"] for body in server.asked] == [4, 2]


async def test_a_portion_that_was_enough_ends_the_proposal() -> None:
    def is_two(tokens: Sequence[Token]) -> bool:
        return len(tokens) >= 2

    async with running(Scripted(writes=WORDS)) as server, server.backend().connect() as model:
        server.asked.clear()
        async with model.open(VIEW, seed=0) as session:
            until = Until(5, stop_if=is_two, may_stop_behind=" one two")
            first = await session.generate(until, GREEDY)
            again = await session.generate(until, GREEDY)

    assert (first.text, first.stop) == (" one two", "predicate")
    assert (again.text, again.replayed) == (" one two", 3)
    assert [body["max_tokens"] for body in server.asked] == [3]


async def test_a_word_of_more_tokens_than_thought_is_asked_for_a_few_at_a_time() -> None:
    letters = [*"supercalifragilistic", " is", " long"]
    async with running(Scripted(writes=letters)) as server, server.backend().connect() as model:
        server.asked.clear()
        server.words = lambda body: letters[len(body["prompt"]) - 1 :][: body["max_tokens"]]  # type: ignore[method-assign]  # each letter is a token
        async with model.open(VIEW, seed=0) as session:
            until = Until(
                64,
                stop_if=lambda tokens: tokens[-1].text == " is",
                may_stop_behind="supercalifragilistic",
            )
            proposal = await session.generate(until, GREEDY)

    # 20 characters are taken for 5 tokens and the one behind; it takes 21.
    asked = [body["max_tokens"] for body in server.asked]
    assert asked == [6, *[2] * 8]
    assert proposal.text == "supercalifragilistic is"
