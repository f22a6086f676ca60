"""The protocols of policies, verifiers and steerers.

A plug-in is a frozen pydantic value: its fields are its options. Memory of one problem lives in
the session that `start` returns. `Policy`, `Verifier` and `Steerer` are bases for such values; any
object of the same shape will do. Backends are in `collab.seam`.
"""

import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import BaseModel, ConfigDict

from collab.capabilities import Need
from collab.decisions import Continue, Decision, Mark
from collab.problems import Problem
from collab.proposals import Distribution, Proposal, Token
from collab.roles import GENERATOR
from collab.signals import Observation, Steering
from collab.units import Unit
from collab.verdicts import Abstain, Verdict
from collab.views import ThinkingTags


@dataclass(frozen=True, slots=True)
class Draft:
    """One unit just written by the generator, not yet committed: what a policy is asked about.

    Attributes:
        proposal: Its text, tokens and signals.
        unit: Its index among the units of this problem, from 0.
        mark: Where it starts in the trace.
        answer: The answer up to there.
        is_last: Whether the generator ends its text with this unit.
        is_partial: Whether these are only the unit's first tokens: as `decide_before` sees them,
            or as `watch` ended it.
        beyond: What stands after the unit, as far as `Policy.looks_beyond` asks for it.
        kind: What kind of unit it is; `None` if that is not said.
        mentor_tokens: Tokens that mentors have decoded for this problem, whether they stand or not.
    """

    proposal: Proposal
    unit: int
    mark: Mark
    answer: str = field(repr=False)
    is_last: bool = False
    is_partial: bool = False
    beyond: tuple[Token, ...] = ()
    kind: Unit | None = None
    mentor_tokens: int = 0

    @property
    def text(self) -> str:
        """The unit's text."""
        return self.proposal.text

    @property
    def tokens(self) -> tuple[Token, ...]:
        """The unit's tokens."""
        return self.proposal.tokens


class PolicySession:
    """A policy's memory of one problem. Synchronous; touches no model, clock or network."""

    def ahead(self) -> int:
        """Return how many units may be written before the next question, at least 1.

        Asked before each draft. A policy whose positions do not depend on the text draws them
        ahead, and the generator writes straight to the next one. The units before
        it are committed without a question.
        """
        return 1

    def glimpse(self) -> int | None:
        """Return after how many tokens of the next unit `decide_before` is asked.

        `None`: not at all. 0: before the generator is called. If the unit ends earlier, the policy
        sees the tokens there are; an empty unit is skipped. Asked before each draft of a single
        unit, see `ahead`.
        """
        return None

    @property
    def is_watching(self) -> bool:
        """Whether `watch` is asked at all: where a session overrides it, unless it says otherwise.

        With it, a remote generator's text is streamed and ended by closing the connection.
        """
        return type(self).watch is not PolicySession.watch

    def watch(self, tokens: Sequence[Token]) -> bool:
        """Return whether the unit ends after `tokens`, the ones written of it so far.

        Asked after every token of a draft of a single unit, see `ahead`; `decide` then sees a
        draft that is partial. Called where the model runs: quick, without waiting, and the same
        answer for the same tokens. Override it only where it is needed, see `is_watching`.
        """
        return False

    def decide_before(self, draft: Draft) -> Decision:
        """Return who writes a unit, of which `draft` holds the first tokens.

        `Continue` has the generator write on in the same call, and `decide` is asked after the
        unit; `Consult` has a mentor write instead. Nothing else is allowed here. Called where the
        model runs, so quick and without waiting.
        """
        raise NotImplementedError

    def decide(self, draft: Draft) -> Decision:
        """Return what should happen with `draft`."""
        raise NotImplementedError

    def learn(self, verdict: Verdict) -> None:
        """Take note of what became of the last consultation. Does nothing by default."""

    def kept(self) -> object:
        """Return what the caller finds as `Result.kept["policy"]`; `None` for nothing.

        Asked once, when the problem is over, also when it failed or was given up.
        """
        return None


# An object of the shape of a session may lack what is optional.


def is_watching(session: PolicySession) -> bool:
    """Whether a session's `watch` is to be asked."""
    return bool(getattr(session, "is_watching", hasattr(session, "watch")))


def kept_of(session: object) -> object:
    """Return what a plug-in's session hands to the caller; `None` for nothing."""
    return session.kept() if hasattr(session, "kept") else None


class Policy(BaseModel):
    """Base of decision policies: does the generator need help here?"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def needs(self) -> Sequence[Need]:
        """What this policy asks of the models."""
        return ()

    @property
    def entropy_top_k(self) -> int:
        """The k of the generator's entropies that drafts carry; 0 for none."""
        return max((need.amount for need in self.needs if need.ability == "entropy"), default=0)

    @property
    def observations(self) -> Sequence[Observation]:
        """The generator's hidden states that its tokens carry, where it hands them over."""
        return ()

    @property
    def looks_beyond(self) -> int:
        """How many tokens after a unit are written before `decide`, see `Draft.beyond`.

        The first one carries the state at the unit's own last token. They cost nothing where the
        draft stands, and are left out where the generator hands over no states.
        """
        return 0

    @property
    def takes_back(self) -> bool:
        """Whether it may roll the text back, see `Consult.back_to`.

        Streams show text as settled only when the problem is over then.
        """
        return False

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return the session of one problem; `rng` is that problem's own random stream."""
        raise NotImplementedError


class Alone(Policy):
    """Never ask for help: the generator writes alone."""

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return a session that writes up to the end of the text in as few calls as it can."""
        return _AloneSession()


class _AloneSession(PolicySession):
    def ahead(self) -> int:
        return sys.maxsize

    def decide(self, draft: Draft) -> Decision:
        return Continue()


@dataclass(frozen=True, slots=True)
class Case:
    """What a verifier is asked: which of these stands at the mark?

    Attributes:
        draft: The generator's unit at which the policy stopped.
        proposals: All of them; each starts at the mark. The first is the generator's look-ahead,
            which begins with the draft. Without a mentor's, the question is whether the draft
            stands.
        mentor: The first mentor that was asked, or empty.
        answer: The answer up to the mark.
        thinking: The tags between which the answer thinks aloud, as the generator's view names
            them.
    """

    draft: Draft
    proposals: Sequence[Proposal]
    mentor: str
    answer: str = field(repr=False)
    thinking: ThinkingTags | None = None

    @property
    def own(self) -> Proposal:
        """The generator's proposal."""
        return self.of(GENERATOR)[0]

    @property
    def offered(self) -> Proposal:
        """The first proposal of the first mentor that was asked.

        Raises:
            LookupError: No mentor was asked.
        """
        return self.of(self.mentor)[0]

    def of(self, author: str) -> tuple[Proposal, ...]:
        """Return one author's proposals, in their order.

        Raises:
            LookupError: There are none.
        """
        found = tuple(one for one in self.proposals if one.author == author)
        if not found:
            authors = ", ".join(dict.fromkeys(one.author for one in self.proposals))
            raise LookupError(f"no proposal by {author!r}; there are some by {authors}")
        return found


class VerifierDesk(Protocol):
    """What a verifier may ask of the participants, at the mark: ledgered, bounded, cancelled.

    Calls to one participant are answered one after another, also when made concurrently; only
    roll-outs are not.
    """

    async def judge(self, role: str, question: str, labels: Sequence[str]) -> Distribution:
        """Ask `role` for the probabilities of `labels` right after `question`."""
        ...

    async def score(self, role: str, text: str) -> tuple[Token, ...]:
        """Ask `role` for the log-probabilities of `text` at the mark."""
        ...

    async def observe(self, role: str, text: str, layer: int) -> Sequence[float]:
        """Read `role`'s hidden state at the last token of `text`, put after the mark.

        Args:
            role: Whose; a verifier that asks this needs its `hidden_states`.
            text: May be empty: then at the last token before the mark.
            layer: As in `collab.seam.ObservedSession`; -1 is the state after the final norm.
        """
        ...

    async def reward(self, role: str, steps: Sequence[str]) -> Sequence[float]:
        """Ask `role` for a reward of each of `steps`, which follow the mark one after another.

        Args:
            role: Whose; a plug-in that asks this needs its `reward`.
            steps: Their texts.

        Returns:
            One number per step, higher for better ones, on the scale of the model.
        """
        ...

    async def roll_out(
        self, role: str, proposal: Proposal, max_tokens: int, *, seed: int | None = None
    ) -> Proposal:
        """Have `role` write from the end of `proposal` to the end of the text; nothing of it stays.

        It writes under the recipe's sampling and stop strings; equal units are not counted, so a
        loop ends at the bound. Nothing follows a proposal that ends the text; its reason to stop is
        then the roll-out's. Of several made concurrently, all decode together. The ledger's
        purpose is `probe`.

        Args:
            role: Who writes.
            proposal: One that starts at the mark, by anybody.
            max_tokens: Most tokens; never beyond the longest answer.
            seed: Of a random stream of its own, where the recipe samples. `None` draws as `role`
                would at the mark, each time the same.
        """
        ...


class VerifierSession:
    """A verifier's memory of one problem."""

    def is_settled(self, draft: Draft, offered: Sequence[Token]) -> bool:
        """Whether a mentor may stop after the tokens `offered` so far, as no more would be read.

        Only the first verifier is asked, after every token, in whatever thread the model runs in.
        """
        return False

    async def verify(self, case: Case, desk: VerifierDesk) -> Verdict | Abstain:
        """Return which proposal stands, or abstain."""
        raise NotImplementedError

    def kept(self) -> object:
        """Return what the caller finds as `Result.kept["verifier-0"]`; `None` for nothing.

        Asked once, when the problem is over, also when it failed or was given up.
        """
        return None


class Verifier(BaseModel):
    """Base of verifiers: which continuation stands?"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def needs(self) -> Sequence[Need]:
        """What this verifier asks of the models."""
        return ()

    @property
    def reads_look_ahead(self) -> bool:
        """Whether it compares what the generator would write on; if not, it is not written."""
        return True

    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        """Return the session of one problem; `rng` is that problem's own random stream."""
        raise NotImplementedError


class SteererSession:
    """A steerer's memory of one problem. Synchronous; touches no model, clock or network."""

    def ahead(self) -> int:
        """Return how many units may be written before `steering` is asked again, at least 1.

        Asked before each draft. It is asked sooner where the policy is.
        """
        return 1

    def steering(self, answer: str) -> Steering | None:
        """Return what is added to the generator's hidden states from here on; `None` for nothing.

        Asked before each draft, and while a policy leaves many units alone before each unit, as
        `ahead` says; only while the text still thinks. Changing the vector discards tokens that
        were decoded ahead, and recomputes them.

        Args:
            answer: The text so far.
        """
        raise NotImplementedError


class Steerer(BaseModel):
    """Base of steerers: what keeps the generator on its way?"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def needs(self) -> Sequence[Need]:
        """What this steerer asks of the models: of the generator, `steering`."""
        return ()

    def start(self, problem: Problem, rng: random.Random) -> SteererSession:
        """Return the session of one problem; `rng` is that problem's own random stream."""
        raise NotImplementedError
