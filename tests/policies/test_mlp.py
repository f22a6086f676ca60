"""The verifier `mlp`: what it decides, what it loads, and what it refuses."""

import os
import pickle
import random
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import pytest
from support.verifying import PROBLEM, case, draft_alone

from collab import Abstain, Controller, Recipe, Verdict
from collab.errors import CapabilityError, ContextOverflowError, PluginShapeError
from collab.plugins import build
from collab.proposals import Distribution, Proposal, Token
from collab.protocols import RollOut
from collab.testing import FakeBackend, FakeModel, check_verifier
from collab.training.cards import Card, TrainedOn
from collab.training.examples import Example
from collab_policies.always import Always
from collab_policies.mlp import Mlp
from collab_policies.trained.mlp_trainer import MlpTrainer
from collab_policies.trained.reading import CHOICE, QUESTION, Position

if TYPE_CHECKING:
    from torch import Tensor

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")

from collab_backends.local.backend import LocalTorch  # noqa: E402
from collab_backends.local.fingerprint import fingerprint  # noqa: E402
from collab_backends.local.loading import load_model  # noqa: E402
from collab_policies.trained.network import BranchNetwork  # noqa: E402
from collab_policies.trained.training import train  # noqa: E402
from collab_policies.trained.weights import load_weights, save_weights  # noqa: E402

WIDTH = 8
GOOD, BAD = [1.0] * WIDTH, [-1.0] * WIDTH
SHAPES = {
    "mlp.0.weight": (16, 8),
    "mlp.0.bias": (16,),
    **{f"mlp.1.{name}": (16,) for name in ("weight", "bias", "running_mean", "running_var")},
    "mlp.4.weight": (8, 16),
    "mlp.4.bias": (8,),
    **{f"mlp.5.{name}": (8,) for name in ("weight", "bias", "running_mean", "running_var")},
    "mlp.8.weight": (4, 8),
    "mlp.8.bias": (4,),
    "linear.weight": (1, 4),
    "linear.bias": (1,),
}
"""The published state of a generator whose hidden size is 8; counters of batches left out."""


class Eyes:
    """Hands over given states and remembers what was asked."""

    def __init__(self, *states: Sequence[float], is_full: bool = False) -> None:
        self.asked: list[tuple[str, str, int]] = []
        self._states = list(states)
        self._is_full = is_full

    async def observe(self, role: str, text: str, layer: int) -> Sequence[float]:
        self.asked.append((role, text, layer))
        if self._is_full:
            raise ContextOverflowError("full")
        return self._states.pop(0)

    async def judge(self, role: str, question: str, labels: Sequence[str]) -> Distribution:
        raise AssertionError("nobody is judged here")

    async def score(self, role: str, text: str) -> tuple[Token, ...]:
        raise AssertionError("nothing is scored here")

    async def roll_out(self, proposal: Proposal, seed: int) -> RollOut:
        raise AssertionError("nothing is rolled out here")


def published_state() -> "dict[str, Tensor]":
    """Return weights by which the score is the sigmoid of the sum of the first layer's ReLU."""
    state = {name: torch.zeros(shape) for name, shape in SHAPES.items()}
    for name in ("mlp.0.weight", "mlp.4.weight", "mlp.8.weight"):
        state[name] = torch.eye(*SHAPES[name])
    for norm in ("mlp.1", "mlp.5"):
        state[f"{norm}.weight"] += 1
        state[f"{norm}.running_var"] += 1
    state["linear.weight"] += 1
    state["linear.bias"] -= 2
    return state


def card(fingerprint: str = "f", **trainer: object) -> Card:
    options = MlpTrainer.model_validate(trainer)
    return Card(
        verifier="mlp",
        generator=TrainedOn(name="g", fingerprint=fingerprint),
        mentors={"mentor": "m"},
        threshold=options.threshold,
        trainer=options.model_dump(mode="json"),
        data={},
        metrics={},
        training={},
    )


def published(folder: Path) -> Path:
    path = folder / "branch_mlp.pth"
    torch.save(published_state(), path)
    return path


def ours(folder: Path, fingerprint: str = "f", width: int = WIDTH, **trainer: object) -> Path:
    torch.manual_seed(1)
    network = BranchNetwork(width)
    save_weights(folder / "verifier.safetensors", network, card(fingerprint, **trainer))
    return folder


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

    assert eyes.asked == [("generator", ASKED, -1)]
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

    assert eyes.asked == [("generator", text, 2) for text in asked]
    assert [need.amount for need in Mlp(path=path).needs] == [WIDTH]


async def test_the_question_of_published_weights_can_be_given(tmp_path: Path) -> None:
    eyes = Eyes(GOOD)

    await ask(Mlp(path=published(tmp_path), question="{b}, {a}? "), eyes)

    assert eyes.asked == [("generator", " offered,  own? ", -1)]


def test_a_question_beside_a_card_or_without_both_segments_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="its card says the question"):
        Mlp(path=ours(tmp_path), question="{a} {b}")
    with pytest.raises(ValueError, match=r"the question has to contain \{a\} and \{b\}"):
        Mlp(path=published(tmp_path), question="which?")


# --- what it loads and refuses ----------------------------------------------------------------


def wrapped(state: object) -> object:
    return {"state_dict": state, "epoch": 3}


@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.bin", "w.safetensors"])
def test_the_published_layout_is_loaded_from_every_kind_of_file(name: str, tmp_path: Path) -> None:
    state = published_state() | {"mlp.1.num_batches_tracked": torch.tensor(7)}
    path = tmp_path / name
    if name.endswith("safetensors"):
        safetensors_torch.save_file(state, path)
    else:
        torch.save(wrapped(state), path)

    loaded = load_weights(path)

    assert (loaded.network.width, loaded.card) == (WIDTH, None)
    assert not loaded.network.training


def test_the_networks_weights_have_the_published_names_and_shapes() -> None:
    state = BranchNetwork(WIDTH).state_dict()

    found = {name: tuple(one.shape) for name, one in state.items() if "num_batches" not in name}
    assert found == SHAPES


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("evil-was-here",)


def test_code_in_a_file_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, write in (
        ("a.pt", torch.save),
        ("b.bin", lambda o, p: p.write_bytes(pickle.dumps(o))),
    ):
        path = tmp_path / name
        write({"mlp.0.weight": Evil()}, path)

        with pytest.raises(ValueError, match="is no file of weights alone; what could hold code"):
            load_weights(path)

    assert not (tmp_path / "evil-was-here").exists()


def test_a_whole_pickled_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "whole.pt"
    torch.save(BranchNetwork(WIDTH), path)

    with pytest.raises(ValueError, match="is no file of weights alone"):
        load_weights(path)


@pytest.mark.parametrize("name", ["w.pt", "w.bin", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04 no archive either"])
def test_a_file_that_is_none_is_told(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(ValueError, match=r"is no (file of weights alone|safetensors file)"):
        load_weights(path)


def without(*names: str) -> "dict[str, Tensor]":
    return {name: one for name, one in published_state().items() if name not in names}


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (without("mlp.0.weight"), "holds no branch network .* it holds linear.bias"),
        (without("linear.bias"), "linear.bias is missing instead of 1"),
        (published_state() | {"mlp.4.weight": torch.zeros(8, 8)}, "mlp.4.weight is 8x8 instead of"),
        (published_state() | {"mlp.9.weight": torch.zeros(1)}, "mlp.9.weight does not belong"),
        (published_state() | {"linear.bias": torch.tensor([torch.nan])}, "holds what is no number"),
        ([1, 2, 3], "holds list, not weights by name"),
    ],
)
def test_another_networks_weights_are_refused(state: object, why: str, tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save(state, path)

    with pytest.raises(ValueError, match=why):
        load_weights(path)


def test_what_is_not_there_is_told_when_the_verifier_is_made(tmp_path: Path) -> None:
    with pytest.raises(PluginShapeError, match=r"there are no weights at .*nothing.pt'"):
        build("verifiers", "collab_policies.mlp:Mlp", {"path": str(tmp_path / "nothing.pt")})
    with pytest.raises(PluginShapeError, match="has `collab train verifier` finished there"):
        build("verifiers", "collab_policies.mlp:Mlp", {"path": str(tmp_path)})
    (tmp_path / "w.txt").write_text("x")
    with pytest.raises(PluginShapeError, match=r"has to end with .safetensors, .pt, .pth, .bin"):
        build("verifiers", "collab_policies.mlp:Mlp", {"path": str(tmp_path / "w.txt")})


def test_another_verifiers_card_and_a_damaged_one_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "verifier.safetensors"
    state = published_state()
    other = card().model_copy(update={"verifier": "other"}).model_dump_json()
    safetensors_torch.save_file(state, path, {"card": other})
    with pytest.raises(ValueError, match="it holds a verifier 'other', not 'mlp'"):
        Mlp(path=path)

    safetensors_torch.save_file(state, path, {"card": '{"format": 9}'})
    with pytest.raises(ValueError, match=r"the card in .* cannot be read"):
        Mlp(path=path)


def test_weights_of_half_a_state_cannot_be_two(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="7 numbers cannot be 2 hidden states"):
        Mlp(path=ours(tmp_path, width=7, position="segments"))


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


# --- training ---------------------------------------------------------------------------------


def separable(count: int) -> list[Example]:
    """Return examples whose class is the sign of one number among noise of another scale."""
    rng = random.Random(3)
    made = []
    for number in range(count):
        target = float(rng.random() < 0.4)
        noise = [rng.gauss(50, 30) for _ in range(WIDTH - 1)]
        state = [1e-2 * (2 * target - 1 + rng.gauss(0, 0.4)), *noise]
        made.append(Example(f"p{number // 2}", state, target, 1.0))
    return made


@pytest.mark.parametrize("patience", [0, 5])
def test_it_learns_what_can_be_told_and_says_how_it_ended(patience: int) -> None:
    learnt, measured = separable(300)[:200], separable(300)[200:]

    trained = train(learnt, MlpTrainer(epochs=patience * 40 or 30, patience=patience), seed=0)

    scores = trained.scores([one.state for one in measured])
    right = sum((s > 0.5) == (e.target > 0.5) for s, e in zip(scores, measured, strict=True))
    assert right >= 85
    assert trained.notes["ended_by"] == ("patience" if patience else "epochs")
    assert (trained.notes["set_aside"] == 0) == (patience == 0)


def test_the_same_seed_gives_the_same_network_and_draws_from_no_other_stream() -> None:
    options = MlpTrainer(epochs=3)
    torch.manual_seed(11)
    expected = float(torch.rand(1))

    torch.manual_seed(11)
    first = train(separable(60), options, seed=1)
    drawn = float(torch.rand(1))
    again, other = (train(separable(60), options, seed=seed) for seed in (1, 2))

    state = separable(1)[0].state
    assert first.scores([state]) == again.scores([state])
    assert first.scores([state]) != other.scores([state])
    assert drawn == expected


def test_ties_pull_to_neither_way_and_balance_lets_a_rare_class_count() -> None:
    rng = random.Random(9)
    noise = [[rng.gauss(0, 1) for _ in range(WIDTH)] for _ in range(600)]
    rare = [Example(f"p{n}", noise[n], float(n < 50), 1.0) for n in range(500)]
    ties = [Example(f"t{n}", noise[n], 0.5, 3.0) for n in range(500, 600)]

    def mean_score(examples: list[Example], *, is_balanced: bool = False) -> float:
        options = MlpTrainer(epochs=30, patience=0, is_balanced=is_balanced)
        return fmean(train(examples, options, seed=0).scores(noise))

    # 50 of 500 are the generator's; balanced half is; with ties (50 + 150) of 800
    assert mean_score(rare) == pytest.approx(0.1, abs=0.05)
    assert mean_score(rare, is_balanced=True) == pytest.approx(0.5, abs=0.15)
    assert mean_score([*rare, *ties]) == pytest.approx(0.25, abs=0.08)


def test_what_is_saved_scores_as_what_was_trained(tmp_path: Path) -> None:
    trained = train(separable(60), MlpTrainer(epochs=3), seed=0)
    states = [one.state for one in separable(60)]

    trained.save(tmp_path, card())
    loaded = load_weights(tmp_path)

    assert loaded.network.scores(states) == trained.scores(states)
    assert loaded.card == card()
