"""Options of what belongs to a plug-in and is built by a command, such as a trainer."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from collab.errors import ConfigError, PluginError
from collab.plugins import Kind, explain, find, installed
from collab.runs.yaml_files import parse_yaml

T = TypeVar("T", bound=BaseModel)


def split_settings(settings: Sequence[str], part: str) -> tuple[list[str], list[str]]:
    """Return the `KEY=VALUE` of a part, such as `trainer`, and those of everything else."""
    own = [one for one in settings if one.startswith(f"{part}.")]
    return own, [one for one in settings if one not in own]


def part_of(
    kind: Kind,
    name: str,
    part: str,
    base: type[T],
    settings: Iterable[str],
    *,
    verb: str,
    given: Mapping[str, object] = MappingProxyType({}),
) -> T:
    """Return the part of a plug-in that a command works with, made with its options.

    Args:
        kind: Of the plug-in.
        name: The plug-in.
        part: What its class calls the part, and settings too.
        base: What the part has to be.
        settings: `PART.KEY=VALUE`; they win.
        verb: What the command does with such plug-ins, such as `trained`.
        given: Options by their keys.

    Raises:
        ConfigError: There is no such plug-in, it has no such part, or an option does not fit.
    """
    found = getattr(find(kind, name), part, None)
    if not (isinstance(found, type) and issubclass(found, base)):
        listed = ", ".join(one.name for one in installed(kind) if _has(kind, one.name, part))
        raise ConfigError(
            f"the {kind.removesuffix('s')} {name!r} cannot be {verb}; those that can: {listed}"
        )
    return build_part(found, part, name, settings, given)


def build_part(
    made: type[T], part: str, owner: str, settings: Iterable[str], given: Mapping[str, object]
) -> T:
    """Return a part of a plug-in with its options.

    Args:
        made: Its class.
        part: Its name in settings.
        owner: The plug-in.
        settings: `PART.KEY=VALUE`; they win.
        given: Options by their keys.

    Raises:
        ConfigError: An option does not fit.
    """
    try:
        return made.model_validate({**given, **dict(_option(made, part, one) for one in settings)})
    except ValidationError as error:
        raise ConfigError(f"{part} of {owner!r}: {'; '.join(explain(error))}") from error


def _option(made: type[BaseModel], part: str, setting: str) -> tuple[str, object]:
    key, equals, text = setting.removeprefix(f"{part}.").partition("=")
    if not equals or key not in made.model_fields:
        raise ConfigError(
            f"setting {setting!r} is not an option of the {part}; write {part}.KEY=VALUE with one "
            f"of: {', '.join(sorted(made.model_fields))}"
        )
    return key, parse_yaml(text, f"setting {setting!r}: {text!r}")


def _has(kind: Kind, name: str, part: str) -> bool:
    try:
        return hasattr(find(kind, name), part)
    except PluginError:  # a stranger's, which is not what was asked for
        return False
