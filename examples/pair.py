"""One pair, many requests: each brings its own recipe, seed and budget.

Run it with `python examples/pair.py`.
"""

import anyio

from collab import Budget, Pair, Problem, Recipe, Result, Settled
from collab_backends.local.backend import LocalTorch
from collab_policies.lookahead import LookaheadRecipe
from collab_policies.mentorcollab_free import MentorCollabFree

PROBLEM = Problem(
    id="q0", prompt="Mod 10: i = 2, r = i + 2, v = r - 7, n = v + 5, q = n * 9. What is q?"
)
RECIPES: dict[str, Recipe | LookaheadRecipe | str] = {
    "alone": Recipe(),  # the generator alone
    "lookahead": LookaheadRecipe(judge=None),  # a factory of a recipe
    "cosd": "cosd",  # an installed name
}


async def main() -> None:
    """Solve a problem in three ways at the same time, then show one answer as it settles."""
    generator = LocalTorch(model="lab/generator", threads=1)
    mentor = LocalTorch(model="lab/mentor", threads=1)
    results: dict[str, Result] = {}
    async with Pair(generator=generator, mentor=mentor, max_requests=8) as pair:

        async def solve(name: str) -> None:
            results[name] = await pair.solve(
                PROBLEM, recipe=RECIPES[name], seed=1, budget=Budget(max_mentor_tokens=200)
            )

        async with anyio.create_task_group() as group:
            for name in RECIPES:
                group.start_soon(solve, name)
        for name in RECIPES:
            print(f"{name}: {results[name].ending}, mentor share {results[name].mentor_share:.0%}")

        async with pair.stream(PROBLEM, recipe=MentorCollabFree(rate=0.24)) as events:
            async for event in events:
                if isinstance(event, Settled):  # it is never taken back
                    print(event.text, end="", flush=True)
        print()


if __name__ == "__main__":
    anyio.run(main)
