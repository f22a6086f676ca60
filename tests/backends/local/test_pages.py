"""Pages: texts share what they have in common, and everything is given back."""

import random
from collections.abc import Sequence

import pytest

from collab_backends.local.paged.pages import PAGE_TOKENS, PagedCache, PagedMemory


class Copies(list[tuple[int, int]]):
    """Takes note of the pages that were copied."""

    def __call__(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        self.extend(zip(sources, targets, strict=True))


def filled(memory: PagedMemory, tokens: int, room: int = 0) -> PagedCache:
    cache = memory.new_cache()
    assert memory.claim(cache, max(tokens, room))
    cache.advance(range(tokens))
    return cache


def forked(memory: PagedMemory, parent: PagedCache, tokens: int) -> PagedCache:
    twin = memory.new_cache()
    twin.take_prefix(parent, parent.tokens[:tokens])
    return twin


def test_a_fork_shares_full_pages_and_copies_the_last_one_when_it_goes_on() -> None:
    copies = Copies()
    memory = PagedMemory(20, copies)
    parent = filled(memory, 40)

    twin = forked(memory, parent, 40)
    assert memory.taken == 3 * PAGE_TOKENS
    assert memory.claim(twin, 41)

    assert twin.pages[:2] == parent.pages[:2]
    assert copies == [(parent.pages[2], twin.pages[2])]
    assert memory.taken == 4 * PAGE_TOKENS


def test_a_parent_that_goes_on_first_takes_the_copy_itself() -> None:
    copies = Copies()
    memory = PagedMemory(20, copies)
    parent = filled(memory, 40)
    twin = forked(memory, parent, 40)
    shared = parent.pages[2]

    assert memory.claim(parent, 41)

    assert (twin.pages[2], copies) == (shared, [(shared, parent.pages[2])])


def test_a_fork_at_the_end_of_a_page_copies_nothing() -> None:
    copies = Copies()
    memory = PagedMemory(20, copies)
    twin = forked(memory, filled(memory, 40), 2 * PAGE_TOKENS)

    assert memory.claim(twin, 2 * PAGE_TOKENS + 1)

    assert (len(twin.pages), copies) == (3, [])


def test_a_text_cut_back_into_a_shared_page_does_not_write_to_it() -> None:
    copies = Copies()
    memory = PagedMemory(20, copies)
    parent = filled(memory, 40)
    twin = forked(memory, parent, 40)

    parent.truncate(20)
    assert memory.claim(parent, 30)

    assert twin.pages[0] == parent.pages[0]
    assert twin.pages[1] not in parent.pages
    assert copies == [(twin.pages[1], parent.pages[1])]


def test_pages_after_a_cut_are_free_at_once() -> None:
    memory = PagedMemory(20, Copies())
    cache = filled(memory, 100)

    cache.truncate(17)

    assert memory.taken == 2 * PAGE_TOKENS


def test_a_donor_that_lost_its_entries_gives_none() -> None:
    memory = PagedMemory(20, Copies())
    parent = filled(memory, 40)
    keys = list(parent.tokens)
    memory.rest(parent)
    memory.release(parent)
    twin = memory.new_cache()

    twin.take_prefix(parent, keys)

    assert (twin.length, memory.taken) == (0, 0)


def test_a_shared_page_is_not_free_before_all_its_texts_are_gone() -> None:
    memory = PagedMemory(4, Copies())
    parent = filled(memory, 2 * PAGE_TOKENS)
    twin = forked(memory, parent, 2 * PAGE_TOKENS)
    memory.rest(parent)

    # Dropping the parent would free nothing, so it is not dropped for nothing.
    assert not memory.claim(twin, 4 * PAGE_TOKENS)
    assert parent.length == 2 * PAGE_TOKENS
    memory.release(parent)
    memory.release(twin)
    assert memory.taken == 0


@pytest.mark.parametrize("seed", range(5))
def test_all_pages_are_free_after_any_life(seed: int) -> None:
    rng = random.Random(seed)
    memory = PagedMemory(30, Copies())
    living = [memory.new_cache()]
    for _ in range(400):
        cache = rng.choice(living)
        match rng.randrange(5):
            case 0 | 1:
                if memory.claim(cache, cache.length + rng.randrange(1, 50)):
                    more = rng.randrange(cache.capacity - cache.length + 1)
                    cache.advance(range(cache.length, cache.length + more))
                memory.rest(cache)
            case 2:
                cache.truncate(rng.randrange(cache.length + 1))
            case 3:
                living.append(forked(memory, cache, rng.randrange(cache.length + 1)))
            case _:
                memory.release(cache)
        in_use = {page for one in memory._caches for page in one.pages}
        assert memory.taken == len(in_use) * PAGE_TOKENS
        assert all(one.capacity >= one.length for one in living)
    for cache in living:
        memory.release(cache)
    assert memory.taken == 0
