"""Jobs that write nothing: what a session wants to know of given text, in one prefill."""

from collections.abc import Sequence

from collab_backends.local.cache import TextCache
from collab_backends.local.jobs import Job
from collab_backends.local.signals import Rows
from collab_backends.local.steering import Observer


class JudgeJob(Job):
    """Read the probabilities of a few tokens right behind the context, and which is the likeliest.

    Attributes:
        probabilities: In the order of the labels; empty until the job is done.
        likeliest: The id of the likeliest token of all.
    """

    def __init__(
        self,
        cache: TextCache,
        context: list[int],
        label_ids: Sequence[int],
        *,
        donor: TextCache | None = None,
    ) -> None:
        super().__init__(cache, context, donor=donor)
        self.probabilities: list[float] = []
        self.likeliest = 0
        self._label_ids = list(label_ids)

    @property
    def completion_tokens(self) -> int:
        """One once it is done: the answer is a decoded position."""
        return 1 if self.probabilities else 0

    def asks(self, rows: int) -> Sequence[Sequence[int]]:
        """Return the labels."""
        return [self._label_ids] * rows

    def take(self, rows: Rows, start: int, end: int) -> bool:
        """Read the labels."""
        self.probabilities = rows.probabilities(start, self._label_ids)
        self.likeliest = rows.most_likely(start)
        return True


class ObserveJob(Job):
    """Read the hidden state at the last token of the context."""

    def __init__(
        self,
        cache: TextCache,
        context: list[int],
        observer: Observer,
        *,
        donor: TextCache | None = None,
    ) -> None:
        super().__init__(cache, context, donor=donor, observers=(observer,))
        self.state: Sequence[float] = ()
        self._observer = observer

    @property
    def completion_tokens(self) -> int:
        """None: nothing is decoded."""
        return 0

    def take(self, rows: Rows, start: int, end: int) -> bool:
        """Read the state."""
        state = rows.observed(start, self._observer)
        assert state is not None, "an observer without a gate reads at every row"
        self.state = state
        return True


class ScoreJob(Job):
    """Read the log-probability of every token of a given continuation, in one prefill.

    Attributes:
        logprobs: By token; complete once the job is done.
        tops: By token, the `top_k` likeliest ones at its place with their log-probabilities.
    """

    def __init__(
        self,
        cache: TextCache,
        context: list[int],
        scored: Sequence[int],
        *,
        top_k: int = 0,
        donor: TextCache | None = None,
    ) -> None:
        # Each scored token is predicted by the row before it.
        super().__init__(cache, context, wanted_rows=len(scored), donor=donor)
        self.logprobs: list[float] = []
        self.tops: list[list[tuple[int, float]]] = []
        self._top_k = top_k
        self._scored = list(scored)

    @property
    def completion_tokens(self) -> int:
        """None: nothing is decoded."""
        return 0

    def asks(self, rows: int) -> Sequence[Sequence[int]]:
        """Return the tokens that these rows predict."""
        done = len(self.logprobs)
        return [[one] for one in self._scored[done : done + rows]]

    def take(self, rows: Rows, start: int, end: int) -> bool:
        """Read the tokens that these rows predict."""
        done = len(self.logprobs)
        for row, token_id in zip(range(start, end), self._scored[done:], strict=False):
            self.logprobs.append(rows.logprob(row, token_id))
            self.tops.append(rows.top(row, self._top_k) if self._top_k else [])
        return len(self.logprobs) == len(self._scored)
