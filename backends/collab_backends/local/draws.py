"""A session's stream of random numbers: numbers drawn ahead can be given back."""

import random


class RandomStream:
    """Uniform numbers in `[0, 1)`, one for each token that is sampled.

    A device that decodes ahead draws for a token that may turn out not to be wanted. Given back,
    its number is the next again, so that a text does not depend on how it was decoded.

    Args:
        seed: Of the stream.
    """

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._returned: list[float] = []

    def random(self) -> float:
        """Return the next number."""
        return self._returned.pop() if self._returned else self._rng.random()

    def give_back(self, number: float) -> None:
        """Have `number`, the last one drawn, drawn next."""
        self._returned.append(number)

    def copy(self) -> "RandomStream":
        """Return a stream that goes on as this one does."""
        twin = RandomStream(0)
        twin._rng.setstate(self._rng.getstate())
        twin._returned = list(self._returned)
        return twin
