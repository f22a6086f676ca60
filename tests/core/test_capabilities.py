from dataclasses import replace

import pytest

from collab.capabilities import Capabilities, Need, match_needs, needed_top_k
from collab.errors import CapabilityError

PLAIN = Capabilities(prefix_mode="text", top_logprobs=5)


def test_everything_missing_is_listed_in_one_error() -> None:
    needs = {
        "Entropy": [Need("generator", "entropy", 20)],
        "SelfJudge": [Need("generator", "judge"), Need("critic", "score")],
    }

    with pytest.raises(CapabilityError) as raised:
        match_needs(needs, {"generator": PLAIN, "mentor": PLAIN})

    message = str(raised.value)
    assert "Entropy needs entropy (k=20) of the generator" in message
    assert "SelfJudge needs judge of the generator" in message
    assert "SelfJudge needs a participant 'critic'; there are: generator, mentor" in message


def test_what_a_plugin_can_do_without_is_named_and_recorded() -> None:
    need = Need("generator", "hidden_states", degraded="entropy only")

    assert match_needs({"RankGuide": [need]}, {"generator": PLAIN}) == ("RankGuide: entropy only",)


def test_enough_is_enough() -> None:
    assert match_needs({"Entropy": [Need("generator", "entropy", 5)]}, {"generator": PLAIN}) == ()


DEEP = Capabilities(
    prefix_mode="tokens", has_hidden_states=True, hidden_size=64, fingerprint="aaaa"
)


def test_hidden_states_of_another_width_are_not_enough() -> None:
    need = Need("generator", "hidden_states", 4096)

    with pytest.raises(
        CapabilityError, match=r"Mlp needs hidden_states \(4096 numbers, found 64\)"
    ):
        match_needs({"Mlp": [need]}, {"generator": DEEP})
    assert match_needs({"Mlp": [Need("generator", "hidden_states")]}, {"generator": DEEP}) == ()


@pytest.mark.parametrize(
    ("found", "told"),
    [("bbbb", "of this generator is 'bbbb'"), ("", "of this generator is unknown")],
)
def test_a_plugin_can_need_one_certain_model(found: str, told: str) -> None:
    need = Need("generator", "hidden_states", 64, fingerprint="aaaa")
    other = replace(DEEP, fingerprint=found)

    assert match_needs({"Mlp": [need]}, {"generator": DEEP}) == ()
    with pytest.raises(CapabilityError) as raised:
        match_needs({"Mlp": [need]}, {"generator": other})

    assert "the generator that it was trained on, of the fingerprint 'aaaa'" in str(raised.value)
    assert told in str(raised.value)


def test_a_vector_is_for_one_model_and_of_its_width() -> None:
    steered = replace(DEEP, can_steer=True)
    need = Need("generator", "steering", 64, fingerprint="aaaa")

    assert match_needs({"Vector": [need]}, {"generator": steered}) == ()
    with pytest.raises(CapabilityError, match=r"Vector needs steering \(64 numbers\) of the"):
        match_needs({"Vector": [need]}, {"generator": DEEP})
    with pytest.raises(CapabilityError, match=r"steering \(128 numbers, found 64\) of the"):
        match_needs({"Vector": [replace(need, amount=128)]}, {"generator": steered})
    with pytest.raises(
        CapabilityError, match=r"it was extracted from, of the .*'bbbb'.*`collab extract steering`"
    ):
        match_needs({"Vector": [replace(need, fingerprint="bbbb")]}, {"generator": steered})


def test_the_likeliest_tokens_are_needed_by_their_number() -> None:
    can = Capabilities("tokens", top_logprobs=5, can_score=True, score_top_logprobs=2)
    need = Need("mentor", "top_logprobs", 5)

    assert match_needs({"Mixing": [need]}, {"mentor": can}) == ()
    with pytest.raises(CapabilityError, match=r"needs top_logprobs \(k=6\) of the mentor"):
        match_needs({"Mixing": [replace(need, amount=6)]}, {"mentor": can})
    with pytest.raises(CapabilityError, match=r"needs score_top_logprobs \(k=3\) of the mentor"):
        match_needs({"Mixing": [Need("mentor", "score_top_logprobs", 3)]}, {"mentor": can})


def test_a_participant_names_as_many_tokens_as_the_most_demanding_need() -> None:
    needs = {
        "One": [Need("mentor", "top_logprobs"), Need("mentor", "score_top_logprobs", 4)],
        "Other": [Need("mentor", "entropy", 9), Need("generator", "top_logprobs")],
    }

    found = [needed_top_k(needs, role) for role in ("mentor", "generator", "critic")]

    assert found == [4, 1, 0]
