"""Which items are alike: fingerprints compared by cosine, the bar higher where all items of a set share one outline."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

__all__ = ["Fingerprints"]

_APART = 0.02
_LEAST_APART = 0.002
_FEW = 20
_BLOCK = 1_024
_MOST = 0.1
"""Share of the rows beyond which a chain of likenesses is looked at more strictly: it may link what is not alike."""
_LEAST_MOST = 5
_STRICTEST = 16
"""How much nearer than the bar the rows of a large chain must lie at most, to stay together."""


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """Unit vectors, one an item; zero for an item with next to nothing in it, which is like no other."""

    vectors: Float[np.ndarray, "n d"]

    def repeated(self) -> Bool[np.ndarray, " n"]:
        """Rows that are like an earlier row."""
        repeated = np.zeros(len(self.vectors), bool)
        for start in range(0, len(repeated), _BLOCK):
            rows = self.vectors[start : start + _BLOCK]
            near = rows @ self.vectors[: start + len(rows)].T > self._bar
            repeated[start : start + _BLOCK] = np.tril(near, start - 1).any(axis=1)
        return repeated

    def also_in(self, others: "Fingerprints") -> Bool[np.ndarray, " n"]:
        """Rows that are like any row of the others."""
        shared = np.zeros(len(self.vectors), bool)
        if not len(others.vectors):
            return shared
        for start in range(0, len(shared), _BLOCK):
            near = self.vectors[start : start + _BLOCK] @ others.vectors.T > self._bar
            shared[start : start + _BLOCK] = near.any(axis=1)
        return shared

    def likest(self, rows: Int[np.ndarray, " r"], others: Int[np.ndarray, " s"]) -> Int[np.ndarray, " r"]:
        """Which of the others, of which there are two at least or none is among the rows, each row is most like."""
        likest = np.zeros(len(rows), np.int64)
        for start in range(0, len(rows), _BLOCK):
            part = rows[start : start + _BLOCK]
            near = self.vectors[part] @ self.vectors[others].T
            likest[start : start + _BLOCK] = others[np.where(part[:, None] == others, -np.inf, near).argmax(axis=1)]
        return likest

    def components(self) -> Int[np.ndarray, " n"]:
        """A number for each row, equal for rows that a chain of likenesses connects.

        A chain that holds more than a tenth of the rows is taken apart by a stricter bar, so that no drift from item to
        item swallows a sample; what even the strictest does not part is one item many times over.
        """
        numbers, apart = self._linked(np.arange(len(self.vectors)), 1 - self._bar), 1 - self._bar
        most, strictest = max(_LEAST_MOST, _MOST * len(numbers)), apart / _STRICTEST
        while apart > strictest:
            apart /= 2
            large = np.flatnonzero(np.bincount(numbers) > most) if len(numbers) else ()
            for number in large:
                rows = np.flatnonzero(numbers == number)
                numbers[rows] = numbers.max() + 1 + self._linked(rows, apart)
        return np.unique(numbers, return_inverse=True)[1].astype(np.int64).reshape(-1)

    def _linked(self, rows: Int[np.ndarray, " r"], apart: float) -> Int[np.ndarray, " r"]:
        """Connected components among some rows that link where they lie nearer than ``apart``."""
        vectors, numbers = self.vectors[rows], np.arange(len(rows))
        for start in range(0, len(rows), _BLOCK):
            near = np.tril(vectors[start : start + _BLOCK] @ vectors[: start + _BLOCK].T > 1 - apart, start - 1)
            one, other = np.nonzero(near)
            ends = np.concatenate([one + start, np.arange(len(rows))]), np.concatenate([other, numbers])
            links = coo_array((np.ones(len(ends[0]), bool), ends), shape=(len(rows), len(rows)))
            numbers = connected_components(links, directed=False)[1]
            numbers = np.unique(numbers, return_index=True)[1][numbers]  # a component is named by its first row
        return numbers.astype(np.int64)

    @property
    def _bar(self) -> float:
        """The cosine from which two rows are alike; 1 - |mean|^2 is how far random rows lie apart on average."""
        if len(self.vectors) < _FEW:
            return 1 - _APART
        return 1 - max(_LEAST_APART, _APART * (1 - float(np.square(self.vectors.mean(axis=0)).sum())))
