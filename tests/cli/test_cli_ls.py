"""`collab ls`."""

import json
from importlib.metadata import version
from pathlib import Path

from support.cli_helpers import invoke

from collab.plugins import KINDS, installed

PLUGIN = '''
from typing import Literal

from pydantic import Field

from collab import Policy


class Late(Policy):
    """Ask late.

    References:
        Nobody, 2026.
    """

    after_units: int = Field(ge=1, le=9, description="Units before the first question.")
    mood: Literal["calm", "bold"] = "calm"
'''


def test_policies_are_listed_with_their_package_and_first_sentence() -> None:
    shown = invoke("ls", "policies")

    lines = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    package = f"collab-reasoning {version('collab-reasoning')}"
    assert shown.exit_code == 0
    assert lines[0] == "name package what it does"
    assert f"never {package} Never ask a mentor." in lines


def test_without_a_kind_every_plugin_of_every_kind_is_listed() -> None:
    shown = invoke("ls")
    listed = json.loads(invoke("ls", "--json").stdout)

    words = shown.stdout.split()
    assert shown.exit_code == 0
    assert set(listed) == set(KINDS)
    assert {one.name for kind in KINDS for one in installed(kind)} <= set(words)
    assert "  never                Never ask a mentor." in shown.stdout.splitlines()


def test_the_list_is_json_on_request() -> None:
    shown = invoke("ls", "recipes", "--json")

    listed = {one["name"]: one for one in json.loads(shown.stdout)}
    assert listed["mentorcollab-free"] == {
        "name": "mentorcollab-free",
        "target": "collab_policies.mentorcollab_free:MentorCollabFree",
        "package": "collab-reasoning",
        "version": version("collab-reasoning"),
        "description": "Random words are checked against the mentor; where they differ, the "
        "generator chooses.",
    }


def test_everything_that_ships_says_what_it_does() -> None:
    listed = json.loads(invoke("ls", "--json").stdout)

    assert [
        one["name"] for found in listed.values() for one in found if not one["description"]
    ] == []


def test_a_recipe_is_shown_with_its_source_and_all_options() -> None:
    shown = invoke("ls", "recipes", "glimprouter")

    lines = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    assert shown.exit_code == 0
    assert "GlimpRouter, arXiv:2601.05110." in shown.stdout
    assert "Options, each set by --set recipe.OPTION=VALUE:" in lines
    assert "threshold_nats float, at least 0 1.0 The mentor writes at" in lines
    assert "sampling.top_k int, at least 0 0 Most likely tokens" in lines


def test_any_class_is_shown_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text(PLUGIN)

    shown = invoke("ls", "policies", f"{tmp_path / 'late.py'}:Late")
    told = json.loads(invoke("ls", "policies", f"{tmp_path / 'late.py'}:Late", "--json").stdout)

    lines = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    assert "after_units int, at least 1, at has to be given Units before the first" in lines
    assert 'mood "calm" or "bold" "calm"' in lines
    assert told["description"] == "Ask late.\n\nReferences:\n    Nobody, 2026."
    assert told["options"][0] == {
        "name": "after_units",
        "type": "int",
        "default": None,
        "bounds": "at least 1, at most 9",
        "description": "Units before the first question.",
    }


def test_what_has_no_options_says_so() -> None:
    shown = invoke("ls", "policies", "never")

    assert shown.stdout.splitlines()[-1] == "It has no options."


def test_every_shipped_plugin_can_be_shown_and_describes_its_options() -> None:
    bare = []
    for kind in KINDS:
        for one in installed(kind):
            told = json.loads(invoke("ls", kind, one.name, "--json").stdout)
            bare += [
                f"{one.name}.{option['name']}"
                for option in told["options"]
                if not option["description"]
            ]

    assert bare == []


def test_an_unknown_name_is_told() -> None:
    shown = invoke("ls", "recipes", "glimpsrouter")

    assert shown.exit_code == 2
    assert "error: no recipe 'glimpsrouter'; did you mean 'glimprouter'?" in shown.stderr


def test_an_unknown_kind_is_a_usage_error() -> None:
    shown = invoke("ls", "plugins")

    assert shown.exit_code == 2
    assert "'plugins' is not one of" in shown.stderr
