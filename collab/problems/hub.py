"""Rows of a data set on the Hugging Face hub, or of a local folder in its layout."""

from collections.abc import Iterator, Mapping
from urllib.parse import parse_qs, urlsplit

from collab.errors import ProblemFileError
from collab.texts import how_to_install

HUB_PREFIX = "hf://"
_KEYS = {"split", "config", "revision"}


def hub_rows(address: str) -> Iterator[Mapping[str, object]]:
    """Yield the rows of `hf://owner/name?split=test`, by column; also `config` and `revision`.

    A split may be a part of one, such as `train[-500:]`. `hf://./folder` and `hf:///folder` are
    folders here. What is downloaded stays in the hub's own cache.

    Raises:
        ProblemFileError: The address is none, the package `datasets` is missing, or the data set
            cannot be loaded.
    """
    name, options = _parsed(address)
    try:
        import datasets  # noqa: PLC0415  # an optional extra, and slow to import
    except ImportError as error:
        raise ProblemFileError(
            f"{address!r} needs the package 'datasets', which cannot be imported ({error}); "
            f"{how_to_install('hf')}"
        ) from error
    try:
        rows = datasets.load_dataset(
            name, options.get("config"), split=options["split"], revision=options.get("revision")
        )
    except Exception as error:
        raise ProblemFileError(
            f"cannot load the data set {address!r}: {type(error).__name__}: {error}; without a "
            "way to the hub, save its rows as JSON Lines, CSV or Parquet and name that file"
        ) from error
    yield from rows


def _parsed(address: str) -> tuple[str, Mapping[str, str]]:
    parts = urlsplit(address)
    name = parts.netloc + parts.path
    given = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    if unknown := sorted(set(given) - _KEYS):
        raise ProblemFileError(
            f"{address!r} has the unknown key {unknown[0]!r}; keys: {', '.join(sorted(_KEYS))}"
        )
    if not name or "split" not in given:
        raise ProblemFileError(
            f"{address!r} has no {'split' if name else 'name'}; write it as "
            "hf://owner/name?split=test"
        )
    return name, given
