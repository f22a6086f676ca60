"""Where models and tokenizers come from: folders, hub ids, the shipped lab. Imports no torch."""

import importlib.util
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from collab.errors import ModelLoadError

_LAB_PREFIX = "lab/"


def resolve(reference: str) -> str:
    """Return the folder that `lab/NAME` stands for, an existing folder, or a hub id as it is."""
    if reference.startswith(_LAB_PREFIX) and not Path(reference).exists():
        spec = importlib.util.find_spec("collab_backends.lab")
        folders = list(spec.submodule_search_locations or ()) if spec else []
        name = reference.removeprefix(_LAB_PREFIX)
        for folder in folders:
            if (Path(folder) / name / "config.json").is_file():
                return str(Path(folder) / name)
        raise ModelLoadError(f"the shipped lab has no model {name!r}")
    looks_like_path = reference.startswith((".", "/", "~")) or Path(reference).exists()
    if not looks_like_path:
        return reference
    folder_path = Path(reference).expanduser()
    if not folder_path.is_dir():
        raise ModelLoadError(f"there is no model folder {reference!r}")
    if not (folder_path / "config.json").is_file():
        raise ModelLoadError(f"{reference!r} is no model folder: it has no config.json")
    return str(folder_path)


def from_pretrained(loader: Any, place: str, reference: str, part: str, **options: object) -> Any:
    """Load one part of a model.

    Raises:
        ModelLoadError: It cannot be loaded; the message names the part.
    """
    try:
        return loader.from_pretrained(place, **options)
    except Exception as error:  # each file format raises errors of its own
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise ModelLoadError(f"cannot load the {part} of {reference!r}: {reason}") from error


def load_tokenizer(reference: str) -> PreTrainedTokenizerFast:
    """Load a tokenizer alone.

    Raises:
        ModelLoadError: There is none, or it cannot be loaded.
    """
    tokenizer: PreTrainedTokenizerFast = from_pretrained(
        AutoTokenizer, resolve(reference), reference, "tokenizer"
    )
    # Without tokenizer files transformers makes an empty one, and says nothing.
    if not tokenizer("a", add_special_tokens=False)["input_ids"]:
        raise ModelLoadError(f"cannot load the tokenizer of {reference!r}: it has no vocabulary")
    return tokenizer
