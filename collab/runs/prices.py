"""What prices the models of a run: their own price, a price file, or the package genai-prices."""

import datetime
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError, field_validator
from pydantic_core import ErrorDetails

from collab.errors import ConfigError
from collab.runs.config import PluginConfig, RunConfig
from collab.runs.config_files import did_you_mean
from collab.runs.yaml_files import read_yaml
from collab.texts import how_to_install
from collab.usage import Price

GENAI_PRICES = "genai-prices"
"""Asked for by this word, the optional package says what known providers charge."""

_SHAPE = (
    "a price file is `version: TEXT` and `models: {NAME: {prompt: ..., cached: ..., "
    "completion: ...}}`, in dollars per million tokens; `cached` may be left out"
)
_SHOWN_DIGITS = 12


@dataclass(frozen=True, slots=True)
class PriceSource:
    """Where a price comes from.

    Attributes:
        name: `configuration`, the path of a price file, or `genai-prices`.
        version: Of the file, as it says itself, or of the package.
        sha256: Of the file's content.
    """

    name: str
    version: str = ""
    sha256: str = ""

    def __str__(self) -> str:
        """Return it in a few words, for people."""
        version = f" {self.version}" if self.version else ""
        digest = f" (sha256 {self.sha256[:_SHOWN_DIGITS]})" if self.sha256 else ""
        return f"{self.name}{version}{digest}"

    def as_json(self) -> dict[str, JsonValue]:
        """Return what is known of it."""
        return {key: value for key, value in asdict(self).items() if value}


@dataclass(frozen=True, slots=True)
class Priced:
    """What prices one participant; `price` is `None` where its backend's options say it."""

    source: PriceSource
    price: Price | None = None


def prices_of(config: RunConfig) -> dict[str, Priced]:
    """Return what prices each participant; who has no price is left out.

    A backend's own `price` wins over `prices`.

    Raises:
        ConfigError: The price file cannot be read or is wrong, or genai-prices is not installed.
    """
    table = _table(config.prices)
    priced: dict[str, Priced] = {}
    for role, backend in config.pair.by_role.items():
        if backend.options.get("price") is not None:
            priced[role] = Priced(PriceSource("configuration"))
        elif table is not None and (price := table.price_of(backend)) is not None:
            priced[role] = Priced(table.source, price)
    return priced


def price_record(config: RunConfig) -> dict[str, JsonValue]:
    """Return what prices the participants as JSON under the key `prices`; nothing if nothing does.

    Raises:
        ConfigError: See `prices_of`.
    """
    priced = {role: one.source.as_json() for role, one in prices_of(config).items()}
    return {"prices": dict(priced)} if priced else {}


def priced_by(records: Iterable[Mapping[str, JsonValue]]) -> dict[str, list[str]]:
    """Return in words what priced each participant, in the order in which it was recorded.

    Args:
        records: What `price_record` returned at several times, perhaps among other things.
    """
    told: dict[str, list[str]] = {}
    for record in records:
        sources = record.get("prices")
        for role, source in sources.items() if isinstance(sources, dict) else ():
            label = str(PriceSource(**source))  # type: ignore[arg-type]  # as written by `as_json`
            if label not in told.setdefault(role, []):
                told[role].append(label)
    return told


class _Table(Protocol):
    @property
    def source(self) -> PriceSource: ...

    def price_of(self, backend: PluginConfig) -> Price | None: ...


def _table(prices: str | None) -> _Table | None:
    if prices is None:
        return None
    return _genai_prices() if prices == GENAI_PRICES else _read_price_file(Path(prices))


# --- a price file -----------------------------------------------------------------------------


class _PriceFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str
    models: dict[str, Price]

    @field_validator("version", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        """Take what YAML makes of an unquoted version, such as a date, as the text it was."""
        is_plain = isinstance(value, int | float | datetime.date) and not isinstance(value, bool)
        return str(value) if is_plain else value


@dataclass(frozen=True, slots=True)
class _FileTable:
    source: PriceSource
    models: Mapping[str, Price]

    def price_of(self, backend: PluginConfig) -> Price | None:
        return self.models.get(str(backend.options.get("model")))


def _read_price_file(path: Path) -> _FileTable:
    values = read_yaml(path, "price file")
    try:
        parsed = _PriceFile.model_validate(values)
    except ValidationError as error:
        told = "; ".join(_describe(mistake) for mistake in error.errors())
        raise ConfigError(f"{path}: {told}; {_SHAPE}") from error
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return _FileTable(PriceSource(str(path), parsed.version, digest), parsed.models)


def _describe(mistake: ErrorDetails) -> str:
    """Return what is wrong with which key of which model."""
    names = [str(one) for one in mistake["loc"]]
    of_model = len(names) > 1 and names[0] == "models"
    where = f"model {names[1]!r}: " if of_model else ""
    keys = sorted((Price if of_model else _PriceFile).model_fields)
    rest = names[2:] if of_model else names
    key = ".".join(rest)
    if mistake["type"] == "extra_forbidden":
        return f"{where}unknown key {key!r}{did_you_mean(key, keys)} keys: {', '.join(keys)}"
    if mistake["type"] == "missing":
        return f"{where}the key {key!r} is missing"
    what = mistake["msg"].removeprefix("Value error, ")
    return f"{where}{key}{': ' if key else ''}{what} (found {mistake['input']!r})"


# --- genai-prices -----------------------------------------------------------------------------


class _GenaiTable:
    """Prices of the providers that genai-prices knows, as of now.

    A model is priced by the provider whose API its `base_url` is: a name alone would price what
    runs on one's own machine. Of prices in tiers by length, the first is taken.
    """

    def __init__(self, version: str) -> None:
        self.source = PriceSource(GENAI_PRICES, version)

    def price_of(self, backend: PluginConfig) -> Price | None:
        import genai_prices  # noqa: PLC0415  # optional; see `_genai_prices`

        urls = backend.options.get("base_url")
        url = urls[0] if isinstance(urls, list | tuple) and urls else urls
        model = backend.options.get("model")
        if not isinstance(url, str) or not isinstance(model, str):
            return None
        try:
            found = genai_prices.calc_price(genai_prices.Usage(), model, provider_api_url=url)
        except LookupError:
            return None
        prompt, cached, completion = (
            _first_tier(getattr(found.model_price, f"{name}_mtok", None))
            for name in ("input", "cache_read", "output")
        )
        if prompt is None or completion is None:
            return None
        return Price(prompt=prompt, cached=cached, completion=completion)


def _genai_prices() -> _GenaiTable:
    try:
        # Who does not ask for it need not have it.
        import genai_prices  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            "prices: the package genai-prices is not installed; "
            f"{how_to_install('prices')}; or name a price file"
        ) from error
    return _GenaiTable(genai_prices.__version__)


def _first_tier(price: Any) -> float | None:
    first = getattr(price, "base", price)
    return None if first is None else float(first)
