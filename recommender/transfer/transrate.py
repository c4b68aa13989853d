"""TransRate: coding rate of the features, less that of each class about its own mean.

Huang et al. 2022, "Frustratingly Easy Transferability Estimation", eq. 5: R(Z) - R(Z | Y), a Gaussian's estimate of the
mutual information H(Z) - H(Z | Y). There every class is coded about the mean of *all* rows, so that what sets the
classes apart is charged to each of them: of two equal classes apart along one direction it cancels, and the score falls
the further apart they are. The entropy of a Gaussian does not know its mean, so here each class is centered by itself.
"""

import numpy as np
from jaxtyping import Float64, Real, Shaped

from recommender.transfer.decomposition import Decomposition, decompose
from recommender.transfer.targets import group_numbers, parse_targets
from registry.features import Array
from registry.targets import Targets

__all__ = ["transrate"]

_DISTORTION = 1e-4


def transrate(
    features: Real[Array, "n d"] | Decomposition,
    targets: Targets | Shaped[Array, "m ..."],
    *,
    groups: Shaped[Array, " g"] | None = None,
) -> float:
    """Half the log determinant of I + F'F / (n eps), less the mean of the same over the rows of each class, centered.

    It means little where a class has fewer rows than there are columns. ``groups`` change nothing.
    """
    thin = decompose(features)
    rows = len(thin.rows)
    group_numbers(groups, rows)
    codes = parse_targets(targets, rows, "transrate").codes
    whole = 0.5 * np.log1p(thin.squares / (rows * _DISTORTION)).sum()
    parts = [_rate(thin.rows[codes == code]) * np.mean(codes == code) for code in np.unique(codes)]
    return float(whole - np.sum(parts))


def _rate(rows: Float64[np.ndarray, "n d"]) -> float:
    rows = rows - rows.mean(axis=0)
    gram = rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows
    return float(0.5 * np.linalg.slogdet(np.eye(len(gram)) + gram / (len(rows) * _DISTORTION))[1])
