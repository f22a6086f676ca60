"""A strategy of one's own: generator and mentor write units in turn."""

from pydantic import Field

from collab import GENERATOR, MENTOR, Desk, Ending, Strategy
from collab.capabilities import Need


class TakingTurns(Strategy):
    """Let the generator write some units, then the mentor some, and so on."""

    own_steps: int = Field(default=2, ge=1, description="The generator's units in a row.")
    mentor_steps: int = Field(default=1, ge=1, description="The mentor's units in a row.")

    @property
    def needs(self) -> tuple[Need, ...]:
        """A mentor."""
        return (Need(MENTOR, "text"),)

    async def run(self, desk: Desk) -> Ending | None:
        """Write until the text is over."""
        while True:
            for role, steps in ((GENERATOR, self.own_steps), (MENTOR, self.mentor_steps)):
                for _ in range(steps):
                    if ending := await desk.commit(await desk.write(role)):
                        return ending
