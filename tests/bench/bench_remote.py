"""What the remote backend costs beside the client that it stands on."""

import resource
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import anyio
from bench_server import canned
from openai import AsyncOpenAI, DefaultAioHttpClient

from collab import Controller, Recipe
from collab.proposals import Sampling, Until
from collab.testing import FakeBackend, FakeModel
from collab.views import View, ViewOptions
from collab_backends.remote.backend import OpenAIServer
from collab_policies.random_positions import RandomPositions

GREEDY = Sampling()
PROMPT = "word " * 400
VIEW = View("mentor", PROMPT, ViewOptions(template="raw"))
REQUESTS = 2_000
REPEATS = 3


def measure_remote() -> dict[str, float]:
    """Measure against a server of our own on this machine, in another process.

    `remote.throughput_vs_raw_N`: requests per second with N in flight over a bare loop of
    `completions.create` on the same client; `remote.throughput_vs_untyped_N`: over a bare loop that
    does not even parse the answers. `remote.requests_per_s_256`: ours.
    `remote.cpu_ms_per_decision`: CPU of a request beside that of the bare loop that parses nothing,
    64 in flight.
    `remote.throughput_vs_raw_64_50ms`: the same where every answer takes 50 ms.
    `remote.requests_per_output_token`: of both models, where the positions are drawn ahead.
    `remote.memory_growth_mib`: resident memory after 10,000 requests over that after 2,000.
    """
    return anyio.run(_measure)


async def _measure() -> dict[str, float]:
    figures: dict[str, float] = {}
    async with canned(0.0) as url:
        for in_flight in (1, 64, 256):
            count = REQUESTS if in_flight > 1 else 200
            rounds = [await _round(url, in_flight, count) for _ in range(REPEATS)]
            figures[f"remote.throughput_vs_raw_{in_flight}"] = median(
                one.raw.wall / one.ours.wall for one in rounds
            )
            figures[f"remote.throughput_vs_untyped_{in_flight}"] = median(
                one.untyped.wall / one.ours.wall for one in rounds
            )
            if in_flight == 64:
                figures["remote.cpu_ms_per_decision"] = 1e3 * median(
                    (one.ours.cpu - one.untyped.cpu) / count for one in rounds
                )
            if in_flight == 256:
                figures["remote.requests_per_s_256"] = median(
                    count / one.ours.wall for one in rounds
                )
    async with canned(0.05) as url:
        rounds = [await _round(url, 64, REQUESTS) for _ in range(REPEATS)]
        figures["remote.throughput_vs_raw_64_50ms"] = median(
            one.raw.wall / one.ours.wall for one in rounds
        )
    figures["remote.memory_growth_mib"] = await _memory_growth()
    figures["remote.requests_per_output_token"] = await _requests_per_token()
    return figures


@dataclass(frozen=True, slots=True)
class _Cost:
    wall: float
    cpu: float


@dataclass(frozen=True, slots=True)
class _Round:
    raw: _Cost
    untyped: _Cost
    ours: _Cost


async def _round(url: str, in_flight: int, count: int) -> _Round:
    client = AsyncOpenAI(
        base_url=url, api_key="none", max_retries=0, http_client=DefaultAioHttpClient()
    )

    async def raw() -> None:
        await client.completions.create(
            model="m", prompt=PROMPT, max_tokens=16, temperature=0.0, logprobs=2
        )

    async def untyped() -> None:
        body = {"model": "m", "prompt": PROMPT, "max_tokens": 16, "temperature": 0, "logprobs": 2}
        await client.post("/completions", cast_to=object, body=body)

    bare = await _many(raw, in_flight, count)
    barest = await _many(untyped, in_flight, count)
    await client.close()
    backend = OpenAIServer(
        model="m", base_url=(url,), mode="text", max_connections=max(in_flight, 16)
    )
    async with backend.connect() as model:
        model.endpoints[0].limit._set(in_flight)  # type: ignore[attr-defined]  # as if grown

        async def ours() -> None:
            async with model.open(VIEW, seed=0) as session:
                await session.generate(Until(16), GREEDY)

        return _Round(bare, barest, await _many(ours, in_flight, count))


async def _memory_growth() -> float:
    async with canned(0.0) as url:
        backend = OpenAIServer(model="m", base_url=(url,), mode="text")
        async with backend.connect() as model:

            async def ours() -> None:
                async with model.open(VIEW, seed=0) as session:
                    await session.generate(Until(16), GREEDY)

            await _many(ours, 64, 2_000)
            before = _resident_mib()
            await _many(ours, 64, 8_000)
            return _resident_mib() - before


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


async def _many(work: Callable[[], Awaitable[None]], in_flight: int, count: int) -> _Cost:
    left = count

    async def worker() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await work()

    wall, cpu = perf_counter(), process_time()
    async with anyio.create_task_group() as group:
        for _ in range(in_flight):
            group.start_soon(worker)
    return _Cost(perf_counter() - wall, process_time() - cpu)


async def _requests_per_token() -> float:
    async with canned(0.0) as url:
        backend = OpenAIServer(model="m", base_url=(url,), mode="text")
        words = "".join(f" w{n}" for n in range(600))
        async with Controller(
            generator=backend,
            mentor=FakeBackend(model=FakeModel(words)),
            recipe=Recipe(policy=RandomPositions(rate=0.24), segment=Until(16)),
        ) as controller:
            result = await controller.solve(PROMPT)
    calls = sum(call.attempts for call in result.calls)
    return calls / sum(span.tokens for span in result.spans)
