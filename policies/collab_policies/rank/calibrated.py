"""What policies that read a rank share: a calibration, and which reading of the rank is taken."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from collab.capabilities import Need
from collab.options import Options
from collab.roles import GENERATOR
from collab_policies.rank.calibration_file import Calibration, as_calibration
from collab_policies.rank.following import RankFollower
from collab_policies.rank.options import RankOptions


class CalibratedOptions(Options):
    """Where layers, means and thresholds come from."""

    calibration: Path | Calibration | None = Field(
        default=None, description="A file of `collab calibrate`: layers, means, scales, thresholds."
    )
    rank: RankOptions | None = Field(
        default=None,
        description="Reading of the rank and its layers, instead of the calibration's.",
    )

    @property
    def calibrated(self) -> Calibration | None:
        """The calibration, if one is given."""
        return as_calibration(self.calibration)


def reading_of(calibrated: Calibration | None, rank: RankOptions | None) -> RankOptions:
    """Return which reading of the rank is taken."""
    options = rank or (calibrated.rank if calibrated else None)
    assert options is not None, "checked when the policy was made"
    return options


def ensure_same_reading(calibrated: Calibration | None, rank: RankOptions | None) -> None:
    """Refuse means and thresholds of another reading.

    Raises:
        ValueError: The calibration holds none, or for other options.
    """
    if calibrated is None:
        return
    if calibrated.rank is None and rank is None:
        raise ValueError(
            f"the calibration of {calibrated.generator!r} has no rank: its generator handed over "
            "no hidden states; calibrate on a local one"
        )
    if rank is not None and calibrated.rank is not None and rank != calibrated.rank:
        raise ValueError(
            f"the calibration is of another reading of the rank ({calibrated.rank}); leave `rank` "
            "out, or calibrate with it"
        )


def calibration_needs(calibrated: Calibration | None) -> Sequence[Need]:
    """Return that the generator has to be the calibrated one, where that is known."""
    if calibrated is None or not calibrated.fingerprint:
        return ()
    return (Need(GENERATOR, "text", fingerprint=calibrated.fingerprint),)


def no_opinion(follower: RankFollower) -> str:
    """Return why there is none, for the record."""
    return f"no opinion, {follower.unusable} states unusable" if follower.unusable else "no opinion"
