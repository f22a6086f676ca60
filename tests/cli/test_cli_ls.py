"""`collab ls`."""

import json
from importlib.metadata import version

from support.cli_helpers import invoke


def test_policies_are_listed_with_their_package_and_target() -> None:
    shown = invoke("ls", "policies")

    lines = [line.split() for line in shown.stdout.splitlines()]
    package = ["collab-reasoning", version("collab-reasoning")]
    assert shown.exit_code == 0
    assert lines[0] == ["name", "package", "target"]
    assert ["never", *package, "collab_policies.never:Never"] in lines


def test_the_list_is_json_on_request() -> None:
    shown = invoke("ls", "recipes", "--json")

    listed = {one["name"]: one for one in json.loads(shown.stdout)}
    assert listed["mentorcollab-free"] == {
        "name": "mentorcollab-free",
        "target": "collab_policies.mentorcollab_free:MentorCollabFree",
        "package": "collab-reasoning",
        "version": version("collab-reasoning"),
    }


def test_an_unknown_kind_is_a_usage_error() -> None:
    shown = invoke("ls", "plugins")

    assert shown.exit_code == 2
    assert "'plugins' is not one of" in shown.stderr
