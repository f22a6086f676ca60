"""Examining a configuration with its models connected: what works, what is missing, and why."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

from collab.capabilities import Capabilities, NeedMatch, compare_needs
from collab.controller.connecting import Connections
from collab.errors import CollabError
from collab.problems import Problem
from collab.recipes import Recipe
from collab.roles import GENERATOR
from collab.seam import ConsultationBackend, Model
from collab.seam.diagnosis import Diagnosable, Diagnosis
from collab.views import View

Pairing = Literal["same", "different", "unknown"]
NeedState = Literal["met", "degraded", "missing", "unknown"]

SAMPLE = Problem(prompt="What is 7 minus 2? Think step by step.")
"""The prompt that is rendered where there are no problems."""

_UNKNOWN = Diagnosis()
_UNREACHED = Capabilities(prefix_mode="quoted")
_CHARACTERS_PER_TOKEN = 4
_LONGEST_LOOKED_AT = 8


@dataclass(frozen=True, slots=True)
class ExaminedModel:
    """One participant, as it was found.

    Attributes:
        role: Its name.
        has_price: Whether its backend names a price.
        error: Why it cannot be reached; empty if it was.
        name: Its name in ledgers.
        capabilities: What it can do; `None` if it was not reached.
        diagnosis: What it says of itself.
        longest_prompt: Tokens of the longest prompt of the problems; `None` if there is none.
        is_estimated: Whether that is not by its own tokenizer.
    """

    role: str
    has_price: bool
    error: str = ""
    name: str = ""
    capabilities: Capabilities | None = None
    diagnosis: Diagnosis = _UNKNOWN
    longest_prompt: int | None = None
    is_estimated: bool = False


@dataclass(frozen=True, slots=True)
class FoundNeed:
    """One need of one plug-in, and who meets it.

    Attributes:
        match: The need.
        is_known: Whether the participant was reached.
    """

    match: NeedMatch
    is_known: bool

    @property
    def state(self) -> NeedState:
        """Whether it is met."""
        return self.match.state if self.is_known else "unknown"


@dataclass(frozen=True, slots=True)
class Report:
    """What was found of a configuration's models.

    Attributes:
        participants: The generator first.
        needs: Every need of every plug-in of the recipe.
        pairings: For each mentor: whether its vocabulary is the generator's.
        warnings: What will go wrong or cost something.
        notes: What is worth knowing.
    """

    participants: Sequence[ExaminedModel]
    needs: Sequence[FoundNeed]
    pairings: Mapping[str, Pairing]
    warnings: Sequence[str]
    notes: Sequence[str]

    @property
    def failures(self) -> list[str]:
        """What keeps the recipe from running."""
        unreached = [
            f"the {one.role} cannot be used"
            for one in self.participants
            if one.error or one.diagnosis.failure
        ]
        lacks = [
            f"{need.match.plugin} needs {need.match.lack}"
            for need in self.needs
            if need.state == "missing"
        ]
        return unreached + lacks


class Examination:
    """Connects the models of a configuration one by one; what fails does not keep the others.

    Args:
        backends: By participant, the generator first.
        recipe: What they are to be used for.
        problems: What they are to work on; may be empty.

    Attributes:
        models: Those that were reached, as long as the stack stays open.
    """

    def __init__(
        self,
        backends: Mapping[str, ConsultationBackend],
        recipe: Recipe,
        problems: Sequence[Problem],
    ) -> None:
        self.models: dict[str, Model] = {}
        self._backends = backends
        self._recipe = recipe
        self._problems = problems

    async def examine(self, stack: AsyncExitStack) -> Report:
        """Return what is found; the models stay connected until `stack` is closed."""
        connections = Connections(stack)
        found = [
            await self._participant(role, backend, connections)
            for role, backend in self._backends.items()
        ]
        participants = [self._with_length(one, found) for one in found]
        return Report(
            participants,
            needs=self._needs(participants),
            pairings=_pairings(participants),
            warnings=[
                *_template_warnings(participants),
                *_context_warnings(participants, self._recipe.max_answer_tokens),
            ],
            notes=[*_pair_notes(participants), *self._shared(participants)],
        )

    async def _participant(
        self, role: str, backend: ConsultationBackend, connections: Connections
    ) -> ExaminedModel:
        has_price = backend.price is not None
        try:
            model = await connections.connect(role, backend)
        except CollabError as error:
            return ExaminedModel(role, has_price, error=str(error))
        self.models[role] = model
        diagnosis = await _diagnosed(model, self._view(role, (self._problems or [SAMPLE])[0]))
        return ExaminedModel(
            role,
            has_price,
            name=model.name,
            capabilities=model.capabilities,
            diagnosis=diagnosis,
            longest_prompt=self._longest(role, model),
        )

    def _needs(self, participants: Sequence[ExaminedModel]) -> list[FoundNeed]:
        can = {one.role: one.capabilities or _UNREACHED for one in participants}
        unreached = {one.role for one in participants if one.error}
        return [
            FoundNeed(match, is_known=match.need.role not in unreached)
            for match in compare_needs(self._recipe.needs, can)
        ]

    def _longest(self, role: str, model: Model) -> int | None:
        """Return the tokens of the longest prompt by the model's own tokenizer, if it has one."""
        if not isinstance(model, Diagnosable):
            return None
        # By characters first: counting the tokens of every problem could take minutes.
        longest = sorted(self._problems, key=lambda one: len(one.text))[-_LONGEST_LOOKED_AT:]
        try:
            counts = [model.prompt_tokens(self._view(role, problem)) for problem in longest]
        except Exception:  # noqa: BLE001  # a stranger's tokenizer; its length is then unknown
            return None
        return max((count for count in counts if count is not None), default=None)

    def _with_length(self, one: ExaminedModel, found: Sequence[ExaminedModel]) -> ExaminedModel:
        """Return a participant without tokenizer with a length by another's, or by characters."""
        if one.longest_prompt is not None or not self._problems:
            return one
        others = [other.longest_prompt for other in found if other.longest_prompt is not None]
        characters = max(len(problem.text) for problem in self._problems)
        length = max(others, default=characters // _CHARACTERS_PER_TOKEN)
        return replace(one, longest_prompt=length, is_estimated=True)

    def _view(self, role: str, problem: Problem) -> View:
        return View(role, problem.prompt, self._backends[role].view)

    def _shared(self, participants: Sequence[ExaminedModel]) -> list[str]:
        def same(one: ExaminedModel, other: ExaminedModel) -> bool:
            here, there = one.diagnosis, other.diagnosis
            is_same_place = (here.place, here.model) == (there.place, there.model)
            is_one_model = self.models[one.role] is self.models[other.role]
            return is_one_model or (bool(here.place) and is_same_place)

        reached = [one for one in participants if not one.error]
        return [
            f"the {one.role} and the {other.role} are the same model at the same place: it helps "
            "itself, which is allowed"
            for one, other in combinations(reached, 2)
            if same(one, other)
        ]


async def _diagnosed(model: Model, view: View) -> Diagnosis:
    if not isinstance(model, Diagnosable):
        return Diagnosis()
    try:
        found: object = await model.diagnose(view)
    except CollabError as error:
        return Diagnosis(failure=f"a first call failed: {error}")
    except Exception as error:  # noqa: BLE001  # a stranger's code; the report goes on
        return Diagnosis(failure=f"it cannot be diagnosed: {type(error).__name__}: {error}")
    if isinstance(found, Diagnosis):
        return found
    return Diagnosis(notes=(f"it cannot be diagnosed: it returned {found!r}",))


def _pairings(participants: Sequence[ExaminedModel]) -> dict[str, Pairing]:
    generator, *mentors = participants
    mine = generator.diagnosis.tokenizer

    def pairing(theirs: str) -> Pairing:
        if not mine or not theirs:
            return "unknown"
        return "same" if mine == theirs else "different"

    return {mentor.role: pairing(mentor.diagnosis.tokenizer) for mentor in mentors}


def _pair_notes(participants: Sequence[ExaminedModel]) -> list[str]:
    told: Mapping[Pairing, str] = {
        "same": "have the same tokenizer",
        "different": "have different tokenizers: text is handed over at safe cuts, and each "
        "counts its own tokens",
        "unknown": "may have different tokenizers, which works: text is handed over at safe cuts",
    }
    reached = {one.role for one in participants if not one.error}
    return [
        f"the {GENERATOR} and the {role} {told[pairing]}"
        for role, pairing in _pairings(participants).items()
        if {GENERATOR, role} <= reached
    ]


def _template_warnings(participants: Sequence[ExaminedModel]) -> list[str]:
    warnings = []
    for one in participants:
        check = one.diagnosis.template
        if check is None:
            continue
        if check.tokens is not None and check.counted not in (None, check.tokens):
            warnings.append(
                f"the {one.role}'s server counted {check.counted} tokens for a prompt that has "
                f"{check.tokens} here: `tokenizer` is another model's, or the server puts "
                "something around it, such as a second beginning-of-text token"
            )
        if check.leading_bos is not None and check.leading_bos > 1:
            warnings.append(
                f"the {one.role}'s prompts begin with {check.leading_bos} beginning-of-text "
                "tokens; its chat template and its tokenizer both put one in"
            )
        by_text = one.capabilities is not None and one.capabilities.prefix_mode == "text"
        if check.survives_text is False and by_text:
            warnings.append(
                f"the {one.role}'s prompt has other tokens once it was decoded and encoded again, "
                "and it is sent as text; a server that takes token ids would be exact"
            )
    return warnings


def _context_warnings(participants: Sequence[ExaminedModel], answer_tokens: int) -> list[str]:
    warnings = []
    generator = participants[0]
    for one in participants:
        context = one.capabilities.context_tokens if one.capabilities else None
        if context is None:
            continue
        if one.longest_prompt is not None and context < one.longest_prompt + answer_tokens:
            about = "about " if one.is_estimated else ""
            warnings.append(
                f"the {one.role}'s context of {context:,} tokens is shorter than the longest "
                f"prompt with its answer: {about}{one.longest_prompt:,} + {answer_tokens:,} "
                f"(max_answer_tokens) = {one.longest_prompt + answer_tokens:,}"
            )
        mine = generator.capabilities.context_tokens if generator.capabilities else None
        if one is not generator and mine is not None and context < mine:
            warnings.append(
                f"the {one.role}'s context of {context:,} tokens is shorter than the generator's "
                f"{mine:,}: a text that outgrows it can get no more help"
            )
    return warnings
