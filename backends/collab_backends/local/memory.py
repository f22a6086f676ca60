"""Memory for KV caches: who may take how much, and whose entries can be taken over."""

import threading
from collections.abc import Sequence

from collab.observability import log_event
from collab_backends.local.cache import SequenceCache, common_prefix, rounded_capacity

SHARED_TOKENS = 32
"""Shortest common prefix that is worth copying from another text, or waiting for."""

RETIRED_CACHES = 8
"""Caches of closed sessions that are kept for their prefixes while there is room."""


class CacheMemory:
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
        self._caches: set[SequenceCache] = set()
        self._claims = 0
        self._retired: dict[SequenceCache, None] = {}
        self._taken = 0

    @property
    def taken(self) -> int:
        """Tokens that caches have room for now, those of closed sessions included."""
        return self._taken

    @property
    def live_caches(self) -> int:
        """Caches that open sessions hold."""
        return len(self._caches) - len(self._retired)

    def fits(self, tokens: int) -> bool:
        """Whether a text of `tokens` could ever have room, alone."""
        return tokens <= self.most_tokens

    def claim(self, cache: SequenceCache, tokens: int) -> bool:
        """Let `cache` have room for `tokens` and mark it busy; whether there is room now."""
        self._claims += 1
        cache.last_claim = self._claims
        if cache.capacity >= tokens:
            cache.is_busy = True
            return True
        with self._lock:
            wanted = min(rounded_capacity(tokens), max(self.most_tokens, tokens))
            if not self._make_room(wanted - cache.capacity, cache):
                return False
            self._taken += wanted - cache.capacity
            cache.capacity = wanted
            cache.is_busy = True
            self._caches.add(cache)
            return True

    def rest(self, cache: SequenceCache) -> None:
        """Mark a cache as no longer busy."""
        cache.is_busy = False

    def release(self, cache: SequenceCache) -> None:
        """Free a cache."""
        with self._lock:
            self._drop(cache)

    def retire(self, cache: SequenceCache) -> None:
        """Keep the cache of a closed session for its prefix, as long as there is room."""
        with self._lock:
            if cache not in self._caches or cache.length < SHARED_TOKENS:
                self._drop(cache)
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
        self, tokens: Sequence[int], limit: int, hint: SequenceCache | None
    ) -> tuple[SequenceCache | None, int]:
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

    def _make_room(self, more: int, keep: SequenceCache) -> bool:
        free = self.most_tokens - self._taken
        if more <= free:
            return True
        resting = [one for one in self._caches if not one.is_busy and one is not keep]
        if more > free + sum(cache.capacity for cache in resting):
            return False
        # Closed sessions' first, then the longest unused.
        for cache in sorted(resting, key=lambda one: (one not in self._retired, one.last_claim)):
            if more <= free:
                break
            free += cache.capacity
            log_event("cache.dropped", tokens=cache.length)
            self._drop(cache)
        return True

    def _drop(self, cache: SequenceCache) -> None:
        if cache in self._caches:
            self._caches.remove(cache)
            self._taken -= cache.capacity
        self._retired.pop(cache, None)
        cache.is_busy = False
        cache.clear()
