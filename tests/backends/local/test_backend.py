"""The shipped pair, whole problems, through the controller."""

import json
from pathlib import Path

import anyio
import pytest

from collab import Controller, Problem, Recipe, Result
from collab.capabilities import Need
from collab.errors import CapabilityError
from collab.usage import Usage
from collab_backends.lab import LAB_FOLDER
from collab_backends.local.backend import LocalTorch
from collab_backends.local.model import LocalModel
from collab_policies.entropy import Entropy
from collab_policies.mentorcollab_free import MentorCollabFree
from collab_policies.never import Never

GENERATOR = LocalTorch(model="lab/generator", threads=1)
MENTOR = LocalTorch(model="lab/mentor", threads=1)
OTHER_MENTOR = LocalTorch(model="lab/mentor-b", threads=1)


def problems(count: int) -> list[Problem]:
    lines = (LAB_FOLDER / "problems.jsonl").read_text().splitlines()[:count]
    return [Problem.model_validate(json.loads(line)) for line in lines]


def pair(mentor: LocalTorch = MENTOR, **options: object) -> Controller:
    defaults: dict[str, object] = {"recipe": MentorCollabFree(rate=0.3, order="both")}
    return Controller(generator=GENERATOR, mentor=mentor, **{**defaults, **options})  # type: ignore[arg-type]


async def solve_all(controller: Controller, count: int, concurrency: int) -> dict[str, Result]:
    async with controller.map(problems(count), concurrency=concurrency) as results:
        return {result.problem.id: result async for result in results}


def sums(results: dict[str, Result], role: str) -> Usage:
    return sum((result.usage.get(role, Usage()) for result in results.values()), Usage())


@pytest.mark.slow
async def test_results_are_the_same_at_concurrency_1_and_64() -> None:
    async with pair(seed=3) as controller:
        alone = await solve_all(controller, 24, concurrency=1)
        together = await solve_all(controller, 24, concurrency=64)

    for name, result in alone.items():
        other = together[name].raise_for_error()
        assert result.spans == other.spans
        assert [c.completion_tokens for c in result.calls] == [
            c.completion_tokens for c in other.calls
        ]


@pytest.mark.slow
@pytest.mark.parametrize("mentor", [MENTOR, OTHER_MENTOR], ids=["one tokenizer", "two"])
async def test_the_ledger_sums_to_what_the_engines_counted(mentor: LocalTorch) -> None:
    async with pair(mentor) as controller:
        results = await solve_all(controller, 16, concurrency=8)
        models = dict(controller.models)

    for role, model in models.items():
        assert isinstance(model, LocalModel)
        usage = sums(results, role)
        assert usage.completion_tokens == model.engine.decoded
        assert usage.prompt_tokens - usage.cached_tokens == model.engine.prefilled
        written = [s for r in results.values() for s in r.spans if s.author == role]
        assert usage.kept_tokens == sum(span.tokens for span in written)


@pytest.mark.slow
async def test_a_mentor_with_another_tokenizer_repairs_answers() -> None:
    alone, helped = Recipe(policy=Never()), Recipe(policy=Entropy(threshold_nats=0.0))

    async with pair(OTHER_MENTOR, recipe=alone) as controller:
        first = await solve_all(controller, 40, concurrency=20)
    async with pair(OTHER_MENTOR, recipe=helped) as controller:
        second = await solve_all(controller, 40, concurrency=20)

    assert right(second) > right(first)
    assert all(result.mentor_share > 0.5 for result in second.values())


def right(results: dict[str, Result]) -> int:
    return sum(f"boxed{{{r.problem.answer}}}" in r.text for r in results.values())


async def test_an_error_in_the_callers_block_comes_out_as_itself() -> None:
    with pytest.raises(KeyError, match="mine"):
        async with pair():
            raise KeyError("mine")


async def test_a_missing_capability_comes_out_as_itself() -> None:
    class Demanding(Never):
        @property
        def needs(self) -> tuple[Need, ...]:
            return (Need("generator", "entropy", 10**9),)

    with pytest.raises(CapabilityError, match="Demanding needs entropy .* of the generator"):
        async with pair(recipe=Recipe(policy=Demanding())):
            pass


async def test_cancelling_everything_at_once_ends() -> None:
    controller = pair()
    with anyio.CancelScope() as scope:
        async with controller, anyio.create_task_group() as group:
            for problem in problems(4):
                group.start_soon(controller.solve, problem)
            generator = controller.models["generator"]
            assert isinstance(generator, LocalModel)
            while generator.engine.decoded < 20:
                await anyio.lowlevel.checkpoint()
            scope.cancel()

    assert scope.cancelled_caught
    assert isinstance(generator, LocalModel)
    assert generator.open_sessions == 0


def test_the_shipped_folder_stays_small() -> None:
    files = [path for path in Path(LAB_FOLDER).rglob("*") if path.is_file()]

    assert sum(path.stat().st_size for path in files) < 4_000_000
