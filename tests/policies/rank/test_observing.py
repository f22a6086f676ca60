"""From a real model's observed tokens to a rank."""

from array import array

import pytest

from collab.proposals import Sampling, Token, Until
from collab.signals import EVERYWHERE, Gate, Observation, Signals
from collab.units import StepUnit
from collab.views import View, ViewOptions
from collab_backends.local.backend import LocalTorch
from collab_policies.rank.observing import observations, opening_states, token_states
from collab_policies.rank.options import RankOptions

VIEW = View("generator", "Mod 10: m = 8, c = m - 2.\n\n", ViewOptions(template="raw"))
OPTIONS = RankOptions(layers=(1, 2))
TOKENS = RankOptions(layers=(2,), definition="tokens")


def test_steps_are_observed_at_delimiters_and_tokens_everywhere() -> None:
    at_blank_lines = Gate(("\n\n",))

    assert observations(OPTIONS) == (
        Observation("rank.1", 1, at_blank_lines),
        Observation("rank.2", 2, at_blank_lines),
    )
    assert observations(OPTIONS, "\n")[0].gate == Gate(("\n",))
    assert observations(TOKENS) == (Observation("rank.2", 2, EVERYWHERE),)


async def test_each_step_of_a_real_model_is_opened_by_one_state_of_each_layer() -> None:
    trajectory = OPTIONS.start()
    widths = set()
    async with LocalTorch(model="lab/mentor", threads=1).connect() as model:
        signals = Signals(observations=observations(OPTIONS))
        async with model.open(VIEW, seed=0, signals=signals) as session:
            for _ in range(3):
                step = await session.generate(Until(40, StepUnit(max_tokens=40)), Sampling())
                states = opening_states(step.tokens, OPTIONS)
                assert states is not None
                widths |= {len(state) for state in states}
                assert trajectory.push(states)
                # Where the step itself does not hold the delimiter, it is opened by the text's.
                session.commit(len(step.tokens))
                session.append("\n\n")

    score = OPTIONS.score(trajectory)

    assert widths == {96}
    assert score is not None
    assert 0 < score < 1


async def test_all_tokens_of_a_real_step_are_read() -> None:
    async with LocalTorch(model="lab/mentor", threads=1).connect() as model:
        signals = Signals(observations=observations(TOKENS))
        async with model.open(VIEW, seed=0, signals=signals) as session:
            step = await session.generate(Until(6), Sampling())

    reading = TOKENS.read(TOKENS.start(), token_states(step.tokens, TOKENS))

    assert reading is not None
    assert reading.bounds == (6,)


@pytest.mark.parametrize(
    "observed", [None, {}, {"rank.1": array("f", [1.0])}, {"other": array("f", [1.0])}]
)
def test_a_step_that_was_not_observed_in_all_layers_has_no_states(
    observed: "dict[str, array[float]] | None",
) -> None:
    later = Token(2, "b", observed={name: array("f", [1.0]) for name in ("rank.1", "rank.2")})

    assert opening_states([Token(1, "a", observed=observed), later], OPTIONS) is None
    assert opening_states([], OPTIONS) is None
    assert len(token_states([Token(1, "a", observed=observed), later], TOKENS)) == 1
