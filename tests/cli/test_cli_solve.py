"""`collab solve`."""

import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from support.cli_helpers import invoke, write_pair
from support.run_fakes import Adder

from collab.decisions import Consult, Continue, Decision, Mark
from collab.problems import Problem
from collab.protocols import Draft, Policy, PolicySession
from collab.seam import Model
from collab.testing import FakeModel


class Hostile(Adder):
    """Writes escape sequences that clear the screen and set the title."""

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Model]:
        yield FakeModel(writes="a\x1b[2Jb\x1b]0;title\x07c")


class GoBack(Policy):
    """Goes back to the start once, at the second unit."""

    @property
    def takes_back(self) -> bool:
        return True

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        return GoBackSession()


class GoBackSession(PolicySession):
    def decide(self, draft: Draft) -> Decision:
        return Consult(back_to=Mark(0)) if draft.unit == 1 else Continue()


WAY = ("--policy", "always", "--verifier", "always-mentor")


def test_the_mentors_words_are_marked(tmp_path: Path) -> None:
    pair = write_pair(tmp_path)

    shown = invoke("solve", "2 + 3 = ", "--pair", pair, *WAY, "--set", "segment_tokens=16")

    # The generator alone would say 6.
    assert shown.exit_code == 0
    assert shown.stdout.splitlines()[0] == "⟦I add both. The answer is 5.⟧"


def test_the_generators_words_are_not_marked(tmp_path: Path) -> None:
    shown = invoke("solve", "2 + 3 = ", "--pair", write_pair(tmp_path), "--policy", "never")

    assert shown.stdout.splitlines()[0] == "I add both. The answer is 6."


def test_the_last_line_says_what_was_spent(tmp_path: Path) -> None:
    shown = invoke("solve", "2 + 3 = ", "--pair", write_pair(tmp_path), "--policy", "never")

    line = shown.stdout.splitlines()[-1]
    assert line.startswith("generator 10 tokens in 1 calls; mentor share 0.0 %; ")
    assert line.endswith("; ended by eos")


def test_json_is_one_object(tmp_path: Path) -> None:
    pair = write_pair(tmp_path)

    shown = invoke("solve", "2 + 3 = ", "--pair", pair, *WAY, "--json", "--seed", "7")

    answer = json.loads(shown.stdout)
    assert answer["prompt"] == "2 + 3 = "
    assert answer["text"] == "I add both. The answer is 5."
    assert (answer["answer"], answer["outcome"]) == ("5", "ungraded")


def test_what_is_taken_back_is_said_and_the_rest_printed_again(tmp_path: Path) -> None:
    pair, policy = write_pair(tmp_path), f"{Path(__file__)}:GoBack"

    shown = invoke("solve", "2 + 3 = ", "--pair", pair, "--policy", policy)

    assert shown.stdout.splitlines()[:3] == [
        "I",
        "[taken back; the text so far:]",
        "⟦I add both. The answer is 5.⟧",
    ]


def test_a_dash_reads_the_question_from_standard_input(tmp_path: Path) -> None:
    pair = write_pair(tmp_path)

    shown = invoke("solve", "-", "--pair", pair, "--policy", "never", typed="4 + 4 = ")

    assert shown.stdout.splitlines()[0] == "I add both. The answer is 9."


def test_control_characters_of_a_model_do_not_reach_the_terminal(tmp_path: Path) -> None:
    pair = tmp_path / "pair.yaml"
    pair.write_text(f"generator: '{Path(__file__)}:Hostile'")

    shown = invoke("solve", "hello", "--pair", pair, "--policy", "never")

    assert shown.stdout.splitlines()[0] == "a[2Jb]0;titlec"


def test_a_failed_problem_exits_with_one(tmp_path: Path) -> None:
    pair = write_pair(tmp_path, fails_at=0)

    shown = invoke("solve", "2 + 3 = ", "--pair", pair, "--policy", "never")

    assert shown.exit_code == 1
    assert "error: call 0 of 'adder+1' failed as told" in shown.stderr


def test_a_failed_problem_is_told_in_json_too(tmp_path: Path) -> None:
    pair = write_pair(tmp_path, fails_at=0)

    shown = invoke("solve", "2 + 3 = ", "--pair", pair, "--policy", "never", "--json")

    assert shown.exit_code == 1
    assert json.loads(shown.stdout)["error"]["type"] == "ModelCallError"


def test_an_empty_question_is_a_failed_problem(tmp_path: Path) -> None:
    shown = invoke("solve", " ", "--pair", write_pair(tmp_path), "--policy", "never")

    assert shown.exit_code == 1
    assert "has an empty prompt" in shown.stderr


def test_an_unknown_policy_is_a_usage_error(tmp_path: Path) -> None:
    shown = invoke("solve", "2 + 3 = ", "--pair", write_pair(tmp_path), "--policy", "nevr")

    assert shown.exit_code == 2
    assert "error: no policy 'nevr'; did you mean 'never'?" in shown.stderr
    assert "Traceback" not in shown.output


def test_verbose_logs_to_standard_error(tmp_path: Path) -> None:
    pair = write_pair(tmp_path)

    shown = invoke("--verbose", "solve", "2 + 3 = ", "--pair", pair, "--policy", "never")

    assert "problem.started" in shown.stderr
    assert "problem.started" not in shown.stdout
