"""What a server is not sent, or is sent otherwise: as configured, or as its refusals teach."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from collab.telemetry.events import log_event
from collab_backends.remote.failures import is_about_context
from collab_backends.remote.requests import Json

ESSENTIAL = frozenset({"model", "prompt", "messages"})
_REFUSALS = frozenset({400, 422})
_NEARLY_GREEDY = 0.01
_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Remedy:
    """What is done about one refused field.

    Attributes:
        field: Its name; a field within another is written behind a dot.
        told: What is done and what that means, for people.
        cure: Returns the body without what was refused, the same if it does not apply.
        is_loss: Whether a run is then not what was asked for.
    """

    field: str
    told: str
    cure: Callable[[Json], Json]
    is_loss: bool = False


class Manners:
    """How one server wants to be asked.

    Args:
        omitted: Fields that are never sent.
        renamed: Fields that are sent by other names.
        fixed: Fields that were given by hand, and are sent whatever the server says.
    """

    def __init__(
        self,
        omitted: Sequence[str] = (),
        renamed: Mapping[str, str] = _NOTHING,
        fixed: Sequence[str] = (),
    ) -> None:
        self._given = [
            *(_renaming(name, other) for name, other in renamed.items()),
            *(_omitting(name) for name in omitted),
        ]
        self._learned: list[Remedy] = []
        self._fixed = frozenset(fixed)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the server was seen to refuse, and what is done about it."""
        return tuple(f"the server refuses {one.field!r}: {one.told}" for one in self._learned)

    @property
    def losses(self) -> tuple[str, ...]:
        """What a run does without, as the server refuses it."""
        return tuple(f"{one.field}: {one.told}" for one in self._learned if one.is_loss)

    def fitted(self, body: Json, tried: Sequence[Remedy] = ()) -> Json:
        """Return a body as the server takes it; `tried` is what may help beyond what is known."""
        for remedy in (*self._given, *self._learned, *tried):
            body = remedy.cure(body)
        return body

    def next_remedy(
        self, status: int, said: object, sent: Json, tried: Sequence[Remedy]
    ) -> Remedy | None:
        """Return what may help against a refusal: the least harm first; `None` if nothing is left.

        Args:
            status: Of the refusal.
            said: Its body.
            sent: What was refused.
            tried: What did not help.
        """
        if status not in _REFUSALS or is_about_context(str(said)):
            return None
        for remedy in _REMEDIES:
            name = remedy.field.split(".")[0]
            is_new = remedy not in tried and remedy not in self._learned
            is_free = name in sent and name not in self._fixed
            is_meant = is_new and is_free and _is_named(remedy.field, said)
            if is_meant and remedy.cure(sent) != sent:
                return remedy
        return None

    def learn(self, remedies: Sequence[Remedy]) -> None:
        """Remember what helped: of a field's remedies, the last."""
        for remedy in {one.field: one for one in remedies}.values():
            self._learned.append(remedy)
            log_event("remote.field_refused", field=remedy.field, instead=remedy.told)


def _is_named(field: str, said: object) -> bool:
    """Whether a refusal names a field: as the one that it is about, or else anywhere."""
    name = field.rpartition(".")[2]
    blamed = set(_blamed(said))
    if blamed & _FIELDS:
        return name in blamed
    return re.search(rf"(?<![\w]){re.escape(name)}(?![\w])", str(said)) is not None


def _blamed(said: object) -> Iterator[str]:
    """Yield what an error points at: `param` as OpenAI says it, `loc` as pydantic does."""
    if isinstance(said, Mapping):
        for key, value in said.items():
            if key == "param" and isinstance(value, str):
                yield from re.split(r"[.\[\]]+", value)
            elif key == "loc" and isinstance(value, list):
                yield from (str(one) for one in value)
            else:
                yield from _blamed(value)
    elif isinstance(said, list):
        for one in said:
            yield from _blamed(one)


# --- remedies ---------------------------------------------------------------------------------


def _without(field: str) -> Callable[[Json], Json]:
    outer, _, inner = field.partition(".")

    def cure(body: Json) -> Json:
        if outer not in body:
            return body
        if not inner:
            return {name: value for name, value in body.items() if name != outer}
        kept = body[outer]
        if not isinstance(kept, Mapping) or inner not in kept:
            return body
        return body | {outer: {name: value for name, value in kept.items() if name != inner}}

    return cure


def _omitting(field: str, told: str = "it is left out", *, is_loss: bool = False) -> Remedy:
    return Remedy(field, told, _without(field), is_loss)


def _renaming(field: str, other: str) -> Remedy:
    def cure(body: Json) -> Json:
        if field not in body:
            return body
        return {other if name == field else name: value for name, value in body.items()}

    return Remedy(field, f"it is sent as {other!r}", cure)


def _warm(body: Json) -> Json:
    return body | {"temperature": _NEARLY_GREEDY} if body.get("temperature") == 0 else body


def _without_whole_nucleus(body: Json) -> Json:
    return _without("top_p")(body) if body.get("top_p", 0) >= 1 else body


_REMEDIES = (
    _omitting("timings_per_token"),
    _omitting("stream_options.continuous_usage_stats"),
    _omitting("stream_options", "it is left out, so what streams cost is estimated"),
    Remedy("top_p", "it is left out where it is 1", _without_whole_nucleus),
    _omitting("seed", "it is left out, so that draws cannot be repeated", is_loss=True),
    _renaming("max_tokens", "max_completion_tokens"),
    Remedy("temperature", f"{_NEARLY_GREEDY} is sent for 0", _warm, is_loss=True),
    _omitting("top_p", "it is left out, so the server's own value counts", is_loss=True),
    _omitting("temperature", "it is left out, so that nothing is greedy", is_loss=True),
    _omitting("stream", "answers are asked for whole"),
)
"""The least harmful first."""

_FIELDS = frozenset(remedy.field.rpartition(".")[2] for remedy in _REMEDIES)
