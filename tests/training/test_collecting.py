"""Collecting branches: what is taken, what it is labelled by, and that nothing is lost."""

import json
from pathlib import Path

import pytest
from support.training_fakes import GUESSER, Parity, guesser_config

from collab.errors import CapabilityError, ConfigError, RunDirectoryError, TrainingError
from collab.problems.sources import ProblemSource
from collab.runs.config import RunConfig
from collab.runs.runner import Progress
from collab.training.collecting import collect_branches, read_collected_branches
from collab.training.fitting import FitOptions, fit

PAIR = {"generator": {"use": GUESSER, "even": True}, "mentor": {"use": GUESSER, "even": False}}


def rows(folder: Path) -> dict[str, object]:
    lines = (folder / "results.jsonl").read_text().splitlines()
    found = {}
    for line in lines:
        row = json.loads(line)
        del row["timing"]
        found[row["id"]] = row
    return found


def with_generator(**options: object) -> dict[str, object]:
    return {**PAIR, "generator": {**PAIR["generator"], **options}}


async def test_a_branch_is_taken_where_the_first_words_differ_and_labelled_by_both_ends(
    tmp_path: Path,
) -> None:
    config = guesser_config(tmp_path)

    await collect_branches(config, Parity())

    found = read_collected_branches(tmp_path / "out")
    # p1: 1 + 1; the generator, right for even numbers alone, says 3
    (odd,), (even,) = found.branches["p1"], found.branches["p2"]
    assert (odd.own, odd.offered) == (" 3.", " 2.")
    assert (odd.own_right, odd.offered_right) == (0.0, 1.0)
    assert (even.own, even.offered) == (" 3.", " 4.")
    assert (even.own_right, even.offered_right) == (1.0, 0.0)
    assert (list(even.state), even.samples) == ([3.0, 1.0], 1)
    models = {role: (one.name, one.fingerprint) for role, one in found.source.models.items()}
    assert models == {"generator": ("even", "f"), "mentor": ("odd", "f")}


async def test_a_branch_is_left_out_where_the_grader_cannot_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Comparing as mathematics can run out of time; here it always does.
    monkeypatch.setattr("collab.grading.comparing.are_equal", lambda *_: None)
    config = guesser_config(tmp_path, grader="math-verify", problems=2)

    await collect_branches(config, Parity())

    # p1: the generator's way leads to 3, and nobody can tell whether that is 2. It is p2's answer.
    found = rows(tmp_path / "out")
    assert [row["branches"] for row in found.values()] == [[], []]  # type: ignore[index]
    assert all(row["error"] is None for row in found.values())  # type: ignore[index]


async def test_a_mentor_that_agrees_writes_no_more_than_shows_it(tmp_path: Path) -> None:
    await collect_branches(guesser_config(tmp_path, problems=1, segment_tokens=6), Parity())

    (line,) = (tmp_path / "out/ledger.jsonl").read_text().splitlines()
    consulted = [call for call in json.loads(line)["calls"] if call["purpose"] == "consult"]
    # Of `I add both. The answer is 2.` both write six words alike; a word is over with the token
    # behind it, so that one or two tokens show it. The last is ` 2.` and the end.
    assert len(consulted) == 7
    assert max(call["completion_tokens"] for call in consulted) == 2


async def test_what_is_collected_does_not_depend_on_how_many_are_in_work(tmp_path: Path) -> None:
    for name, concurrency in (("one", 1), ("many", 8)):
        out = tmp_path / name
        await collect_branches(guesser_config(tmp_path, out=out, concurrency=concurrency), Parity())

    assert rows(tmp_path / "one") == rows(tmp_path / "many")


async def test_a_killed_collection_goes_on_where_it_stopped(tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    def kill_at_three(progress: Progress) -> None:
        if progress.done == 3:
            raise KilledError

    config = guesser_config(tmp_path)
    events: list[Progress] = []
    with pytest.raises(KilledError):
        await collect_branches(config, Parity(), on_progress=kill_at_three)
    kept = rows(tmp_path / "out")
    await collect_branches(config, Parity(), on_progress=events.append)
    await collect_branches(guesser_config(tmp_path, out=tmp_path / "whole"), Parity())

    assert len(kept) == 3
    assert (events[0].done, len(events)) == (3, 1 + 5)
    assert rows(tmp_path / "out") == rows(tmp_path / "whole")


async def test_a_failed_problem_is_worked_on_again_and_harms_no_other(tmp_path: Path) -> None:
    config = guesser_config(tmp_path, concurrency=1, pair=with_generator(fails_at=3))
    await collect_branches(config, Parity())
    failed = read_collected_branches(tmp_path / "out")
    events: list[Progress] = []

    await collect_branches(config, Parity(), on_progress=events.append)

    assert (failed.source.failed, len(failed.branches)) == (1, 8)
    assert "1 problems failed, the first: " in failed.source.failure
    assert "failed as told" in failed.source.failure
    assert events[0].done == 7


async def test_what_was_read_otherwise_is_not_mixed_with_it(tmp_path: Path) -> None:
    config = guesser_config(tmp_path)
    await collect_branches(config, Parity(layer=-1))

    with pytest.raises(RunDirectoryError, match=r"collecting.layer: -1 there, 1 now"):
        await collect_branches(config, Parity(layer=1))


async def test_options_of_training_alone_do_not_matter_to_what_was_collected(
    tmp_path: Path,
) -> None:
    await collect_branches(guesser_config(tmp_path), Parity())

    await collect_branches(guesser_config(tmp_path), Parity(threshold=0.9))


async def test_problems_without_answers_are_left_out_and_refused_if_none_is_left(
    tmp_path: Path,
) -> None:
    config = guesser_config(tmp_path, problems=2)
    path = tmp_path / "problems.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    del lines[0]["answer"]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    await collect_branches(config, Parity())
    del lines[1]["answer"]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    assert set(rows(tmp_path / "out")) == {"p2"}
    with pytest.raises(TrainingError, match=r"none of the 2 problems in .* has a right answer"):
        await collect_branches(config.model_copy(update={"out": tmp_path / "other"}), Parity())


async def test_problems_are_read_and_graded_as_the_run_says(tmp_path: Path) -> None:
    path = tmp_path / "problems.csv"
    path.write_text("id,text,answer\np1,1 + 1 = ,2\np2,2 + 1 = ,three\n")
    source = ProblemSource(source=str(path), prompt="text")
    changed = {"problems": source, "grader": "numeric"}
    config = guesser_config(tmp_path).model_copy(update=changed)

    await collect_branches(config, Parity())

    # `three` is no number, so nobody could tell where the branches of p2 lead.
    assert list(rows(tmp_path / "out")) == ["p1"]
    assert (tmp_path / "out/results.jsonl").read_text().count('"grader": "numeric"') == 1
    (branch,) = read_collected_branches(tmp_path / "out").branches["p1"]
    assert (branch.own_right, branch.offered_right) == (0.0, 1.0)


@pytest.mark.parametrize("missing", ["problems", "out"])
async def test_problems_and_a_directory_are_needed(missing: str, tmp_path: Path) -> None:
    config: RunConfig = guesser_config(tmp_path).model_copy(update={missing: None})

    with pytest.raises(ConfigError, match=f"training needs {missing}; give --{missing}"):
        await collect_branches(config, Parity())


async def test_a_generator_without_hidden_states_is_refused_before_the_first_token(
    tmp_path: Path,
) -> None:
    adder = f"{Path(GUESSER).parent / 'run_fakes.py'}:Adder"
    config = guesser_config(tmp_path, pair={"generator": adder, "mentor": adder})

    with pytest.raises(CapabilityError, match=r"needs hidden_states of the generator.*`local`"):
        await collect_branches(config, Parity())
    assert not (tmp_path / "out/results.jsonl").exists()


async def test_without_a_disagreement_there_is_nothing_to_learn_from(tmp_path: Path) -> None:
    same = {"generator": PAIR["generator"], "mentor": PAIR["generator"]}
    await collect_branches(guesser_config(tmp_path, pair=same), Parity())

    with pytest.raises(TrainingError, match=r"no branch was found in 8 problems.*kept in .*out"):
        read_collected_branches(tmp_path / "out")


async def test_a_generator_that_was_exchanged_on_the_way_is_found(tmp_path: Path) -> None:
    await collect_branches(guesser_config(tmp_path), Parity())
    path = tmp_path / "out/results.jsonl"
    first, rest = path.read_text().split("\n", 1)
    path.write_text(first.replace('"fingerprint": "f"', '"fingerprint": "g"', 1) + "\n" + rest)

    with pytest.raises(TrainingError, match=r"states of 2 generators \(fingerprints f, g\)"):
        read_collected_branches(tmp_path / "out")


async def test_another_run_directory_is_no_collection(tmp_path: Path) -> None:
    await collect_branches(guesser_config(tmp_path), Parity())
    path = tmp_path / "out/results.jsonl"
    path.write_text(path.read_text().replace('"branches": [', '"twigs": ['))

    with pytest.raises(TrainingError, match=r"is not a directory of `collab train`, or is damaged"):
        read_collected_branches(tmp_path / "out")


# --- fitting ----------------------------------------------------------------------------------


async def test_the_card_says_what_was_learnt_from_and_how_well(tmp_path: Path) -> None:
    await collect_branches(guesser_config(tmp_path, problems=80), Parity())

    card, path = fit("parity", Parity(), read_collected_branches(tmp_path / "out"), FitOptions())

    metrics, data = card.metrics, card.data
    assert path == tmp_path / "out/verifier.json"
    assert json.loads((tmp_path / "out/card.json").read_text()) == card.model_dump(mode="json")
    assert (card.generator.name, card.generator.fingerprint) == ("even", "f")
    assert (data["branches"], data["ties"], data["problems"]) == (80, 0, 80)
    assert data["trained_on"] == card.training["count"] == 80 - int(str(metrics["branches"]))
    # It scores 0.75 whatever it sees, so the generator's stands always.
    assert metrics["auroc"] == 0.5
    assert metrics["mentor_choices"] == 0.0
    share = int(str(metrics["generator_is_right"])) / int(str(metrics["branches"]))
    assert metrics["accuracy"] == pytest.approx(share)
    assert metrics["calibration_error"] == pytest.approx(abs(0.75 - share))
    right = metrics["right_answers"]
    assert isinstance(right, dict)
    assert right["best"] == 1.0
    assert right["verifier"] == right["generator"] == pytest.approx(share)


async def test_one_class_is_refused_and_what_was_collected_is_kept(tmp_path: Path) -> None:
    pair = {**PAIR, "mentor": {"use": GUESSER, "even": False, "always_right": True}}
    await collect_branches(guesser_config(tmp_path, problems=80, pair=pair), Parity())
    before = (tmp_path / "out/results.jsonl").read_bytes()

    with pytest.raises(TrainingError, match=r"they are of one class .* is kept in .*out"):
        fit("parity", Parity(), read_collected_branches(tmp_path / "out"), FitOptions())
    assert (tmp_path / "out/results.jsonl").read_bytes() == before
    assert not (tmp_path / "out/card.json").exists()
