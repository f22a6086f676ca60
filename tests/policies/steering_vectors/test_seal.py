"""The recipe `seal`: the generator alone, steered while it thinks."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.steering_fakes import vector_folder

from collab import Controller, Phases, Recipe, StepUnit
from collab.signals import Steering
from collab.testing import ALL_CAPABILITIES, FakeBackend, FakeModel, check_recipe
from collab_policies.never import Never
from collab_policies.rank.options import RankOptions
from collab_policies.rankguide_recipe import RankGuideRecipe
from collab_policies.seal import Seal
from collab_policies.steering_vectors.vector import Vector

STEERED = replace(ALL_CAPABILITIES, can_steer=True, hidden_size=3, fingerprint="f")
TEXT = "So a.\n\nWait, b.</think>\n\nI say 3.\n\nYes."


def test_it_keeps_to_the_contract(tmp_path: Path) -> None:
    check_recipe(Seal(path=vector_folder(tmp_path)))


def test_its_defaults_are_the_published_ones(tmp_path: Path) -> None:
    path = vector_folder(tmp_path)

    recipe = Seal(path=path).recipe()

    assert (recipe.policy, recipe.unit, recipe.verifiers) == (Never(), StepUnit(), ())
    assert recipe.steering == Vector(path=path)
    assert recipe.phases == Phases(answer_by="generator", answer_tokens=2000)
    assert (recipe.max_answer_tokens, recipe.sampling.is_greedy) == (10000, True)


@pytest.mark.parametrize(
    "options",
    [{"scale": -0.5}, {"decay": 0.02}, {"layer": 2}, {"token_texts": (".",)}, {"is_exact": True}],
)
def test_its_options_reach_the_steerer(options: Mapping[str, Any], tmp_path: Path) -> None:
    path = vector_folder(tmp_path)

    recipe = Seal(path=path, thinking_end=None, **options).recipe()

    assert recipe.steering == Vector(path=path, **options)
    assert recipe.phases is None


async def solved(recipe: Recipe) -> tuple[FakeModel, str]:
    model = FakeModel(TEXT, capabilities=STEERED)
    async with Controller(generator=FakeBackend(model=model), recipe=recipe) as controller:
        result = await controller.solve("What?")
    return model, result.raise_for_error().text


async def test_only_the_thinking_is_steered_and_the_generator_answers(tmp_path: Path) -> None:
    seal = Seal(path=vector_folder(tmp_path), max_answer_tokens=60, answer_tokens=20)

    model, text = await solved(seal.recipe())

    steering, none = model.steered
    assert isinstance(steering, Steering)
    assert steering.scale == -1.0
    assert none is None
    assert text == "So a.\n\nWait, b.\n</think>\n\nI say 3.\n\nYes."


async def test_a_text_of_one_phase_is_steered_to_its_end(tmp_path: Path) -> None:
    model, text = await solved(Seal(path=vector_folder(tmp_path), thinking_end=None).recipe())

    assert len(model.steered) == 1
    assert text == TEXT


def test_rankguide_is_steered_where_a_vector_is_given(tmp_path: Path) -> None:
    path = vector_folder(tmp_path)
    given: dict[str, Any] = {"rank": RankOptions(layers=(1,)), "uncertainty_nats": 0.9}
    given |= {"overconfidence": 0.1, "revalidation": 0.05}

    steered = RankGuideRecipe(vector=path, vector_scale=0.5, **given).recipe()
    plain = RankGuideRecipe(**given).recipe()

    assert steered.steering == Vector(path=path, scale=0.5)
    assert plain.steering is None
    assert steered.policy == plain.policy
