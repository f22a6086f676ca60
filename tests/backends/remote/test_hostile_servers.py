"""Real servers that ignore or mistake the protocol: the handshake sees what is not there."""

import pytest
from servers.served import Serve

from collab import Controller
from collab.errors import CapabilityError, ModelLoadError
from collab.proposals import Sampling, Until
from collab.views import View
from collab_backends.lab import LAB_FOLDER
from collab_backends.local.backend import LocalTorch
from collab_backends.remote.backend import OpenAIServer
from collab_backends.remote.handshake import Observed
from collab_backends.remote.model import RemoteModel
from collab_policies.mentorcollab_free import MentorCollabFree

MENTOR = str(LAB_FOLDER / "mentor")
PROMPT = "Mod 10: m = 8, c = m - 2. What is c?"

pytestmark = pytest.mark.slow


async def seen(backend: OpenAIServer) -> Observed:
    async with backend.connect() as model:
        assert isinstance(model, RemoteModel)
        return model.observed


async def test_transformers_serve_continues_texts_and_gives_no_probabilities(serve: Serve) -> None:
    observed = await seen(serve("transformers", "mentor").backend(model=MENTOR))

    assert (observed.mode, observed.top_logprobs, observed.is_lenient) == ("text", 0, False)
    assert "token ids are not taken as a prompt" in observed.notes
    assert "no log-probabilities are given" in observed.notes


async def test_texts_through_transformers_serve_equal_the_local_engines(serve: Serve) -> None:
    texts = []
    for backend in (
        serve("transformers", "mentor").backend(model=MENTOR),
        LocalTorch(model="lab/mentor", threads=1),
    ):
        async with backend.connect() as model:
            async with model.open(View("mentor", PROMPT, backend.view), seed=0) as session:
                session.append("So m = 8")
                texts.append((await session.generate(Until(40), Sampling())).text)

    assert texts[0] == texts[1]


async def test_what_gives_the_prompt_back_is_not_asked_by_messages(serve: Serve) -> None:
    backend = serve("transformers", "mentor").backend(model=MENTOR, tokenizer="")

    with pytest.raises(ModelLoadError, match="gives the prompt back with every answer"):
        await seen(backend)


async def test_a_recipe_that_needs_probabilities_is_refused_where_none_are_given(
    serve: Serve,
) -> None:
    generator = serve("transformers", "mentor").backend(model=MENTOR)
    controller = Controller(
        generator=generator,
        mentor=LocalTorch(model="lab/mentor", threads=1),
        recipe=MentorCollabFree().recipe(),
    )

    with pytest.raises(CapabilityError, match="SelfJudge needs judge of the generator"):
        async with controller:
            pass


async def test_a_mode_that_the_server_cannot_be_asked_in_is_refused(serve: Serve) -> None:
    backend = serve("transformers", "mentor").backend(model=MENTOR, mode="tokens")

    with pytest.raises(ModelLoadError, match="in mode 'tokens': token ids are not taken"):
        await seen(backend)


async def test_llama_cpp_pythons_misplaced_echo_is_not_used(serve: Serve) -> None:
    observed = await seen(serve("llama-cpp-python", "mentor").backend())

    assert (observed.mode, observed.top_logprobs) == ("text", 20)
    assert not observed.can_score
    assert not observed.can_pick_logprobs


async def test_llama_cpp_python_opens_a_turn_whatever_is_asked(serve: Serve) -> None:
    observed = await seen(serve("llama-cpp-python", "mentor").backend(tokenizer=""))

    assert observed.mode == "quoted"
    assert "continue_final_message has no effect" in observed.notes
