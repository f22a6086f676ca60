"""Reading a run configuration: a YAML file, flags over it, and settings over both."""

import copy
import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TypeGuard, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from collab.errors import ConfigError
from collab.runs.config import COMPOSED_KEYS, DEFAULT_RECIPE, RunConfig
from collab.runs.yaml_files import parse_yaml, read_yaml

PAIRS: dict[str, dict[str, object]] = {
    "lab": {
        "generator": {"use": "local", "model": "lab/generator", "threads": 1},
        "mentor": {"use": "local", "model": "lab/mentor", "threads": 1},
    }
}
"""Pairs known by name; any other name is a YAML file with `generator` and `mentor`."""

_NOTHING: Mapping[str, object] = MappingProxyType({})
_PLUGIN_KEYS = ("recipe", "policy")
_SHORT_PATHS = {"generator": ("pair", "generator"), "mentor": ("pair", "mentor")}


def load_config(
    path: Path | None,
    flags: Mapping[str, object] | None = None,
    settings: Sequence[str] = (),
    *,
    defaults: Mapping[str, object] = _NOTHING,
    without: Sequence[str] = (),
) -> RunConfig:
    """Return the configuration of a file, with flags over it and settings over both.

    Args:
        path: A YAML file; `None` for flags alone.
        flags: Keys of `RunConfig`; they replace what the file says. A recipe replaces a
            policy and all that comes with it, and the reverse.
        settings: `KEY=VALUE`, where `KEY` is a dotted path such as `policy.rate` or
            `budget.max_calls` and `VALUE` is YAML. `generator` and `mentor` are short for those of
            the pair, `verifier` for the only verifier, `verifiers.0` for the first.
        defaults: Keys of `RunConfig` that hold where neither the file nor a flag gives them.
        without: Keys of the file that are left out, as they are of no use to who reads it.

    Raises:
        ConfigError: A file cannot be read, a key is unknown, or a value does not fit.
    """
    source = str(path) if path else "command line"
    values = read_yaml(path) if path else {}
    for key in without:
        values.pop(key, None)
    _lay_over(values, flags or {})
    values = {**defaults, **values}
    values["pair"] = _expand_pair(values.get("pair", "lab"))
    _unfold_plugins(values)
    for setting in settings:
        _set(values, setting)
    return parse_config(values, source)


def parse_config(values: Mapping[str, object], source: str) -> RunConfig:
    """Return the configuration that `values` describe; `source` says where they stand.

    Raises:
        ConfigError: See `load_config`.
    """
    try:
        return RunConfig.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(f"{source}: {'; '.join(map(_describe, error.errors()))}") from error


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return the one of `names` that was perhaps meant, as a question; else a semicolon."""
    close = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {close[0]!r}?" if close else ";"


# --- flags and settings -----------------------------------------------------------------------


def _lay_over(values: dict[str, object], flags: Mapping[str, object]) -> None:
    replaced: Sequence[str] = ()
    if "recipe" in flags:
        replaced = COMPOSED_KEYS
    elif "policy" in flags:
        replaced = ("recipe",)
    for key in replaced:
        values.pop(key, None)
    for key, value in flags.items():
        below = values.get(key)
        if key == "problems" and isinstance(below, dict):
            below["source"] = value  # read as the ones it takes the place of
            continue
        is_same = isinstance(value, Mapping) and isinstance(below, dict) and _is_of(value, below)
        values[key] = {**below, **value} if is_same else value  # type: ignore[dict-item]  # `is_same` says that both are mappings


def _is_of(value: Mapping[str, object], below: Mapping[str, object]) -> bool:
    """Whether `value` goes on with what is below it: another plug-in takes none of its options."""
    return "use" not in value or value["use"] == below.get("use")


def _expand_pair(pair: object) -> object:
    if not isinstance(pair, str):
        return pair
    if pair in PAIRS:
        return copy.deepcopy(PAIRS[pair])  # settings are written into it
    if not Path(pair).is_file():
        raise ConfigError(
            f"no pair {pair!r}{did_you_mean(pair, PAIRS)} it is neither a file nor one of: "
            f"{', '.join(PAIRS)}"
        )
    return read_yaml(Path(pair))


def _unfold_plugins(values: dict[str, object]) -> None:
    """Write what is given by its name alone as a mapping, so that settings fit in."""
    if isinstance(values.get("problems"), str | Path):
        values["problems"] = {"source": values["problems"]}
    for key in _PLUGIN_KEYS:
        if isinstance(values.get(key), str):
            values[key] = {"use": values[key]}
    verifiers = values.get("verifiers")
    if isinstance(verifiers, list | tuple):
        values["verifiers"] = [{"use": one} if isinstance(one, str) else one for one in verifiers]
    pair = values["pair"]
    if isinstance(pair, dict):
        values["pair"] = {
            role: {"use": one} if isinstance(one, str) else one for role, one in pair.items()
        }


def _set(values: dict[str, object], setting: str) -> None:
    key, equals, text = setting.partition("=")
    path = key.strip().split(".")
    if not equals or not all(path):
        raise ConfigError(f"setting {setting!r} is not KEY=VALUE, such as policy.rate=0.5")
    value = parse_yaml(text, f"setting {setting!r}: {text!r}")
    place: object = values
    parts = _full_path(path, values, setting)
    for part in parts[:-1]:
        place = _step_into(place, part, setting)
    if not isinstance(place, dict):
        raise ConfigError(f"setting {setting!r}: {'.'.join(parts[:-1])!r} has no options")
    place[parts[-1]] = value


def _full_path(path: Sequence[str], values: Mapping[str, object], setting: str) -> list[str]:
    first, *rest = path
    if first == "verifier":
        verifiers = values.get("verifiers")
        count = len(verifiers) if isinstance(verifiers, list) else 0
        if count != 1:
            raise ConfigError(
                f"setting {setting!r}: there are {count} verifiers; "
                "write verifiers.0 for the first of them"
            )
        return ["verifiers", "0", *rest]
    return [*_SHORT_PATHS.get(first, (first,)), *rest]


def _step_into(place: object, part: str, setting: str) -> object:
    if isinstance(place, dict):
        if part == "recipe" and not {"recipe", "policy"} & set(place):
            place["recipe"] = {"use": DEFAULT_RECIPE}
        if part in _PLUGIN_KEYS and part not in place:
            raise ConfigError(f"setting {setting!r}: no {part} is given; name one first")
        return place.setdefault(part, [] if part == "verifiers" else {})
    if isinstance(place, list) and part.isdecimal() and int(part) < len(place):
        return place[int(part)]
    raise ConfigError(f"setting {setting!r}: there is no {part!r}")


# --- mistakes ---------------------------------------------------------------------------------


def _describe(mistake: ErrorDetails) -> str:
    """Return what is wrong where; for an unknown key also what was perhaps meant."""
    *path, key = [str(part) for part in mistake["loc"]] or [""]
    if mistake["type"] == "extra_forbidden":
        known = _keys_at(RunConfig, path)
        where = f" in {'.'.join(path)}" if path else ""
        listed = ", ".join(sorted(known))
        return f"unknown key {key!r}{where}{did_you_mean(key, known)} keys: {listed}"
    what = mistake["msg"].removeprefix("Value error, ")
    where = ".".join([*path, key])
    return f"{where}: {what} (found {mistake['input']!r})" if where else what


def _keys_at(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    if not path:
        return list(model.model_fields)
    field = model.model_fields.get(path[0])
    annotation = field.annotation if field else None
    inner = [one for one in (annotation, *get_args(annotation)) if _is_model(one)]
    if len(inner) > 1:  # alternatives by `kind`, which is the next part of the path
        inner = [one for one in inner if one.model_fields["kind"].default == path[1]]
        path = path[1:]
    return _keys_at(inner[0], path[1:]) if inner else []


def _is_model(annotation: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
