"""Random things that happen to a session: whatever they are, its text goes on as if nothing had."""

import random

from support.models import GREEDY

from collab.proposals import Until
from collab_backends.local.session import LocalSession


async def change(live: LocalSession, rng: random.Random) -> None:
    """Do a few random things to a session."""
    mark = live.mark
    for _ in range(rng.randrange(1, 4)):
        match rng.randrange(6):
            case 0:
                proposal = await live.generate(Until(rng.randrange(1, 9)), GREEDY)
                live.commit(rng.randrange(len(proposal.tokens) + 1))
            case 1:
                live.append(rng.choice([" and then", ".", "\n\nSo", " 12", "é"]))
            case 2:
                live.rollback(mark)
            case 3:
                async with live.fork() as twin:
                    twin.append(" junk")
                    await twin.generate(Until(3), GREEDY)
            case 4:
                async with live.fork() as twin:
                    twin.append(rng.choice([" or", "\n"]))
                    twin.commit(len((await twin.generate(Until(2), GREEDY)).tokens))
                    live.adopt(twin)
            case _:
                await live.judge("\nA or B? (", ("A", "B"))
