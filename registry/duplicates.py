"""Which items are alike: fingerprints compared by cosine, and nearer than rows of such data usually are.

A fixed bar calls two charts, forms or pages of one layout copies of each other, for what they share outweighs what
they say. A row's own kind tells how far apart such rows lie: the distance to its k-th neighbor, with k large enough
that the shots of a burst do not fill it (local scaling: Zelnik-Manor & Perona, "Self-tuning spectral clustering",
2004). A near copy lies within a share of that, and nearer than chance would bring a row: where rows vary in few
dimensions, as digits do, many have a neighbor within a quarter of the way.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from registry.modalities import Item, Modality

__all__ = ["Fingerprints"]

_LEAST_APART = 0.002
_SHARE = 0.25
"""How far near duplicates lie apart at most, as a share of the way to a row's k-th neighbor.

Of 25 kinds of data (photographs, scans, digits, charts, forms, pages of text) it leaves at most 4 % of the rows alike
by chance, but for pies of few wedges in the same colors, and finds 95 % of copies that were written anew; `_BY_CHANCE`
makes both less.
"""
_BY_CHANCE = 0.05
"""Rows that may be expected within the bar of a row by chance.

Of 3,000 digits (MNIST) it takes none of the training rows for copies of a test row, where a quarter of the way takes
169, and of Fashion-MNIST's 3,000 six for 261."""
_NEARER = 3
"""By what a nearer neighbor's k is smaller, beside which the k-th tells the dimension."""
_LEAST_K = 15
"""Least k of which neighbors tell in how many dimensions rows vary."""
_TINY = 1e-6
_NEIGHBORS = 0.05
_FEWEST_NEIGHBORS = 5
_FEW = 20
"""Rows below which their neighbors do not tell what is usual."""
_LOOKED_AT = 0.6
"""How far a row's nearest neighbor lies at most for its altered views to be looked at."""
_CANDIDATES = 256
"""The nearest of a row's others, to which its altered views are held: all of them would take seven times as long."""
_BLOCK = 1_024
_VIEWED = 256
"""Rows whose views are made at a time."""
_MOST_LINKS = 50
"""Links of a row that are kept, the nearest."""
_MOST = 0.1
"""Share of the rows beyond which a chain of likenesses is looked at more strictly: it may link what is not alike."""
_LEAST_MOST = 5
_STRICTEST = 16
"""How much nearer than the bar the rows of a large chain must lie at most, to stay together."""


@dataclass(frozen=True, eq=False)
class _Links:
    """Pairs of rows that are alike, ``one`` the later: how far apart, as a share of the bar."""

    one: Int[np.ndarray, " p"]
    other: Int[np.ndarray, " p"]
    apart: Float[np.ndarray, " p"]


@dataclass(frozen=True, eq=False)
class _Neighborhood:
    """Of each row the others that lie nearest, in no order, how far, and within which distance one is alike."""

    others: Int[np.ndarray, "n c"]
    apart: Float[np.ndarray, "n c"]
    bar: Float[np.ndarray, " n"]


def _no_views(rows: slice) -> Float[np.ndarray, "n v d"]:
    del rows
    return np.empty((0, 0, 0), np.float32)


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """Unit vectors, one an item; zero for an item with next to nothing in it, which is like no other."""

    vectors: Float[np.ndarray, "n d"]
    apart: float = 0.02
    """As `registry.modalities.Modality.copies_apart`."""
    views: Callable[[slice], Float[np.ndarray, "n v d"]] = _no_views
    """The fingerprints of some of the items, altered as copies are."""

    @classmethod
    def of(cls, items: Sequence[Item], modality: Modality) -> "Fingerprints":
        """Of items of a modality."""

        def views(rows: slice) -> Float[np.ndarray, "n v d"]:
            return modality.altered(items[rows])

        return cls(modality.fingerprints(items), modality.copies_apart, views)

    def repeated(self) -> Bool[np.ndarray, " n"]:
        """Rows that are like an earlier row."""
        repeated = np.zeros(len(self.vectors), bool)
        repeated[self._links.one] = True
        return repeated

    def like_any(self, others: Bool[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        """Rows that are like any of the others."""
        links, like = self._links, np.zeros(len(self.vectors), bool)
        like[links.one[others[links.other]]] = True
        like[links.other[others[links.one]]] = True
        return like

    def likest(self, rows: Int[np.ndarray, " r"], others: Int[np.ndarray, " s"]) -> Int[np.ndarray, " r"]:
        """Which of the others, of which there are two at least or none is among the rows, each row is most like."""
        likest, links = np.zeros(len(rows), np.int64), self._links
        for start in range(0, len(rows), _BLOCK):
            part = rows[start : start + _BLOCK]
            place = np.full(len(self.vectors), -1)
            place[part] = np.arange(len(part))
            near = self.vectors[part] @ self.vectors.T
            for one, other in ((links.one, links.other), (links.other, links.one)):
                here = place[one] >= 0
                near[place[one[here]], other[here]] = 3 - links.apart[here]  # before all that no link connects
            near = near[:, others]
            likest[start : start + _BLOCK] = others[np.where(part[:, None] == others, -np.inf, near).argmax(axis=1)]
        return likest

    def components(self) -> Int[np.ndarray, " n"]:
        """A number for each row, equal for rows that a chain of likenesses connects.

        A chain that holds more than a tenth of the rows is taken apart by a stricter bar, so that no drift from item to
        item swallows a sample; what even the strictest does not part is one item many times over.
        """
        rows = len(self.vectors)
        numbers, bar = self._linked(np.ones(rows, bool), 1.0), 1.0
        most = max(_LEAST_MOST, _MOST * rows)
        while bar > 1 / _STRICTEST:
            bar /= 2
            sizes = np.bincount(numbers, minlength=1)
            if sizes.max() <= most:
                break
            large = sizes[numbers] > most
            numbers = np.unique(np.where(large, rows + self._linked(large, bar), numbers), return_inverse=True)[1]
        return np.unique(numbers, return_inverse=True)[1].astype(np.int64).reshape(-1)

    def _linked(self, among: Bool[np.ndarray, " n"], bar: float) -> Int[np.ndarray, " n"]:
        """Connected components of all rows by the links among some that lie nearer than a share of the bar."""
        links, rows = self._links, len(self.vectors)
        kept = among[links.one] & among[links.other] & (links.apart <= bar)
        ends = links.one[kept], links.other[kept]
        graph = coo_array((np.ones(len(ends[0]), bool), ends), shape=(rows, rows))
        numbers: Int[np.ndarray, " n"] = connected_components(graph, directed=False)[1]
        return numbers.astype(np.int64)

    @cached_property
    def _links(self) -> _Links:
        """All pairs that are alike, as they are or where one is altered."""
        rows, near = len(self.vectors), self._neighborhood
        pairs: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for start in range(0, rows, _VIEWED):
            block = slice(start, min(start + _VIEWED, rows))
            others, apart = near.others[block], near.apart[block]
            looked_at = apart.min(axis=1, initial=1.0) < _LOOKED_AT
            views = self.views(block) if looked_at.any() else _no_views(block)
            for row in np.flatnonzero(looked_at) if views.size else ():
                altered = (views[row] @ self.vectors[others[row]].T).max(axis=0, initial=-1.0)
                apart[row] = np.minimum(apart[row], 1 - altered)
            bar = np.minimum(self.apart, np.minimum(near.bar[block, None], near.bar[others]))
            share = np.maximum(apart, 0) / np.maximum(_LEAST_APART, bar)
            if share.shape[1] > _MOST_LINKS:
                share[share > np.partition(share, _MOST_LINKS - 1, axis=1)[:, _MOST_LINKS - 1 : _MOST_LINKS]] = np.inf
            one, place = np.nonzero(share < 1)
            pairs.append((one + start, others[one, place], share[one, place]))
        ones, others, aparts = (np.concatenate(part) for part in zip(*pairs, strict=True)) if pairs else (_NONE,) * 3
        later, earlier = np.maximum(ones, others).astype(np.int64), np.minimum(ones, others).astype(np.int64)
        order = np.lexsort((aparts, earlier, later))
        later, earlier, aparts = later[order], earlier[order], aparts[order]
        first = np.r_[True, (np.diff(later) != 0) | (np.diff(earlier) != 0)][: len(later)]
        return _Links(later[first], earlier[first], aparts[first].astype(np.float64))

    @cached_property
    def _neighborhood(self) -> _Neighborhood:
        """The nearest of each row, and the bar that its k-th neighbor sets, as far as can be told."""
        rows = len(self.vectors)
        most, k = min(_CANDIDATES, rows - 1), max(_FEWEST_NEIGHBORS, int(np.ceil(_NEIGHBORS * rows)))
        others, aparts = np.empty((rows, max(0, most)), np.int64), np.empty((rows, max(0, most)), np.float32)
        bar = np.full(rows, _SHARE, np.float32)
        for start in range(0, rows if most > 0 else 0, _BLOCK):
            block = slice(start, min(start + _BLOCK, rows))
            apart = 1 - self.vectors[block] @ self.vectors.T
            apart[np.arange(len(apart)), np.arange(block.start, block.stop)] = np.inf
            others[block] = np.argpartition(apart, most - 1, axis=1)[:, :most]
            aparts[block] = np.take_along_axis(apart, others[block], axis=1)
            if rows >= _FEW:
                places = [max(1, k // _NEARER) - 1, k - 1]
                near, far = np.partition(apart, places, axis=1)[:, places].T
                bar[block] = far * (np.minimum(_SHARE, _chance_share(near, far, k)) if k >= _LEAST_K else _SHARE)
        return _Neighborhood(others, aparts, np.minimum(bar, _SHARE))


def _chance_share(near: Float[np.ndarray, " n"], far: Float[np.ndarray, " n"], k: int) -> Float[np.ndarray, " n"]:
    """The share of the way to the k-th neighbor within which `_BY_CHANCE` rows are expected.

    As many lie within a distance as its power by the dimension in which rows vary (Levina & Bickel, "Maximum likelihood
    estimation of intrinsic dimension", 2004), which the neighbors at ``near``, the k / `_NEARER`-th, and ``far`` tell.
    """
    farther = np.log(np.maximum(far, _TINY) / np.maximum(near, _TINY))
    power = np.log(k / (k // _NEARER)) / np.maximum(farther, _TINY)
    return np.asarray((_BY_CHANCE / k) ** (1 / power), np.float32)


_NONE = np.empty(0)
