"""Strategies that do what a test says, and one problem that is solved by a strategy."""

from collections.abc import Awaitable, Callable

from collab import (
    Budget,
    Controller,
    Desk,
    Ending,
    Problem,
    Recipe,
    Result,
    Sampling,
    Strategy,
    TokenUnit,
    Unit,
)
from collab.testing import FakeBackend, FakeModel

Work = Callable[[Desk], Awaitable[object]]
WARM = Sampling(temperature=1.0)
OWN = "a b c d e f"
OTHER = "A B C D E F"
ONE_BY_ONE = TokenUnit()


class Does(Strategy):
    """Does what a test says."""

    work: Work
    is_taking_back: bool = False

    @property
    def takes_back(self) -> bool:
        return self.is_taking_back

    async def run(self, desk: Desk) -> Ending | None:
        return await self.work(desk)  # type: ignore[return-value]


async def solve_by(
    strategy: Strategy,
    *,
    generator: FakeModel | None = None,
    mentor: FakeModel | None = None,
    unit: Unit = ONE_BY_ONE,
    budget: Budget | None = None,
    **options: object,
) -> Result:
    """Return what a strategy makes of a problem, with a generator, a mentor and a critic."""
    critic = FakeModel(labels={"Y": 0.7}, rewards={"good": 0.9})
    controller = Controller(
        generator=FakeBackend(model=generator or FakeModel(OWN)),
        mentor=FakeBackend(model=mentor or FakeModel(OTHER)),
        judges={"critic": FakeBackend(model=critic)},
        recipe=Recipe(strategy=strategy, unit=unit, **options),  # type: ignore[arg-type]
        budget=budget or Budget(),
    )
    async with controller:
        return await controller.solve(Problem(id="p", prompt="q"))


async def at_desk(
    work: Work,
    *,
    generator: FakeModel | None = None,
    mentor: FakeModel | None = None,
    takes_back: bool = False,
    budget: Budget | None = None,
    **options: object,
) -> Result:
    """Return what comes of a problem when a strategy does `work`."""
    strategy = Does(work=work, is_taking_back=takes_back)
    return await solve_by(
        strategy,
        generator=generator,
        mentor=mentor,
        budget=budget,
        **options,  # type: ignore[arg-type]
    )
