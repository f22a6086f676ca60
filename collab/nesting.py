"""Plug-ins as options of plug-ins: policies that are made of other policies."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import PlainSerializer, PlainValidator
from pydantic_core import PydanticCustomError

from collab.errors import PluginError
from collab.plugins import build, reference_of
from collab.protocols import Policy


def _as_policy(value: object) -> object:
    """Return the policy that an option describes, found and made as any other."""
    if isinstance(value, Policy):
        return value
    options = {"use": value} if isinstance(value, str) else value
    if not isinstance(options, Mapping) or not isinstance(options.get("use"), str):
        raise _refusal("expected the name of a policy, or {use: NAME, option: value, ...}")
    others = {key: one for key, one in options.items() if key != "use"}
    try:
        return build("policies", options["use"], others)
    except PluginError as error:
        raise _refusal(str(error)) from error


def _refusal(reason: str) -> PydanticCustomError:
    # Not a ValueError, before whose message pydantic writes what it is.
    return PydanticCustomError("plugin", "{reason}", {"reason": reason})


def _as_record(policy: Policy) -> dict[str, object]:
    return {"use": reference_of("policies", policy), **policy.model_dump(mode="json")}


NestedPolicy = Annotated[Policy, PlainValidator(_as_policy), PlainSerializer(_as_record)]
"""A policy as an option: a value, or in a configuration `NAME` or `{use: NAME, option: value}`.

It is recorded as such a mapping. A mistake inside is reported with the place of the option.
"""
