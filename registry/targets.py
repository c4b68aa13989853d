"""Targets as text, one a row, and as numbers.

A class; label names joined by ``|`` (none is empty); a quantity; or the tags of a row's positions, a space between.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from registry.cards import Task
from registry.errors import UnusableLabels, printable
from registry.features import LARGEST, Array
from registry.readers.memory import label_values, plain_labels

__all__ = [
    "Positions",
    "Targets",
    "classes_of",
    "infer_task",
    "names_in",
    "quantities",
    "read_targets",
    "strata_of",
    "stratum_of",
    "values_of",
]

SEPARATOR = "|"
_BINS = 5
_A_BIN = 4
"""Rows of a quantile bin at least."""
_MANY = (tuple, set, frozenset, list)


@dataclass(frozen=True, eq=False)
class Targets:
    """What is to be predicted of each row, and the task that says what the values mean."""

    task: Task
    values: Shaped[np.ndarray, "n ..."]
    """A class a row (its number or name), 0 or 1 for each label in columns, a quantity, or an array of tags."""

    @classmethod
    def of(cls, targets: "Targets | Shaped[Array, 'n ...']") -> "Targets":
        """Targets as they are; values alone are classes."""
        return targets if isinstance(targets, Targets) else cls(Task.CLASSIFICATION, np.asarray(targets))

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: Shaped[np.ndarray, " r ..."]) -> "Targets":
        """Those of some rows."""
        return replace(self, values=self.values[rows])

    def followed_by(self, others: "Targets") -> "Targets":
        """These and those of other rows of the same task after them."""
        return replace(self, values=np.concatenate([self.values, others.values]))


@dataclass(frozen=True, eq=False)
class Positions:
    """What is learned of rows, one after another: the positions of each, or each row as its only one."""

    targets: Targets
    """Where rows have several positions, the number of each one's tag."""
    rows: Int[np.ndarray, " p"]
    """Which row each is of."""
    tags: tuple[str, ...] = ()
    """Names of the tags, where rows have several positions."""

    @classmethod
    def of(cls, targets: Targets, tags: Sequence[str] = ()) -> "Positions":
        """Those of rows with such targets; numbers count in ``tags``, or else in those that occur."""
        if targets.task is not Task.TOKEN_CLASSIFICATION:
            return cls(targets, np.arange(len(targets)))
        lengths, every = [len(row) for row in targets.values], np.concatenate([*targets.values])
        known = np.array(sorted(tags)) if len(tags) else np.unique(every)
        codes = np.searchsorted(known, every).astype(np.int64)
        numbers = Targets(Task.CLASSIFICATION, codes)
        return cls(numbers, np.repeat(np.arange(len(lengths)), lengths), tuple(known.tolist()))

    def __len__(self) -> int:
        return len(self.rows)

    def units(self, groups: Int[np.ndarray, " n"] | None) -> Int[np.ndarray, " p"] | None:
        """What belongs together: the rows' groups, or the positions of a row; None where each is its own."""
        if groups is None and not self.tags:
            return None
        return self.rows if groups is None else groups[self.rows]

    def within(self, chosen: Bool[np.ndarray, " n"] | Int[np.ndarray, " r"]) -> Int[np.ndarray, " q"]:
        """Places of the positions of some rows, row by row in that order."""
        numbers = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        if not self.tags:
            return numbers
        starts, ends = (np.searchsorted(self.rows, numbers, side) for side in ("left", "right"))
        return np.concatenate([np.arange(*pair) for pair in zip(starts, ends, strict=True)] or [numbers])

    def thinned(self, most: int) -> Int[np.ndarray, " q"]:
        """Places of so many positions at most, evenly spread; of rows that have but one, all."""
        if not self.tags or len(self) <= most:
            return np.arange(len(self))
        return np.linspace(0, len(self) - 1, most).astype(np.int64)

    def gathered(self, predicted: Shaped[np.ndarray, "p ..."]) -> Shaped[np.ndarray, "n ..."]:
        """What is said of the positions as what is said of the rows; a number of -1 is no tag."""
        return rows_of_tags(np.array([*self.tags, ""])[predicted], np.bincount(self.rows)) if self.tags else predicted


def rows_of_tags(tags: Shaped[np.ndarray, " p"], lengths: Int[np.ndarray, " n"]) -> Shaped[np.ndarray, " n"]:
    """An array of arrays: so many tags for each row."""
    ends = np.cumsum(lengths)
    rows = np.empty(len(ends), object)
    for row, part in enumerate(np.split(tags, ends[:-1])):
        rows[row] = part
    return rows


def infer_task(labels: Sequence[object] | np.ndarray, items: object = None) -> Task:
    """The task of labels in Python: collections of names are multi-label, numbers with fractions a quantity.

    Lists of tags, one for each of an item's words, are token classification; items of two words each are pairs.
    """
    values = list(labels) if isinstance(labels, np.ndarray) and labels.ndim > 1 else label_values(labels)
    if isinstance(items, list | tuple) and _fit_together(items, values):
        return Task.TOKEN_CLASSIFICATION
    if values and all(isinstance(value, _MANY) for value in values):
        return Task.MULTI_LABEL
    numbers = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    fractions = any(isinstance(value, float) and math.isfinite(value) and not value.is_integer() for value in numbers)
    return Task.REGRESSION if fractions and len(numbers) == len(values) else Task.CLASSIFICATION


def read_targets(labels: Sequence[object] | np.ndarray, task: Task) -> tuple[str, ...]:
    """Labels in Python as text, one a row.

    Raises:
        UnusableLabels: a missing label, mixed kinds, a name with ``|``, a tag with a space, or a number that is not
            finite.
    """
    if task is Task.TOKEN_CLASSIFICATION:
        return tuple(_tagged(row, value) for row, value in enumerate(label_values(labels)))
    if task is Task.CLASSIFICATION:
        return plain_labels(labels)
    values = label_values(labels)
    if task is Task.REGRESSION:
        return tuple(_quantity(row, value) for row, value in enumerate(values))
    return tuple(_joined(row, value) for row, value in enumerate(values))


def classes_of(labels: Sequence[str], task: Task) -> tuple[str, ...]:
    """Sorted names of the classes or labels that occur; a quantity has none."""
    if task is Task.REGRESSION:
        return ()
    return tuple(sorted({name for label in labels for name in names_in(label, task)}))


def names_in(label: str, task: Task) -> tuple[str, ...]:
    """The names of classes that a row's text consists of."""
    match task:
        case Task.REGRESSION:
            return ()
        case Task.CLASSIFICATION:
            return (label,)
        case Task.TOKEN_CLASSIFICATION:
            return tuple(label.split())
    return tuple(label.split(SEPARATOR)) if label else ()


def values_of(labels: Sequence[str], classes: Sequence[str], task: Task) -> Shaped[np.ndarray, "n ..."]:
    """Numbers to learn: the place of each row's class, 0 or 1 for each label, or the quantity; or arrays of tags."""
    if task is Task.REGRESSION:
        return quantities(labels)
    if task is Task.TOKEN_CLASSIFICATION:
        tags = [label.split() for label in labels]
        return rows_of_tags(np.array([tag for row in tags for tag in row]), np.array([len(row) for row in tags]))
    places = {name: place for place, name in enumerate(classes)}
    if task is Task.CLASSIFICATION:
        return np.array([places[label] for label in labels], dtype=np.int64)
    columns = np.zeros((len(labels), len(classes)))
    for row, label in enumerate(labels):
        columns[row, [places[name] for name in names_in(label, task)]] = 1
    return columns


def quantities(labels: Sequence[str]) -> Float[np.ndarray, " n"]:
    """The numbers that a regression's rows are labelled with."""
    return np.array([float(label) for label in labels], dtype=np.float64)


def strata_of(labels: Sequence[str], classes: Sequence[str], task: Task) -> Bool[np.ndarray, "n s"]:
    """What folds hold in proportion, and which of it each row counts for.

    That is the classes; the labels, and after them the rows without any; the tags; quantile bins.
    """
    if task is Task.TOKEN_CLASSIFICATION:
        known = np.array(classes)
        return np.array([np.isin(known, label.split()) for label in labels]).reshape(len(labels), len(classes))
    if task is Task.MULTI_LABEL:
        columns = values_of(labels, classes, task) > 0
        return np.hstack([columns, ~columns.any(axis=1, keepdims=True)])
    codes = values_of(labels, classes, task) if task is Task.CLASSIFICATION else _bins(quantities(labels))
    strata = np.zeros((len(labels), len(classes) if task is Task.CLASSIFICATION else _BINS), bool)
    strata[np.arange(len(labels)), codes] = True
    return strata


def stratum_of(labels: Sequence[str], task: Task) -> tuple[str, ...]:
    """One stratum a row, for a draw in proportion: its class, the rarest of its labels or tags, or its quantile bin."""
    if task is Task.CLASSIFICATION:
        return tuple(labels)
    if task is Task.REGRESSION:
        return tuple(map(str, _bins(quantities(labels))))
    counts = Counter(name for label in labels for name in set(names_in(label, task)))
    return tuple(min(names_in(label, task), key=lambda name: (counts[name], name), default="") for label in labels)


def _bins(values: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Bins of about equally many rows; equal values share one."""
    most = max(1, min(_BINS, len(values) // _A_BIN))
    edges = np.quantile(values, np.arange(1, most) / most) if len(values) else np.empty(0)
    return np.searchsorted(edges, values, side="right")


def _quantity(row: int, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -LARGEST <= value <= LARGEST:
        raise UnusableLabels(f"{repr(value)[:60]} is no finite number of at most {LARGEST:g}", [row])
    return repr(float(value))


def _fit_together(items: Sequence[object], labels: Sequence[object]) -> bool:
    """Whether every item is a list of words, and its label one of as many tags."""
    if len(items) != len(labels) or not all(isinstance(row, (list, tuple, np.ndarray)) for row in (*items, *labels)):
        return False
    lengths = [(len(item), len(tags)) for item, tags in zip(items, labels, strict=True)]  # type: ignore[arg-type]  # lists
    words = (isinstance(word, str) for item in items for word in item)  # type: ignore[attr-defined]  # as above
    return all(one == other for one, other in lengths) and {one for one, _ in lengths} != {2} and all(words)


def _tagged(row: int, value: object) -> str:
    tags = label_values(value) if isinstance(value, list | tuple | np.ndarray) else None
    if not tags or not all(isinstance(tag, str | int | np.integer) and not isinstance(tag, bool) for tag in tags):
        raise UnusableLabels(f"{repr(value)[:60]} is no list of tags", [row])
    names = [printable(str(tag)) for tag in tags]
    odd = [name for name in names if len(name.split()) != 1]
    if odd:
        raise UnusableLabels(f"the tag {odd[0]!r} is empty or holds a space", [row])
    return " ".join(names)


def _joined(row: int, value: object) -> str:
    if not isinstance(value, _MANY):
        raise UnusableLabels(f"{value!r} is no collection of label names", [row])
    names = plain_labels(list(value))
    odd = [name for name in names if SEPARATOR in name]
    if odd:
        raise UnusableLabels(f"the name {odd[0]!r} holds a {SEPARATOR}", [row])
    return SEPARATOR.join(sorted(set(names)))
