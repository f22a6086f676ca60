"""What the rank signal costs of a step: observing its layers, and the mathematics behind it."""

from statistics import median
from time import process_time

import anyio
import torch
from bench_models import GREEDY, open_session, served, small_model, tasks, thin_model

from collab.proposals import Proposal, Until
from collab.signals import NO_SIGNALS, Signals
from collab_backends.local.model import LocalModel
from collab_backends.local.session import LocalSession
from collab_policies.rank.observing import observations, opening_states
from collab_policies.rank.options import RankOptions, upper_layers

STEP = 50
STEPS, FIRST_TOKENS, OTHER_TOKENS, SCORES = 5, 150, 1_000, 2_000
OPTIONS = RankOptions(layers=upper_layers(12))
"""Of models with 12 blocks: 4 layers, window 8."""


def measure_rank() -> dict[str, float]:
    """Measure on a random Qwen3 of about 100 M: steps of 50 tokens, window 8, 4 layers, one text.

    `rank.share_of_step_time`: what the signal takes of the CPU time of decoding a step; the sum of
    `rank.engine_share`, observing the layers at the delimiter, and of `rank.policy_share`, a push
    and a score, which take `rank.policy_us` microseconds.

    The engine's part is far below the noise between two steps. So an observed text and a plain one
    take turns, token by token, and medians of the differences are summed over a step. Of its
    first token, where states are handed over, that is measured on the same model. Of the others
    only bookkeeping is left, which does not depend on the width: it is measured on a thin model
    with as many blocks, where it stands out.
    """
    torch.set_num_threads(1)
    return anyio.run(_measure)


async def _measure() -> dict[str, float]:
    async with served(small_model()) as local:
        plain, observed = _open_both(local, ends_with_delimiter=True)
        first = await observed.generate(Until(1), GREEDY)
        step = median([await _step_seconds(plain) for _ in range(STEPS)])
        of_first = await _extra_of_first_tokens(plain, observed)
    async with served(thin_model()) as local:
        both = _open_both(local, ends_with_delimiter=False)
        of_others = await _extra_of_other_tokens(*both)
    engine, policy = of_first + (STEP - 1) * of_others, _policy_seconds(first)
    return {
        "rank.share_of_step_time": (engine + policy) / step,
        "rank.engine_share": engine / step,
        "rank.policy_share": policy / step,
        "rank.policy_us": 1e6 * policy,
    }


def _open_both(
    local: LocalModel, *, ends_with_delimiter: bool
) -> tuple[LocalSession, LocalSession]:
    """Open the same text without observers and with them.

    At its end they read only if it ends with a delimiter. It matters for what follows as well: the
    thin model repeats itself.
    """
    asked = observations(OPTIONS)
    delimiters = local.engine.hidden.observer(asked[0]).ids
    assert delimiters, "the lab's tokenizer has a blank line"
    (task,) = tasks(local.engine.passes.model, 1, 1, 1)
    last = min(delimiters) if ends_with_delimiter else max(delimiters) + 1
    ids = (*task.ids, last)
    return open_session(local, ids, NO_SIGNALS), open_session(
        local, ids, Signals(observations=asked)
    )


async def _step_seconds(session: LocalSession) -> float:
    mark = session.mark
    await session.generate(Until(1), GREEDY)
    session.rollback(mark)
    started = process_time()
    await session.generate(Until(STEP), GREEDY)
    seconds = process_time() - started
    session.rollback(mark)
    return seconds


async def _extra_of_first_tokens(plain: LocalSession, observed: LocalSession) -> float:
    """Return how much longer the token behind a delimiter takes if it is observed."""
    marks = {session: session.mark for session in (plain, observed)}
    differences: list[float] = []
    for turn in range(FIRST_TOKENS):
        for session, mark in marks.items():
            session.rollback(mark)
        differences.append(await _difference(plain, observed, turn))
    return median(differences)


async def _extra_of_other_tokens(plain: LocalSession, observed: LocalSession) -> float:
    """Return how much longer a token takes if observers are there and do not read at it."""
    differences = [await _difference(plain, observed, turn) for turn in range(OTHER_TOKENS)]
    return median(differences)


async def _difference(plain: LocalSession, observed: LocalSession, turn: int) -> float:
    """Have both write a token; return how much longer it took the observed one."""
    # They go first in turns, so that neither always finds the machine as the other left it.
    order = (plain, observed) if turn % 2 else (observed, plain)
    seconds = {session: await _token_seconds(session) for session in order}
    return seconds[observed] - seconds[plain]


async def _token_seconds(session: LocalSession) -> float:
    started = process_time()
    await session.generate(Until(1), GREEDY)
    seconds = process_time() - started
    session.commit(1)
    return seconds


def _policy_seconds(step: Proposal) -> float:
    """Return the median time of a step's push and score with a full window."""
    trajectory = OPTIONS.start()
    times: list[float] = []
    for _ in range(SCORES):
        started = process_time()
        states = opening_states(step.tokens, OPTIONS)
        assert states is not None, "the text ends with a delimiter"
        trajectory.push(states)
        OPTIONS.score(trajectory)
        times.append(process_time() - started)
    return median(times[OPTIONS.window :])
