"""Covariance shrunk towards a multiple of the identity: sound where rows are fewer than columns.

Ledoit & Wolf 2004, "A well-conditioned estimator for large-dimensional covariance matrices".
"""

import numpy as np
from jaxtyping import Float64

__all__ = ["shrunk_covariance"]


def shrunk_covariance(centered: Float64[np.ndarray, "n d"]) -> Float64[np.ndarray, "d d"]:
    """The Ledoit-Wolf covariance of rows whose column means are 0."""
    rows, width = centered.shape
    plain = centered.T @ centered / rows
    variance = np.trace(plain) / width
    energy = np.square(plain).sum()
    apart = energy - width * variance**2
    noise = (np.square(np.square(centered).sum(axis=1)).sum() / rows - energy) / rows
    weight = min(max(noise / apart, 0.0), 1.0) if apart > 0 else 1.0
    plain *= 1 - weight
    plain[np.diag_indices(width)] += weight * variance
    return np.asarray(plain)
