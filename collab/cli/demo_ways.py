"""The ways to use the shipped pair that `collab demo` compares."""

from collections.abc import Mapping
from dataclasses import dataclass

from collab.roles import GENERATOR
from collab.runs.config_files import PAIRS

_LAB = PAIRS["lab"]
_MENTOR_STANDS: Mapping[str, object] = {"pair": _LAB, "verifiers": ["always-mentor"]}
_BY_STEPS: Mapping[str, object] = {"unit": "step", "segment_unit": "step"}


@dataclass(frozen=True, slots=True)
class Way:
    """One way to use the pair.

    Attributes:
        folder: Name of its run directory.
        label: What it is called in the table.
        values: Its configuration, without the problems.
        is_mentor_alone: Whether the mentor's model sits in the generator's seat.
    """

    folder: str
    label: str
    values: Mapping[str, object]
    is_mentor_alone: bool = False


WAYS = (
    Way(
        "generator-alone",
        "generator alone",
        {"pair": {GENERATOR: _LAB["generator"]}, "policy": "never"},
    ),
    Way(
        "mentor-alone",
        "mentor alone",
        {"pair": {GENERATOR: _LAB["mentor"]}, "policy": "never"},
        is_mentor_alone=True,
    ),
    Way(
        "random-words",
        "random words to the mentor",
        {**_MENTOR_STANDS, "policy": {"use": "random", "rate": 0.24}, "segment_tokens": 16},
    ),
    Way(
        "random-steps",
        "random steps to the mentor",
        {**_MENTOR_STANDS, **_BY_STEPS, "policy": {"use": "random", "rate": 0.24}},
    ),
    # The threshold gives the mentor about as many steps; set on other held-out problems.
    Way(
        "doubtful-steps",
        "uncertain steps to the mentor",
        {
            **_MENTOR_STANDS,
            **_BY_STEPS,
            "policy": {"use": "entropy", "threshold_nats": 0.13, "reduction": "mean"},
        },
    ),
    Way("mentorcollab-free", "mentorcollab-free", {"pair": _LAB, "recipe": "mentorcollab-free"}),
)
