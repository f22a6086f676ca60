from collab import WordUnit
from collab.testing import check_recipe
from collab_policies.agreement import Agreement
from collab_policies.mentorcollab_free import MentorCollabFree
from collab_policies.random_positions import RandomPositions
from collab_policies.self_judge import SelfJudge


def test_it_keeps_to_the_contract() -> None:
    check_recipe(MentorCollabFree())


def test_its_defaults_are_the_published_ones() -> None:
    recipe = MentorCollabFree().recipe()

    assert recipe.policy == RandomPositions(rate=0.24)
    assert recipe.verifiers == (
        Agreement(),
        SelfJudge(order="fixed", reading="likeliest"),
    )
    assert recipe.unit == WordUnit(max_tokens=12)
    assert (recipe.segment.max_tokens, recipe.max_answer_tokens) == (16, 512)
    assert (recipe.repeat_limit, recipe.sampling.is_greedy) == (3, True)


def test_its_options_reach_its_plugins() -> None:
    recipe = MentorCollabFree(
        rate=0.5, segment_tokens=8, word_tokens=4, order="both", reading="share"
    ).recipe()

    assert recipe.policy == RandomPositions(rate=0.5)
    assert recipe.unit == WordUnit(max_tokens=4)
    assert recipe.segment.max_tokens == 8
    assert recipe.verifiers[1] == SelfJudge(order="both", reading="share")
