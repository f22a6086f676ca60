"""Every Python example of the documents runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = ["README.md", "policies/README.md", "backends/README.md"]
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


def test_every_document_with_an_example_is_run() -> None:
    found = {
        str(path.relative_to(ROOT))
        for path in [ROOT / "README.md", *ROOT.glob("policies/*.md"), *ROOT.glob("backends/*.md")]
        if "```python" in path.read_text()
    }

    assert found == set(DOCUMENTS)
