"""`collab ls`: the installed plug-ins of a kind; imports none of them."""

import json
from dataclasses import asdict

from collab.cli.terminal import columns
from collab.plugins import Kind, installed


def execute(kind: Kind, *, as_json: bool) -> int:
    """Print the list; return the exit code."""
    plugins = installed(kind)
    if as_json:
        print(json.dumps([asdict(plugin) for plugin in plugins], indent=2))
        return 0
    rows = [(one.name, f"{one.package} {one.version}", one.target) for one in plugins]
    print(columns([("name", "package", "target"), *rows]))
    return 0
