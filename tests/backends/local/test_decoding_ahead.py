"""Decoding ahead: the same texts, whatever the device was asked for too much."""

import copy
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import anyio
import anyio.lowlevel
import pytest
import torch
from support.lives import live_many_lives
from support.models import (
    CORPUS,
    GREEDY,
    generate_ids,
    make_model,
    make_tokenizer,
    serving,
    session,
)

from collab.errors import ModelCallError
from collab.proposals import Sampling, Token, Until
from collab.signals import Gate, Observation, Signals, Steering
from collab_backends.local.engines import EngineOptions
from collab_backends.local.model import LocalModel
from collab_backends.local.paged import launching, reading
from collab_backends.local.paged.graphs import GraphRecorder
from collab_backends.local.paged.launching import Computed, Launcher
from collab_backends.local.paged.passes import PagedPasses

TOKENIZER = make_tokenizer()
PAGED = EngineOptions(engine="paged")
STEPWISE = EngineOptions(engine="paged", decodes_ahead=False)
PACKED = EngineOptions(engine="packed")
PROMPTS = ["a", "So the answer is", *CORPUS, CORPUS[0] + CORPUS[1]]
SAMPLINGS = [
    GREEDY,
    Sampling(temperature=1.0),
    Sampling(temperature=0.7, top_p=0.8),
    Sampling(temperature=1.3, top_k=9),
    Sampling(temperature=1.0, top_k=30, top_p=0.9),
    Sampling(temperature=0.9),
]
SIGNALS = Signals(entropy_top_k=5)

T = TypeVar("T")


async def write_all(options: EngineOptions, *, together: bool) -> list[tuple[Token, ...]]:
    """Write a text for each prompt, each with its own sampling, in two calls."""
    written: dict[int, tuple[Token, ...]] = {}

    async def write(model: LocalModel, number: int) -> None:
        async with session(model, PROMPTS[number], seed=number, signals=SIGNALS) as live:
            first = await live.generate(Until(7 + number), SAMPLINGS[number])
            live.commit(len(first.tokens))
            second = await live.generate(Until(20), SAMPLINGS[number])
            written[number] = (*first.tokens, *second.tokens)

    async with serving(make_model(), TOKENIZER, options=options) as model:
        async with anyio.create_task_group() as group:
            for number in range(len(PROMPTS)):
                if together:
                    group.start_soon(write, model, number)
                else:
                    await write(model, number)
    return [written[number] for number in range(len(PROMPTS))]


@pytest.mark.parametrize("together", [False, True])
async def test_texts_and_signals_are_those_of_packed_rows(together: bool) -> None:
    expected = await write_all(PACKED, together=together)

    found = await write_all(PAGED, together=together)

    for mine, theirs in zip(found, expected, strict=True):
        assert [token.id for token in mine] == [token.id for token in theirs]
        for one, other in zip(mine, theirs, strict=True):
            for name in ("logprob", "margin", "entropy_nats"):
                assert getattr(one, name) == pytest.approx(getattr(other, name), abs=1e-3)


async def test_a_text_does_not_depend_on_who_decodes_beside_it_or_on_decoding_ahead() -> None:
    alone = await write_all(STEPWISE, together=False)
    beside = await write_all(PAGED, together=True)

    assert [[token.id for token in one] for one in beside] == [
        [token.id for token in one] for one in alone
    ]


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(temperature=1.0)])
async def test_what_was_decoded_too_much_is_not_counted_and_its_number_is_drawn_again(
    sampling: Sampling,
) -> None:
    texts = []
    for options in (PAGED, STEPWISE):
        async with serving(make_model(), TOKENIZER, options=options) as model:
            async with session(model, seed=3) as live:
                ids: list[int] = []
                for stop in (3, 1, 5):
                    proposal = await live.generate(Until(60, stop_if=partial(_has, stop)), sampling)
                    assert len(proposal.tokens) == stop
                    live.commit(stop)
                    ids += [token.id for token in proposal.tokens]
                texts.append(ids)
                assert live.meter.completion_tokens == model.engine.decoded == 9

    assert texts[0] == texts[1]


def _has(count: int, tokens: Sequence[Token]) -> bool:
    return len(tokens) >= count


async def test_a_cancelled_sampled_text_goes_on_as_if_it_had_not_been() -> None:
    sampling = Sampling(temperature=1.0)
    async with serving(make_model(), TOKENIZER, options=STEPWISE) as model:
        async with session(model, seed=5) as live:
            expected = (await live.generate(Until(60), sampling)).text

    async with serving(make_model(), TOKENIZER, options=PAGED) as model:
        async with session(model, seed=5) as live:
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(live.generate, Until(400), sampling)
                    while model.engine.decoded < 10:
                        await anyio.lowlevel.checkpoint()
                    scope.cancel()
            assert (await live.generate(Until(60), sampling)).text == expected


async def test_a_last_token_that_is_known_to_be_the_last_wastes_nothing() -> None:
    async with serving(make_model(), TOKENIZER, options=PAGED) as model, session(model) as live:
        await live.generate(Until(12), GREEDY)

        # The context and eleven more; nobody could know of a stop before the bound.
        assert model.engine.forwards == 12


async def test_a_text_that_goes_on_where_it_was_needs_no_pass_of_its_own() -> None:
    async with serving(make_model(), TOKENIZER, options=PAGED) as model, session(model) as live:
        first = await live.generate(Until(5), GREEDY)
        live.commit(len(first.tokens))
        before = model.engine.forwards
        await live.generate(Until(5), GREEDY)

        assert model.engine.forwards == before + 5


async def test_states_and_steering_with_gates_are_those_of_packed_rows() -> None:
    norm = Observation(
        "norm", 2, Gate((" ", ".")), reduction=lambda h: h.norm(dim=-1, keepdim=True)
    )
    whole = Observation("whole", 4)
    found = []
    for options in (PACKED, PAGED):
        async with serving(make_model(), TOKENIZER, options=options) as model:
            signals = Signals(observations=(norm, whole))
            async with session(model, CORPUS[0], signals=signals) as live:
                live.steer(Steering(layer=1, vector=[0.2] * 64, gate=Gate((" a", "t", "."))))
                proposal = await live.generate(Until(30), GREEDY)
                found.append(proposal.tokens)

    assert [token.id for token in found[0]] == [token.id for token in found[1]]
    for one, other in zip(*found, strict=True):
        assert one.observed is not None
        assert other.observed is not None
        assert one.observed.keys() == other.observed.keys()
        for name in one.observed:
            assert list(one.observed[name]) == pytest.approx(list(other.observed[name]), abs=1e-3)


# --- what is launched as one ------------------------------------------------------------------


class Replays:
    """Records passes as graphs do: once recorded, a pass writes to the same places every time.

    Between two launches, the places hold rubbish.
    """

    def __init__(self) -> None:
        self.recorded = 0
        self._places: list[torch.Tensor] = []

    def __call__(self, body: Callable[[], T]) -> Callable[[], T]:
        self.recorded += 1
        result = body()
        assert isinstance(result, Computed)
        places = _tensors(result)
        self._places += places

        def launch() -> T:
            for place in self._places:
                place.fill_(-7)
            for place, new in zip(places, _tensors(body()), strict=True):
                place.copy_(new)
            return result

        return launch


def _tensors(result: object) -> list[torch.Tensor]:
    assert isinstance(result, Computed)
    given = (result.logits, result.numbers, *result.states.values())
    return [one for one in given if one is not None]


def use_recorder(monkeypatch: pytest.MonkeyPatch, recorder: GraphRecorder) -> None:
    monkeypatch.setattr(
        "collab_backends.local.engines.Launcher", partial(Launcher, recorder=recorder)
    )


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["qwen3", "gemma2", "gpt-neox"])
async def test_recorded_passes_of_all_sizes_equal_generate(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(architecture)
    plain = copy.deepcopy(model)
    recorder = Replays()
    use_recorder(monkeypatch, recorder)
    prompts = [f"{number} {CORPUS[number % 3]}"[: 12 * number + 8] for number in range(9)]
    written: dict[int, list[int]] = {}

    async with serving(model, TOKENIZER, options=PAGED, cache_tokens=600) as served:

        async def write(number: int) -> None:
            async with session(served, prompts[number]) as live:
                proposal = await live.generate(Until(6 + 5 * number), GREEDY)
                written[number] = [token.id for token in proposal.tokens]

        # They join one after another, and leave one after another.
        async with anyio.create_task_group() as group:
            for number in range(9):
                group.start_soon(write, number)
                await anyio.lowlevel.checkpoint()

    assert recorder.recorded > 4
    for number, prompt in enumerate(prompts):
        ids = TOKENIZER.encode(prompt, add_special_tokens=False)
        expected = generate_ids(plain, ids, 6 + 5 * number)
        if TOKENIZER.eos_token_id in expected:
            expected = expected[: expected.index(TOKENIZER.eos_token_id)]
        assert written[number] == expected


async def test_a_pass_that_cannot_be_recorded_is_computed_one_operation_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events: list[str] = []
    monkeypatch.setattr(
        "collab_backends.local.paged.graphs.log_event", lambda name, **_: events.append(name)
    )

    def fail(body: Callable[[], T]) -> Callable[[], T]:
        raise torch.OutOfMemoryError("says the test")

    use_recorder(monkeypatch, fail)
    model = make_model()
    expected = generate_ids(model, TOKENIZER.encode("So the answer is"), 12)
    async with serving(model, TOKENIZER, options=PAGED) as served, session(served) as live:
        proposal = await live.generate(Until(12), GREEDY)

    assert [token.id for token in proposal.tokens] == expected
    assert set(events) == {"engine.graph_failed"}


@pytest.mark.slow
async def test_compiled_layers_write_the_same_and_are_put_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The compiler's front, with which layers are traced through our attention; no code is made.
    compile_layer = partial(torch.compile, backend="eager")
    monkeypatch.setattr("collab_backends.local.paged.compiling.torch.compile", compile_layer)
    model = make_model()
    expected = generate_ids(model, TOKENIZER.encode("So the answer is"), 12)
    options = EngineOptions(engine="paged", compiles=True)
    before = [layer.forward for layer in model.model.layers]
    async with serving(model, TOKENIZER, options=options) as served, session(served) as live:
        proposal = await live.generate(Until(12), GREEDY)
        assert served.engine.compile_s > 0

    assert [token.id for token in proposal.tokens] == expected
    assert [layer.forward for layer in model.model.layers] == before


async def test_layers_that_cannot_be_compiled_are_used_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events: list[str] = []
    monkeypatch.setattr(
        "collab_backends.local.paged.compiling.log_event", lambda name, **_: events.append(name)
    )

    def compiling(forward: object, **_: object) -> object:
        def fail(*_: object, **__: object) -> None:
            raise RuntimeError("no compiler, says the test")

        return fail

    monkeypatch.setattr("collab_backends.local.paged.compiling.torch.compile", compiling)
    model = make_model()
    expected = generate_ids(model, TOKENIZER.encode("So the answer is"), 12)
    options = EngineOptions(engine="paged", compiles=True)
    async with serving(model, TOKENIZER, options=options) as served, session(served) as live:
        proposal = await live.generate(Until(12), GREEDY)

    assert [token.id for token in proposal.tokens] == expected
    assert events == ["engine.compiling", "engine.compile_failed"]


# --- failures ---------------------------------------------------------------------------------


def watch(model: LocalModel, monkeypatch: pytest.MonkeyPatch, change: Callable[..., Any]) -> None:
    """Have `change` see what every pass computed before it lands."""
    passes = model.engine.passes
    assert isinstance(passes, PagedPasses)
    launcher = passes.launcher

    def changed(plain: Callable[..., Any], *shape: Any) -> Any:
        frame, launch = plain(*shape)
        return frame, lambda: change(launch())

    monkeypatch.setattr(launcher, "decode", partial(changed, launcher.decode))
    monkeypatch.setattr(launcher, "read", partial(changed, launcher.read))


async def test_numbers_that_are_none_fail_only_their_own_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(make_model(), TOKENIZER, options=PAGED) as model:
        async with session(model) as live:
            expected = (await live.generate(Until(20), GREEDY)).text
        decode = reading.decode
        steps = 0

        def spoil(logits: torch.Tensor, *rest: Any, **named: Any) -> torch.Tensor:
            nonlocal steps
            steps += 1
            if steps > 5 and len(logits) > 1:
                logits[0] = torch.nan
            return decode(logits, *rest, **named)

        monkeypatch.setattr(launching, "decode_logits", spoil)

        async def victim() -> None:
            async with session(model, CORPUS[0]) as live:
                with pytest.raises(ModelCallError, match=r"are not numbers \(NaN or infinity\)"):
                    await live.generate(Until(200), GREEDY)

        texts: list[str] = []

        async def neighbour() -> None:
            async with session(model) as live:
                texts.append((await live.generate(Until(20), GREEDY)).text)

        async with anyio.create_task_group() as group:
            group.start_soon(victim)
            group.start_soon(neighbour)

    assert texts == [expected]


async def test_a_step_that_fails_is_made_one_text_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sampling = Sampling(temperature=1.0)
    texts: dict[int, str] = {}
    async with serving(make_model(), TOKENIZER, options=PAGED) as model:

        async def write(number: int) -> None:
            async with session(model, PROMPTS[number], seed=number) as live:
                texts[number] = (await live.generate(Until(20), sampling)).text

        for number in range(3):
            await write(number)
        expected = dict(texts)
        steps = 0

        def sometimes(computed: Computed) -> Computed:
            nonlocal steps
            steps += 1
            if steps % 4 == 0:
                raise RuntimeError("says the test")
            return computed

        watch(model, monkeypatch, sometimes)
        async with anyio.create_task_group() as group:
            for number in range(3):
                group.start_soon(write, number)

    assert steps > 8
    assert texts == expected


async def test_a_device_that_is_lost_fails_calls_with_a_typed_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(make_model(), TOKENIZER, options=PAGED) as model:
        passes = model.engine.passes

        def lost(*args: object, **_: object) -> Any:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

        async with session(model) as live:
            await live.generate(Until(3), GREEDY)
            assert isinstance(passes, PagedPasses)
            monkeypatch.setattr(passes.launcher, "decode", lost)
            monkeypatch.setattr(passes.launcher, "read", lost)
            with pytest.raises(ModelCallError, match="the forward pass failed: RuntimeError: CUDA"):
                await live.generate(Until(30), GREEDY)
            assert live.meter.completion_tokens == 3


async def test_more_texts_than_a_pass_takes_wait_for_their_turn() -> None:
    count = 300
    async with serving(make_model(), TOKENIZER, options=PAGED) as model:
        async with anyio.create_task_group() as group:

            async def write() -> None:
                async with session(model, "a") as live:
                    await live.generate(Until(2), GREEDY)

            for _ in range(count):
                group.start_soon(write)

        assert model.engine.decoded == 2 * count


@pytest.mark.parametrize("seed", range(4))
async def test_all_pages_are_free_after_any_mix_of_ends(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(seed)
    async with serving(
        make_model(), TOKENIZER, options=PAGED, cache_tokens=400, chunk_tokens=16
    ) as model:

        def sometimes(computed: Computed) -> Computed:
            if rng.random() < 0.03:
                raise RuntimeError("says the test")
            return computed

        watch(model, monkeypatch, sometimes)

        await live_many_lives(model, seed)

        assert model.engine.memory.live_caches == 0
        assert model.open_sessions == 0
    assert model.engine.memory.taken == 0
