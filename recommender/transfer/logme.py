"""LogME with an intercept: the log evidence of a Bayesian linear model, per row, maximized over both its variances.

You et al. 2021, "LogME: Practical Assessment of Pre-trained Models for Transfer Learning", eq. 2, on what is left of a
target y when its mean is taken out: y = m 1 + F w + e, w ~ N(0, I / alpha), e ~ N(0, I / beta), m anything. Averaging
over a flat prior of m (Patterson & Thompson 1971, "Recovery of inter-block information when block sizes are unequal")
leaves a Gaussian of n - 1 dimensions, Q'y ~ N(0, (I + Q'FF'Q / t) / beta) with t = alpha / beta and Q any orthonormal
basis of what is orthogonal to 1: features and targets are centered, and one degree of freedom is spent. The paper's
model has no m: on centered features, which cannot carry it, the mean of a 0/1 target would be noise to every checkpoint
(with two balanced classes half of the target's energy).

beta has a closed form, what remains is one smooth function of t, and no term can be forgotten where rows are fewer than
columns.
"""

import numpy as np
from jaxtyping import Float64, Real, Shaped

from recommender.transfer.decomposition import Decomposition, decompose
from recommender.transfer.targets import group_numbers, parse_targets
from registry.cards import Task
from registry.features import Array
from registry.targets import Targets

__all__ = ["logme"]

_GRID = np.arange(-27.0, 27.1, 0.5)
"""Where log t is searched, about the mean squared singular value."""
_GOLDEN = (np.sqrt(5) - 1) / 2
_STEPS = 24
_PRECISION = np.finfo(np.float64).eps


def logme(
    features: Real[Array, "n d"] | Decomposition,
    targets: Targets | Shaped[Array, "m ..."],
    *,
    groups: Shaped[Array, " g"] | None = None,
) -> float:
    """Mean over classes (one against the rest), labels or targets of the maximized log evidence per row.

    Columns of ``features`` are standardized, targets centered: a constant added to either changes nothing. A target
    in another unit, ``s`` times as large, adds -log(s) (n - 1) / n to the score of every checkpoint alike. Labels that
    all or no rows have are the intercept's and do not count. Nothing is left out, so ``groups`` change nothing.
    """
    thin = decompose(features)
    rows = len(thin.rows)
    group_numbers(groups, rows)
    columns = parse_targets(targets, rows, "logme", tuple(Task)).columns
    columns = columns[:, (columns != columns[0]).any(axis=0)]
    centered = columns - columns.mean(axis=0)
    unit = np.abs(centered).max(axis=0)
    centered /= unit
    energy, explained = np.square(centered).sum(axis=0), np.square(thin.project(centered))
    rest = np.maximum(energy - explained.sum(axis=0), rows * _PRECISION * energy)
    evidence = _maximized(thin.squares, explained, rest, rows - 1) - (rows - 1) * np.log(unit)
    return float(evidence.mean() / rows)


def _maximized(
    squares: Float64[np.ndarray, " k"],
    explained: Float64[np.ndarray, "k c"],
    rest: Float64[np.ndarray, " c"],
    freedom: int,
) -> Float64[np.ndarray, " c"]:
    """The highest evidence of each target: the best of a grid over log t, narrowed by golden section."""
    center = np.log(squares.mean())
    grid = _on_grid(center + _GRID, squares, explained, rest, freedom)
    best = center + _GRID[grid.argmax(axis=0)]
    problem = squares, explained, rest, freedom
    low, high = best - 0.5, best + 0.5
    for _ in range(_STEPS):
        reach = _GOLDEN * (high - low)
        left, right = high - reach, low + reach
        rising = _evidence(left, *problem) < _evidence(right, *problem)
        low, high = np.where(rising, left, low), np.where(rising, high, right)
    return np.asarray(np.maximum(grid.max(axis=0), _evidence((low + high) / 2, *problem)))


def _on_grid(
    log_t: Float64[np.ndarray, " t"],
    squares: Float64[np.ndarray, " k"],
    explained: Float64[np.ndarray, "k c"],
    rest: Float64[np.ndarray, " c"],
    freedom: int,
) -> Float64[np.ndarray, "t c"]:
    ratio = squares / np.exp(log_t)[:, None]
    quadratic = rest + (1 / (1 + ratio)) @ explained
    return _gaussian(quadratic, np.log1p(ratio).sum(axis=1)[:, None], freedom)


def _evidence(
    log_t: Float64[np.ndarray, " c"],
    squares: Float64[np.ndarray, " k"],
    explained: Float64[np.ndarray, "k c"],
    rest: Float64[np.ndarray, " c"],
    freedom: int,
) -> Float64[np.ndarray, " c"]:
    """Each target at its own t."""
    ratio = squares[:, None] / np.exp(log_t)
    return _gaussian(rest + (explained / (1 + ratio)).sum(axis=0), np.log1p(ratio).sum(axis=0), freedom)


def _gaussian(
    quadratic: Float64[np.ndarray, "*t c"], log_determinant: Float64[np.ndarray, "*t #c"], freedom: int
) -> Float64[np.ndarray, "*t c"]:
    """Log density of so many degrees of freedom at the best noise variance, quadratic / freedom."""
    return np.asarray(-0.5 * (freedom * (np.log(2 * np.pi / freedom * quadratic) + 1) + log_determinant))
