"""How conformance checks fail: with one sentence that says what a plug-in did wrong."""

from collections.abc import Callable

from pydantic import BaseModel, ValidationError


class ConformanceError(AssertionError):
    """A plug-in does not keep to its contract."""


def ensure(holds: bool, otherwise: str) -> None:
    """Raise `ConformanceError(otherwise)` unless it holds."""
    if not holds:
        raise ConformanceError(otherwise)


def ensure_refused(act: Callable[[], object], what: str) -> None:
    """Check that `act`, which is called `what`, raises `ValueError`."""
    try:
        act()
    except ValueError:
        return
    except Exception as error:
        raise ConformanceError(f"{what} raises {error!r} instead of ValueError") from error
    raise ConformanceError(f"{what} is not refused; raise ValueError")


def check_value(plugin: object) -> None:
    """Check that a plug-in is a frozen value that refuses unknown options."""
    if not isinstance(plugin, BaseModel):
        raise ConformanceError(f"{plugin!r} is not a pydantic model")
    ensure(bool(plugin.model_config.get("frozen")), "its model_config is not frozen")
    try:
        type(plugin).model_validate({**dict(plugin), "no_such_option_": 1})
    except ValidationError:
        return
    raise ConformanceError("it accepts unknown options; set extra='forbid'")
