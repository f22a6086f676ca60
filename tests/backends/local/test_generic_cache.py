"""Caches that models make for themselves: what they can give, and what they cost."""

import torch
from support.generic_models import make_generic
from transformers import DynamicCache, PreTrainedModel

from collab_backends.local.generic_cache import (
    CacheArguments,
    OwnCache,
    OwnMemory,
    forward_with_cache,
    state_bytes,
)
from collab_backends.local.memory import SHARED_TOKENS

ARGUMENTS = CacheArguments("cache", has_positions=False)


def filled(model: PreTrainedModel, ids: list[int]) -> OwnCache:
    cache = OwnCache()
    with torch.inference_mode():
        _, cache.state = forward_with_cache(model, ids, None, 0, arguments=ARGUMENTS)
    cache.advance(ids)
    return cache


def claimed(memory: OwnMemory, model: PreTrainedModel, ids: list[int]) -> OwnCache:
    cache = filled(model, ids)
    assert memory.claim(cache, len(ids))
    memory.rest(cache)
    return cache


def test_a_cache_that_cannot_be_cut_gives_all_or_nothing() -> None:
    state, keys = make_generic("mamba"), make_generic("llama")
    ids = list(range(10, 30))

    given = [(one.can_give(20), one.can_give(7)) for one in (filled(state, ids), filled(keys, ids))]

    assert given == [(True, False), (True, True)]
    assert not OwnCache().can_give(0)


def test_the_longest_prefix_that_can_be_had_is_taken_over() -> None:
    model = make_generic("mamba")
    memory = OwnMemory(1_000, fixed_tokens=3)
    ids = list(range(5, 5 + SHARED_TOKENS))
    shorter = claimed(memory, model, ids)
    claimed(memory, model, [*ids, 90, 91, 92])

    donor, length = memory.donor([*ids, 90, 91, 77], SHARED_TOKENS + 2, None)

    # The other one shares two tokens more, but cannot be cut to them.
    assert (donor, length) == (shorter, SHARED_TOKENS)


def test_a_copy_leaves_the_donor_as_it_was() -> None:
    model = make_generic("mamba")
    donor, copied = filled(model, [5, 6, 7]), OwnCache()
    before = donor.state.layers[0].recurrent_states[0].clone()

    copied.take_prefix(donor, [5, 6, 7])
    with torch.inference_mode():
        forward_with_cache(model, [8], copied.state, 3, arguments=ARGUMENTS)

    assert copied.tokens == [5, 6, 7]
    assert torch.equal(donor.state.layers[0].recurrent_states[0], before)


def test_a_cache_is_cut_where_that_is_possible_and_dropped_where_not() -> None:
    keys, state = filled(make_generic("llama"), [5, 6, 7]), filled(make_generic("mamba"), [5, 6, 7])

    keys.truncate(2)
    state.truncate(2)

    assert keys.tokens == [5, 6]
    assert keys.state.get_seq_length() == 2
    assert (state.tokens, state.state) == ([], None)


def test_a_donor_without_entries_gives_none() -> None:
    cache = OwnCache()

    cache.take_prefix(OwnCache(), [1, 2])

    assert cache.tokens == []


def test_every_cache_takes_what_it_needs_however_short_its_text_is() -> None:
    memory = OwnMemory(100, fixed_tokens=30)
    first, second = memory.new_cache(), memory.new_cache()

    # 10 tokens are 16 in grains of 16, and 30 fixed ones.
    assert memory.claim(first, 10)
    assert memory.taken == 46
    assert memory.claim(second, 10)
    assert memory.taken == 92
    assert not memory.claim(memory.new_cache(), 1)
    assert (memory.fits(70), memory.fits(71)) == (True, False)
    for cache in (first, second):
        memory.rest(cache)
        memory.release(cache)
    assert memory.taken == 0


def test_all_tensors_of_a_cache_count_once() -> None:
    cache = DynamicCache()
    keys = torch.zeros(1, 2, 3, 4)

    cache.update(keys, keys.clone(), 0)

    # Keys and values of 2 x 3 x 4 numbers in float32.
    assert state_bytes(cache) == state_bytes([cache, cache]) == 2 * 2 * 3 * 4 * 4
