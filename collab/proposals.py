"""What a model is asked for and what it offers: `Until`, `Sampling`, `Token`, `Proposal`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from collab.signals import Observed
from collab.units import Unit

StopReason = Literal["unit", "length", "eos", "stop_string", "predicate", "context"]
"""Why a proposal ended.

`unit`: the units asked for are complete. `length`: the token cap. `eos`: the model ended its
text. `stop_string`: a stop string was written (and cut off). `predicate`: `Until.stop_if` said so.
`context`: the model's context is full.
"""


@dataclass(frozen=True, slots=True)
class Until:
    """When a model stops writing; whatever comes first.

    Attributes:
        max_tokens: Cap on tokens, at least 1.
        unit: Stop as soon as `units` of these are complete, if given.
        units: How many units, at least 1.
        stop_strings: Texts that end the proposal; they are cut off, and found across tokens.
        stop_if: Asked after every token, with all tokens so far: whether to stop after it. Called
            where the model runs, so quick and without waiting; the same tokens, the same answer.
        may_stop_behind: The text after which `stop_if` is expected to say so, if it says so at
            all. A model that cannot be stopped at once is asked for so much first, and for the
            rest only if it writes something else.
    """

    max_tokens: int
    unit: Unit | None = None
    units: int = 1
    stop_strings: tuple[str, ...] = ()
    stop_if: "Callable[[Sequence[Token]], bool] | None" = None
    may_stop_behind: str = ""

    def __post_init__(self) -> None:
        if self.max_tokens < 1 or self.units < 1:
            raise ValueError(f"{self.max_tokens} tokens, {self.units} units: both are at least 1")


_COLDEST = 1e-5
"""Temperatures below it would only overflow; inference servers draw the line there too."""


class Sampling(BaseModel):
    """How tokens are drawn from a model's distribution. The default is greedy."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: float = Field(default=0.0, ge=0.0, description="Below 0.00001 is greedy.")
    top_p: float = Field(
        default=1.0, gt=0.0, le=1.0, description="Probability mass kept when sampling (nucleus)."
    )
    top_k: int = Field(default=0, ge=0, description="Most likely tokens kept; 0 keeps all.")

    @property
    def is_greedy(self) -> bool:
        """Whether the most likely token is always taken."""
        return self.temperature < _COLDEST


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of the likeliest tokens at a position, taken or not.

    Attributes:
        id: In the model's own vocabulary; -1 if its backend gives none.
        text: Its text by itself: U+FFFD where it is part of a character. Empty where it ends the
            text and the backend knows that it does.
        logprob: Natural log of the probability the model gave it before temperature, at most 0.
    """

    id: int
    text: str
    logprob: float


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a proposal, with the signals measured beside its logits.

    Attributes:
        id: In the author's own vocabulary; -1 if its backend gives none.
        text: The text that became complete with this token; empty while a character is partial.
        logprob: Natural log of the probability the model gave it before temperature, at most 0.
        entropy_nats: Entropy of the distribution it was drawn from, over the top k asked for,
            renormalised; `None` if no k was asked for.
        margin: Difference of the two largest log-probabilities, in nats, at least 0.
        observed: Hidden states read beside it, if asked for; see `collab.signals.Observation`.
        top: The likeliest tokens at its position, the likeliest first, as many as
            `Signals.top_k` asks for and the model gives. The token itself need not be one of them.
    """

    id: int
    text: str
    logprob: float | None = None
    entropy_nats: float | None = None
    margin: float | None = None
    observed: Observed | None = field(default=None, repr=False)
    top: tuple[Candidate, ...] = ()

    @property
    def is_likeliest(self) -> bool | None:
        """Whether the model would write it here; `None` if its likeliest tokens are not known."""
        if not self.top:
            return None
        first = self.top[0]
        return first.id == self.id if -1 not in (first.id, self.id) else first.text == self.text


@dataclass(frozen=True, slots=True)
class Proposal:
    """Text that a model offers from a mark; not in the trace until it is committed.

    Attributes:
        author: The participant that wrote it.
        tokens: In the author's tokenizer.
        stop: Why it ended.
        cuts: Ends of the complete units, as token counts, ascending; a last incomplete unit
            is not among them.
        replayed: How many of the decoded tokens after the head stem from earlier calls and cost
            nothing now; can exceed the proposal's length.
        stop_string: The stop string that ended it, if one did.
        stop_overlap: How many characters of the stop string stand in front of the proposal.
        is_cut: Whether the last token's text was cut, where a stop string began within it.
        alternative: Names it among the alternatives of one place; 0 for what its author writes
            first there.
    """

    author: str
    tokens: tuple[Token, ...]
    stop: StopReason
    cuts: tuple[int, ...] = ()
    replayed: int = 0
    stop_string: str = ""
    stop_overlap: int = 0
    is_cut: bool = False
    alternative: int = 0

    @property
    def text(self) -> str:
        """The text of all tokens."""
        return "".join(token.text for token in self.tokens)

    def part(self, start: int, end: int | None = None) -> "Proposal":
        """Return tokens `start` to `end`; only with the last one the proposal's end is reached."""
        end = len(self.tokens) if end is None else end
        cuts = tuple(cut - start for cut in self.cuts if start < cut <= end)
        part = replace(self, tokens=self.tokens[start:end], cuts=cuts, replayed=0)
        if end == len(self.tokens):
            return part
        return replace(part, stop="unit", stop_string="", stop_overlap=0, is_cut=False)


@dataclass(frozen=True, slots=True)
class Distribution:
    """Probabilities of labels at one position.

    Attributes:
        labels: Probability the model gave to each label, in `[0, 1]`; they need not sum to 1.
        likeliest: Text of the likeliest token of all, a label or not, by itself: a blank at its
            start may be lost. Empty where that token ends the text, and `None` where the model
            does not say.
    """

    labels: Mapping[str, float]
    likeliest: str | None = None

    def normalised(self, label: str) -> float:
        """Return the share of `label` in the mass of all labels, 0.5 of two if there is none."""
        total = sum(self.labels.values())
        return self.labels[label] / total if total > 0 else 1 / len(self.labels)
