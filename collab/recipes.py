"""Recipes: a named combination of a strategy, or of policy and verifiers, with their options."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, cast, runtime_checkable

from pydantic import ValidationError

from collab.capabilities import Need
from collab.errors import ConfigError, PluginError
from collab.options import Options, RepeatLimit, SamplingOption, StopStrings, shared
from collab.phases import Phases
from collab.plugins import build, explain
from collab.proposals import Sampling, Until
from collab.protocols import Alone, Policy, Steerer, Verifier
from collab.strategies import Strategy
from collab.units import Unit, WordUnit

_WORD = WordUnit()
_SEGMENT = Until(max_tokens=16)
_GREEDY = Sampling()
_ALONE = Alone()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one problem is worked on. A frozen value.

    Attributes:
        policy: Decides where the generator needs help; by default it writes alone.
        verifiers: A cascade: the first that does not abstain decides; if all do, the
            generator's draft stands. Empty: the mentor's proposal always stands.
        unit: What the generator writes between two questions to the policy.
        segment: Length of a mentor's proposal and of the generator's look-ahead.
        max_answer_tokens: The answer is cut off at this length.
        stop_strings: Texts that end the answer; they are not part of it.
        repeat_limit: End at this many equal units in a row, the last not committed; 0 never.
        sampling: How both models draw tokens.
        phases: Where thinking ends and who writes the answer; `None` for texts of one phase.
        steering: What is added to the generator's hidden states while it thinks.
        name: For the record.
        strategy: Who writes what; `None` for the loop of draft, decision, consultation and
            verification. It takes the place of policy and verifiers.
    """

    policy: Policy = _ALONE
    verifiers: tuple[Verifier, ...] = ()
    unit: Unit = _WORD
    segment: Until = _SEGMENT
    max_answer_tokens: int = 512
    stop_strings: tuple[str, ...] = ()
    repeat_limit: int = 0
    sampling: Sampling = _GREEDY
    phases: Phases | None = None
    steering: Steerer | None = None
    name: str = "custom"
    strategy: Strategy | None = None

    def __post_init__(self) -> None:
        """Refuse phases that leave no token to think, and what would never be asked."""
        if self.strategy and (self.policy != _ALONE or self.verifiers or self.steering):
            raise ConfigError(
                f"the strategy {type(self.strategy).__name__!r} takes the place of policy, "
                "verifiers and steering; leave these out"
            )
        if "" in (*self.stop_strings, *self.segment.stop_strings):
            raise ConfigError("an empty stop string ends every text at once; leave it out")
        if self.phases and self.phases.answer_tokens >= self.max_answer_tokens:
            raise ConfigError(
                f"of {self.max_answer_tokens:,} tokens (max_answer_tokens), "
                f"{self.phases.answer_tokens:,} are kept for the answer (phases.answer_tokens), so "
                "none is left to think"
            )

    @property
    def takes_back(self) -> bool:
        """Whether text that was committed may be taken back later."""
        return bool(getattr(self.strategy or self.policy, "takes_back", False))

    @property
    def needs(self) -> Mapping[str, Sequence[Need]]:
        """Needs by the plug-ins' class names; two of one class share an entry.

        Raises:
            PluginError: A plug-in fails to say what it needs.
        """
        needs: dict[str, list[Need]] = {}
        steerers = (self.steering,) if self.steering else ()
        plugins: tuple[Policy | Verifier | Steerer | Strategy, ...]
        plugins = (self.strategy,) if self.strategy else (self.policy, *self.verifiers, *steerers)
        for plugin in plugins:
            name = type(plugin).__name__
            try:
                wanted = list(plugin.needs)
            except Exception as error:
                raise PluginError(
                    f"{name} cannot say what it needs: {type(error).__name__}: {error}"
                ) from error
            if strange := [need for need in wanted if not isinstance(need, Need)]:
                raise PluginError(f"{name} says that it needs {strange[0]!r}, which is no Need")
            needs.setdefault(name, []).extend(wanted)
        if self.phases:
            needs.setdefault("phases", []).append(Need(self.phases.answer_by, "text"))
        return needs


@runtime_checkable
class RecipeFactory(Protocol):
    """A frozen value whose fields are a recipe's options: what `collab.recipes` registers."""

    def recipe(self) -> Recipe:
        """Return the recipe."""
        ...


class MethodRecipe(Options):
    """Base of recipes that make their plug-ins from the options they share with them by name.

    So an option is declared once, in a class of `Options` that the plug-in and the recipe both
    extend, and stays flat: `recipe.threshold` on the command line and in the record of a run.
    Options nested by plug-in (`recipe.policy.threshold`) would give `mentor`, which policy and
    verifier share, two places, and every recorded path a new name. A recipe repeats an option only
    to give it another default.

    Attributes:
        method: The recipe's name, for the record.
        policy: The class of its policy.
        verifiers: The classes of its verifiers, in their order.
        strategy: The class of its strategy, instead of both.
    """

    method: ClassVar[str]
    policy: ClassVar[type[Policy]] = Alone
    verifiers: ClassVar[tuple[type[Verifier], ...]] = ()
    strategy: ClassVar[type[Strategy] | None] = None

    repeat_limit: RepeatLimit = 0
    stop_strings: StopStrings = ()
    sampling: SamplingOption = Sampling()

    def recipe(self) -> Recipe:
        """Return the recipe."""
        raise NotImplementedError

    def assembled(
        self,
        unit: Unit,
        segment: Until = _SEGMENT,
        *,
        max_answer_tokens: int,
        phases: Phases | None = None,
        steering: Steerer | None = None,
    ) -> Recipe:
        """Return the recipe of these parts, and of the plug-ins made with the shared options.

        Raises:
            pydantic.ValidationError: A plug-in does not take its options.
        """
        return Recipe(
            name=self.method,
            policy=shared(self, self.policy),
            verifiers=tuple(shared(self, verifier) for verifier in self.verifiers),
            unit=unit,
            segment=segment,
            max_answer_tokens=max_answer_tokens,
            stop_strings=self.stop_strings,
            repeat_limit=self.repeat_limit,
            sampling=self.sampling,
            phases=phases,
            steering=steering,
            strategy=shared(self, self.strategy) if self.strategy else None,
        )


def as_recipe(recipe: Recipe | RecipeFactory | str) -> Recipe:
    """Return a recipe: one itself, what a factory makes, or the one that is installed by a name.

    Raises:
        PluginError: There is none of that name, or the factory makes none.
    """
    if isinstance(recipe, Policy | Strategy):
        kind = "strategy" if isinstance(recipe, Strategy) else "policy"
        raise PluginError(
            f"{type(recipe).__name__} is a {kind}, not a recipe; give Recipe({kind}=...)"
        )
    if isinstance(recipe, str):
        return made(cast(RecipeFactory, build("recipes", recipe, {})))
    return recipe if isinstance(recipe, Recipe) else made(recipe)


def made(factory: RecipeFactory) -> Recipe:
    """Return the recipe that `factory` makes.

    Raises:
        PluginError: It makes none.
    """
    name = type(factory).__name__
    try:
        recipe: object = factory.recipe()
    except ValidationError as error:
        raise PluginError(f"{name} makes no recipe: {'; '.join(explain(error))}") from error
    except Exception as error:
        raise PluginError(f"{name} makes no recipe: {type(error).__name__}: {error}") from error
    if not isinstance(recipe, Recipe):
        raise PluginError(f"{name} makes {recipe!r}, not a Recipe")
    return recipe
