"""Targets of any task as columns of numbers, checked: what the scores compute with."""

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
from registry.targets import Targets

__all__ = ["TargetColumns", "group_numbers", "parse_targets"]


@dataclass(frozen=True, eq=False)
class TargetColumns:
    """Targets as columns: a 0/1 indicator for each class or label, or the values of a regression target."""

    task: Task
    columns: Float64[np.ndarray, "n c"]

    @property
    def codes(self) -> Int[np.ndarray, " n"]:
        """The class number of each row."""
        return np.asarray(self.columns.argmax(axis=1))


def parse_targets(
    targets: Targets | Shaped[Array, "n ..."],
    rows: int,
    method: str,
    admits: Sequence[Task] = (Task.CLASSIFICATION,),
) -> TargetColumns:
    """The columns of targets of one of the tasks that ``method`` admits; values that come without a task are classes.

    Raises:
        LengthMismatch: not as many targets as rows.
        TooFewRows: fewer than two rows.
        NotDefined: ``method`` has no value for this kind of target.
        SingleClass: all rows have the same label.
        NoVariation: a regression target is constant.
        NotFinite: a regression target has a NaN or infinite value.
        OutOfRange: a regression target whose squares would overflow or vanish.
        UnusableLabels: labels of mixed kinds, missing or masked ones, such as have no order, or of another task.
    """
    task = targets.task if isinstance(targets, Targets) else Task.CLASSIFICATION
    array = _array(targets.values if isinstance(targets, Targets) else targets)
    if not array.ndim or len(array) != rows:
        raise LengthMismatch("features and targets", rows, len(array) if array.ndim else 0)
    if rows < 2:
        raise TooFewRows(method, 2, rows)
    if task not in admits:
        raise NotDefined(method, task)
    columns = TargetColumns(task, _indicator(array) if task is Task.CLASSIFICATION else _numbers(array, task))
    _require_variation(columns, method)
    return columns


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


def _numbers(array: Shaped[np.ndarray, "n ..."], task: Task) -> Float64[np.ndarray, "n c"]:
    try:
        columns = array.astype(np.float64).reshape(len(array), -1)
    except (ValueError, TypeError) as cause:
        raise UnusableLabels(f"values that are no numbers ({cause})") from cause
    odd = np.flatnonzero(~np.isin(columns, (0, 1)).all(axis=1))
    if task is Task.MULTI_LABEL and len(odd):
        raise UnusableLabels("multi-label columns must be 0 or 1", odd.tolist())
    return columns


def _indicator(labels: Shaped[np.ndarray, "n ..."]) -> Float64[np.ndarray, "n c"]:
    if labels.ndim > 1:
        raise UnusableLabels("columns are no classes; state the task with Targets")
    kinds = {type(label) for label in labels.tolist()}
    if kinds == {float}:
        raise UnusableLabels("floats are no classes; state the task with Targets")
    if len(kinds) > 1 or kinds & {type(None), float}:
        usual = max(kinds, key=[type(label) for label in labels.tolist()].count)
        odd = [row for row, label in enumerate(labels.tolist()) if not isinstance(label, usual)]
        raise UnusableLabels("missing, or of mixed kinds", odd or range(len(labels)))
    try:
        codes = np.unique(labels, return_inverse=True)[1]
    except TypeError as cause:
        raise UnusableLabels(f"they have no order ({cause})") from cause
    return np.eye(codes.max() + 1)[codes]


def _require_variation(targets: TargetColumns, method: str) -> None:
    finite = np.isfinite(targets.columns).all(axis=1)
    if not finite.all():
        raise NotFinite("labels", int(np.argmin(finite)))
    largest = np.abs(targets.columns).max(axis=1, initial=0)
    if largest.max() > LARGEST or (0 < largest.max() < 1 / LARGEST):
        raise OutOfRange("labels", int(largest.argmax()), float(largest.max()))
    if (targets.columns == targets.columns[0]).all():
        raise NoVariation("labels") if targets.task is Task.REGRESSION else SingleClass(method)
