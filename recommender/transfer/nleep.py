"""N-LEEP: LEEP with the clusters of a Gaussian mixture in place of source classes (Li et al. 2021)."""

import warnings

import numpy as np
from jaxtyping import Float64, Real, Shaped
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from recommender.transfer.decomposition import Decomposition, decompose
from recommender.transfer.probabilities import log_expected_prediction
from recommender.transfer.targets import group_numbers, parse_targets
from registry.features import Array
from registry.targets import Targets

__all__ = ["nleep"]

_ENERGY = 0.8
_CLUSTERS_A_CLASS = 5
_MOST_CLUSTERS = 200


def nleep(
    features: Real[Array, "n d"] | Decomposition,
    targets: Targets | Shaped[Array, "m ..."],
    *,
    groups: Shaped[Array, " g"] | None = None,
    seed: int = 0,
) -> float:
    """Mean log likelihood of the labels given the clusters of the features' principal components. At most 0.

    The mixture starts from ``seed`` and sees the rows in the order of their first component. ``groups`` change nothing.
    """
    thin = decompose(features)
    group_numbers(groups, len(thin.rows))
    columns = parse_targets(targets, len(thin.rows), "nleep").columns
    share = np.cumsum(thin.squares) / thin.squares.sum()
    kept = slice(0, int(np.searchsorted(share, _ENERGY)) + 1)
    components = thin.left[:, kept] * np.sqrt(thin.squares[kept])
    components *= np.sign((components**3).sum(axis=0))  # else the sign is the library's, and differs with row order
    components = components.round(9)  # the mixture's start magnifies what rounding differs by
    order = np.argsort(components[:, 0])
    clusters = max(1, min(_CLUSTERS_A_CLASS * columns.shape[1], len(components) // 4, _MOST_CLUSTERS))
    return log_expected_prediction(_memberships(components[order], clusters, seed), columns[order])


def _memberships(rows: Float64[np.ndarray, "n k"], clusters: int, seed: int) -> Float64[np.ndarray, "n z"]:
    mixture = GaussianMixture(clusters, covariance_type="diag", reg_covar=1e-3 * float(rows.var()), random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the best of 100 rounds will do
        return np.asarray(mixture.fit(rows).predict_proba(rows), np.float64)
