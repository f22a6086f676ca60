"""Decisions: what a policy can want at one place. A closed union; only the controller acts."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mark:
    """A cheap pointer to a position of a trace: the number of spans before it."""

    spans: int


@dataclass(frozen=True, slots=True)
class Continue:
    """Commit the draft and go on.

    Attributes:
        why: Short reason for the record.
        signal: The number that was compared, if there was one.
    """

    why: str = ""
    signal: float | None = None


@dataclass(frozen=True, slots=True)
class Consult:
    """Ask a mentor what it would write from the draft's start; a verifier chooses.

    Attributes:
        mentor: The participant to ask.
        max_tokens: Length of its proposal, at least 1; `None` for the recipe's segment.
        back_to: Roll the text back to this earlier mark first; the draft is dropped then.
        why: Short reason for the record.
        signal: The number that was compared, if there was one.
    """

    mentor: str = "mentor"
    max_tokens: int | None = None
    back_to: Mark | None = None
    why: str = ""
    signal: float | None = None

    def __post_init__(self) -> None:
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ValueError(f"max_tokens is {self.max_tokens}; a proposal has at least 1 token")


@dataclass(frozen=True, slots=True)
class Verify:
    """Ask the verifier about the draft itself; a mentor redoes it only if it does not stand.

    Attributes:
        redo: The consultation to make then; its proposal stands unverified.
        why: Short reason for the record.
        signal: The number that was compared, if there was one.
    """

    redo: Consult = Consult()
    why: str = ""
    signal: float | None = None


@dataclass(frozen=True, slots=True)
class Inject:
    """Commit the draft, then text of the policy's own.

    Attributes:
        text: What to put in.
        visible_to: The participants that see it; `None` for all, and then it is part of the
            answer.
        why: Short reason for the record.
        signal: The number that was compared, if there was one.
    """

    text: str
    visible_to: frozenset[str] | None = None
    why: str = ""
    signal: float | None = None


@dataclass(frozen=True, slots=True)
class Finish:
    """Commit the draft and end the problem.

    Attributes:
        why: Short reason; it becomes part of the problem's reason to end.
        signal: The number that was compared, if there was one.
    """

    why: str = ""
    signal: float | None = None


Decision = Continue | Consult | Verify | Inject | Finish
