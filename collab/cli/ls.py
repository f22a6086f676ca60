"""`collab ls`: the installed plug-ins, which are not imported, and one of them with its options."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from collab.cli.plugin_docs import Option, first_sentence, full_text, options_of
from collab.cli.terminal import harmless
from collab.plugins import KINDS, InstalledPlugin, Kind, find, installed

_WIDEST_TYPE = 24
"""Columns for what an option takes; the rest is for what it is."""

_HOW_SET: Mapping[Kind, str] = {
    "policies": "--set policy.OPTION=VALUE",
    "verifiers": "--set verifier.OPTION=VALUE",
    "steerers": "a key beside `use` in a configuration",
    "strategies": "--set strategy.OPTION=VALUE",
    "backends": "a key beside `use` in a pair, or --set generator.OPTION=VALUE",
    "recipes": "--set recipe.OPTION=VALUE",
}


def execute(kind: Kind | None, name: str | None, *, as_json: bool) -> int:
    """Print the list, or the plug-in that is named; return the exit code.

    Raises:
        PluginError: There is no such plug-in, or it cannot be imported.
    """
    if kind is not None and name is not None:
        _show(kind, name, as_json=as_json)
    elif kind is not None:
        _list(kind, as_json=as_json)
    elif as_json:
        print(json.dumps({each: _rows(each) for each in KINDS}, indent=2))
    else:
        for place, each in enumerate(KINDS):
            print(f"{chr(10) if place else ''}{each}")
            rows = [(one.name, first_sentence(one.target)) for one in installed(each)]
            _print(_table(("", ""), rows), indent=2)
        print("\n`collab ls recipes NAME` shows one with its options, and likewise for each kind.")
    return 0


def _list(kind: Kind, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_rows(kind), indent=2))
        return
    rows = [(one.name, _package(one), first_sentence(one.target)) for one in installed(kind)]
    _print(_table(("name", "package", "what it does"), rows))


def _rows(kind: Kind) -> list[dict[str, str]]:
    return [{**asdict(one), "description": first_sentence(one.target)} for one in installed(kind)]


def _show(kind: Kind, name: str, *, as_json: bool) -> None:
    plugin = find(kind, name)
    options = options_of(plugin)
    text = full_text(plugin)
    owners = [one for one in installed(kind) if one.name == name]
    if as_json:
        told = {
            "name": name,
            "target": owners[0].target if owners else name,
            "package": owners[0].package if owners else None,
            "version": owners[0].version if owners else None,
            "description": text,
            "options": [asdict(one) for one in options],
        }
        print(json.dumps(told, indent=2))
        return
    of = f" of {_package(owners[0])}, {owners[0].target}" if owners else ""
    print(harmless(f"{name}{of}"))
    if text:
        print(f"\n{harmless(text)}")
    print()
    if not options:
        print("It has no options.")
        return
    print(f"Options, each set by {_HOW_SET[kind]}:\n")
    _print(_option_table(options))


def _option_table(options: Sequence[Option]) -> Table:
    rows = [
        (
            one.name,
            f"{one.type}, {one.bounds}" if one.bounds else one.type,
            "has to be given" if one.default is None else one.default,
            one.description,
        )
        for one in options
    ]
    table = _table(("option", "takes", "default", "what it is"), rows)
    table.columns[1].max_width = _WIDEST_TYPE
    return table


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    table.show_header = any(heads)
    for place, head in enumerate(heads):
        table.add_column(head, no_wrap=place == 0, overflow="fold")
    for row in rows:
        table.add_row(*(Text(harmless(cell)) for cell in row))
    return table


def _print(table: Table, indent: int = 0) -> None:
    console = Console(highlight=False, markup=False, emoji=False)
    with console.capture() as page:
        console.print(Padding(table, (0, 0, 0, indent)))
    print("\n".join(line.rstrip() for line in page.get().splitlines()))


def _package(plugin: InstalledPlugin) -> str:
    return f"{plugin.package} {plugin.version}"
