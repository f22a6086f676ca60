"""The asynchronous API in 30 lines: one problem streamed, many solved together.

Run it with `python examples/async_api.py`.
"""

import anyio

from collab import Controller, Finished, Problem
from collab.trace import Committed
from collab_backends.local.backend import LocalTorch
from collab_policies.mentorcollab_free import MentorCollabFree

QUESTIONS = [
    "Mod 10: i = 2, r = i + 2, v = r - 7, n = v + 5, q = n * 9. What is q?",
    "Mod 10: a = 4, b = a + 9, c = b * 7, d = c - 5. What is d?",
]


async def main() -> None:
    """Stream the first problem, then solve all of them at the same time."""
    generator = LocalTorch(model="lab/generator", threads=1)
    mentor = LocalTorch(model="lab/mentor", threads=1)
    recipe = MentorCollabFree(rate=0.24)
    # With ids of their own: a problem's random choices come from the seed and its id.
    problems = [Problem(id=f"q{n}", prompt=text) for n, text in enumerate(QUESTIONS)]
    async with Controller(generator=generator, mentor=mentor, recipe=recipe, seed=0) as controller:
        async with controller.stream(problems[0]) as events:
            async for event in events:
                if isinstance(event, Committed):
                    print(f"{event.span.author:>9}: {event.span.text!r}")
                elif isinstance(event, Finished):
                    print(f"mentor share {event.result.mentor_share:.0%}, {event.result.usage}")
        async with controller.map(problems, concurrency=8) as results:
            async for result in results:
                print(
                    result.problem.id, result.reason, result.raise_for_error().text.split("\n")[-1]
                )


if __name__ == "__main__":
    anyio.run(main)
