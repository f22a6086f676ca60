"""One problem's plug-in sessions: every call to them is guarded, every answer checked."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from collab.decisions import Decision
from collab.errors import CollabError, PluginCallError
from collab.limits import BudgetReached
from collab.protocols import Case, Draft, Handles, PolicySession, VerifierSession
from collab.verdicts import NOBODY, Abstain, Verdict

T = TypeVar("T")


class PluginSessions:
    """The policy's session and the cascade of verifiers' sessions.

    What a plug-in raises or returns against its contract becomes a `PluginCallError` that names
    it; errors of models and spent budgets pass through verifiers as they are.
    """

    def __init__(
        self,
        policy: PolicySession,
        policy_name: str,
        verifiers: Sequence[tuple[str, VerifierSession]],
    ) -> None:
        self.policy_name = policy_name
        self._policy = policy
        self._verifiers = verifiers

    @property
    def has_verifiers(self) -> bool:
        """Whether there is anybody to ask which proposal stands."""
        return bool(self._verifiers)

    def ahead(self, unit: int) -> int:
        """Return how many units may be written before the next question."""
        ahead: object = self._ask(unit, self._policy.ahead)
        if isinstance(ahead, int) and ahead >= 1:
            return ahead
        raise PluginCallError(
            f"policy {self.policy_name!r} returned {ahead!r} from ahead() at unit {unit}; "
            "expected a number of units, at least 1"
        )

    def decide(self, draft: Draft) -> Decision:
        """Return what the policy wants to happen with `draft`."""
        decision: object = self._ask(draft.unit, lambda: self._policy.decide(draft))
        if isinstance(decision, Decision):
            return decision
        raise PluginCallError(
            f"policy {self.policy_name!r} returned {decision!r} at unit {draft.unit}; "
            "expected one of Continue, Consult, Verify, Inject, Finish"
        )

    def learn(self, verdict: Verdict, unit: int) -> None:
        """Tell the policy what became of its consultation."""
        self._ask(unit, lambda: self._policy.learn(verdict))

    async def verify(self, case: Case, models: Handles, *, default: str) -> tuple[Verdict, str]:
        """Ask the verifiers in order until one does not abstain.

        Returns:
            The verdict and who gave it; if all abstain, the author `default` stands.
        """
        for name, session in self._verifiers:
            answer = await self._ask_verifier(name, session, case, models)
            if isinstance(answer, Verdict):
                return answer, name
        return Verdict(default, why="no verifier decided"), ""

    def _ask(self, unit: int, question: Callable[[], T]) -> T:
        try:
            return question()
        except Exception as error:
            raise PluginCallError(
                f"policy {self.policy_name!r} raised at unit {unit}: "
                f"{type(error).__name__}: {error}"
            ) from error

    async def _ask_verifier(
        self, name: str, session: VerifierSession, case: Case, models: Handles
    ) -> Verdict | Abstain:
        unit = case.draft.unit
        try:
            answer: object = await session.verify(case, models)
        except (CollabError, BudgetReached):
            raise
        except Exception as error:
            raise PluginCallError(
                f"verifier {name!r} raised at unit {unit}: {type(error).__name__}: {error}"
            ) from error
        if isinstance(answer, Abstain) or (isinstance(answer, Verdict) and _fits(answer, case)):
            return answer
        raise PluginCallError(
            f"verifier {name!r} returned {answer!r} at unit {unit}; expected Abstain or a "
            f"Verdict for one of {', '.join(case.proposals)}, within its length"
        )


def _fits(verdict: Verdict, case: Case) -> bool:
    if verdict.stands == NOBODY:
        return True
    if verdict.stands not in case.proposals:
        return False
    length = len(case.proposals[verdict.stands].tokens)
    return verdict.upto is None or 0 <= verdict.upto <= length
