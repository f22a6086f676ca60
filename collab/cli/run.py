"""`collab run`: a problems file into a run directory."""

import json
from dataclasses import asdict
from functools import partial

from collab.cli.exit_codes import BUDGET_REACHED, DONE, SOME_FAILED
from collab.cli.flags import RunFlags
from collab.cli.run_notes import notes
from collab.cli.terminal import columns, costs, listed, percent, with_interval
from collab.cli.work import finish
from collab.runs.config import RunConfig
from collab.runs.config_files import load_config
from collab.runs.runner import RunSummary, run
from collab.runs.summary import Summary

_COUNTS = (
    "calls",
    "estimated_calls",
    "completion_tokens",
    "reasoning_tokens",
    "kept_tokens",
    "discarded_tokens",
    "prompt_tokens",
    "cached_tokens",
)
_RARE = frozenset({"estimated_calls", "reasoning_tokens"})


def execute(flags: RunFlags, *, as_json: bool) -> int:
    """Work through the run, print its summary and return the exit code.

    Raises:
        ConfigError: The run cannot be begun, or its directory not be written any more.
    """
    config = load_config(flags.config, flags.values, flags.given_settings)
    work = partial(run, config, is_retrying_errors=flags.retry_errors)
    outcome = finish(work, "run", out=config.out)
    print(_as_json(outcome, config) if as_json else _as_text(outcome, config))
    return _exit_code(outcome)


def _exit_code(outcome: RunSummary) -> int:
    if outcome.budget_reached:
        return BUDGET_REACHED
    return SOME_FAILED if outcome.summary.outcomes["error"] or outcome.pending else DONE


def _as_json(outcome: RunSummary, config: RunConfig) -> str:
    return json.dumps(
        outcome.summary.as_json()
        | {
            "pending": outcome.pending,
            "budget_reached": outcome.budget_reached or None,
            "worked_on": outcome.worked_on,
            "loading_s": outcome.loading_s,
            "working_s": outcome.working_s,
            "out": str(config.out),
        },
        indent=2,
    )


def _as_text(outcome: RunSummary, config: RunConfig) -> str:
    summary = outcome.summary
    counts = {str(name): count for name, count in summary.outcomes.items()}
    facts = [
        ("problems", f"{summary.problems} finished, {outcome.pending} pending"),
        ("outcomes", listed(counts) or "none"),
        ("accuracy", with_interval(summary.accuracy, summary.accuracy_interval)),
        ("mentor share", percent(summary.mentor_share)),
        *([("cost", spent)] if (spent := costs(summary.cost_usd, summary.priced_by)) else []),
        ("wall time", f"{outcome.working_s:.1f} s, after {outcome.loading_s:.1f} s of loading"),
        ("results", str(config.out)),
    ]
    lines = [f"{name:<13} {value}" for name, value in facts]
    return "\n".join([*lines, "", usage_table(summary), *notes(outcome, config)])


def usage_table(summary: Summary) -> str:
    """Return what each role spent, in tokens; rare counts only where there are any."""
    spent = {role: asdict(usage) for role, usage in summary.usage.items()}
    used = {name for counts in spent.values() for name, count in counts.items() if count}
    shown = [name for name in _COUNTS if name in used or name not in _RARE]
    head = ("role", *(name.removesuffix("_tokens").removesuffix("_calls") for name in shown))
    rows = [(role, *(str(counts[name]) for name in shown)) for role, counts in spent.items()]
    return columns([head, *rows])
