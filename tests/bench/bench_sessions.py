"""What serving engines do not offer: kept texts, forks, observers, steering; and what they cost."""

import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from statistics import median
from time import perf_counter, process_time

import anyio
import torch
from bench_models import GREEDY, lab_model, open_session, served, small_model, tasks
from support.limits import token_bytes
from transformers import PreTrainedModel

from collab.proposals import Until
from collab.signals import NO_SIGNALS, Gate, Observation, Signals, Steering
from collab_backends.local.cache import SequenceCache
from collab_backends.local.engine import Engine
from collab_backends.local.jobs import Job
from collab_backends.local.model import LocalModel
from collab_backends.local.packed import PackedPasses
from collab_backends.local.prefill_jobs import JudgeJob
from collab_backends.local.scheduler import Share
from collab_backends.local.session import LocalSession

SESSIONS, ROUNDS, SEGMENT, QUESTION = 16, 5, 16, 30
FEW = 6
"""Sessions of the workload with the larger model, which takes minutes otherwise."""
STEPS = 24
PREFIX, JUDGED = 512, 64
CLIENTS, TRIPS = 32, 200
REPEATS = 5


def measure_sessions() -> dict[str, float]:
    """Measure on the lab's mentor, figures named `small.` on a model of 100 M.

    `engine.workload_vs_reprefill`: 16 texts (6 of the larger model), 5 rounds of 16 tokens and a
    discarded question of 30, over the same with the whole text computed at every call.
    `engine.fork_speedup`: a fork, a question of 64 tokens and its end, over computing the text of
    512 tokens and the question.
    `engine.await_us`: CPU microseconds of a call beside its forward pass, 32 at a time.
    `engine.loop_lag_ms`: median lateness of the event loop while 16 texts decode, beside
    `engine.loop_lag_idle_ms`.
    `engine.observer_overhead`, `engine.steering_overhead`: of the time of a step with 16 texts.
    `engine.kv_bytes_ratio`: memory of a text's cache over what the configuration predicts.
    """
    torch.set_num_threads(1)
    figures: dict[str, float] = {}
    for prefix, model in (("", lab_model()), ("small.", small_model())):
        measured = anyio.run(_measure, model)
        figures |= {f"{prefix}{name}": value for name, value in measured.items()}
    return figures | anyio.run(_awaiting, lab_model())


async def _measure(model: PreTrainedModel) -> dict[str, float]:
    async with served(model) as local:
        return {
            "engine.workload_vs_reprefill": await _workload_ratio(local),
            "engine.fork_speedup": await _fork_ratio(local),
            **await _lag(local),
            **await _overheads(local),
            "engine.kv_bytes_ratio": await _bytes_ratio(local),
        }


# --- kept texts -------------------------------------------------------------------------------


async def _workload_ratio(local: LocalModel) -> float:
    kept = await _cpu_seconds(local, partial(_workload, local, is_forgetful=False))
    memory = local.engine.memory
    with _patched(memory, "donor", lambda *_: (None, 0)):
        forgotten = await _cpu_seconds(local, partial(_workload, local, is_forgetful=True))
    return forgotten / kept


async def _workload(local: LocalModel, *, is_forgetful: bool) -> None:
    model = local.engine.passes.model
    is_large = model.num_parameters() > 50_000_000
    todo = tasks(model, SESSIONS, 1, 1)[: FEW if is_large else SESSIONS]
    question = _random_ids(model, QUESTION)

    async def collaborate(ids: Sequence[int]) -> None:
        session = open_session(local, ids)
        for _ in range(ROUNDS):
            await session.generate(Until(SEGMENT), GREEDY)
            await _ask(session, question)
            session.commit(SEGMENT)
            if is_forgetful:
                ids = session.ids
                session.close()
                session = open_session(local, ids)
        session.close()

    async with anyio.create_task_group() as group:
        for task in todo:
            group.start_soon(collaborate, task.ids)


async def _ask(session: LocalSession, question: Sequence[int]) -> None:
    """Ask behind the text, as `judge` does, with given ids."""
    with session._scratch() as cache:
        keys = [*session._steers.keys(session.ids), *question]
        await session._run(JudgeJob(cache, keys, [2, 3], donor=session._cache))


async def _fork_ratio(local: LocalModel) -> float:
    model = local.engine.passes.model
    session = open_session(local, _random_ids(model, PREFIX))
    await session.generate(Until(1), GREEDY)
    question = _random_ids(model, JUDGED)

    async def forked() -> None:
        async with session.fork() as twin:
            await _ask(twin, question)

    async def anew() -> None:
        local.engine.memory.drop_resting()
        fresh = open_session(local, session.ids)
        await _ask(fresh, question)
        fresh.close()

    fork = median([await _timed(forked) for _ in range(REPEATS)])
    again = median([await _timed(anew) for _ in range(REPEATS)])
    session.close()
    return again / fork


# --- beside the forward pass ------------------------------------------------------------------


class _NoForward(PackedPasses):
    """Passes after which all jobs are done at once: what is left is the way there and back."""

    def _forward(self, shares: Sequence[Share]) -> list[Job]:
        for share in shares:
            share.job.cache.advance(share.job.pending)
            share.job.progress.note_started()
        return [share.job for share in shares]


async def _awaiting(model: PreTrainedModel) -> dict[str, float]:
    async with served(model) as local:
        pass
    plain = local.engine
    engine = Engine(_NoForward(plain.passes.model, plain.hidden, plain.memory.most_tokens))
    context = list(range(2, 402))

    async def client() -> None:
        cache = SequenceCache()
        for _ in range(TRIPS):
            await engine.submit(JudgeJob(cache, context, [2]))

    async with anyio.create_task_group() as group:
        group.start_soon(engine.serve)
        costs = []
        for _ in range(REPEATS):
            started = process_time()
            async with anyio.create_task_group() as clients:
                for _ in range(CLIENTS):
                    clients.start_soon(client)
            costs.append((process_time() - started) / (CLIENTS * TRIPS))
        engine.close()
    return {"engine.await_us": 1e6 * median(costs)}


async def _lag(local: LocalModel) -> dict[str, float]:
    async def lateness(ticks: int) -> float:
        late = []
        for _ in range(ticks):
            asked = perf_counter()
            await anyio.sleep(0.005)
            late.append(perf_counter() - asked - 0.005)
        return 1e3 * median(late)

    idle = await lateness(100)
    sessions = [
        open_session(local, task.ids) for task in tasks(local.engine.passes.model, SESSIONS, 1, 1)
    ]
    async with anyio.create_task_group() as group:
        for session in sessions:
            group.start_soon(session.generate, Until(2_000), GREEDY)
        busy = await lateness(200)
        group.cancel_scope.cancel()
    for session in sessions:
        session.close()
    return {"engine.loop_lag_ms": busy, "engine.loop_lag_idle_ms": idle}


# --- observers and steering -------------------------------------------------------------------


async def _overheads(local: LocalModel) -> dict[str, float]:
    model = local.engine.passes.model
    layer = int(model.config.num_hidden_layers) // 2
    width = int(model.config.hidden_size)
    observing = Signals(observations=(Observation("state", layer, Gate()),))
    steering = Steering(layer, [1e-4] * width)

    def opened(signals: Signals, steered: Steering | None) -> list[LocalSession]:
        texts = [open_session(local, task.ids, signals) for task in tasks(model, SESSIONS, 1, 1)]
        for session in texts:
            session.steer(steered)
        return texts

    async def step(sessions: Sequence[LocalSession], new: int) -> float:
        async def write(session: LocalSession) -> None:
            await session.generate(Until(new), GREEDY)
            session.commit(new)

        async def write_all() -> None:
            async with anyio.create_task_group() as group:
                for session in sessions:
                    group.start_soon(write, session)

        forwards = local.engine.forwards
        return await _timed(write_all) / (local.engine.forwards - forwards)

    ways = [opened(NO_SIGNALS, None), opened(observing, None), opened(NO_SIGNALS, steering)]
    for sessions in ways:
        await step(sessions, 1)
    # Side by side: each repeat measures one after the other, so noise meets all alike.
    rounds = [[await step(sessions, STEPS) for sessions in ways] for _ in range(REPEATS)]
    for session in (one for sessions in ways for one in sessions):
        session.close()
    return {
        "engine.observer_overhead": median(observed / plain - 1 for plain, observed, _ in rounds),
        "engine.steering_overhead": median(steered / plain - 1 for plain, _, steered in rounds),
    }


# --- memory -----------------------------------------------------------------------------------


async def _bytes_ratio(local: LocalModel) -> float:
    session = open_session(local, _random_ids(local.engine.passes.model, 600))
    await session.generate(Until(8), GREEDY)
    predicted = token_bytes(local.engine.passes.model) * session._cache.length
    assert isinstance(session._cache, SequenceCache)
    ratio = float(session._cache.nbytes / predicted)
    session.close()
    return ratio


# --- helpers ----------------------------------------------------------------------------------


@contextmanager
def _patched(owner: object, name: str, value: object) -> Iterator[None]:
    setattr(owner, name, value)
    try:
        yield
    finally:
        delattr(owner, name)


def _random_ids(model: PreTrainedModel, count: int) -> list[int]:
    rng = random.Random(count)
    return [rng.randrange(2, int(model.config.vocab_size)) for _ in range(count)]


async def _cpu_seconds(local: LocalModel, work: Callable[[], Awaitable[None]]) -> float:
    local.engine.memory.drop_resting()
    return await _timed(work)


async def _timed(work: Callable[[], Awaitable[None]]) -> float:
    started = process_time()
    await work()
    return process_time() - started
