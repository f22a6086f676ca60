"""Rolling out: what a real model would write from behind a proposal, and what that leaves."""

import random

from support.plugins import Scripted

from collab import (
    Abstain,
    Consult,
    Controller,
    Problem,
    Recipe,
    Verdict,
    Verifier,
    VerifierSession,
)
from collab.protocols import Case, VerifierDesk
from collab_backends.local.backend import LocalTorch

PAIR = {
    "generator": LocalTorch(model="lab/generator", threads=1),
    "mentor": LocalTorch(model="lab/mentor-b", threads=1),
}
PROMPT = "Mod 10: m = 8, c = m - 2, o = c * 9, i = o * 7. What is i?\n\n"


class Foresight(Verifier):
    """Tries both continuations out, and says in `why` what it saw behind one of them."""

    of: str

    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        return _ForesightSession(self.of)


class _ForesightSession(VerifierSession):
    def __init__(self, of: str) -> None:
        self._of = of

    async def verify(self, case: Case, desk: VerifierDesk) -> Verdict | Abstain:
        seen = {}
        for proposal in case.proposals:
            rest = await desk.roll_out("generator", proposal, 500)
            seen[proposal.author] = case.answer + proposal.text + rest.text
        return Verdict(self._of, why=seen[self._of])


async def test_what_is_foreseen_comes_true_for_either_continuation() -> None:
    for stands in ("generator", "mentor"):
        recipe = Recipe(
            policy=Scripted(script={4: Consult()}),
            verifiers=(Foresight(of=stands),),
            max_answer_tokens=240,
        )

        async with Controller(**PAIR, recipe=recipe) as controller:  # type: ignore[arg-type]
            result = await controller.solve(Problem(id="p", prompt=PROMPT))

        (verdict,) = [event.verdict for event in result.events if hasattr(event, "verdict")]
        assert result.raise_for_error().reason == "eos"
        assert verdict.why == result.text
        assert [call.purpose for call in result.calls].count("probe") == 2
