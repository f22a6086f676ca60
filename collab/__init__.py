"""Collab: a small model writes the answer, a large one helps only where it pays.

What a script or a plug-in needs is here. Machinery is in packages: `controller` works on problems,
`seam` is what a model is, `problems` and `grading` read problems and answers, `runs` keeps runs in
directories, `examining`, `training`, `calibrating` and `extraction` prepare them.
"""

from collab.capabilities import Capabilities, Need
from collab.controller import Controller, Finished, Pair, Result, Settled, StreamEvent
from collab.controller.blocking import BlockingController
from collab.decisions import Consult, Continue, Decision, Finish, Inject, Mark, Verify
from collab.endings import Ending, Reason
from collab.limits import Budget
from collab.messages import Message
from collab.phases import Phases
from collab.problems import Problem, read_problems
from collab.proposals import Candidate, Distribution, Proposal, Sampling, Token, Until
from collab.protocols import (
    Case,
    Draft,
    Policy,
    PolicySession,
    Steerer,
    SteererSession,
    Verifier,
    VerifierDesk,
    VerifierSession,
)
from collab.recipes import Recipe, RecipeFactory
from collab.roles import GENERATOR, MENTOR
from collab.seam import Backend, Model, Session
from collab.signals import Observation, Steering
from collab.strategies import Desk, Strategy
from collab.trace import Committed, Decided, Ended, RolledBack, Span, Verified
from collab.units import StepUnit, TokenUnit, Unit, WordUnit
from collab.usage import Call, Price, Usage
from collab.verdicts import NOBODY, Abstain, Verdict
from collab.views import ThinkingTags, ViewOptions

__version__ = "0.1.0"

__all__ = [
    "GENERATOR",
    "MENTOR",
    "NOBODY",
    "Abstain",
    "Backend",
    "BlockingController",
    "Budget",
    "Call",
    "Candidate",
    "Capabilities",
    "Case",
    "Committed",
    "Consult",
    "Continue",
    "Controller",
    "Decided",
    "Decision",
    "Desk",
    "Distribution",
    "Draft",
    "Ended",
    "Ending",
    "Finish",
    "Finished",
    "Inject",
    "Mark",
    "Message",
    "Model",
    "Need",
    "Observation",
    "Pair",
    "Phases",
    "Policy",
    "PolicySession",
    "Price",
    "Problem",
    "Proposal",
    "Reason",
    "Recipe",
    "RecipeFactory",
    "Result",
    "RolledBack",
    "Sampling",
    "Session",
    "Settled",
    "Span",
    "Steerer",
    "SteererSession",
    "Steering",
    "StepUnit",
    "Strategy",
    "StreamEvent",
    "ThinkingTags",
    "Token",
    "TokenUnit",
    "Unit",
    "Until",
    "Usage",
    "Verdict",
    "Verified",
    "Verifier",
    "VerifierDesk",
    "VerifierSession",
    "Verify",
    "ViewOptions",
    "WordUnit",
    "__version__",
    "read_problems",
]
