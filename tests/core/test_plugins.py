import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import collab_backends.local.backend
from collab import plugins
from collab.errors import (
    BrokenPluginError,
    DuplicatePluginError,
    PluginShapeError,
    UnknownPluginError,
)
from collab_policies.random_positions import RandomPositions

POLICY_FILE = """
from collab import Consult, Policy, PolicySession

class Mine(Policy):
    size: int = 3

    def start(self, problem, rng):
        return Session()

class Session(PolicySession):
    def decide(self, draft):
        return Consult()

class Loose:
    pass
"""


def test_installed_plugins_are_listed_without_being_imported() -> None:
    names = [plugin.name for plugin in plugins.installed("policies")]

    assert names == sorted(names)
    assert {"always", "entropy", "never", "random"} <= set(names)
    assert plugins.installed("backends")[0].package == "collab-reasoning"


def test_an_installed_plugin_is_built_with_its_options() -> None:
    assert plugins.build("policies", "random", {"rate": 0.5}) == RandomPositions(rate=0.5)


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_everything_installed_can_be_found(kind: plugins.Kind) -> None:
    for entry in plugins.installed(kind):
        assert plugins.find(kind, entry.name).__name__ == entry.target.rpartition(":")[2]


def test_a_class_is_found_by_its_module() -> None:
    reference = "collab_policies.random_positions:RandomPositions"

    assert plugins.find("policies", reference) is RandomPositions


def test_a_class_is_found_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(POLICY_FILE)

    built = plugins.build("policies", f"{path}:Mine", {"size": 4})

    assert built.model_dump() == {"size": 4}
    assert plugins.reference_of("policies", built) == f"{path}:Mine"


def test_an_unknown_name_gets_the_nearest_one_and_the_list() -> None:
    with pytest.raises(UnknownPluginError) as raised:
        plugins.find("policies", "entropi")

    assert str(raised.value).startswith(
        "no policy 'entropi'; did you mean 'entropy'? installed: always, any-of, budgeted, "
    )


def test_an_unknown_option_gets_the_nearest_one_and_the_list() -> None:
    with pytest.raises(
        PluginShapeError,
        match=r"'random' has no option 'rat'; did you mean 'rate'\? options: mentor, rate",
    ):
        plugins.build("policies", "random", {"rat": 0.5})


def test_a_value_out_of_range_is_named() -> None:
    with pytest.raises(
        PluginShapeError,
        match=r"policy 'random': rate: Input should be less than or equal to 1 \(found 24\)",
    ):
        plugins.build("policies", "random", {"rate": 24})


def test_a_name_registered_twice_names_both_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("mine", "here:Mine", "collab.policies"),
        EntryPoint("mine", "there:Mine", "collab.policies"),
    ]
    monkeypatch.setattr(plugins, "entry_points", lambda group: points)

    with pytest.raises(
        DuplicatePluginError, match=r"'mine' is registered twice, by .*here:Mine.*there:Mine"
    ):
        plugins.find("policies", "mine")


def test_a_plugin_that_cannot_be_imported_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As in an environment without the extra `local`: importing torch fails.
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [name for name in sys.modules if name.startswith("collab_backends.local")]:
        monkeypatch.delitem(sys.modules, name)
    # The package is imported anew; this has the one that others use put back behind the test.
    monkeypatch.setattr(collab_backends, "local", collab_backends.local)

    with pytest.raises(BrokenPluginError) as raised:
        plugins.find("backends", "local")

    assert str(raised.value).startswith(
        "backend 'local' of collab-reasoning cannot be imported: ModuleNotFoundError"
    )
    assert str(raised.value).endswith(
        "; install the extra `local` of collab-reasoning: pip install -e '.[local]' in its clone"
    )


def test_a_missing_file_a_missing_module_and_a_missing_class_are_told_apart(
    tmp_path: Path,
) -> None:
    path = tmp_path / "other.py"
    path.write_text(POLICY_FILE)

    with pytest.raises(UnknownPluginError, match=r"there is no file .*nowhere\.py"):
        plugins.find("policies", f"{tmp_path}/nowhere.py:Mine")
    with pytest.raises(UnknownPluginError, match="there is no module 'no_such_module'"):
        plugins.find("policies", "no_such_module:Mine")
    with pytest.raises(UnknownPluginError, match="has no 'Mien'; did you mean 'Mine'?"):
        plugins.find("policies", f"{path}:Mien")


def test_a_file_that_raises_is_named_with_its_error(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("raise RuntimeError('on purpose')")

    with pytest.raises(BrokenPluginError, match=r"cannot be imported: RuntimeError: on purpose"):
        plugins.find("policies", f"{path}:Mine")


def test_what_is_no_plugin_is_told_why(tmp_path: Path) -> None:
    path = tmp_path / "shapes.py"
    path.write_text(POLICY_FILE)

    with pytest.raises(PluginShapeError, match="have to be the fields of a pydantic model"):
        plugins.find("policies", f"{path}:Loose")
    with pytest.raises(PluginShapeError, match="is not a verifier: it has no 'reads_look_ahead'"):
        plugins.find("verifiers", f"{path}:Mine")
    with pytest.raises(PluginShapeError, match="is not a policy: it is <function"):
        plugins.find("policies", "collab.plugins:find")


def test_two_files_whose_paths_differ_only_in_punctuation_are_two_modules(tmp_path: Path) -> None:
    for name in ("a-b.py", "a_b.py"):
        (tmp_path / name).write_text(POLICY_FILE)

    first = plugins.find("policies", f"{tmp_path}/a-b.py:Mine")

    assert plugins.find("policies", f"{tmp_path}/a_b.py:Mine") is not first
    assert plugins.find("policies", f"{tmp_path}/a-b.py:Mine") is first


def test_a_file_named_as_a_module_is_told_how_to_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(POLICY_FILE)
    monkeypatch.chdir(tmp_path)

    with pytest.raises(UnknownPluginError, match=r"no module 'mine'; did you mean 'mine\.py:Mine'"):
        plugins.find("policies", "mine:Mine")


def test_a_file_that_exits_the_program_is_named(tmp_path: Path) -> None:
    path = tmp_path / "leaves.py"
    path.write_text("import sys; sys.exit(0)")

    with pytest.raises(BrokenPluginError, match="cannot be imported: SystemExit: 0"):
        plugins.find("policies", f"{path}:Mine")


def test_a_plugin_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    path = tmp_path / "fails.py"
    path.write_text(
        POLICY_FILE.replace(
            "size: int = 3", "def model_post_init(self, _):\n        raise OSError('no disk')"
        )
    )

    with pytest.raises(BrokenPluginError, match="cannot be made: OSError: no disk"):
        plugins.build("policies", f"{path}:Mine", {})


def test_a_name_of_another_kind_of_plugin_is_told() -> None:
    with pytest.raises(
        UnknownPluginError, match=r"no policy 'lookahead'; .*; there is a strategy and a recipe of"
    ):
        plugins.find("policies", "lookahead")
