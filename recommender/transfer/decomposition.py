"""One thin factorization of the standardized features, F = U diag(s) V', shared by every score that can use it.

It comes from the eigenvectors of the smaller of F'F and FF', several times cheaper than an SVD and, on standardized
columns, as good: directions below ``max(n, d) * eps`` of the largest eigenvalue are dropped.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Float64, Int, Real

from registry.errors import NoVariation
from registry.features import Array, content_order, finite_rows
from registry.threads import few_threads

__all__ = ["Decomposition", "decompose"]


@dataclass(frozen=True, eq=False)
class Decomposition:
    """Standardized features with their factors, each computed when first asked for."""

    rows: Float64[np.ndarray, "n d"]
    """The features, every column of mean 0 and variance 1; constant columns are 0."""
    mean: Float64[np.ndarray, " d"]
    scale: Float64[np.ndarray, " d"]
    """Infinite where a column is constant."""
    source: Float[np.ndarray, "n d"]
    """The features as they were given."""

    @property
    def width(self) -> int:
        """Columns that vary."""
        return int(np.isfinite(self.scale).sum())

    @property
    def squares(self) -> Float64[np.ndarray, " k"]:
        """Squared singular values, the eigenvalues of F'F, largest first."""
        return self._eigen[0]

    @cached_property
    def order(self) -> Int[np.ndarray, " n"]:
        """The rows' order by their content."""
        return content_order(self.source)

    @cached_property
    def left(self) -> Float64[np.ndarray, "n k"]:
        """U: the rows in the basis of the principal directions, each of length 1."""
        if self._tall:
            return np.asarray(self.rows @ (self._eigen[1] / np.sqrt(self.squares)))
        return self._eigen[1]

    @cached_property
    def right(self) -> Float64[np.ndarray, "d k"]:
        """V: the principal directions."""
        if self._tall:
            return self._eigen[1]
        return np.asarray(self.rows.T @ (self._eigen[1] / np.sqrt(self.squares)))

    def project(self, columns: Float64[np.ndarray, "n c"]) -> Float64[np.ndarray, "k c"]:
        """U' columns, without forming U."""
        if self._tall:
            return np.asarray((self._eigen[1].T @ (self.rows.T @ columns)) / np.sqrt(self.squares)[:, None])
        return np.asarray(self._eigen[1].T @ columns)

    @property
    def _tall(self) -> bool:
        return bool(self.rows.shape[0] >= self.rows.shape[1])

    @cached_property
    def _eigen(self) -> tuple[Float64[np.ndarray, " k"], Float64[np.ndarray, "m k"]]:
        gram = self.rows.T @ self.rows if self._tall else self.rows @ self.rows.T
        with few_threads(len(gram) ** 3):
            values, vectors = np.linalg.eigh(gram)
        kept = values > values[-1] * max(self.rows.shape) * np.finfo(np.float64).eps
        return values[kept][::-1], np.ascontiguousarray(vectors[:, kept][:, ::-1])


def decompose(features: Real[Array, "n d"] | Decomposition) -> Decomposition:
    """Standardize features and make ready to factorize them; a decomposition is given back as it is.

    Raises:
        NotFinite: a NaN or infinite value.
        TooFewRows: fewer than two rows.
        NoVariation: all rows are identical.
    """
    if isinstance(features, Decomposition):
        return features
    source = finite_rows(features, "features")
    rows = source.astype(np.float64)
    mean = rows.mean(axis=0)
    rows -= mean
    spread = np.sqrt(np.einsum("ij,ij->j", rows, rows) / len(rows))
    scale = np.where(spread > 1e-12 * np.abs(mean), spread, np.inf)
    if not np.isfinite(scale).any():
        raise NoVariation("features")
    rows /= scale
    return Decomposition(rows, mean, scale, source)
