"""Where models and tokenizers come from: folders, hub ids, the shipped lab. Imports no torch."""

import importlib.util
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from collab.errors import ModelLoadError
from collab_backends.local.gguf_files import read_gguf

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
    if not reference.startswith((".", "/", "~")) and not Path(reference).exists():
        return reference
    folder_path = Path(reference).expanduser()
    if not folder_path.is_dir():
        raise ModelLoadError(f"there is no {kind} folder {reference!r}")
    if not any((folder_path / name).is_file() for name in files):
        raise ModelLoadError(
            f"{reference!r} is no {kind} folder: it has no {' and no '.join(files)}"
        )
    return str(folder_path)


def find_gguf(reference: str, files: tuple[str, ...] = _MODEL_FILES) -> Path | None:
    """Return the GGUF file that is meant: itself, or the only one in a folder without `files`.

    Raises:
        ModelLoadError: There is no such file, or the folder holds several.
    """
    path = Path(reference).expanduser()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise ModelLoadError(f"there is not a GGUF file {reference!r}")
        return path
    if not path.is_dir() or any((path / name).is_file() for name in files):
        return None
    found = sorted(path.glob("*.gguf"))
    if len(found) > 1:
        names = ", ".join(one.name for one in found)
        raise ModelLoadError(f"{reference!r} holds {len(found)} GGUF files; name one of {names}")
    return found[0] if found else None


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
    """Load a tokenizer alone: from a folder, the hub, or a GGUF file.

    Raises:
        ModelLoadError: There is none, or it cannot be loaded.
    """
    tokenizer: PreTrainedTokenizerFast
    if gguf := find_gguf(reference, _TOKENIZER_FILES):
        read_gguf(gguf)  # says what is wrong with the file, if anything is
        tokenizer = from_pretrained(
            AutoTokenizer, str(gguf.parent), reference, "tokenizer", gguf_file=gguf.name
        )
    else:
        place = Path(resolve(reference, _TOKENIZER_FILES, "tokenizer"))
        is_bare = (place / "tokenizer.json").is_file() and not (
            place / "tokenizer_config.json"
        ).exists()
        # With nothing else beside it, transformers cannot know the tokenizer's class.
        loader = PreTrainedTokenizerFast if is_bare else AutoTokenizer
        tokenizer = from_pretrained(loader, str(place), reference, "tokenizer")
    # Without tokenizer files transformers makes an empty one, and says nothing.
    if not tokenizer("a", add_special_tokens=False)["input_ids"]:
        raise ModelLoadError(f"cannot load the tokenizer of {reference!r}: it has no vocabulary")
    return tokenizer
