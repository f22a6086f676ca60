"""Finding plug-ins: installed ones by name, others as `module:Class` or `file.py:Class`.

Installed plug-ins are entry points of the groups `collab.policies`, `collab.verifiers`,
`collab.steerers`, `collab.strategies`, `collab.backends` and `collab.recipes`, ours and strangers'
alike. Nothing is imported before it is named.
"""

import difflib
import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Literal, get_args

from pydantic import BaseModel, ValidationError

from collab.errors import (
    BrokenPluginError,
    DuplicatePluginError,
    PluginError,
    PluginShapeError,
    UnknownPluginError,
)
from collab.texts import how_to_install, without_credentials

Kind = Literal["policies", "verifiers", "steerers", "strategies", "backends", "recipes"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_SINGULAR: dict[Kind, str] = {
    "policies": "policy",
    "verifiers": "verifier",
    "steerers": "steerer",
    "strategies": "strategy",
    "backends": "backend",
    "recipes": "recipe",
}
_SHAPES: dict[Kind, tuple[str, ...]] = {
    "policies": ("start", "needs", "entropy_top_k", "observations", "looks_beyond"),
    "verifiers": ("start", "needs", "reads_look_ahead"),
    "steerers": ("start", "needs"),
    "strategies": ("run", "needs"),
    "backends": ("connect", "price", "view"),
    "recipes": ("recipe",),
}


@dataclass(frozen=True, slots=True)
class InstalledPlugin:
    """An entry point of one of our groups.

    Attributes:
        name: What users write.
        target: Where it is, as `module:Class`.
        package: The distribution that brings it.
        version: That distribution's version.
    """

    name: str
    target: str
    package: str
    version: str


def installed(kind: Kind) -> list[InstalledPlugin]:
    """Return the installed plug-ins of a kind, by name; imports none of them."""
    return sorted((_as_installed(point) for point in _points(kind)), key=lambda p: p.name)


def find(kind: Kind, reference: str) -> type[BaseModel]:
    """Return the plug-in class that `reference` names.

    Args:
        kind: The group to look in.
        reference: An installed name, `module:Class`, or `path/to/file.py:Class`.

    Raises:
        UnknownPluginError: There is no such plug-in.
        DuplicatePluginError: Two packages registered that name.
        BrokenPluginError: Importing it failed.
        PluginShapeError: What was found is no plug-in of that kind.
    """
    found = _import_reference(kind, reference) if ":" in reference else _load(kind, reference)
    return _checked(kind, reference, found)


def build(kind: Kind, reference: str, options: Mapping[str, object]) -> BaseModel:
    """Return the plug-in that `reference` names, made with `options`.

    Raises:
        PluginError: It cannot be found, see `find`, or an option does not fit.
    """
    plugin = find(kind, reference)
    fields = set(plugin.model_fields)
    for option in options:
        if option not in fields:
            raise PluginShapeError(
                f"{_SINGULAR[kind]} {reference!r} has no option {option!r}"
                f"{_did_you_mean(option, fields)} options: {_listed(fields)}"
            )
    try:
        return plugin.model_validate(dict(options))
    except ValidationError as error:
        raise PluginShapeError(
            f"{_SINGULAR[kind]} {reference!r}: {'; '.join(explain(error))}"
        ) from error
    except (Exception, SystemExit) as error:
        raise BrokenPluginError(
            f"{_SINGULAR[kind]} {reference!r} cannot be made: {type(error).__name__}: {error}"
        ) from error


def is_plugin(kind: Kind, value: object) -> bool:
    """Whether `value` has the shape of a plug-in of that kind."""
    return not _misshape(kind, type(value))


def reference_of(kind: Kind, plugin: object) -> str:
    """Return a reference under which `find` finds the class of `plugin` again."""
    cls = type(plugin)
    target = f"{cls.__module__}:{cls.__qualname__}"
    for entry in installed(kind):
        if entry.target == target:
            return entry.name
    module = sys.modules.get(cls.__module__)
    if cls.__module__.startswith(_FILE_PREFIX) and module is not None:
        return f"{module.__file__}:{cls.__qualname__}"
    return target


def explain(error: ValidationError) -> list[str]:
    """Return one line per mistake: where it is, what is wrong, what was found without secrets."""
    return [
        f"{'.'.join(str(part) for part in mistake['loc']) or 'value'}: {mistake['msg']} "
        f"(found {without_credentials(repr(mistake['input']))})"
        for mistake in error.errors()
    ]


# --- installed plug-ins -----------------------------------------------------------------------


def _points(kind: Kind) -> Iterable[EntryPoint]:
    # An editable install beside a wheel of the same package lists each entry point twice.
    unique = {(p.name, p.value, _package(p)): p for p in entry_points(group=f"collab.{kind}")}
    return unique.values()


def _load(kind: Kind, name: str) -> object:
    singular = _SINGULAR[kind]
    points = [point for point in _points(kind) if point.name == name]
    if not points:
        names = {point.name for point in _points(kind)}
        raise UnknownPluginError(
            f"no {singular} {name!r}{_did_you_mean(name, names)} installed: {_listed(names)}"
            f"{_elsewhere(kind, name)}"
        )
    if len(points) > 1:
        owners = " and ".join(f"{_package(p)} ({p.value})" for p in points)
        raise DuplicatePluginError(
            f"{singular} {name!r} is registered twice, by {owners}; "
            "uninstall one, or name the one you want as module:Class"
        )
    try:
        return points[0].load()
    except (Exception, SystemExit) as error:
        raise BrokenPluginError(
            f"{singular} {name!r} of {_package(points[0])} cannot be imported: "
            f"{type(error).__name__}: {error}{_install_hint(points[0], error)}"
        ) from error


def _elsewhere(kind: Kind, name: str) -> str:
    """Return of which other kinds there are plug-ins of that name."""
    found = [
        _SINGULAR[other]
        for other in KINDS
        if other != kind and any(point.name == name for point in _points(other))
    ]
    return f"; there is a {' and a '.join(found)} of that name" if found else ""


def _as_installed(point: EntryPoint) -> InstalledPlugin:
    version = point.dist.version if point.dist else "?"
    return InstalledPlugin(point.name, point.value, _package(point), version)


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "unknown package"


def _install_hint(point: EntryPoint, error: BaseException) -> str:
    """Return how to install a missing module: by the package's extra that names it, if one does."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    missing = error.name.partition(".")[0]
    if missing == point.module.partition(".")[0]:
        return "; its installation is incomplete"
    for requirement in (point.dist.requires or []) if point.dist else []:
        name = re.match(r"[\w.-]+", requirement)
        extra = re.search(r"extra\s*==\s*['\"]([\w.-]+)['\"]", requirement)
        if name and extra and name.group().lower() == missing.lower():
            package = _package(point)
            is_ours = package == "collab-reasoning"
            how = f"pip install '{package}[{extra.group(1)}]'"
            return f"; {how_to_install(extra.group(1)) if is_ours else how}"
    return f"; pip install {missing}"


# --- module:Class and file.py:Class -----------------------------------------------------------

_FILE_PREFIX = "collab_plugin_file_"


def _import_reference(kind: Kind, reference: str) -> object:
    place, _, name = reference.rpartition(":")
    singular = _SINGULAR[kind]
    try:
        module = _import_file(Path(place)) if place.endswith(".py") else _import_module(place)
    except FileNotFoundError as error:
        raise UnknownPluginError(
            f"no {singular} {reference!r}: there is no file {place}"
        ) from error
    except ModuleNotFoundError as error:
        if error.name and place.split(".")[0] == error.name.split(".")[0]:
            raise UnknownPluginError(
                f"no {singular} {reference!r}: there is no module {place!r}"
                f"{_file_hint(place, name)}"
            ) from error
        raise BrokenPluginError(f"{singular} {reference!r} cannot be imported: {error}") from error
    except (Exception, SystemExit) as error:
        raise BrokenPluginError(
            f"{singular} {reference!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    if not hasattr(module, name):
        names = {n for n, v in vars(module).items() if isinstance(v, type) and n[0] != "_"}
        raise UnknownPluginError(
            f"no {singular} {reference!r}: {place} has no {name!r}"
            f"{_did_you_mean(name, names)} it has: {_listed(names)}"
        )
    found: object = getattr(module, name)
    return found


def _file_hint(place: str, name: str) -> str:
    """Return how to name a file that lies there: the working directory is not searched."""
    path = f"{place.replace('.', '/')}.py"
    return f"; did you mean '{path}:{name}'?" if Path(path).is_file() else ""


def _import_module(name: str) -> ModuleType:
    return importlib.import_module(name)


def _import_file(path: Path) -> ModuleType:
    full = path.expanduser().resolve()
    # The path's hash: two paths can differ only in characters that no name may have.
    digest = hashlib.sha256(bytes(full)).hexdigest()[:12]
    name = _FILE_PREFIX + re.sub(r"\W", "_", f"{full.stem}_{digest}")
    if name in sys.modules:
        return sys.modules[name]
    if not full.is_file():
        raise FileNotFoundError(full)
    spec = importlib.util.spec_from_file_location(name, full)
    if spec is None or spec.loader is None:
        raise PluginError(f"{str(path)!r} cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


# --- shape ------------------------------------------------------------------------------------


def _checked(kind: Kind, reference: str, found: object) -> type[BaseModel]:
    problem = _misshape(kind, found)
    if problem or not (isinstance(found, type) and issubclass(found, BaseModel)):
        raise PluginShapeError(
            f"{reference!r} is not a {_SINGULAR[kind]}: {problem}; see the base classes in "
            "collab.protocols and collab.seam"
        )
    return found


def _misshape(kind: Kind, found: object) -> str:
    if not isinstance(found, type):
        return f"it is {found!r}, not a class"
    if not issubclass(found, BaseModel):
        return "its options have to be the fields of a pydantic model"
    members = {*dir(found), *found.model_fields}
    if missing := [name for name in _SHAPES[kind] if name not in members]:
        return f"it has no {' and no '.join(repr(name) for name in missing)}"
    if not found.model_config.get("frozen") or found.model_config.get("extra") != "forbid":
        return 'its model_config has to be ConfigDict(extra="forbid", frozen=True)'
    return ""


def _did_you_mean(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {close[0]!r}?" if close else ";"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
