"""Following a text: the rank of its steps, as drafts come in."""

from collections.abc import Sequence

from collab.protocols import Draft
from collab_policies.rank.normalising import State
from collab_policies.rank.observing import opening_states, token_states
from collab_policies.rank.options import RankOptions


class RankFollower:
    """The trajectory of one text, and its score at each draft.

    A draft's first token carries the state at the delimiter that opens the step, whoever wrote the
    step before; it joins the trajectory for good. The first token beyond a draft carries the state
    at the delimiter that closes it; it counts for this one score only, as the draft may be redone.

    Attributes:
        unusable: Steps left out so far: their states were zeros, NaN or infinite.

    Args:
        options: Which reading is taken.
        means: Calibration means by layer, `(L, d)`.
    """

    def __init__(self, options: RankOptions, means: Sequence[State] | None = None) -> None:
        self.unusable = 0
        self._options = options
        self._trajectory = options.start(means)

    def score(self, draft: Draft) -> float | None:
        """Return the score with `draft`, in `[0, 1]`, low where the text goes nowhere new.

        `None` for no opinion: too few steps, or no states.
        """
        self._push(opening_states(draft.tokens, self._options))
        before = self._trajectory.mark()
        try:
            closing = opening_states(draft.beyond, self._options)
            # It comes again as the next step's opening state, and is counted then.
            if closing is not None and not self._trajectory.push(closing):
                return None
            tokens = token_states((*draft.tokens, *draft.beyond), self._options)
            is_read = self._options.definition == "tokens"
            return self._options.score(self._trajectory, tokens if is_read else ())
        finally:
            self._trajectory.rollback(before)

    def _push(self, states: Sequence[State] | None) -> None:
        if states is not None and not self._trajectory.push(states):
            self.unusable += 1
