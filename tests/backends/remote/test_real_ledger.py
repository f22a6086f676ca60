"""The ledger against a real server's own counts; skipped where llama.cpp's is not installed."""

import json
import re
import shutil
import urllib.request
from collections.abc import Iterator

import pytest
import torch
from servers import launch
from servers.served import Serve, Served
from transformers import AutoConfig, AutoModelForCausalLM

from collab import Controller, Problem
from collab.proposals import Sampling, Until
from collab.usage import Usage
from collab.views import View
from collab_backends.lab import LAB_FOLDER
from collab_backends.local.backend import LocalTorch
from collab_policies.mentorcollab_free import MentorCollabFree

pytestmark = pytest.mark.slow


def counted(url: str) -> dict[str, float]:
    """Return what the server has counted since it began."""
    with urllib.request.urlopen(f"{url.removesuffix('/v1')}/metrics") as page:
        text = page.read().decode()
    return {name: float(value) for name, value in re.findall(r"^llamacpp:(\w+) (\S+)$", text, re.M)}


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A random model with the lab's tokenizer, so large that a token takes milliseconds."""
    if not launch.is_installed("llama-server"):
        pytest.skip("llama-server is not installed; `make servers`")
    work = tmp_path_factory.mktemp("slow")
    folder = work / "model"
    shutil.copytree(LAB_FOLDER / "mentor", folder)
    config = AutoConfig.from_pretrained(folder)
    config.hidden_size, config.intermediate_size, config.head_dim = 512, 2048, 64
    config.num_attention_heads = config.num_key_value_heads = 8
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
    with launch.llama_server(folder, "lab-mentor", work) as url:
        yield Served("llama-server", "mentor", url)


async def test_streams_that_are_left_cost_what_the_server_counts(slow: Served) -> None:
    backend = slow.backend()
    async with backend.connect() as model:
        before = counted(slow.url)
        async with model.open(View("mentor", "What is 7 - 2?", backend.view), seed=0) as session:
            for _ in range(10):
                until = Until(100, stop_if=lambda tokens: len(tokens) >= 20)
                proposal = await session.generate(until, Sampling())
                session.commit(len(proposal.tokens))
        meter = session.meter
    while (after := counted(slow.url))["requests_processing"]:
        pass  # a request is counted when its slot is free again

    spent = {name: after[name] - before[name] for name in after}
    assert meter.estimates >= 5
    assert meter.completion_tokens == pytest.approx(spent["tokens_predicted_total"], rel=0.05)
    assert meter.cached_tokens == spent["prompt_tokens_cached_total"] > 0
    fresh = meter.prompt_tokens - meter.cached_tokens
    assert fresh == spent["prompt_tokens_total"]


@pytest.mark.parametrize("name", ["mentor", "mentor-b"])
async def test_a_mentor_elsewhere_decodes_what_one_here_does(serve: Serve, name: str) -> None:
    served = serve("llama-server", name)
    lines = (LAB_FOLDER / "problems.jsonl").read_text().splitlines()[:8]
    problems = [Problem.model_validate(json.loads(line)) for line in lines]
    used = {}
    before = counted(served.url)
    for place, mentor in (
        ("there", served.backend()),
        ("here", LocalTorch(model=f"lab/{name}", threads=1)),
    ):
        async with Controller(
            generator=LocalTorch(model="lab/generator", threads=1),
            mentor=mentor,
            recipe=MentorCollabFree(rate=0.3).recipe(),
        ) as controller:
            async with controller.map(problems, concurrency=8) as results:
                spent = [result.usage.get("mentor", Usage()) async for result in results]
        used[place] = sum(spent, Usage())

    decoded = counted(served.url)["tokens_predicted_total"] - before["tokens_predicted_total"]
    handshake = 30
    assert used["there"].estimated_calls == 0
    assert used["there"].completion_tokens <= 1.1 * used["here"].completion_tokens
    assert decoded - handshake <= used["there"].completion_tokens <= decoded
