"""Several policies as one: each is asked at its own places, with the tokens that it asks for."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic import Field

from collab.decisions import Continue, Decision
from collab.nesting import NestedPolicy
from collab.problems import Problem
from collab.proposals import Token
from collab.protocols import Draft, Policy, PolicySession, is_watching, kept_of
from collab.verdicts import Verdict
from collab_policies.combining.combined import Combined


class SeveralPolicies(Combined):
    """Base of policies that are made of several others, in an order."""

    policies: tuple[NestedPolicy, ...] = Field(
        description="The policies, each as {use: NAME, option: value, ...}; at least one."
    )

    @property
    def parts(self) -> Sequence[Policy]:
        """The policies."""
        return self.policies

    def voices(self, problem: Problem, rng: random.Random) -> "list[Voice]":
        """Return a session of each policy, with a random stream of its own."""
        streams = [random.Random(rng.getrandbits(64)) for _ in self.policies]
        pairs = zip(self.policies, streams, strict=True)
        return [Voice(policy.start(problem, stream)) for policy, stream in pairs]


@dataclass(slots=True, eq=False)
class Voice:
    """The session of one of several policies, and when it is asked next.

    Attributes:
        session: Its session.
        units: Units up to the one that it is asked about, that one included.
        is_alone: Whether it asked for a single unit, so that it may glimpse at it.
        wish: How many first tokens of this unit it wants to see; `None` for none.
    """

    session: PolicySession
    units: int = 0
    is_alone: bool = False
    wish: int | None = None

    def advance(self, written: int) -> int:
        """Return how many units come up to its next question, after `written` more."""
        self.units -= written
        if self.units <= 0:
            self.units = self.session.ahead()
            self.is_alone = self.units == 1
        return self.units

    def decide_before(self, draft: Draft) -> Decision:
        """Return who writes the unit, as far as this one sees it begin."""
        first = draft.proposal.part(0, min(self.wish or 0, len(draft.tokens)))
        return self.session.decide_before(replace(draft, proposal=first))


class SeveralSession(PolicySession):
    """Base of the session of several policies: `choose` says whose answer counts.

    The next question comes where the first of them wants it, and only those that want it there are
    asked. A glimpse is as long as the longest that one of them wants; each sees only its own.
    """

    def __init__(self, voices: Sequence[Voice]) -> None:
        self._voices = voices
        self._due: Sequence[Voice] = ()
        self._written = 0
        self._asked: Voice | None = None

    def choose(self, voices: Sequence[Voice], draft: Draft) -> tuple[Voice, Decision]:
        """Return whose decision about a draft counts, and the decision."""
        raise NotImplementedError

    def choose_before(self, voices: Sequence[Voice], draft: Draft) -> tuple[Voice, Decision]:
        """Return whose decision about who writes a unit counts, and the decision."""
        raise NotImplementedError

    def ahead(self) -> int:
        """Return how many units come up to the next question of any of them."""
        ahead = [voice.advance(self._written) for voice in self._voices]
        self._written = min(ahead)
        self._due = [voice for voice in self._voices if voice.units == self._written]
        for voice in self._due:
            voice.wish = None
        return self._written

    def glimpse(self) -> int | None:
        """Return how many first tokens one of them wants to see at most."""
        for voice in self._due:
            voice.wish = voice.session.glimpse() if voice.is_alone else None
        return max((v.wish for v in self._due if v.wish is not None), default=None)

    @property
    def is_watching(self) -> bool:
        """Whether any of them watches."""
        return any(is_watching(voice.session) for voice in self._voices)

    def watch(self, tokens: Sequence[Token]) -> bool:
        """Return whether one of those that are asked here ends the unit."""
        return any(
            voice.session.watch(tokens)
            for voice in self._due
            if voice.is_alone and is_watching(voice.session)
        )

    def decide_before(self, draft: Draft) -> Decision:
        """Return who writes the unit, by those that look at its first tokens."""
        looking = [voice for voice in self._due if voice.wish is not None]
        voice, decision = self.choose_before(looking, draft)
        return decision if isinstance(decision, Continue) else self._note(voice, decision)

    def decide(self, draft: Draft) -> Decision:
        """Return what should happen, by those that are asked here."""
        return self._note(*self.choose(self._due, draft))

    def learn(self, verdict: Verdict) -> None:
        """Tell the one that asked."""
        if self._asked is not None:
            self._asked.session.learn(verdict)

    def kept(self) -> object:
        """Return a list of what each of them keeps; `None` if none keeps anything."""
        kept = [kept_of(voice.session) for voice in self._voices]
        return None if all(one is None for one in kept) else kept

    def _note(self, voice: Voice, decision: Decision) -> Decision:
        self._asked = voice
        return decision
