"""What is to be predicted: labels of any kind as columns of numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int, Shaped

from registry.cards import Task
from registry.errors import (
    LengthMismatch,
    NotDefined,
    NotFinite,
    NoVariation,
    OutOfRange,
    SingleClass,
    TooFewRows,
    UnusableLabels,
)
from registry.features import LARGEST, Array, numbered

__all__ = ["Targets", "group_numbers", "parse_targets", "task_of"]


@dataclass(frozen=True, eq=False)
class Targets:
    """Labels as columns: a 0/1 indicator for each class or label, or the values of a regression target."""

    task: Task
    columns: Float64[np.ndarray, "n c"]

    @property
    def codes(self) -> Int[np.ndarray, " n"]:
        """The class number of each row."""
        return np.asarray(self.columns.argmax(axis=1))


def parse_targets(
    labels: Shaped[Array, "n ..."], rows: int, method: str, admits: Sequence[Task] = (Task.CLASSIFICATION,)
) -> Targets:
    """The labels' columns. Floats are a regression target; two dimensions of 0 and 1 are multi-label.

    Raises:
        LengthMismatch: not as many labels as rows.
        TooFewRows: fewer than two rows.
        NotDefined: ``method`` has no value for this kind of target.
        SingleClass: all rows have the same label.
        NoVariation: a regression target is constant.
        NotFinite: a regression target has a NaN or infinite value.
        OutOfRange: a regression target whose squares would overflow or vanish.
        UnusableLabels: labels of mixed kinds, missing or masked ones, or such as have no order.
    """
    array = _array(labels)
    if not array.ndim or len(array) != rows:
        raise LengthMismatch("features and labels", rows, len(array) if array.ndim else 0)
    if rows < 2:
        raise TooFewRows(method, 2, rows)
    if array.ndim > 1:
        targets = _many(array)
    elif np.issubdtype(array.dtype, np.floating):
        targets = Targets(Task.REGRESSION, array.astype(np.float64)[:, None])
    else:
        targets = Targets(Task.CLASSIFICATION, _indicator(array))
    if targets.task not in admits:
        raise NotDefined(method, targets.task)
    _require_variation(targets, method)
    return targets


def task_of(targets: Shaped[np.ndarray, "n ..."]) -> Task:
    """What numbers that a sample gives as its targets are: two dimensions are labels, floats a quantity."""
    if targets.ndim > 1:
        return Task.MULTI_LABEL
    return Task.REGRESSION if np.issubdtype(targets.dtype, np.floating) else Task.CLASSIFICATION


def group_numbers(groups: Shaped[Array, " g"] | None, rows: int) -> Int[np.ndarray, " n"]:
    """A number for each row's group; its own where there are no groups.

    Raises:
        LengthMismatch: not as many groups as rows.
        TooFewRows: all rows are one group.
        UnusableLabels: names of mixed kinds.
    """
    return np.arange(rows) if groups is None else numbered(groups, rows, "features and groups", "groups")


def _array(labels: Shaped[Array, "n ..."]) -> Shaped[np.ndarray, "n ..."]:
    if isinstance(labels, np.ma.MaskedArray) and np.ma.is_masked(labels):
        raise UnusableLabels("masked values", np.flatnonzero(np.ma.getmaskarray(labels)).tolist())
    try:
        array = np.asarray(labels)
    except (ValueError, TypeError) as cause:
        raise UnusableLabels("rows of different length") from cause
    if array.dtype.kind not in "biufOSUT" or array.ndim > 2:
        raise UnusableLabels(f"an array of {array.dtype} with {array.ndim} dimensions")
    return array


def _many(array: Shaped[np.ndarray, "n c"]) -> Targets:
    try:
        columns = array.astype(np.float64)
    except (ValueError, TypeError) as cause:
        raise UnusableLabels(f"several columns that are no numbers ({cause})") from cause
    binary = np.isin(columns, (0, 1)).all()
    if not binary and not np.issubdtype(array.dtype, np.floating):
        raise UnusableLabels("multi-label columns must be 0 or 1", _odd_rows(columns))
    return Targets(Task.MULTI_LABEL if binary else Task.REGRESSION, columns)


def _odd_rows(columns: Float64[np.ndarray, "n c"]) -> list[int]:
    return [row for row, values in enumerate(columns.tolist()) if not set(values) <= {0, 1}]


def _indicator(labels: Shaped[np.ndarray, " n"]) -> Float64[np.ndarray, "n c"]:
    kinds = {type(label) for label in labels.tolist()}
    if len(kinds) > 1 or kinds & {type(None), float}:
        usual = max(kinds, key=[type(label) for label in labels.tolist()].count)
        odd = [row for row, label in enumerate(labels.tolist()) if not isinstance(label, usual)]
        raise UnusableLabels("missing, or of mixed kinds", odd or range(len(labels)))
    try:
        codes = np.unique(labels, return_inverse=True)[1]
    except TypeError as cause:
        raise UnusableLabels(f"they have no order ({cause})") from cause
    return np.eye(codes.max() + 1)[codes]


def _require_variation(targets: Targets, method: str) -> None:
    finite = np.isfinite(targets.columns).all(axis=1)
    if not finite.all():
        raise NotFinite("labels", int(np.argmin(finite)))
    largest = np.abs(targets.columns).max(axis=1, initial=0)
    if largest.max() > LARGEST or (0 < largest.max() < 1 / LARGEST):
        raise OutOfRange("labels", int(largest.argmax()), float(largest.max()))
    if (targets.columns == targets.columns[0]).all():
        raise NoVariation("labels") if targets.task is Task.REGRESSION else SingleClass(method)
