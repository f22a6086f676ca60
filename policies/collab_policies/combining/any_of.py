"""The policy `any-of`: a mentor is asked where any of several policies asks."""

import random
from collections.abc import Sequence

from collab.decisions import Consult, Continue, Decision
from collab.problems import Problem
from collab.protocols import Draft, PolicySession
from collab_policies.combining.combined import is_asking
from collab_policies.combining.several import SeveralPolicies, SeveralSession, Voice


class AnyOf(SeveralPolicies):
    """Ask where any of `policies` asks; the first that does gives the decision.

    All see every unit at which they want to be asked, so none loses count. To inject text or to
    finish counts less than to ask; of several that do only that, the first decides. Only the policy
    whose decision was taken learns what became of it.
    """

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return a session that holds one of each policy."""
        return _AnySession(self.voices(problem, rng))


class _AnySession(SeveralSession):
    def choose(self, voices: Sequence[Voice], draft: Draft) -> tuple[Voice, Decision]:
        answers = [(voice, voice.session.decide(draft)) for voice in voices]
        asking = [one for one in answers if is_asking(one[1])]
        acting = [one for one in answers if not isinstance(one[1], Continue)]
        return (*asking, *acting, *answers)[0]

    def choose_before(self, voices: Sequence[Voice], draft: Draft) -> tuple[Voice, Decision]:
        answers = [(voice, voice.decide_before(draft)) for voice in voices]
        return next((one for one in answers if isinstance(one[1], Consult)), answers[0])
