"""Connecting a controller: needs that nobody meets, and backends and recipes that fail."""

import random
from typing import NoReturn

import pytest
from pydantic import BaseModel, ConfigDict
from support.plugins import ScriptedSession, solve

from collab import (
    Controller,
    Policy,
    PolicySession,
    Problem,
    Recipe,
    Until,
    Verifier,
    VerifierSession,
)
from collab.capabilities import Need
from collab.errors import (
    CapabilityError,
    ConfigError,
    ModelLoadError,
    PluginError,
)
from collab.seam import Backend
from collab.testing import FakeBackend, FakeModel
from collab_policies.always import Always
from collab_policies.never import Never


class Needy(Policy):
    """Needs what it is given."""

    ability: str = "judge"

    @property
    def needs(self) -> tuple[Need, ...]:
        if not self.ability:
            raise KeyError("ability")
        return (Need("wise", self.ability),)  # type: ignore[arg-type]

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        return ScriptedSession({}, 1)


async def test_a_plugin_that_cannot_say_what_it_needs_is_named() -> None:
    with pytest.raises(PluginError, match="Needy cannot say what it needs: KeyError: 'ability'"):
        await solve(Needy(ability=""), generator=FakeModel("a"))


class NeedyVerifier(Verifier):
    role: str

    @property
    def needs(self) -> tuple[Need, ...]:
        return (Need(self.role, "judge"),)

    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        raise AssertionError("never gets there")


async def test_the_needs_of_two_plugins_of_one_class_are_all_matched() -> None:
    verifiers = [NeedyVerifier(role="old"), NeedyVerifier(role="generator")]

    with pytest.raises(CapabilityError, match="NeedyVerifier needs a participant 'old'"):
        await solve(Never(), generator=FakeModel("a"), verifiers=verifiers)


class Unreachable(Backend):
    error: BaseException

    model_config = ConfigDict(arbitrary_types_allowed=True)

    def connect(self) -> NoReturn:
        raise self.error


@pytest.mark.parametrize("error", [OSError("no route"), SystemExit(0)])
async def test_a_backend_that_cannot_connect_is_named_by_its_seat(error: BaseException) -> None:
    controller = Controller(generator=Unreachable(error=error), recipe=Recipe(policy=Never()))

    with pytest.raises(
        ModelLoadError, match=f"the generator cannot be reached: {type(error).__name__}"
    ):
        async with controller:
            pass


async def test_a_connection_that_failed_leaves_the_controller_as_it_was() -> None:
    generator = FakeBackend(model=FakeModel("a"))
    recipe = Recipe(policy=Never())
    controller = Controller(
        generator=generator, mentor=Unreachable(error=OSError("gone")), recipe=recipe
    )
    for _ in range(2):
        with pytest.raises(ModelLoadError, match="the mentor cannot be reached: OSError: gone"):
            async with controller:
                pass

    with pytest.raises(ConfigError, match="the models are not connected"):
        await controller.solve("q")


async def test_a_controller_is_connected_once_at_a_time() -> None:
    controller = Controller(
        generator=FakeBackend(model=FakeModel("a")), recipe=Recipe(policy=Never())
    )
    async with controller:
        with pytest.raises(ConfigError, match="the models are connected already"):
            async with controller:
                pass

        assert (await controller.solve("q")).text == "a"


async def test_a_policy_that_asks_mentors_is_refused_without_one() -> None:
    with pytest.raises(CapabilityError, match="Always needs a participant 'mentor'"):
        await solve(Always(), generator=FakeModel("a"))


async def test_a_mentor_of_another_name_can_be_asked() -> None:
    recipe = Recipe(policy=Always(mentor="wise"), segment=Until(1))
    async with Controller(
        generator=FakeBackend(model=FakeModel("a b")),
        mentor={"wise": FakeBackend(model=FakeModel("A B"))},
        recipe=recipe,
    ) as controller:
        assert (await controller.solve("q")).text == "A B"


class Odd(BaseModel):
    """A recipe that makes what it is told to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    makes: object = None

    def recipe(self) -> Recipe:
        if isinstance(self.makes, Exception):
            raise self.makes
        return self.makes  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("makes", "told"),
    [(None, "Odd makes None, not a Recipe"), (KeyError("a"), "Odd makes no recipe: KeyError: 'a'")],
)
async def test_a_recipe_that_makes_none_is_named(makes: object, told: str) -> None:
    with pytest.raises(PluginError, match=told):
        Controller(generator=FakeBackend(), recipe=Odd(makes=makes))


class Strange(Policy):
    @property
    def needs(self) -> tuple[Need, ...]:
        return (5,)  # type: ignore[return-value]

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        return ScriptedSession({}, 1)


async def test_a_need_that_is_none_is_named() -> None:
    with pytest.raises(PluginError, match="Strange says that it needs 5, which is no Need"):
        await solve(Strange(), generator=FakeModel("a"))
