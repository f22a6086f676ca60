"""Weights of the branch network on disk: ours with a card, and the published layout without."""

import json
import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from collab.durable_files import replace_file
from collab.training.cards import Card
from collab_policies.trained.network import BranchNetwork

WEIGHTS_NAME = "verifier.safetensors"

_CARD_KEY = "card"
_PICKLED = (".pt", ".pth", ".bin")
_WRAPPERS = ("state_dict", "model_state_dict")
"""Under which trainers commonly put a model's weights in a checkpoint."""


@dataclass(frozen=True, slots=True)
class LoadedWeights:
    """A network with its weights, and the card it came with, if it did."""

    network: BranchNetwork
    card: Card | None


def save_weights(path: Path, network: BranchNetwork, card: Card) -> None:
    """Write a network with its card as one file.

    Raises:
        OSError: It cannot be written.
    """
    tensors = {name: one.detach().cpu().contiguous() for name, one in network.state_dict().items()}
    replace_file(path, save(tensors, {_CARD_KEY: card.model_dump_json()}))


def load_weights(path: Path) -> LoadedWeights:
    """Return the network in a folder of `collab train verifier`, or in a file of weights alone.

    Files are `.safetensors`, or `.pt`, `.pth` and `.bin`, of which only tensors are read: code in
    them is never run. The state may stand under the key `state_dict` or `model_state_dict`.

    Raises:
        ValueError: There is no such file, it holds something else, or its numbers are none.
    """
    file = path / WEIGHTS_NAME if path.is_dir() else path
    try:
        found = file.stat()
    except OSError as error:
        hint = "; has `collab train verifier` finished there?" if path.is_dir() else ""
        raise ValueError(f"there are no weights at {str(file)!r}{hint}") from error
    return _load(file, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=8)
def _load(file: Path, _changed: int, _size: int) -> LoadedWeights:
    """Load a file once, as long as it stays as it is."""
    if file.suffix == ".safetensors":
        tensors, card = _read_safetensors(file)
    elif file.suffix in _PICKLED:
        tensors, card = _read_pickled(file), None
    else:
        raise ValueError(
            f"{str(file)!r} is not a file of weights: its name has to end with .safetensors, "
            f"{', '.join(_PICKLED)}"
        )
    return LoadedWeights(_network(tensors, file), card)


def _read_safetensors(file: Path) -> tuple[Mapping[str, object], Card | None]:
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
        tensors: dict[str, object] = dict(load_file(file))
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{str(file)!r} is not a safetensors file: {error}") from error
    if _CARD_KEY not in metadata:
        return tensors, None
    try:
        return tensors, Card.model_validate(json.loads(metadata[_CARD_KEY]))
    except (ValueError, ValidationError) as error:
        raise ValueError(f"the card in {str(file)!r} cannot be read: {error}") from error


def _read_pickled(file: Path) -> Mapping[str, object]:
    try:
        with warnings.catch_warnings():
            # Of pickle's protocol in the file: what cannot be read is an error anyway.
            warnings.simplefilter("ignore", UserWarning)
            found: object = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        # Not what torch says of it, which is how to read files that run code.
        raise ValueError(
            f"{str(file)!r} does not hold weights alone ({type(error).__name__}): it is damaged, "
            "or holds more than tensors by name, which is not read, as it could run code; save "
            "the network's state_dict() alone"
        ) from error
    for wrapper in _WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
    if not isinstance(found, Mapping):
        # As everything here that a field of the verifier is refused for.
        raise ValueError(f"{str(file)!r} holds {type(found).__name__}, not weights by name")  # noqa: TRY004
    return {str(name): value for name, value in found.items()}


def _network(tensors: Mapping[str, object], file: Path) -> BranchNetwork:
    """Return the network that a state belongs to; its width is that of the first layer.

    Raises:
        ValueError: The state is another network's, or holds what is no number.
    """
    state = {name: one for name, one in tensors.items() if isinstance(one, torch.Tensor)}
    first = state.get("mlp.0.weight")
    if first is None or first.ndim != 2 or first.shape[1] < 2:
        names = ", ".join(sorted(tensors)[:4]) or "nothing"
        raise ValueError(
            f"{str(file)!r} holds no branch network (mlp.0, mlp.1, mlp.4, mlp.5, mlp.8, linear); "
            f"it holds {names}"
        )
    width = int(first.shape[1])
    with torch.device("meta"):
        expected = {name: one.shape for name, one in BranchNetwork(width).state_dict().items()}
    counters = {name for name in expected if name.endswith("num_batches_tracked")}
    wrong = [
        f"{name} is {_shape(state.get(name))} instead of {_shape(shape)}"
        for name, shape in expected.items()
        if name not in counters and (name not in state or state[name].shape != shape)
    ]
    wrong += [f"{name} does not belong there" for name in sorted(set(tensors) - set(expected))]
    if wrong:
        raise ValueError(
            f"{str(file)!r} holds another network than one for {width} numbers: "
            f"{'; '.join(wrong[:3])}"
        )
    if odd := [name for name, one in state.items() if not _is_plain(one)]:
        found = state[odd[0]]
        raise ValueError(
            f"{odd[0]} in {str(file)!r} is not a dense tensor of real numbers ({found.dtype}, "
            f"{found.layout}, {found.device})"
        )
    weights = {name: one.float() for name, one in state.items() if name not in counters}
    if bad := [name for name, one in weights.items() if not bool(torch.isfinite(one).all())]:
        raise ValueError(
            f"{bad[0]} in {str(file)!r} holds values that are not numbers (NaN or infinity)"
        )
    if bad := [
        name for name in weights if name.endswith("running_var") and (weights[name] < 0).any()
    ]:
        raise ValueError(f"{bad[0]} in {str(file)!r} holds variances below 0")
    network = BranchNetwork(width)
    network.load_state_dict(weights, strict=False)  # the counters of batches are of no use here
    network.train(mode=False)
    return network


def _is_plain(tensor: torch.Tensor) -> bool:
    is_dense = tensor.layout == torch.strided and tensor.device.type != "meta"
    return is_dense and not tensor.is_complex()


def _shape(found: torch.Tensor | torch.Size | None) -> str:
    if found is None:
        return "missing"
    shape = found.shape if isinstance(found, torch.Tensor) else found
    return "x".join(map(str, shape))
