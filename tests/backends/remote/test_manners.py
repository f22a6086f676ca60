"""Servers that refuse a part of what is sent: it is left out or renamed, and that is said."""

import pytest
from pydantic import ValidationError
from starlette.responses import JSONResponse, Response
from support.servers import Json, Scripted, running

from collab import Controller, Recipe, Result
from collab.errors import ContextOverflowError, ModelCallError, ModelLoadError
from collab.proposals import Sampling, Until
from collab.views import View, ViewOptions
from collab_backends.remote.backend import OpenAIServer
from collab_backends.remote.manners import Manners
from collab_backends.remote.model import RemoteModel
from collab_policies.never import Never

VIEW = View("mentor", "q", ViewOptions(template="raw"))
ANSWER = " one two three four five six"


def refusing(name: str, message: str, **error: object) -> Scripted:
    """Return a server that refuses whatever has a field."""

    def refuse(body: Json) -> Response | None:
        told = {"error": {"message": message, **error}}
        return JSONResponse(told, 400) if name in body else None

    return Scripted(refuses=refuse)


def as_pydantic(name: str) -> Scripted:
    def refuse(body: Json) -> Response | None:
        told = {"detail": [{"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra"}]}
        return JSONResponse(told, 422) if name in body else None

    return Scripted(refuses=refuse)


async def solve(server: Scripted, *, tokens: int = 64, **options: object) -> tuple[Result, Json]:
    """Solve a problem with an answer that is streamed; return it and the last request."""
    recipe = Recipe(policy=Never(), max_answer_tokens=tokens, stop_strings=("###",))
    async with Controller(generator=server.backend(**options), recipe=recipe) as controller:
        server.asked.clear()
        result = await controller.solve("q")
    # What was refused in the handshake was not sent again.
    assert len(server.asked) == 1
    return result, server.asked[-1]


async def notes_of(server: Scripted, **options: object) -> tuple[str, ...]:
    async with server.backend(**options).connect() as model:
        assert isinstance(model, RemoteModel)
        return model.observed.notes


@pytest.mark.parametrize("name", ["seed", "stream_options"])
@pytest.mark.parametrize("is_pydantic", [True, False])
async def test_what_is_refused_by_name_is_left_out_from_then_on(
    name: str, *, is_pydantic: bool
) -> None:
    scripted = (
        as_pydantic(name) if is_pydantic else refusing(name, f"Unrecognized argument: {name}")
    )
    async with running(scripted) as server:
        notes = await notes_of(server)
        result, body = await solve(server)

    assert (result.text, result.error) == (ANSWER, None)
    assert name not in body
    assert "temperature" in body
    assert "max_tokens" in body
    assert any(note.startswith(f"the server refuses {name!r}: it is left out") for note in notes)


async def test_a_server_that_refuses_something_beyond_the_protocol_is_sent_nothing_of_it() -> None:
    async with running(as_pydantic("return_token_ids")) as server:
        notes = await notes_of(server)
        _, body = await solve(server)

    assert not {"return_token_ids", "top_k", "min_p", "timings_per_token"} & set(body)
    assert {"seed", "temperature", "stream_options"} <= set(body)
    told = "what the protocol does not have is refused: the server's own top_k, min_p and penalties"
    assert notes[0].startswith(told)


async def test_a_bound_that_is_called_otherwise_is_renamed() -> None:
    told = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    async with running(refusing("max_tokens", told, param="max_tokens")) as server:
        notes = await notes_of(server)
        _, body = await solve(server, tokens=40)

    assert body["max_completion_tokens"] == 40
    assert "the server refuses 'max_tokens': it is sent as 'max_completion_tokens'" in notes


def refusing_value(name: str, message: str, *, least: float, most: float) -> Scripted:
    def refuse(body: Json) -> Response | None:
        is_fine = name not in body or least < body[name] < most
        return None if is_fine else JSONResponse({"error": {"message": message}}, 422)

    return Scripted(refuses=refuse)


async def test_a_server_that_takes_no_temperature_of_zero_is_sent_a_small_one() -> None:
    told = "`temperature` must be strictly positive"
    async with running(refusing_value("temperature", told, least=0, most=9)) as server:
        _, body = await solve(server)

    assert body["temperature"] == 0.01


async def test_a_server_that_takes_no_temperature_but_its_own_is_sent_none() -> None:
    told = "Unsupported value: 'temperature'. Only the default (1) value is supported."
    async with running(refusing_value("temperature", told, least=0.9, most=1.1)) as server:
        notes = await notes_of(server)
        result, body = await solve(server)

    assert "temperature" not in body
    assert result.degradations == (
        "generator: temperature: it is left out, so that nothing is greedy",
    )
    assert "the server refuses 'temperature': it is left out, so that nothing is greedy" in notes


async def test_a_nucleus_of_one_is_left_out_and_a_smaller_one_is_sent() -> None:
    async with running(refusing_value("top_p", "top_p must be < 1.0", least=0, most=1)) as server:
        async with server.backend().connect() as model:
            server.asked.clear()
            await whole(model, Sampling())
            await whole(model, Sampling(temperature=0.5, top_p=0.9))

    assert ["top_p" in body for body in server.asked] == [False, True]
    assert server.asked[1]["top_p"] == 0.9


async def whole(model: object, sampling: Sampling) -> None:
    assert isinstance(model, RemoteModel)
    async with model.open(VIEW, seed=0) as session:
        await session.generate(Until(2), sampling)


async def test_a_refusal_that_comes_late_is_learned_too() -> None:
    async with running(Scripted()) as server, server.backend().connect() as model:
        server.refuses = refusing("seed", "seed: extra inputs are not permitted").refuses
        server.asked.clear()
        await whole(model, Sampling())
        await whole(model, Sampling())
        diagnosis = await model.diagnose(VIEW)  # type: ignore[attr-defined]  # it is remote

    assert ["seed" in body for body in server.asked] == [True, False, False, False]
    assert diagnosis.notes[-1].startswith("the server refuses 'seed': it is left out")


async def test_a_refusal_that_nothing_helps_against_is_told_as_it_was_and_teaches_nothing() -> None:
    def refuse(body: Json) -> Response | None:
        if "prompt" in body and "bad" in str(body["prompt"]):
            return JSONResponse({"error": {"message": f"{sorted(body)}: bad"}}, 400)
        return None

    recipe = Recipe(policy=Never(), max_answer_tokens=20)
    async with running(Scripted(refuses=refuse)) as server:
        async with Controller(generator=server.backend(), recipe=recipe) as controller:
            result = await controller.solve("bad")
            server.asked.clear()
            await controller.solve("good")

    with pytest.raises(ModelCallError, match=r"status 400: \[.*'seed'.*'top_p'.*\]: bad"):
        result.raise_for_error()
    assert {"seed", "top_p", "temperature", "top_k"} <= set(server.asked[0])


async def test_a_text_that_is_too_long_is_no_refusal_of_its_bound() -> None:
    told = "maximum context length is 8 tokens, but max_tokens is 20"
    async with running(Scripted()) as server:
        recipe = Recipe(policy=Never(), max_answer_tokens=20)
        async with Controller(generator=server.backend(), recipe=recipe) as controller:
            server.asked.clear()
            server.refuses = refusing("max_tokens", told).refuses
            result = await controller.solve("q")

    assert len(server.asked) == 1
    with pytest.raises(ContextOverflowError, match="maximum context length is 8"):
        result.raise_for_error()


async def test_what_is_given_by_hand_is_sent_whatever_the_server_says() -> None:
    async with running(refusing("seed", "seed is not known")) as server:
        with pytest.raises(ModelLoadError, match="status 400: seed is not known"):
            async with server.backend(extra_body={"seed": 7}).connect():
                pass


async def test_fields_are_left_out_and_renamed_as_configured() -> None:
    options: Json = {"omit": ["seed", "top_p"], "rename": {"max_tokens": "max_completion_tokens"}}
    async with running(Scripted()) as server:
        async with server.backend(**options).connect() as model:
            await whole(model, Sampling())

    for body in server.asked:
        assert not {"seed", "top_p", "max_tokens"} & set(body)
        assert "max_completion_tokens" in body
    assert model.observed.notes == await notes_of_plain()  # type: ignore[attr-defined]  # as above


async def notes_of_plain() -> tuple[str, ...]:
    async with running(Scripted()) as server:
        return await notes_of(server)


@pytest.mark.parametrize("options", [{"omit": ["prompt"]}, {"rename": {"messages": "texts"}}])
def test_what_is_asked_cannot_be_left_out(options: Json) -> None:
    told = "is what is asked, and cannot be left out or renamed"
    with pytest.raises(ValidationError, match=told):
        OpenAIServer(model="m", base_url=("http://127.0.0.1/v1",), **options)


def test_a_field_within_another_is_left_out_alone() -> None:
    manners = Manners(omitted=("stream_options.continuous_usage_stats",))
    body = {"stream_options": {"include_usage": True, "continuous_usage_stats": True}}

    assert manners.fitted(body) == {"stream_options": {"include_usage": True}}
