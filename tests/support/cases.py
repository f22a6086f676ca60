"""Questions to verifiers, and handles that answer as a test tells them to."""

import random
from collections.abc import Mapping, Sequence

from collab import Problem, Verifier
from collab.decisions import Mark
from collab.proposals import Distribution, Proposal, StopReason, Token
from collab.protocols import Case, Draft, VerifierDesk
from collab.testing import FakeDesk

PROBLEM = Problem(id="p", prompt="q", answer="4")


def proposal(
    author: str, *texts: str, logprobs: Sequence[float] = (), stop: StopReason = "length"
) -> Proposal:
    """Return a proposal of one token per text."""
    known = [*logprobs, *[None] * (len(texts) - len(logprobs))]
    tokens = (Token(0, text, logprob) for text, logprob in zip(texts, known, strict=True))
    return Proposal(author, tuple(tokens), stop)


def case(draft: Sequence[str], own: Sequence[str], offered: Sequence[str]) -> Case:
    """Return the question which of two proposals stands."""
    return between(
        proposal("generator", *own), proposal("mentor", *offered), draft=draft or (own or [""])[:1]
    )


def between(own: Proposal, offered: Proposal, *, draft: Sequence[str] = ("",)) -> Case:
    """Return the question which of two proposals stands."""
    unit = Draft(proposal("generator", *draft), 0, Mark(0), answer="")
    return Case(unit, (own, offered), offered.author, answer="")


def draft_alone(*texts: str) -> Case:
    """Return the question whether a draft stands."""
    unit = Draft(proposal("generator", *texts), 0, Mark(0), answer="")
    return Case(unit, (unit.proposal,), "", answer="")


class Judge(FakeDesk):
    """Answers with given probabilities and remembers the questions, and who was asked.

    Given as a bare mapping, an answer does not say which token is the likeliest.
    """

    def __init__(self, *answers: Mapping[str, float] | Distribution) -> None:
        self.questions: list[str] = []
        self.asked: list[str] = []
        self._answers = list(answers)

    async def judge(self, role: str, question: str, labels: Sequence[str]) -> Distribution:
        self.asked.append(role)
        self.questions.append(question)
        answer = self._answers.pop(0)
        return answer if isinstance(answer, Distribution) else Distribution(answer)

    async def score(self, role: str, text: str) -> tuple[Token, ...]:
        raise AssertionError("nothing is scored here")

    async def observe(self, role: str, text: str, layer: int) -> Sequence[float]:
        raise AssertionError("nothing is observed here")

    async def roll_out(
        self, role: str, proposal: Proposal, max_tokens: int, *, seed: int | None = None
    ) -> Proposal:
        raise AssertionError("nothing is tried out here")


async def ask(verifier: Verifier, question: Case, models: VerifierDesk | None = None) -> object:
    """Return what a verifier answers to one question."""
    session = verifier.start(PROBLEM, random.Random(0))
    return await session.verify(question, models or Judge())
