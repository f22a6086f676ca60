"""The same tensor as Tucker and CP fits see it; for studies, not for a run.

Needs the extra `tensor`: a fit takes ten to hundreds of milliseconds, where the Gram matrix
of a trajectory takes microseconds.
"""

import warnings
from collections.abc import Sequence
from types import ModuleType

import numpy as np

from collab.errors import ConfigError
from collab.texts import how_to_install
from collab_policies.rank.normalising import Matrix


def tucker_residual(tensor: Matrix, ranks: Sequence[int], *, seed: int = 0) -> float:
    """Return the relative error of a Tucker fit, in `[0, 1]`; low where the rank is low.

    Args:
        tensor: `Trajectory.tensor`, `(m, L, d)`.
        ranks: Of each mode, at least 1.
        seed: Of what the fit draws.

    Raises:
        ConfigError: tensorly is missing.
        ValueError: The tensor holds only zeros, or nothing.
    """
    tensorly = _tensorly()
    size = _norm(tensor)
    fit = tensorly.decomposition.tucker(tensor, rank=list(ranks), random_state=seed)
    return float(np.linalg.norm(tensor - tensorly.tucker_to_tensor(fit))) / size


def cp_residual(tensor: Matrix, rank: int = 4, *, seed: int = 0, rounds: int = 200) -> float:
    """Return the relative error of a CP fit; low where the rank is low. Reading D4.

    Alternating least squares, started from each mode's singular vectors, so that a rotation of the
    hidden axis changes nothing. Where a mode has fewer of them than there are components, the rest
    is drawn: the same seed gives the same number, another one may give another.

    Args:
        tensor: `Trajectory.tensor`, `(m, L, d)`.
        rank: Components, 4 to 8.
        seed: Of what is drawn.
        rounds: Of alternating least squares, at most.

    Raises:
        ConfigError: tensorly is missing.
        ValueError: The tensor holds only zeros, or nothing.

    References:
        RankGuide, arXiv:2604.16694, names tensorly among its requirements; whether it fits CP is
        not known to us.
    """
    tensorly = _tensorly()
    size = _norm(tensor)
    with warnings.catch_warnings():
        # A mode that is smaller than the rank is what `seed` is for.
        warnings.filterwarnings("ignore", "Trying to compute SVD")
        fit = tensorly.decomposition.parafac(
            tensor, rank=rank, init="svd", random_state=seed, n_iter_max=rounds
        )
    return float(np.linalg.norm(tensor - tensorly.cp_to_tensor(fit))) / size


def _norm(tensor: Matrix) -> float:
    size = float(np.linalg.norm(tensor))
    if size == 0:
        raise ValueError(f"a tensor {tensor.shape} of nothing but zeros has no fit")
    return size


def _tensorly() -> ModuleType:
    try:
        # Only studies need it, and it brings scipy.
        import tensorly.decomposition  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            f"comparing with tensor fits needs tensorly ({error}); {how_to_install('tensor')}"
        ) from error
    module: ModuleType = tensorly
    return module
