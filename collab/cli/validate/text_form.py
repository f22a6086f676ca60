"""What `collab validate` shows: tables of 80 columns, plain ASCII, in colour on a terminal."""

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from collab.capabilities import Capabilities
from collab.cli.terminal import harmless, percent
from collab.cli.validate.findings import Findings
from collab.examining.estimate import Estimate
from collab.examining.examination import ExaminedModel, FoundNeed, Report
from collab.examining.feasibility import Speed, Term
from collab.seam.diagnosis import TemplateCheck

_GOOD, _BAD, _ODD, _DIM = "green", "bold red", "yellow", "dim"
_STYLES = {
    "yes": _GOOD,
    "no": _ODD,
    "not reached": _BAD,
    "unknown": _DIM,
    "met": _GOOD,
    "missing": _BAD,
}
_TERMS: Mapping[Term, str] = {
    "drafting calls": "fixed cost of the generator's calls",
    "drafting": "tokens the generator drafts",
    "mentor calls": "fixed cost of calls to the mentor",
    "mentor tokens": "tokens the mentor writes",
    "looking ahead": "looking ahead beyond the mentor",
}


def print_findings(findings: Findings) -> None:
    """Print everything that was found."""
    console = Console(highlight=False, markup=False, emoji=False)
    with console.capture() as page:
        _print_configuration(console, findings)
        if findings.report is not None:
            _print_report(console, findings.report)
        if findings.estimate is not None:
            _print_estimate(console, findings, findings.estimate)
        if findings.estimate_error:
            console.print()
            _print_remarks(console, [("no estimate", _BAD, findings.estimate_error)])
    # Tables fill their lines with spaces, which pipes and copied text should not have.
    print("\n".join(line.rstrip() for line in page.get().splitlines()))


def _print_configuration(console: Console, findings: Findings) -> None:
    config, recipe = findings.config, findings.recipe
    roles = ", ".join(config.pair.by_role)
    lines = [
        f"{findings.path}: keys, plug-ins and options are fine",
        f"recipe {recipe.name}: {', '.join(recipe.needs)}; participants: {roles}",
    ]
    if config.problems is None:
        lines.append("no problems file is named; give one to `collab run` with --problems")
    else:
        counts = f"{len(findings.problems)} problems, {len(findings.broken_lines)} broken lines"
        lines.append(f"{config.problems}: {counts}")
    lines += [f"  line {broken.line}: {broken.why}" for broken in findings.broken_lines]
    for line in lines:
        console.print(Text(harmless(line)), soft_wrap=True)


# --- models -----------------------------------------------------------------------------------


def _print_report(console: Console, report: Report) -> None:
    console.print()
    console.print(_participants(report.participants))
    if report.needs:
        console.print()
        console.print(_needs(report.needs))
    remarks = [
        *(
            (f"{one.role}", _BAD, one.error or one.diagnosis.failure)
            for one in report.participants
            if one.error or one.diagnosis.failure
        ),
        *(
            ("missing", _BAD, f"{one.match.plugin} needs {one.match.lack}")
            for one in report.needs
            if one.state == "missing"
        ),
        *(("warning", _ODD, warning) for warning in report.warnings),
        *(("note", _DIM, note) for note in report.notes),
        *(
            ("note", _DIM, f"{one.role}: {remark}")
            for one in report.participants
            for remark in one.diagnosis.remarks
        ),
        *(
            ("not seen", _DIM, f"{one.role}: {note}")
            for one in report.participants
            for note in one.diagnosis.notes
        ),
    ]
    if remarks:
        console.print()
        _print_remarks(console, remarks)
    console.print()
    if report.failures:
        told = "the recipe cannot run with these models; what to put right is listed above"
        console.print(Text(told, _BAD))
    else:
        console.print(Text("the models can do what the recipe needs", _GOOD))


def _participants(participants: Sequence[ExaminedModel]) -> Table:
    table = _table("", *(harmless(one.role) for one in participants))
    facts = [_facts(one) for one in participants]
    # Who was not reached has fewer facts, so the names come from whoever has the most.
    for name in max(facts, key=len):
        table.add_row(name, *(_cell(of_one.get(name, "-")) for of_one in facts))
    return table


def _facts(one: ExaminedModel) -> dict[str, str]:
    can, told = one.capabilities, one.diagnosis
    price = {"price": "known" if one.has_price else "none"}
    if can is None:
        return {"reached": "no"} | price
    return {
        "reached": "yes",
        "model": told.model or one.name,
        "served by": ", ".join(part for part in (told.served_by, told.place) if part) or "unknown",
        "prefix mode": can.prefix_mode,
        "log-probabilities": f"top {can.top_logprobs}" if can.top_logprobs else "no",
        "judge": _yes(can.can_judge),
        "score": _score(can),
        "token ids": _yes(can.has_token_ids),
        "hidden states": _yes(can.has_hidden_states),
        "steering": _yes(can.can_steer),
        "stops when left": _yes(can.can_cancel),
        "token counts": can.usage,
        "context": f"{can.context_tokens:,} tokens" if can.context_tokens else "unknown",
        **_longest(one),
        **price,
        "tokenizer": told.tokenizer or "unknown",
        "a prompt": _template(told.template),
    }


def _needs(needs: Sequence[FoundNeed]) -> Table:
    table = _table("plug-in", "needs", "of", "state")
    for found in needs:
        need = found.match.need
        amount = f" (k={need.amount})" if need.amount else ""
        state = f"does without: {need.degraded}" if found.state == "degraded" else found.state
        wanted = "to be asked" if need.ability == "text" else need.ability.replace("_", " ")
        table.add_row(found.match.plugin, wanted + amount, harmless(need.role), _cell(state))
    return table


def _score(can: Capabilities) -> str:
    if not can.can_score:
        return "no"
    return f"yes, top {can.score_top_logprobs}" if can.score_top_logprobs else "yes"


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


def _template(check: TemplateCheck | None) -> str:
    if check is None or (check.tokens is None and check.counted is None):
        return "unknown"
    parts = []
    if check.tokens is not None:
        parts.append(f"{check.tokens} tokens")
        parts.append("same again" if check.survives_text else "other tokens again")
    if check.counted is not None:
        parts.append(f"the server counts {check.counted}")
    if check.leading_bos is not None:
        parts.append(f"{check.leading_bos} BOS")
    return ", ".join(parts)


def _longest(one: ExaminedModel) -> dict[str, str]:
    """Return nothing without problems, where no prompt is the longest."""
    if one.longest_prompt is None:
        return {}
    about = "about " if one.is_estimated else ""
    return {"longest prompt": f"{about}{one.longest_prompt:,} tokens"}


# --- estimate ---------------------------------------------------------------------------------


def _print_estimate(console: Console, findings: Findings, estimate: Estimate) -> None:
    forecast = estimate.forecast
    about = (
        f"estimate from {len(estimate.turns)} problems of {findings.estimate_problems}, one at a "
    )
    about += f"time, each answered both ways in turn, {estimate.rounds} times"
    console.print()
    console.print(Text(harmless(about)))
    console.print()
    console.print(_speeds(estimate))
    console.print()
    console.print(_comparison(findings, estimate))
    console.print()
    console.print(_terms(estimate))
    if warnings := estimate.warnings:
        console.print()
        _print_remarks(console, [("warning", _ODD, warning) for warning in warnings])
    console.print()
    pays = estimate.verdict == "faster" and (forecast.cost_ratio or 0) <= 1
    console.print(Text(_verdict(estimate), _GOOD if pays else _ODD))


def _verdict(estimate: Estimate) -> str:
    """Return what was measured, which decides, and beside it what was expected."""
    (low, high), mentor = estimate.measured_range, harmless(estimate.mentor)
    measured = (
        f"measured: {estimate.measured_speed_up:.2f} times the speed of the {mentor} alone "
        f"(95 % range {low:.2f} to {high:.2f})"
    )
    if estimate.forecast.speed_up is not None:
        measured += f"; expected: {estimate.forecast.speed_up:.2f}"
    if estimate.forecast.cost_ratio is not None:
        measured += f"; at {estimate.forecast.cost_ratio:.2f} times its cost"
    told = {
        "faster": f"the recipe is faster than the {mentor} alone",
        "slower": f"the recipe is slower than the {mentor} alone",
        "unclear": f"whether the recipe is faster than the {mentor} alone, these answers cannot "
        "tell: take a higher --limit, or a quieter machine",
    }[estimate.verdict]
    return f"{measured}\n{told}"


def _speeds(estimate: Estimate) -> Table:
    table = _table("speed of one text", "tokens/s", "a token", "a call", numbers=True)
    for name, fit in (("generator", estimate.generator_fit), ("mentor", estimate.mentor_fit)):
        speed: Speed = fit.speed
        per_s = f"{speed.tokens_per_s:,.0f}" if speed.tokens_per_s else "-"
        call = _ms(speed.call_s) if fit.is_separated else "unknown"
        table.add_row(name, per_s, _ms(speed.token_s), call)
    if estimate.judge_call_s is not None:
        table.add_row("judging", "-", "-", _ms(estimate.judge_call_s))
    return table


def _comparison(findings: Findings, estimate: Estimate) -> Table:
    forecast, alone, recipe = estimate.forecast, estimate.alone, estimate.recipe
    mentor = harmless(estimate.mentor)
    table = _table("of 1,000 answer tokens", f"{mentor} alone", findings.recipe.name, numbers=True)
    table.add_row("mentor share", percent(1.0), percent(recipe.mentor_share))
    calls = (forecast.plan.alone.calls, estimate.mentor_calls)
    table.add_row("calls to mentors", *(f"{1000 * one:,.0f}" for one in calls))
    table.add_row(
        "expected time", *(f"{1000 * one:.2f} s" for one in (forecast.alone_s, forecast.seconds))
    )
    table.add_row("measured time", *(f"{1000 * one.token_s:.2f} s" for one in (alone, recipe)))
    table.add_row("cost", *(_dollars(one.cost_usd()) for one in (alone, recipe)))
    priced = recipe.cost_usd() is not None
    for role in dict.fromkeys(call.role for call in recipe.calls if priced):
        cost = recipe.cost_usd(role)
        told = "no price" if cost is None else _dollars(cost)
        table.add_row(f"  of it, the {harmless(role)}", "", told)
    return table


def _terms(estimate: Estimate) -> Table:
    forecast = estimate.forecast
    table = _table("where the recipe's time goes", "s per 1,000", "share", numbers=True)
    for term, seconds in forecast.seconds_by_term.items():
        if seconds > 0:
            share = percent(seconds / forecast.seconds)
            table.add_row(_TERMS.get(term, str(term)), f"{1000 * seconds:.2f}", share)
    return table


def _dollars(cost_usd: float | None) -> str:
    return "no price" if cost_usd is None else f"${1000 * cost_usd:.6f}"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:,.2f} ms"


# --- layout -----------------------------------------------------------------------------------


def _table(*heads: str, numbers: bool = False) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for place, head in enumerate(heads):
        table.add_column(
            Text(head),
            justify="right" if numbers and place else "left",
            overflow="fold",
            no_wrap=place == 0,
            style="" if place or numbers else _DIM,
        )
    return table


def _cell(text: str) -> Text:
    return Text(harmless(text), _STYLES.get(text, ""))


def _print_remarks(console: Console, remarks: Iterable[tuple[str, str, str]]) -> None:
    """Print what has to be said: its kind in front, in its style, and the text wrapped beside."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for kind, style, told in remarks:
        table.add_row(Text(harmless(kind), style), Text(harmless(told)))
    console.print(table)
