"""One server: its connections, its limit, and calls that are tried again where that can help."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import TypeVar
from urllib.parse import urlsplit

import anyio
from openai import AsyncOpenAI
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from collab.errors import ContextOverflowError, ModelCallError
from collab.telemetry.events import log_event
from collab.telemetry.names import SERVER_ADDRESS, SERVER_PORT
from collab_backends.remote.attempts import Attempt
from collab_backends.remote.connections import Access, connected_client
from collab_backends.remote.failures import fault_of
from collab_backends.remote.faults import (
    AttemptFailed,
    Fault,
    ServerBusyError,
    ServerUnreachableError,
)
from collab_backends.remote.manners import Manners
from collab_backends.remote.patience import Patience, Tries
from collab_backends.remote.throttle import AdaptiveLimit, CircuitBreaker

T = TypeVar("T")

_SLOT_START = 16
_LONGEST_TOLD = 400
_SHORTEST_KEY = 6
"""Shorter ones are nobody's secret, and stand in every word."""


class Endpoint:
    """A server at one base URL.

    Nobody else retries: the client's own retries are off. Every attempt is reported to
    `on_attempt`, so that failed ones are in the ledger.

    Args:
        access: Where it is, and with which key; the key appears in no error.
        patience: How long and how often it is tried.
        connections: Most calls at a time.
        manners: What it is not sent.

    Attributes:
        served_as: What the server calls the model in its answers; empty before the first.
    """

    def __init__(
        self, access: Access, patience: Patience, *, connections: int, manners: Manners
    ) -> None:
        self.base_url = access.base_url
        parts = urlsplit(access.base_url)
        self.host = parts.netloc.rpartition("@")[2]
        self.server: dict[str, str | int] = {SERVER_ADDRESS: parts.hostname or ""}
        if parts.port:
            self.server[SERVER_PORT] = parts.port
        self.limit = AdaptiveLimit(_SLOT_START, connections)
        self.breaker = CircuitBreaker(self.host)
        self.manners = manners
        self.served_as = ""
        self._key = access.key
        self._patience = patience
        self._answered_at = -float("inf")
        self._client: AsyncOpenAI = connected_client(access, patience, connections)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    # --- calls ------------------------------------------------------------------------------

    async def get(self, path: str) -> object:
        """Return what the server answers to a GET; tried once.

        Raises:
            ModelCallError: It failed.
        """
        try:
            with anyio.fail_after(self._patience.attempt_s):
                return await self._client.get(path, cast_to=object)
        except Exception as error:  # noqa: BLE001  # told without the client's own, see `call`
            fault = fault_of(error)
            raise self._told(fault, fault.what) from None

    def tries(self, *, attempts: int | None = None, is_first_round: bool = False) -> Tries:
        """Return the patience of a new call; see `Tries`."""
        return Tries(self._patience, attempts=attempts, is_first_round=is_first_round)

    async def call(
        self,
        work: Callable[[Attempt], Awaitable[T]],
        on_attempt: Callable[[], None] = lambda: None,
        *,
        tries: Tries | None = None,
    ) -> T:
        """Do `work`, again where that can help; it has not changed anything when it fails.

        Raises:
            ContextOverflowError: The text is too long for the model.
            ServerUnreachableError: The last attempt got no answer.
            ModelCallError: It failed for good.
        """
        tries = tries or self.tries()
        attempt = partial(self._attempt, work, on_attempt, tries)
        try:
            try:
                return await attempt()  # most calls succeed at once, and need no bookkeeping
            except AttemptFailed as failed:
                return await self._again(failed, attempt, tries)
        except AttemptFailed as failed:
            # Told without the client's own error, which may hold the key: servers quote it.
            raise self._told(failed.fault, tries.told(failed.fault)) from None

    async def _again(
        self, failed: AttemptFailed, attempt: Callable[[], Awaitable[T]], tries: Tries
    ) -> T:
        """Make further attempts after one that failed, until one succeeds or `tries` are over."""
        first = [failed]

        async def again() -> T:
            if first:
                raise first.pop()
            return await attempt()

        def is_retried(error: BaseException) -> bool:
            if not isinstance(error, AttemptFailed):
                return False
            return not tries.is_over(error.fault, self._answered_at)

        def is_too_late(state: RetryCallState) -> bool:
            return state.upcoming_sleep > tries.left_s

        retrying = AsyncRetrying(
            sleep=anyio.sleep,
            retry=retry_if_exception(is_retried),
            wait=lambda state: tries.wait_s(_fault_of_try(state)),
            stop=is_too_late,
            reraise=True,
        )
        return await retrying(again)

    async def _attempt(
        self,
        work: Callable[[Attempt], Awaitable[T]],
        on_attempt: Callable[[], None],
        tries: Tries,
    ) -> T:
        queued_at = monotonic()
        async with self.limit.places:
            tries.note_queued(monotonic() - queued_at)
            await self._ensure_is_up(tries)
            on_attempt()
            try:
                result = await work(
                    Attempt(self._client, self.manners, tries, self.limit, self._note_word)
                )
            except anyio.get_cancelled_exc_class():
                self.breaker.note_left()
                raise
            except (ContextOverflowError, ModelCallError):
                self._note_word()
                raise
            except Exception as error:
                raise AttemptFailed(self._noted(fault_of(error))) from error
            self.limit.note_success()
            self._note_word()
            return result

    async def _ensure_is_up(self, tries: Tries) -> None:
        """Wait until a server that is down may be tried, or fail at once if another can be asked.

        Raises:
            ModelCallError: It is down.
        """
        if tries.is_first_round:
            self.breaker.ensure_closed()
            return
        with anyio.move_on_after(tries.left_s):
            await self.breaker.wait()
            return
        raise ServerUnreachableError(
            f"{self.host} was down for {self._patience.call_s:g} s (`patience.call_s`); the last "
            f"time: {self.scrubbed(self.breaker.why)}"
        )

    def _noted(self, fault: Fault) -> Fault:
        """Return a fault once limit and breaker have taken note of it."""
        if fault.is_silence and self.limit.served:
            # It works on others, so it is there.
            fault = replace(fault, is_outage=False, is_overload=True)
        self.limit.note_fault(fault)
        self.breaker.note_fault(fault)
        log_event("remote.attempt_failed", host=self.host, why=self.scrubbed(fault.what))
        return fault

    def _note_word(self) -> None:
        self._answered_at = monotonic()
        self.breaker.note_success()

    # --- what is told -----------------------------------------------------------------------

    def _told(self, fault: Fault, what: str) -> ModelCallError | ContextOverflowError:
        told = f"{self.host}: {self.scrubbed(what)}"
        if fault.is_context:
            return ContextOverflowError(told)
        if fault.is_overload:
            return ServerBusyError(told)
        return ServerUnreachableError(told) if fault.is_unreachable else ModelCallError(told)

    def scrubbed(self, text: str) -> str:
        """Return a text without the key, which servers like to quote, and of bounded length."""
        if len(self._key) >= _SHORTEST_KEY:
            text = text.replace(self._key, "***")
        return text if len(text) <= _LONGEST_TOLD else f"{text[:_LONGEST_TOLD]} …"


def _fault_of_try(state: RetryCallState) -> Fault:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, AttemptFailed), "only failed attempts are tried again"
    return error.fault
