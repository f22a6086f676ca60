"""Options: what a plug-in's fields are, declared once and shared by name."""

from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from collab.proposals import Sampling

T = TypeVar("T", bound=BaseModel)


def _are_layers(layers: tuple[int, ...]) -> tuple[int, ...]:
    if min(layers, default=0) < 0 or len(set(layers)) < len(layers):
        raise ValueError("layers are counted from 0, each named once")
    return layers


MentorName = Annotated[str, Field(description="The mentor to ask, if there are several.")]
RepeatLimit = Annotated[
    int, Field(ge=0, description="End after this many equal units in a row; 0 for never.")
]
StopStrings = Annotated[tuple[str, ...], Field(description="Texts that end the answer.")]
SamplingOption = Annotated[Sampling, Field(description="How tokens are drawn; greedy by default.")]
Layers = Annotated[tuple[int, ...], AfterValidator(_are_layers)]
"""Layers of a model, in any order. See `collab.signals` for how they are numbered."""

LongestAnswer = Annotated[int, Field(ge=1, description="Longest answer, in tokens.")]


class Options(BaseModel):
    """Base of options that a plug-in and a recipe both have.

    Declare them here once, and extend the class from both::

        class EntropyOptions(Options):
            threshold_nats: float = 1.0

        class Entropy(EntropyOptions, Policy): ...

        class EntropyRecipe(EntropyOptions, MethodRecipe): ...

    See `collab.recipes.MethodRecipe`, which makes the plug-in. What is checked here is checked for
    both; what only the plug-in can check, such as a file, belongs there.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


def shared(options: BaseModel, plugin: type[T]) -> T:
    """Return a plug-in made with the options that it shares with `options` by name.

    Raises:
        pydantic.ValidationError: The plug-in does not take them.
    """
    names = plugin.model_fields.keys() & type(options).model_fields.keys()
    return plugin.model_validate({name: getattr(options, name) for name in names})
