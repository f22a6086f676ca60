"""Every Python example of the documents runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import run
from support.documents import DOCUMENTS, Block, blocks_in, blocks_of, write_named_files

SOLVE = (sys.executable, "-m", "collab", "solve", "--json")
QUESTION = "Mod 10: i = 2, r = i + 2, v = r - 7, n = v + 5, q = n * 9. What is q?"
EXAMPLES = blocks_of(DOCUMENTS, "python")


@pytest.mark.slow
@pytest.mark.parametrize(
    "block",
    [pytest.param(block, id=block.id) for block in EXAMPLES if not block.why_not_run],
)
def test_the_example_runs(block: Block, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(block.code)

    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", [pytest.param(block, id=block.id) for block in EXAMPLES])
def test_the_example_is_python(block: Block) -> None:
    compile(block.code, block.id, "exec")


@pytest.mark.slow
def test_plugins_work_from_a_file_whose_last_line_is_not_guarded(tmp_path: Path) -> None:
    write_named_files("docs/writing-a-policy.md", tmp_path)
    for path in tmp_path.glob("*.py"):
        path.write_text(path.read_text().replace('if __name__ == "__main__":', "if True:"))
    files = ("--policy", "unsure.py:Unsure", "--verifier", "mentor_score.py:MentorScore")

    solved = run(*SOLVE, "--pair", "lab", *files, QUESTION, cwd=tmp_path)
    counted = run(*SOLVE, "--pair", "counting.yaml", "--policy", "never", "1 2", cwd=tmp_path)

    verdicts = json.loads(solved)["verdicts"]
    assert {verdict["why"] for verdict in verdicts} == {"the mentor finds it likelier"}
    assert json.loads(counted)["text"].startswith(" 2 3 4")


def test_a_line_above_a_block_says_why_it_is_not_run() -> None:
    text = "*Not run by the tests: needs a server.*\n\n```sh\nls\n```\n\n```yaml\na: 1\n```\n"

    shell, yaml = blocks_in(text, "page.md")

    assert (shell.language, shell.code, shell.why_not_run) == ("sh", "ls\n", "needs a server")
    assert (yaml.language, yaml.code, yaml.why_not_run) == ("yaml", "a: 1\n", "")
