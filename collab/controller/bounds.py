"""Bounds: how long a text may grow, which strings end it, and when a proposal is its end."""

from collab.endings import Ending
from collab.proposals import Proposal, StopReason
from collab.recipes import Recipe
from collab.trace import Trace

_FINAL_STOPS: frozenset[StopReason] = frozenset({"eos", "stop_string", "context"})


class Bounds:
    """What a recipe says of the end of one problem's text; with phases, of its thinking."""

    def __init__(self, recipe: Recipe, trace: Trace) -> None:
        self._recipe = recipe
        self._trace = trace
        self._phases = recipe.phases

    @property
    def left(self) -> int:
        """Tokens that may still be written, the answer's included."""
        return self._recipe.max_answer_tokens - self._trace.tokens

    @property
    def room(self) -> int:
        """Those of them that are not kept for the answer."""
        return self.left - (self._phases.answer_tokens if self._phases else 0)

    @property
    def stops(self) -> tuple[str, ...]:
        """The strings that end the text, or its thinking."""
        return self._recipe.stop_strings + ((self._phases.thinking_end,) if self._phases else ())

    def ending(self, proposal: Proposal) -> Ending:
        """Return why a text is over with `proposal`; where it is its thinking, the tag says so."""
        match proposal.stop:
            case "eos" | "context" | "stop_string":
                has_thought = self._phases and proposal.stop_string == self._phases.thinking_end
                return Ending(proposal.stop, proposal.stop_string if has_thought else "")
            case "length" | "unit" | "predicate":
                return Ending("length")

    def is_final(self, proposal: Proposal) -> bool:
        """Whether the text is over after it: a segment's own stop strings end only the segment."""
        if proposal.stop == "stop_string":
            return proposal.stop_string in self.stops
        return proposal.stop in _FINAL_STOPS

    def unit_ends(self, written: Proposal, *, is_capped: bool) -> tuple[list[int], bool]:
        """Return where the units of a draft end, and whether the text is over with them.

        When the text is over, an incomplete unit at its end counts as one. When only the stretch's
        cap was reached (`is_capped`), it does not: it is written on in the next call.
        """
        cuts = list(written.cuts)
        is_over = written.stop in _FINAL_STOPS or (written.stop == "length" and not is_capped)
        if is_over and len(written.tokens) > (cuts[-1] if cuts else 0):
            cuts.append(len(written.tokens))
        return cuts, is_over
