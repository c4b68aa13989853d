"""Maximum mean discrepancy with its permutation test and interval (Gretton et al. 2012, JMLR 13, eq. 3).

The kernel is the mean of three Gaussians, exp(-|a - b|^2 / 2s^2) at s = sigma * {1/2, 1, 2}: the one that a lens's
mean embeddings stand for (`registry.sketch`).
"""

import numpy as np
from jaxtyping import Float, Float64, Real

from recommender.distance.kernels import Groups, Kernel, fixed_scale, median_distance, pool, two_sample
from recommender.results import Distance
from registry.features import Array

__all__ = ["bandwidth", "gaussian_kernel", "mmd"]


def mmd(
    x: Real[Array, "n d"],
    y: Real[Array, "m e"],
    *,
    seed: int = 0,
    groups: Groups | None = None,
    sigma: float | None = None,
    mean: Float[Array, " f"] | None = None,
    scale: Float[Array, " g"] | None = None,
    permutations: int = 200,
) -> Distance:
    """Squared MMD: unbiased ``statistic``, jackknife interval, and the permutation test of one source.

    Give the lens's ``sigma`` (with ``mean`` and ``scale``, unless the rows are in its scale already) wherever domains
    are ordered. Without it, columns are standardized over both clouds and sigma is the median distance: good for two
    clouds met for once, not comparable between pairs.

    ``details``: ``effect`` is 1 - 2 Kxy / (Kxx + Kyy), not comparable between spaces; ``sigma``; and the 90 % band of
    the permuted statistic.
    """
    fixed = None if sigma is None else fixed_scale(np.shape(x)[-1], mean, scale)
    pair = pool(x, y, groups, fixed)
    width = median_distance(pair) if sigma is None else sigma
    tested = two_sample(pair, gaussian_kernel(width), permutations=permutations, seed=seed)
    low, high = tested.interval
    effect = 1 - 2 * tested.between / (tested.within_first + tested.within_second)
    details = {"effect": effect, "sigma": width, **tested.null_band}
    return Distance("mmd", max(0.0, tested.statistic), tested.statistic, low, high, tested.p_same, details)


def bandwidth(x: Real[Array, "n d"], y: Real[Array, "m e"]) -> float:
    """The ``sigma`` that `mmd` takes where none is given.

    Raises:
        TooFewRows: fewer than two rows in a cloud.
        NoVariation: all rows are identical.
    """
    return median_distance(pool(x, y))


def gaussian_kernel(sigma: float) -> Kernel:
    """The mean of the Gaussian kernels at sigma / 2, sigma and 2 sigma, from one exponential: e, e^4 and e^16."""

    def kernel(squared: Float64[np.ndarray, "a b"]) -> Float64[np.ndarray, "a b"]:
        squared *= -1 / (8 * sigma**2)
        widest = np.exp(squared, out=squared)
        power = np.square(widest)
        np.square(power, out=power)
        widest += power
        np.square(power, out=power)
        widest += np.square(power, out=power)
        return np.asarray(np.divide(widest, 3, out=widest))

    return kernel
