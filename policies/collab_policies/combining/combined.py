"""What a policy that is made of others needs, reads and does: what its parts do, together."""

from collections.abc import Sequence
from typing import Self

from pydantic import model_validator

from collab.capabilities import Need
from collab.decisions import Consult, Decision, Verify
from collab.protocols import Policy, PolicySession, is_watching
from collab.signals import Observation


class Combined(Policy):
    """Base of policies that are made of other policies.

    All parts see the same draft. It carries the entropy over one number of tokens, so parts that
    ask for others are refused, and hidden states by name, so one name means one observation.
    """

    @property
    def parts(self) -> Sequence[Policy]:
        """The policies that it is made of."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _can_share_a_draft(self) -> Self:
        if not self.parts:
            raise ValueError("give at least one policy")
        top_ks = sorted({part.entropy_top_k for part in self.parts} - {0})
        if len(top_ks) > 1:
            raise ValueError(
                f"policies ask for the entropy over {' and over '.join(map(str, top_ks))} tokens, "
                "and a draft carries one of them; give all the same top_k"
            )
        names = [one.name for one in self.observations]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(
                f"policies observe different hidden states under the name {twice[0]!r}; give them "
                "the same layers and delimiters, or other names"
            )
        return self

    @property
    def needs(self) -> Sequence[Need]:
        """All that its parts need."""
        return tuple(dict.fromkeys(need for part in self.parts for need in part.needs))

    @property
    def entropy_top_k(self) -> int:
        """That of its parts."""
        return max(part.entropy_top_k for part in self.parts)

    @property
    def observations(self) -> Sequence[Observation]:
        """All that its parts observe."""
        return tuple(dict.fromkeys(one for part in self.parts for one in part.observations))

    @property
    def looks_beyond(self) -> int:
        """As far as the part that looks farthest."""
        return max(part.looks_beyond for part in self.parts)

    @property
    def takes_back(self) -> bool:
        """Whether one of its parts may take text back."""
        return any(getattr(part, "takes_back", False) for part in self.parts)


def is_asking(decision: Decision) -> bool:
    """Whether a decision asks somebody: a mentor, or a verifier about the draft."""
    return isinstance(decision, Consult | Verify)


def is_attentive(session: PolicySession) -> bool:
    """Whether a session may want to see a unit while it is written."""
    return is_watching(session) or type(session).glimpse is not PolicySession.glimpse
