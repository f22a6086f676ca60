"""Phases: after its thinking, one participant writes the answer; see `collab.phases`."""

from collab.controller.cast import Cast
from collab.controller.committer import Committer
from collab.endings import Ending
from collab.phases import Phases
from collab.proposals import Until
from collab.recipes import Recipe


def has_thought(ending: Ending, phases: Phases) -> bool:
    """Whether a text that is over has only ended its thinking."""
    if ending.reason == "stop_string":
        return ending.detail == phases.thinking_end
    return ending.reason in ("repeat", "length", "turns")


async def write_answer(
    recipe: Recipe, phases: Phases, cast: Cast, committer: Committer, thought: Ending
) -> Ending:
    """Close the thinking and have one participant write the answer; return why it is over."""
    trace = committer.trace
    await committer.inject(phases.closing(trace.text), "phases", None)
    until = Until(phases.answer_tokens, stop_strings=recipe.stop_strings)
    writer = cast.writer(phases.answer_by)
    written = await writer.generate(trace, "answer", until, recipe.sampling)
    await committer.commit_answer(written)
    await committer.trim(written.stop_overlap, phases.answer_by)
    match written.stop:
        case "eos" | "stop_string" | "context":
            return Ending(written.stop)
        case _:
            return Ending("length")
