"""Folds and splits: stratified, groups whole, decided by content and not by the position of a row."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from registry.cards import Task
from registry.errors import TooFewRows
from registry.readers.layout import allot
from registry.targets import strata_of, stratum_of

__all__ = ["Splitter"]

_TIE = 1e-6
_SINGLES = "Give classes a second row, of a second group where rows have groups; or join those that have one row each."


@dataclass(frozen=True)
class Splitter:
    """Parts the rows of a sample: by the digests of their content, their labels and their groups."""

    digests: tuple[str, ...]
    labels: tuple[str, ...]
    groups: tuple[str, ...] | None
    classes: tuple[str, ...]
    task: Task

    def folds(self, k: int, seed: int) -> Int[np.ndarray, " n"]:
        """As `registry.sample.Sample.folds`."""
        together = len(self.labels) if self.groups is None else len(set(self.groups))
        shares = np.full(max(2, min(k, together)), 1.0)
        folds = self._assigned(shares, seed, always=-1)
        used = np.unique(folds[folds >= 0])
        if len(used) < 2:
            raise TooFewRows(
                "two folds of whole groups with every class in training", self._needed, len(self.labels), _SINGLES
            )
        return np.where(folds < 0, -1, np.searchsorted(used, folds))

    def held_out(self, share: float, seed: int) -> Bool[np.ndarray, " n"]:
        """Which rows `registry.sample.Sample.split` holds out."""
        held_out: Bool[np.ndarray, " n"] = self._assigned(np.array([1 - share, share]), seed, always=0) == 1
        if not held_out.any():
            raise TooFewRows("a training and a test part of whole groups", self._needed, len(self.labels), _SINGLES)
        return held_out

    def drawn(self, most: int, seed: int, *, spread: bool) -> Int[np.ndarray, " m"]:
        """Which rows `registry.sample.Sample.subsample` takes."""
        strata = stratum_of(self.labels, self.task)
        left = allot(Counter(strata), most)
        kept = []
        for row in self._by_turns(strata, seed) if spread else self._shuffled(seed):
            if left[strata[row]]:
                left[strata[row]] -= 1
                kept.append(row)
        return np.array(sorted(kept), dtype=np.int64)

    @property
    def _needed(self) -> int:
        """Rows below which nothing can be held out."""
        return 2 * max(1, len(self.classes))

    def _shuffled(self, seed: int) -> list[int]:
        """Row numbers in an order drawn from the content, rows of a group side by side."""
        places = {row: place for place, group in enumerate(self._together(seed)) for row in group}
        return sorted(range(len(self.labels)), key=lambda row: (places[row], _hash(self.digests[row], seed)))

    def _by_turns(self, strata: Sequence[Hashable], seed: int) -> list[int]:
        """Row numbers in an order drawn from the content: in each stratum one row of each group, then a second."""
        groups = self.digests if self.groups is None else self.groups
        seen: Counter[tuple[Hashable, str]] = Counter()
        turns = {}
        for row in self._shuffled(seed):
            turns[row] = seen[strata[row], groups[row]]
            seen[strata[row], groups[row]] += 1
        return sorted(turns, key=turns.__getitem__)

    def _together(self, seed: int) -> list[list[int]]:
        """Rows that stay together (a group; else equal contents), in an order drawn from their content."""
        together: dict[str, list[int]] = defaultdict(list)
        for row, digest in enumerate(self.digests):
            together[digest if self.groups is None else self.groups[row]].append(row)
        content = {
            key: _hash("".join(sorted(self.digests[row] + self.labels[row] for row in rows)), seed)
            for key, rows in together.items()
        }
        return [together[key] for key in sorted(together, key=lambda key: content[key])]

    def _assigned(self, shares: Float[np.ndarray, " k"], seed: int, always: int) -> Int[np.ndarray, " n"]:
        """The part of each row; ``always`` for those without which a class would be missing there."""
        strata = strata_of(self.labels, self.classes, self.task)
        groups = [_Group.of(rows, strata) for rows in self._together(seed)]
        parts = _assign(groups, strata.shape[1], len(self.classes), shares, always)
        assigned = np.empty(len(self.labels), np.int64)
        for part, group in zip(parts, groups, strict=True):
            assigned[group.rows] = part
        return assigned


def _hash(content: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{content}".encode()).hexdigest()


@dataclass(frozen=True)
class _Group:
    """Rows that stay together, and how many there are of each stratum; a row may count in several."""

    rows: list[int]
    classes: Int[np.ndarray, " c"]
    counts: Int[np.ndarray, " c"]

    @classmethod
    def of(cls, rows: list[int], strata: Bool[np.ndarray, "n s"]) -> "_Group":
        counts = strata[rows].sum(axis=0)
        classes = np.flatnonzero(counts)
        return cls(rows, classes, counts[classes])


def _assign(
    groups: Sequence[_Group], strata: int, needed: int, shares: Float[np.ndarray, " k"], always: int
) -> Int[np.ndarray, " g"]:
    """Large groups first, each to the part that lacks its strata most (Sainte-Lague's divisors, stratum by stratum).

    The first ``needed`` strata, which are classes, never leave training.
    """
    spread = Counter(int(label) for group in groups for label in group.classes)
    totals = np.zeros(strata)
    for group in groups:
        totals[group.classes] += group.counts
    held, parts = np.zeros((len(shares), strata)), np.full(len(groups), always, np.int64)
    for place in sorted(range(len(groups)), key=lambda place: -len(groups[place].rows)):
        group = groups[place]
        if any(spread[int(label)] == 1 for label in group.classes if label < needed):
            continue
        cost = ((2 * held[:, group.classes] + group.counts) * group.counts / totals[group.classes]).sum(axis=1)
        parts[place] = np.argmin((cost + _TIE * held.sum(axis=1) / totals.sum()) / shares)
        held[parts[place], group.classes] += group.counts
    return _with_every_class_in_training(parts, groups, needed, always)


def _with_every_class_in_training(
    parts: Int[np.ndarray, " g"], groups: Sequence[_Group], needed: int, always: int
) -> Int[np.ndarray, " g"]:
    """Where one part holds all of a class, the smallest group with it goes where training always is."""
    having: dict[int, list[int]] = defaultdict(list)
    for place, group in enumerate(groups):
        for label in group.classes[group.classes < needed]:
            having[int(label)].append(place)
    for places in having.values():
        if len(set(parts[places])) == 1:
            parts[min(places, key=lambda place: len(groups[place].rows))] = always
    return parts
