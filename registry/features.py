"""Features: vectors that remember their encoder; saved, loaded and cached as safetensors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int, Real, Shaped
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from registry.errors import (
    CacheDamaged,
    EncoderMismatch,
    LengthMismatch,
    NotFinite,
    NotNumbers,
    NotRows,
    OutOfRange,
    TooFewRows,
    UnusableLabels,
)
from registry.files import replacing

__all__ = ["LARGEST", "Array", "Encoded", "Features", "cached", "content_order", "finite_rows", "numbered"]

LARGEST = 1e100
"""Values beyond it are refused: sums of their squares would overflow."""


@runtime_checkable
class Array(Protocol):
    """What counts as an array wherever one is taken: NumPy's, or a torch tensor in main memory."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length along each axis."""

    @property
    def dtype(self) -> object:
        """Kind of its numbers."""


@dataclass(frozen=True, eq=False)
class Features:
    """A cloud of n vectors of width d, with the name of the space they lie in."""

    vectors: Float[np.ndarray, "n d"]
    encoder: str
    """``name@digest#block``: equal strings mean one space."""

    def __post_init__(self) -> None:
        bad = ~np.isfinite(self.vectors).all(axis=1)
        if bad.any():
            raise NotFinite(f"features of {self.encoder}", int(np.argmax(bad)))

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def width(self) -> int:
        """Number of columns."""
        return int(self.vectors.shape[1])

    def require_space(self, encoder: str) -> None:
        """Raise `EncoderMismatch` unless these lie in that space."""
        if self.encoder != encoder:
            raise EncoderMismatch(self.encoder, encoder)

    def take(self, rows: np.ndarray) -> "Features":
        """The rows named by an index or a mask."""
        return Features(self.vectors[rows], self.encoder)


@dataclass(frozen=True, eq=False)
class Encoded:
    """Every block's pooled features of the same n items, from one forward pass, input side first."""

    blocks: tuple[Features, ...]
    names: tuple[str, ...]
    head: Float[np.ndarray, "n c"] | None = None
    """The source head's class probabilities, where the checkpoint has a classifier."""

    def __post_init__(self) -> None:
        if len(self.blocks) != len(self.names):
            raise LengthMismatch("blocks and names", len(self.blocks), len(self.names))

    def __len__(self) -> int:
        return len(self.blocks[0])

    @property
    def last(self) -> Features:
        """What a head would be put on."""
        return self.blocks[-1]

    def take(self, rows: np.ndarray) -> "Encoded":
        """The same blocks of some of the items."""
        head = None if self.head is None else self.head[rows]
        return Encoded(tuple(block.take(rows) for block in self.blocks), self.names, head)

    def ordered(self, rows: Sequence[int]) -> "Encoded":
        """The same blocks of the items of these numbers, in this order."""
        return self.take(np.array(rows, np.int64))

    def beside(self, other: "Encoded") -> "Encoded":
        """The same blocks of these items and, after them, of another's.

        Raises:
            EncoderMismatch: these are not the same blocks.
        """
        for mine, theirs in zip(self.blocks, other.blocks, strict=True):
            theirs.require_space(mine.encoder)
        pairs = zip(self.blocks, other.blocks, strict=True)
        blocks = tuple(Features(np.concatenate([a.vectors, b.vectors]), a.encoder) for a, b in pairs)
        head = None if self.head is None or other.head is None else np.concatenate([self.head, other.head])
        return Encoded(blocks, self.names, head)

    def save(self, path: Path, key: str = "") -> None:
        """Write all blocks to one safetensors file, atomically, with ``key`` and a digest of all that is in it.

        Raises:
            DiskFull: there is no room; nothing is left of it.
        """
        tensors = {f"block.{place:03d}": np.ascontiguousarray(b.vectors) for place, b in enumerate(self.blocks)}
        if self.head is not None:
            tensors["head"] = np.ascontiguousarray(self.head)
        notes = {f"name.{place:03d}": name for place, name in enumerate(self.names)}
        notes |= {f"encoder.{place:03d}": block.encoder for place, block in enumerate(self.blocks)} | {"key": key}
        notes["digest"] = _content_digest(tensors, notes)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, sum(tensor.nbytes for tensor in tensors.values())) as partial:
            save_file(tensors, partial, metadata=notes)

    @classmethod
    def load(cls, path: Path, key: str = "") -> "Encoded":
        """Read what `save` wrote under that key, and check it against its digest.

        Raises:
            CacheDamaged: it is damaged, or was written under another key.
        """
        try:
            with safe_open(path, "np") as stored:
                notes = dict(stored.metadata() or {})
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - no dict
            digest = notes.pop("digest", "")
            if not digest:
                raise CacheDamaged(path, "it has no digest of its content")
            if digest != _content_digest(tensors, notes):
                raise CacheDamaged(path, "its content does not match its digest")
            if notes["key"] != key:
                raise CacheDamaged(path, f"it was kept as {notes['key']!r}")
            places = sorted(name[6:] for name in tensors if name.startswith("block."))
            blocks = tuple(Features(tensors[f"block.{p}"], notes[f"encoder.{p}"]) for p in places)
            return cls(blocks, tuple(notes[f"name.{p}"] for p in places), tensors.get("head"))
        except (SafetensorError, KeyError, OSError, TypeError, ValueError) as cause:
            if isinstance(cause, CacheDamaged):
                raise
            raise CacheDamaged(path, str(cause)) from cause


def cached(
    path: Path, make: Callable[[], Encoded], *, keep: bool = True, note: Callable[[str], None] = lambda _line: None
) -> Encoded:
    """What lies at ``path`` and is sound, else what ``make`` gives, kept there if ``keep``.

    ``note`` hears of a file that was damaged and is made anew, and of features that could not be kept.
    """
    if path.exists():
        try:
            return Encoded.load(path, path.stem)
        except CacheDamaged as cause:
            note(f"{cause}; these features are made anew")
    encoded = make()
    if keep:
        try:
            encoded.save(path, path.stem)
        except OSError as cause:
            note(f"features are not kept: {cause}")
    return encoded


def _content_digest(tensors: Mapping[str, np.ndarray], notes: Mapping[str, str]) -> str:
    """SHA-256 over all tensors with their names, types and shapes, and over what is noted of them."""
    total = sha256()
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name}:{tensor.dtype.str}:{tensor.shape}:".encode())
        total.update(np.ascontiguousarray(tensor).data)
    for pair in sorted(notes.items()):
        total.update(repr(pair).encode("utf-8", "surrogateescape"))
    return total.hexdigest()


def finite_rows(array: Real[Array, "..."], what: str, least: int = 2) -> Float[np.ndarray, "n d"]:
    """The array as rows of finite floats, of single precision at least; ``what`` names it in an error.

    Raises:
        NotNumbers: text, objects, complex or masked values.
        NotRows: it is not two-dimensional, or has no column.
        TooFewRows: fewer than ``least`` rows.
        NotFinite: a NaN or infinite value, with its first row.
        OutOfRange: a value whose square would overflow.
    """
    if np.ma.is_masked(array):
        raise NotNumbers(what, "an array with masked values")
    try:
        rows = np.asarray(array)
    except (ValueError, TypeError) as cause:
        raise NotNumbers(what, "rows of different length") from cause
    if rows.dtype.kind not in "biuf":
        raise NotNumbers(what, f"an array of {rows.dtype}")
    if rows.ndim != 2 or not rows.shape[1]:
        raise NotRows(what, rows.shape)
    if len(rows) < least:
        raise TooFewRows(what, least, len(rows))
    rows = rows.astype(np.result_type(rows.dtype, np.float32), copy=False)
    largest = max(float(rows.max(initial=0)), -float(rows.min(initial=0)))
    if not largest <= LARGEST:
        bad = ~np.isfinite(rows).all(axis=1)
        if bad.any():
            raise NotFinite(what, int(np.argmax(bad)))
        row = int(np.abs(rows).max(axis=1).argmax())
        raise OutOfRange(what, row, largest)
    return rows


def numbered(names: Shaped[Array, " g"], rows: int, pair: str, what: str) -> Int[np.ndarray, " n"]:
    """A number for each row's group; ``pair`` names rows and groups in an error, ``what`` the groups.

    Raises:
        LengthMismatch: not as many groups as rows.
        UnusableLabels: names of several kinds, or of one without an order.
        TooFewRows: all rows are one group.
    """
    try:
        array = np.asarray(names)
        if array.shape != (rows,):
            raise LengthMismatch(pair, rows, len(array) if array.ndim else 0)
        number = np.unique(array, return_inverse=True)[1]
    except LengthMismatch:
        raise
    except (TypeError, ValueError) as cause:
        raise UnusableLabels(f"{what} are not of one kind ({cause})") from cause
    if number.max() < 1:
        raise TooFewRows(what, 2, 1)
    return number


def content_order(rows: Float[np.ndarray, "n d"]) -> Int[np.ndarray, " n"]:
    """The rows' order by a hash of their values: the same sequence of rows in whatever order they come."""
    with np.errstate(over="ignore"):
        single = rows.astype("<f4") + np.float32(0)  # adding makes -0.0 and 0.0 one
    tickets = b"".join(blake2b(row.tobytes(), digest_size=8).digest() for row in single)
    return np.argsort(np.frombuffer(tickets, ">u8"), kind="stable")
