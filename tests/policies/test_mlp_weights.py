"""Weights of the verifier `mlp`: what is loaded, and what is refused."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from support.mlp_weights import SHAPES, WIDTH, card, ours, published_state

from collab.errors import PluginShapeError
from collab.plugins import build
from collab_policies.mlp import Mlp
from collab_policies.trained.network import BranchNetwork
from collab_policies.trained.weights import load_weights


def wrapped(state: object) -> object:
    return {"state_dict": state, "epoch": 3}


@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.bin", "w.safetensors"])
def test_the_published_layout_is_loaded_from_every_kind_of_file(name: str, tmp_path: Path) -> None:
    state = published_state() | {"mlp.1.num_batches_tracked": torch.tensor(7)}
    path = tmp_path / name
    if name.endswith("safetensors"):
        save_file(state, path)
    else:
        torch.save(wrapped(state), path)

    loaded = load_weights(path)

    assert (loaded.network.width, loaded.card) == (WIDTH, None)
    assert not loaded.network.training


def test_the_networks_weights_have_the_published_names_and_shapes() -> None:
    state = BranchNetwork(WIDTH).state_dict()

    found = {name: tuple(one.shape) for name, one in state.items() if "num_batches" not in name}
    assert found == SHAPES


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("evil-was-here",)


def test_code_in_a_file_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, write in (
        ("a.pt", torch.save),
        ("b.bin", lambda o, p: p.write_bytes(pickle.dumps(o))),
    ):
        path = tmp_path / name
        write({"mlp.0.weight": Evil()}, path)

        with pytest.raises(ValueError, match="which is not read, as it could run code") as raised:
            load_weights(path)
        assert "weights_only" not in str(raised.value)

    assert not (tmp_path / "evil-was-here").exists()


def test_a_whole_pickled_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "whole.pt"
    torch.save(BranchNetwork(WIDTH), path)

    with pytest.raises(ValueError, match="does not hold weights alone"):
        load_weights(path)


@pytest.mark.parametrize("name", ["w.pt", "w.bin", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04 no archive either"])
def test_a_file_that_is_none_is_told(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(ValueError, match="does not hold weights alone|is not a safetensors file"):
        load_weights(path)


def without(*names: str) -> dict[str, torch.Tensor]:
    return {name: one for name, one in published_state().items() if name not in names}


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (without("mlp.0.weight"), "holds no branch network .* it holds linear.bias"),
        (without("linear.bias"), "linear.bias is missing instead of 1"),
        (published_state() | {"mlp.4.weight": torch.zeros(8, 8)}, "mlp.4.weight is 8x8 instead of"),
        (published_state() | {"mlp.9.weight": torch.zeros(1)}, "mlp.9.weight does not belong"),
        (
            published_state() | {"linear.bias": torch.tensor([torch.nan])},
            "holds values that are not numbers",
        ),
        (
            published_state() | {"mlp.1.running_var": -published_state()["mlp.1.running_var"]},
            "mlp.1.running_var in .* holds variances below 0",
        ),
        (
            published_state() | {"linear.bias": torch.zeros(1, dtype=torch.complex64)},
            "linear.bias in .* is not a dense tensor of real numbers",
        ),
        (
            published_state() | {"linear.bias": torch.zeros(1).to_sparse()},
            "linear.bias in .* is not a dense tensor of real numbers",
        ),
        ([1, 2, 3], "holds list, not weights by name"),
    ],
)
def test_another_networks_weights_are_refused(state: object, why: str, tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save(state, path)

    with pytest.raises(ValueError, match=why):
        load_weights(path)


def test_what_is_not_there_is_told_when_the_verifier_is_made(tmp_path: Path) -> None:
    with pytest.raises(PluginShapeError, match=r"there are no weights at .*nothing.pt'"):
        build("verifiers", "collab_policies.mlp:Mlp", {"path": str(tmp_path / "nothing.pt")})
    with pytest.raises(PluginShapeError, match="has `collab train verifier` finished there"):
        build("verifiers", "collab_policies.mlp:Mlp", {"path": str(tmp_path)})
    (tmp_path / "w.txt").write_text("x")
    with pytest.raises(PluginShapeError, match=r"has to end with .safetensors, .pt, .pth, .bin"):
        build("verifiers", "collab_policies.mlp:Mlp", {"path": str(tmp_path / "w.txt")})


def test_another_verifiers_card_and_a_damaged_one_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "verifier.safetensors"
    state = published_state()
    other = card().model_copy(update={"verifier": "other"}).model_dump_json()
    save_file(state, path, {"card": other})
    with pytest.raises(ValueError, match="it holds a verifier 'other', not 'mlp'"):
        Mlp(path=path)

    save_file(state, path, {"card": '{"format": 9}'})
    with pytest.raises(ValueError, match=r"the card in .* cannot be read"):
        Mlp(path=path)


def test_weights_of_half_a_state_cannot_be_two(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="7 numbers cannot be 2 hidden states"):
        Mlp(path=ours(tmp_path, width=7, position="segments"))


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # as if it were not installed
from collab.training.examples import Example
from collab_policies.mlp import Mlp, MlpTrainer
for attempt in (
    lambda: Mlp(path="runs/mlp"),
    lambda: MlpTrainer().fit([Example("p", [0.0], 1.0, 1.0)], seed=0),
):
    try:
        attempt()
    except Exception as error:
        print(type(error).__name__, error)
"""


def test_without_torch_it_can_be_imported_and_says_what_is_missing() -> None:
    shown = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, check=True
    ).stdout

    assert "it needs torch and safetensors" in shown
    assert "TrainingError training needs torch and safetensors" in shown
    assert shown.count("pip install -e '.[local]' in its clone") == 2
