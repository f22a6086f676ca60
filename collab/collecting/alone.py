"""A recipe whose generator writes alone."""

from dataclasses import replace

from collab.protocols import Alone, Policy, Verifier
from collab.recipes import Recipe
from collab.roles import GENERATOR

_ALONE = Alone()


def alone(recipe: Recipe, policy: Policy = _ALONE, verifiers: tuple[Verifier, ...] = ()) -> Recipe:
    """Return `recipe` with the generator writing everything, the answer after its thinking too.

    Its units, lengths, stop strings, sampling and steering are kept.

    Args:
        recipe: How others are asked.
        policy: One that never asks for help, such as a recorder.
        verifiers: What it verifies the generator's drafts with.
    """
    phases = recipe.phases and recipe.phases.model_copy(update={"answer_by": GENERATOR})
    return replace(recipe, policy=policy, verifiers=verifiers, phases=phases, strategy=None)
