"""H-score with shrunk covariance (Bao et al. 2019; Ibrahim et al. 2021, "Newer is not always better", eq. 6)."""

import numpy as np
from jaxtyping import Real, Shaped

from recommender.transfer.decomposition import Decomposition, decompose
from recommender.transfer.targets import group_numbers, parse_targets
from registry.features import Array
from registry.targets import Targets

__all__ = ["hscore"]


def hscore(
    features: Real[Array, "n d"] | Decomposition,
    targets: Targets | Shaped[Array, "m ..."],
    *,
    groups: Shaped[Array, " g"] | None = None,
) -> float:
    """(1 - a) tr(S_a^-1 S_between), a the Ledoit-Wolf weight in S_a = (1 - a) S + a tr(S)/d I; at most classes - 1.

    Without shrinkage it saturates at classes - 1 where rows are no more than columns; without the factor (1 - a) noise
    in many columns beats signal in few. Nothing is left out, so ``groups`` change nothing.
    """
    thin = decompose(features)
    rows = len(thin.rows)
    group_numbers(groups, rows)
    columns = parse_targets(targets, rows, "hscore").columns
    variances = thin.squares / rows
    weight = _shrinkage(thin)
    between = variances * (np.square(thin.project(columns)) / columns.sum(axis=0)).sum(axis=1)
    return float((1 - weight) * (between / ((1 - weight) * variances + weight * variances.sum() / thin.width)).sum())


def _shrinkage(thin: Decomposition) -> float:
    """The Ledoit-Wolf (2004) weight, from the eigenvalues and the lengths of the rows; one column is its own target."""
    if thin.width == 1:
        return 0.0
    rows, variances = len(thin.rows), thin.squares / len(thin.rows)
    energy = np.square(variances).sum()
    apart = energy - variances.sum() ** 2 / thin.width
    lengths = np.einsum("ij,ij->i", thin.rows, thin.rows)
    noise = (np.square(lengths).mean() - energy) / rows
    return float(np.clip(noise / apart, 0, 1)) if apart > 1e-12 * energy else 1.0
