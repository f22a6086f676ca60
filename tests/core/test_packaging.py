"""The wheel: what is in it, and that it works outside the repository."""

import sys
import zipfile
from pathlib import Path

import pytest
from support.commands import run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"),
        *("--wheel-dir", str(folder), str(ROOT)),
        cwd=folder,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.slow
def test_the_wheel_holds_three_packages_and_the_shipped_pair(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.partition("/")[0] for name in names if ".dist-info/" not in name}

    assert top == {"collab", "collab_policies", "collab_backends"}
    for package in sorted(top):
        assert f"{package}/py.typed" in names
    for model in ("generator", "mentor", "mentor-b"):
        assert f"collab_backends/lab/{model}/model.safetensors" in names
    assert "collab_backends/lab/problems.jsonl" in names


@pytest.mark.slow
def test_an_installed_wheel_runs_the_demo_outside_the_repository(
    wheel: Path, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps")
    run(*pip, "--target", str(site), str(wheel), cwd=tmp_path)
    where = "import collab, collab_backends; print(collab.__file__, collab_backends.__file__)"

    places = run(sys.executable, "-c", where, cwd=tmp_path, PYTHONPATH=str(site))
    shown = run(
        *(sys.executable, "-m", "collab", "demo", "--limit", "3"),
        cwd=tmp_path,
        PYTHONPATH=str(site),
    )

    assert all(place.startswith(str(site)) for place in places.split())
    assert "generator alone" in shown
    assert "mentorcollab-free" in shown
