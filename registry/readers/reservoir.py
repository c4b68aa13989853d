"""A sample of a stream that may be longer than memory: as many entries as are to be kept, each as likely as any other.

Vitter 1985, algorithm R (https://doi.org/10.1145/3147.3165).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Generic, TypeVar

__all__ = ["Reservoir", "reservoir_sample"]

Entry = TypeVar("Entry")


@dataclass(frozen=True)
class Reservoir(Generic[Entry]):
    """What was kept of a stream, in its order."""

    entries: tuple[Entry, ...]
    seen: int
    """Entries of the stream."""

    @property
    def note(self) -> str:
        """How many of how many were kept, in words; empty where all were."""
        kept = len(self.entries)
        return f"a draw of {kept:,} of {self.seen:,}" if kept < self.seen else ""


def reservoir_sample(stream: Iterable[Entry], most: int, seed: int = 0) -> Reservoir[Entry]:
    """At most ``most`` entries, each as likely as any other, in the stream's order; the same for a seed.

    Only what is kept is held in memory.
    """
    chance = Random(seed)  # noqa: S311 - a seeded draw, no secret
    kept: list[tuple[int, Entry]] = []
    seen = 0
    for entry in stream:
        if seen < most:
            kept.append((seen, entry))
        elif (place := chance.randrange(seen + 1)) < most:
            kept[place] = (seen, entry)
        seen += 1
    kept.sort(key=lambda pair: pair[0])
    return Reservoir(tuple(entry for _, entry in kept), seen)
