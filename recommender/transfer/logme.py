"""LogME: the log evidence of a linear model with Gaussian prior and noise, per row, maximized over both variances.

You et al. 2021, "LogME: Practical Assessment of Pre-trained Models for Transfer Learning", eq. 2. Written in terms of
t = alpha / beta and of the covariance of the targets, y ~ N(0, (I + FF'/t) / beta): beta then has a closed form, what
is left is one smooth function of t, and no term can be forgotten where rows are fewer than columns.
"""

import numpy as np
from jaxtyping import Float64, Real, Shaped

from recommender.transfer.decomposition import Decomposition, decompose
from recommender.transfer.targets import group_numbers, read_targets
from registry.cards import Task
from registry.features import Array

__all__ = ["logme"]

_GRID = np.arange(-27.0, 27.1, 0.5)
"""Where log t is searched, about the mean squared singular value."""
_GOLDEN = (np.sqrt(5) - 1) / 2
_STEPS = 24


def logme(
    features: Real[Array, "n d"] | Decomposition, labels: Shaped[Array, "m ..."], *,
    groups: Shaped[Array, " g"] | None = None,
) -> float:  # fmt: skip
    """Mean over classes (one against the rest), labels or targets of the maximized log evidence per row.

    Columns of ``features`` are standardized. There is no intercept, as in the paper: center a regression target that
    lies far from 0. Nothing is left out, so ``groups`` change nothing.

    Raises:
        NotFinite: a NaN or infinite value.
        TooFewRows: fewer than two rows.
        SingleClass: all rows are of one class.
        NoVariation: all rows of features, or all targets, are identical.
        LengthMismatch: labels or groups are not as many as the rows.
        UnusableLabels: labels of mixed kinds, or missing ones.
    """
    thin = decompose(features)
    group_numbers(groups, len(thin.rows))
    columns = read_targets(labels, len(thin.rows), "logme", tuple(Task)).columns
    explained = np.square(thin.project(columns))
    rest = np.maximum(np.square(columns).sum(axis=0) - explained.sum(axis=0), 0)
    return float(_maximized(thin.squares, explained, rest, len(columns)).mean() / len(columns))


def _maximized(
    squares: Float64[np.ndarray, " k"], explained: Float64[np.ndarray, "k c"], rest: Float64[np.ndarray, " c"],
    rows: int,
) -> Float64[np.ndarray, " c"]:  # fmt: skip
    """The highest evidence of each target: the best of a grid over log t, narrowed by golden section."""
    center = np.log(squares.mean())
    grid = _on_grid(center + _GRID, squares, explained, rest, rows)
    best = center + _GRID[grid.argmax(axis=0)]
    low, high = best - 0.5, best + 0.5
    for _ in range(_STEPS):
        reach = _GOLDEN * (high - low)
        left, right = high - reach, low + reach
        rising = _evidence(left, squares, explained, rest, rows) < _evidence(right, squares, explained, rest, rows)
        low, high = np.where(rising, left, low), np.where(rising, high, right)
    return np.asarray(np.maximum(grid.max(axis=0), _evidence((low + high) / 2, squares, explained, rest, rows)))


def _on_grid(
    log_t: Float64[np.ndarray, " t"], squares: Float64[np.ndarray, " k"], explained: Float64[np.ndarray, "k c"],
    rest: Float64[np.ndarray, " c"], rows: int,
) -> Float64[np.ndarray, "t c"]:  # fmt: skip
    ratio = squares / np.exp(log_t)[:, None]
    quadratic = rest + (1 / (1 + ratio)) @ explained
    return _gaussian(quadratic, np.log1p(ratio).sum(axis=1)[:, None], rows)


def _evidence(
    log_t: Float64[np.ndarray, " c"], squares: Float64[np.ndarray, " k"], explained: Float64[np.ndarray, "k c"],
    rest: Float64[np.ndarray, " c"], rows: int,
) -> Float64[np.ndarray, " c"]:  # fmt: skip
    """Each target at its own t."""
    ratio = squares[:, None] / np.exp(log_t)
    return _gaussian(rest + (explained / (1 + ratio)).sum(axis=0), np.log1p(ratio).sum(axis=0), rows)


def _gaussian(
    quadratic: Float64[np.ndarray, "*t c"], log_determinant: Float64[np.ndarray, "*t #c"], rows: int
) -> Float64[np.ndarray, "*t c"]:
    """Log density of n targets at the best noise variance, quadratic / n."""
    variance = np.maximum(quadratic / rows, np.finfo(np.float64).tiny)
    return np.asarray(-0.5 * (rows * (np.log(2 * np.pi * variance) + 1) + log_determinant))
