"""Every Python example of the documents runs."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import run

ROOT = Path(__file__).parents[2]
DOCUMENTS = ["README.md", "policies/README.md", "backends/README.md"]
SOLVE = (sys.executable, "-m", "collab", "solve", "--json")
QUESTION = "Mod 10: i = 2, r = i + 2, v = r - 7, n = v + 5, q = n * 9. What is q?"
EXAMPLE = re.compile(r"```python\n(.*?)```", re.DOTALL)


def examples() -> list[pytest.ParameterSet]:
    return [
        pytest.param(code, id=f"{document}-{number}")
        for document in DOCUMENTS
        for number, code in enumerate(EXAMPLE.findall((ROOT / document).read_text()))
    ]


@pytest.mark.slow
@pytest.mark.parametrize("code", examples())
def test_the_example_runs(code: str, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(code)

    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_documents_plugins_work_from_a_file_on_the_command_line(tmp_path: Path) -> None:
    policy, verifier, *_ = EXAMPLE.findall((ROOT / "policies/README.md").read_text())
    *_, backend = EXAMPLE.findall((ROOT / "backends/README.md").read_text())
    for name, code in {"policy": policy, "verifier": verifier, "backend": backend}.items():
        # Also where the last line is not guarded, as a user would have written it.
        (tmp_path / f"{name}.py").write_text(code.replace('if __name__ == "__main__":', "if True:"))
    (tmp_path / "pair.yaml").write_text(
        "generator: backend.py:CountingBackend\nmentor: {use: local, model: lab/mentor}\n"
    )
    files = ("--policy", "policy.py:Unsure", "--verifier", "verifier.py:MentorScore")

    solved = run(*SOLVE, "--pair", "lab", *files, QUESTION, cwd=tmp_path)
    counted = run(*SOLVE, "--pair", "pair.yaml", "--policy", "never", "1 2", cwd=tmp_path)

    verdicts = json.loads(solved)["verdicts"]
    assert {verdict["why"] for verdict in verdicts} == {"the mentor finds it likelier"}
    assert json.loads(counted)["text"].startswith(" 2 3 4")


def test_every_document_with_an_example_is_run() -> None:
    found = {
        str(path.relative_to(ROOT))
        for path in [ROOT / "README.md", *ROOT.glob("policies/*.md"), *ROOT.glob("backends/*.md")]
        if "```python" in path.read_text()
    }

    assert found == set(DOCUMENTS)
