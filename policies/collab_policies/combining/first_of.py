"""The policy `first-of`: the first of several policies that wants something decides."""

import random
from collections.abc import Callable, Sequence

from collab.decisions import Continue, Decision
from collab.problems import Problem
from collab.protocols import Draft, PolicySession
from collab_policies.combining.several import SeveralPolicies, SeveralSession, Voice


class FirstOf(SeveralPolicies):
    """Ask `policies` in their order; the first that does not just continue decides.

    To inject text and to finish count as much as to ask. Policies after the one that decides do not
    see that unit. One that decides before a unit comes before all that decide after it.
    """

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return a session that holds one of each policy."""
        return _FirstSession(self.voices(problem, rng))


class _FirstSession(SeveralSession):
    def choose(self, voices: Sequence[Voice], draft: Draft) -> tuple[Voice, Decision]:
        return _first([(voice, voice.session.decide) for voice in voices], draft)

    def choose_before(self, voices: Sequence[Voice], draft: Draft) -> tuple[Voice, Decision]:
        return _first([(voice, voice.decide_before) for voice in voices], draft)


def _first(
    askable: Sequence[tuple[Voice, Callable[[Draft], Decision]]], draft: Draft
) -> tuple[Voice, Decision]:
    """Return the first answer that wants something; the first of all if none does."""
    answers: list[tuple[Voice, Decision]] = []
    for voice, decide in askable:
        answers.append((voice, decide(draft)))
        if not isinstance(answers[-1][1], Continue):
            return answers[-1]
    return answers[0]
