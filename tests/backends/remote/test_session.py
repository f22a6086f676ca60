"""Sessions with a server: what is asked for, streamed, cancelled and counted."""

import math
from dataclasses import replace

import anyio
import pytest
from starlette.responses import JSONResponse, Response, StreamingResponse
from support.servers import Json, Scripted, running, sse, status

from collab import Controller, Recipe
from collab.errors import ConfigError, InvalidPromptError, ModelCallError, ModelLoadError
from collab.messages import Message
from collab.proposals import Candidate, Sampling, Until
from collab.seam import ReseededSession, Session, SteeredSession
from collab.signals import Signals
from collab.testing import FakeBackend, FakeModel, check_backend
from collab.units import WordUnit
from collab.views import View, ViewOptions
from collab_backends.remote.backend import OpenAIServer
from collab_backends.remote.model import RemoteModel
from collab_policies.random_positions import RandomPositions

GREEDY = Sampling()
VIEW = View("mentor", "q", ViewOptions(template="raw"))
BEGUN = (Message(role="user", content="q"), Message(role="assistant", content=" one"))


async def test_it_keeps_to_the_contract() -> None:
    async with running(Scripted(top_logprobs=0)) as server:
        await check_backend(server.backend(mode="text"), "q")


async def test_what_was_written_ahead_costs_nothing_again() -> None:
    async with running(Scripted()) as server, server.backend().connect() as model:
        server.asked.clear()
        async with model.open(VIEW, seed=0) as session:
            first = await session.generate(Until(4), GREEDY)
            again = await session.generate(Until(2), GREEDY)
            session.commit(2)
            rest = await session.generate(Until(2), GREEDY)

    assert (first.text, again.text, rest.text) == (" one two three four", " one two", " three four")
    assert len(server.asked) == 1


async def test_a_reseeded_fork_asks_with_a_seed_of_its_own() -> None:
    warm = Sampling(temperature=1.0)
    async with running(Scripted()) as server, server.backend().connect() as model:
        server.asked.clear()
        async with model.open(VIEW, seed=1) as session:
            await session.generate(Until(2), warm)
            async with session.fork() as twin:
                assert isinstance(twin, ReseededSession)
                twin.reseed(7)
                await twin.generate(Until(2), warm)
                session.adopt(twin)
            await session.generate(Until(4), warm)

    assert [body["seed"] for body in server.asked] == [1, 7, 7]


async def test_a_long_stretch_is_streamed_and_left_as_soon_as_it_is_enough() -> None:
    left = anyio.Event()

    async def endless(server: Scripted, body: Json) -> Response:
        async def events() -> object:
            try:
                while True:
                    async for event in sse([server.part([" word"], "", body)]):
                        yield event
                    await anyio.lowlevel.checkpoint()
            finally:
                left.set()

        return StreamingResponse(events(), media_type="text/event-stream")  # type: ignore[arg-type]

    async with running(Scripted(faults=[])) as server, server.backend().connect() as model:
        server.faults.append(endless)
        async with model.open(VIEW, seed=0) as session:
            proposal = await session.generate(Until(500, WordUnit(), 3), GREEDY)
        with anyio.fail_after(5):
            await left.wait()

    assert proposal.text == " word word word"
    assert session.meter.is_estimated


async def test_entropies_and_margins_come_from_the_candidates() -> None:
    async with running(Scripted()) as server, server.backend().connect() as model:
        async with model.open(VIEW, seed=0, signals=Signals(entropy_top_k=3)) as session:
            proposal = await session.generate(Until(2), GREEDY)

    weights = [math.exp(-n) for n in range(3)]
    shares = [weight / sum(weights) for weight in weights]
    for token in proposal.tokens:
        assert token.entropy_nats == pytest.approx(-sum(p * math.log(p) for p in shares))
        assert token.margin == pytest.approx(1.0)
        assert token.logprob == pytest.approx(-0.1)


async def test_labels_are_judged_by_the_candidates_of_one_token() -> None:
    async with running(Scripted(writes=("yes",))) as server, server.backend().connect() as model:
        async with model.open(VIEW, seed=0) as session:
            answer = await session.judge(" Right? (", ("yes", "no"))

    assert answer.labels == {"yes": pytest.approx(math.exp(-0.1)), "no": 0}
    assert answer.likeliest == "yes"
    assert server.asked[-1]["prompt"] == "q Right? ("


async def test_what_a_server_cannot_do_is_refused_before_anything_is_sent() -> None:
    async with running(Scripted(top_logprobs=0)) as server, server.backend().connect() as model:
        async with model.open(VIEW, seed=0) as session:
            server.asked.clear()
            with pytest.raises(ModelCallError, match="gives no probabilities to judge by"):
                await session.judge("A or B?", ("A", "B"))
            with pytest.raises(ModelCallError, match="cannot score given text"):
                await session.score(" x")
            assert not isinstance(session, SteeredSession)

    assert not model.capabilities.can_judge
    assert server.asked == []


async def fork_and_write(session: Session) -> str:
    async with session.fork() as twin:
        twin.append(" one")
        return (await twin.generate(Until(2), GREEDY)).text


async def test_a_fork_is_independent() -> None:
    async with running(Scripted()) as server, server.backend().connect() as model:
        async with model.open(VIEW, seed=0) as session:
            assert await fork_and_write(session) == " two three"
            assert (await session.generate(Until(2), GREEDY)).text == " one two"


@pytest.mark.parametrize("mode", ["text", "chat-continue", "prefill", "quoted"])
async def test_a_mentor_is_continued_in_every_mode(mode: str) -> None:
    async with running(Scripted()) as server:
        backend = server.backend(mode=mode)
        async with backend.connect() as model, model.open(VIEW, seed=0) as session:
            session.append(" one two" if mode != "quoted" else "")
            proposal = await session.generate(Until(2), GREEDY)

    assert proposal.text == (" three four" if mode != "quoted" else " one two")
    assert model.capabilities.prefix_mode == mode


async def test_a_mentor_asked_in_words_is_named_in_the_result() -> None:
    async with running(Scripted()) as server:
        async with Controller(
            generator=FakeBackend(model=FakeModel("a b")),
            mentor=server.backend(mode="quoted"),
            recipe=Recipe(policy=RandomPositions(rate=0.5)),
        ) as controller:
            result = await controller.solve("q")

    assert result.degradations == ("mentor: quoted continuation",)


async def test_the_key_is_sent_and_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-very-secret")
    async with running(Scripted()) as server:
        backend = server.backend(api_key_env="MY_KEY")
        async with backend.connect() as model:
            assert isinstance(model, RemoteModel)
            shown = repr(backend) + repr(model.endpoints[0].__dict__.get("host")) + str(model)

    assert set(server.keys) == {"Bearer sk-very-secret"}
    assert "sk-very-secret" not in shown + backend.model_dump_json()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("127.0.0.1:8000/v1", "is not a base URL; write it with its scheme"),
        ("http://127.0.0.1:8000/v1/chat/completions", "leave out '/chat/completions'"),
        ("", "is not a base URL"),
    ],
)
def test_a_base_url_that_cannot_be_one_is_refused(url: str, told: str) -> None:
    with pytest.raises((ConfigError, ValueError), match=told):
        OpenAIServer(model="m", base_url=url)  # type: ignore[arg-type]


async def test_a_model_that_the_server_does_not_have_is_refused_with_those_it_has() -> None:
    told = "has no model 'other'; it has: m. A call was tried anyway; it says: .*no such model"
    async with running(Scripted(faults=[status(404, "no such model")] * 4)) as server:
        with pytest.raises(ModelLoadError, match=told):
            async with server.backend(model="other").connect():
                pass


async def test_a_model_that_is_not_listed_and_answers_is_there() -> None:
    async with running(Scripted()) as server:
        async with server.backend(model="other").connect() as model:
            assert isinstance(model, RemoteModel)
            (note, *_) = model.observed.notes

    assert note == f"{server.url} has no model 'other'; it has: m; but it answers"


async def test_a_server_of_another_kind_is_recognised() -> None:
    async with running(Scripted()) as server:
        url = server.url.removesuffix("/v1")
        with pytest.raises(ModelLoadError, match="does not know the path"):
            async with server.backend(base_url=url).connect():
                pass


async def test_a_remote_generator_asks_for_whole_stretches() -> None:
    words = [f" w{n}" for n in range(200)]
    async with running(Scripted(writes=words, top_logprobs=0)) as server:
        controller = Controller(
            generator=server.backend(),
            mentor=FakeBackend(model=FakeModel("".join(words))),
            recipe=Recipe(policy=RandomPositions(rate=0.24), segment=Until(16)),
        )
        async with controller:
            server.asked.clear()
            result = await controller.solve("q")

    assert len(server.asked) / 200 <= 0.25
    assert result.error is None


async def test_a_prefill_that_is_given_back_is_seen_and_taken_off() -> None:
    async with running(Scripted(repeats_prefill=True, top_logprobs=0)) as server:
        async with server.backend(mode=None).connect() as model:
            async with model.open(VIEW, seed=0) as session:
                session.append(" one two")
                proposal = await session.generate(Until(2), GREEDY)

    assert model.capabilities.prefix_mode == "prefill"
    assert proposal.text == " three four"


async def test_a_prefill_that_is_given_back_in_a_stream_is_taken_off_too() -> None:
    async with running(Scripted(repeats_prefill=True, top_logprobs=0)) as server:
        async with server.backend(mode="prefill").connect() as model:
            async with model.open(VIEW, seed=0) as session:
                session.append(" one two")
                proposal = await session.generate(Until(64, WordUnit(), 2), GREEDY)

    assert server.asked[-1]["stream"]
    assert proposal.text == " three four"


async def test_a_server_that_does_not_stream_is_asked_for_whole_answers() -> None:
    def refuse(body: Json) -> Response | None:
        refusal = JSONResponse({"error": {"message": "no streams here"}}, 501)
        return refusal if body.get("stream") else None

    async with running(Scripted(refuses=refuse)) as server, server.backend().connect() as model:
        assert isinstance(model, RemoteModel)
        async with model.open(VIEW, seed=0) as session:
            proposal = await session.generate(Until(64), GREEDY)

    assert proposal.text == " one two three four five six"
    assert not model.observed.can_stream
    assert model.capabilities.usage == "exact"
    told = "answers are not streamed, so they are asked for whole: .*no streams here"
    with pytest.raises(AssertionError, match=told):
        raise AssertionError(model.observed.notes)


@pytest.mark.parametrize("mode", ["text", "chat-continue"])
async def test_the_likeliest_tokens_are_named_where_they_are_asked_for(mode: str) -> None:
    async with running(Scripted()) as server, server.backend(mode=mode).connect() as model:
        async with model.open(VIEW, seed=0, signals=Signals(top_k=3)) as session:
            token = (await session.generate(Until(2), GREEDY)).tokens[1]
        async with model.open(VIEW, seed=0) as session:
            plain = (await session.generate(Until(2), GREEDY)).tokens[1]

    # As the server names them: what it writes, and others each one nat less likely.
    assert token.top == (
        Candidate(-1, token.text, -0.1),
        Candidate(-1, "~1", -1.1),
        Candidate(-1, "~2", -2.1),
    )
    assert plain.top == ()


@pytest.mark.parametrize("mode", ["chat-continue", "prefill"])
async def test_a_begun_answer_is_written_on_at(mode: str) -> None:
    view = replace(VIEW, prompt=BEGUN)
    async with running(Scripted()) as server, server.backend(mode=mode).connect() as model:
        async with model.open(view, seed=0) as session:
            proposal = await session.generate(Until(2), GREEDY)

    assert proposal.text == " two three"
    assert server.asked[-1]["messages"] == [one.model_dump() for one in BEGUN]


async def test_a_prefill_that_is_given_back_is_taken_off_a_begun_answer_too() -> None:
    async with running(Scripted(repeats_prefill=True, top_logprobs=0)) as server:
        async with server.backend(mode="prefill").connect() as model:
            async with model.open(replace(VIEW, prompt=BEGUN), seed=0) as session:
                proposal = await session.generate(Until(2), GREEDY)

    assert proposal.text == " two three"


async def test_a_server_of_texts_without_a_tokenizer_takes_no_conversation() -> None:
    async with running(Scripted()) as server, server.backend(mode="text").connect() as model:
        with pytest.raises(InvalidPromptError, match="this one has: user, assistant"):
            async with model.open(replace(VIEW, prompt=BEGUN), seed=0):
                pass
