"""What is worth saying after a run: what went wrong, and what to change."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from collab.cli.terminal import harmless, listed, percent
from collab.plugins import Kind, find
from collab.runs.config import PluginConfig, RunConfig
from collab.runs.runner import RunSummary
from collab.runs.summary import Summary
from collab.texts import shortened

_MUCH_TRUNCATED = 0.05
_LONGEST_REASON = 300
_MUCH_UNMARKED = 0.5


def notes(outcome: RunSummary, config: RunConfig) -> list[str]:
    """Return the lines to print below a summary, an empty one first; none if all is well."""
    found = [
        *_of_cut_off_answers(outcome.summary),
        *_of_answers(outcome.summary),
        *_of_the_mentor(outcome.summary, config),
        *_of_the_end(outcome),
    ]
    return ["", *found] if found else []


def _of_cut_off_answers(summary: Summary) -> Iterator[str]:
    if summary.outcomes["truncated"] <= _MUCH_TRUNCATED * max(summary.graded, 1):
        return
    by = dict(summary.cut_off_by)
    cut = percent(summary.outcomes["truncated"] / summary.graded)
    advice = []
    if by.get("length"):
        advice.append(
            "raise max_answer_tokens where they end by length (or, in a recipe by steps, "
            "thinking_tokens)"
        )
    if by.get("context"):
        advice.append(
            "context: the model's context is full; take one with a longer context, or "
            "raise the backend's max_context_tokens"
        )
    if by.get("repeat"):
        advice.append(
            "repeat: the generator loops, and more tokens do not help; look at the "
            "options repeat_limit and sampling"
        )
    yield f"note: {cut} of the answers were cut off ({listed(by)}): {'; '.join(advice)}"


def _of_answers(summary: Summary) -> Iterator[str]:
    if summary.unmarked > _MUCH_UNMARKED * summary.graded:
        yield (
            f"note: {summary.unmarked} of {summary.graded} answers contain a number but mark "
            "none as the answer; with `--set extraction=last-number` and another --out, the last "
            "one counts"
        )
    if ungradable := summary.outcomes["ungradable"]:
        yield (
            f"note: the grader could not decide about {ungradable} answers; they do not count in "
            "the accuracy"
        )


_KINDS: Mapping[str, Kind] = MappingProxyType(
    {"policy": "policies", "recipe": "recipes", "strategy": "strategies"}
)


def _of_the_mentor(summary: Summary, config: RunConfig) -> Iterator[str]:
    """Say that the policy never asked, with what it saw and where its thresholds are."""
    decided = summary.decisions
    if not config.pair.mentors_by_name or not decided.count or decided.asking:
        return
    word, plugin = config.chosen_plugin
    kind = _KINDS[word]
    saw = "it gives no signal"
    if decided.signal:
        least, middle, most = decided.signal
        saw = f"its signal was {least:g} to {most:g}, with the median {middle:g}"
    yield (
        f"note: no mentor was asked in {decided.count:,} decisions of {plugin.use}; {saw}, and its "
        f"numbers are {_numbers(kind, plugin) or 'none'}: set another with --set "
        f"{word}.OPTION=VALUE and another --out (`collab ls {kind} {plugin.use}` explains them)"
    )


def _numbers(kind: Kind, plugin: PluginConfig) -> str:
    """Return the options that are no whole numbers, as thresholds and rates are, with values."""
    return ", ".join(
        f"{name}={plugin.options.get(name, field.default)}"
        for name, field in find(kind, plugin.use).model_fields.items()
        if field.annotation in (float, float | None)
    )


def _of_the_end(outcome: RunSummary) -> Iterator[str]:
    if outcome.budget_reached:
        yield (
            f"budget reached: {outcome.budget_reached}; raise it and run the same command to "
            "continue"
        )
    for kind, failed in outcome.summary.failures.items():
        yield (
            f"{failed.count} failed with {kind}, such as {harmless(failed.problem)}: "
            f"{shortened(harmless(failed.message), _LONGEST_REASON)}"
        )
    if outcome.summary.outcomes["error"]:
        yield "note: failed problems stay failed; --retry-errors works on them again"
