"""Capabilities of models, needs of plug-ins, and their matching before the first token."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from collab.errors import CapabilityError, ContextOverflowError

PrefixMode = Literal["tokens", "text", "chat-continue", "prefill", "quoted"]
"""How exactly a model continues a partial text, best first."""

Ability = Literal[
    "text",
    "logprobs",
    "entropy",
    "top_logprobs",
    "judge",
    "score",
    "reward",
    "score_top_logprobs",
    "hidden_states",
    "steering",
]

ABILITIES: tuple[Ability, ...] = get_args(Ability)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one loaded or remote model can do.

    Attributes:
        prefix_mode: How it continues a partial text.
        top_logprobs: Largest k of top-k log-probabilities, so of top-k entropy; 0 for none.
        score_top_logprobs: Largest k of them at the tokens of given text; 0 for none.
        has_token_ids: Whether exact token ids are given.
        can_judge: Whether label probabilities at one position can be read.
        can_score: Whether given text can be scored.
        can_reward: Whether steps can be given rewards.
        has_hidden_states: Whether hidden states can be observed.
        can_steer: Whether a vector can be added to hidden states.
        can_cancel: Whether leaving a call stops its decoding.
        usage: Whether token counts are the engine's own, or estimated where an answer was left
            before its end, or always.
        context_tokens: Longest text, prompt included; `None` if unknown.
        hidden_size: Width of hidden states that can be read after given text; `None` for none.
        blocks: Layers whose input can be read or steered; `None` if unknown.
        fingerprint: Of weights and configuration: equal ones are equal models; empty if unknown.
        losses: What a run asks for and its server refuses, so that it goes without.
    """

    prefix_mode: PrefixMode
    top_logprobs: int = 0
    score_top_logprobs: int = 0
    has_token_ids: bool = False
    can_judge: bool = False
    can_score: bool = False
    can_reward: bool = False
    has_hidden_states: bool = False
    can_steer: bool = False
    can_cancel: bool = False
    usage: Literal["exact", "exact unless left", "estimated"] = "exact"
    context_tokens: int | None = None
    hidden_size: int | None = None
    blocks: int | None = None
    fingerprint: str = ""
    losses: tuple[str, ...] = ()

    def ensure_prompt_fits(self, tokens: int, name: str) -> None:
        """Refuse a prompt that leaves no room for an answer.

        Args:
            tokens: Its length.
            name: The model's name, for the error.

        Raises:
            ContextOverflowError: It does not fit.
        """
        limit = self.context_tokens
        if limit is not None and tokens >= limit:
            raise ContextOverflowError(
                f"prompt of {tokens:,} tokens exceeds the {limit:,} of {name!r}; "
                "shorten it, or take a model with a longer context"
            )

    def offers(self, ability: Ability, amount: int) -> bool:
        """Whether `ability` is there, in `amount` where it has one."""
        match ability:
            case "text":
                return True
            case "logprobs" | "entropy" | "top_logprobs":
                return self.top_logprobs >= max(amount, 1)
            case "judge" | "score" | "reward":
                return {
                    "judge": self.can_judge,
                    "score": self.can_score,
                    "reward": self.can_reward,
                }[ability]
            case "score_top_logprobs":
                return self.can_score and self.score_top_logprobs >= max(amount, 1)
            case "hidden_states":
                return self.has_hidden_states and amount in (0, self.hidden_size)
            case "steering":
                return self.can_steer and amount in (0, self.hidden_size)


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that a plug-in asks of one participant.

    Attributes:
        role: The participant.
        ability: What it has to be able to do; `text` is what every model can.
        amount: How much of it, such as the k of top-k entropy, or of the likeliest tokens that
            `Token.top` names; of hidden states and of what is added to them, their width.
        degraded: Name of what the plug-in does without it; empty if it cannot do without.
        fingerprint: Of the only model that will do; empty for any.
    """

    role: str
    ability: Ability
    amount: int = 0
    degraded: str = ""
    fingerprint: str = ""

    def __post_init__(self) -> None:
        """Refuse an ability that no model could have."""
        if self.ability not in ABILITIES:
            raise ValueError(
                f"there is no ability {self.ability!r}; abilities: {', '.join(ABILITIES)}"
            )


@dataclass(frozen=True, slots=True)
class NeedMatch:
    """A need beside what the models can do.

    Attributes:
        plugin: Who needs it.
        need: What is needed.
        lack: What is missing, for people; empty if it is met.
    """

    plugin: str
    need: Need
    lack: str

    @property
    def state(self) -> Literal["met", "degraded", "missing"]:
        """Whether it is met, done without, or missing."""
        if not self.lack:
            return "met"
        return "degraded" if self.need.degraded else "missing"


def needed_top_k(needs: Mapping[str, Iterable[Need]], role: str) -> int:
    """Return how many of the likeliest tokens one participant has to name at each position.

    Args:
        needs: Needs by the plug-in's name.
        role: The participant.
    """
    abilities = ("top_logprobs", "score_top_logprobs")
    return max(
        (
            max(need.amount, 1)
            for wanted in needs.values()
            for need in wanted
            if need.role == role and need.ability in abilities
        ),
        default=0,
    )


def compare_needs(
    needs: Mapping[str, Iterable[Need]], models: Mapping[str, Capabilities]
) -> list[NeedMatch]:
    """Return every need, by the plug-in's name, beside what models by participant can do."""
    return [
        NeedMatch(plugin, need, _lack(need, models))
        for plugin, wanted in needs.items()
        for need in wanted
    ]


def match_needs(
    needs: Mapping[str, Iterable[Need]], models: Mapping[str, Capabilities]
) -> tuple[str, ...]:
    """Compare what plug-ins need with what models can do.

    Args:
        needs: Needs by the plug-in's name.
        models: Capabilities by participant.

    Returns:
        The names of the degradations that apply, for the result's record.

    Raises:
        CapabilityError: Something is missing that a plug-in cannot do without; the message
            lists everything missing.
    """
    matches = compare_needs(needs, models)
    missing = [f"{one.plugin} needs {one.lack}" for one in matches if one.state == "missing"]
    if missing:
        listed = "; ".join(missing)
        raise CapabilityError(
            f"the models cannot do what the plug-ins need: {listed}. "
            "Use a backend that can (`local` can do all of it), "
            "or other plug-ins (`never`, `agreement` and `always-mentor` need nothing)."
        )
    return tuple(f"{one.plugin}: {one.need.degraded}" for one in matches if one.lack)


_MAKERS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "steering": ("extracted from", "`collab extract steering` extracts"),
        "text": ("calibrated on", "`collab calibrate` makes"),
    }
)
"""Of a fingerprint that is asked for beside an ability: how it came about, and what makes it."""


def _lack(need: Need, models: Mapping[str, Capabilities]) -> str:
    if need.role not in models:
        return (
            f"a participant {need.role!r}; there are: {', '.join(sorted(models))} (a policy's or "
            "recipe's option `mentor` says which one is asked)"
        )
    model = models[need.role]
    if not model.offers(need.ability, need.amount):
        return f"{need.ability}{_amount(need, model)} of the {need.role}"
    if need.fingerprint and need.fingerprint != model.fingerprint:
        found = f"is {model.fingerprint!r}" if model.fingerprint else "is unknown"
        made, maker = _MAKERS.get(need.ability, ("trained on", "`collab train verifier` trains"))
        return (
            f"the {need.role} that it was {made}, of the fingerprint {need.fingerprint!r}; the "
            f"fingerprint of this {need.role} {found} ({maker} one for it)"
        )
    return ""


def _amount(need: Need, model: Capabilities) -> str:
    if not need.amount:
        return ""
    if need.ability not in ("hidden_states", "steering"):
        return f" (k={need.amount})"
    is_other = model.hidden_size not in (None, need.amount)
    found = f", found {model.hidden_size}" if is_other else ""
    return f" ({need.amount} numbers{found})"


def inexact_modes(models: Mapping[str, Capabilities]) -> tuple[str, ...]:
    """Return what participants do otherwise than asked, for the record.

    Some can only be asked in words to write on; some refuse a part of what a run asks for.
    """
    return tuple(
        f"{role}: {what}"
        for role, can in models.items()
        for what in (*(["quoted continuation"] if can.prefix_mode == "quoted" else []), *can.losses)
    )
