"""The names of `collab` itself are imported on first use, each from its home."""

import subprocess
import sys

import pytest

import collab


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'collab' has no attribute 'Controler'"):
        collab.Controler  # noqa: B018  # what is tested


def test_importing_the_package_imports_none_of_its_modules() -> None:
    code = "import collab, sys; print([one for one in sys.modules if one.startswith('collab.')])"

    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert shown.stdout == "[]\n"


def test_every_name_has_a_home_and_every_home_a_name() -> None:
    homes = [name for names in collab._HOMES.values() for name in names]

    assert sorted([*homes, "__version__"]) == sorted(collab.__all__)
    assert set(collab.__all__) <= set(dir(collab))
