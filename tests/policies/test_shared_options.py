"""Options that a recipe shares with its plug-ins: declared once, recorded as ever."""

import inspect
import json
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from collab import Policy, WordUnit
from collab.errors import PluginShapeError
from collab.options import Options, shared
from collab.plugins import build, find, installed
from collab.protocols import Verifier
from collab.recipes import MethodRecipe, Recipe

METHODS = [
    one.name for one in installed("recipes") if issubclass(find("recipes", one.name), MethodRecipe)
]
RECORDED = json.loads((Path(__file__).parents[1] / "data" / "recipe_options.json").read_text())


class EagerOptions(Options):
    often: int = Field(default=2, le=9)
    mentor: str = "mentor"


class Eager(EagerOptions, Policy):
    word: str = "now"


class Strict(Verifier):
    mentor: str = "mentor"


class EagerRecipe(EagerOptions, MethodRecipe):
    method = "eager"
    policy = Eager
    verifiers: ClassVar[tuple[type[Verifier], ...]] = (Strict,)

    often: int = Field(default=3, le=99)

    def recipe(self) -> Recipe:
        return self.assembled(WordUnit(), max_answer_tokens=7)


def test_a_recipe_makes_its_plugins_from_the_options_they_share() -> None:
    recipe = EagerRecipe(often=5, mentor="large", repeat_limit=4).recipe()

    assert recipe.policy == Eager(often=5, mentor="large", word="now")
    assert recipe.verifiers == (Strict(mentor="large"),)
    assert (recipe.name, recipe.repeat_limit, recipe.max_answer_tokens) == ("eager", 4, 7)


def test_a_recipe_may_have_another_default_than_its_plugin() -> None:
    assert EagerRecipe().recipe().policy == Eager(often=3)


def test_what_only_the_plugin_refuses_is_refused_when_it_is_made() -> None:
    options = EagerRecipe(often=50)

    with pytest.raises(ValidationError, match="often"):
        shared(options, Eager)


def test_an_option_of_the_plugin_is_suggested_for_a_misspelt_one_of_the_recipe() -> None:
    with pytest.raises(PluginShapeError, match="no option 'treshold_nats'; did you mean 'thres"):
        build("recipes", "glimprouter", {"treshold_nats": 2})


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_options_that_runs_have_recorded_keep_their_paths_and_defaults(name: str) -> None:
    fields = find("recipes", name).model_fields

    now = {
        option: "required" if fields[option].is_required() else _as_json(fields[option].default)
        for option in RECORDED[name]
    }

    assert now == RECORDED[name]


@pytest.mark.parametrize("name", ["glimprouter", "mentorcollab-free", "specreason", "steer"])
def test_a_recipe_comes_back_from_its_record(name: str) -> None:
    recipe = build("recipes", name, RECORDED[name])

    again = build("recipes", name, json.loads(recipe.model_dump_json()))
    assert again == recipe


@pytest.mark.parametrize("name", METHODS)
def test_no_recipe_repeats_an_option_with_the_same_default(name: str) -> None:
    recipe = find("recipes", name)
    assert issubclass(recipe, MethodRecipe)

    plugins = (recipe.policy, *recipe.verifiers)
    twice = [
        option
        for option in inspect.get_annotations(recipe)
        for plugin in plugins
        if option in plugin.model_fields
        and plugin.model_fields[option].default == recipe.model_fields[option].default
    ]

    assert twice == []


def _as_json(value: object) -> object:
    return json.loads(TypeAdapter(object).dump_json(value))
