"""The verifier `mlp`: what it decides, what it reads, and on which generator it runs."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from support.cases import PROBLEM, Judge, case, draft_alone
from support.mlp_weights import WIDTH, ours, published, published_state

from collab import Abstain, Controller, Recipe, Verdict
from collab.errors import CapabilityError, ContextOverflowError
from collab.testing import FakeBackend, FakeModel, check_verifier
from collab_backends.local.backend import LocalTorch
from collab_backends.local.fingerprint import fingerprint
from collab_backends.local.loading import load_model
from collab_policies.always import Always
from collab_policies.mlp import Mlp
from collab_policies.trained.reading import CHOICE, QUESTION, Position

GOOD, BAD = [1.0] * WIDTH, [-1.0] * WIDTH


class Eyes(Judge):
    """Hands over given states and remembers what was asked."""

    def __init__(self, *states: Sequence[float], is_full: bool = False) -> None:
        super().__init__()
        self.seen: list[tuple[str, str, int]] = []
        self._states = list(states)
        self._is_full = is_full

    async def observe(self, role: str, text: str, layer: int) -> Sequence[float]:
        self.seen.append((role, text, layer))
        if self._is_full:
            raise ContextOverflowError("full")
        return self._states.pop(0)


async def ask(verifier: Mlp, eyes: Eyes, question: object = None) -> object:
    session = verifier.start(PROBLEM, random.Random(0))
    return await session.verify(question or case([" a"], [" own"], [" offered"]), eyes)  # type: ignore[arg-type]


# --- what it decides --------------------------------------------------------------------------


async def test_above_the_threshold_the_generators_stands_else_the_mentors(tmp_path: Path) -> None:
    verifier = Mlp(path=published(tmp_path))

    good, bad = await ask(verifier, Eyes(GOOD)), await ask(verifier, Eyes(BAD))

    # Four ones through the network, less 2; batch norm divides by sqrt(1 + 1e-5), twice.
    assert isinstance(good, Verdict)
    assert isinstance(bad, Verdict)
    assert good.score == pytest.approx(1 / (1 + 2.718281828**-2), abs=1e-4)
    assert bad.score == pytest.approx(1 / (1 + 2.718281828**2), abs=1e-4)
    assert (good.stands, bad.stands, good.why) == ("generator", "mentor", "mlp")


async def test_a_score_at_the_threshold_is_the_mentors(tmp_path: Path) -> None:
    state = published_state()
    state["linear.bias"] += 2
    path = tmp_path / "even.pt"
    torch.save(state, path)

    verdict = await ask(Mlp(path=path), Eyes(BAD))

    assert verdict == Verdict("mentor", score=0.5, why="mlp")


async def test_the_threshold_can_be_overridden(tmp_path: Path) -> None:
    verdict = await ask(Mlp(path=published(tmp_path), threshold=0.95), Eyes(GOOD))

    assert isinstance(verdict, Verdict)
    assert verdict.stands == "mentor"


async def test_the_cards_threshold_counts_where_none_is_given(tmp_path: Path) -> None:
    low = Mlp(path=ours(tmp_path, threshold=0.0))
    high = Mlp(path=ours(tmp_path, threshold=1.0))

    assert getattr(await ask(low, Eyes(GOOD)), "stands", "") in ("generator", "mentor")
    assert getattr(await ask(high, Eyes(GOOD)), "stands", "") == "mentor"


async def test_without_a_mentors_proposal_it_abstains(tmp_path: Path) -> None:
    answer = await ask(Mlp(path=published(tmp_path)), Eyes(), draft_alone(" a"))

    assert answer == Abstain("no proposal to compare")


async def test_without_room_for_the_question_it_abstains(tmp_path: Path) -> None:
    answer = await ask(Mlp(path=published(tmp_path)), Eyes(is_full=True))

    assert answer == Abstain("no room in the context for the question")


async def test_it_keeps_to_the_contract(tmp_path: Path) -> None:
    await check_verifier(Mlp(path=published(tmp_path)), hidden_size=WIDTH)


# --- what it reads ----------------------------------------------------------------------------

ASKED = QUESTION.replace("{a}", " own").replace("{b}", " offered")


async def test_the_published_reading_is_the_last_layer_before_the_choice_cue(
    tmp_path: Path,
) -> None:
    eyes = Eyes(GOOD)

    await ask(Mlp(path=published(tmp_path)), eyes)

    assert eyes.seen == [("generator", ASKED, -1)]
    assert ASKED.endswith(" offered\n")


@pytest.mark.parametrize(
    ("position", "asked"),
    [
        ("before-cue", [ASKED]),
        ("after-cue", [ASKED + CHOICE]),
        ("mark", [""]),
        ("segments", [" own", " offered"]),
    ],
)
async def test_a_card_says_what_is_read(
    position: Position, asked: list[str], tmp_path: Path
) -> None:
    width = WIDTH * len(asked)
    path = ours(tmp_path, width=width, layer=2, position=position)
    eyes = Eyes(GOOD, GOOD)

    await ask(Mlp(path=path), eyes)

    assert eyes.seen == [("generator", text, 2) for text in asked]
    assert [need.amount for need in Mlp(path=path).needs] == [WIDTH]


async def test_the_question_of_published_weights_can_be_given(tmp_path: Path) -> None:
    eyes = Eyes(GOOD)

    await ask(Mlp(path=published(tmp_path), question="{b}, {a}? "), eyes)

    assert eyes.seen == [("generator", " offered,  own? ", -1)]


def test_a_question_beside_a_card_or_without_both_segments_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="its card says the question"):
        Mlp(path=ours(tmp_path), question="{a} {b}")
    with pytest.raises(ValueError, match=r"the question has to contain \{a\} and \{b\}"):
        Mlp(path=published(tmp_path), question="which?")


# --- whose generator it is --------------------------------------------------------------------


def lab_fingerprint() -> str:
    return fingerprint(load_model("lab/generator", "cpu", "float32").model)


async def run_on_the_lab(verifier: Mlp, generator: object = None) -> str:
    backend = generator or LocalTorch(model="lab/generator", threads=1)
    recipe = Recipe(policy=Always(), verifiers=(verifier,), max_answer_tokens=12)
    mentor = FakeBackend(model=FakeModel(" So b = 4."))
    async with Controller(generator=backend, mentor=mentor, recipe=recipe) as controller:  # type: ignore[arg-type]
        result = await controller.solve("Mod 10: a = 1, b = a + 3. What is b?\n\n")
    return result.raise_for_error().reason


async def test_it_runs_on_the_generator_of_its_card(tmp_path: Path) -> None:
    path = ours(tmp_path, lab_fingerprint(), width=64)

    assert await run_on_the_lab(Mlp(path=path)) == "length"


async def test_it_refuses_to_run_on_another_generator(tmp_path: Path) -> None:
    path = ours(tmp_path, "0123456789abcdef", width=64)

    with pytest.raises(CapabilityError) as raised:
        await run_on_the_lab(Mlp(path=path))

    assert (
        "Mlp needs the generator that it was trained on, of the fingerprint '0123456789abcdef'; "
        f"the fingerprint of this generator is '{lab_fingerprint()}'"
    ) in str(raised.value)


async def test_published_weights_of_another_width_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CapabilityError, match=r"hidden_states \(8 numbers, found 64\) of the gen"):
        await run_on_the_lab(Mlp(path=published(tmp_path)))


async def test_a_generator_without_hidden_states_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CapabilityError, match=r"hidden_states .* \(`local` can do all of it\)"):
        await run_on_the_lab(Mlp(path=published(tmp_path)), FakeBackend(model=FakeModel("a")))
