"""The configuration of a run: a frozen value, as files and flags describe it.

`collab.runs.config_files` reads it, `collab.runs.assembly` builds from it, and
`collab.runs.store` keeps its record.
"""

import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from collab.grading import Extraction, Grader
from collab.limits import Budget
from collab.phases import Phases
from collab.problems.sources import ProblemSource
from collab.proposals import Sampling, Until
from collab.roles import GENERATOR, MENTOR
from collab.units import TokenUnit, Unit, WordUnit

T = TypeVar("T")

DEFAULT_RECIPE = "mentorcollab-free"
COMPOSED_KEYS = (
    "policy",
    "strategy",
    "verifiers",
    "unit",
    "segment_tokens",
    "segment_unit",
    "max_answer_tokens",
    "stop_strings",
    "repeat_limit",
    "sampling",
    "phases",
    "steering",
)
"""What a named recipe decides itself, so that it cannot be given beside one."""

DEFAULT_SEGMENT_TOKENS = 16

_NO_BUDGET = Budget()
_RECORDED_PACKAGES = ("torch", "transformers")


class PluginConfig(BaseModel):
    """A plug-in and its options, written `NAME` or `{use: NAME, option: value, ...}`.

    `NAME` is an installed name, `module:Class` or `path/to/file.py:Class`.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, JsonValue] = Field(init=False)

    use: str = Field(min_length=1, description="The plug-in.")

    @property
    def options(self) -> dict[str, JsonValue]:
        """Its options, checked only when it is built."""
        return self.__pydantic_extra__

    @model_validator(mode="before")
    @classmethod
    def _unfold(cls, value: object) -> object:
        if isinstance(value, str):
            return {"use": value}
        if isinstance(value, PluginConfig) or (isinstance(value, Mapping) and "use" in value):
            return value
        raise ValueError("expected the name of a plug-in, or {use: NAME, option: value, ...}")


class PairConfig(BaseModel):
    """The models: a generator, and one mentor or several by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    generator: PluginConfig = Field(description="Backend of the model that writes.")
    mentor: PluginConfig | None = Field(default=None, description="Backend of `mentor`.")
    mentors: dict[str, PluginConfig] = Field(
        default_factory=dict, description="Backends of further mentors, by name."
    )
    judges: dict[str, PluginConfig] = Field(
        default_factory=dict,
        description="Backends of models that judge, score or reward and never write, by name.",
    )

    @model_validator(mode="after")
    def _name_each_once(self) -> Self:
        if bad := {GENERATOR, ""} & {*self.mentors, *self.judges}:
            raise ValueError(f"a mentor or judge cannot be named {bad.pop()!r}")
        if twice := set(self.mentors_by_name) & set(self.judges):
            raise ValueError(f"{twice.pop()!r} is both a mentor and a judge")
        if self.mentor and MENTOR in self.mentors:
            raise ValueError(f"{MENTOR!r} is given twice, as `mentor` and in `mentors`")
        return self

    @property
    def by_role(self) -> dict[str, PluginConfig]:
        """All participants, the generator first."""
        return {GENERATOR: self.generator, **self.mentors_by_name, **self.judges}

    @model_serializer(mode="wrap")
    def _without_no_judges(self, serialise: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Leave judges out where there are none, as runs did before there could be any."""
        record: dict[str, object] = serialise(self)
        return record if self.judges else {k: v for k, v in record.items() if k != "judges"}

    @property
    def mentors_by_name(self) -> dict[str, PluginConfig]:
        """All mentors."""
        return ({MENTOR: self.mentor} if self.mentor else {}) | self.mentors


class RunBudget(BaseModel):
    """Upper bounds of a whole run. Reached, no new problem begins; those in work finish."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_tokens: int | None = Field(
        default=None, ge=1, description="Most tokens decoded, by any model."
    )
    max_mentor_tokens: int | None = Field(
        default=None, ge=0, description="Most tokens decoded by mentors."
    )
    max_cost_usd: float | None = Field(
        default=None, ge=0, description="Most money spent, in US dollars."
    )

    @property
    def as_budget(self) -> Budget:
        """The same bounds as a budget that can be asked whether it is spent."""
        return Budget(**self.model_dump())


class RunConfig(BaseModel):
    """Everything a run depends on. Paths are relative to the working directory."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pair: PairConfig = Field(description="The models.")
    recipe: PluginConfig | None = Field(
        default=None,
        description=f"A named recipe; {DEFAULT_RECIPE} if neither it nor a policy is given.",
    )
    policy: PluginConfig | None = Field(default=None, description="A policy, instead of a recipe.")
    strategy: PluginConfig | None = Field(
        default=None, description="A strategy, instead of a recipe or of a policy with verifiers."
    )
    verifiers: tuple[PluginConfig, ...] = Field(
        default=(), description="Verifiers, asked in this order."
    )
    unit: Unit = Field(default=WordUnit(), description="`token`, `word`, `step`, tokens or a map.")
    segment_tokens: int | None = Field(
        default=None,
        ge=1,
        description=f"Longest proposal; the segment unit's, or {DEFAULT_SEGMENT_TOKENS}.",
    )
    segment_unit: Unit | None = Field(
        default=None, description="Proposals end with this unit, such as `step`, if given."
    )
    max_answer_tokens: int = Field(default=512, ge=1, description="Longest answer.")
    stop_strings: tuple[str, ...] = Field(default=(), description="Texts that end an answer.")
    repeat_limit: int = Field(
        default=0, ge=0, description="End after this many equal units in a row; 0 for never."
    )
    sampling: Sampling = Field(
        default=Sampling(), description="How tokens are drawn; greedy by default."
    )
    phases: Phases | None = Field(
        default=None, description="Where thinking ends and who answers; null for one phase."
    )
    steering: PluginConfig | None = Field(
        default=None, description="The steerer of the generator while it thinks."
    )
    problems: ProblemSource | None = Field(
        default=None, description="A file, a data set, or {source: PLACE, option: value, ...}."
    )
    limit: int | None = Field(default=None, ge=1, description="Take only this many problems.")
    offset: int = Field(default=0, ge=0, description="Skip this many problems first.")
    concurrency: int = Field(default=8, ge=1, description="Problems in progress at a time.")
    seed: int = Field(default=0, description="Seed of every random choice.")
    extraction: Extraction = Field(
        default="marked", description="Where answers are looked for in a text."
    )
    grader: Grader = Field(default="auto", description="How answers are compared.")
    budget: Budget = Field(default=_NO_BUDGET, description="Limits of each problem.")
    run_budget: RunBudget = Field(default=RunBudget(), description="Limits of the whole run.")
    prices: str | None = Field(
        default=None, description="A price file, or `genai-prices`; a backend's own price wins."
    )
    out: Path | None = Field(default=None, description="The run directory.")

    @field_validator("unit", "segment_unit", mode="before")
    @classmethod
    def _name_unit(cls, value: object) -> object:
        if isinstance(value, str) and value in ("token", "word", "step"):
            return {"kind": value}
        if isinstance(value, str) and value.isdecimal():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return TokenUnit(size=value)
        if isinstance(value, str):
            raise ValueError("expected token, word, step or a number of tokens")  # noqa: TRY004  # pydantic turns only ValueError into a validation error
        return value

    @model_validator(mode="after")
    def _choose_one_way(self) -> Self:
        given = ", ".join(sorted(self.model_fields_set & set(COMPOSED_KEYS)))
        if given and self.recipe:
            raise ValueError(
                f"{given} cannot stand beside a recipe, which decides it; set it as an option of "
                "the recipe, or give a policy instead of the recipe"
            )
        if self.policy and self.strategy:
            raise ValueError("a policy and a strategy cannot stand side by side; give one of them")
        if given and not (self.policy or self.strategy):
            raise ValueError(f"{given} needs a policy; a recipe takes such things as its options")
        return self

    @property
    def chosen_plugin(self) -> tuple[Literal["recipe", "policy", "strategy"], PluginConfig]:
        """What decides how problems are worked on, and by which key it is given."""
        if self.policy:
            return "policy", self.policy
        if self.strategy:
            return "strategy", self.strategy
        return "recipe", self.recipe or PluginConfig(use=DEFAULT_RECIPE)

    @property
    def segment(self) -> Until:
        """Where a mentor's proposal ends."""
        longest = self.segment_unit.max_tokens if self.segment_unit else DEFAULT_SEGMENT_TOKENS
        return Until(max_tokens=self.segment_tokens or longest, unit=self.segment_unit)

    def chosen(self, problems: Iterable[T]) -> list[T]:
        """Return the problems that `offset` and `limit` leave."""
        end = None if self.limit is None else self.offset + self.limit
        return list(islice(problems, self.offset, end))

    @property
    def is_graded_slowly(self) -> bool:
        """Whether grading one answer can take long enough to keep other problems waiting."""
        return self.grader == "math-verify"

    @classmethod
    def default_record(cls) -> dict[str, JsonValue]:
        """Return what `compared_record` says of keys that are not given, as JSON."""
        return cls.model_construct().model_dump(mode="json")

    def compared_record(self) -> dict[str, JsonValue]:
        """Return what has to be the same for rows to belong to one run, as JSON.

        Left out is what changes no row: `concurrency`, `limit`, `offset`, `out`, `run_budget` and
        where the problems lie; their content is in, and how it is read. So are `prices`: a call
        costs what it cost when it was made.

        Raises:
            ProblemFileError: The problems cannot be read.
        """
        left_out = {"concurrency", "limit", "offset", "out", "run_budget", "problems", "prices"}
        record: dict[str, JsonValue] = self.model_dump(mode="json", exclude=left_out)
        key, plugin = self.chosen_plugin
        if key == "recipe":
            record = {key: value for key, value in record.items() if key not in COMPOSED_KEYS}
            record["recipe"] = plugin.model_dump()
        record["problems_sha256"] = self.problems.digest if self.problems else None
        if self.problems and self.problems.options:
            record["problem_options"] = self.problems.options
        return record


def installed_versions() -> dict[str, JsonValue]:
    """Return the versions that a run's results may depend on; imports none of them."""
    versions: dict[str, JsonValue] = {
        "python": platform.python_version(),
        "collab": _version("collab-reasoning"),
    }
    return versions | {name: _version(name) for name in _RECORDED_PACKAGES}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
