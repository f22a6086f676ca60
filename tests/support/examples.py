"""Importing files of the examples, which are scripts and no package."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

LAB = Path(__file__).parents[2] / "examples" / "lab"


def load_lab(name: str) -> ModuleType:
    """Import one file of the lab under its own name, so that its siblings find it."""
    spec = importlib.util.spec_from_file_location(name, LAB / f"{name}.py")
    assert spec is not None, "the example is a file of this repository"
    assert spec.loader is not None, "a file has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
