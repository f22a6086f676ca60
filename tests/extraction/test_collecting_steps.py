"""Collecting steps: what is kept of a text, when it ends, and that nothing is lost."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.steering_fakes import STEPPER, stepper_config

from collab.collecting.reading import KnownModel
from collab.errors import CapabilityError, ConfigError, RunDirectoryError, TrainingError
from collab.extraction.collecting import collect_steps, read_collected_steps
from collab.extraction.extracting import extract
from collab.problems.sources import ProblemSource
from collab.runs.config import PairConfig, RunConfig
from collab.runs.runner import Progress
from collab_policies.steering_vectors.extractor import VectorExtractor

ALL = VectorExtractor()
STABLE = VectorExtractor(select="stable", rewrites=2, rewrite_tokens=6)
WARM: dict[str, Any] = {"sampling": {"temperature": 1.0}}
LAB = PairConfig.model_validate(
    {"generator": {"use": "local", "model": "lab/generator", "threads": 1}}
)


def rows(folder: Path) -> dict[str, dict[str, object]]:
    found = {}
    for line in (folder / "results.jsonl").read_text().splitlines():
        row = json.loads(line)
        del row["timing"]
        found[row["id"]] = row
    return found


def stepper(**options: object) -> dict[str, Any]:
    return {"pair": {"generator": {"use": STEPPER, **options}}}


async def test_a_step_is_kept_with_the_state_at_the_delimiter_that_opens_it(
    tmp_path: Path,
) -> None:
    await collect_steps(stepper_config(tmp_path), ALL)

    collected = read_collected_steps(tmp_path / "out")
    wrong, right = collected.texts[:2]
    # What stands before the first delimiter of the text is left out.
    assert [step.text for step in wrong.steps] == ["Wait, let me see.\n\n", "The answer is 1."]
    assert [step.text for step in right.steps] == ["So far so good.\n\n", "The answer is 3."]
    assert (wrong.is_right, right.is_right) == (False, True)
    # Of 4 blocks, round(0.72 * 4) = 3.
    assert right.layers == (3,)
    assert np.array_equal(right.states(), [[[1.0, 2.0]], [[1.0, 2.0]]])
    assert collected.source.models == {"generator": KnownModel("stepper", "f", 4, 2)}


async def test_the_generator_works_alone(tmp_path: Path) -> None:
    await collect_steps(stepper_config(tmp_path, problems=2), ALL)

    ledger = (tmp_path / "out/ledger.jsonl").read_text()
    calls = [call for line in ledger.splitlines() for call in json.loads(line)["calls"]]
    assert {(call["role"], call["purpose"]) for call in calls} == {("generator", "draft")}


async def test_a_step_that_was_cut_at_its_longest_is_put_together_again(tmp_path: Path) -> None:
    unit = {"kind": "step", "max_tokens": 3}

    await collect_steps(stepper_config(tmp_path, unit=unit), ALL)

    wrong = read_collected_steps(tmp_path / "out").texts[0]
    assert [step.text for step in wrong.steps] == ["Wait, let me see.\n\n", "The answer is 1."]


@pytest.mark.parametrize(
    ("thinking_end", "kept"), [("</think>", "Thought "), (None, "Thought </think> x 5")]
)
async def test_only_what_stands_before_the_end_of_thinking_is_taken(
    thinking_end: str | None, kept: str, tmp_path: Path
) -> None:
    tail = "\n\nThought </think> x 5"
    config = stepper_config(tmp_path, problems=2, **stepper(tail=f"{tail}\n\nLast"))

    await collect_steps(config, VectorExtractor(thinking_end=thinking_end))

    steps = [step.text for step in read_collected_steps(tmp_path / "out").texts[1].steps]
    assert steps[2].strip() == kept.strip()
    assert len(steps) == (4 if thinking_end is None else 3)


async def test_it_ends_when_there_are_enough_texts_of_both_kinds(tmp_path: Path) -> None:
    await collect_steps(stepper_config(tmp_path, concurrency=1), ALL, texts=1)
    first = read_collected_steps(tmp_path / "out", texts=1)
    await collect_steps(stepper_config(tmp_path, concurrency=1), ALL, texts=2)
    more = read_collected_steps(tmp_path / "out", texts=2)

    assert [text.problem for text in first.texts] == ["p1", "p2"]
    assert [text.problem for text in more.texts] == ["p1", "p2", "p3", "p4"]


async def test_the_first_texts_do_not_depend_on_how_many_are_in_work(tmp_path: Path) -> None:
    for name, concurrency in (("one", 1), ("many", 8)):
        out = tmp_path / name
        config = stepper_config(tmp_path, out=out, concurrency=concurrency)
        await collect_steps(config, ALL, texts=2)

    one, many = (read_collected_steps(tmp_path / name, texts=2) for name in ("one", "many"))
    assert [text.problem for text in one.texts] == [text.problem for text in many.texts]
    assert [text.steps for text in one.texts] == [text.steps for text in many.texts]


async def test_a_killed_collection_goes_on_where_it_stopped(tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    def kill_at_three(progress: Progress) -> None:
        if progress.done == 3:
            raise KilledError

    config = stepper_config(tmp_path)
    events: list[Progress] = []
    with pytest.raises(KilledError):
        await collect_steps(config, ALL, on_progress=kill_at_three)
    await collect_steps(config, ALL, on_progress=events.append)
    await collect_steps(stepper_config(tmp_path, out=tmp_path / "whole"), ALL)

    assert events[0].done == 3
    assert rows(tmp_path / "out") == rows(tmp_path / "whole")


async def test_a_failed_problem_is_worked_on_again(tmp_path: Path) -> None:
    config = stepper_config(tmp_path, concurrency=1, **stepper(fails_at=4))
    await collect_steps(config, ALL)
    failed = read_collected_steps(tmp_path / "out")
    events: list[Progress] = []

    await collect_steps(config, ALL, on_progress=events.append)

    assert (failed.source.failed, len(failed.texts)) == (1, 7)
    assert events[0].done == 7


async def test_steps_are_written_again_where_stability_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "problems.jsonl"
    prompt = "Mod 10: m = 8, c = m - 2, o = c * 9. What is o?\n\n"
    config = stepper_config(tmp_path, **WARM).model_copy(
        update={"pair": LAB, "problems": ProblemSource(source=str(path)), "max_answer_tokens": 90}
    )

    path.write_text(json.dumps({"id": "p", "prompt": prompt, "answer": "4"}) + "\n")

    await collect_steps(config, STABLE)

    (text,) = read_collected_steps(tmp_path / "out").texts
    assert len(text.steps) >= 2
    for step in text.steps:
        assert len(step.again) == 2
        # What is written again is at most a step of the tokens that were asked for.
        assert all(one and "\n\n" not in one.strip() for one in step.again)
    ledger = json.loads((tmp_path / "out/ledger.jsonl").read_text())
    probes = [call for call in ledger["calls"] if call["purpose"] == "probe"]
    assert len(probes) == 2 * len(text.steps)
    assert all(call["completion_tokens"] <= 6 for call in probes)


@pytest.mark.parametrize(
    ("values", "extractor", "message"),
    [
        ({"unit": "word"}, ALL, "extraction reads steps, not units of the kind 'word'"),
        ({}, STABLE, "written again without sampling, every step is the same"),
        ({}, VectorExtractor(layer=4), "layer 4 is out of range; this model has 4 blocks"),
        ({}, VectorExtractor(layers=(9,)), "layer 9 is out of range; .* layers 0 to 3 here"),
        (
            {},
            VectorExtractor(layers=(1, 2), layer=3),
            "layer 3 is to be steered, but only the states of 1, 2 are read",
        ),
        (stepper(blocks=None), ALL, "'stepper' does not say how many blocks it has"),
    ],
)
async def test_what_cannot_be_is_said_before_the_first_token(
    values: dict[str, Any], extractor: VectorExtractor, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        await collect_steps(stepper_config(tmp_path, **values), extractor)
    assert not (tmp_path / "out/results.jsonl").exists()


@pytest.mark.parametrize("missing", ["problems", "out"])
async def test_problems_and_a_directory_are_needed(missing: str, tmp_path: Path) -> None:
    config = stepper_config(tmp_path).model_copy(update={missing: None})

    with pytest.raises(ConfigError, match=f"extraction needs {missing}; give --{missing}"):
        await collect_steps(config, ALL)


async def test_a_generator_without_hidden_states_is_refused(tmp_path: Path) -> None:
    adder = f"{Path(STEPPER).parent / 'run_fakes.py'}:Adder"
    config = stepper_config(tmp_path, pair={"generator": adder})

    with pytest.raises(CapabilityError, match=r"needs hidden_states of the generator.*`local`"):
        await collect_steps(config, ALL)


async def test_problems_without_answers_are_refused(tmp_path: Path) -> None:
    config = stepper_config(tmp_path, problems=1)
    (tmp_path / "problems.jsonl").write_text('{"id": "p1", "prompt": "1 + 1 = "}\n')

    with pytest.raises(TrainingError, match=r"none of the 1 problems .* which texts are right"):
        await collect_steps(config, ALL)


async def test_what_was_read_otherwise_is_not_mixed_with_it(tmp_path: Path) -> None:
    await collect_steps(stepper_config(tmp_path, **WARM), ALL)

    for other in (VectorExtractor(layer=1), VectorExtractor(thinking_end=None), STABLE):
        with pytest.raises(RunDirectoryError, match=r"collecting\."):
            await collect_steps(stepper_config(tmp_path, **WARM), other)
    await collect_steps(stepper_config(tmp_path, **WARM), VectorExtractor(select="rank"))


def _exchange(folder: Path) -> None:
    path = folder / "results.jsonl"
    path.write_text(path.read_text().replace('"fingerprint": "f"', '"fingerprint": "g"', 1))


def _lose(folder: Path) -> None:
    for path in (folder / "states").iterdir():
        path.unlink()


def _spoil(folder: Path) -> None:
    for path in (folder / "states").iterdir():
        path.write_bytes(path.read_bytes()[:-1] + b"x")


def _rename(folder: Path) -> None:
    path = folder / "results.jsonl"
    path.write_text(path.read_text().replace('"steps": [', '"leaps": ['))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_exchange, r"states of 2 generators \(fingerprints f, g\)"),
        (_lose, "the states of the problem 'p1' cannot be read"),
        (_spoil, "does not hold the states of the problem 'p1' that were written there"),
        (_rename, "is not a directory of `collab extract`, or is damaged"),
    ],
)
async def test_damage_is_found(
    damage: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    await collect_steps(stepper_config(tmp_path), ALL)
    damage(tmp_path / "out")

    with pytest.raises(TrainingError, match=message):
        extract(ALL, read_collected_steps(tmp_path / "out"))


async def test_without_a_step_nothing_can_be_made(tmp_path: Path) -> None:
    await collect_steps(stepper_config(tmp_path, max_answer_tokens=2), ALL)

    with pytest.raises(TrainingError, match=r"no step was found in 8 texts\. A step follows a"):
        read_collected_steps(tmp_path / "out")


async def test_a_vector_is_written_with_its_card_and_made_of_one_kind_with_a_warning(
    tmp_path: Path,
) -> None:
    config: RunConfig = stepper_config(tmp_path, problems=1)
    await collect_steps(config, ALL)

    card, path, warnings = extract(ALL, read_collected_steps(tmp_path / "out"))

    assert path == tmp_path / "out/vector.safetensors"
    assert json.loads((tmp_path / "out/card.json").read_text()) == card.model_dump(mode="json")
    assert (card.generator.fingerprint, card.blocks, card.layer, card.scale) == ("f", 4, 3, -1.0)
    assert (card.data["right_texts"], card.data["wrong_texts"], card.data["steps"]) == (0, 1, 2)
    assert (card.measures["execution"], card.measures["reflection"]) == (1, 1)
    assert warnings[0].startswith("there is no right text among 1")
