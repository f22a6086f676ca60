"""Real servers with the lab's models: what comes through them equals the local engine's.

`make servers` installs them; tests of one that is not there are skipped.
"""

import json

import anyio
import pytest
from servers.served import Serve, Served

from collab import Controller, Problem, Recipe, Result
from collab.errors import ModelLoadError
from collab.proposals import Sampling, Until
from collab.seam import ConsultationBackend
from collab.signals import Signals
from collab.testing import check_backend
from collab.usage import Usage
from collab.views import View
from collab_backends.lab import LAB_FOLDER
from collab_backends.local.backend import LocalTorch
from collab_backends.remote.backend import OpenAIServer
from collab_backends.remote.model import RemoteModel
from collab_policies.cosd import CoSD
from collab_policies.lookahead import LookaheadRecipe
from collab_policies.mentorcollab_free import MentorCollabFree
from collab_policies.never import Never

GREEDY = Sampling()

pytestmark = pytest.mark.slow


@pytest.fixture(
    scope="module",
    params=[("llama-server", "generator"), ("llama-server", "mentor"), ("vllm", "mentor")],
    ids="-".join,
)
def served(request: pytest.FixtureRequest, serve: Serve) -> Served:
    return serve(*request.param)


@pytest.fixture(scope="module")
def server(served: Served) -> OpenAIServer:
    return served.backend()


@pytest.fixture(scope="module")
def name(served: Served) -> str:
    return served.name


def problems(count: int) -> list[Problem]:
    lines = (LAB_FOLDER / "problems.jsonl").read_text().splitlines()[:count]
    return [Problem.model_validate(json.loads(line)) for line in lines]


async def solve_all(
    generator: ConsultationBackend, mentor: ConsultationBackend | None, recipe: Recipe
) -> dict[str, Result]:
    async with Controller(generator=generator, mentor=mentor, recipe=recipe) as controller:
        async with controller.map(problems(16), concurrency=16) as results:
            return {result.problem.id: result.raise_for_error() async for result in results}


def local(name: str) -> LocalTorch:
    return LocalTorch(model=f"lab/{name}", threads=1)


async def test_it_keeps_to_the_contract(server: OpenAIServer) -> None:
    await check_backend(server, "Mod 10: m = 8, c = m - 2. What is c?\n\n")


async def test_the_handshake_sees_what_the_server_can_do(
    served: Served, server: OpenAIServer
) -> None:
    async with server.connect() as model:
        assert isinstance(model, RemoteModel)
        observed = model.observed

    assert (observed.mode, observed.context_tokens) == ("tokens", 1024)
    assert (observed.top_logprobs, observed.has_usage, observed.is_lenient) == (20, True, True)
    is_vllm = served.server == "vllm"
    assert observed.owner == ("vllm" if is_vllm else "llamacpp")
    # llama.cpp's ignores `echo` and `logprob_token_ids`, with status 200.
    assert (observed.can_score, observed.can_pick_logprobs) == (is_vllm, is_vllm)


async def test_a_tokenizer_of_another_model_is_refused(server: OpenAIServer) -> None:
    other = server.model_copy(update={"tokenizer": "lab/mentor-b"})

    with pytest.raises(ModelLoadError, match="the tokenizer 'lab/mentor-b' is not that of"):
        async with other.connect():
            pass


async def test_a_given_text_is_scored_as_by_the_local_engine(
    served: Served, server: OpenAIServer, name: str
) -> None:
    if served.server != "vllm":
        pytest.skip("the server gives no echo")
    scored = []
    for backend in (server, local(name)):
        async with backend.connect() as model:
            view = View("mentor", problems(1)[0].prompt, backend.view)
            async with model.open(view, seed=0) as session:
                scored.append(await session.score("So m = 8. So the rest is 3."))

    assert [token.id for token in scored[0]] == [token.id for token in scored[1]]
    for there, here in zip(*scored, strict=True):
        assert there.logprob == pytest.approx(here.logprob, abs=1e-4)


async def test_greedy_texts_equal_those_of_the_local_engine(
    server: OpenAIServer, name: str
) -> None:
    recipe = Recipe(policy=Never(), max_answer_tokens=240)

    there = await solve_all(server, None, recipe)
    here = await solve_all(local(name), None, recipe)

    assert {n: r.text for n, r in there.items()} == {n: r.text for n, r in here.items()}
    counts = [used(one, "generator").completion_tokens for one in (there, here)]
    assert counts[0] == counts[1]


async def test_log_probabilities_and_entropies_equal_those_of_the_local_engine(
    server: OpenAIServer, name: str
) -> None:
    prompt = problems(1)[0].prompt
    tokens = []
    for backend in (server, local(name)):
        async with backend.connect() as model:
            view = View("generator", prompt, backend.view)
            async with model.open(view, seed=0, signals=Signals(entropy_top_k=10)) as session:
                tokens.append((await session.generate(Until(24), GREEDY)).tokens)

    assert [token.id for token in tokens[0]] == [token.id for token in tokens[1]]
    for there, here in zip(*tokens, strict=True):
        assert there.logprob == pytest.approx(here.logprob, abs=1e-4)
        assert there.entropy_nats == pytest.approx(here.entropy_nats, abs=1e-3)


async def test_the_likeliest_tokens_are_those_of_the_local_engine(
    served: Served, server: OpenAIServer, name: str
) -> None:
    seen = []
    for backend in (server, local(name)):
        async with backend.connect() as model:
            view = View("generator", problems(1)[0].prompt, backend.view)
            async with model.open(view, seed=0, signals=Signals(top_k=3)) as session:
                written = (await session.generate(Until(8), GREEDY)).tokens
                can_score = served.server == "vllm"
                scored = await session.score("So m = 8.") if can_score else ()
                seen.append([*written, *scored])

    for there, here in zip(*seen, strict=True):
        assert len(there.top) == len(here.top) == 3
        assert there.is_likeliest == here.is_likeliest
        # Texts, as llama.cpp's gives no ids; near the end of the list ties may fall either way.
        assert there.top[0].text == here.top[0].text
        for one, other in zip(there.top, here.top, strict=True):
            assert one.logprob == pytest.approx(other.logprob, abs=1e-3)


@pytest.mark.parametrize(
    "recipe",
    [LookaheadRecipe(judge=None, step_tokens=64, max_answer_tokens=240), CoSD(alpha=1.0)],
    ids=["lookahead", "cosd"],
)
async def test_methods_of_forks_and_scores_write_the_same_with_a_mentor_elsewhere(
    served: Served, server: OpenAIServer, recipe: LookaheadRecipe | CoSD
) -> None:
    if served.name == "generator" or (isinstance(recipe, CoSD) and served.server != "vllm"):
        pytest.skip("the mentor is the one that is elsewhere, and CoSD has it score")

    hybrid = await solve_all(local("generator"), server, recipe.recipe())
    alone = await solve_all(local("generator"), local("mentor"), recipe.recipe())

    assert {n: written(r) for n, r in hybrid.items()} == {n: written(r) for n, r in alone.items()}
    for result in hybrid.values():
        for role, usage in result.usage.items():
            assert usage.kept_tokens == sum(s.tokens for s in result.spans if s.author == role)


async def test_a_hybrid_pair_gives_the_same_answers_for_as_many_tokens(
    server: OpenAIServer, name: str
) -> None:
    if name == "generator":
        pytest.skip("the mentor is the one that is elsewhere")
    recipe = MentorCollabFree(rate=0.3).recipe()

    hybrid = await solve_all(local("generator"), server, recipe)
    alone = await solve_all(local("generator"), local("mentor"), recipe)

    assert {n: written(r) for n, r in hybrid.items()} == {n: written(r) for n, r in alone.items()}
    assert used(hybrid, "generator").completion_tokens == used(alone, "generator").completion_tokens
    # Here as there, a mentor that agrees decodes the word and the token that ends it.
    assert used(hybrid, "mentor").calls == used(alone, "mentor").calls
    assert used(hybrid, "mentor").completion_tokens == used(alone, "mentor").completion_tokens


async def test_labels_are_judged_as_by_the_local_engine(server: OpenAIServer, name: str) -> None:
    shares = []
    for backend in (server, local(name)):
        async with backend.connect() as model:
            view = View("generator", problems(1)[0].prompt, backend.view)
            async with model.open(view, seed=0) as session:
                answer = await session.judge("So c = ", ("5", "6"))
                shares.append(answer.labels)

    for label in ("5", "6"):
        # A label that is not among the 20 likeliest has probability 0 where ids cannot be picked.
        assert shares[0][label] == pytest.approx(shares[1][label], abs=1e-3)


async def test_a_cancelled_stretch_leaves_the_server_free(server: OpenAIServer) -> None:
    async with server.connect() as model:
        view = View("generator", problems(1)[0].prompt, server.view)
        async with model.open(view, seed=0) as session:
            with anyio.move_on_after(0):
                await session.generate(Until(400), GREEDY)
            with anyio.fail_after(10):
                proposal = await session.generate(Until(4), GREEDY)

    assert len(proposal.tokens) == 4


def written(result: Result) -> list[tuple[str, str, str, int]]:
    return [(span.author, span.kind, span.text, span.tokens) for span in result.spans]


def used(results: dict[str, Result], role: str) -> Usage:
    return sum((result.usage.get(role, Usage()) for result in results.values()), Usage())
