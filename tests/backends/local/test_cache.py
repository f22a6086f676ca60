import torch

from collab_backends.local.cache import SequenceCache


def entries(tokens: int, start: int = 0) -> torch.Tensor:
    """Keys `(1, T, 2)` that carry their own position."""
    return torch.arange(start, start + tokens).float()[None, :, None].repeat(1, 1, 2)


def filled(tokens: int) -> SequenceCache:
    cache = SequenceCache()
    cache.write(0, entries(tokens), entries(tokens))
    cache.advance(tokens)
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


def test_a_fork_is_independent() -> None:
    cache = filled(4)
    twin = cache.fork(2)

    twin.write(0, entries(1, 90), entries(1, 90))
    twin.advance(1)
    keys, _ = cache.write(0, entries(1, 4), entries(1, 4))

    assert (cache.length, twin.length) == (4, 3)
    assert torch.equal(keys, entries(5))


def test_truncating_never_lengthens() -> None:
    cache = filled(4)

    cache.truncate(9)

    assert cache.length == 4
