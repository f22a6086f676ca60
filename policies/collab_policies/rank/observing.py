"""What a backend is asked for so that a rank can be read, and where it is in the answer."""

from collections.abc import Sequence

from collab.proposals import Token
from collab.signals import EVERYWHERE, Gate, Observation
from collab_policies.rank.options import RankOptions

DELIMITER = "\n\n"


def observations(options: RankOptions, delimiter: str = DELIMITER) -> tuple[Observation, ...]:
    """Return what `Signals` need: one observation for each layer.

    Where steps are compared, only states at tokens with the delimiter in them are handed over: one
    for each step and layer. Where the tokens of a step are, all.

    Args:
        options: Which reading is taken.
        delimiter: What closes a step.

    References:
        SEAL, arXiv:2504.07986: a step is represented by the state at the delimiter that opens
        it. That RankGuide (arXiv:2604.16694) does so too is inferred.
    """
    gate = EVERYWHERE if options.definition == "tokens" else Gate((delimiter,))
    return tuple(Observation(_name(layer), layer, gate) for layer in options.layers)


def opening_states(
    tokens: Sequence[Token], options: RankOptions
) -> tuple[Sequence[float], ...] | None:
    """Return the states of the step that `tokens` are, `(L, d)`, for `Trajectory.push`.

    They stand at the token before it and come with its first token. `None` where a layer was not
    handed over: after a prompt that does not end with the delimiter, say.
    """
    observed = (tokens[0].observed if tokens else None) or {}
    states = tuple(observed[name] for name in map(_name, options.layers) if name in observed)
    return states if len(states) == len(options.layers) else None


def token_states(tokens: Sequence[Token], options: RankOptions) -> tuple[Sequence[float], ...]:
    """Return the states that came with `tokens` at the first layer, for `RankOptions.read`.

    Each stands at the position of the token before, so that the first is at the delimiter.
    """
    name = _name(options.layers[0])
    found = ((token.observed or {}).get(name) for token in tokens)
    return tuple(state for state in found if state is not None)


def _name(layer: int) -> str:
    return f"rank.{layer}"
