"""GBC: Gaussian Bhattacharyya coefficient, how much the classes overlap (Pándy et al. 2022, eq. 3)."""

import numpy as np
from jaxtyping import Real, Shaped

from recommender.transfer.decomposition import Decomposition, decompose
from recommender.transfer.targets import group_numbers, parse_targets
from registry.features import Array
from registry.targets import Targets

__all__ = ["gbc"]

_COMPONENTS = 64


def gbc(
    features: Real[Array, "n d"] | Decomposition,
    targets: Targets | Shaped[Array, "m ..."],
    *,
    groups: Shaped[Array, " g"] | None = None,
) -> float:
    """Minus the summed Bhattacharyya coefficients of all ordered pairs of classes, on 64 principal components.

    Each class is a Gaussian with diagonal covariance, to which the pooled one is added as if it were one row more: a
    class with one row has a variance too. At most 0; ``groups`` change nothing.
    """
    thin = decompose(features)
    group_numbers(groups, len(thin.rows))
    columns = parse_targets(targets, len(thin.rows), "gbc").columns
    rows = thin.left[:, :_COMPONENTS] * np.sqrt(thin.squares[:_COMPONENTS])
    count = columns.sum(axis=0)[:, None]
    mean = columns.T @ rows / count
    variance = (columns.T @ np.square(rows - columns @ mean) + rows.var(axis=0)) / (count + 1)
    total = 0.0
    for place in range(len(mean)):
        both = (variance + variance[place]) / 2
        apart = (np.square(mean - mean[place]) / both).sum(axis=1) / 8
        wider = 0.5 * (np.log(both) - 0.5 * (np.log(variance) + np.log(variance[place]))).sum(axis=1)
        total += np.exp(-apart - wider).sum() - 1
    return float(-total)
