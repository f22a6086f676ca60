"""When collaboration pays: what a recipe takes beside its mentor alone. Pure arithmetic.

Everything is linear. A call to a model takes a fixed time, and each token that it decodes another;
a recipe makes so many calls and tokens per stretch of answer. What the generator writes while the
mentor answers costs only as far as it outlasts the mentor.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median
from typing import Literal

Term = Literal[
    "drafting calls",
    "drafting",
    "mentor calls",
    "mentor tokens",
    "looking ahead",
    "judging",
]
"""What the time of a recipe is made of, see `Comparison.seconds_by_term`."""

_ALIKE = 1.5
"""A mentor that takes less than so many times the generator's time per token is about as fast."""

_MOST_POINTS = 500
_HELP: Mapping[Term, str] = {
    "drafting calls": "let the generator write more at a time: a larger unit, or a policy that "
    "draws its positions ahead",
    "drafting": "take a smaller or faster generator, or a larger mentor",
    "mentor calls": "ask less often (a lower rate, a higher threshold), ask for more at a time "
    "(longer segments), or move the mentor closer",
    "mentor tokens": "let the mentor write less: a lower rate, a higher threshold or shorter "
    "segments",
    "looking ahead": "use a verifier that reads no look-ahead, such as always-mentor, or shorter "
    "segments",
    "judging": "judge less often, or with a verifier that asks no model, such as agreement or "
    "always-mentor",
}
_NAMES: Mapping[Term, str] = {
    "drafting calls": "the fixed cost of the generator's calls",
    "drafting": "the generator's own tokens",
    "mentor calls": "the fixed cost of the calls to the mentor",
    "mentor tokens": "the tokens that the mentor writes",
    "looking ahead": "the generator's looking ahead, which outlasts the mentor's answers",
    "judging": "judging and scoring",
}


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast one model answers, one text at a time.

    Attributes:
        call_s: Fixed seconds of one call.
        token_s: Seconds of one decoded token.
    """

    call_s: float
    token_s: float

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens per second while it decodes."""
        return 1 / self.token_s if self.token_s > 0 else None


@dataclass(frozen=True, slots=True)
class Load:
    """Calls made and tokens decoded."""

    calls: float = 0.0
    tokens: float = 0.0

    def seconds(self, speed: Speed) -> float:
        """Return how long that takes."""
        return self.calls * speed.call_s + self.tokens * speed.token_s

    def per(self, tokens: float) -> "Load":
        """Return the load of one of `tokens` answer tokens."""
        return Load(self.calls / tokens, self.tokens / tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What a stretch of answer takes; all counts are of the same stretch.

    Attributes:
        alone: The mentor's load if it wrote the stretch by itself.
        drafting: The generator's.
        looking_ahead: The generator's while the mentor answers.
        consulting: The mentor's.
        judging_s: Seconds of judging and scoring.
    """

    alone: Load
    drafting: Load
    consulting: Load
    looking_ahead: Load = Load()
    judging_s: float = 0.0

    def seconds_by_term(self, generator: Speed, mentor: Speed) -> dict[Term, float]:
        """Return what the stretch's time is made of; the sum is all of it."""
        consulting = self.consulting.seconds(mentor)
        return {
            "drafting calls": self.drafting.calls * generator.call_s,
            "drafting": self.drafting.tokens * generator.token_s,
            "mentor calls": self.consulting.calls * mentor.call_s,
            "mentor tokens": self.consulting.tokens * mentor.token_s,
            "looking ahead": max(self.looking_ahead.seconds(generator) - consulting, 0.0),
            "judging": self.judging_s,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a pair comes to with a plan.

    Attributes:
        generator: Its speed.
        mentor: Its speed.
        plan: What is done.
        cost_usd: Of the stretch, if its models have prices.
        alone_cost_usd: Of the stretch written by the mentor alone, if it has a price.
    """

    generator: Speed
    mentor: Speed
    plan: Comparison
    cost_usd: float | None = None
    alone_cost_usd: float | None = None

    @property
    def seconds_by_term(self) -> dict[Term, float]:
        """What the time is made of."""
        return self.plan.seconds_by_term(self.generator, self.mentor)

    @property
    def seconds(self) -> float:
        """Expected time of the stretch."""
        return sum(self.seconds_by_term.values())

    @property
    def alone_s(self) -> float:
        """Expected time of the mentor alone."""
        return self.plan.alone.seconds(self.mentor)

    @property
    def speed_up(self) -> float | None:
        """Time of the mentor alone over the recipe's; `None` if nothing takes any time."""
        return self.alone_s / self.seconds if self.seconds > 0 else None

    @property
    def cost_ratio(self) -> float | None:
        """Cost of the recipe over the mentor alone's; `None` without prices."""
        if self.cost_usd is None or not self.alone_cost_usd:
            return None
        return self.cost_usd / self.alone_cost_usd

    @property
    def culprit(self) -> Term:
        """What is to blame: the largest term without which the recipe would not be slower.

        If it would be slower without any single one, the largest of all.
        """
        terms = self.seconds_by_term
        excess = self.seconds - self.alone_s
        enough: list[Term] = [term for term, seconds in terms.items() if seconds >= excess]
        # Somebody has to write, so tokens are blamed only where nothing else would do.
        avoidable = [term for term in enough if term not in ("drafting", "mentor tokens")]
        return max(avoidable or enough or terms, key=terms.__getitem__)

    @property
    def most_calls(self) -> float | None:
        """At how many calls to the mentor per stretch, of the same tokens, the time breaks even."""
        room = self.alone_s - self.seconds + self.seconds_by_term["mentor calls"]
        return room / self.mentor.call_s if room > 0 and self.mentor.call_s > 0 else None

    @property
    def warnings(self) -> list[str]:
        """Why the pair cannot pay, in plain words, and what would help; empty if it can."""
        warnings = []
        slower = self.mentor.token_s / self.generator.token_s if self.generator.token_s else None
        if slower is not None and slower < _ALIKE:
            warnings.append(
                f"the mentor needs only {slower:.2g} times the generator's time per token "
                f"({_ms(self.mentor.token_s)} against {_ms(self.generator.token_s)}), so there is "
                "hardly any time to save: take a smaller or faster generator, or a larger mentor"
            )
        if self.speed_up is not None and self.speed_up < 1:
            warnings.append(self.slow)
        if self.cost_ratio is not None and self.cost_ratio > 1:
            warnings.append(
                f"the recipe is expected to cost {self.cost_ratio:.2g} times as much as the mentor "
                "alone: ask less often, ask for more at a time, or use a server that charges less "
                "for prompts it has cached"
            )
        return warnings

    @property
    def slow(self) -> str:
        """How much slower than the mentor alone, what is to blame, and what would help."""
        term = self.culprit
        seconds = self.seconds_by_term[term]
        told = (
            f"the recipe is expected to take {self.seconds / self.alone_s:.2g} times as long as "
            f"the mentor alone; the main cause is {_NAMES[term]} ({seconds / self.seconds:.0%} "
            f"of the time): {_HELP[term]}"
        )
        if term == "mentor calls" and self.most_calls is not None:
            told += (
                f". With the same tokens it would break even at {self.most_calls:.2g} calls per "
                f"answer token instead of {self.plan.consulting.calls:.2g}"
            )
        return told


@dataclass(frozen=True, slots=True)
class Fit:
    """A model's speed as fitted to calls.

    Attributes:
        speed: The speed.
        is_separated: Whether calls of different lengths told a call's fixed time from its tokens';
            if not, all of the time is taken to be the tokens'.
    """

    speed: Speed
    is_separated: bool


def fit_speed(calls: Iterable[tuple[int, float]]) -> Fit | None:
    """Return the speed that fits calls best.

    The time of a token is the median of what it is between any two calls, weighted by how much
    they differ in length, so that a few slow calls change nothing; see Sen, 1968, and Jaeckel,
    1972.

    Args:
        calls: Tokens decoded, and seconds, of each call.

    Returns:
        `None` without calls that decoded anything.
    """
    points = [(tokens, seconds) for tokens, seconds in calls if tokens > 0]
    if not points:
        return None
    slopes = [
        ((second[1] - first[1]) / (second[0] - first[0]), abs(second[0] - first[0]))
        for first, second in combinations(_thinned(points), 2)
        if first[0] != second[0]
    ]
    token_s = _weighted_median(slopes) if slopes else 0.0
    if token_s <= 0:
        tokens, seconds = map(sum, zip(*points, strict=True))
        return Fit(Speed(0.0, seconds / tokens), is_separated=False)
    call_s = median(seconds - token_s * tokens for tokens, seconds in points)
    if call_s < 0:  # no call takes less than nothing: all of the time is the tokens'
        return Fit(Speed(0.0, median(s / tokens for tokens, s in points)), is_separated=True)
    return Fit(Speed(call_s, token_s), is_separated=True)


def _thinned(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return so many of the calls, spread evenly, that their pairs are quickly counted."""
    return points[:: -(-len(points) // _MOST_POINTS)]


def _weighted_median(values: Sequence[tuple[float, float]]) -> float:
    half = sum(weight for _, weight in values) / 2
    so_far = 0.0
    for value, weight in sorted(values):
        so_far += weight
        if so_far >= half:
            return value
    raise AssertionError("the weights add up to twice the half")


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms"
