"""How many calls a server is given at a time, and when it is left alone."""

import anyio
import pytest

from collab.errors import ModelCallError
from collab_backends.remote.faults import Fault
from collab_backends.remote.throttle import AdaptiveLimit, CircuitBreaker

REFUSED = Fault("429", is_retried=True, is_overload=True)
DOWN = Fault("refused", is_retried=True, is_outage=True)
SILENT = Fault("nothing came", is_retried=True, is_outage=True, is_silence=True)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_the_limit_doubles_until_the_first_refusal_and_then_grows_slowly() -> None:
    clock = Clock()
    limit = AdaptiveLimit(4, 64, clock=clock)
    bounds = []
    for _ in range(4 + 8 + 16):
        limit.note_success()
        bounds.append(limit.bound)
    assert bounds[-1] == 32

    limit.note_fault(REFUSED)
    shrunk = limit.bound
    for _ in range(26):
        limit.note_success()

    assert shrunk == pytest.approx(25.6)
    assert limit.bound == pytest.approx(25.6 * 1.05)


async def test_refusals_of_one_episode_shrink_the_limit_once() -> None:
    clock = Clock()
    limit = AdaptiveLimit(10, 64, clock=clock)

    for _ in range(5):
        limit.note_fault(REFUSED)
    assert limit.bound == pytest.approx(8)
    clock.now += 16
    limit.note_fault(REFUSED)

    assert limit.bound == pytest.approx(6.4)


async def test_a_fault_of_the_server_does_not_shrink_the_limit_but_stops_its_growth() -> None:
    limit = AdaptiveLimit(2, 64, clock=Clock())

    limit.note_success()
    limit.note_fault(DOWN)
    limit.note_success()

    assert limit.bound == 2


async def test_no_more_calls_than_the_limit_are_in_flight() -> None:
    limit = AdaptiveLimit(3, 64, clock=Clock())
    in_flight = most = 0

    async def call() -> None:
        nonlocal in_flight, most
        async with limit.places:
            in_flight += 1
            most = max(most, in_flight)
            await anyio.lowlevel.checkpoint()
            in_flight -= 1

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(call)

    assert most == 3


async def hold(limit: AdaptiveLimit, count: int) -> list[object]:
    """Enter `count` places, as so many calls in flight do."""
    borrowers = [object() for _ in range(count)]
    for borrower in borrowers:
        await limit.places.acquire_on_behalf_of(borrower)
    return borrowers


async def test_a_refusal_shrinks_the_limit_below_the_calls_in_flight() -> None:
    limit = AdaptiveLimit(16, 64, clock=Clock())
    await hold(limit, 8)

    limit.note_fault(REFUSED)

    # 8 in flight were too many, so 6.4 are allowed.
    assert limit.bound == pytest.approx(6.4)
    assert limit.places.total_tokens == 6


async def test_no_more_calls_are_sent_than_a_slow_server_works_on() -> None:
    limit = AdaptiveLimit(16, 64, clock=Clock())
    await hold(limit, 8)
    limit.served = 4

    limit.note_fault(SILENT)

    assert limit.bound == 4


async def test_a_server_that_is_silent_to_all_is_given_fewer_calls() -> None:
    limit = AdaptiveLimit(16, 64, clock=Clock())
    await hold(limit, 10)

    limit.note_fault(SILENT)

    assert limit.bound == pytest.approx(8)


async def test_words_that_come_late_shrink_the_limit_once_per_episode() -> None:
    clock = Clock()
    limit = AdaptiveLimit(16, 64, clock=clock)
    await hold(limit, 10)

    limit.note_slow()
    limit.note_slow()
    assert limit.bound == pytest.approx(8)
    clock.now += 16
    limit.note_slow()

    assert limit.bound == pytest.approx(6.4)


async def test_a_limit_that_fell_to_one_recovers_by_one_at_a_time() -> None:
    limit = AdaptiveLimit(1, 64, clock=Clock())
    limit.note_fault(REFUSED)
    bounds = []
    for _ in range(1 + 2 + 3):
        limit.note_success()
        bounds.append(limit.bound)

    assert bounds == [2, 2, 3, 3, 3, 4]


def test_a_server_that_is_down_is_left_alone_and_tried_now_and_then() -> None:
    clock = Clock()
    breaker = CircuitBreaker("example", clock=clock)
    for _ in range(5):
        breaker.ensure_closed()
        breaker.note_fault(DOWN)
    with pytest.raises(ModelCallError, match="example failed 5 times .* the last time: refused"):
        breaker.ensure_closed()

    clock.now += 1.1
    breaker.ensure_closed()
    # Only one tries at a time.
    with pytest.raises(ModelCallError):
        breaker.ensure_closed()
    breaker.note_success()

    breaker.ensure_closed()
    assert not breaker.is_open


def test_a_server_that_stays_down_is_left_alone_for_longer() -> None:
    clock = Clock()
    breaker = CircuitBreaker("example", clock=clock)
    for _ in range(5):
        breaker.note_fault(DOWN)
    clock.now += 1.1
    breaker.ensure_closed()
    breaker.note_fault(DOWN)
    clock.now += 1.1

    assert breaker.is_open
    clock.now += 1.0
    assert not breaker.is_open


def test_a_refusal_shows_that_the_server_is_there() -> None:
    breaker = CircuitBreaker("example", clock=Clock())

    for _ in range(20):
        breaker.note_fault(REFUSED)

    assert not breaker.is_open


def test_one_that_tried_and_left_lets_the_next_one_try() -> None:
    clock = Clock()
    breaker = CircuitBreaker("example", clock=clock)
    for _ in range(5):
        breaker.note_fault(DOWN)
    clock.now += 2
    breaker.ensure_closed()

    breaker.note_left()

    breaker.ensure_closed()
