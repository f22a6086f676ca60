"""Collab: a small model writes the answer, a large one helps only where it pays."""

from collab.controller import Controller, Finished, Result
from collab.controller.blocking import BlockingController
from collab.decisions import Consult, Continue, Finish, Inject, Mark, Verify
from collab.limits import Budget
from collab.phases import Phases
from collab.problems import Problem
from collab.proposals import Proposal, Sampling, Token, Until
from collab.protocols import (
    Draft,
    Policy,
    PolicySession,
    Steerer,
    SteererSession,
    Verifier,
    VerifierSession,
)
from collab.recipes import Recipe
from collab.units import StepUnit, TokenUnit, WordUnit
from collab.verdicts import NOBODY, Abstain, Verdict

__version__ = "0.1.0"

__all__ = [
    "NOBODY",
    "Abstain",
    "BlockingController",
    "Budget",
    "Consult",
    "Continue",
    "Controller",
    "Draft",
    "Finish",
    "Finished",
    "Inject",
    "Mark",
    "Phases",
    "Policy",
    "PolicySession",
    "Problem",
    "Proposal",
    "Recipe",
    "Result",
    "Sampling",
    "Steerer",
    "SteererSession",
    "StepUnit",
    "Token",
    "TokenUnit",
    "Until",
    "Verdict",
    "Verifier",
    "VerifierSession",
    "Verify",
    "WordUnit",
    "__version__",
]
