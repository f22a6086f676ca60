"""Packages that only some models need."""

import importlib.util

from collab.errors import ModelLoadError
from collab.texts import how_to_install


def ensure_installed(package: str, *, extra: str, why: str) -> None:
    """Refuse to go on without an optional package.

    Args:
        package: As it is imported.
        extra: The extra of this distribution that brings it.
        why: What it is needed for; the message continues "is needed" with it.

    Raises:
        ModelLoadError: It is not installed.
    """
    if importlib.util.find_spec(package) is None:
        raise ModelLoadError(
            f"the package {package!r} is needed {why}, and is not installed; "
            f"{how_to_install(extra)}"
        )
