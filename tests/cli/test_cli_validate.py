"""`collab validate`."""

from collections.abc import Sequence
from pathlib import Path

from support.cli_helpers import invoke, write_config
from support.run_fakes import ADDER

from collab.capabilities import Need
from collab.protocols import Verifier


class Demanding(Verifier):
    """Needs a participant that no pair has."""

    @property
    def needs(self) -> Sequence[Need]:
        return (Need("oracle", "judge"),)


def test_a_fine_configuration_is_described(tmp_path: Path) -> None:
    config = write_config(tmp_path)

    shown = invoke("validate", config)

    assert shown.exit_code == 0
    assert shown.stdout.splitlines() == [
        f"{config}: keys, plug-ins and options are fine",
        "recipe random: RandomPositions, AlwaysMentor; participants: generator, mentor",
        f"{tmp_path / 'problems.jsonl'}: 12 problems, 0 broken lines",
    ]


def test_broken_lines_are_named_and_count_as_a_failure(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    with (tmp_path / "problems.jsonl").open("a") as file:
        file.write('{"answer": 3}\n')

    shown = invoke("validate", config)

    assert shown.exit_code == 1
    assert "12 problems, 1 broken lines\n  line 13: prompt: Field required\n" in shown.stdout


def test_an_unknown_key_is_refused(tmp_path: Path) -> None:
    shown = invoke("validate", write_config(tmp_path, seeed=3))

    assert shown.exit_code == 2
    assert "run.yaml: unknown key 'seeed'; did you mean 'seed'?" in shown.stderr
    assert "Traceback" not in shown.output


def test_an_unknown_option_is_refused(tmp_path: Path) -> None:
    shown = invoke("validate", write_config(tmp_path, policy={"use": "random", "rat": 1}))

    assert shown.exit_code == 2
    assert "policy 'random' has no option 'rat'; did you mean 'rate'?" in shown.stderr


def test_loading_matches_what_the_models_can_do(tmp_path: Path) -> None:
    shown = invoke("validate", write_config(tmp_path), "--load")

    assert shown.exit_code == 0
    assert "the models are loaded and can do what is needed; degradations: none" in shown.stdout


def test_loading_names_what_is_missing(tmp_path: Path) -> None:
    demanding = f"{Path(__file__)}:Demanding"
    config = write_config(tmp_path, pair={"generator": ADDER}, verifiers=[demanding])

    shown = invoke("validate", config, "--load")

    assert shown.exit_code == 2
    assert "Demanding needs a participant 'oracle'; there are: generator" in shown.stderr
