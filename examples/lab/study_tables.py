"""The study's tables, in Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass

from study_cells import ALWAYS_MENTOR, Cell
from study_figures import Figures, mcnemar
from study_matching import Match

from collab.cli.terminal import percent, with_interval

HEAD = (
    "verifier",
    "rate",
    "segment",
    "accuracy (95 % interval)",
    "mentor share",
    "p, generator alone",
    "always-mentor at equal share: rate, share, accuracy",
    "p, equal share",
)
COST_HEAD = (
    "verifier",
    "rate",
    "segment",
    "consultations",
    "agreed",
    "taken",
    "generator fed + decoded",
    "mentor fed + decoded",
    "cost",
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the tables.

    Attributes:
        cell: The cell.
        figures: What it comes to.
        match: `always-mentor` at equal mentor share; `None` for a model alone.
    """

    cell: Cell
    figures: Figures
    match: Match | None


def tables(lines: Sequence[Line], alone: Figures, mentor_price: float) -> str:
    """Return the table of accuracies and that of costs, each with a sentence that explains it.

    Args:
        lines: Those of the models alone included.
        alone: The generator's alone, which all are tested against.
        mentor_price: What a mentor's token costs, in tokens of the generator.
    """
    accuracies = [_accuracy_cells(line, alone) for line in lines]
    costs = [_cost_cells(line, mentor_price) for line in lines]
    about_cost = (
        "Per problem. Agreed: of the consultations. Taken: of the verdicts behind `agreement`. "
        "Fed: tokens of context computed, without cached ones. Cost: a generator's token, fed or "
        f"decoded, is 1, a mentor's {mentor_price:.2f}."
    )
    about_p = (
        f"{alone.problems} problems. p: exact McNemar test, two-sided, on the same problems; not "
        "corrected for how many there are. (!): no rate was found whose share is within 1 point."
    )
    return "\n\n".join(
        (markdown([HEAD, *accuracies]), about_p, markdown([COST_HEAD, *costs]), about_cost)
    )


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return rows, of which the first is the head, as a table."""
    head, *others = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *others))


def p_value(p: float) -> str:
    """Return a p value to two digits, or that it is below 0.0001."""
    return "< 0.0001" if p < 0.0001 else f"{p:.2g}"


def _named(cell: Cell) -> tuple[str, str, str]:
    if cell.alone:
        return f"{cell.alone} alone", "-", "-"
    return f"`{cell.verifier}`", f"{cell.rate:g}", str(cell.segment_tokens)


def _accuracy_cells(line: Line, alone: Figures) -> tuple[str, ...]:
    found = line.figures
    against_alone = "-" if found is alone else p_value(mcnemar(found, alone))
    return (
        *_named(line.cell),
        with_interval(found.accuracy, found.interval),
        percent(found.share),
        against_alone,
        *_match_cells(line),
    )


def _match_cells(line: Line) -> tuple[str, str]:
    if line.match is None or line.cell.verifier == ALWAYS_MENTOR:
        return "-", "-"
    match = line.match
    mark = "" if match.is_near else " (!)"
    at = (
        f"{match.rate:.4g}, {percent(match.figures.share)}{mark}, {percent(match.figures.accuracy)}"
    )
    return at, p_value(mcnemar(line.figures, match.figures))


def _cost_cells(line: Line, mentor_price: float) -> tuple[str, ...]:
    found = line.figures
    return (
        *_named(line.cell),
        f"{found.consultations / found.problems:.2f}",
        _share(found.agreed, found.consultations),
        f"{found.taken} of {found.judged}" if found.judged else "-",
        *(
            f"{work.fed / found.problems:.1f} + {work.decoded / found.problems:.1f}"
            for work in (found.generator, found.mentor)
        ),
        f"{found.cost(mentor_price):.0f}",
    )


def _share(part: int, whole: int) -> str:
    return percent(part / whole) if whole else "-"
