"""A recipe whose generator writes alone, whatever it was made of."""

from collab import Phases, Recipe
from collab.collecting.alone import alone
from collab.protocols import Alone
from collab.strategies import Strategy
from collab_policies.always_mentor import AlwaysMentor
from collab_policies.random_positions import RandomPositions


def test_nobody_is_asked_and_lengths_stay() -> None:
    recipe = Recipe(
        policy=RandomPositions(rate=0.5), verifiers=(AlwaysMentor(),), max_answer_tokens=99
    )

    found = alone(recipe)

    assert (found.policy, found.verifiers, found.max_answer_tokens) == (Alone(), (), 99)


def test_the_generator_also_writes_the_answer_after_its_thinking() -> None:
    phases = Phases(answer_by="mentor", answer_tokens=20)

    found = alone(Recipe(phases=phases))

    assert found.phases == phases.model_copy(update={"answer_by": "generator"})


def test_a_strategy_is_left_out() -> None:
    class Asking(Strategy):
        pass

    assert alone(Recipe(strategy=Asking())).strategy is None
