"""Where models and tokenizers come from: folders, hub ids, the shipped lab. Imports no torch."""

import importlib.util
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from collab.errors import ModelLoadError

_LAB_PREFIX = "lab/"


_MODEL_FILES = ("config.json",)
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "config.json")


def resolve(reference: str, files: tuple[str, ...] = _MODEL_FILES, kind: str = "model") -> str:
    """Return the folder that `lab/NAME` stands for, an existing folder, or a hub id as it is.

    Args:
        reference: What a user wrote.
        files: One of these has to be in a folder.
        kind: What the folder is to hold, for errors.

    Raises:
        ModelLoadError: There is no such folder, or it holds something else.
    """
    if reference.startswith(_LAB_PREFIX) and not Path(reference).exists():
        spec = importlib.util.find_spec("collab_backends.lab")
        folders = list(spec.submodule_search_locations or ()) if spec else []
        name = reference.removeprefix(_LAB_PREFIX)
        for folder in folders:
            if (Path(folder) / name / "config.json").is_file():
                return str(Path(folder) / name)
        raise ModelLoadError(f"the shipped lab has no model {name!r}")
    looks_like_path = reference.startswith((".", "/", "~")) or reference.endswith(".gguf")
    looks_like_path = looks_like_path or Path(reference).exists()
    if not looks_like_path:
        return reference
    folder_path = Path(reference).expanduser()
    if folder_path.suffix == ".gguf":
        raise ModelLoadError(
            f"{reference!r} is a GGUF file, which the local backend does not read; serve it with "
            f"`llama-server -m {reference} --port 8080` and use the backend `openai` with "
            "base_url http://127.0.0.1:8080/v1"
        )
    if not folder_path.is_dir():
        raise ModelLoadError(f"there is no {kind} folder {reference!r}")
    if not any((folder_path / name).is_file() for name in files):
        raise ModelLoadError(
            f"{reference!r} is no {kind} folder: it has no {' and no '.join(files)}"
        )
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
    place = Path(resolve(reference, _TOKENIZER_FILES, "tokenizer"))
    is_bare = (place / "tokenizer.json").is_file() and not (
        place / "tokenizer_config.json"
    ).exists()
    # With nothing else beside it, transformers cannot know the tokenizer's class.
    loader = PreTrainedTokenizerFast if is_bare else AutoTokenizer
    tokenizer: PreTrainedTokenizerFast = from_pretrained(loader, str(place), reference, "tokenizer")
    # Without tokenizer files transformers makes an empty one, and says nothing.
    if not tokenizer("a", add_special_tokens=False)["input_ids"]:
        raise ModelLoadError(f"cannot load the tokenizer of {reference!r}: it has no vocabulary")
    return tokenizer
