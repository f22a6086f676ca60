"""Decisions: what a policy can want at one place. A closed union; only the controller acts.

Their fields are checked when they are made, so that a mistake is found where it was made.
"""

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from collab.texts import is_unicode


def _whole(text: str) -> str:
    if not is_unicode(text):
        raise ValueError("it contains half a character (a lone surrogate)")
    return text


Tokens = Annotated[int, Field(ge=1)]
Text = Annotated[str, AfterValidator(_whole)]


@dataclass(frozen=True, slots=True)
class Mark:
    """A cheap pointer to a position of a trace: the number of spans before it."""

    spans: Annotated[int, Field(ge=0)]


@dataclass(frozen=True, slots=True)
class Continue:
    """Commit the draft and go on.

    Attributes:
        why: Short reason for the record.
        signal: The number that was compared, if there was one.
    """

    why: Text = ""
    signal: float | None = None


def _simple(redo: "Consult | Continue | None") -> "Consult | Continue | None":
    """Refuse what a consultation that is made instead of another cannot do."""
    if isinstance(redo, Consult):
        beyond = {
            "mentors": bool(redo.mentors),
            "n": redo.n > 1,
            "keep": redo.keep > 0,
            "back_to": redo.back_to is not None,
            "redo": redo.redo is not None,
        }
        if given := [name for name, is_given in beyond.items() if is_given]:
            raise ValueError(
                f"a redo asks one mentor once and stands unverified; leave out {', '.join(given)}"
            )
    return redo


@dataclass(frozen=True, slots=True)
class Consult:
    """Ask one mentor or several what they would write from the draft's start; a verifier chooses.

    Attributes:
        mentor: The participant to ask.
        max_tokens: Length of its proposal, at least 1; `None` for the recipe's segment.
        back_to: Roll the text back to this earlier mark first; the draft is dropped then.
        why: Short reason for the record.
        signal: The number that was compared, if there was one.
        redo: What to do if the verifier lets no proposal stand: consult another mentor, whose
            proposal then stands unverified, or `Continue` with the generator's own draft.
            Without it, such a verdict is an error.
        keep: Commit this many of the draft's tokens first, and consult from there.
        mentors: The participants to ask at the same time, instead of `mentor`.
        n: Proposals that each of them makes, at least 1; more than one needs sampling.
    """

    mentor: Text = "mentor"
    max_tokens: Tokens | None = None
    back_to: Mark | None = None
    why: Text = ""
    signal: float | None = None
    redo: Annotated["Consult | Continue | None", AfterValidator(_simple)] = None
    keep: Annotated[int, Field(ge=0)] = 0
    mentors: tuple[Text, ...] = ()
    n: Annotated[int, Field(ge=1)] = 1

    @property
    def asked(self) -> tuple[str, ...]:
        """The participants to ask."""
        return self.mentors or (self.mentor,)


@dataclass(frozen=True, slots=True)
class Verify:
    """Ask the verifier about the draft itself; a mentor redoes what of it does not stand.

    Attributes:
        redo: The consultation to make then, after what stands; its proposal stands unverified.
        why: Short reason for the record.
        signal: The number that was compared, if there was one.
    """

    redo: Annotated[Consult, AfterValidator(_simple)] = Consult()
    why: Text = ""
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

    text: Text
    visible_to: frozenset[str] | None = None
    why: Text = ""
    signal: float | None = None


@dataclass(frozen=True, slots=True)
class Finish:
    """Commit the draft and end the problem.

    Attributes:
        why: Short reason; it becomes part of the problem's reason to end.
        signal: The number that was compared, if there was one.
    """

    why: Text = ""
    signal: float | None = None


Decision = Continue | Consult | Verify | Inject | Finish
