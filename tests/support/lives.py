"""Lives of texts: whatever can happen to one, at random."""

import random
from contextlib import suppress

import anyio
from support.models import CORPUS, GREEDY, session

from collab.errors import ContextOverflowError, ModelCallError
from collab.proposals import Until
from collab_backends.local.model import LocalModel


async def live_a_life(model: LocalModel, fate: random.Random) -> None:
    """Do random things to a text; leave early, or let it fail."""
    with anyio.CancelScope() as scope:
        async with session(model, fate.choice(CORPUS) * fate.randrange(1, 3)) as live:
            for _ in range(fate.randrange(1, 6)):
                await live.generate(Until(fate.randrange(1, 12)), GREEDY)
                match fate.randrange(5):
                    case 0:
                        live.append(" So then")
                    case 1:
                        await live.judge("A or B? (", ("A", "B"))
                    case 2:
                        async with live.fork() as twin:
                            await twin.generate(Until(3), GREEDY)
                    case 3:
                        scope.cancel()


async def live_many_lives(model: LocalModel, seed: int) -> None:
    """Have 24 texts live at the same time; what fails is theirs."""

    async def tolerant(number: int) -> None:
        with suppress(ModelCallError, ContextOverflowError):
            await live_a_life(model, random.Random(f"{seed} {number}"))

    async with anyio.create_task_group() as group:
        for number in range(24):
            group.start_soon(tolerant, number)
