"""Collab: a small model writes the answer, a large one helps only where it pays.

What a script or a plug-in needs is here. Machinery is in packages: `controller` works on problems,
`seam` is what a model is, `problems` and `grading` read problems and answers, `runs` keeps runs in
directories, `collecting` is what `training`, `calibrating` and `extraction` share, which prepare
them, as `examining` does.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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

_HOMES = {
    "collab.capabilities": ("Capabilities", "Need"),
    "collab.controller": ("Controller", "Finished", "Pair", "Result", "Settled", "StreamEvent"),
    "collab.controller.blocking": ("BlockingController",),
    "collab.decisions": ("Consult", "Continue", "Decision", "Finish", "Inject", "Mark", "Verify"),
    "collab.endings": ("Ending", "Reason"),
    "collab.limits": ("Budget",),
    "collab.messages": ("Message",),
    "collab.phases": ("Phases",),
    "collab.problems": ("Problem", "read_problems"),
    "collab.proposals": ("Candidate", "Distribution", "Proposal", "Sampling", "Token", "Until"),
    "collab.protocols": (
        "Case",
        "Draft",
        "Policy",
        "PolicySession",
        "Steerer",
        "SteererSession",
        "Verifier",
        "VerifierDesk",
        "VerifierSession",
    ),
    "collab.recipes": ("Recipe", "RecipeFactory"),
    "collab.roles": ("GENERATOR", "MENTOR"),
    "collab.seam": ("Backend", "Model", "Session"),
    "collab.signals": ("Observation", "Steering"),
    "collab.strategies": ("Desk", "Strategy"),
    "collab.trace": ("Committed", "Decided", "Ended", "RolledBack", "Span", "Verified"),
    "collab.units": ("StepUnit", "TokenUnit", "Unit", "WordUnit"),
    "collab.usage": ("Call", "Price", "Usage"),
    "collab.verdicts": ("NOBODY", "Abstain", "Verdict"),
    "collab.views": ("ThinkingTags", "ViewOptions"),
}
"""Where these names are. They are imported on first use: the command line starts at once then."""

_MODULES = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Return one of the names in `__all__`, imported when it is first asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the names in `__all__`, imported or not."""
    return sorted({*globals(), *__all__})
