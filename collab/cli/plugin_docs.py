"""What a plug-in says of itself: its first sentence without importing it, its options with."""

import ast
import importlib.util
import inspect
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a plug-in.

    Attributes:
        name: As `--set` takes it after the plug-in; parts of a value stand after a dot.
        type: What it takes.
        default: As JSON; `None` if it has to be given, and empty if its parts say so.
        bounds: Such as `at least 0`; empty for none.
        description: What it is, with its unit.
    """

    name: str
    type: str
    default: str | None
    bounds: str
    description: str


def first_sentence(target: str) -> str:
    """Return the first paragraph of the docstring of `module:Class`, read without importing it.

    Empty if it has none, or is not written where its entry point says.
    """
    module, _, name = target.partition(":")
    try:
        path = _source_of(module)
        tree = ast.parse(path.read_bytes()) if path else None
    except (OSError, SyntaxError, ValueError, ImportError):
        return ""
    found = [one for one in _nodes(tree) if isinstance(one, ast.ClassDef) and one.name == name]
    text = (ast.get_docstring(found[0]) if found else None) or ""
    return " ".join(text.partition("\n\n")[0].split())


def full_text(plugin: type[BaseModel]) -> str:
    """Return the docstring of a plug-in, with its sources; empty if it has none of its own."""
    return inspect.cleandoc(plugin.__doc__ or "")


def options_of(plugin: type[BaseModel], *, within: str = "") -> list[Option]:
    """Return the options of a plug-in, its own before those that it has from a base.

    An option whose parts describe themselves is followed by them.
    """
    declared = [inspect.get_annotations(one) for one in plugin.__mro__]
    first = {
        name: next(n for n, names in enumerate(declared) if name in names)
        for name in plugin.model_fields
    }
    options = []
    for name, field in sorted(plugin.model_fields.items(), key=lambda one: first[one[0]]):
        parts = list(_parts(field.annotation))
        default = None if field.is_required() else _as_json(field)
        options.append(
            Option(
                name=f"{within}{name}",
                type=_type_name(field.annotation),
                default="" if parts and default not in (None, "null") else default,
                bounds=_bounds(field),
                description=" ".join((field.description or "").split()),
            )
        )
        told = [one for part in parts for one in options_of(part, within=f"{within}{name}.")]
        options += [one for one in told if one.description]
    return options


def _source_of(module: str) -> Path | None:
    """Return the file of a module; only how its outermost package is found is asked."""
    first, *rest = module.split(".")
    spec = importlib.util.find_spec(first)
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin else None
    for place in spec.submodule_search_locations or ():
        inside = Path(place, *rest)
        for path in (inside.with_name(f"{inside.name}.py"), inside / "__init__.py"):
            if path.is_file():
                return path
    return None


def _nodes(tree: ast.Module | None) -> list[ast.stmt]:
    return tree.body if tree else []


def _parts(annotation: object) -> Iterator[type[BaseModel]]:
    """Yield the one model that an option holds; alternatives are named by its type alone."""
    models = [one for one in _alternatives(annotation) if _is_model(one)]
    if len(models) == 1:
        yield from (one for one in models if isinstance(one, type))


def _is_model(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _alternatives(annotation: object) -> list[object]:
    if get_origin(annotation) is Annotated:
        return _alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [part for one in get_args(annotation) for part in _alternatives(one)]
    return [annotation]


def _type_name(annotation: object) -> str:
    return " or ".join(dict.fromkeys(map(_single_type_name, _alternatives(annotation))))


def _single_type_name(annotation: object) -> str:
    if annotation is type(None):
        return "null"
    if get_origin(annotation) is Literal:
        return " or ".join(json.dumps(one) for one in get_args(annotation))
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__name__
    if get_origin(annotation) is tuple:
        parts = ["..." if one is ... else _type_name(one) for one in get_args(annotation)]
        return f"tuple[{', '.join(parts)}]"
    return str(annotation).replace("typing.", "").replace("collections.abc.", "")


def _as_json(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True, validated_data={})
    return TypeAdapter(object).dump_json(default).decode()


def _bounds(field: FieldInfo) -> str:
    return ", ".join(
        f"{words} {bound:g}"
        for one in field.metadata
        for key, words in _BOUNDS.items()
        if (bound := getattr(one, key, None)) is not None
    )
