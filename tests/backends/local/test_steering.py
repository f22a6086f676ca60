"""Hidden states that are read, and vectors that are added to them."""

import copy
import gc
import math
from array import array
from itertools import pairwise
from typing import Any

import anyio
import pytest
import torch
from support.models import GREEDY, make_model, make_tokenizer, serving, session

from collab.errors import ConfigError, ModelCallError
from collab.proposals import Until
from collab.signals import Gate, Observation, Reduction, Signals, Steering
from collab_backends.local.session import LocalSession
from collab_backends.tokenizing.codec import Splice, TextCodec

pytestmark = pytest.mark.usefixtures("engine")

TOKENIZER = make_tokenizer()
LAYERS, WIDTH = 4, 64
PROMPT = "So the answer is 12, because 3 times 4 is 12."


def vector(seed: int) -> list[float]:
    generator = torch.Generator().manual_seed(seed)
    found: list[float] = (3 * torch.randn(WIDTH, generator=generator)).tolist()
    return found


def plain_states(model: Any, ids: list[int]) -> tuple[torch.Tensor, ...]:
    with torch.inference_mode():
        out = model(torch.tensor([ids]), output_hidden_states=True)
    return tuple(layer[0] for layer in out.hidden_states)


def steered_ids(model: Any, ids: list[int], new: int, steering: Steering, start: int) -> list[int]:
    """Return greedy tokens of a plain model with the vector added at each gated position."""
    written = list(ids)

    def add(module: object, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        hidden = args[0].clone()
        for place in range(start, len(written)):
            text = TOKENIZER.backend_tokenizer.decode([written[place]], skip_special_tokens=False)
            texts = steering.gate.texts
            if not texts or any(one in text for one in texts):
                hidden[0, place] += steering.scale * torch.tensor(steering.vector)
        return (hidden, *args[1:])

    hook = model.model.layers[steering.layer].register_forward_pre_hook(add)
    with torch.inference_mode():
        for _ in range(new):
            written.append(int(model(torch.tensor([written])).logits[0, -1].argmax()))
    hook.remove()
    return written[len(ids) :]


async def write(live: LocalSession, new: int) -> list[int]:
    return [token.id for token in (await live.generate(Until(new), GREEDY)).tokens]


# --- observers --------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [0, 2, LAYERS])
async def test_the_state_that_each_token_was_drawn_from_is_handed_over(layer: int) -> None:
    model = make_model()
    plain = copy.deepcopy(model)
    signals = Signals(observations=(Observation("state", layer),))

    async with serving(model, TOKENIZER) as served:
        async with session(served, PROMPT, signals=signals) as live, anyio.create_task_group() as g:
            async with session(served, "Another text") as neighbour:
                g.start_soon(write, neighbour, 9)
                proposal = await live.generate(Until(6), GREEDY)
            ids = list(live.ids)

    states = plain_states(plain, ids + [token.id for token in proposal.tokens])[layer]
    for number, token in enumerate(proposal.tokens):
        assert token.observed is not None
        expected = states[len(ids) - 1 + number]
        assert list(token.observed["state"]) == pytest.approx(expected.tolist(), abs=1e-4)


async def test_a_gate_selects_the_tokens_behind_a_delimiter() -> None:
    signals = Signals(observations=(Observation("state", 1, Gate((".",))),))

    async with serving(make_model(), TOKENIZER) as model:
        async with session(model, PROMPT, signals=signals) as live:
            behind = await live.generate(Until(1), GREEDY)
            live.append(" because")
            elsewhere = await live.generate(Until(1), GREEDY)

    # The prompt ends with a full stop: the first token was drawn from the state at it.
    assert list(behind.tokens[0].observed or {}) == ["state"]
    assert elsewhere.tokens[0].observed == {}


async def test_an_exact_gate_selects_only_tokens_that_are_its_text() -> None:
    gates = {"part": Gate(("n",)), "whole": Gate(("n",), is_exact=True)}
    signals = Signals(
        observations=tuple(Observation(name, 1, gate) for name, gate in gates.items())
    )
    ids = {name: TextCodec(TOKENIZER, "random").ids_of(gate) for name, gate in gates.items()}

    async with serving(make_model(), TOKENIZER) as model:
        async with session(model, PROMPT, signals=signals) as live:
            proposal = await live.generate(Until(40), GREEDY)

    assert len(ids["whole"]) == 1
    assert ids["whole"] < ids["part"]
    for before, token in pairwise(proposal.tokens):
        expected = {name for name, found in ids.items() if before.id in found}
        assert set(token.observed or {}) == expected


async def test_each_text_gets_its_own_states_whatever_its_neighbours_ask_for() -> None:
    model = make_model()
    plain = copy.deepcopy(model)
    gated = Observation("gated", 2, Gate(("7", "4")))
    both = Signals(observations=(gated, Observation("all", 2)))
    prompts = ["So the answer is 12", "Each word", "What is 7", "3 times 4", "Now look"]
    seen: dict[str, list[float]] = {}

    async with serving(model, TOKENIZER) as served:

        async def look(prompt: str) -> None:
            async with session(served, prompt, signals=both) as live:
                proposal = await live.generate(Until(1), GREEDY)
                observed = proposal.tokens[0].observed or {}
                seen[prompt] = list(observed["all"])
                assert list(observed.get("gated", seen[prompt])) == seen[prompt]

        async with anyio.create_task_group() as group:
            for prompt in prompts:
                group.start_soon(look, prompt)

    for prompt in prompts:
        ids = TOKENIZER.encode(prompt, add_special_tokens=False)
        expected = plain_states(plain, ids)[2][-1]
        assert seen[prompt] == pytest.approx(expected.tolist(), abs=1e-4)


@pytest.mark.parametrize(
    "reduction", [lambda h: h.mean(0), lambda h: h[:0], lambda _: 5, lambda h: h.sum()]
)
async def test_a_reduction_of_another_shape_is_told_so(reduction: Reduction) -> None:
    signals = Signals(observations=(Observation("mean", 2, reduction=reduction),))
    async with serving(make_model(), TOKENIZER) as model:
        async with session(model, PROMPT, signals=signals) as live:
            with pytest.raises(ModelCallError, match="the reduction of 'mean' returned"):
                await live.generate(Until(1), GREEDY)


async def test_a_reduction_that_writes_to_its_input_spoils_nothing() -> None:
    signals = Signals(
        observations=(
            Observation("zero", 2, reduction=lambda h: h.mul_(0)),
            Observation("state", 2),
        )
    )
    async with serving(make_model(), TOKENIZER) as model:
        async with session(model, PROMPT) as live:
            expected = await write(live, 6)
        async with session(model, PROMPT, signals=signals) as live:
            proposal = await live.generate(Until(6), GREEDY)

    assert [token.id for token in proposal.tokens] == expected
    assert any((proposal.tokens[0].observed or {})["state"])


async def test_two_observations_of_one_name_are_refused() -> None:
    signals = Signals(observations=(Observation("a", 1), Observation("a", 2)))
    async with serving(make_model(), TOKENIZER) as model:
        with pytest.raises(ConfigError, match="two observations have one name"):
            async with session(model, signals=signals):
                pass


async def test_a_reduction_runs_before_the_copy() -> None:
    shapes: list[torch.Size] = []

    def norms(states: torch.Tensor) -> torch.Tensor:
        shapes.append(states.shape)
        norm: torch.Tensor = torch.linalg.vector_norm(states, dim=-1, keepdim=True)
        return norm

    signals = Signals(
        observations=(Observation("norm", 2, reduction=norms), Observation("state", 2))
    )
    async with serving(make_model(), TOKENIZER) as model:
        async with session(model, PROMPT, signals=signals) as live:
            proposal = await live.generate(Until(3), GREEDY)

    assert shapes == [torch.Size([1, WIDTH])] * 3
    for token in proposal.tokens:
        assert token.observed is not None
        norm = torch.tensor(array("f", token.observed["state"])).norm()
        assert token.observed["norm"][0] == pytest.approx(float(norm), rel=1e-5)


async def test_a_reduction_that_raises_fails_only_its_own_text() -> None:
    def fail(states: torch.Tensor) -> torch.Tensor:
        raise KeyError("says the test")

    signals = Signals(observations=(Observation("norm", 2, reduction=fail),))
    texts: list[list[int]] = []
    async with serving(make_model(), TOKENIZER) as model:

        async def neighbour() -> None:
            async with session(model, PROMPT) as live:
                texts.append(await write(live, 8))

        await neighbour()
        async with session(model, PROMPT, signals=signals) as live, anyio.create_task_group() as g:
            g.start_soon(neighbour)
            with pytest.raises(ModelCallError, match="KeyError: 'says the test'"):
                await write(live, 8)

    assert texts[0] == texts[1]


# --- steering ---------------------------------------------------------------------------------


@pytest.mark.parametrize("gate", [Gate(), Gate((".", "e"))])
@pytest.mark.parametrize("chunk_tokens", [5, 512])
async def test_steered_texts_equal_a_plain_model_with_the_same_hook(
    gate: Gate, chunk_tokens: int
) -> None:
    model = make_model()
    plain = copy.deepcopy(model)
    steerings = [None, *(Steering(layer, vector(layer), 0.7, gate) for layer in (1, 2, 3))]
    written: dict[int, list[int]] = {}
    ids: list[int] = []

    async with serving(model, TOKENIZER, chunk_tokens=chunk_tokens) as served:

        async def steered(number: int) -> None:
            async with session(served, PROMPT) as live:
                live.steer(steerings[number])
                ids[:] = live.ids
                written[number] = await write(live, 12)

        async with anyio.create_task_group() as group:
            for number in range(len(steerings)):
                group.start_soon(steered, number)

    for number, steering in enumerate(steerings):
        neutral = Steering(0, [0.0] * WIDTH)
        expected = steered_ids(plain, ids, 12, steering or neutral, len(ids) - 1)
        assert written[number] == expected
    assert len({tuple(one) for one in written.values()}) > 1, "steering changed nothing at all"


@pytest.mark.parametrize("gate", [Gate(), Gate(("\n\n",)), Gate(("\n\n",), is_exact=True)])
async def test_a_block_is_given_the_vector_at_gated_positions_and_nothing_more_elsewhere(
    gate: Gate,
) -> None:
    added, scale = vector(5), -0.5
    pieces = ["So", " it is 7", ".\n\n", "Wait", "\n\n", "So\n"]
    gated = 0

    async with serving(make_model(), TOKENIZER) as model:
        ids = model.seat.codec.ids_of(gate)
        async with session(model, PROMPT) as plain, session(model, PROMPT) as steered:
            steered.steer(Steering(2, added, scale, gate))
            for piece in pieces:
                plain.append(piece)
                steered.append(piece)
                before, after = [await live.observe("", 2) for live in (plain, steered)]
                is_gated = steered.ids[-1] in ids
                gated += is_gated
                for number, (was, has) in enumerate(zip(before, after, strict=True)):
                    expected = scale * added[number] if is_gated else 0.0
                    assert has - was == pytest.approx(expected, abs=1e-6)

    assert gated > 0


async def test_texts_with_different_vectors_in_one_batch_are_each_as_alone() -> None:
    gates = [Gate(), Gate(("e", ".")), Gate(("e",)), Gate()]
    steerings = [
        Steering(layer, vector(layer), 1.0, gate)
        for layer, gate in zip((1, 2, 2, 3), gates, strict=True)
    ]
    together: dict[int, list[int]] = {}

    async with serving(make_model(), TOKENIZER) as model:

        async def steered(number: int) -> list[int]:
            async with session(model, f"{number} {PROMPT}") as live:
                live.steer(steerings[number])
                return await write(live, 16)

        async def keep(number: int) -> None:
            together[number] = await steered(number)

        alone = [await steered(number) for number in range(len(steerings))]
        model.engine.memory.drop_resting()
        async with anyio.create_task_group() as group:
            for number in range(len(steerings)):
                group.start_soon(keep, number)

    assert [together[number] for number in range(len(steerings))] == alone


async def test_what_was_steered_stays_so_when_it_is_computed_again() -> None:
    async with serving(make_model(), TOKENIZER) as model, session(model, PROMPT) as live:
        live.steer(Steering(1, vector(1)))
        await live.generate(Until(5), GREEDY)
        live.commit(5)
        live.steer(None)
        expected = await write(live, 10)
        async with live.fork() as twin:
            assert await write(twin, 10) == expected

        assert model.engine.memory.drop_resting() > 0
        live.append("")  # drops what was decoded ahead
        assert await write(live, 10) == expected


async def test_going_back_goes_back_to_the_steering_of_that_place() -> None:
    async with serving(make_model(), TOKENIZER) as model, session(model, PROMPT) as live:
        live.steer(Steering(1, vector(1)))
        mark = live.mark
        expected = await write(live, 10)
        live.steer(Steering(2, vector(2)))
        live.append(" and so")
        await write(live, 3)
        live.rollback(mark)

        assert await write(live, 10) == expected


async def test_a_splice_that_shortens_the_text_keeps_its_steering(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(make_model(), TOKENIZER) as model, session(model, PROMPT) as live:
        live.steer(Steering(1, vector(1)))
        (word,) = TOKENIZER.encode(" the", add_special_tokens=False)
        # As a tokenizer does that joins the last three tokens and the new text into one.
        kept = len(live.ids) - 3
        with monkeypatch.context() as patch:
            patch.setattr(model.seat.codec, "splice", lambda *_: Splice(kept, [word]))
            live.append(" joined")
        expected = await write(live, 8)
        live.commit(5)
        model.engine.memory.drop_resting()

        assert await write(live, 3) == expected[5:]


async def test_steerings_of_closed_texts_are_forgotten() -> None:
    async with serving(make_model(), TOKENIZER) as model:
        for number in range(20):
            async with session(model) as live:
                live.steer(Steering(1, vector(number)))
                await write(live, 2)
        gc.collect()

        # The last text and its last job may still be in somebody's variables.
        assert len(model.engine.hidden._steers) <= 1


async def test_equal_steerings_are_one() -> None:
    async with serving(make_model(), TOKENIZER) as model:
        hidden = model.engine.hidden
        first = hidden.steer(Steering(1, vector(1)))

        assert hidden.steer(Steering(1, vector(1))) is first
        assert hidden.steer(Steering(1, vector(1), scale=2.0)) is not first


async def test_steered_and_other_texts_do_not_share_entries() -> None:
    async with serving(make_model(), TOKENIZER) as model:
        async with session(model, PROMPT * 3) as live:
            expected = await write(live, 6)
        async with session(model, PROMPT * 3) as live:
            live.steer(Steering(1, vector(1)))
            live.append(" and then the other")
            steered = await write(live, 6)
        async with session(model, PROMPT * 3) as live:
            live.append(" and then the other")
            other = await write(live, 6)
        async with session(model, PROMPT * 3) as live:
            again = await write(live, 6)

    assert again == expected
    assert other != steered


@pytest.mark.parametrize(
    ("steering", "message"),
    [
        (Steering(1, [0.0] * 63), r"the steering vector has the shape \(63,\); .* size is 64"),
        (Steering(4, [0.0] * 64), "layer 4 is out of range; this model has 4 blocks"),
        (Steering(-1, [0.0] * 64), "layer -1 is out of range"),
        (Steering(1.5, [0.0] * 64), "layer 1.5 is out of range"),  # type: ignore[arg-type]
        (Steering(1, [math.nan] * 64), "is not finite in torch.float32"),
        (Steering(1, [1e30] * 64, scale=1e30), "is not finite in torch.float32"),
        (Steering(1, ["a"] * 64), "is not made of numbers"),  # type: ignore[list-item]
    ],
)
async def test_a_steering_that_does_not_fit_the_model_is_refused(
    steering: Steering, message: str
) -> None:
    async with serving(make_model(), TOKENIZER) as model, session(model) as live:
        with pytest.raises(ConfigError, match=message):
            live.steer(steering)


async def test_an_observation_of_a_layer_that_is_not_there_is_refused() -> None:
    signals = Signals(observations=(Observation("state", 5),))
    async with serving(make_model(), TOKENIZER) as model:
        with pytest.raises(ConfigError, match="layer 5 is out of range; .* layers 0 to 4 here"):
            async with session(model, signals=signals):
                pass
