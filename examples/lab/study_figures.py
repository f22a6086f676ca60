"""What the rows of one cell come to."""

from collections.abc import Mapping
from dataclasses import dataclass

from collab.roles import GENERATOR
from collab.runs.rows import Row
from collab.runs.summary import summarise
from collab.statistics import mcnemar_exact, wilson_interval
from collab.usage import Usage

AGREEMENT = "Agreement"


@dataclass(frozen=True, slots=True)
class Work:
    """Tokens that went through a model, in sum over all problems.

    Attributes:
        fed: Tokens of context that it computed; what it had cached is not among them.
        decoded: Tokens that it decoded, kept or not.
    """

    fed: int = 0
    decoded: int = 0

    @property
    def tokens(self) -> int:
        """All of them: each is one position computed."""
        return self.fed + self.decoded


@dataclass(frozen=True, slots=True)
class Figures:
    """The counts of one cell.

    Attributes:
        is_right: By problem. What failed or could not be graded is not right.
        errors: Problems that failed.
        share: Mentor-written tokens over all tokens of all answers, in `[0, 1]`.
        consultations: How often the mentor was asked.
        agreed: Of these, how often its first word was the draft.
        judged: How often the verifier behind `agreement` gave a verdict.
        taken: Of these, how often the mentor's segment stood.
        generator: What the generator's model did.
        mentor: What the mentor's model did.
    """

    is_right: Mapping[str, bool]
    errors: int
    share: float
    consultations: int
    agreed: int
    judged: int
    taken: int
    generator: Work
    mentor: Work

    @property
    def problems(self) -> int:
        """How many problems there are."""
        return len(self.is_right)

    @property
    def right(self) -> int:
        """How many of them are right."""
        return sum(self.is_right.values())

    @property
    def accuracy(self) -> float:
        """Right ones among all."""
        return self.right / self.problems

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of the accuracy."""
        return wilson_interval(self.right, self.problems)

    def cost(self, mentor_price: float) -> float:
        """Return the cost of a problem in generator tokens; a mentor's is `mentor_price`."""
        return (self.generator.tokens + mentor_price * self.mentor.tokens) / self.problems


def figures(rows: Mapping[str, Row], *, is_mentor_alone: bool = False) -> Figures:
    """Return what the rows of a run come to.

    Args:
        rows: By problem, as `collab.runs.store.read_rows` gives them.
        is_mentor_alone: The mentor's model sits in the generator's seat.
    """
    summary = summarise(rows)
    generator, mentors = Work(), Work()
    for role, usage in summary.usage.items():
        if (role == GENERATOR) is not is_mentor_alone:
            generator = _plus(generator, usage)
        else:
            mentors = _plus(mentors, usage)
    decisions = [one for row in rows.values() for one in row["decisions"]]
    # Without a verifier the mentor's proposal stands, and nobody has judged it.
    verdicts = [one for row in rows.values() for one in row["verdicts"] if one.get("verifier")]
    agreed = [one for one in verdicts if one["verifier"] == AGREEMENT]
    judged = [one for one in verdicts if one["verifier"] != AGREEMENT]
    return Figures(
        is_right={problem: row["outcome"] == "correct" for problem, row in sorted(rows.items())},
        errors=summary.outcomes["error"],
        share=1.0 if is_mentor_alone else summary.mentor_share,
        consultations=sum(one["decision"] == "consult" for one in decisions),
        agreed=len(agreed),
        judged=len(judged),
        taken=sum(one["stands"] != GENERATOR for one in judged),
        generator=generator,
        mentor=mentors,
    )


def mcnemar(one: Figures, other: Figures) -> float:
    """Return the p value of the exact McNemar test on the same problems.

    Raises:
        ValueError: They are not the same problems.
    """
    if one.is_right.keys() != other.is_right.keys():
        raise ValueError(
            f"{one.problems} and {other.problems} problems are not the same; run both cells with "
            "the same --problems and --limit"
        )
    differ = [(one.is_right[key], other.is_right[key]) for key in one.is_right]
    return mcnemar_exact(differ.count((True, False)), differ.count((False, True)))


def _plus(work: Work, usage: Usage) -> Work:
    fed = usage.prompt_tokens - usage.cached_tokens
    return Work(work.fed + fed, work.decoded + usage.completion_tokens)
