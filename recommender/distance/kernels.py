"""What the distances share: two clouds pooled in an order of their own, blocked kernel sums, permutations, intervals.

A `Pair` holds the rows of both clouds ordered by content, and names as its first cloud the one that comes first by
its own content. Whatever is computed from a pair is therefore symmetric and blind to the order of the rows, to the
last bit.

All tests move whole *units*: a group where groups are given, else a row. Pairs of rows within one unit say nothing of
how two draws differ, so every sum leaves them out; without groups that is the diagonal, and the statistic eq. 3 of
Gretton et al. 2012.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Real, Shaped

from registry.errors import NoVariation, WidthMismatch
from registry.features import Array, content_order, finite_rows, numbered
from registry.metrics import Z

__all__ = [
    "Groups",
    "Kernel",
    "Pair",
    "Scaling",
    "TwoSample",
    "assigned_hands",
    "fixed_scale",
    "labelings",
    "median_distance",
    "p_value",
    "pool",
    "squared_distances",
    "two_sample",
]

Groups = tuple[Shaped[Array, " p"], Shaped[Array, " q"]]
Scaling = tuple[Float[np.ndarray, " f"], Float[np.ndarray, " g"]]
"""Column means and column scales."""
Kernel = Callable[[Float64[np.ndarray, "a b"]], Float64[np.ndarray, "a b"]]
"""Squared distances to kernel values; may write into its argument."""

_BLOCK = 1024
_TIE = 1e-12
_MEDIAN_ROWS = 1000


@dataclass(frozen=True, eq=False)
class Pair:
    """Two clouds pooled and standardized, in an order that follows the rows' content."""

    rows: Float64[np.ndarray, "N d"]
    first: Bool[np.ndarray, " N"]
    """True where the row is the first cloud's."""
    unit: Int[np.ndarray, " N"]
    """The row's group, numbered in order of appearance; its own number where there are no groups."""
    swapped: bool
    """True where the first cloud is the second argument."""

    @cached_property
    def unit_first(self) -> Bool[np.ndarray, " G"]:
        """True where the unit is the first cloud's."""
        in_first = np.zeros(int(self.unit.max()) + 1, bool)
        in_first[self.unit] = self.first
        return in_first

    @cached_property
    def unit_sizes(self) -> Float64[np.ndarray, " G"]:
        """Rows of each unit."""
        return np.bincount(self.unit).astype(float)

    def cloud(self, *, argument: int) -> Float64[np.ndarray, "n d"]:
        """The rows of the first (0) or second (1) argument."""
        return np.asarray(self.rows[self.first == (argument == int(self.swapped))])


@dataclass(frozen=True, eq=False)
class TwoSample:
    """A two-sample U-statistic with its jackknife standard error and its values under permutation."""

    statistic: float
    standard_error: float
    permuted: Float64[np.ndarray, " B"]
    within_first: float
    within_second: float
    between: float

    @property
    def p_same(self) -> float:
        """How often a permutation does at least as well."""
        return p_value(self.statistic, self.permuted, abs(self.within_first) + abs(self.within_second))

    @property
    def interval(self) -> tuple[float, float]:
        """Normal 90 % interval, cut at 0; a negative statistic reaches up from 0."""
        reach = Z * self.standard_error
        return max(0.0, self.statistic - reach), max(0.0, self.statistic) + reach

    @property
    def null_band(self) -> dict[str, float]:
        """Where 90 % of the permuted statistics lie, to draw the null as a band."""
        low, high = np.quantile(self.permuted, (0.05, 0.95))
        return {"null_low": float(low), "null_high": float(high)}


def pool(
    x: Real[Array, "n d"],
    y: Real[Array, "m e"],
    groups: Groups | None = None,
    scale: Scaling | None = None,
) -> Pair:
    """Pool two clouds; ``scale`` is a fixed pair of column means and scales, else they are the pool's own.

    Raises:
        NotFinite: a NaN or infinite value.
        TooFewRows: fewer than two rows, or two groups, in a cloud.
        WidthMismatch: the clouds differ in width, or from the scale's.
        LengthMismatch: a cloud and its groups differ in length.
        NoVariation: all rows are identical.
    """
    clouds = finite_rows(x, "x"), finite_rows(y, "y")
    if clouds[0].shape[1] != clouds[1].shape[1]:
        raise WidthMismatch(clouds[0].shape[1], clouds[1].shape[1])
    units = (
        [np.arange(len(c)) for c in clouds]
        if groups is None
        else [_numbered(g, len(c), what) for g, c, what in zip(groups, clouds, "xy", strict=True)]
    )
    rows = np.concatenate([c.astype(np.float64, copy=False) for c in clouds])
    varies = (rows != rows[0]).any(axis=0)
    if not varies.any():
        raise NoVariation("x and y")
    rows = rows if scale is not None or varies.all() else rows[:, varies]
    unit = np.concatenate([units[0], units[1] + units[0].max() + 1])
    first = np.arange(len(rows)) < len(clouds[0])
    order = content_order(rows)
    swapped = _second_comes_first(rows[order], first[order])
    order = order[_equals_first(rows[order], first[order] != swapped)]
    return Pair(_standardized(rows[order], scale), first[order] != swapped, _by_appearance(unit[order]), swapped)


def fixed_scale(width: int, mean: Float[Array, " f"] | None, scale: Float[Array, " g"] | None) -> Scaling:
    """Column means and scales that are given, 0 and 1 where they are not."""
    return (
        np.zeros(width) if mean is None else np.asarray(mean, np.float64),
        np.ones(width) if scale is None else np.asarray(scale, np.float64),
    )


def labelings(pair: Pair, count: int, seed: int) -> Bool[np.ndarray, "N B"]:
    """Random labelings, True for the first cloud: whole units move, each cloud keeps its number of units."""
    random = np.random.default_rng(seed)
    shuffled = random.permuted(np.tile(pair.unit_first, (count, 1)), axis=1)
    return shuffled[:, pair.unit].T


def assigned_hands(pair: Pair, hands: int) -> Int[np.ndarray, " N"]:
    """A number below ``hands`` for each row: units dealt in the order of their content, each cloud for itself."""
    hand = np.empty(len(pair.unit_first), int)
    for side in (pair.unit_first, ~pair.unit_first):
        hand[side] = np.arange(side.sum()) % hands
    return np.asarray(hand[pair.unit])


def median_distance(pair: Pair) -> float:
    """Median Euclidean distance of two different rows, over at most a thousand rows.

    Raises:
        NoVariation: those rows are identical.
    """
    rows = pair.rows[:: -(-len(pair.rows) // _MEDIAN_ROWS)]
    squared = squared_distances(rows, rows)[np.triu_indices(len(rows), 1)]
    apart = squared[squared > 1e-12 * squared.max()]
    if not len(apart):
        raise NoVariation("x and y")
    return float(np.sqrt(np.median(apart)))


def p_value(observed: float, permuted: Float64[np.ndarray, " B"], magnitude: float = 1.0) -> float:
    """(k + 1) / (B + 1), where k permutations reach the observed value, ties included (Phipson & Smyth 2010)."""
    reached = np.count_nonzero(permuted >= observed - _TIE * magnitude)
    return float((reached + 1) / (len(permuted) + 1))


def squared_distances(x: Float64[np.ndarray, "a d"], y: Float64[np.ndarray, "b d"]) -> Float64[np.ndarray, "a b"]:
    """Squared Euclidean distance of each row of ``x`` to each of ``y``."""
    left = np.column_stack([-2 * x, np.einsum("ij,ij->i", x, x), np.ones(len(x))])
    right = np.column_stack([y, np.ones(len(y)), np.einsum("ij,ij->i", y, y)])
    products = left @ right.T
    return np.asarray(np.maximum(products, 0, out=products))


def two_sample(pair: Pair, kernel: Kernel, *, permutations: int, seed: int) -> TwoSample:
    """E k(a, a') + E k(b, b') - 2 E k(a, b), unbiased, from one pass over the kernel matrix.

    Observed labels and all permutations are columns of one matrix S: the pass gives K S, and the sums of each
    labeling are the diagonal of S'KS.
    """
    labels = np.concatenate([pair.first[:, None], labelings(pair, permutations, seed)], axis=1).astype(np.float64)
    columns = np.concatenate([labels, np.ones((len(labels), 1))], axis=1)
    products = _kernel_products(pair, kernel, columns)
    to_all, to_first = products[:, -1], products[:, 0]
    inside = np.einsum("ij,ij->j", labels, products[:, :-1])
    outward = labels.T @ to_all
    sums = np.stack([inside, to_all.sum() - 2 * outward + inside, outward - inside])
    means = sums / _pair_counts(pair, labels)
    statistics = means[0] + means[1] - 2 * means[2]
    error = _jackknife_error(pair, to_first, to_all - to_first)
    return TwoSample(float(statistics[0]), error, statistics[1:], *(float(mean) for mean in means[:, 0]))


def _pair_counts(pair: Pair, labels: Float64[np.ndarray, "N b"]) -> Float64[np.ndarray, "3 b"]:
    """How many ordered pairs of rows of different units lie within each side, and between them."""
    sides = np.stack([labels, 1 - labels])
    sizes = sides.sum(axis=1)
    own = np.einsum("sij,i->sj", sides, pair.unit_sizes[pair.unit])
    return np.concatenate([sizes**2 - own, [sizes[0] * sizes[1]]])


def _kernel_products(pair: Pair, kernel: Kernel, columns: Float64[np.ndarray, "N c"]) -> Float64[np.ndarray, "N c"]:
    """K @ columns, with 0 for two rows of one unit; of two mirrored blocks of K only one is computed."""
    total = np.zeros_like(columns)
    spans = [slice(start, start + _BLOCK) for start in range(0, len(columns), _BLOCK)]
    for place, left in enumerate(spans):
        for right in spans[place:]:
            block = kernel(squared_distances(pair.rows[left], pair.rows[right]))
            _blank_units(block, pair.unit[left], pair.unit[right])
            total[left] += block @ columns[right]
            if left != right:
                total[right] += block.T @ columns[left]
    return total


def _blank_units(block: Float64[np.ndarray, "a b"], left: Int[np.ndarray, " a"], right: Int[np.ndarray, " b"]) -> None:
    """Write 0 where both rows are of one unit."""
    shared = np.intersect1d(left, right)
    if len(shared):
        block[left[:, None] == right[None, :]] = 0


def _jackknife_error(pair: Pair, to_first: Float64[np.ndarray, " N"], to_second: Float64[np.ndarray, " N"]) -> float:
    """Standard error of the statistic when one unit at a time is left out (Arvesen 1969, two samples)."""
    units = len(pair.unit_sizes)
    sums = np.stack([np.bincount(pair.unit, weights, units) for weights in (to_first, to_second)])
    return float(
        np.sqrt(
            sum(
                _variance_of_side(pair.unit_sizes, side, sums[own], sums[1 - own])
                for own, side in enumerate((pair.unit_first, ~pair.unit_first))
            )
        )
    )


def _variance_of_side(
    sizes: Float64[np.ndarray, " G"],
    side: Bool[np.ndarray, " G"],
    to_own: Float64[np.ndarray, " G"],
    to_other: Float64[np.ndarray, " G"],
) -> float:
    """Jackknife variance over the units of one side; what does not depend on them is left out."""
    mine, rows, others = sizes[side], sizes[side].sum(), sizes[~side].sum()
    pairs = rows**2 - (mine**2).sum()
    left_pairs = pairs - 2 * mine * (rows - mine)
    inside = to_own[side].sum()
    within = np.where(left_pairs > 0, (inside - 2 * to_own[side]) / np.maximum(left_pairs, 1), inside / pairs)
    between = (to_other[side].sum() - to_other[side]) / ((rows - mine) * others)
    without = within - 2 * between
    return float((len(mine) - 1) / len(mine) * np.square(without - without.mean()).sum())


def _numbered(groups: Shaped[Array, " p"], rows: int, what: str) -> Int[np.ndarray, " n"]:
    return numbered(groups, rows, f"{what} and its groups", f"groups of {what}")


def _second_comes_first(rows: Float64[np.ndarray, "N d"], first: Bool[np.ndarray, " N"]) -> bool:
    """Whether the second cloud is the smaller, or at equal size has the first row that is its alone."""
    if 2 * first.sum() != len(first):
        return bool(2 * first.sum() > len(first))
    alone = np.concatenate([[True], (rows[1:] != rows[:-1]).any(axis=1)])
    alone &= np.append(alone[1:], True)
    return bool(not first[alone.argmax()]) if alone.any() else False


def _equals_first(rows: Float64[np.ndarray, "N d"], first: Bool[np.ndarray, " N"]) -> Int[np.ndarray, " N"]:
    """Of equal rows, which come one after the other, the first cloud's before the second's."""
    run = np.cumsum(np.concatenate([[0], (rows[1:] != rows[:-1]).any(axis=1)]))
    return np.lexsort((~first, run))


def _by_appearance(unit: Int[np.ndarray, " N"]) -> Int[np.ndarray, " N"]:
    _, place, number = np.unique(unit, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(place))[number]


def _standardized(rows: Float64[np.ndarray, "N d"], scale: Scaling | None) -> Float64[np.ndarray, "N d"]:
    """The rows standardized in place; a column that varies by rounding alone becomes 0."""
    if scale is None:
        mean, spread = rows.mean(axis=0), rows.std(axis=0)
        scale = mean, np.where(spread > 1e-12 * np.abs(mean), spread, np.inf)
    if len(scale[0]) != rows.shape[1] or len(scale[1]) != rows.shape[1]:
        raise WidthMismatch(rows.shape[1], len(scale[0]))
    rows -= scale[0]
    rows /= scale[1]
    return rows
