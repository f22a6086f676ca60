"""The traps at the boundary of a begun text, each against a real server.

The mentor served here has a tokenizer that puts a token before every text and a chat template that
does so too, trims blanks and drops thinking; what comes back must still be what the local engine
writes behind the same text.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest
from servers.hostile import BEGIN
from servers.served import Serve

from collab.capabilities import PrefixMode
from collab.proposals import Proposal, Sampling, Until
from collab.seam import ConsultationBackend
from collab.views import View
from collab_backends.local.backend import LocalTorch
from collab_backends.remote.backend import OpenAIServer
from collab_backends.remote.model import RemoteModel

GREEDY = Sampling()
PROMPT = "Mod 10: m = 8, c = m - 2. What is c?"
LETTERS = "The quick brown fox jumps over the lazy"
"""A text that llama.cpp cuts into the lab's tokens: it cuts digits otherwise."""

TWELVE = Until(12)
SMILE = "é😀é"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def there(serve: Serve, hostile_mentor: Path) -> OpenAIServer:
    return serve("vllm", "mentor").backend(tokenizer=str(hostile_mentor))


@pytest.fixture(scope="module")
def here(hostile_mentor: Path) -> LocalTorch:
    return LocalTorch(model=str(hostile_mentor), threads=1)


def in_mode(backend: OpenAIServer, mode: PrefixMode) -> OpenAIServer:
    return backend.model_copy(update={"mode": mode})


async def written(
    backend: ConsultationBackend,
    *parts: str,
    until: Until = TWELVE,
    prompt: str = PROMPT,
) -> list[Proposal]:
    """Put each part in and write on behind it; commit what was written."""
    proposals = []
    async with backend.connect() as model:
        async with model.open(View("mentor", prompt, backend.view), seed=0) as session:
            for part in parts:
                session.append(part)
                proposals.append(await session.generate(until, GREEDY))
                session.commit(len(proposals[-1].tokens))
    return proposals


def texts(proposals: Sequence[Proposal]) -> list[str]:
    return [proposal.text for proposal in proposals]


@pytest.mark.parametrize("mode", ["tokens", "text"])
@pytest.mark.parametrize(
    "parts",
    [
        pytest.param(("", "\n\nSo"), id="begin of text"),
        pytest.param(("So c = ",), id="a blank at the end"),
        pytest.param(("<think>\nSo m", "</think>\n\nSo c"), id="thinking"),
    ],
)
async def test_a_begun_text_is_continued_as_by_the_local_engine(
    there: OpenAIServer, here: LocalTorch, mode: PrefixMode, parts: tuple[str, ...]
) -> None:
    remote = await written(in_mode(there, mode), *parts)

    assert texts(remote) == texts(await written(here, *parts))


async def test_ids_keep_a_history_that_text_would_cut_otherwise(
    there: OpenAIServer, here: LocalTorch
) -> None:
    parts = ("So c = ", " \n", "So the ")

    remote = await written(there, *parts)

    assert texts(remote) == texts(await written(here, *parts))


async def test_names_of_special_tokens_in_a_problem_stay_text(
    there: OpenAIServer, here: LocalTorch
) -> None:
    prompt = f"What do {BEGIN} and <eos> mean? {PROMPT}"

    remote = await written(there, "So <eos> is", prompt=prompt)

    assert texts(remote) == texts(await written(here, "So <eos> is", prompt=prompt))


async def test_a_text_cut_at_a_stop_string_goes_on_where_it_was_cut(
    there: OpenAIServer, here: LocalTorch
) -> None:
    until = Until(64, stop_strings=(" = ", "So"))

    remote = await written(there, "", "", "", until=until)

    local = await written(here, "", "", "", until=until)
    assert texts(remote) == texts(local)
    assert [[t.id for t in one.tokens] for one in remote] == [
        [t.id for t in one.tokens] for one in local
    ]


async def test_a_server_that_begins_every_text_itself_is_not_sent_a_second_begin(
    serve: Serve, hostile_mentor: Path, here: LocalTorch
) -> None:
    backend = serve("llama-server", "hostile").backend(tokenizer=str(hostile_mentor), mode="text")

    lengths = []
    for one in (backend, here):
        async with one.connect() as model:
            assert not isinstance(model, RemoteModel) or model.observed.adds_begin
            async with model.open(View("mentor", LETTERS, one.view), seed=0) as session:
                await session.generate(Until(1), GREEDY)
                lengths.append(session.meter.prompt_tokens)

    assert lengths[0] == lengths[1]


@pytest.mark.parametrize("server", ["vllm", "llama-server"])
async def test_a_character_is_never_shown_in_halves(serve: Serve, server: str) -> None:
    forced = (
        {"structured_outputs": {"choice": [SMILE]}}
        if server == "vllm"
        else {"grammar": f'root ::= "{SMILE}"'}
    )
    backend = serve("vllm" if server == "vllm" else "llama-server", "mentor").backend(
        extra_body=forced
    )

    for mode in ("tokens", "text"):
        said = [
            texts(await written(in_mode(backend, mode), "", until=Until(most)))[0]
            for most in range(1, 9)
        ]
        assert all(SMILE.startswith(text) for text in said)
        # As ids, half a character is a token without text; as text, the rest of it is asked for.
        assert all(said) or mode == "tokens"
        assert said[-1] == SMILE


async def test_a_template_that_trims_and_drops_is_noticed_and_blanks_are_healed(
    there: OpenAIServer,
) -> None:
    backend = there.model_copy(update={"tokenizer": "", "mode": "chat-continue"})

    async with backend.connect() as model:
        assert isinstance(model, RemoteModel)
        notes = " ".join(model.observed.notes)
    (bare,) = await written(backend, "So c")
    (blank,) = await written(backend, "So c ")

    assert model.observed.trims_end
    assert "drops or refuses the thinking" in notes
    assert bare.text.startswith(" ")
    assert f"So c{bare.text}" == f"So c {blank.text}"
