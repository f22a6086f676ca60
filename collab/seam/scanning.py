"""Turning a stream of decoded tokens into a proposal, the same way for every backend."""

from dataclasses import replace

from collab.proposals import Proposal, StopReason, Token, Until


class ProposalBuilder:
    """Takes decoded tokens one by one and says when to stop.

    Args:
        until: When to stop.
        before: The text in front of the first token, at least as long as the longest
            stop string, so that one which began there is found.
    """

    def __init__(self, until: Until, before: str = "") -> None:
        self._until = until
        self._scanner = until.unit.scanner() if until.unit else None
        self._tokens: list[Token] = []
        self._cuts: list[int] = []
        self._before = before
        self._text = ""
        self.stop: StopReason | None = None
        self._stop_string = ""
        self._stop_overlap = 0
        self._is_cut = False

    @property
    def room(self) -> int:
        """How many further tokens may come."""
        return self._until.max_tokens - len(self._tokens)

    @property
    def is_done(self) -> bool:
        """Whether no further token is wanted."""
        return self.stop is not None

    def feed(self, token: Token) -> bool:
        """Take the next token; return whether no further one is wanted."""
        self._tokens.append(token)
        self._text += token.text
        if self._find_stop_string(token):
            self.stop = "stop_string"
        elif self._find_cut(token):
            self.stop = "unit"
        elif self._until.stop_if is not None and self._until.stop_if(tuple(self._tokens)):
            self.stop = "predicate"
        elif len(self._tokens) >= self._until.max_tokens:
            self.stop = "length"
        return self.is_done

    def end(self, stop: StopReason) -> None:
        """Take note that the text ends here, for a reason that is not in the tokens."""
        self.stop = stop

    def build(self, author: str, *, replayed: int) -> Proposal:
        """Return the proposal; see `Proposal.replayed`."""
        if self.stop is None:
            raise ValueError("the proposal is not finished: feed more tokens, or call end()")
        tokens = self._tokens[: self._cuts[-1]] if self.stop == "unit" else self._tokens
        return Proposal(
            author,
            tuple(tokens),
            self.stop,
            tuple(self._cuts),
            replayed,
            self._stop_string,
            self._stop_overlap,
            self._is_cut,
        )

    def _find_cut(self, token: Token) -> bool:
        if self._scanner is None:
            return False
        if (cut := self._scanner.feed(token.text)) is not None:
            self._cuts.append(cut)
        return len(self._cuts) == self._until.units

    def _find_stop_string(self, token: Token) -> bool:
        """Cut the text off where a stop string begins, if one is complete now."""
        found = [
            (place, stop)
            for stop in self._until.stop_strings
            if (place := self._place_of(stop, token)) is not None
        ]
        if not found:
            return False
        first, self._stop_string = min(found)
        self._stop_overlap = max(-first, 0)
        surplus = len(self._text) - max(first, 0)
        while surplus > 0 and self._tokens:
            last = self._tokens[-1]
            kept = max(len(last.text) - surplus, 0)
            surplus -= len(last.text) - kept
            self._tokens.pop()
            if kept:
                self._tokens.append(replace(last, text=last.text[:kept]))
                self._is_cut = True
        self._cuts = [cut for cut in self._cuts if cut <= len(self._tokens)]
        return True

    def _place_of(self, stop: str, token: Token) -> int | None:
        """Return where `stop`, ending within the newest token, begins in this proposal's text."""
        # So wide that whatever is found in it ends within the newest token.
        width = len(stop) + len(token.text) - 1
        text = self._before + self._text if width > len(self._text) else self._text
        window = text[-width:] if token.text else ""
        place = window.find(stop)
        return len(self._text) - len(window) + place if place >= 0 else None
