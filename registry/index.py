"""Nearest neighbors, exact: of rows, and of a domain among all that are known. Nothing else speaks FAISS."""

import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal

import faiss
import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int64, Shaped

from registry.errors import NotFinite, TooManyNeighbors, WidthMismatch
from registry.files import replacing

__all__ = ["DomainIndex", "neighbors", "other_neighbors"]

_FLAT_FLOATS = 4_000_000
"""Numbers of all embeddings up to which all of them are measured."""
_COMPONENTS = 64
_FITTED_ON = 4096
_ADDED_AT_ONCE = 8192
_LISTED = 200_000
"""Embeddings from which on their components lie in lists, of which the nearest few are read: FAISS's inverted file."""
_FITTED_A_LIST = 40
_FEWEST_LISTS, _SPARE = 4, 4
"""Lists that are read at least, and how many times as many as the points took on which that was measured."""
_OF_LISTS = 0.1
"""Share of the re-ranked beyond which so many nearest are asked for that all lists are read."""
_TIES = 32
"""Embeddings beyond the nearest that are measured in float64, to order what float32 cannot tell apart."""
_RERANKED = 1000
"""Embeddings that are measured whole at least, the nearest by their leading components."""
_RECALL, _QUERIES, _NEAREST = 0.99, 8, 10
"""Share of so many nearest that the re-ranked must hold, on as many points between embeddings."""
_ROUNDING, _FLOAT32 = 1e-5, 1e-6
_ROWS_AT_ONCE = 1024


def neighbors(
    x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"], k: int, *, metric: Literal["l2", "cosine"] = "l2"
) -> tuple[Float32[np.ndarray, "n k"], Int64[np.ndarray, "n k"]]:
    """For each row of ``x`` the ``k`` nearest rows of ``y``, nearest first: distances and row numbers.

    Distances are Euclidean, or 1 - cosine. Exact: FAISS's flat index.

    Raises:
        TooManyNeighbors: ``k`` is larger than ``y`` has rows.
        NotFinite: a NaN or infinite value.
    """
    if not 0 < k <= len(y):
        raise TooManyNeighbors(k, len(y))
    queries, base = _sound(x, "x"), _sound(y, "y")
    if metric == "cosine":
        queries, base = _unit(queries), _unit(base)
    index = faiss.IndexFlatL2(base.shape[1])
    index.add(base)
    squares, rows = index.search(queries, k)
    squares = np.maximum(squares, 0)
    return (squares / 2 if metric == "cosine" else np.sqrt(squares)), rows


def other_neighbors(
    x: Float[np.ndarray, "n d"],
    k: int,
    *,
    groups: Shaped[np.ndarray, " n"] | None = None,
    metric: Literal["l2", "cosine"] = "l2",
) -> tuple[Float32[np.ndarray, "n k"], Int64[np.ndarray, "n k"]]:
    """Leave-one-out: for each row the ``k`` nearest other rows; with ``groups``, rows of other groups only. Exact.

    Raises:
        TooManyNeighbors: some row has fewer than ``k`` others.
        NotFinite: a NaN or infinite value.
    """
    unit = np.arange(len(x)) if groups is None else np.unique(groups, return_inverse=True)[1]
    largest = int(np.bincount(unit).max(initial=0))
    if not 0 < k <= len(x) - largest:
        raise TooManyNeighbors(k, len(x) - largest)
    rows = _unit(_sound(x, "x")) if metric == "cosine" else _sound(x, "x")
    squares, near = _search_each_other(rows, unit, k)
    return (squares / 2 if metric == "cosine" else np.sqrt(squares)), near


class DomainIndex:
    """Embeddings by number, and the nearest of them.

    Few are scanned whole by FAISS's flat index. Many are scanned on their leading principal components, and the nearest
    by these measured whole (FAISS's re-ranking index): as many as it takes to hold `_RECALL` of the nearest, which is
    measured when the components are fitted; all, where that does not do.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self._index: Any = faiss.IndexIDMap2(faiss.IndexFlatL2(width))
        self._leading: _Leading | None = None

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def numbers(self) -> Int64[np.ndarray, " n"]:
        """The numbers of the embeddings, in the order of their coming."""
        return np.asarray(faiss.vector_to_array(self._index.id_map), dtype=np.int64)

    @property
    def vectors(self) -> Float32[np.ndarray, "n e"]:
        """The embeddings themselves, not copied; only good until the next change."""
        flat = faiss.rev_swig_ptr(self._flat.get_xb(), len(self) * self.width)
        return np.asarray(flat.reshape(len(self), self.width))

    def add(self, numbers: Sequence[int] | Int64[np.ndarray, " n"], vectors: Float[np.ndarray, "n e"]) -> None:
        """Add embeddings under new numbers.

        Raises:
            NotFinite: a NaN or infinite value, with its number.
            WidthMismatch: they are not as wide as the index.
        """
        if vectors.shape[1] != self.width:
            raise WidthMismatch(vectors.shape[1], self.width)
        fresh = _sound(vectors, "an embedding")
        self._index.add_with_ids(fresh, np.asarray(numbers, dtype=np.int64))
        if self._leading is not None:
            self._leading.add(fresh)

    def remove(self, numbers: Sequence[int] | Int64[np.ndarray, " n"]) -> None:
        """Remove the embeddings of those numbers."""
        self._index.remove_ids(np.asarray(numbers, dtype=np.int64))
        self._leading = None

    def search(
        self, query: Float[np.ndarray, " e"], k: int, *, among: Int64[np.ndarray, " m"] | None = None
    ) -> tuple[Float64[np.ndarray, " k"], Int64[np.ndarray, " k"]]:
        """Squared distances and numbers of the ``k`` nearest, or as many as there are ``among`` these, nearest first.

        Ties come by number.

        Raises:
            TooManyNeighbors: ``k`` is larger than the index.
            WidthMismatch: the query is not as wide as the index.
            NotFinite: the query has a NaN or infinite value.
        """
        if not 0 < k <= len(self):
            raise TooManyNeighbors(k, len(self))
        if len(query) != self.width:
            raise WidthMismatch(len(query), self.width)
        point = _sound(query[None], "the query")[0]
        if among is None:
            places, squares = self._nearest(point, k)
        else:
            places, squares = self._nearest_among(point, k, np.flatnonzero(np.isin(self.numbers, among)))
        numbers = self.numbers[places]
        order = np.lexsort([numbers, squares])[:k]
        return squares[order], numbers[order]

    def save(self, path: Path, stamp: str) -> None:
        """Write it atomically, with a checksum and a stamp that says what it was made of.

        Raises:
            DiskFull: there is no room; nothing is left of it.
        """
        numbers, vectors = self.numbers, self.vectors
        starts = range(0, len(self), _ADDED_AT_ONCE)
        parts = [numbers.data, *(vectors[start : start + _ADDED_AT_ONCE].data for start in starts)]
        sum_of_all = 0
        for part in parts:
            sum_of_all = zlib.crc32(part, sum_of_all)
        head = {"stamp": stamp, "rows": len(self), "width": self.width, "crc32": sum_of_all}
        with replacing(path, numbers.nbytes + vectors.nbytes) as partial, partial.open("wb") as file:
            file.write(json.dumps(head).encode() + b"\n")
            for part in parts:
                file.write(part)

    @classmethod
    def load(cls, path: Path, stamp: str) -> "DomainIndex | None":
        """What `save` wrote under that stamp; None where it is missing, damaged or made of something else."""
        try:
            with path.open("rb") as file:
                head = json.loads(file.readline(4096))
                rows, width = int(head["rows"]), int(head["width"])
                if head["stamp"] != stamp or path.stat().st_size != file.tell() + rows * (8 + 4 * width):
                    return None
                loaded = cls(width)
                if loaded._read(file, rows) != head["crc32"]:
                    return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return loaded

    def _read(self, file: BinaryIO, rows: int) -> int:
        """Add what lies in a file; the checksum of it."""
        content = file.read(8 * rows)
        numbers, sum_of_all = np.frombuffer(content, np.int64), zlib.crc32(content)
        for start in range(0, rows, _ADDED_AT_ONCE):
            some = numbers[start : start + _ADDED_AT_ONCE]
            content = file.read(4 * self.width * len(some))
            sum_of_all = zlib.crc32(content, sum_of_all)
            self._index.add_with_ids(np.frombuffer(content, np.float32).reshape(len(some), self.width), some)
        return sum_of_all

    def _nearest(
        self, point: Float32[np.ndarray, " e"], k: int
    ) -> tuple[Int64[np.ndarray, " m"], Float64[np.ndarray, " m"]]:
        """Places and exact squared distances of at least the ``k`` nearest."""
        taken = min(len(self), k + _TIES)
        index = self._flat if self.vectors.size <= _FLAT_FLOATS else self._reranking(taken)
        places = index.search(point[None], taken)[1][0]
        if (places < 0).any():  # the lists that were read hold fewer
            places = self._flat.search(point[None], taken)[1][0]
        return places, self._squares(point, places)

    def _nearest_among(
        self, point: Float32[np.ndarray, " e"], k: int, allowed: Int64[np.ndarray, " m"]
    ) -> tuple[Int64[np.ndarray, " m"], Float64[np.ndarray, " m"]]:
        """The same among the places that are allowed.

        Few are all measured; of many, more and more of the nearest of all are taken, until enough of them are allowed.
        """
        taken = 2 * k * len(self) // max(1, allowed.size)
        while allowed.size * self.width > _FLAT_FLOATS and taken < allowed.size:
            places, squares = self._nearest(point, taken)
            kept = np.isin(places, allowed)
            if np.count_nonzero(kept) >= k:
                return places[kept], squares[kept]
            taken *= 4
        return allowed, self._squares(point, allowed)

    def _squares(self, point: Float32[np.ndarray, " e"], places: Int64[np.ndarray, " m"]) -> Float64[np.ndarray, " m"]:
        spans = [places[start : start + _ADDED_AT_ONCE] for start in range(0, len(places), _ADDED_AT_ONCE)]
        parts = [np.square(self.vectors[span].astype(np.float64) - point).sum(axis=1) for span in spans]
        return np.concatenate([np.empty(0), *parts])

    def _reranking(self, taken: int) -> Any:  # noqa: ANN401 - as above
        """FAISS's index that finds so many by leading components; the flat one where these leave too much open."""
        if self._leading is None or len(self) > 2 * self._leading.fitted:
            self._leading = _Leading(self._flat, self.vectors)
        return self._leading.over(self._flat, taken)

    @property
    def _flat(self) -> Any:  # noqa: ANN401 - FAISS's types do not say what is inside
        return faiss.downcast_index(self._index.index)


class _Leading:
    """The leading principal components of embeddings, and how many of the nearest by these are to be re-ranked."""

    def __init__(self, flat: Any, vectors: Float32[np.ndarray, "n e"]) -> None:  # noqa: ANN401 - FAISS has no types
        self.fitted = len(vectors)
        lists = round(len(vectors) ** 0.5) if len(vectors) >= _LISTED else 0
        kind = f"IVF{lists},Flat" if lists else "Flat"
        self._index = faiss.index_factory(flat.d, f"PCA{min(_COMPONENTS, flat.d)},{kind}")
        self._lists = faiss.extract_index_ivf(self._index) if lists else None
        self._read = lists
        fitted_on = max(_FITTED_ON, _FITTED_A_LIST * lists)
        self._index.train(np.ascontiguousarray(vectors[:: max(1, len(vectors) // fitted_on)]))
        self.add(vectors)
        self._reranked = self._enough(flat, vectors)

    def add(self, vectors: Float32[np.ndarray, "n e"]) -> None:
        for start in range(0, len(vectors), _ADDED_AT_ONCE):
            self._index.add(vectors[start : start + _ADDED_AT_ONCE])

    def over(self, flat: Any, taken: int) -> Any:  # noqa: ANN401 - as above
        """The index that re-ranks by ``flat``; that itself where half of all would be measured anyway."""
        wanted = max(self._reranked, taken)
        if self._lists is not None:
            self._lists.nprobe = self._read if taken <= _OF_LISTS * self._reranked else self._lists.nlist
        return flat if wanted >= flat.ntotal // 2 else self._reranking(flat, wanted / taken)

    def _enough(self, flat: Any, vectors: Float32[np.ndarray, "n e"]) -> int:  # noqa: ANN401 - as above
        """How many must be re-ranked for the recall that is asked for."""
        pairs = np.random.default_rng(0).integers(0, len(vectors), (_QUERIES, 2))
        queries = np.ascontiguousarray((vectors[pairs[:, 0]] + vectors[pairs[:, 1]]) / 2)
        exact, reranked = flat.search(queries, _NEAREST)[0][:, -1:], _RERANKED
        limits = exact * (1 + _ROUNDING) + _FLOAT32 * float(np.square(queries).sum(axis=1).max())

        def enough() -> bool:
            squares = self._reranking(flat, reranked / _NEAREST).search(queries, _NEAREST)[0]
            return bool((squares <= limits).mean() >= _RECALL)

        if self._lists is not None:
            self._lists.nprobe = self._lists.nlist
        while reranked < flat.ntotal // 2 and not enough():
            reranked *= 4
        if self._lists is not None and reranked < flat.ntotal // 2:
            self._lists.nprobe = _FEWEST_LISTS
            while self._lists.nprobe < self._lists.nlist and not enough():
                self._lists.nprobe *= 2
            self._read = min(_SPARE * self._lists.nprobe, self._lists.nlist)
        return reranked

    def _reranking(self, flat: Any, factor: float) -> Any:  # noqa: ANN401 - as above
        index = faiss.IndexRefine(self._index, flat)
        index.k_factor = factor
        return index


def _search_each_other(
    rows: Float32[np.ndarray, "n d"], unit: Int64[np.ndarray, " n"], k: int
) -> tuple[Float32[np.ndarray, "n k"], Int64[np.ndarray, "n k"]]:
    """Squared distances and numbers of each row's nearest rows of other units.

    A block of distances serves its rows and its columns, so half of a flat index's products are enough.
    """
    squares, near = np.full((len(rows), k), np.inf, np.float32), np.full((len(rows), k), -1)
    lengths = np.einsum("ij,ij->i", rows, rows)
    spans = [slice(start, start + _ROWS_AT_ONCE) for start in range(0, len(rows), _ROWS_AT_ONCE)]
    for apart in range(len(spans)):  # the diagonal first: from then on few distances are small enough to matter
        for left, right in zip(spans, spans[apart:], strict=False):
            gaps = rows[left] @ rows[right].T
            gaps *= -2
            gaps += lengths[left, None]
            gaps += lengths[right]
            if apart == 0 or np.intersect1d(unit[left], unit[right]).size:
                gaps[unit[left, None] == unit[right]] = np.inf
            if apart == 0:
                _take_first(squares[left], near[left], gaps, left.start)
                continue
            ours, theirs = _where(gaps < squares[left, -1:])
            _insert(squares[left], near[left], ours, gaps[ours, theirs], right.start + theirs)
            ours, theirs = _where(gaps < squares[right, -1])
            _insert(squares[right], near[right], theirs, gaps[ours, theirs], left.start + ours)
    return np.maximum(squares, 0), near


def _where(mask: Bool[np.ndarray, "a b"]) -> tuple[Int64[np.ndarray, " p"], Int64[np.ndarray, " p"]]:
    """Rows and columns of what is true; where little is, far sooner than `numpy.nonzero`."""
    row, column = np.divmod(np.flatnonzero(mask), mask.shape[1])
    return row, column


def _take_first(
    squares: Float32[np.ndarray, "a k"], near: Int64[np.ndarray, "a k"], gaps: Float32[np.ndarray, "a a"], start: int
) -> None:
    """Write the smallest of each row of ``gaps``, smallest first; as many as there are."""
    few = min(squares.shape[1], gaps.shape[1])
    chosen = np.argpartition(gaps, few - 1, axis=1)[:, :few]
    chosen = np.take_along_axis(chosen, np.argsort(np.take_along_axis(gaps, chosen, 1), axis=1), 1)
    squares[:, :few], near[:, :few] = np.take_along_axis(gaps, chosen, 1), start + chosen


def _insert(
    squares: Float32[np.ndarray, "a k"],
    near: Int64[np.ndarray, "a k"],
    row: Int64[np.ndarray, " p"],
    gap: Float32[np.ndarray, " p"],
    number: Int64[np.ndarray, " p"],
) -> None:
    """Write into each named row the smallest of what it holds and of its new candidates, smallest first."""
    k = squares.shape[1]
    touched = np.unique(row)
    owner = np.concatenate([np.repeat(touched, k), row])
    value, name = np.concatenate([squares[touched].ravel(), gap]), np.concatenate([near[touched].ravel(), number])
    order = np.lexsort((value, owner))
    starts = np.searchsorted(owner[order], touched)
    chosen = order[starts[:, None] + np.arange(k)]
    squares[touched], near[touched] = value[chosen], name[chosen]


def _sound(rows: Float[np.ndarray, "n d"], what: str) -> Float32[np.ndarray, "n d"]:
    """Contiguous float32 rows without a NaN: FAISS would store one and answer -1."""
    with np.errstate(over="ignore"):
        narrow = np.ascontiguousarray(rows, dtype=np.float32)
    bad = ~np.isfinite(narrow).all(axis=1)
    if bad.any():
        raise NotFinite(what, int(np.argmax(bad)))
    return narrow


def _unit(rows: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, "n d"]:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1))
