"""Budgets: what may be spent, on one problem or on a whole run."""

from pydantic import BaseModel, ConfigDict, Field

from collab.endings import Ending
from collab.roles import GENERATOR
from collab.usage import Usage


class Budget(BaseModel):
    """Upper bounds; a field left out bounds nothing.

    A spent budget stops cleanly: what was committed stays, and the reason names the budget.
    The bound is checked before each call, so the last call can overshoot it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_tokens: int | None = Field(
        default=None, ge=1, description="Most tokens decoded, by any model."
    )
    max_mentor_tokens: int | None = Field(
        default=None, ge=0, description="Most tokens decoded by mentors."
    )
    max_calls: int | None = Field(default=None, ge=1, description="Most calls to models.")
    max_cost_usd: float | None = Field(
        default=None, ge=0, description="Most money spent, in US dollars."
    )
    deadline_s: float | None = Field(
        default=None,
        gt=0,
        description="Most wall-clock seconds, including the wait for a stream's reader.",
    )

    def spent(self, usage: dict[str, Usage], *, next_role: str | None = None) -> str:
        """Return the name of the bound that is reached, or an empty text.

        Args:
            usage: What was spent, by role.
            next_role: Who is about to be called; the mentors' bound concerns only mentors.
        """
        total = sum(usage.values(), Usage())
        generator = usage.get(GENERATOR, Usage())
        mentor_tokens = total.completion_tokens - generator.completion_tokens
        bounds = {
            "max_tokens": (self.max_tokens, total.completion_tokens),
            "max_calls": (self.max_calls, total.calls),
            "max_cost_usd": (self.max_cost_usd, total.cost_usd),
        }
        if next_role != GENERATOR:
            bounds["max_mentor_tokens"] = (self.max_mentor_tokens, mentor_tokens)
        for name, (bound, amount) in bounds.items():
            if bound is not None and amount >= bound:
                return name
        return ""


class EndReached(Exception):  # noqa: N818  # not an error: a clean end of the problem
    """Ends a problem cleanly, from wherever it is raised."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(str(ending))
        self.ending = ending


class BudgetReached(EndReached):
    """A bound of the budget is reached."""

    def __init__(self, bound: str) -> None:
        super().__init__(Ending("budget", bound))
