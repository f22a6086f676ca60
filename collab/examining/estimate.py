"""What short runs of the mentor alone and of a recipe say about a pair."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from collab.controller import Result
from collab.errors import CollabError
from collab.examining.feasibility import Comparison, Fit, Forecast, Load, fit_speed
from collab.examining.timings import Turn, noise, speed_up_range
from collab.roles import GENERATOR
from collab.trace import mentor_share, written_tokens
from collab.usage import Call, Purpose

Verdict = Literal["faster", "slower", "unclear"]
"""What was measured of the recipe beside the mentor alone."""

_MUCH_SLOWER = 1.25
_NOISY = 1.3
_JUDGING: frozenset[Purpose] = frozenset({"judge", "score"})


@dataclass(frozen=True, slots=True)
class Measured:
    """The answers of one way, in all rounds.

    Attributes:
        results: Those that did not fail.
        failures: What went wrong with the others.
    """

    results: Sequence[Result]
    failures: Sequence[str]

    @property
    def calls(self) -> list[Call]:
        """All their calls."""
        return [call for result in self.results for call in result.calls]

    @property
    def answer_tokens(self) -> int:
        """Tokens of their answers."""
        return answer_tokens_of(self.results)

    @property
    def mentor_share(self) -> float:
        """Mentor-written share of all their answers."""
        return mentor_share([span for result in self.results for span in result.spans])

    @property
    def token_s(self) -> float:
        """Wall-clock seconds of one answer token, one problem at a time."""
        return sum(result.duration_s for result in self.results) / self.answer_tokens

    def cost_usd(self, role: str | None = None) -> float | None:
        """Return the cost of one answer token, or a role's part; `None` without any price."""
        costs = [
            call.cost_usd
            for call in self.calls
            if call.cost_usd is not None and role in (None, call.role)
        ]
        return sum(costs) / self.answer_tokens if costs else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What two short runs say about a pair and its recipe; see `collab.examining.feasibility`.

    Attributes:
        mentor: Who the recipe was compared with.
        alone: The run of that mentor alone.
        recipe: The recipe's run.
        generator_fit: Of the calls in which the generator wrote.
        mentor_fit: Of the calls in which mentors wrote, in both runs.
        forecast: Of one answer token.
        turns: Of each problem that both ways answered, those of its rounds.
    """

    mentor: str
    alone: Measured
    recipe: Measured
    generator_fit: Fit
    mentor_fit: Fit
    forecast: Forecast
    turns: Sequence[Sequence[Turn]] = ()

    @property
    def judge_call_s(self) -> float | None:
        """Mean seconds of a call that judges or scores; `None` if there was none."""
        seconds = [call.total_s for call in self.recipe.calls if call.purpose in _JUDGING]
        return fmean(seconds) if seconds else None

    @property
    def mentor_calls(self) -> float:
        """Calls to mentors per answer token, judging included."""
        calls = [call for call in self.recipe.calls if call.role != GENERATOR]
        return len(calls) / self.recipe.answer_tokens

    @property
    def measured_speed_up(self) -> float:
        """Wall-clock time of the mentor alone over the recipe's, per answer token."""
        return self.alone.token_s / self.recipe.token_s

    @property
    def rounds(self) -> int:
        """How often both ways answered a problem."""
        return max(map(len, self.turns), default=1)

    @property
    def measured_range(self) -> tuple[float, float]:
        """The 95 % interval of the measured speed-up."""
        if not self.turns:
            return self.measured_speed_up, self.measured_speed_up
        return speed_up_range(self.turns)

    @property
    def verdict(self) -> Verdict:
        """Whether the recipe is faster than the mentor alone: measured, not expected."""
        low, high = self.measured_range
        if low > 1:
            return "faster"
        return "slower" if high < 1 else "unclear"

    @property
    def warnings(self) -> list[str]:
        """Why the pair cannot pay, and what weakens the estimate."""
        return [*self._warnings_of_measuring(), *self._warnings_of_the_pair()]

    def _warnings_of_measuring(self) -> Iterator[str]:
        low, high = self.measured_range
        if (spread := noise(self.turns)) > _NOISY:
            yield (
                f"the same answer took {spread:.2g} times as long in one round as in another: "
                "something else is at work on the machine or the server; measure again when it is "
                "quiet, or on more problems"
            )
        expected = self.forecast.speed_up
        if expected is not None and not low <= expected <= high and (expected >= 1) != (low >= 1):
            yield (
                f"{expected:.2f} times the speed was expected of these calls, and {low:.2f} to "
                f"{high:.2f} were measured: what was measured counts"
            )

    def _warnings_of_the_pair(self) -> list[str]:
        warnings = self.forecast.warnings
        if self.verdict == "faster":  # what was expected of the time has proved wrong
            warnings = [one for one in warnings if one != self.forecast.slow]
        if not any(call.role != GENERATOR for call in self.recipe.calls):
            warnings.insert(0, "no mentor was asked in this run: the recipe may ask too rarely")
        for name, fit in (("generator", self.generator_fit), ("mentor", self.mentor_fit)):
            if not fit.is_separated:
                warnings.append(
                    f"the fixed cost of a call to the {name} cannot be told from its tokens': "
                    "its calls were too much alike"
                )
        unexplained = self.recipe.token_s / self.forecast.seconds if self.forecast.seconds else 1.0
        if unexplained > _MUCH_SLOWER:
            warnings.append(
                f"the run itself took {unexplained:.2g} times as long as these figures explain; "
                "where both models share a machine, looking ahead slows the mentor down"
            )
        failures = [*self.alone.failures, *self.recipe.failures]
        if failures:
            warnings.append(f"{len(failures)} answers failed and are left out: {failures[0]}")
        return warnings


def estimate(mentor: str, alone: Measured, recipe: Measured) -> Estimate:
    """Return what two runs say about a pair.

    Raises:
        CollabError: A model wrote nothing.
    """
    own = [call for call in recipe.calls if call.role == GENERATOR]
    others = [call for call in recipe.calls if call.role != GENERATOR]
    looking_ahead = [call for call in own if call.purpose == "look-ahead"]
    drafting = [call for call in _writing(own) if call.purpose != "look-ahead"]
    # What is written beside a mentor on the same machine is slower than what is written alone.
    generator_fit = _fit(drafting) or _fit(looking_ahead)
    mentor_fit = _fit([*alone.calls, *others])
    if generator_fit is None or mentor_fit is None:
        raise CollabError(
            f"the {'mentor' if generator_fit else 'generator'} wrote nothing that could be timed"
        )
    tokens = recipe.answer_tokens
    judging = [call for call in recipe.calls if call.purpose in _JUDGING]
    plan = Comparison(
        alone=_load(alone.calls).per(alone.answer_tokens),
        drafting=_load(drafting).per(tokens),
        looking_ahead=_load(looking_ahead).per(tokens),
        consulting=_load(_writing(others)).per(tokens),
        judging_s=sum(call.total_s for call in judging) / tokens,
    )
    return Estimate(
        mentor=mentor,
        alone=alone,
        recipe=recipe,
        generator_fit=generator_fit,
        mentor_fit=mentor_fit,
        forecast=Forecast(
            generator=generator_fit.speed,
            mentor=mentor_fit.speed,
            plan=plan,
            cost_usd=recipe.cost_usd(),
            alone_cost_usd=alone.cost_usd(),
        ),
    )


def answer_tokens_of(results: Iterable[Result]) -> int:
    """Return the tokens of all their answers."""
    spans = (span for result in results for span in result.spans)
    return written_tokens((span.author, span.kind, span.tokens) for span in spans)[1]


def _writing(calls: Iterable[Call]) -> list[Call]:
    return [call for call in calls if call.purpose not in _JUDGING]


def _fit(calls: Iterable[Call]) -> Fit | None:
    """Fit the calls that wrote to their end; cancelled ones say nothing of a token's time."""
    return fit_speed(
        (call.completion_tokens, call.total_s) for call in _writing(calls) if call.outcome == "ok"
    )


def _load(calls: Sequence[Call]) -> Load:
    return Load(len(calls), sum(call.completion_tokens for call in calls))
