"""Lists of models inform; whether a model is there, one call decides."""

import pytest
from starlette.responses import HTMLResponse, JSONResponse, Response
from support.servers import Json, Scripted, running

from collab.errors import ModelLoadError
from collab_backends.remote.model import RemoteModel

ENTRY = {"id": "m", "owned_by": "scripted", "max_model_len": 512}


async def connected(scripted: Scripted, **options: object) -> tuple[int | None, tuple[str, ...]]:
    """Connect; return the context that was seen, and the notes about the list."""
    async with running(scripted) as server, server.backend(**options).connect() as model:
        assert isinstance(model, RemoteModel)
        notes = tuple(note for note in model.observed.notes if "but it answers" in note)
        return model.capabilities.context_tokens, notes


@pytest.mark.parametrize(
    "listed",
    [
        [ENTRY],
        {"data": [ENTRY]},
        {"object": "list", "data": [{**ENTRY, "id": "m:latest"}]},
        {"data": [{**ENTRY, "id": "models/m"}]},
    ],
)
async def test_a_list_in_any_form_is_read(listed: object) -> None:
    assert await connected(Scripted(listing=(200, listed))) == (512, ())


@pytest.mark.parametrize(
    ("listing", "told"),
    [
        ((404, {"detail": "Not Found"}), "cannot be used: .* does not know the path or the model"),
        ((403, {"error": "no"}), "refused the key"),
        ((200, {"status": "fine"}), "is not an OpenAI-compatible server; /models answers"),
        ((200, {"data": []}), "has no model 'm'; it has: none"),
        ((200, {"data": [{"id": "other"}]}), "has no model 'm'; it has: other"),
    ],
)
async def test_without_a_list_the_model_is_there_if_it_answers(
    listing: tuple[int, object], told: str
) -> None:
    context, (note,) = await connected(Scripted(listing=listing))

    assert context is None
    with pytest.raises(AssertionError, match=told):
        raise AssertionError(note)


@pytest.mark.parametrize(
    ("listing", "refusal", "told"),
    [
        (None, JSONResponse({"error": "no such model"}, 404), "does not answer: .*no such model"),
        ((200, [ENTRY]), HTMLResponse("<html>Hi"), "does not answer: .*<html>Hi"),
        (
            (404, {}),
            JSONResponse({"error": "gone"}, 404),
            "does not know the path or the model .*A call was tried anyway; it says: .*gone",
        ),
    ],
)
async def test_a_server_that_does_not_answer_is_told_with_its_words(
    listing: tuple[int, object] | None, refusal: Response, told: str
) -> None:
    def refuse(body: Json) -> Response | None:
        return refusal

    with pytest.raises(ModelLoadError, match=told):
        await connected(Scripted(listing=listing, refuses=refuse))


async def test_the_name_by_which_an_unlisted_model_answers_is_told() -> None:
    def renamed(part: Json) -> Json:
        return {**part, "model": "lab-mentor"}

    _, (note,) = await connected(Scripted(listing=(200, [{"id": "x"}]), reshapes=renamed))

    assert note.endswith("has no model 'm'; it has: x; but it answers as 'lab-mentor'")


async def test_servers_are_asked_with_a_query_headers_and_a_key_of_their_own_kind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-very-secret")
    scripted = Scripted(listing=(404, {}))
    options: Json = {
        "extra_query": {"api-version": "2024-10-21"},
        "extra_headers": {"x-team": "reading"},
        "key_header": "api-key",
        "api_key_env": "MY_KEY",
    }
    await connected(scripted, **options)

    for query, headers in scripted.addressed:
        assert query == {"api-version": "2024-10-21"}
        assert (headers["x-team"], headers["api-key"]) == ("reading", "sk-very-secret")
        assert "authorization" not in headers


@pytest.mark.parametrize(
    "options",
    [{"extra_headers": {"Authorization": "Bearer x"}}, {"extra_query": {"api_key": "x"}}],
)
def test_a_secret_in_headers_or_query_is_refused_and_not_shown(options: Json) -> None:
    with pytest.raises(ValueError, match="looks like a secret; put the key where") as raised:
        Scripted().backend(**options)

    assert "Bearer x" not in str(raised.value)
