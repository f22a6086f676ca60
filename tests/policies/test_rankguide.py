"""RankGuide and the rank alone: every trigger, both readings, both rules, what is refused."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from math import nan
from pathlib import Path

import pytest
from pydantic import ValidationError
from support.steps import PROBLEM, reasons, run

from collab.decisions import Consult, Continue, Decision, Mark
from collab.errors import CapabilityError, ConfigError
from collab.proposals import Proposal, Token
from collab.protocols import Draft, PolicySession
from collab.testing import ALL_CAPABILITIES, FakeModel, check_policy, check_recipe
from collab_policies.glimprouter import FirstTokenEntropy, GlimpRouter
from collab_policies.rank.calibration_file import Calibration, SignalScale, load_calibration
from collab_policies.rank.options import RankOptions
from collab_policies.rankguide import ENTROPY_ONLY, RankGuide
from collab_policies.rankguide_recipe import RankGuideRecipe
from collab_policies.tensor_rank import TensorRank, TensorRankRecipe

OPTIONS = RankOptions(layers=(1,), window=4)
A, B, C, D = (tuple(4.0 * (row == column) for column in range(4)) for row in range(4))
THRESHOLDS = {"uncertainty_nats": 1.0, "overconfidence": 0.3, "revalidation": 0.1}


def step(
    opening: Sequence[float] | None = None,
    closing: Sequence[float] | None = None,
    entropy: float | None = 0.2,
    *,
    is_partial: bool = False,
) -> Draft:
    """Return a step with the states at the delimiters that open and close it."""

    def token(text: str, state: Sequence[float] | None) -> Token:
        observed = None if state is None else {"rank.1": state}
        return Token(0, text, entropy_nats=entropy, observed=observed)

    beyond = () if closing is None else (token("So", closing),)
    tokens = (token("So.\n\n", opening),)
    return Draft(Proposal("generator", tokens, "unit"), 0, Mark(0), "", False, is_partial, beyond)


def guide(**options: object) -> PolicySession:
    values = {"rank": OPTIONS, **THRESHOLDS, **options}
    return RankGuide.model_validate(values).start(PROBLEM, random.Random(0))


def follow(session: PolicySession, states: Sequence[Sequence[float]]) -> Decision:
    """Have a session see steps between these states; return its last decision."""
    return [session.decide(step(*pair)) for pair in pairwise(states)][-1]


def calibration(tmp_path: Path, **changes: object) -> Path:
    scale = SignalScale(
        mean=0.5, deviation=0.25, quantiles=tuple(n / 100 for n in range(101)), steps=9
    )
    made = Calibration(
        generator="lab/generator",
        rank=OPTIONS,
        scales={"entropy_first": scale, "entropy_mean": scale, "rank": scale},
        thresholds={
            "uncertainty": 1.0,
            "overconfidence": 0.3,
            "revalidation": 0.1,
            "rank": 0.3,
            "soft": 2.0,
        },
    )
    path = tmp_path / "calibration.json"
    made.model_copy(update=changes).save(path)
    return path


def test_they_keep_to_the_contract(tmp_path: Path) -> None:
    path = calibration(tmp_path)
    check_policy(RankGuide(calibration=path))
    check_policy(RankGuide(calibration=path, rule="soft", reading="before"))
    check_policy(TensorRank(calibration=path))
    check_recipe(RankGuideRecipe(calibration=path))
    check_recipe(TensorRankRecipe(calibration=path))


# --- the rank alone ---------------------------------------------------------------------------


def test_the_rank_alone_asks_where_the_text_goes_nowhere_new() -> None:
    policy = TensorRank(rank=OPTIONS, threshold=0.3)

    circling = follow(policy.start(PROBLEM, random.Random(0)), [A, A, A, A])
    moving = follow(policy.start(PROBLEM, random.Random(0)), [A, B, C, D])

    assert isinstance(circling, Consult)
    assert circling.why == "low rank"
    assert circling.signal == pytest.approx(0.0)
    assert isinstance(moving, Continue)
    assert moving.signal == pytest.approx(1.0)


def test_too_few_steps_and_states_that_are_no_numbers_give_no_opinion() -> None:
    session = TensorRank(rank=OPTIONS, threshold=1.0).start(PROBLEM, random.Random(0))

    assert session.decide(step(A, A)) == Continue(why="no opinion")
    assert session.decide(step((nan, 1.0, 1.0, 1.0), A)) == Continue(
        why="no opinion, 1 states unusable"
    )
    assert session.decide(step(A, (nan, 1.0, 1.0, 1.0))) == Continue(
        why="no opinion, 1 states unusable"
    )
    assert session.decide(step(None, None)) == Continue(why="no opinion, 1 states unusable")


def test_a_draft_that_is_redone_leaves_no_state_behind() -> None:
    policy = TensorRank(rank=OPTIONS, threshold=0.3)
    session = policy.start(PROBLEM, random.Random(0))
    for opening, closing in ((A, B), (B, C)):
        session.decide(step(opening, closing))

    redone = session.decide(step(C, C))
    after = session.decide(step(D, A))

    assert isinstance(redone, Continue)
    # A, B, C, D and a closing A: the last four are B, C, D, A. The draft's second C is gone.
    assert after.signal == pytest.approx(1.0)


# --- the hard rule ----------------------------------------------------------------------------


def test_a_high_entropy_is_uncertainty() -> None:
    assert guide().decide(step(A, A, 1.5)) == Consult(why="uncertainty", signal=1.5)


def test_a_low_rank_with_a_low_entropy_is_overconfidence() -> None:
    decision = follow(guide(), [A, A, A])

    assert decision == Consult(why="overconfidence", signal=0.0)


def test_a_low_rank_again_and_again_is_heavy_revalidation() -> None:
    session = guide(patience=2, rescue_steps=2, overconfidence=0.0, revalidation=0.1)

    whys = [session.decide(step(A, A, 0.2)).why for _ in range(3)]

    assert whys == ["no opinion", "overconfidence", "heavy revalidation"]
    assert session.glimpse() == 0
    assert session.decide_before(
        step(is_partial=True).__class__(
            Proposal("generator", (), "length"), 0, Mark(0), "", False, True
        )
    ) == Consult(why="heavy revalidation, once more")
    assert session.glimpse() is None


def test_a_step_on_its_way_is_let_go_with_its_rank() -> None:
    decision = follow(guide(), [A, B, C, D])

    assert isinstance(decision, Continue)
    assert decision.why == "on its way"
    assert decision.signal == pytest.approx(1.0)


def test_the_mean_entropy_may_be_read_instead_of_the_first() -> None:
    tokens = tuple(Token(0, "x", entropy_nats=one) for one in (0.1, 2.9))
    one = Draft(Proposal("generator", tokens, "unit"), 0, Mark(0), "")

    assert guide(entropy="first").decide(one).why == "no opinion"
    assert guide(entropy="mean").decide(one) == Consult(why="uncertainty", signal=1.5)


def test_before_a_step_its_first_token_decides() -> None:
    session = guide(reading="before")

    assert session.glimpse() == 1
    asked = [session.decide_before(step(A, is_partial=True)) for _ in range(3)]

    # Too few steps for a rank, so the signal is the entropy.
    assert asked[:2] == [Continue(signal=0.2), Continue(signal=0.2)]
    assert asked[2] == Consult(why="overconfidence", signal=0.0)
    session.decide_before(step(B, is_partial=True))
    session.decide_before(step(C, is_partial=True))
    assert session.decide(step(C)).why == "on its way"


# --- the soft rule ----------------------------------------------------------------------------


def test_the_soft_rule_weighs_both_in_deviations(tmp_path: Path) -> None:
    path = calibration(tmp_path)
    session = RankGuide(calibration=path, rule="soft", weight=0.5).start(PROBLEM, random.Random(0))

    first = session.decide(step(A, A, 1.0))
    second = session.decide(step(A, A, 0.75))

    assert first == Consult(why="weighed", signal=2.0)  # no rank yet: (1 - 0.5) / 0.25
    assert second == Consult(why="weighed", signal=2.0)  # 1 for the entropy, 0.5 * 2 for the rank


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.37, 1.0, 1.3])
def test_without_weight_it_chooses_as_glimprouter_does(tmp_path: Path, threshold: float) -> None:
    path = calibration(tmp_path)
    policies = (
        FirstTokenEntropy(threshold_nats=threshold),
        RankGuide(
            calibration=path,
            rule="soft",
            reading="before",
            weight=0,
            soft_threshold=(threshold - 0.5) / 0.25,
        ),
    )
    sessions = [policy.start(PROBLEM, random.Random(0)) for policy in policies]
    draws = random.Random(1)
    for entropy in [*(draws.choice([0.0, draws.random() * 3]) for _ in range(500)), threshold]:
        states = [draws.gauss(0, 1) for _ in range(4)]
        asked = [s.decide_before(step(states, None, entropy, is_partial=True)) for s in sessions]
        assert isinstance(asked[0], Consult) == isinstance(asked[1], Consult)


async def test_without_weight_it_writes_glimprouters_texts(tmp_path: Path) -> None:
    path = calibration(tmp_path)
    entropies = {"So": 0.2, "Hm": 1.2, "Wait": 0.99}
    texts = ("So a.\n\nHm b.\n\nWait c.\n\nHm d.", "So A.\n\nSo B.\n\nSo C.\n\nSo D.")
    seeing = replace(ALL_CAPABILITIES, has_hidden_states=True, hidden_size=4)
    results = [
        await run(
            recipe,
            FakeModel(texts[0], entropies=entropies, capabilities=seeing),
            FakeModel(texts[1]),
        )
        for recipe in (
            GlimpRouter(thinking_end=None).recipe(),
            RankGuideRecipe(
                thinking_end=None,
                calibration=path,
                rule="soft",
                reading="before",
                weight=0,
                soft_threshold=2.0,
            ).recipe(),
        )
    ]

    assert results[0].text == results[1].text == "So a.\n\nSo B.\n\nWait c.\n\nSo D."


# --- without hidden states, and what is refused -----------------------------------------------


async def test_without_hidden_states_the_entropy_decides_and_the_result_says_so() -> None:
    recipe = RankGuideRecipe(rank=OPTIONS, thinking_end=None, **THRESHOLDS).recipe()  # type: ignore[arg-type]
    generator = FakeModel("So a.\n\nHm b.", entropies={"Hm": 1.2})

    result = await run(recipe, generator, FakeModel("So A.\n\nSo B."))

    assert result.degradations == (f"RankGuide: {ENTROPY_ONLY}",)
    assert reasons(result) == ["no opinion", "uncertainty"]


async def test_the_rank_alone_needs_hidden_states() -> None:
    recipe = TensorRankRecipe(rank=OPTIONS, threshold=0.3, thinking_end=None).recipe()

    with pytest.raises(CapabilityError, match="TensorRank needs hidden_states of the generator"):
        await run(recipe, FakeModel("So."), FakeModel("So."))


async def test_a_layer_that_the_generator_lacks_is_refused_before_any_call() -> None:
    recipe = TensorRankRecipe(rank=RankOptions(layers=(9,)), threshold=0.3).recipe()
    seeing = replace(ALL_CAPABILITIES, has_hidden_states=True, hidden_size=4, blocks=4)
    generator = FakeModel("So.", capabilities=seeing)

    with pytest.raises(ConfigError, match="layer 9, which is out of range; .* layers 0 to 4"):
        await run(recipe, generator, FakeModel("So."))
    assert generator.calls == 0


async def test_a_calibration_of_another_width_is_refused(tmp_path: Path) -> None:
    path = calibration(tmp_path, hidden_size=8)
    seeing = replace(ALL_CAPABILITIES, has_hidden_states=True, hidden_size=4)

    with pytest.raises(CapabilityError, match=r"hidden_states \(8 numbers, found 4\)"):
        await run(
            TensorRankRecipe(calibration=path).recipe(),
            FakeModel("So.", capabilities=seeing),
            FakeModel("So."),
        )


async def test_a_calibration_of_another_generator_is_refused(tmp_path: Path) -> None:
    path = calibration(tmp_path, fingerprint="0123456789abcdef")
    seeing = replace(ALL_CAPABILITIES, has_hidden_states=True, fingerprint="fedcba9876543210")

    with pytest.raises(
        CapabilityError, match="calibrated on, of the fingerprint '0123456789abcdef'"
    ):
        await run(
            RankGuideRecipe(calibration=path).recipe(),
            FakeModel("So.", capabilities=seeing),
            FakeModel("So."),
        )


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({}, "give calibration=FILE"),
        ({"rank": OPTIONS}, "without a calibration, overconfidence has to be given"),
        ({"rank": OPTIONS, "rule": "soft"}, "the soft rule needs a calibration"),
        ({"rank": OPTIONS, "reading": "before", "entropy": "mean"}, "only its first token's"),
    ],
)
def test_incomplete_options_are_refused(options: Mapping[str, object], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        RankGuide.model_validate(options)


def test_a_calibration_of_another_reading_is_refused(tmp_path: Path) -> None:
    path = calibration(tmp_path)

    with pytest.raises(ValidationError, match="of another reading of the rank"):
        RankGuide(calibration=path, rank=RankOptions(layers=(2,)))
    with pytest.raises(ValidationError, match="is of the top 20, not the top 5"):
        RankGuide(calibration=path, top_k=5)
    with pytest.raises(ValidationError, match="has no rank: its generator handed over no"):
        TensorRank(calibration=calibration(tmp_path, rank=None), threshold=0.3)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("{", "is not a calibration"),
        ('{"generator": 3}', "is not a calibration"),
        ('{"kind": "else"}', "is not a calibration"),
    ],
)
def test_a_file_that_is_no_calibration_is_refused(tmp_path: Path, content: str, match: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(content)

    with pytest.raises(ConfigError, match=match):
        load_calibration(path)


def test_a_calibration_of_other_signals_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="of version 99 of the signals"):
        load_calibration(calibration(tmp_path, version=99))


def test_a_missing_calibration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_calibration(tmp_path / "none.json")


def test_a_threshold_that_was_not_set_is_named(tmp_path: Path) -> None:
    path = calibration(tmp_path, thresholds={"rank": 0.3})

    with pytest.raises(ConfigError, match=r"no threshold 'overconfidence' \(it has: rank\)"):
        RankGuide(calibration=path)
