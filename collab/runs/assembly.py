"""Building from a configuration: its recipe, its backends, its controller."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

import anyio.to_thread

from collab.controller import Controller
from collab.errors import ConfigError
from collab.grading.math_equality import ensure_math_verify
from collab.plugins import Kind, build
from collab.protocols import Policy, Steerer, Verifier
from collab.recipes import Recipe, RecipeFactory, made
from collab.roles import GENERATOR
from collab.runs.config import DEFAULT_RECIPE, PluginConfig, RunConfig
from collab.runs.prices import prices_of
from collab.seam import ConsultationBackend

_NO_MORE: Mapping[str, object] = MappingProxyType({})


def build_controller(config: RunConfig) -> Controller:
    """Return the controller of a run, not yet connected.

    Raises:
        ConfigError: A plug-in cannot be found or does not take its options, a bound on cost
            meets a model without a price, or the grader's package is not installed.
    """
    return controller_of(config, build_recipe(config))


def controller_of(config: RunConfig, recipe: Recipe) -> Controller:
    """Return the controller of a run that works by `recipe`, not yet connected.

    Raises:
        ConfigError: See `build_controller`.
    """
    if config.grader == "math-verify":
        ensure_math_verify()
    backends = build_backends(config)
    _ensure_priced(config, backends)
    return Controller(
        generator=backends.pop(GENERATOR),
        mentor=backends,
        recipe=recipe,
        seed=config.seed,
        budget=config.budget,
    )


async def build_aside(config: RunConfig) -> Controller:
    """Return what `build_controller` does, built on a thread.

    Plug-ins are imported then, which takes seconds where model libraries are; and a plug-in's file
    may run an event loop of its own, which it could not beside this one.
    """
    return await anyio.to_thread.run_sync(build_controller, config)


def build_recipe(config: RunConfig) -> Recipe:
    """Return the named recipe, or the one composed of the configuration's policy and verifiers.

    Raises:
        PluginError: A plug-in cannot be found or does not take its options.
    """
    if config.policy is None:
        named = config.recipe or PluginConfig(use=DEFAULT_RECIPE)
        return made(cast(RecipeFactory, _build("recipes", named)))
    return Recipe(
        name=config.policy.use,
        policy=cast(Policy, _build("policies", config.policy)),
        verifiers=tuple(cast(Verifier, _build("verifiers", one)) for one in config.verifiers),
        unit=config.unit,
        segment=config.segment,
        max_answer_tokens=config.max_answer_tokens,
        stop_strings=config.stop_strings,
        repeat_limit=config.repeat_limit,
        sampling=config.sampling,
        phases=config.phases,
        steering=cast(Steerer, _build("steerers", config.steering)) if config.steering else None,
    )


def build_backends(config: RunConfig) -> dict[str, ConsultationBackend]:
    """Return the backends by participant, the generator first, with their prices.

    Raises:
        ConfigError: The prices cannot be read.
        PluginError: A backend cannot be found or does not take its options.
    """
    priced = prices_of(config)
    backends: dict[str, ConsultationBackend] = {}
    for role, backend in config.pair.by_role.items():
        price = priced[role].price if role in priced else None
        options = {"price": price} if price is not None else {}
        backends[role] = cast(ConsultationBackend, _build("backends", backend, options))
    return backends


def _build(kind: Kind, plugin: PluginConfig, more: Mapping[str, object] = _NO_MORE) -> object:
    return build(kind, plugin.use, {**plugin.options, **more})


def _ensure_priced(config: RunConfig, backends: dict[str, ConsultationBackend]) -> None:
    bounds = (config.budget.max_cost_usd, config.run_budget.max_cost_usd)
    unpriced = [role for role, backend in backends.items() if backend.price is None]
    if unpriced and any(bound is not None for bound in bounds):
        raise ConfigError(
            f"max_cost_usd bounds nothing while the {' and the '.join(unpriced)} has no price; "
            "give its backend `price: {prompt: ..., completion: ...}`, in dollars per million "
            "tokens, with zeros for a model that costs nothing, or name its model in a price file "
            f"(`prices` is {config.prices!r})"
        )
