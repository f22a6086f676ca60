"""The summary of a run: always computed from its rows, never counted along the way."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from types import MappingProxyType

from pydantic import JsonValue

from collab.grading import OUTCOMES, Outcome, extract_answer
from collab.roles import GENERATOR
from collab.runs.rows import Row, usage_of
from collab.statistics import wilson_interval
from collab.trace import written_tokens
from collab.usage import Usage

_NOTHING: Mapping[str, Sequence[str]] = MappingProxyType({})
_ASKING = ("consult", "verify")
_UNSCORED: frozenset[Outcome] = frozenset({"ungraded", "ungradable"})


@dataclass(frozen=True, slots=True)
class Failures:
    """Problems that failed with one kind of error.

    Attributes:
        count: How many.
        problem: The first of them by id.
        message: Its error.
    """

    count: int
    problem: str
    message: str


@dataclass(frozen=True, slots=True)
class Decisions:
    """What a policy decided in the rows of a run.

    Attributes:
        count: Decisions in all.
        asking: Those that asked a mentor or a verifier.
        signal: Least, median and largest signal of those that have one; `None` if none has.
    """

    count: int
    asking: int
    signal: tuple[float, float, float] | None


@dataclass(frozen=True, slots=True)
class Summary:
    """What the rows of a run add up to.

    Attributes:
        outcomes: Problems by outcome.
        usage: What was spent, by role; attempts that were made anew count too.
        mentor_tokens: Tokens of the answers that mentors wrote.
        answer_tokens: Tokens of the answers that any model wrote.
        priced_by: Where prices came from, by role; several where they changed along the way.
        failures: Failed problems by the kind of their error, the most frequent first.
        unmarked: Problems without an answer whose text holds a number that nothing marks.
        cut_off_by: Truncated answers by what ended them, such as `length`.
        decisions: What the policy decided.
    """

    outcomes: Mapping[Outcome, int]
    usage: Mapping[str, Usage]
    mentor_tokens: int
    answer_tokens: int
    priced_by: Mapping[str, Sequence[str]]
    failures: Mapping[str, Failures] = field(default_factory=dict)
    unmarked: int = 0
    cut_off_by: Mapping[str, int] = field(default_factory=dict)
    decisions: Decisions = Decisions(0, 0, None)

    @property
    def problems(self) -> int:
        """Finished problems."""
        return sum(self.outcomes.values())

    @property
    def graded(self) -> int:
        """Finished problems whose answer could be graded, or that failed."""
        return sum(n for outcome, n in self.outcomes.items() if outcome not in _UNSCORED)

    @property
    def accuracy(self) -> float | None:
        """Correct over graded problems: what is truncated, unanswered or failed is not correct.

        What the grader could not tell counts on neither side.
        """
        return self.outcomes["correct"] / self.graded if self.graded else None

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of the accuracy."""
        return wilson_interval(self.outcomes["correct"], self.graded)

    @property
    def mentor_share(self) -> float:
        """Mentor-written tokens over all tokens of all answers, in `[0, 1]`."""
        return self.mentor_tokens / self.answer_tokens if self.answer_tokens else 0.0

    @property
    def cost_usd(self) -> float:
        """Price of everything that was spent, of models that have one."""
        return sum(usage.cost_usd for usage in self.usage.values())

    def as_json(self) -> dict[str, JsonValue]:
        """Return it as a JSON object."""
        return {
            "problems": self.problems,
            "outcomes": {str(outcome): count for outcome, count in self.outcomes.items()},
            "accuracy": self.accuracy,
            "accuracy_interval_95": list(self.accuracy_interval),
            "mentor_share": self.mentor_share,
            "usage": {
                role: {name: n for name, n in asdict(usage).items() if name != "model_s"}
                for role, usage in self.usage.items()
            },
            "cost_usd": self.cost_usd,
            "unmarked": self.unmarked,
            "cut_off_by": dict(self.cut_off_by),
            "decisions": {
                "count": self.decisions.count,
                "asking": self.decisions.asking,
                "signal_min_median_max": list(self.decisions.signal or ()) or None,
            },
            "priced_by": {role: list(sources) for role, sources in self.priced_by.items()},
            "failures": {kind: asdict(one) for kind, one in self.failures.items()},
        }


def summarise(
    rows: Mapping[str, Row],
    superseded: Iterable[Row] = (),
    priced_by: Mapping[str, Sequence[str]] = _NOTHING,
) -> Summary:
    """Return the summary of a run.

    Args:
        rows: The row that counts of each problem, by id.
        superseded: Rows of earlier and of given-up attempts; only what they spent counts.
        priced_by: Where prices came from, by role.
    """
    outcomes: dict[Outcome, int] = dict.fromkeys(OUTCOMES, 0)
    usage: dict[str, Usage] = {GENERATOR: Usage()}
    # In the order of ids: sums of prices are then the same to the last bit, whoever ended first.
    counted = [rows[problem] for problem in sorted(rows)]
    for row in counted:
        outcomes[row["outcome"]] += 1  # type: ignore[index]  # as written by `collab.runs.rows`
    for row in [*counted, *superseded]:
        for role, spent in usage_of(row).items():
            usage[role] = usage.get(role, Usage()) + spent
    mentor_tokens, answer_tokens = written_tokens(span for row in counted for span in _spans(row))
    return Summary(
        outcomes=outcomes,
        usage={GENERATOR: usage.pop(GENERATOR), **dict(sorted(usage.items()))},
        mentor_tokens=mentor_tokens,
        answer_tokens=answer_tokens,
        priced_by=priced_by,
        failures=_failures(counted),
        unmarked=sum(map(_is_unmarked, counted)),
        cut_off_by=_cut_off_by(counted),
        decisions=_decisions(counted),
    )


def _failures(rows: Iterable[Row]) -> dict[str, Failures]:
    errors: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        error = row.get("error")
        if isinstance(error, dict):
            told = (str(row["id"]), str(error.get("message")))
            errors.setdefault(str(error.get("type")), []).append(told)
    counted = {kind: Failures(len(told), *told[0]) for kind, told in errors.items()}
    return dict(sorted(counted.items(), key=lambda one: -one[1].count))


def _cut_off_by(rows: Iterable[Row]) -> dict[str, int]:
    reasons = Counter(str(row.get("reason")) for row in rows if row["outcome"] == "truncated")
    return dict(reasons.most_common())


def _decisions(rows: Iterable[Row]) -> Decisions:
    count = asking = 0
    signals: list[float] = []
    for row in rows:
        decisions = row.get("decisions")
        for decision in decisions if isinstance(decisions, list) else ():
            if not isinstance(decision, dict):
                continue
            count += 1
            asking += decision.get("decision") in _ASKING
            signal = decision.get("signal")
            if isinstance(signal, int | float):
                signals.append(signal)
    spread = (min(signals), median(signals), max(signals)) if signals else None
    return Decisions(count, asking, spread)


def _is_unmarked(row: Row) -> bool:
    """Whether `last-number` would have found an answer where none is marked."""
    if row["outcome"] != "no_answer" or row.get("grader") != "numeric":
        return False
    return extract_answer(str(row.get("text")), extraction="last-number") is not None


def _spans(row: Row) -> Iterator[tuple[str, str, int]]:
    for span in row["spans"]:  # type: ignore[union-attr]  # as written by `collab.runs.rows`
        yield span["author"], span["kind"], span["tokens"]  # type: ignore[index,misc,call-overload]  # as above
