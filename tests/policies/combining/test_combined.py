"""What all policies have in common that are made of others."""

import json
from pathlib import Path

import pytest
from support.lettered import Lettered

from collab import Need, Observation, Policy
from collab.errors import PluginShapeError
from collab.plugins import build
from collab.runs.assembly import build_recipe
from collab.runs.config_files import load_config
from collab.testing import check_policy
from collab_policies.always import Always
from collab_policies.combining.any_of import AnyOf
from collab_policies.combining.budgeted import Budgeted
from collab_policies.combining.cooldown import Cooldown
from collab_policies.combining.every_k import EveryK
from collab_policies.combining.first_of import FirstOf
from collab_policies.combining.hysteresis import Hysteresis
from collab_policies.entropy import Entropy
from collab_policies.glimprouter import FirstTokenEntropy
from collab_policies.never import Never
from collab_policies.random_positions import RandomPositions


@pytest.mark.parametrize(
    "policy",
    [
        AnyOf(policies=(RandomPositions(), FirstTokenEntropy(), Entropy())),
        FirstOf(policies=(FirstTokenEntropy(first_steps=2), RandomPositions())),
        EveryK(policy=FirstTokenEntropy(), k=3),
        EveryK(policy=RandomPositions(), k=2),
        Cooldown(policy=Always(), units=2),
        Budgeted(policy=Entropy(), questions=2),
        Hysteresis(policy=Entropy(), high=1.0, low=0.5),
        Cooldown(policy=EveryK(policy=AnyOf(policies=(Always(), Never())), k=2), units=1),
    ],
)
def test_it_keeps_to_the_contract(policy: Policy) -> None:
    check_policy(policy)


# --- what the parts need --------------------------------------------------------------------------


def test_a_combination_needs_and_reads_what_its_parts_do() -> None:
    one = Lettered(top_k=5, layer=3, beyond=1)
    two = Lettered(layer=3, beyond=2, is_taking_back=True)

    policy = AnyOf(policies=(one, EveryK(policy=two, k=2), Always(mentor="large")))

    assert policy.needs == (Need("generator", "entropy", 5), Need("large", "text"))
    assert policy.entropy_top_k == 5
    assert policy.observations == (Observation("state", 3),)
    assert (policy.looks_beyond, policy.takes_back) == (2, True)
    assert not AnyOf(policies=(one,)).takes_back


def test_parts_that_ask_for_other_entropies_are_refused() -> None:
    with pytest.raises(ValueError, match=r"entropy over 5 and over 20 tokens.*the same top_k"):
        AnyOf(policies=(Entropy(top_k=5), FirstTokenEntropy()))


def test_parts_that_observe_different_states_under_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="different hidden states under the name 'state'"):
        AnyOf(policies=(Lettered(layer=3), Lettered(layer=4)))


# --- options --------------------------------------------------------------------------------------

NESTED = {
    "policies": [
        {"use": "entropy", "threshold_nats": 1.2},
        {"use": "cooldown", "units": 3, "policy": {"use": "random", "rate": 0.1}},
        "always",
    ]
}


def test_nested_policies_are_found_by_their_names() -> None:
    assert build("policies", "any-of", NESTED) == AnyOf(
        policies=(
            Entropy(threshold_nats=1.2),
            Cooldown(policy=RandomPositions(rate=0.1), units=3),
            Always(),
        )
    )


def test_an_option_inside_is_set_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("policy: {use: any-of, policies: [{use: entropy}, {use: random, rate: 0.1}]}")

    config = load_config(path, settings=["policy.policies.1.rate=0.5"])

    assert build_recipe(config).policy == AnyOf(policies=(Entropy(), RandomPositions(rate=0.5)))


def test_a_combination_comes_back_from_its_record() -> None:
    policy = build("policies", "any-of", NESTED)

    record = json.loads(policy.model_dump_json())

    assert record["policies"][2] == {"use": "always", "mentor": "mentor"}
    assert build("policies", "any-of", record) == policy


@pytest.mark.parametrize(
    ("nested", "message"),
    [
        ("entropi", r"policies\.0: no policy 'entropi'; did you mean 'entropy'\?"),
        (
            {"use": "entropy", "treshold_nats": 1},
            r"policies\.0: policy 'entropy' has no option 'treshold_nats'; did you mean 'thresh",
        ),
        (
            {"use": "cooldown", "units": 1, "policy": {"use": "random", "rate": 2}},
            r"policies\.0: policy 'cooldown': policy: policy 'random': rate: Input should be less",
        ),
        ({"threshold_nats": 1}, r"policies\.0: expected the name of a policy, or \{use: NAME"),
        (3, r"policies\.0: expected the name of a policy"),
    ],
)
def test_a_mistake_inside_is_reported_with_its_place(nested: object, message: str) -> None:
    with pytest.raises(PluginShapeError, match=message):
        build("policies", "any-of", {"policies": [nested]})


def test_at_least_one_policy_is_combined() -> None:
    with pytest.raises(PluginShapeError, match="give at least one policy"):
        build("policies", "first-of", {"policies": []})
