"""Policies that decide as a test says, and what a loop would ask of them."""

import random
from collections.abc import Sequence

from pydantic import Field

from collab import (
    Consult,
    Continue,
    Decision,
    Draft,
    Finish,
    Inject,
    Mark,
    Need,
    Observation,
    Policy,
    PolicySession,
    Problem,
    Token,
    Verdict,
    Verify,
)
from collab.proposals import Proposal

PROBLEM = Problem(id="p", prompt="q")
WORDS = ("One", " two", " three")


class Lettered(Policy):
    """Decide as a test says, at every unit or after a stretch; `?` asks and `.` continues."""

    name: str = "lettered"
    script: str = "."
    stretch: int = 1
    first_tokens: int | None = None
    last_token: str = ""
    top_k: int = 0
    layer: int | None = None
    beyond: int = 0
    is_taking_back: bool = False
    signals: tuple[float | None, ...] = Field(default=())

    @property
    def needs(self) -> Sequence[Need]:
        return (Need("generator", "entropy", self.top_k),) if self.top_k else ()

    @property
    def observations(self) -> Sequence[Observation]:
        return () if self.layer is None else (Observation("state", self.layer),)

    @property
    def looks_beyond(self) -> int:
        return self.beyond

    @property
    def takes_back(self) -> bool:
        return self.is_taking_back

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        return _LetteredSession(self)


class _LetteredSession(PolicySession):
    def __init__(self, policy: Lettered) -> None:
        self._policy = policy
        self._seen: list[str] = []
        self._verdicts: list[str] = []

    def ahead(self) -> int:
        return self._policy.stretch

    def glimpse(self) -> int | None:
        return self._policy.first_tokens

    @property
    def is_watching(self) -> bool:
        return bool(self._policy.last_token)

    def watch(self, tokens: Sequence[Token]) -> bool:
        return tokens[-1].text == self._policy.last_token

    def decide_before(self, draft: Draft) -> Decision:
        return self._next(draft)

    def decide(self, draft: Draft) -> Decision:
        return self._next(draft) if self._policy.first_tokens is None else Continue()

    def learn(self, verdict: Verdict) -> None:
        self._verdicts.append(verdict.stands)

    def kept(self) -> object:
        return self._seen or None

    def _next(self, draft: Draft) -> Decision:
        place = len(self._seen)
        self._seen.append(draft.text)
        signals = self._policy.signals
        signal = signals[place % len(signals)] if signals else None
        decisions: dict[str, Decision] = {
            "?": Consult(self._policy.name, signal=signal),
            "v": Verify(why=self._policy.name),
            "i": Inject("Hm.", why=self._policy.name),
            "f": Finish(why=self._policy.name),
            ".": Continue(why=self._policy.name, signal=signal),
        }
        return decisions[self._policy.script[place % len(self._policy.script)]]


def draft(*texts: str, mentor_tokens: int = 0) -> Draft:
    tokens = tuple(Token(0, text, entropy_nats=0.5) for text in texts or WORDS)
    proposal = Proposal("generator", tokens, "unit")
    return Draft(proposal, 0, Mark(0), answer="", mentor_tokens=mentor_tokens)


def started(policy: Policy) -> PolicySession:
    return policy.start(PROBLEM, random.Random(3))


def decisions(session: PolicySession, count: int) -> list[Decision]:
    """Return what is decided at the first questions, as the loop asks them."""
    found: list[Decision] = []
    while len(found) < count:
        if session.ahead() == 1 and session.glimpse() is not None:
            wish = session.decide_before(draft())
            if isinstance(wish, Consult):
                found.append(wish)
                continue
        found.append(session.decide(draft()))
    return found


def asking_units(session: PolicySession, count: int) -> list[int]:
    """Return the units, from 0, at which a mentor or verifier is asked, of the first `count`."""
    found, unit = [], 0
    while (unit := unit + session.ahead()) <= count:
        is_looking = session.glimpse() is not None
        wish = session.decide_before(draft()) if is_looking else Continue()
        decision = wish if isinstance(wish, Consult) else session.decide(draft())
        if isinstance(decision, Consult | Verify):
            found.append(unit - 1)
    return found


ASKS = Lettered(name="a", script="?")
STAYS = Lettered(name="b")
