"""Nearest-neighbor probe: the two-sample statistic of Schilling 1986 and Henze 1988, and how the supports overlap.

Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020, eq. 3-4) take ``y`` as the
reference, the source, and ``x`` as what is held against it.
"""

import numpy as np
from jaxtyping import Bool, Float64, Int, Real

from recommender.distance.kernels import Groups, Pair, labelings, p_value, pool, squared_distances
from recommender.results import Distance
from registry.errors import TooManyNeighbors
from registry.features import Array, finite_rows
from registry.index import neighbors, other_neighbors

__all__ = ["knn_distance", "novelty"]

_BLOCK = 1024
_SLACK = 1 + 1e-6
"""Distances come in single precision; a row on the rim of a ball lies in it."""


def knn_distance(
    x: Real[Array, "n d"],
    y: Real[Array, "m e"],
    *,
    seed: int = 0,
    groups: Groups | None = None,
    k: int = 5,
    permutations: int = 200,
) -> Distance:
    """Share of the k nearest neighbors that are of a row's own cloud, above what one source would give.

    ``p_same`` permutes labels on the fixed graph of neighbors; rows of one group are never neighbors. ``k`` is lowered
    where a cloud has too few rows. No interval.

    ``details``: ``precision`` (share of ``x`` within the support of ``y``), ``recall`` (the other way round),
    ``density``, ``coverage``, and the 90 % band of the permuted statistic.

    Raises:
        TooManyNeighbors: ``k`` is below 1; else as `recommender.distance.DistanceFunction`.
    """
    if k < 1:
        raise TooManyNeighbors(k, len(np.asarray(x)))
    pair = pool(x, y, groups)
    near = other_neighbors(pair.rows, min(k, _most_neighbors(pair)), groups=pair.unit)[1]
    statistic = _same_side_excess(pair, near, pair.first[:, None])[0]
    permuted = _same_side_excess(pair, near, labelings(pair, permutations, seed))
    low, high = np.quantile(permuted, (0.05, 0.95))
    details = {"null_low": float(low), "null_high": float(high), **_overlap(pair, k)}
    p_same = p_value(float(statistic), permuted)
    return Distance("knn", max(0.0, float(statistic)), float(statistic), None, None, p_same, details)


def novelty(x: Real[Array, "n d"], y: Real[Array, "m e"], *, k: int = 5) -> Float64[np.ndarray, " n"]:
    """For each row of ``x``: percentile (0-100) of its distance to the k-th nearest row of the source ``y``.

    It is held against the leave-one-out distances of the rows of ``y`` themselves, in the column scale of ``y``.

    Raises:
        NotFinite: a NaN or infinite value.
        TooFewRows: ``y`` has fewer than two rows.
        WidthMismatch: the clouds differ in width.
        TooManyNeighbors: ``k`` is not below the rows of ``y``.
    """
    source, rows = finite_rows(y, "y").astype(np.float64), finite_rows(x, "x", least=1).astype(np.float64)
    spread = source.std(axis=0)
    scale = np.where(spread > 0, spread, 1)
    source, rows = source / scale, rows / scale
    own = np.sort(other_neighbors(source, k)[0][:, -1])
    reach = neighbors(rows, source, k)[0][:, -1]
    return np.asarray(100.0 * np.searchsorted(own, reach, side="left") / len(own))


def _most_neighbors(pair: Pair) -> int:
    return len(pair.rows) - int(pair.unit_sizes.max())


def _same_side_excess(
    pair: Pair, near: Int[np.ndarray, "N k"], labels: Bool[np.ndarray, "N b"]
) -> Float64[np.ndarray, " b"]:
    """Share of neighbors with a row's own label, less the share of all rows of other units that have it."""
    same = np.zeros(labels.shape[1])
    for column in near.T:
        same += (labels[column] == labels).mean(axis=0)
    return np.asarray(same / near.shape[1] - _expected_share(pair, labels))


def _expected_share(pair: Pair, labels: Bool[np.ndarray, "N b"]) -> Float64[np.ndarray, " b"]:
    """Probability that a row drawn from the other units has a row's own label, averaged over the rows."""
    size = pair.unit_sizes[pair.unit][:, None]
    ours = labels.sum(axis=0)
    mates = np.where(labels, ours, len(labels) - ours) - size
    return np.asarray((mates / (len(labels) - size)).mean(axis=0))


def _overlap(pair: Pair, k: int) -> dict[str, float]:
    x, y = pair.cloud(argument=0), pair.cloud(argument=1)
    k = min(k, len(x) - 1, len(y) - 1)
    reach_x, reach_y = (np.square(other_neighbors(c, k)[0][:, -1].astype(float) * _SLACK) for c in (x, y))
    inside_y, in_balls, hit_y = _balls(x, y, reach_y)
    inside_x, _, _ = _balls(y, x, reach_x)
    return {"precision": inside_y, "recall": inside_x, "density": in_balls / k, "coverage": hit_y}


def _balls(
    points: Float64[np.ndarray, "a d"], centers: Float64[np.ndarray, "b d"], squared_radii: Float64[np.ndarray, " b"]
) -> tuple[float, float, float]:
    """Share of points in any ball, mean number of balls a point lies in, share of balls with a point in them."""
    counts = np.zeros(len(points))
    hit = np.zeros(len(centers), bool)
    for start in range(0, len(points), _BLOCK):
        inside = squared_distances(points[start : start + _BLOCK], centers) <= squared_radii
        counts[start : start + _BLOCK] = inside.sum(axis=1)
        hit |= inside.any(axis=0)
    return float((counts > 0).mean()), float(counts.mean()), float(hit.mean())
