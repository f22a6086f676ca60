"""One server: its connections, its limit, and calls that are tried again where that can help."""

import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import TypeVar
from urllib.parse import urlsplit

import anyio
import httpx2
from openai import AsyncOpenAI, AsyncStream, DefaultAioHttpClient
from pydantic import BaseModel, ConfigDict, Field
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from collab.errors import ConfigError, ContextOverflowError, ModelCallError
from collab.observability import log_event
from collab.telemetry_names import SERVER_ADDRESS, SERVER_PORT
from collab.texts import without_credentials
from collab_backends.remote.bounded import ACCEPTED, bounding
from collab_backends.remote.events import read_events, read_whole
from collab_backends.remote.failures import (
    AttemptFailed,
    Fault,
    ServerBusyError,
    ServerUnreachableError,
    fault_of,
)
from collab_backends.remote.requests import Json
from collab_backends.remote.throttle import AdaptiveLimit, CircuitBreaker

T = TypeVar("T")

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 8.0
_SERVER_LEFT_ALONE_JITTER_S = 0.25
_SLOT_START = 16
_LONGEST_TOLD = 400
_SHORTEST_KEY = 6
"""Shorter ones are nobody's secret, and stand in every word."""


class Patience(BaseModel):
    """How long and how often a server is tried, and how much of an answer is listened to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    attempts: int = Field(default=5, ge=1, description="Tries of one call, the first included.")
    connect_s: float = Field(default=5.0, gt=0, description="For a connection.")
    attempt_s: float = Field(default=120.0, gt=0, description="For one try, from first to last.")
    call_s: float = Field(default=300.0, gt=0, description="For all tries and waits of a call.")
    hedge_after_s: float | None = Field(
        default=None,
        gt=0,
        description="Ask calls of one token (judging) a second time if they take longer: at the "
        "next URL, if there is one. At most 5 % of them; the loser is cancelled and counted.",
    )
    silence_s: float = Field(default=60.0, gt=0, description="Between two bytes of an answer.")
    max_response_mib: float = Field(
        default=64.0, gt=0, description="Largest answer, unpacked; a larger one is left."
    )


class Endpoint:
    """A server at one base URL.

    Nobody else retries: the client's own retries are off. Every attempt is reported to
    `on_attempt`, so that failed ones are in the ledger.

    Args:
        base_url: With scheme and version path, such as `http://127.0.0.1:8000/v1`.
        key: The secret; it appears in no error.
        patience: How long and how often it is tried.
        connections: Most calls at a time.

    Attributes:
        served_as: What the server calls the model in its answers; empty before the first.
    """

    def __init__(
        self,
        base_url: str,
        key: str,
        *,
        patience: Patience,
        connections: int,
    ) -> None:
        self.base_url = base_url
        parts = urlsplit(base_url)
        self.host = parts.netloc.rpartition("@")[2]
        self.server: dict[str, str | int] = {SERVER_ADDRESS: parts.hostname or ""}
        if parts.port:
            self.server[SERVER_PORT] = parts.port
        self.limit = AdaptiveLimit(_SLOT_START, connections)
        self.breaker = CircuitBreaker(self.host)
        self.served_as = ""
        self._key = key
        self._patience = patience
        self._jitter = random.Random()
        self._client = AsyncOpenAI(
            base_url=base_url,
            api_key=key or "none",
            max_retries=0,
            timeout=patience.silence_s,
            http_client=_http_client(patience, connections),
        )

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
            raise self._told(fault_of(error)) from None

    async def call(
        self,
        work: Callable[[], Awaitable[T]],
        on_attempt: Callable[[], None] = lambda: None,
        *,
        attempts: int | None = None,
        waits: bool = True,
    ) -> T:
        """Do `work`, again where that can help; it has not changed anything when it fails.

        Raises:
            ContextOverflowError: The text is too long for the model.
            ServerUnreachableError: The last attempt got no answer.
            ModelCallError: It failed for good.
        """
        try:
            with anyio.fail_after(self._patience.call_s):
                try:
                    return await self._attempt(work, on_attempt, waits=waits)
                except AttemptFailed as failed:
                    most = attempts or self._patience.attempts
                    return await self._again(failed, work, on_attempt, most)
        except AttemptFailed as failed:
            # What the client says of it may hold the key: servers like to quote it.
            raise self._told(failed.fault) from None
        except TimeoutError:
            raise ServerUnreachableError(
                f"{self.host} did not manage the call within {self.call_s:g} s"
            ) from None

    async def _again(
        self,
        failed: AttemptFailed,
        work: Callable[[], Awaitable[T]],
        on_attempt: Callable[[], None],
        most: int,
    ) -> T:
        """Do `work` until it succeeds or no more attempts are left, of which one has failed.

        Most calls succeed at once, and need no bookkeeping for more.
        """
        first: list[AttemptFailed] = [failed]

        async def attempt() -> T:
            if first:
                raise first.pop()
            return await self._attempt(work, on_attempt, waits=True)

        retrying = AsyncRetrying(
            sleep=anyio.sleep,
            stop=self._is_enough(most),
            wait=self._wait_s,
            retry=retry_if_exception(_is_retried),
            reraise=True,
        )
        return await retrying(attempt)

    @property
    def call_s(self) -> float:
        """How long a call may take, with all its tries and waits."""
        return self._patience.call_s

    async def post(self, path: str, body: Json) -> object:
        """Send one request; part of the `work` of a call."""
        return await self._client.post(path, cast_to=object, body=body)

    @asynccontextmanager
    async def stream(self, path: str, body: Json) -> AsyncIterator[AsyncIterator[object]]:
        """Send one request and yield the events of its answer; leaving early ends it."""
        stream: AsyncStream[object] = await self._client.post(
            path, cast_to=object, body={**body, "stream": True}, stream=True, stream_cls=_STREAM
        )
        # Not read through the client's own stream: it leaves generators behind that are closed
        # whenever they are collected, in whatever thread.
        async with (
            aclosing(stream.response.aiter_raw()) as chunks,
            aclosing(_told_events(stream, chunks)) as events,
        ):
            try:
                yield events
            finally:
                with anyio.CancelScope(shield=True):
                    await stream.close()

    async def _attempt(
        self, work: Callable[[], Awaitable[T]], on_attempt: Callable[[], None], *, waits: bool
    ) -> T:
        async with self.limit.places:
            if waits:
                await self.breaker.wait()
            else:
                self.breaker.ensure_closed()
            on_attempt()
            try:
                with anyio.fail_after(self._patience.attempt_s):
                    result = await work()
            except anyio.get_cancelled_exc_class():
                self.breaker.note_left()
                raise
            except (ContextOverflowError, ModelCallError):
                self.breaker.note_success()
                raise
            except Exception as error:
                fault = fault_of(error)
                self.limit.note_fault(fault)
                self.breaker.note_fault(fault)
                log_event("remote.attempt_failed", host=self.host, why=self.scrubbed(fault.what))
                raise AttemptFailed(fault) from error
            self.limit.note_success()
            self.breaker.note_success()
            return result

    def _is_enough(self, most: int) -> Callable[[RetryCallState], bool]:
        """Return whether to give up; a server that is only busy is asked as often as ever."""

        def is_enough(state: RetryCallState) -> bool:
            error = state.outcome.exception() if state.outcome else None
            is_busy = isinstance(error, AttemptFailed) and error.fault.is_overload
            return state.attempt_number >= (self._patience.attempts if is_busy else most)

        return is_enough

    # --- patience ---------------------------------------------------------------------------

    def _wait_s(self, state: RetryCallState) -> float:
        """Return how long to wait: as the server asks, never less; else longer every time."""
        error = state.outcome.exception() if state.outcome else None
        asked = error.fault.retry_after_s if isinstance(error, AttemptFailed) else None
        if asked is not None:
            return asked + self._jitter.uniform(0.0, _SERVER_LEFT_ALONE_JITTER_S)
        longest = min(_FIRST_WAIT_S * 2**state.attempt_number, _LONGEST_WAIT_S)
        return self._jitter.uniform(0.0, longest)

    def _told(self, fault: Fault) -> ModelCallError | ContextOverflowError:
        what = f"{self.host}: {self.scrubbed(fault.what)}"
        if fault.is_context:
            return ContextOverflowError(what)
        if fault.is_overload:
            return ServerBusyError(what)
        return ServerUnreachableError(what) if fault.is_unreachable else ModelCallError(what)

    def scrubbed(self, text: str) -> str:
        """Return a text without the key, which servers like to quote, and of bounded length."""
        if len(self._key) >= _SHORTEST_KEY:
            text = text.replace(self._key, "***")
        return text if len(text) <= _LONGEST_TOLD else f"{text[:_LONGEST_TOLD]} …"


_STREAM = AsyncStream[object]


def _told_events(
    stream: AsyncStream[object], chunks: AsyncGenerator[bytes, None]
) -> AsyncGenerator[object, None]:
    """Return the events of a stream; a server that does not stream tells its answer as one."""
    kind = stream.response.headers.get("content-type", "")
    is_whole = kind.startswith(("application/json", "text/html"))
    return read_whole(chunks) if is_whole else read_events(chunks)


def check_base_url(base_url: str) -> str:
    """Return a base URL without its last slash.

    Raises:
        ConfigError: It cannot be one.
    """
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ConfigError(
            f"{without_credentials(base_url)!r} is no base URL; write it with its scheme "
            "and version path, such as http://127.0.0.1:8000/v1"
        )
    if parts.fragment or parts.password or parts.username or parts.query:
        raise ConfigError(
            f"{without_credentials(base_url)!r} holds a user, a password or a query; write the URL "
            "without, and put the key where `api_key_env` or `api_key_file` says"
        )
    for path in ("/chat/completions", "/completions", "/models"):
        if parts.path.rstrip("/").endswith(path):
            raise ConfigError(
                f"{without_credentials(base_url)!r} is the URL of one call; leave out {path!r}"
            )
    return base_url.rstrip("/")


def _is_retried(error: BaseException) -> bool:
    return isinstance(error, AttemptFailed) and error.fault.is_retried


def _http_client(patience: Patience, connections: int) -> DefaultAioHttpClient:
    return DefaultAioHttpClient(
        follow_redirects=False,
        headers={"accept-encoding": ACCEPTED},
        event_hooks={"response": [bounding(patience.max_response_mib)]},
        timeout=httpx2.Timeout(patience.silence_s, connect=patience.connect_s),
        limits=httpx2.Limits(
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=4.0,
        ),
    )
