"""Reading YAML that people write: bounded in size, and strict where a value would be lost."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from collab.errors import ConfigError

MOST_VALUES = 100_000
"""Values of one file, each counted wherever an alias repeats it."""

DEEPEST = 64
"""Levels of nesting."""

_LARGEST = 1 << 64

_MERGE = "tag:yaml.org,2002:merge"


def read_yaml(path: Path, kind: str = "configuration") -> dict[str, object]:
    """Return the mapping that a YAML file holds; `kind` says in errors what it should be.

    Raises:
        ConfigError: It cannot be read, or holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the {kind} {str(path)!r}: {error}") from error
    values = parse_yaml(text, str(path))
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected keys and values, found {type(values).__name__}")
    named = {str(key): value for key, value in values.items()}
    if len(named) < len(values):
        raise ConfigError(f"{path}: two keys are the same word, such as 1 and '1'")
    return named


def parse_yaml(text: str, source: str) -> object:
    """Return the value that a YAML text describes; `source` says in errors where it stands.

    Raises:
        ConfigError: It is not YAML, or too large or too deep for a configuration.
    """
    try:
        value: object = yaml.load(text, _Loader)  # a safe one
    except yaml.YAMLError as error:
        raise ConfigError(f"{source} is not YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise ConfigError(f"{source} is nested too deeply; at most {DEEPEST} levels") from error
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        # Such as a number of more digits than Python reads, or a value that its tag does not fit.
        raise ConfigError(f"{source} holds a value that cannot be read: {error}") from error
    _ensure_bounded(value, source)
    return value


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, where one of both would be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            if key_node.tag == _MERGE:
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key has to be a word or a number", key_node.start_mark
                )
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _ensure_bounded(value: object, source: str) -> None:
    """Refuse what aliases blow up: every value counts as often as it would be written out."""
    left, todo = MOST_VALUES, [(value, 0)]
    while todo:
        one, depth = todo.pop()
        left -= 1
        if isinstance(one, int) and abs(one) > _LARGEST:
            raise ConfigError(f"{source} holds a number that no option takes: it is too large")
        if depth > DEEPEST:
            raise ConfigError(f"{source} is nested too deeply; at most {DEEPEST} levels")
        if left < 0:
            raise ConfigError(
                f"{source} holds more than {MOST_VALUES:,} values; does an alias repeat itself?"
            )
        if isinstance(one, dict):
            todo += [(inner, depth + 1) for inner in one.values()]
        elif isinstance(one, list | tuple | set):
            todo += [(inner, depth + 1) for inner in one]
