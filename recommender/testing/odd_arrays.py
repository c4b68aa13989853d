"""Arrays that people hand over by mistake, in the manner of scikit-learn's check_estimator."""

from contextlib import contextmanager

import jaxtyping
import numpy as np

from registry.errors import TransferZooError

__all__ = ["FLOAT_TOLERANCE", "ODD_LABELS", "ODD_ROWS", "a_finite_number_or_a_named_error", "without_shape_checks"]

FLOAT_TOLERANCE = 1e-3
"""How far what is computed in single precision may lie from that of double, relative to it."""
ODD_ROWS = {
    "text": lambda rows: rows.astype(str),
    "complex": lambda rows: rows + 1j,
    "objects": lambda rows: np.array([[object()] * rows.shape[1]] * len(rows)),
    "numbers as objects": lambda rows: rows.astype(object),
    "masked": lambda rows: np.ma.masked_array(rows, rows > 1),
    "dates": lambda rows: rows.astype("datetime64[s]"),
    "truth values": lambda rows: rows > 0,
    "ragged lists": lambda rows: [list(row)[: 1 + place % 3] for place, row in enumerate(rows)],
    "one dimension": lambda rows: rows[:, 0],
    "three dimensions": lambda rows: rows[None],
    "a number": lambda rows: np.float64(1),
    "empty": lambda rows: rows[:0],
    "no columns": lambda rows: rows[:, :0],
    "one row": lambda rows: rows[:1],
    "NaN": lambda rows: np.where(rows > 2, np.nan, rows),
    "infinity": lambda rows: np.where(rows > 1, np.inf, rows),
    "at 1e308": lambda rows: rows * 1e307,
    "at 1e120": lambda rows: rows * 1e120,
    "at 1e90": lambda rows: rows * 1e90,
    "at 1e-308": lambda rows: rows * 1e-308,
    "at 1e-120": lambda rows: rows * 1e-120,
    "all the same": np.ones_like,
    "whole numbers of 8 bits": lambda rows: (40 * rows).clip(-127, 127).astype(np.int8),
    "half precision": lambda rows: rows.astype(np.float16),
    "in Fortran's order": np.asfortranarray,
    "read only": lambda rows: np.broadcast_to(rows, rows.shape),
}
ODD_LABELS = {
    "one class": np.zeros_like,
    "complex": lambda labels: labels + 1j,
    "objects": lambda labels: np.array([object() for _ in labels]),
    "mappings": lambda labels: np.array([{"a": 1} for _ in labels]),
    "mixed": lambda labels: np.array([*labels[1:].tolist(), "two"], dtype=object),
    "none": lambda labels: np.array([None] * len(labels)),
    "masked": lambda labels: np.ma.masked_array(labels, labels == 1),
    "dates": lambda labels: labels.astype("datetime64[s]"),
    "a number": lambda labels: np.int64(1),
    "three dimensions": lambda labels: labels[:, None, None],
    "columns of text": lambda labels: labels.astype(str)[:, None],
    "no columns": lambda labels: np.zeros((len(labels), 0)),
    "empty": lambda labels: labels[:0],
    "NaN": lambda labels: np.where(labels == 1, np.nan, labels),
    "at 1e308": lambda labels: labels * 1e307,
    "at 1e-308": lambda labels: labels * 1e-308,
    "ragged lists": lambda labels: [[1] * (1 + place % 3) for place in range(len(labels))],
    "text": lambda labels: labels.astype(str),
    "truth values": lambda labels: labels > 0,
}


@contextmanager
def without_shape_checks():
    """As outside of the tests, where nothing looks at annotations."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def a_finite_number_or_a_named_error(measure):
    """Call ``measure``; whatever it raises must be an error of ours, what it gives finite."""
    with without_shape_checks():
        try:
            value = measure()
        except TransferZooError:
            return
    assert np.isfinite(value)
