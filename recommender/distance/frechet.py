"""Fréchet distance of two Gaussians fitted to the clouds (Dowson & Landau 1982), known as FID in Inception's space."""

import numpy as np
from jaxtyping import Float64, Real

from recommender.distance.covariance import shrunk_covariance
from recommender.distance.kernels import Groups, Pair, assigned_hands, pool
from recommender.results import Distance
from registry.features import Array

__all__ = ["frechet"]


def frechet(x: Real[Array, "n d"], y: Real[Array, "m e"], *, seed: int = 0, groups: Groups | None = None) -> Distance:
    """|mu_x - mu_y|^2 + tr(S_x + S_y - 2 (S_x S_y)^1/2), with shrunk covariances, on columns standardized over both.

    It sees means and covariances alone, and is biased upwards on few rows: hold it against ``null_high`` in
    ``details``, the larger of the distances between two halves of ``x`` and of ``y`` (whole groups in one half), not
    against 0. It has no interval and no p-value; halves follow the rows' content, so ``seed`` changes nothing.
    """
    del seed
    pair = pool(x, y, groups)
    value = _between(pair.rows[pair.first], pair.rows[~pair.first])
    halves = sorted((_halves(pair, pair.first), _halves(pair, ~pair.first)))
    return Distance("frechet", value, value, details={"null_low": halves[0], "null_high": halves[1]})


def _halves(pair: Pair, side: np.ndarray) -> float:
    half = assigned_hands(pair, 2)
    return _between(pair.rows[side & (half == 0)], pair.rows[side & (half == 1)])


def _between(a: Float64[np.ndarray, "n d"], b: Float64[np.ndarray, "m d"]) -> float:
    means = a.mean(axis=0), b.mean(axis=0)
    first, second = shrunk_covariance(a - means[0]), shrunk_covariance(b - means[1])
    values, vectors = np.linalg.eigh(first)
    root = vectors * np.sqrt(np.maximum(values, 0))
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root.T @ second @ root), 0)).sum()
    apart = np.square(means[0] - means[1]).sum() + np.trace(first) + np.trace(second) - 2 * shared
    return max(0.0, float(apart))
