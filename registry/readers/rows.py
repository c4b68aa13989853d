"""Rows: what a container gives, once the modality has decoded what lies in it."""

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from registry.cards import Task
from registry.errors import TooManyUnreadable, printable
from registry.modalities import Item, Modality, Reading, Undecodable, modalities
from registry.progress import Phase, Progress, tracked

__all__ = ["MAX_BYTES", "TOLERATED", "Rows", "keep_items", "known_suffixes", "prevailing", "read_items"]

MAX_BYTES = 256 * 2**20
TOLERATED = 0.2
"""Share of a sample's items that may be unreadable."""


@dataclass(frozen=True)
class Rows:
    """What a reader gives: labelled items, and what became of the rest."""

    modality: Modality
    items: tuple[Item, ...]
    labels: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...] = ()
    """Name and reason of each item skipped."""
    total: int = 0
    """Files there were, before any sampling."""
    notes: tuple[str, ...] = ()
    test: "Rows | None" = None
    reading: Reading = field(default_factory=dict)
    """By which the items were settled."""
    task: Task | None = None
    """What the labels are, where the container says it."""
    groups: tuple[str, ...] | None = None
    """What each row belongs to, where the container says it."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """The columns that records were read by."""
    truths: Mapping[str, str] = field(default_factory=dict)
    """What records state of items that were read in no class, by name."""

    @property
    def converted(self) -> dict[str, int]:
        """How many items of each unusual kind were converted."""
        return dict(sorted(Counter(kind for item in self.items for kind in item.kinds).items()))


def known_suffixes() -> frozenset[str]:
    """Endings of files that hold an item of any modality."""
    return frozenset[str]().union(*(modality.suffixes for modality in modalities.each()))


def prevailing(names: Iterable[str], modality: Modality | None = None) -> tuple[Modality, tuple[str, ...]]:
    """The named modality, else that of most of the files; a note where there are files of others."""
    endings = Counter(PurePosixPath(name).suffix.lower() for name in names)
    files = {each.name: sum(endings[suffix] for suffix in each.suffixes) for each in modalities.each()}
    chosen = modalities[max(files, key=lambda name: files[name])] if modality is None else modality
    return chosen, tuple(
        f"{modalities[name].words.count(count)} there too, not read: --modality {name} (modality={name!r}) reads them"
        for name, count in files.items()
        if count and name != chosen.name
    )


def read_items(
    place: Path,
    names: Sequence[str],
    labels: Sequence[str],
    fetch: Callable[[str], tuple[bytes, Path | None]],
    *,
    modality: Modality,
    progress: Progress,
    tolerated: float = TOLERATED,
    reading: Reading | None = None,
) -> Rows:
    """Read every named file once, in a pool of threads, and keep what can be decoded.

    ``fetch`` gives a name's bytes, and its path where the bytes need not be kept. Items are settled by ``reading``.

    Raises:
        TooManyUnreadable: more than the share ``tolerated`` cannot be read.
    """

    def decode(name: str) -> Item | Undecodable:
        try:
            content, path = fetch(name)
        except Exception as fault:  # archives raise anything at all on broken bytes
            return Undecodable(_in_words(fault))
        return modality.decode(printable(name), content, path) if content else Undecodable("empty file")

    return keep_items(
        place, names, labels, decode, modality=modality, progress=progress, tolerated=tolerated, reading=reading
    )


def keep_items(
    place: Path,
    names: Sequence[str],
    labels: Sequence[str],
    decode: Callable[[str], Item | Undecodable],
    *,
    modality: Modality,
    progress: Progress,
    tolerated: float = TOLERATED,
    reading: Reading | None = None,
) -> Rows:
    """What ``decode`` makes of every name, in a pool of threads, without what is no item.

    Raises:
        TooManyUnreadable: as `read_items`.
    """
    with warnings.catch_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        warnings.simplefilter("ignore")  # decoders' complaints become results
        decoded = list(tracked(pool.map(decode, names), progress, Phase.READ, len(names), modality.words.many))
    bad = [
        (printable(name), each.reason)
        for name, each in zip(names, decoded, strict=True)
        if isinstance(each, Undecodable)
    ]
    if len(bad) > tolerated * len(names):
        raise TooManyUnreadable(place, len(bad), len(names), ": ".join(bad[0]))
    kept = [(each, label) for each, label in zip(decoded, labels, strict=True) if not isinstance(each, Undecodable)]
    items, settled = modality.settled([item for item, _ in kept], reading or {})
    return Rows(modality, items, tuple(label for _, label in kept), tuple(bad), total=len(names), reading=settled)


def _in_words(fault: Exception) -> str:
    if isinstance(fault, OSError) and fault.strerror:
        return fault.strerror
    return printable(str(fault)) or type(fault).__name__
