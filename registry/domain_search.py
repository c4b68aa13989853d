"""Which domains are near: an index of the sketches in a lens that follows the database, and is kept beside it."""

import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from jaxtyping import Float, Int64

from registry.home import Home
from registry.index import DomainIndex
from registry.sketch import FREQUENCIES, Lens
from registry.store import Store

__all__ = ["DomainSearch"]

_SAVED_EVERY = 100
_MOST_FAMILIES = 8
"""Whose numbers are kept; of a million sketches they are 8 MB, and reading them takes 1.6 s."""
_COUNTED_AFTER = 20
"""Sketches are counted again after so many times what counting took: of a million it takes longer than a search."""
_READ_AT_ONCE = 4096
"""Embeddings that are read from the database at once: whatever their number, memory holds them in the index alone."""


class DomainSearch:
    """The indexes of a home, one a lens; several threads may ask. ``note`` hears of one that could not be kept."""

    def __init__(self, store: Store, home: Home, note: Callable[[str], None]) -> None:
        self._store, self._home, self._note = store, home, note
        self._indexes: dict[str, tuple[Any, tuple[int, int]]] = {}
        self._counted: dict[str, float] = {}
        self._families: dict[tuple[str, str], tuple[tuple[int, int], Int64[np.ndarray, " n"]]] = {}
        self._searching = Lock()

    def nearest(
        self,
        lens: Lens,
        embedding: Float[np.ndarray, " d"],
        k: int | None,
        *,
        family: str | None = None,
        anew: bool = False,
    ) -> list[tuple[int, float]]:
        """Numbers of the ``k`` nearest sketches, or of all, with their squared distances; nearest first.

        With ``family`` those of its domains alone count. What others have removed may be among them for a short while,
        unless the database is to be counted ``anew``.
        """
        with self._searching:
            index = self._index(lens, anew)
            among = None if family is None else self._numbers_of(lens, family)
            there = len(index if among is None else among)
            most = there if k is None else min(k, there)
            squares, numbers = index.search(embedding, most, among=among) if most else ((), ())
        return [(int(number), float(square)) for square, number in zip(squares, numbers, strict=True)]

    def path(self, lens: Lens) -> Path:
        """Where the index of a lens is kept; always rebuildable from the database."""
        return self._home.index.with_suffix(f".{lens.modality}{self._home.index.suffix}")

    def stamp(self, lens: Lens) -> str:
        """What an index file must say it was made of: this registry, that lens."""
        return f"{self._store.note('registry')} {lens.digest}"

    def close(self) -> None:
        """Let go of the indexes; the next search reads them again."""
        self._indexes.clear()
        self._counted.clear()
        self._families.clear()

    def _numbers_of(self, lens: Lens, family: str) -> Int64[np.ndarray, " n"]:
        """Numbers of the sketches of a family, which are read again once there are other sketches."""
        state, key = self._indexes[lens.digest][1], (lens.digest, family)
        known = self._families.pop(key, None)
        if known is None or known[0] != state:
            known = state, self._store.sketch_numbers(lens.digest, family=family)
        self._families[key] = known
        if len(self._families) > _MOST_FAMILIES:
            del self._families[next(iter(self._families))]
        return known[1]

    def _state(self, lens: Lens, known: tuple[int, int], anew: bool) -> tuple[int, int]:
        """How many sketches there are and the newest's number; where that is known, they are counted now and then."""
        began = time.monotonic()
        if (
            not anew
            and began < self._counted.get(lens.digest, 0.0)
            and self._store.newest_sketch(lens.digest) == known[1]
        ):
            return known
        state = self._store.sketch_count(lens.digest)
        self._counted[lens.digest] = time.monotonic() + _COUNTED_AFTER * (time.monotonic() - began)
        return state

    def _index(self, lens: Lens, anew: bool) -> Any:  # noqa: ANN401 - a DomainIndex; FAISS is loaded for searches only
        """The index of all sketches in a lens, brought up to date with the database."""
        path = self.path(lens)
        if lens.digest not in self._indexes:
            loaded = DomainIndex.load(path, self.stamp(lens)) or DomainIndex(2 * FREQUENCIES)
            self._indexes[lens.digest] = loaded, (0, 0)
        index, known = self._indexes[lens.digest]
        state = self._state(lens, known, anew)
        if state != known:
            changed = self._follow(index, lens, known, state)
            self._indexes[lens.digest] = index, state
            if changed * _SAVED_EVERY > len(index) and self._home.writable:
                self._save(index, path, self.stamp(lens))
        return index

    def _follow(self, index: Any, lens: Lens, known: tuple[int, int], state: tuple[int, int]) -> int:  # noqa: ANN401
        """Add to the index what the database has gained and take from it what that has lost; how many these were."""
        numbers = self._store.sketch_numbers(lens.digest, after=known[1])
        gone = np.array([], dtype=np.int64)
        if known[0] + len(numbers) != state[0] or not known[0]:
            numbers, have = self._store.sketch_numbers(lens.digest), index.numbers
            gone, numbers = np.setdiff1d(have, numbers), np.setdiff1d(numbers, have)
            index.remove(gone)
        added = 0
        for start in range(0, len(numbers), _READ_AT_ONCE):
            read = self._store.embeddings(numbers[start : start + _READ_AT_ONCE].tolist())
            if read:
                index.add([*read], np.stack([*read.values()]))
            added += len(read)
        return len(gone) + added

    def _save(self, index: Any, path: Path, stamp: str) -> None:  # noqa: ANN401 - likewise
        """Keep the index; where that cannot be done the next process makes it anew."""
        try:
            index.save(path, stamp)
        except OSError as cause:
            self._note(f"the index of domains is not kept: {cause}")
