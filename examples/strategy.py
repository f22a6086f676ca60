"""A strategy of one's own: several candidates for each step, and a mentor that chooses.

Run it with `python examples/strategy.py`.
"""

import anyio
from pydantic import Field

from collab import GENERATOR, Controller, Desk, Ending, Recipe, Sampling, StepUnit, Strategy
from collab.capabilities import Need
from collab_backends.local.backend import LocalTorch


class BestStep(Strategy):
    """Sample `n` steps, and keep the one that the mentor finds the likeliest per token."""

    n: int = Field(default=3, ge=1, description="Candidates for each step.")

    @property
    def needs(self) -> tuple[Need, ...]:
        """Scores of given text by the mentor."""
        return (Need("mentor", "score"),)

    async def run(self, desk: Desk) -> Ending | None:
        """Sample, score and commit until the text is over."""
        while desk.ending is None:
            steps = await desk.write_many(GENERATOR, self.n)
            means = []
            for step in steps:
                scored = await desk.score("mentor", step.text)
                total = sum(token.logprob or 0.0 for token in scored)
                means.append(total / len(scored) if scored else 0.0)
            await desk.commit(steps[means.index(max(means))])
        return desk.ending


async def main() -> None:
    """Solve one problem by the strategy."""
    recipe = Recipe(
        strategy=BestStep(),
        unit=StepUnit(delimiter="\n"),
        sampling=Sampling(temperature=0.7),
        max_answer_tokens=160,
    )
    async with Controller(
        generator=LocalTorch(model="lab/generator", threads=1),
        mentor=LocalTorch(model="lab/mentor", threads=1),
        recipe=recipe,
    ) as controller:
        result = await controller.solve("Mod 10: a = 4, b = a + 9, c = b * 7. What is c?")
        print(result.raise_for_error().text)
        print(result.ending, result.usage[GENERATOR])


if __name__ == "__main__":
    anyio.run(main)
