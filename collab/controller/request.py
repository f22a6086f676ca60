"""A request: one problem, and how it is to be worked on."""

import hashlib
import random
from dataclasses import dataclass

from collab.errors import EmptyPromptError, InvalidPromptError
from collab.limits import Budget
from collab.problems import Problem
from collab.recipes import Recipe
from collab.texts import is_unicode

NO_BUDGET = Budget()


@dataclass(frozen=True, slots=True)
class Request:
    """What a pair is asked for.

    Attributes:
        problem: The problem.
        recipe: How it is worked on.
        seed: Of every random choice, together with the problem's id.
        budget: What it may spend.
        degradations: What the pair cannot do of what the recipe asks for.
    """

    problem: Problem
    recipe: Recipe
    seed: int = 0
    budget: Budget = NO_BUDGET
    degradations: tuple[str, ...] = ()

    def rng(self, stream: str) -> random.Random:
        """Return a random stream of its own, the same whatever runs beside it."""
        digest = hashlib.sha256(f"{self.seed}\0{self.problem.id}\0{stream}".encode()).digest()
        return random.Random(int.from_bytes(digest, "big"))

    def check_prompt(self) -> None:
        """Raise `ProblemError` for a prompt that cannot be shown to a model."""
        problem = self.problem
        if not problem.text.strip():
            raise EmptyPromptError(f"problem {problem.id!r} has an empty prompt")
        if not is_unicode(problem.text):
            raise InvalidPromptError(
                f"the prompt of problem {problem.id!r} contains half a character (a lone "
                "surrogate); read its text as UTF-8"
            )
