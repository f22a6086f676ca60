"""Memory for KV caches: who may take how much, and whose entries can be taken over."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

from collab.telemetry.events import log_event
from collab_backends.local.cache import (
    CountedCache,
    SequenceCache,
    TextCache,
    common_prefix,
    rounded_capacity,
)

SHARED_TOKENS = 32
"""Shortest common prefix that is worth copying from another text, or waiting for."""

RETIRED_CACHES = 8
"""Caches of closed sessions that are kept for their prefixes while there is room."""


CacheT = TypeVar("CacheT", bound=TextCache)


class Memory(ABC, Generic[CacheT]):
    """Hands out room for caches, within a bound counted in tokens.

    Caches at rest are dropped, the longest unused first, when a job needs their room: the tokens
    are the truth, and the entries can be computed again. Only the engine's thread claims room and
    copies; sessions let go of their caches, under a lock, when no job of theirs is at work.

    Args:
        most_tokens: How many tokens all caches together may hold.
    """

    def __init__(self, most_tokens: int) -> None:
        self.most_tokens = most_tokens
        self._lock = threading.Lock()
        self._caches: set[CacheT] = set()
        self._claims = 0
        self._retired: dict[CacheT, None] = {}

    @abstractmethod
    def new_cache(self) -> CacheT:
        """Return an empty cache, without memory."""

    @property
    def is_shared(self) -> bool:
        """Whether taking over a prefix costs no room, since both texts share its entries."""
        return False

    @property
    @abstractmethod
    def taken(self) -> int:
        """Tokens that caches have room for now, those of closed sessions included."""

    def _has_room(self, cache: CacheT, tokens: int) -> bool:
        return cache.capacity >= tokens

    @abstractmethod
    def _lack(self, cache: CacheT, tokens: int) -> int:
        """Return how much is missing for `cache` to grow to `tokens`, in this memory's unit."""

    @abstractmethod
    def _held(self, caches: Sequence[CacheT]) -> int:
        """Return how much would be free if these were dropped, in this memory's unit."""

    @abstractmethod
    def _grow(self, cache: CacheT, tokens: int) -> None:
        """Give `cache` room for `tokens`; nothing is missing for it."""

    @abstractmethod
    def _free(self, cache: CacheT) -> None:
        """Take all room back from `cache`."""

    @property
    def live_caches(self) -> int:
        """Caches that open sessions hold."""
        return len(self._caches) - len(self._retired)

    def fits(self, tokens: int) -> bool:
        """Whether a text of `tokens` could ever have room, alone."""
        return tokens <= self.most_tokens

    def claim(self, cache: CacheT, tokens: int) -> bool:
        """Let `cache` have room for `tokens` and mark it busy; whether there is room now."""
        self._claims += 1
        cache.last_claim = self._claims
        if cache.is_busy and self._has_room(cache, tokens):
            return True
        with self._lock:
            if not self._has_room(cache, tokens):
                if not self._make_room(cache, tokens):
                    return False
                self._grow(cache, tokens)
                self._caches.add(cache)
            cache.is_busy = True
        return True

    def rest(self, cache: CacheT) -> None:
        """Mark a cache as no longer busy; free it if its session is closed."""
        with self._lock:
            cache.is_busy = False
            if cache.is_closed:
                self._drop(cache)

    def release(self, cache: CacheT) -> None:
        """Free a cache; one that a job works on is freed when the job is done."""
        with self._lock:
            self._close(cache)

    def retire(self, cache: CacheT) -> None:
        """Keep the cache of a closed session for its prefix, as long as there is room."""
        with self._lock:
            if cache.is_busy or cache not in self._caches or cache.length < SHARED_TOKENS:
                self._close(cache)
                return
            self._retired[cache] = None
            while len(self._retired) > RETIRED_CACHES:
                self._drop(next(iter(self._retired)))

    def clear(self) -> None:
        """Free everything."""
        with self._lock:
            for cache in tuple(self._caches):
                self._drop(cache)

    def drop_resting(self) -> int:
        """Free all caches at rest; return how many tokens they had room for."""
        with self._lock:
            resting = [cache for cache in self._caches if not cache.is_busy]
            freed = sum(cache.capacity for cache in resting)
            for cache in resting:
                self._drop(cache)
            return freed

    def donor(
        self, tokens: Sequence[int], limit: int, hint: CacheT | None
    ) -> tuple[CacheT | None, int]:
        """Return the cache that holds the longest prefix of `tokens`, and how long that is.

        Args:
            tokens: Cache keys.
            limit: Longest prefix of use.
            hint: A cache that likely holds a long one.
        """
        with self._lock:
            best = hint
            longest = common_prefix(hint.tokens, tokens, limit) if hint is not None else 0
            if limit - longest >= SHARED_TOKENS:
                head = tokens[:SHARED_TOKENS]
                for cache in self._caches:
                    if cache.tokens[:SHARED_TOKENS] == head:
                        shared = common_prefix(cache.tokens, tokens, limit)
                        if shared > longest:
                            best, longest = cache, shared
            return best, longest

    def _close(self, cache: CacheT) -> None:
        cache.is_closed = True
        if not cache.is_busy:
            self._drop(cache)

    def _make_room(self, cache: CacheT, tokens: int) -> bool:
        lack = self._lack(cache, tokens)
        if lack <= 0:
            return True
        resting = [one for one in self._caches if not one.is_busy and one is not cache]
        if lack > self._held(resting):
            return False
        # Closed sessions' first, then the longest unused.
        for one in sorted(resting, key=lambda one: (one not in self._retired, one.last_claim)):
            log_event("cache.dropped", tokens=one.length)
            self._drop(one)
            if self._lack(cache, tokens) <= 0:
                return True
        return False

    def _drop(self, cache: CacheT) -> None:
        if cache in self._caches:
            self._caches.remove(cache)
            self._free(cache)
        self._retired.pop(cache, None)
        cache.is_busy = False
        cache.clear()


CountedT = TypeVar("CountedT", bound=CountedCache)


class CountedMemory(Memory[CountedT]):
    """Room counted in tokens: each cache reserves its tokens and a fixed part.

    Args:
        most_tokens: How many tokens all caches together may hold.
        fixed_tokens: How many tokens a cache takes the memory of, however short its text is.
    """

    def __init__(self, most_tokens: int, fixed_tokens: int = 0) -> None:
        super().__init__(most_tokens)
        self._fixed = fixed_tokens
        self._taken = 0

    @property
    def taken(self) -> int:
        """Tokens that caches have room for now, those of closed sessions included."""
        return self._taken

    def fits(self, tokens: int) -> bool:
        """Whether a text of `tokens` could ever have room, alone."""
        return super().fits(tokens + self._fixed)

    def _cost(self, capacity: int) -> int:
        return capacity + self._fixed if capacity else 0

    def _wanted(self, tokens: int) -> int:
        return min(rounded_capacity(tokens), max(self.most_tokens - self._fixed, tokens))

    def _lack(self, cache: CountedT, tokens: int) -> int:
        more = self._cost(self._wanted(tokens)) - self._cost(cache.capacity)
        return more - (self.most_tokens - self._taken)

    def _held(self, caches: Sequence[CountedT]) -> int:
        return sum(self._cost(cache.capacity) for cache in caches)

    def _grow(self, cache: CountedT, tokens: int) -> None:
        wanted = self._wanted(tokens)
        self._taken += self._cost(wanted) - self._cost(cache.capacity)
        cache.allow(wanted)

    def _free(self, cache: CountedT) -> None:
        self._taken -= self._cost(cache.capacity)


class CacheMemory(CountedMemory[SequenceCache]):
    """Room for caches that each stand in one stretch of memory."""

    def new_cache(self) -> SequenceCache:
        """Return an empty cache, without memory."""
        return SequenceCache()
