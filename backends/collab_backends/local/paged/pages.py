"""Pages: memory cut into pieces of 16 tokens that texts with a common prefix share."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Self

from collab_backends.local.cache import TextCache
from collab_backends.local.memory import Memory

PAGE_TOKENS = 16
"""Tokens of a page."""

SCRATCH_PAGE = 0
"""Belongs to no text: what has no place is written there, and nobody reads it."""

CopyPages = Callable[[Sequence[int], Sequence[int]], None]
"""Copies the entries of some pages to others."""


def pages_of(tokens: int) -> int:
    """Return how many pages `tokens` tokens take."""
    return -(-tokens // PAGE_TOKENS)


class PagedCache(TextCache):
    """The pages of one text, in order. Full pages may belong to other texts too.

    Attributes:
        pages: Numbers in the pool.
    """

    def __init__(self, memory: "PagedMemory") -> None:
        super().__init__()
        self.pages: list[int] = []
        self._memory = memory

    @property
    def capacity(self) -> int:
        """Tokens that its pages have room for."""
        return len(self.pages) * PAGE_TOKENS

    def truncate(self, length: int) -> None:
        """Forget entries from `length` on, and give back the pages that only they stood on."""
        super().truncate(length)
        self._memory.shorten(self)

    def take_prefix(self, donor: Self, tokens: Sequence[int]) -> None:
        """Share the donor's pages of `tokens`; a donor that was cleared gives none."""
        self._memory.share(donor, self, tokens)

    def clear(self) -> None:
        """Forget everything; its pages were given back."""
        self.pages.clear()
        self.tokens.clear()


class PagedMemory(Memory[PagedCache]):
    """Hands out the pages of one pool.

    A page that several texts share is written to by none of them: whoever goes on after its
    entries takes a copy first.

    Args:
        pages: How many there are, the scratch page included.
        copy_pages: Called on the engine's thread, in the order in which pages are to be copied.
    """

    def __init__(self, pages: int, copy_pages: CopyPages) -> None:
        super().__init__((pages - 1) * PAGE_TOKENS)
        self._copy_pages = copy_pages
        self._free_pages = list(range(pages - 1, SCRATCH_PAGE, -1))
        self._owners = [0] * pages

    @property
    def is_shared(self) -> bool:
        """True: a prefix is taken over by counting its pages once more."""
        return True

    @property
    def taken(self) -> int:
        """Tokens that the pages of all texts have room for; shared ones count once."""
        return self.most_tokens - len(self._free_pages) * PAGE_TOKENS

    def new_cache(self) -> PagedCache:
        """Return an empty cache, without pages."""
        return PagedCache(self)

    def shorten(self, cache: PagedCache) -> None:
        """Take back the pages after a text's entries."""
        with self._lock:
            kept = pages_of(cache.length)
            self._give_back(cache.pages[kept:])
            del cache.pages[kept:]

    def share(self, donor: PagedCache, cache: PagedCache, tokens: Sequence[int]) -> None:
        """Have `cache` hold the donor's entries of `tokens` instead of its own."""
        with self._lock:
            if donor.tokens[: len(tokens)] != list(tokens):
                return
            pages = donor.pages[: pages_of(len(tokens))]
            for page in pages:
                self._owners[page] += 1
            self._give_back(cache.pages)
            cache.pages = pages
            cache.tokens = list(tokens)
            self._caches.add(cache)

    def _has_room(self, cache: PagedCache, tokens: int) -> bool:
        return cache.capacity >= tokens and not self._shared_after(cache)

    def _shared_after(self, cache: PagedCache) -> list[int]:
        """Return the places of shared pages that a text would write to next."""
        first = cache.length // PAGE_TOKENS
        after = cache.pages[first:]
        return [first + place for place, page in enumerate(after) if self._owners[page] > 1]

    def _lack(self, cache: PagedCache, tokens: int) -> int:
        wanted = max(pages_of(tokens) - len(cache.pages), 0) + len(self._shared_after(cache))
        return wanted - len(self._free_pages)

    def _held(self, caches: Sequence[PagedCache]) -> int:
        counts = Counter(page for cache in caches for page in cache.pages)
        return sum(self._owners[page] == count for page, count in counts.items())

    def _grow(self, cache: PagedCache, tokens: int) -> None:
        copied: list[tuple[int, int]] = []
        for place in self._shared_after(cache):
            old, new = cache.pages[place], self._take()
            cache.pages[place] = new
            if place * PAGE_TOKENS < cache.length:
                copied.append((old, new))
            self._give_back([old])
        if copied:
            self._copy_pages([old for old, _ in copied], [new for _, new in copied])
        cache.pages += [self._take() for _ in range(pages_of(tokens) - len(cache.pages))]

    def _free(self, cache: PagedCache) -> None:
        self._give_back(cache.pages)
        cache.pages = []

    def _take(self) -> int:
        page = self._free_pages.pop()
        self._owners[page] = 1
        return page

    def _give_back(self, pages: Sequence[int]) -> None:
        for page in pages:
            self._owners[page] -= 1
            if not self._owners[page]:
                self._free_pages.append(page)
