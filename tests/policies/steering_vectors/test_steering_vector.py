"""The steerer `vector`: what it adds where, on which generator, and what its file may hold."""

import random
import tomllib
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from safetensors.numpy import save_file
from support.cases import PROBLEM
from support.steering_fakes import vector_card, vector_folder

from collab import Controller, Problem, Recipe, StepUnit
from collab.errors import CapabilityError
from collab.signals import Gate, Steering
from collab.testing import check_steerer
from collab_backends.local.backend import LocalTorch
from collab_backends.local.fingerprint import fingerprint
from collab_backends.local.loading import load_model
from collab_policies.never import Never
from collab_policies.steering_vectors.vector import Vector
from collab_policies.steering_vectors.vector_file import VECTOR_NAME, load_vector, save_vector

ROOT = Path(__file__).parents[3]
LAB = LocalTorch(model="lab/generator", threads=1)
PROMPT = "Mod 10: m = 8, c = m - 2, o = c * 9, i = o * 7. What is i?\n\n"
WAITING = "So a.\n\nWait, b.\n\nWait, c.\n\nSo d"


def lab_vector(folder: Path, size: float = 1.0) -> Path:
    """Return a random vector for the lab's generator."""
    rng = random.Random(5)
    vector = [size * rng.gauss(0, 1) for _ in range(64)]
    return vector_folder(
        folder, vector, fingerprint(load_model("lab/generator", "cpu", "auto").model)
    )


def test_it_is_a_steerer(tmp_path: Path) -> None:
    check_steerer(Vector(path=vector_folder(tmp_path)))
    check_steerer(Vector(path=vector_folder(tmp_path), decay=0.5))


def test_it_is_installed_under_its_name() -> None:
    plugins = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]

    assert plugins["collab.steerers"]["vector"] == "collab_policies.steering_vectors.vector:Vector"
    assert plugins["collab.recipes"]["seal"] == "collab_policies.seal:Seal"


# --- what it adds -----------------------------------------------------------------------------


def test_it_adds_what_the_card_says_at_every_token_with_a_blank_line(tmp_path: Path) -> None:
    session = Vector(path=vector_folder(tmp_path)).start(PROBLEM, random.Random(0))

    assert session.steering("") == Steering(1, (1.0, 0.0, -2.0), -1.0, Gate(("\n\n",)))
    assert session.steering("So.\n\nWait") is session.steering("")
    assert session.ahead() > 10**6


def test_scale_layer_and_gate_can_be_others(tmp_path: Path) -> None:
    steerer = Vector(
        path=vector_folder(tmp_path), scale=2, layer=3, token_texts=(".\n\n",), is_exact=True
    )

    steering = steerer.start(PROBLEM, random.Random(0)).steering("")

    assert steering == Steering(3, (1.0, 0.0, -2.0), 2.0, Gate((".\n\n",), is_exact=True))


def test_with_a_decay_the_scale_changes_with_every_step_that_reflects(tmp_path: Path) -> None:
    steerer = Vector(path=vector_folder(tmp_path), decay=0.25)
    session = steerer.start(PROBLEM, random.Random(0))

    answers = ["", "So a.\n\n", "So a.\n\nWait, b.", WAITING, "So a.\n\nWait, b.\n\nSo", WAITING]
    steerings = [session.steering(answer) for answer in answers]

    # -1 less a quarter for each complete step that begins with Wait; text may be taken back
    assert [one and one.scale for one in steerings] == [-1, -1, -1, -1.5, -1.25, -1.5]
    assert session.steering(WAITING) is steerings[-1]
    assert session.ahead() == 1


def test_what_reflects_is_told_by_the_keywords_of_the_card(tmp_path: Path) -> None:
    card = vector_card(keywords={"reflection_starts": ["so"]})
    save_vector(tmp_path / VECTOR_NAME, (1.0, 2.0, 3.0), card)
    session = Vector(path=tmp_path, decay=1).start(PROBLEM, random.Random(0))

    steering = session.steering(WAITING)

    assert steering is not None
    assert steering.scale == -2.0


async def test_problems_with_different_vectors_decode_together_as_each_does_alone(
    tmp_path: Path,
) -> None:
    path = lab_vector(tmp_path, 8.0)

    class ByProblem(Vector):
        def start(self, problem: Problem, rng: random.Random):  # type: ignore[no-untyped-def]
            scale = float(problem.id)
            return Vector(path=path, scale=scale).start(problem, rng)

    problems = [Problem(id=str(scale), prompt=PROMPT) for scale in (-3.0, -1.0, 0.0, 1.0, 3.0)]
    recipe = Recipe(
        policy=Never(), unit=StepUnit(), max_answer_tokens=40, steering=ByProblem(path=path)
    )
    found: dict[int, dict[str, str]] = {}
    for concurrency in (1, 5):
        async with (
            Controller(generator=LAB, recipe=recipe) as controller,
            controller.map(problems, concurrency=concurrency) as results,
        ):
            found[concurrency] = {
                one.problem.id: one.raise_for_error().text async for one in results
            }

    assert found[1] == found[5]
    assert len(set(found[1].values())) > 2, "steering changed nothing"


async def test_a_changing_strength_is_taken_up_in_the_middle_of_a_text(tmp_path: Path) -> None:
    path = lab_vector(tmp_path, 8.0)
    keywords = {"reflection_starts": ["so"]}
    card = load_vector(path).card
    card = card.model_copy(update={"extractor": {**card.extractor, "keywords": keywords}})
    save_vector(path / VECTOR_NAME, load_vector(path).vector, card)

    async def text(**options: float) -> str:
        steering = Vector.model_validate({"path": path, **options})
        recipe = Recipe(policy=Never(), unit=StepUnit(), max_answer_tokens=60, steering=steering)
        async with Controller(generator=LAB, recipe=recipe) as controller:
            result = await controller.solve(PROMPT)
        return result.raise_for_error().text

    steady, decaying = await text(scale=0.0), await text(scale=0.0, decay=4.0)

    # The first step is unsteered in both; behind it the strength has changed.
    assert decaying.split("\n\n")[0] == steady.split("\n\n")[0]
    assert decaying != steady


# --- on which generator -----------------------------------------------------------------------


async def test_it_steers_only_the_generator_that_it_was_made_of(tmp_path: Path) -> None:
    recipe = Recipe(policy=Never(), steering=Vector(path=lab_vector(tmp_path / "lab")))
    other = Recipe(
        policy=Never(), steering=Vector(path=vector_folder(tmp_path / "other", [0.5] * 64))
    )
    narrow = Recipe(policy=Never(), steering=Vector(path=vector_folder(tmp_path / "narrow")))

    async with Controller(generator=LAB, recipe=recipe):
        pass
    with pytest.raises(CapabilityError, match="the generator that it was extracted from"):
        async with Controller(generator=LAB, recipe=other):
            pass
    with pytest.raises(CapabilityError, match=r"Vector needs steering \(3 numbers, found 64\)"):
        async with Controller(generator=LAB, recipe=narrow):
            pass


# --- its file ---------------------------------------------------------------------------------


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    folder = vector_folder(tmp_path)

    by_folder, by_file = load_vector(folder), load_vector(folder / VECTOR_NAME)

    assert by_folder == by_file
    assert (by_folder.vector, by_folder.card) == ((1.0, 0.0, -2.0), vector_card())


def _without_card(folder: Path) -> None:
    save_file({"vector": np.zeros(3, np.float32)}, folder / VECTOR_NAME)


def _of_another_width(folder: Path) -> None:
    save_vector(folder / VECTOR_NAME, [1.0], vector_card())


def _not_a_number(folder: Path) -> None:
    save_vector(folder / VECTOR_NAME, [1.0, float("nan"), 0.0], vector_card())


def _of_another_steerer(folder: Path) -> None:
    card = vector_card().model_copy(update={"steerer": "wheel"})
    save_vector(folder / VECTOR_NAME, [1.0, 2.0, 3.0], card)


def _with_a_strange_card(folder: Path) -> None:
    card = vector_card().model_copy(update={"format": 2})
    save_vector(folder / VECTOR_NAME, [1.0, 2.0, 3.0], card)


def _with_strange_options(folder: Path) -> None:
    card = vector_card().model_copy(update={"extractor": {"selekt": "all"}})
    save_vector(folder / VECTOR_NAME, [1.0, 2.0, 3.0], card)


def _torn(folder: Path) -> None:
    (folder / VECTOR_NAME).write_bytes(b"torn")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: None, "there is no vector at .*; has `collab extract steering` finished"),
        (_without_card, "has no card inside"),
        (_of_another_width, r"holds vector of the shape \(1,\); its card names .* 3 numbers"),
        (_not_a_number, "holds values that are not numbers"),
        (_of_another_steerer, "it holds a vector of the steerer 'wheel', not 'vector'"),
        (_with_a_strange_card, "the card in .* cannot be read"),
        (_with_strange_options, "selekt"),
        (_torn, "is not a safetensors file"),
    ],
)
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_a_file_that_will_not_do_is_refused_before_a_run(
    damage: object, message: str, tmp_path: Path
) -> None:
    assert callable(damage)
    damage(tmp_path)

    with pytest.raises(ValidationError, match=message):
        Vector(path=tmp_path)


def test_a_layer_that_its_generator_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="layer 4; its generator has blocks 0 to 3"):
        Vector(path=vector_folder(tmp_path), layer=4)
