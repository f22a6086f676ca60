"""Models that stand on more than one device: parts on the disk come to the CPU for their pass."""

from pathlib import Path
from typing import Literal

import pytest
import torch
from support.models import GREEDY, make_model, make_tokenizer
from torch import nn

from collab.proposals import Proposal, Until
from collab.seam import SteeredSession
from collab.signals import Observation, Signals, Steering
from collab.views import View, ViewOptions
from collab_backends.local.backend import LocalTorch
from collab_backends.local.loading import LoadOptions, load_model
from collab_backends.local.placement import described, input_device, kept_rows, layer_shares
from collab_backends.local.steering import blocks_of

pytest.importorskip("accelerate", reason="it spreads models")

CPU = torch.device("cpu")
VIEW = View("generator", "So the answer is", ViewOptions(template="raw"))
PARTS = ("model.embed_tokens", "model.rotary_emb", "model.norm", "lm_head")
SPREAD: dict[str, str | int] = {
    **dict.fromkeys(PARTS, "cpu"),
    "model.layers.0": "cpu",
    **{f"model.layers.{number}": "disk" for number in (1, 2, 3)},
}
EDGES_ON_DISK: dict[str, str | int] = {
    **dict.fromkeys(PARTS, "disk"),
    **{f"model.layers.{number}": "cpu" for number in range(4)},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    make_model().save_pretrained(path)
    make_tokenizer().save_pretrained(path)
    return path


async def write(
    folder: Path,
    device_map: dict[str, str | int] | None,
    engine: Literal["auto", "generic"] = "auto",
) -> list[Proposal]:
    """Write, steer and write again, fork, and judge; with hidden states of three layers."""
    signals = Signals(observations=tuple(Observation(f"at {n}", n) for n in (0, 2, 4)))
    backend = LocalTorch(model=str(folder), device_map=device_map, engine=engine, threads=1)
    async with backend.connect() as model:
        async with model.open(VIEW, seed=0, signals=signals) as session:
            first = await session.generate(Until(6), GREEDY)
            session.commit(4)
            assert isinstance(session, SteeredSession)
            session.steer(Steering(layer=2, vector=[5.0] * 64))
            async with session.fork() as twin:
                second = await twin.generate(Until(6), GREEDY)
            await session.judge("\nA or B? (", ("A", "B"))
    return [first, second]


@pytest.mark.parametrize("device_map", [SPREAD, EDGES_ON_DISK])
@pytest.mark.parametrize("engine", ["auto", "generic"])
async def test_a_spread_model_writes_what_it_writes_on_one_device(
    folder: Path, device_map: dict[str, str | int], engine: Literal["auto", "generic"]
) -> None:
    expected = await write(folder, None)

    written = await write(folder, device_map, engine)

    for mine, its in zip(written, expected, strict=True):
        assert [token.id for token in mine.tokens] == [token.id for token in its.tokens]
        for token, other in zip(mine.tokens, its.tokens, strict=True):
            assert token.logprob == pytest.approx(other.logprob, abs=1e-4)
            for name, state in (other.observed or {}).items():
                assert list((token.observed or {})[name]) == pytest.approx(list(state), abs=1e-4)


def test_weights_on_the_disk_compute_on_the_cpu(folder: Path) -> None:
    loaded = load_model(str(folder), "cpu", "auto", LoadOptions(device_map=EDGES_ON_DISK))

    assert loaded.model.get_input_embeddings().weight.is_meta
    assert input_device(loaded.model) == CPU
    assert layer_shares(loaded.model, blocks_of(loaded.model)) == {CPU: 1.0}
    assert described(loaded.model) == "disk and cpu"


def test_rows_of_logits_are_not_moved_to_another_device_than_the_head(folder: Path) -> None:
    plain = load_model(str(folder), "cpu", "auto").model
    spread = load_model(str(folder), "cpu", "auto", LoadOptions(device_map=SPREAD)).model

    # Only tensors are moved by accelerate; the last hidden states are indexed by either.
    assert kept_rows(spread, [1, 3]) == [1, 3]
    assert torch.equal(torch.as_tensor(kept_rows(plain, [1, 3])), torch.tensor([1, 3]))


def test_every_device_holds_the_share_of_a_cache_that_its_blocks_write() -> None:
    class Hook:
        def __init__(self, device: str) -> None:
            self.execution_device = device

    model = make_model()
    for block, device in zip(model.model.layers, ("cpu", "meta", "meta", "meta"), strict=True):
        block._hf_hook = Hook(device)

    shares = layer_shares(model, nn.ModuleList(model.model.layers))

    assert shares == {CPU: 0.25, torch.device("meta"): 0.75}
