"""The hidden states of a text's last steps, and their inner products kept up to date."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from collab_policies.rank.normalising import Matrix, Normaliser, State

PLAIN = Normaliser()


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """One step.

    Attributes:
        states: Normalised, `(L, d)`; never written to.
        products: Inner products with the steps before it, oldest first, and with itself.
    """

    states: Matrix
    products: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class TrajectoryMark:
    """What a trajectory held at some time; a few pointers, nothing is copied."""

    _steps: tuple[_Step, ...]
    _origin: object


class Trajectory:
    """The last `window` steps of one text, each with one hidden state for each layer.

    The tensor steps x layers x hidden is kept with the Gram matrix of its steps, which gains one
    row per step: O(window * L * d), some 10 microseconds. Steps are immutable, so that marks and
    forks cost nothing, and a step that is drafted again is replaced by going back:

        before = trajectory.mark()
        trajectory.push(draft_states)
        trajectory.rollback(before)
        trajectory.push(other_states)

    Args:
        window: How many steps are kept, at least 2.
        layers: States of a step, at least 1.
        normaliser: What is done to states when they are pushed.

    Raises:
        ValueError: Too small a window, no layer, or the normaliser's means are of other layers.

    References:
        RankGuide, arXiv:2604.16694: "consecutive hidden states" at the level of steps. Window,
        layers and tokens are not known to us; reading D1 of `collab_policies.rank`.
    """

    def __init__(self, window: int, layers: int = 1, normaliser: Normaliser = PLAIN) -> None:
        if window < 2 or layers < 1:
            raise ValueError(
                f"a window of {window} steps with {layers} layers; at least 2 steps and 1 layer"
            )
        if normaliser.means is not None and len(normaliser.means) != layers:
            raise ValueError(f"{layers} layers, but means of {len(normaliser.means)}")
        self.window = window
        self.layers = layers
        self.normaliser = normaliser
        self._steps: tuple[_Step, ...] = ()
        # Shared with forks: marks of one text are good for all of them, and for no other.
        self._origin = object()

    def __len__(self) -> int:
        """The steps held, at most `window`."""
        return len(self._steps)

    def push(self, states: Sequence[State]) -> bool:
        """Add a step; the oldest one leaves if the window is full.

        Args:
            states: One for each layer, `(L, d)`.

        Returns:
            Whether the step was added. One with an unusable state (zeros, NaN, infinity) is not:
            the trajectory stays as it was, and it is for the caller to count that.

        Raises:
            ValueError: Another number of layers or another width than before.
        """
        if len(states) != self.layers:
            raise ValueError(f"{len(states)} states for a step, this trajectory has {self.layers}")
        normalised = self.normaliser.step(states)
        if normalised is None:
            return False
        before = self._steps[-(self.window - 1) :]
        if before and normalised.shape[1] != self.width:
            raise ValueError(f"states are {normalised.shape[1]} wide, those before {self.width}")
        products = tuple(float(np.vdot(one.states, normalised)) for one in before)
        with_itself = float(np.vdot(normalised, normalised))
        self._steps = (*before, _Step(normalised, (*products, with_itself)))
        return True

    def mark(self) -> TrajectoryMark:
        """Return a pointer to what is held now."""
        return TrajectoryMark(self._steps, self._origin)

    def rollback(self, mark: TrajectoryMark) -> None:
        """Hold again what was held at `mark`, also steps that have left the window since.

        Raises:
            ValueError: The mark is of another text's trajectory.
        """
        if mark._origin is not self._origin:
            raise ValueError("the mark is not of this trajectory or of one that it was forked from")
        self._steps = mark._steps

    def fork(self) -> "Trajectory":
        """Return an independent trajectory that holds the same; marks are good for both."""
        twin = Trajectory(self.window, self.layers, self.normaliser)
        twin._steps, twin._origin = self._steps, self._origin
        return twin

    @property
    def width(self) -> int:
        """Width of a state, 0 while no step is held."""
        return self._steps[-1].states.shape[1] if self._steps else 0

    @property
    def gram(self) -> Matrix:
        """Inner products of the steps over all layers, `(m, m)` for the `m` steps held."""
        gram = np.zeros((len(self._steps), len(self._steps)))
        for row, step in enumerate(self._steps):
            gram[row, : row + 1] = gram[: row + 1, row] = step.products[-(row + 1) :]
        return gram

    @property
    def block_gram(self) -> Matrix:
        """Inner products of all states, `(m * L, m * L)`, a step's layers side by side.

        Computed anew, O(m^2 * L^2 * d): 0.3 ms for 8 steps, 4 layers and a width of 2560.
        """
        if not self._steps:
            return np.zeros((0, 0))
        rows = np.concatenate([step.states for step in self._steps])  # (m * L, d)
        gram: Matrix = rows @ rows.T
        return gram

    @property
    def tensor(self) -> Matrix:
        """The normalised states, `(m, L, d)`, copied; without steps `(0, L, 0)`."""
        if not self._steps:
            return np.zeros((0, self.layers, 0))
        return np.stack([step.states for step in self._steps])
