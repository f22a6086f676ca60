"""The cast of one problem: who takes part, and who may write."""

from collections.abc import Mapping
from dataclasses import dataclass

from collab.controller.participant import Participant
from collab.errors import PluginCallError
from collab.roles import GENERATOR


@dataclass(frozen=True, slots=True)
class Cast:
    """The participants of one problem.

    Attributes:
        by_name: All of them, the generator first.
        judging: The names of those that never write.
    """

    by_name: Mapping[str, Participant]
    judging: frozenset[str] = frozenset()

    @property
    def generator(self) -> Participant:
        """The one that writes unless somebody else is asked to."""
        return self.by_name[GENERATOR]

    @property
    def mentors(self) -> tuple[str, ...]:
        """The mentors' names."""
        return tuple(name for name in self.by_name if name not in (GENERATOR, *self.judging))

    @property
    def mentor_tokens(self) -> int:
        """How many tokens the mentors have decoded for the problem."""
        return sum(self.by_name[name].decoded_tokens for name in self.mentors)

    @property
    def judges(self) -> tuple[str, ...]:
        """The names of those that never write."""
        return tuple(name for name in self.by_name if name in self.judging)

    def known(self, name: str) -> Participant:
        """Return a participant.

        Raises:
            PluginCallError: There is none of that name.
        """
        if name not in self.by_name:
            raise PluginCallError(
                f"there is no participant {name!r}; there are: {', '.join(self.by_name)}"
            )
        return self.by_name[name]

    def writer(self, name: str) -> Participant:
        """Return a participant that may write.

        Raises:
            PluginCallError: There is none of that name, or it is a judge.
        """
        if name in self.judging:
            raise PluginCallError(f"the judge {name!r} was asked to write; judges never write")
        return self.known(name)
