"""One problem's plug-in sessions: every call to them is guarded, every answer checked."""

import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Self

import anyio
from pydantic import ValidationError

from collab.concurrency import is_asked_to_stop
from collab.decisions import Consult, Continue, Decision
from collab.errors import CollabError, PluginCallError, ProblemError
from collab.limits import EndReached
from collab.plugins import explain
from collab.problems import Problem
from collab.proposals import Proposal, Token, Until
from collab.protocols import (
    Case,
    Draft,
    PolicySession,
    SteererSession,
    VerifierDesk,
    VerifierSession,
    is_watching,
    kept_of,
)
from collab.recipes import Recipe
from collab.signals import Steering
from collab.verdicts import NOBODY, Abstain, Verdict


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
        steerer: tuple[str, SteererSession] | None = None,
    ) -> None:
        self.policy_name = policy_name
        self._policy = policy
        self._verifiers = verifiers
        self._steerer = steerer

    @classmethod
    def start(cls, recipe: Recipe, problem: Problem, rng: Callable[[str], random.Random]) -> Self:
        """Start a problem's sessions; `rng` gives each plug-in a random stream by its name.

        A plug-in may refuse the problem with a `ProblemError`, which passes as it is.
        """
        policy_name = type(recipe.policy).__name__
        with blamed(f"policy {policy_name!r}", "in start()", passing=(ProblemError,)):
            policy = recipe.policy.start(problem, rng("policy"))
        _ensure_session(f"policy {policy_name!r}", policy, PolicySession)
        verifiers = []
        for number, verifier in enumerate(recipe.verifiers):
            name = type(verifier).__name__
            with blamed(f"verifier {name!r}", "in start()", passing=(ProblemError,)):
                session = verifier.start(problem, rng(f"verifier-{number}"))
            _ensure_session(f"verifier {name!r}", session, VerifierSession)
            verifiers.append((name, session))
        return cls(policy, policy_name, verifiers, _start_steerer(recipe, problem, rng))

    @property
    def has_verifiers(self) -> bool:
        """Whether there is anybody to ask which proposal stands."""
        return bool(self._verifiers)

    def ahead(self, unit: int) -> int:
        """Return how many units may be written before the next question."""
        with self._asking(unit):
            ahead: object = self._policy.ahead()
        if isinstance(ahead, int) and ahead >= 1:
            return ahead
        raise PluginCallError(
            f"policy {self.policy_name!r} returned {ahead!r} from ahead() at unit {unit}; "
            "expected a number of units, at least 1"
        )

    def glimpse(self, unit: int) -> int | None:
        """Return after how many tokens the policy is asked who writes a unit."""
        with self._asking(unit):
            tokens: object = self._policy.glimpse()
        if tokens is None or (isinstance(tokens, int) and tokens >= 0):
            return tokens
        raise PluginCallError(
            f"policy {self.policy_name!r} returned {tokens!r} from glimpse() at unit {unit}; "
            "expected None or a number of tokens, at least 0"
        )

    def decide_before(self, draft: Draft) -> Continue | Consult:
        """Return who writes the unit that begins with `draft`."""
        with self._asking(draft.unit):
            decision: object = self._policy.decide_before(draft)
        if isinstance(decision, Continue | Consult):
            return decision
        raise PluginCallError(
            f"policy {self.policy_name!r} returned {decision!r} from decide_before() at unit "
            f"{draft.unit}; expected Continue or Consult"
        )

    @property
    def is_watching(self) -> bool:
        """Whether the policy looks at a unit while it is written."""
        return is_watching(self._policy)

    def watch(self, tokens: Sequence[Token], unit: int) -> bool:
        """Return whether the policy ends the unit here."""
        with self._asking(unit):
            return bool(self._policy.watch(tokens))

    def kept(self) -> Iterator[tuple[str, object]]:
        """Yield what the plug-ins hand to the caller, by their random streams' names."""
        sessions: list[tuple[str, str, PolicySession | VerifierSession]]
        sessions = [("policy", f"policy {self.policy_name!r}", self._policy)]
        sessions += [
            (f"verifier-{number}", f"verifier {name!r}", session)
            for number, (name, session) in enumerate(self._verifiers)
        ]
        for key, plugin, session in sessions:
            with blamed(plugin, "in kept()"):
                value = kept_of(session)
            if value is not None:
                yield key, value

    def kept_of(self, decision: Consult, draft: Draft) -> Proposal:
        """Return the part of a draft that a consultation keeps."""
        if decision.keep > len(draft.tokens):
            raise PluginCallError(
                f"policy {self.policy_name!r} keeps {decision.keep} tokens at unit {draft.unit}; "
                f"the draft has {len(draft.tokens)}"
            )
        # Also a draft that ends the text goes on here.
        kept = draft.proposal.part(0, decision.keep)
        return replace(kept, stop="unit", stop_string="", stop_overlap=0)

    def steered_ahead(self) -> int:
        """Return how many units may be written before the steerer is asked again."""
        if self._steerer is None:
            return sys.maxsize
        name, session = self._steerer
        with blamed(f"steerer {name!r}", "in ahead()"):
            ahead: object = session.ahead()
        if isinstance(ahead, int) and ahead >= 1:
            return ahead
        raise PluginCallError(
            f"steerer {name!r} returned {ahead!r} from ahead(); expected a number of units, at "
            "least 1"
        )

    def steering(self, answer: str) -> Steering | None:
        """Return what is added to the generator's hidden states from here on."""
        if self._steerer is None:
            return None
        name, session = self._steerer
        with blamed(f"steerer {name!r}", f"after {len(answer):,} characters"):
            steering: object = session.steering(answer)
        if steering is None or isinstance(steering, Steering):
            return steering
        raise PluginCallError(
            f"steerer {name!r} returned {steering!r}; expected a Steering or None"
        )

    def decide(self, draft: Draft) -> Decision:
        """Return what the policy wants to happen with `draft`."""
        with self._asking(draft.unit):
            decision: object = self._policy.decide(draft)
        if isinstance(decision, Decision):
            return decision
        raise PluginCallError(
            f"policy {self.policy_name!r} returned {decision!r} at unit {draft.unit}; "
            "expected one of Continue, Consult, Verify, Inject, Finish"
        )

    def learn(self, verdict: Verdict, unit: int) -> None:
        """Tell the policy what became of its consultation."""
        with self._asking(unit):
            self._policy.learn(verdict)

    def until_settled(self, until: Until, draft: Draft) -> Until:
        """Return when a mentor may stop: at the end of its segment, or as soon as it is settled.

        A mentor that agrees says what the draft says.
        """
        session_type = type(self._verifiers[0][1]) if self._verifiers else VerifierSession
        is_settled = getattr(session_type, "is_settled", None)
        if is_settled in (None, VerifierSession.is_settled):
            return until
        stop_if = partial(self.is_settled, draft)
        return replace(until, stop_if=stop_if, may_stop_behind=draft.text)

    def is_settled(self, draft: Draft, offered: Sequence[Token]) -> bool:
        """Whether a mentor's proposal may stop here; only the first verifier is sure to read it."""
        if not self._verifiers:
            return False
        name, session = self._verifiers[0]
        with blamed(f"verifier {name!r}", f"at unit {draft.unit}"):
            return bool(session.is_settled(draft, offered))

    async def verify(self, case: Case, desk: VerifierDesk, *, default: str) -> tuple[Verdict, str]:
        """Ask the verifiers in order until one does not abstain.

        Returns:
            The verdict and who gave it; if all abstain, the author `default` stands.
        """
        for name, session in self._verifiers:
            answer = await _ask_verifier(name, session, case, desk)
            if isinstance(answer, Verdict):
                return answer, name
        return Verdict(default, why="no verifier decided"), ""

    @contextmanager
    def _asking(self, unit: int) -> Iterator[None]:
        with blamed(f"policy {self.policy_name!r}", f"at unit {unit}"):
            yield


def _start_steerer(
    recipe: Recipe, problem: Problem, rng: Callable[[str], random.Random]
) -> tuple[str, SteererSession] | None:
    if recipe.steering is None:
        return None
    name = type(recipe.steering).__name__
    with blamed(f"steerer {name!r}", "in start()", passing=(ProblemError,)):
        session = recipe.steering.start(problem, rng("steerer"))
    _ensure_session(f"steerer {name!r}", session, SteererSession)
    return name, session


async def _ask_verifier(
    name: str, session: VerifierSession, case: Case, desk: VerifierDesk
) -> Verdict | Abstain:
    unit = case.draft.unit
    with blamed(f"verifier {name!r}", f"at unit {unit}", passing=(CollabError, EndReached)):
        answer: object = await session.verify(case, desk)
    if isinstance(answer, Abstain) or (isinstance(answer, Verdict) and _fits(answer, case)):
        return answer
    raise PluginCallError(
        f"verifier {name!r} returned {answer!r} at unit {unit}; expected Abstain or a "
        f"Verdict for one of {_listed(case)}, within its length"
    )


@contextmanager
def blamed(plugin: str, where: str, *, passing: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Turn what a plug-in raises into an error that names it; `sys.exit()` counts as raising."""
    try:
        yield
    except passing:
        raise
    except anyio.get_cancelled_exc_class() as error:
        if is_asked_to_stop():
            raise
        raise PluginCallError(f"{plugin} raised {where}: {type(error).__name__}") from error
    except (Exception, SystemExit) as error:
        raise PluginCallError(f"{plugin} raised {where}: {_described(error)}") from error


def _described(error: BaseException) -> str:
    if isinstance(error, ValidationError):
        return f"{error.title}: {'; '.join(explain(error))}"
    return f"{type(error).__name__}: {error}"


_OPTIONAL = frozenset({"kept", "watch"})
"""Methods that an object of the shape of a session may lack."""


def _ensure_session(plugin: str, session: object, base: type) -> None:
    methods = [
        name
        for name, member in vars(base).items()
        if callable(member) and name[0] != "_" and name not in _OPTIONAL
    ]
    if missing := [name for name in methods if not callable(getattr(session, name, None))]:
        raise PluginCallError(
            f"{plugin} returned {session!r} from start(); expected a session with "
            f"{', '.join(missing)}"
        )


def _fits(verdict: Verdict, case: Case) -> bool:
    if verdict.stands == NOBODY:
        return True
    offered = [one for one in case.proposals if one.author == verdict.stands]
    if verdict.choice >= len(offered):
        return False
    return verdict.upto is None or verdict.upto <= len(offered[verdict.choice].tokens)


def _listed(case: Case) -> str:
    """Return whose proposals there are, and how many where an author made several."""
    counts = Counter(one.author for one in case.proposals)
    return ", ".join(
        f"{author} (choice 0 to {count - 1})" if count > 1 else author
        for author, count in counts.items()
    )
