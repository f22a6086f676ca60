"""One policy inside another: a session that passes everything on, for others to change."""

from collections.abc import Sequence

from pydantic import Field

from collab.decisions import Continue, Decision
from collab.nesting import NestedPolicy
from collab.proposals import Token
from collab.protocols import Draft, Policy, PolicySession, is_watching, kept_of
from collab.verdicts import Verdict
from collab_policies.combining.combined import Combined, is_asking


class SinglePolicy(Combined):
    """Base of policies that change what another one does."""

    policy: NestedPolicy = Field(description="The policy, as {use: NAME, option: value, ...}.")

    @property
    def parts(self) -> Sequence[Policy]:
        """The policy."""
        return (self.policy,)


class SingleSession(PolicySession):
    """Base of the session of a policy that changes another: it changes nothing."""

    def __init__(self, inner: PolicySession) -> None:
        self._inner = inner

    def ahead(self) -> int:
        """Return what the policy says."""
        return self._inner.ahead()

    def glimpse(self) -> int | None:
        """Return what the policy says."""
        return self._inner.glimpse()

    @property
    def is_watching(self) -> bool:
        """Whether the policy watches."""
        return is_watching(self._inner)

    def watch(self, tokens: Sequence[Token]) -> bool:
        """Return what the policy says."""
        return self._inner.watch(tokens)

    def decide_before(self, draft: Draft) -> Decision:
        """Return what the policy says."""
        return self._inner.decide_before(draft)

    def decide(self, draft: Draft) -> Decision:
        """Return what the policy says."""
        return self._inner.decide(draft)

    def learn(self, verdict: Verdict) -> None:
        """Tell the policy."""
        self._inner.learn(verdict)

    def kept(self) -> object:
        """Return what the policy keeps."""
        return kept_of(self._inner)


class GateSession(SingleSession):
    """Base of a session that lets some questions of another pass; the others' drafts stand.

    The inner policy sees every unit, also where it may not ask, so its memory stays right.
    """

    refusal = ""

    def may_ask(self, draft: Draft) -> bool:
        """Whether a question may be asked at this unit."""
        raise NotImplementedError

    def note_question(self) -> None:
        """Take note that a question is asked at this unit."""
        raise NotImplementedError

    def decide_before(self, draft: Draft) -> Decision:
        """Return what the policy says, unless it asks and may not."""
        return self._passed(self._inner.decide_before(draft), draft)

    def decide(self, draft: Draft) -> Decision:
        """Return what the policy says, unless it asks and may not."""
        return self._passed(self._inner.decide(draft), draft)

    def _passed(self, decision: Decision, draft: Draft) -> Decision:
        if not is_asking(decision):
            return decision
        if not self.may_ask(draft):
            return Continue(why=self.refusal, signal=decision.signal)
        self.note_question()
        return decision
