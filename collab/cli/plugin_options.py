"""Options of what belongs to a plug-in and is built by a command, such as a trainer."""

from collections.abc import Iterable, Mapping, Sequence
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


def part_of(plugin: type[object], part: str, base: type[T]) -> type[T] | None:
    """Return the class that a plug-in names as its `part`; `None` if it names none."""
    found = getattr(plugin, part, None)
    return found if isinstance(found, type) and issubclass(found, base) else None


def installed_with(kind: Kind, part: str) -> list[str]:
    """Return the names of the installed plug-ins that have such a part."""
    return [one.name for one in installed(kind) if _has(kind, one.name, part)]


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
