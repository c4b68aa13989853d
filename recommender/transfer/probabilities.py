"""What the scores of a source head share: its class probabilities, checked."""

import numpy as np
from jaxtyping import Float64, Real

from registry.errors import NotProbabilities
from registry.features import Array, finite_rows

__all__ = ["log_expected_prediction", "source_probabilities"]


def source_probabilities(head: Real[Array, "n z"], method: str) -> Float64[np.ndarray, "n z"]:
    """Rows of probabilities, made to sum to exactly 1.

    Raises:
        NotFinite: a NaN or infinite value.
        TooFewRows: fewer than two rows.
        NotProbabilities: a row is negative somewhere or does not sum to 1.
    """
    rows = finite_rows(head, "source probabilities").astype(np.float64)
    sums = rows.sum(axis=1)
    bad = (rows < 0).any(axis=1) | (np.abs(sums - 1) > 0.01)
    if bad.any():
        raise NotProbabilities(method, int(np.argmax(bad)))
    return np.asarray(rows / sums[:, None])


def log_expected_prediction(head: Float64[np.ndarray, "n z"], columns: Float64[np.ndarray, "n c"]) -> float:
    """Mean log likelihood of the labels under sum_z P(y | z) P(z | x), P(y | z) counted on the same rows.

    Nguyen et al. 2020, "LEEP: A New Measure to Evaluate Transferability of Learned Representations", eq. 2.
    """
    joint = columns.T @ head
    conditional = joint / np.maximum(joint.sum(axis=0), np.finfo(np.float64).tiny)
    likelihood = np.einsum("ij,ij->i", columns @ conditional, head)
    return float(np.log(np.maximum(likelihood, np.finfo(np.float64).tiny)).mean())
