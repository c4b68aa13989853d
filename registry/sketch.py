"""Sketch: what the registry keeps of a domain, seen through a lens; its embedding makes MMD a plain distance.

Random Fourier features (Rahimi & Recht 2007) with orthogonal directions (Yu et al. 2016) of the Gaussian kernel
averaged over the bandwidths sigma * {1/2, 1, 2}: k(x, y) ~ z(x).z(y), so that the squared distance of two mean
embeddings estimates the biased MMD^2 of the two clouds (Gretton et al. 2012, eq. 5).
"""

import json
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b, sha256
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int
from safetensors import SafetensorError
from safetensors.numpy import load, save

from registry.errors import EncoderMismatch, MalformedWeights, NotFinite, NoVariation, TooFewRows, WidthMismatch
from registry.features import Features
from registry.threads import few_threads

__all__ = [
    "BANDWIDTHS",
    "FREQUENCIES",
    "KEPT_ROWS",
    "Lens",
    "RowKeys",
    "Sketch",
    "fit_lens",
    "orthonormal",
    "row_key",
    "sketch_of",
]

BANDWIDTHS = (0.5, 1.0, 2.0)
FREQUENCIES = 512
KEPT_ROWS = 256

_BLOCK_ROWS = 2048
_FLOOR = 0.01
_RANK = 1e-9
_KEY = 6
"""Bytes of a row's key."""


@dataclass(frozen=True, eq=False)
class Lens:
    """The one reference encoder of a modality, with the column means, scales and bandwidth that stay fixed with it."""

    name: str
    modality: str
    space: str
    """The encoder string of the features that it accepts: ``checkpoint@digest#block``."""
    mean: Float[np.ndarray, " d"]
    scale: Float[np.ndarray, " d"]
    sigma: float
    seed: int = 0

    @property
    def checkpoint(self) -> str:
        """Name of the checkpoint that is looked through."""
        return self.space.partition("@")[0]

    @property
    def block(self) -> str:
        """The block whose pooled features are looked at."""
        return self.space.rpartition("#")[2]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all that fixes the space: encoder, means, scales, bandwidth, seed."""
        text = json.dumps([self.space, self.sigma, self.seed, FREQUENCIES, BANDWIDTHS]).encode()
        columns = np.stack([self.mean, self.scale]).astype("<f8").tobytes()
        return sha256(text + columns).hexdigest()

    def standardize(self, vectors: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        """The vectors in the lens's fixed column means and scales.

        Raises:
            WidthMismatch: they are not as wide as the lens.
        """
        if vectors.shape[1] != len(self.mean):
            raise WidthMismatch(vectors.shape[1], len(self.mean))
        return np.asarray((vectors.astype(np.float64) - self.mean) / self.scale)

    def embed(self, vectors: Float[np.ndarray, "n d"]) -> Float32[np.ndarray, " e"]:
        """The kernel mean of a cloud of raw features: twice `FREQUENCIES` numbers, of length at most 1.

        Raises:
            TooFewRows: there is no row.
            NotFinite: a row has a NaN or infinite value.
            WidthMismatch: they are not as wide as the lens.
        """
        if not len(vectors):
            raise TooFewRows("embedding", 1, 0)
        total = np.zeros(2 * FREQUENCIES)
        for start in range(0, len(vectors), _BLOCK_ROWS):
            block = self.standardize(vectors[start : start + _BLOCK_ROWS])
            bad = ~np.isfinite(block).all(axis=1)
            if bad.any():
                raise NotFinite(f"features seen through {self.name}", start + int(np.argmax(bad)))
            phase = block @ self._frequencies.T
            total += np.concatenate([np.cos(phase).sum(axis=0), np.sin(phase).sum(axis=0)])
        return np.asarray(total / len(vectors) * np.tile(self._weights, 2), dtype=np.float32)

    @cached_property
    def _frequencies(self) -> Float[np.ndarray, "f d"]:
        """Orthogonal directions with the lengths of Gaussian vectors, each over its own bandwidth."""
        width = len(self.mean)
        random = np.random.RandomState(self.seed)  # its stream is frozen for good (NEP 19); default_rng's is not
        blocks = -(-FREQUENCIES // width)
        directions = np.concatenate([_rotation(random, width) for _ in range(blocks)])
        lengths = np.sqrt(random.chisquare(width, size=FREQUENCIES))
        widths = self.sigma * np.asarray(BANDWIDTHS)[self._bands]
        mixed = directions[random.permutation(len(directions))[:FREQUENCIES]]
        return np.asarray(mixed * (lengths / widths)[:, None])

    @property
    def _bands(self) -> Int[np.ndarray, " f"]:
        """Which bandwidth each frequency serves: as many to each as can be, not left to chance."""
        return np.arange(FREQUENCIES) % len(BANDWIDTHS)

    @property
    def _weights(self) -> Float[np.ndarray, " f"]:
        """Square root of each frequency's share, every bandwidth counting the same."""
        served = np.bincount(self._bands)
        return np.asarray(np.sqrt(1.0 / (len(BANDWIDTHS) * served[self._bands])))


@dataclass(frozen=True, eq=False)
class Sketch:
    """A domain seen through a lens: its mean embedding and a few hundred of its rows, never its items."""

    domain: str
    lens: str
    """Digest of the lens; sketches of different lenses are never compared."""
    rows: Features
    """At most `KEPT_ROWS` raw lens features, as precise as fp16 keeps them."""
    embedding: Float32[np.ndarray, " e"]
    seen: int
    """Rows that the embedding was made of."""

    def __post_init__(self) -> None:
        if not np.isfinite(self.embedding).all():
            raise NotFinite(f"the embedding of {self.domain}", 0)

    def squared_distance(self, other: "Sketch") -> float:
        """An estimate of the biased MMD^2 of the two domains.

        Raises:
            EncoderMismatch: they were seen through different lenses.
        """
        if self.lens != other.lens:
            raise EncoderMismatch(f"{self.domain} (lens {self.lens[:12]})", f"{other.domain} (lens {other.lens[:12]})")
        return float(np.sum((self.embedding.astype(np.float64) - other.embedding) ** 2))

    def pack(self) -> bytes:
        """One safetensors file: fp16 rows, fp32 embedding, and what they are."""
        kept = self.rows.vectors
        half = kept.astype(np.float16) if np.abs(kept).max() < np.finfo(np.float16).max else kept.astype(np.float32)
        metadata = {"domain": self.domain, "lens": self.lens, "encoder": self.rows.encoder, "seen": str(self.seen)}
        return _settled(save({"embedding": self.embedding, "rows": half}, metadata=metadata))

    @classmethod
    def unpack(cls, packed: bytes, where: str) -> "Sketch":
        """What `pack` made; ``where`` names it in an error.

        Raises:
            MalformedWeights: these bytes are not such a file.
        """
        try:
            tensors = load(packed)
            metadata = _head(packed)["__metadata__"]
            rows = Features(tensors["rows"].astype(np.float32), metadata["encoder"])
            sketch = cls(metadata["domain"], metadata["lens"], rows, tensors["embedding"], int(metadata["seen"]))
        except (SafetensorError, KeyError, ValueError, TypeError, struct.error, RecursionError) as cause:
            raise MalformedWeights(where, str(cause)) from cause
        if rows.vectors.ndim != 2 or not rows.vectors.size or sketch.embedding.shape != (2 * FREQUENCIES,):
            raise MalformedWeights(where, "its rows or its embedding have another shape than a sketch's")
        return sketch


@dataclass(frozen=True)
class RowKeys:
    """Which rows a domain, or a sample that was tuned on here, consists of: a short key of each row's content."""

    owner: str
    """A domain's name, or ``sample:`` and a sample's digest."""
    keys: frozenset[bytes]

    @classmethod
    def of(cls, owner: str, digests: Iterable[str]) -> "RowKeys":
        """The keys of rows with these content digests."""
        return cls(owner, frozenset(map(row_key, digests)))

    def __contains__(self, digest: object) -> bool:
        return isinstance(digest, str) and row_key(digest) in self.keys

    def pack(self) -> bytes:
        """All keys in order, one after the other."""
        return b"".join(sorted(self.keys))

    @classmethod
    def unpack(cls, packed: bytes, owner: str) -> "RowKeys":
        """What `pack` made.

        Raises:
            MalformedWeights: these bytes are not such a file.
        """
        keys = [packed[start : start + _KEY] for start in range(0, len(packed), _KEY)]
        if len(packed) % _KEY or any(left >= right for left, right in pairwise(keys)):
            raise MalformedWeights(f"the row keys of {owner}", f"they are no ascending keys of {_KEY} bytes")
        return cls(owner, frozenset(keys))


def row_key(digest: str) -> bytes:
    """The key of a row's content digest: its first 48 bits, so that 95,000 rows take half a megabyte.

    Two different rows share one with a chance of 4e-15: of 20,000 rows beside 50,000 about one in 280,000 such pairs of
    data sets holds a row that is taken for another.
    """
    return bytes.fromhex(digest[: 2 * _KEY])


def fit_lens(name: str, modality: str, clouds: Sequence[Features], *, seed: int = 0, rows: int = 2000) -> Lens:
    """A lens from features of several domains, each counting the same: means, scales, and the median heuristic.

    At most ``rows`` rows are drawn from all clouds together. A column that hardly varies among them is scaled as if it
    varied a hundredth as much as the median column, so that it neither vanishes nor explodes on other data.

    Raises:
        TooFewRows: fewer than two rows.
        NoVariation: all rows are identical.
        EncoderMismatch: the clouds lie in different spaces.
    """
    space = clouds[0].encoder
    for cloud in clouds:
        cloud.require_space(space)
    each = max(1, rows // len(clouds))
    pooled = np.concatenate([_drawn(cloud, each, seed).vectors for cloud in clouds]).astype(np.float64)
    if len(pooled) < 2:
        raise TooFewRows(f"lens {name}", 2, len(pooled))
    spread = pooled.std(axis=0)
    if not spread.any():
        raise NoVariation(f"lens {name}")
    mean, scale = pooled.mean(axis=0), np.maximum(spread, _FLOOR * np.median(spread[spread > 0]))
    return Lens(name, modality, space, mean, scale, _median_distance((pooled - mean) / scale), seed)


def sketch_of(domain: str, features: Features, lens: Lens, *, seed: int = 0) -> Sketch:
    """The sketch of a domain from the raw features of its rows, in whatever order they come.

    Raises:
        EncoderMismatch: the features do not lie in the lens's space.
        TooFewRows: there is no row.
    """
    features.require_space(lens.space)
    embedding = lens.embed(features.vectors)
    kept = _drawn(features, KEPT_ROWS, seed).vectors.astype(np.float32)
    return Sketch(domain, lens.digest, Features(_as_half(kept), lens.space), embedding, len(features))


def orthonormal(rows: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Rows of length 1 at right angles that span the same, as Gram-Schmidt gives them; zeros where one adds nothing.

    LAPACK's QR with the signs of Gram-Schmidt.
    """
    lengths, kept = np.linalg.norm(rows, axis=1), np.arange(len(rows))
    with few_threads(rows.size * len(rows)):
        while True:
            columns, triangle = np.linalg.qr(rows[kept].T.astype(np.float64))
            pivots = np.diag(triangle)
            weak = np.flatnonzero(np.abs(pivots) <= _RANK * lengths[kept[: len(pivots)]])
            if not len(weak):
                break
            kept = np.delete(kept, weak[0])  # what QR puts in its place is no row's direction
    axes = np.zeros(rows.shape)
    axes[kept[: len(pivots)]] = (columns * np.where(pivots < 0, -1.0, 1.0)).T
    return axes


def _drawn(features: Features, most: int, seed: int) -> Features:
    """At most so many rows, drawn by their content: the same ones in whatever order the rows come."""
    key = seed.to_bytes(8, "little")
    tickets = [blake2b(row.tobytes(), digest_size=16, key=key).digest() for row in features.vectors.astype("<f4")]
    return features.take(np.asarray(sorted(range(len(tickets)), key=tickets.__getitem__)[:most], dtype=np.int64))


def _as_half(rows: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, "n d"]:
    """The rows as fp16 would give them back, where it can hold them."""
    fits = np.abs(rows).max() < np.finfo(np.float16).max
    return rows.astype(np.float16).astype(np.float32) if fits else rows


def _head(packed: bytes) -> dict[str, Any]:
    """The header of a safetensors file."""
    (length,) = struct.unpack("<Q", packed[:8])
    head: dict[str, Any] = json.loads(packed[8 : 8 + length])
    return head


def _settled(packed: bytes) -> bytes:
    """The same safetensors file with its header in order: the library's own differs from call to call."""
    (length,) = struct.unpack("<Q", packed[:8])
    head = json.dumps(_head(packed), sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
    head = head.ljust(-(-len(head) // 8) * 8)
    return struct.pack("<Q", len(head)) + head + packed[8 + length :]


def _median_distance(rows: Float[np.ndarray, "n d"]) -> float:
    """The median heuristic: median Euclidean distance of two different rows."""
    squares = np.square(rows).sum(axis=1)
    distances = squares[:, None] + squares[None, :] - 2 * rows @ rows.T
    return float(np.median(np.sqrt(np.maximum(distances, 0))[np.triu_indices(len(rows), 1)]))


def _rotation(random: np.random.RandomState, width: int) -> Float[np.ndarray, "f d"]:
    """Rows of a random rotation, as many as are of use (Mezzadri 2007)."""
    drawn = orthonormal(random.standard_normal((width, min(width, FREQUENCIES))).T)
    return drawn.T if width <= FREQUENCIES else drawn
