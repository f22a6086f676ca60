"""`collab solve`: one question, answered as one watches."""

import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial

from rich.console import Console
from rich.text import Text

from collab.cli.exit_codes import DONE, SOME_FAILED
from collab.cli.flags import RunFlags
from collab.cli.interrupts import run_interruptible
from collab.cli.terminal import authored, costs, harmless, percent
from collab.controller import Controller, Finished, Result, StreamEvent
from collab.problems import Problem
from collab.runs.assembly import build_aside
from collab.runs.config import RunConfig
from collab.runs.config_files import load_config
from collab.runs.prices import price_record, priced_by
from collab.runs.rows import result_row
from collab.trace import Committed, RolledBack, Span


def execute(prompt: str, flags: RunFlags, *, as_json: bool) -> int:
    """Print the answer, or one JSON object; return the exit code.

    Raises:
        ConfigError: The flags fit no models or plug-ins.
        ProblemError: The problem failed.
    """
    config = load_config(flags.config, flags.values, flags.given_settings)
    problem = Problem(prompt=sys.stdin.read() if prompt == "-" else prompt)
    prices = priced_by([price_record(config)])
    screen = None if as_json else _Screen(prices)
    result = run_interruptible(partial(_solve, config, problem, screen))
    if as_json:
        row: dict[str, object] = problem.model_dump(mode="json", include={"prompt"})
        row |= result_row(result, extraction=config.extraction) | {"priced_by": {**prices}}
        print(json.dumps(row, indent=2))
        return SOME_FAILED if result.error else DONE
    result.raise_for_error()
    return DONE


async def _solve(config: RunConfig, problem: Problem, screen: "_Screen | None") -> Result:
    async with await build_aside(config) as controller:
        if screen is not None:
            return await _show(controller, problem, screen)
        return await controller.solve(problem)


async def _show(controller: Controller, problem: Problem, screen: "_Screen") -> Result:
    async with controller.stream(problem) as events:
        async for event in events:
            if isinstance(event, Finished):
                screen.end(event.result)
                return event.result
            screen.show(event)
    raise AssertionError("a stream ends with Finished")


class _Screen:
    """Prints an answer span by span."""

    def __init__(self, prices: Mapping[str, Sequence[str]]) -> None:
        self._prices = prices
        self._console = Console(highlight=False, markup=False, emoji=False)
        self._standing: list[Span] = []

    def show(self, event: StreamEvent) -> None:
        if isinstance(event, Committed):
            self._standing.append(event.span)
            self._print(event.span)
        elif isinstance(event, RolledBack):
            # What is printed cannot be taken back, so what stands is printed again.
            del self._standing[event.mark.spans :]
            self._console.print(Text("\n[taken back; the text so far:]\n", style="dim"), end="")
            for span in self._standing:
                self._print(span)

    def end(self, result: Result) -> None:
        self._console.print()
        self._console.print(Text(_usage_line(result, self._prices), style="dim"), soft_wrap=True)

    def _print(self, span: Span) -> None:
        if span.visible_to is None:
            self._console.print(authored(span.text, span.author), end="", soft_wrap=True)


def _usage_line(result: Result, prices: Mapping[str, Sequence[str]]) -> str:
    tokens = [
        f"{role} {usage.completion_tokens} tokens in {usage.calls} calls"
        for role, usage in result.usage.items()
    ]
    parts = [
        *tokens,
        f"mentor share {percent(result.mentor_share)}",
        *([spent] if (spent := costs(result.cost_usd, prices)) else []),
        f"{result.duration_s:.2f} s",
        f"ended by {harmless(str(result.ending))}",
    ]
    return "; ".join(parts)
