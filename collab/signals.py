"""What is measured beside a model's tokens, and what is added to its hidden states.

Layers are numbered as transformers numbers hidden states: layer `l` is the input of block `l`,
and the number of blocks itself names the state after the final norm. The state at a token's row is
the one from which that token was drawn: it stands at the position of the token before it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Observed = Mapping[str, Sequence[float]]
"""By an observation's name: the numbers it read, as an `array` of float32."""

Reduction = Callable[[Any], Any]
"""Takes hidden states `(R, hidden)` on the model's device and returns `(R, n)` there."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Selects positions by the token that stands there. Without texts it selects all.

    Attributes:
        texts: A position is selected if its token's text contains one of these, such as a blank
            line for the ends of steps.
        is_exact: Its token's text has to be one of these instead.
    """

    texts: tuple[str, ...] = ()
    is_exact: bool = False

    def selects(self, token: str) -> bool:
        """Whether it selects positions where a token of this text stands."""
        if not self.texts:
            return True
        if self.is_exact:
            return token in self.texts
        return any(text in token for text in self.texts)


EVERYWHERE = Gate()


@dataclass(frozen=True, slots=True)
class Observation:
    """Hidden states to hand over with the tokens drawn from them.

    Attributes:
        name: Its key in `Token.observed`.
        layer: Whose input is observed, after steering; the number of blocks is after the norm.
        gate: Observe only where this selects the position of the state.
        reduction: Computed on the device, so that only its result is copied; `None` copies the
            whole vector. Called on the engine's thread: quick, without waiting, without memory.
    """

    name: str
    layer: int
    gate: Gate = EVERYWHERE
    reduction: Reduction | None = None


@dataclass(frozen=True, slots=True)
class Signals:
    """What to measure in one session.

    Attributes:
        entropy_top_k: Entropy over the k most likely tokens, renormalised; 0 for none.
        observations: Hidden states to hand over.
        top_k: How many of the likeliest tokens to name at each position; see `Token.top`.
    """

    entropy_top_k: int = 0
    observations: tuple[Observation, ...] = ()
    top_k: int = 0


NO_SIGNALS = Signals()


@dataclass(frozen=True, slots=True)
class Steering:
    """A vector added to hidden states.

    Attributes:
        layer: Added to the input of this block.
        vector: As long as the model's hidden size.
        scale: Its factor.
        gate: The positions that it is added to.

    References:
        SEAL, arXiv:2504.07986, adds one at the delimiters of steps.
    """

    layer: int
    vector: Sequence[float]
    scale: float = 1.0
    gate: Gate = EVERYWHERE
