"""Drafts of steps, and recipes of one phase solved with fake models."""

from collections.abc import Sequence

from collab import Controller, Problem, Recipe, Result
from collab.decisions import Mark
from collab.proposals import Proposal, Token
from collab.protocols import Draft
from collab.testing import FakeBackend, FakeModel
from collab.trace import Decided

PROBLEM = Problem(id="p", prompt="q")


def draft(
    text: str = "So.\n\n",
    *,
    entropies: Sequence[float | None] = (),
    logprobs: Sequence[float] = (),
    answer: str = "",
    unit: int = 0,
) -> Draft:
    """Return a draft of one token per number given, the text on the first."""
    count = max(len(entropies), len(logprobs), 1)
    tokens = tuple(
        Token(
            n,
            text if n == 0 else "",
            logprob=logprobs[n] if n < len(logprobs) else None,
            entropy_nats=entropies[n] if n < len(entropies) else None,
        )
        for n in range(count)
    )
    return Draft(Proposal("generator", tokens, "unit"), unit, Mark(unit), answer)


async def run(recipe: Recipe, generator: FakeModel, mentor: FakeModel) -> Result:
    async with Controller(
        generator=FakeBackend(model=generator), mentor=FakeBackend(model=mentor), recipe=recipe
    ) as controller:
        return (await controller.solve(PROBLEM)).raise_for_error()


def reasons(result: Result) -> list[str]:
    return [event.decision.why for event in result.events if isinstance(event, Decided)]


def calls(result: Result) -> list[tuple[str, str]]:
    return [(call.role, call.purpose) for call in result.calls]
