"""The strategy and recipe `lookahead`: steps drafted ahead, the mentor's own steps in parallel."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

import anyio
from pydantic import Field

from collab.capabilities import Need
from collab.endings import Ending
from collab.options import LongestAnswer, MentorName, Options, RepeatLimit
from collab.proposals import Proposal, Until
from collab.recipes import MethodRecipe, Recipe
from collab.roles import GENERATOR, MENTOR
from collab.strategies import Desk, Strategy
from collab.units import StepUnit

_QUESTION = """

Two ways to go on from here were written.

First: {own}

Second: {offered}

Do both say the same, so that either can stand for the other?
(A) yes
(B) no
Answer: ("""


class LookaheadOptions(Options):
    """How far ahead is drafted, and who compares."""

    depth: int = Field(default=4, ge=1, description="Steps drafted ahead.")
    mentor: MentorName = MENTOR
    judge: str | None = Field(
        default=MENTOR, description="Who compares two steps; null takes only equal ones as equal."
    )
    threshold: float = Field(
        default=0.5, ge=0, le=1, description="Least share of the first label for equal steps."
    )

    labels: tuple[str, str] = Field(
        default=("A", "B"), description="The judge's answers; their first tokens must differ."
    )


class Lookahead(LookaheadOptions, Strategy):
    """Draft several steps ahead; the mentor writes its own version of each at the same time.

    Each of the mentor's steps follows the steps drafted before it. The drafted steps stand up to
    the first one that says something else than the mentor's; there the mentor's step stands. What
    was begun after it is cancelled.

    References:
        Lookahead Reasoning, arXiv:2506.19830: chains of 4 steps; a third model of 7 B parameters
        says whether two steps mean the same.
        Deviation: equal texts agree without being judged, and a step that ends the text agrees only
        with one that ends it too. The mentor judges unless another participant is named.
    """

    @property
    def needs(self) -> Sequence[Need]:
        """A mentor, and somebody who can judge."""
        judging = () if self.judge is None else (Need(self.judge, "judge"),)
        return (Need(self.mentor, "text"), *judging)

    async def run(self, desk: Desk) -> Ending | None:
        """Draft and compare until the text is over."""
        while desk.ending is None:
            most = self.depth * desk.unit.max_tokens
            ahead = await desk.write(GENERATOR, Until(most, desk.unit, self.depth))
            async with AsyncExitStack() as stack:
                chain = await _places(stack, desk, ahead)
                await self._compare(chain)
                last = next((one for one in chain if not one.agrees), chain[-1])
                stands = last.own if last.agrees else last.offered
                assert stands is not None, "all places before the first disagreement were compared"
                await last.desk.commit(stands)
                await desk.adopt(last.desk)
        return desk.ending

    async def _compare(self, chain: Sequence["_Place"]) -> None:
        """Compare all steps at the same time; the first disagreement cancels those after it."""

        async def compare(number: int) -> None:
            place = chain[number]
            with place.scope:
                place.agrees = await self._agrees(place)
                if not place.agrees:
                    for later in chain[number + 1 :]:
                        later.scope.cancel()

        async with anyio.create_task_group() as group:
            for number in range(len(chain)):
                group.start_soon(partial(compare, number))

    async def _agrees(self, place: "_Place") -> bool:
        desk, own = place.desk, place.own
        segment = Until(desk.unit.max_tokens, desk.unit)
        offered = place.offered = await desk.write(self.mentor, segment, purpose="consult")
        if (own.stop == "eos") != (offered.stop == "eos"):
            return False
        if own.text.strip() == offered.text.strip():
            return True
        if self.judge is None:
            return False
        question = _QUESTION.format(own=own.text.strip(), offered=offered.text.strip())
        answer = await desk.judge(self.judge, question, self.labels)
        return answer.normalised(self.labels[0]) >= self.threshold


@dataclass(slots=True, eq=False)
class _Place:
    """A place of a chain: after the steps drafted before it.

    Attributes:
        desk: A branch that holds these steps.
        own: The step that was drafted there.
        scope: Cancels its comparison.
        offered: The mentor's step, once it is written.
        agrees: Whether both are known to say the same.
    """

    desk: Desk
    own: Proposal
    scope: anyio.CancelScope
    offered: Proposal | None = None
    agrees: bool = False


async def _places(stack: AsyncExitStack, desk: Desk, ahead: Proposal) -> list[_Place]:
    """Return the places of a chain, up to where the drafted steps end the text by repetition."""
    places: list[_Place] = []
    for start, end in _steps_of(ahead):
        branch = await stack.enter_async_context(desk.branch())
        before = ahead.part(0, start)
        if before.tokens and await branch.commit(before, cuts=before.cuts):
            break
        places.append(_Place(branch, ahead.part(start, end), anyio.CancelScope()))
    return places


def _steps_of(ahead: Proposal) -> list[tuple[int, int]]:
    """Return where each step begins and ends; the last may be incomplete, or empty at an end."""
    ends = [*ahead.cuts]
    if not ends or ends[-1] < len(ahead.tokens):
        ends.append(len(ahead.tokens))
    return list(zip([0, *ends], ends, strict=False))


class LookaheadRecipe(LookaheadOptions, MethodRecipe):
    """Lookahead Reasoning: chains of steps that stand as far as the mentor would say the same."""

    method = "lookahead"
    strategy = Lookahead

    step_tokens: int = Field(default=512, ge=1, description="Longest step.")
    max_answer_tokens: LongestAnswer = 8192
    repeat_limit: RepeatLimit = 2

    def recipe(self) -> Recipe:
        """Return the recipe."""
        unit = StepUnit(max_tokens=self.step_tokens)
        return self.assembled(unit, max_answer_tokens=self.max_answer_tokens)
