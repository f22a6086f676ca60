"""YAML that people write: merge keys work; what is too large, too deep or lost is refused."""

from pathlib import Path

import pytest

from collab.errors import ConfigError
from collab.runs.config_files import load_config
from collab.runs.yaml_files import parse_yaml, read_yaml

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{one}: &{one} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, one in zip("abcdefg", "bcdefgh", strict=True)
)


def test_merge_keys_are_merged_and_own_keys_win() -> None:
    text = "base: &b {use: local, threads: 1}\nmentor: {<<: *b, threads: 4}\n"

    assert parse_yaml(text, "here") == {
        "base": {"use": "local", "threads": 1},
        "mentor": {"use": "local", "threads": 4},
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (BOMB, "here holds more than 100,000 values; does an alias repeat itself?"),
        ("a: &a [*a]", "here is nested too deeply; at most 64 levels"),
        ("[" * 900 + "]" * 900, "here is nested too deeply; at most 64 levels"),
        ("[" * 70 + "]" * 70, "here is nested too deeply; at most 64 levels"),
        (f"seed: {'9' * 5_000}", "here holds a value that cannot be read: Exceeds the limit"),
        ("? [a, b]\n: 1", "here is not YAML: a key has to be a word or a number"),
        ("? {a: b}\n: 1", "here is not YAML: a key has to be a word or a number"),
        ("a: 1\na: 2", "here is not YAML: the key 'a' is given twice"),
        ("seed: !!bool foo", "here holds a value that cannot be read"),
        ("seed: !!timestamp foo", "here holds a value that cannot be read"),
        ("budget: !!map [1]", "here is not YAML|here holds a value that cannot be read"),
        (f"seed: 0x{'f' * 6_000}", "here holds a number that no option takes: it is too large"),
        ("a: *nobody", "here is not YAML: found undefined alias"),
    ],
)
def test_what_no_configuration_holds_is_refused(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        parse_yaml(text, "here")


def test_a_bomb_in_a_configuration_file_is_refused_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(f"{BOMB}recipe: {{use: mentorcollab-free, x: *h}}\n")

    with pytest.raises(ConfigError, match=r"run\.yaml holds more than 100,000 values"):
        load_config(path)


def test_a_setting_is_bounded_too() -> None:
    with pytest.raises(ConfigError, match=r"setting .* is nested too deeply"):
        load_config(None, settings=[f"policy={'[' * 900}"])


def test_keys_that_are_the_same_word_are_refused(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("1: x\n'1': y\n")

    with pytest.raises(ConfigError, match=r"p\.yaml: two keys are the same word"):
        read_yaml(tmp_path / "p.yaml")


def test_a_file_of_no_keys_is_named(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("- a\n")

    with pytest.raises(ConfigError, match=r"p\.yaml: expected keys and values, found list"):
        read_yaml(tmp_path / "p.yaml")
