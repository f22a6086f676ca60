import pytest
import torch

from collab_backends.local.cache import SequenceCache, common_prefix, rounded_capacity


def entries(tokens: int, start: int = 0) -> torch.Tensor:
    """Keys `(1, T, 2)` that carry their own position."""
    return torch.arange(start, start + tokens).float()[None, :, None].repeat(1, 1, 2)


def filled(tokens: int) -> SequenceCache:
    cache = SequenceCache()
    cache.write(0, entries(tokens), entries(tokens))
    cache.advance(range(tokens))
    return cache


def test_entries_survive_growing() -> None:
    cache = filled(60)

    keys, values = cache.write(0, entries(90, 60), entries(90, 60))

    assert torch.equal(keys, entries(150))
    assert torch.equal(values, entries(150))


def test_written_entries_count_only_once_advanced() -> None:
    cache = filled(3)

    cache.write(0, entries(2, 50), entries(2, 50))
    keys, _ = cache.write(0, entries(1, 3), entries(1, 3))

    assert torch.equal(keys, entries(4))


def test_a_copied_prefix_is_independent() -> None:
    cache, twin = filled(4), SequenceCache()
    twin.take_prefix(cache, [0, 1])

    twin.write(0, entries(1, 90), entries(1, 90))
    twin.advance([90])
    keys, _ = cache.write(0, entries(1, 4), entries(1, 4))

    assert (cache.tokens, twin.tokens) == ([0, 1, 2, 3], [0, 1, 90])
    assert torch.equal(keys, entries(5))


def test_a_cleared_cache_gives_no_prefix() -> None:
    cache, twin = filled(4), SequenceCache()
    cache.clear()

    twin.take_prefix(cache, [0, 1])

    assert (twin.length, cache.nbytes) == (0, 0)


@pytest.mark.parametrize("limit", [0, 3, 7, 50])
@pytest.mark.parametrize("parting", [0, 1, 5, 39, 40])
def test_a_common_prefix_ends_where_the_texts_part(parting: int, limit: int) -> None:
    first = list(range(40))
    second = [*range(parting), -1, *range(parting + 1, 60)]

    assert common_prefix(first, second, limit) == min(parting, limit)


@pytest.mark.parametrize("tokens", [1, 31, 500, 600, 2_000])
def test_a_cache_takes_little_more_than_it_needs(tokens: int) -> None:
    assert tokens <= rounded_capacity(tokens) <= 1.07 * tokens + 32


def test_truncating_never_lengthens() -> None:
    cache = filled(4)

    cache.truncate(9)

    assert cache.length == 4
