"""Encodings: the features that checkpoints give of samples, kept in the home for the next time."""

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path, PurePosixPath

from registry.cards import Checkpoint, Task
from registry.documents import Plain, read_json
from registry.encoders import Encoder, at_positions
from registry.errors import (
    DiskFull,
    NotFetched,
    ObjectDamaged,
    ObjectMissing,
    ObjectsError,
    UnreadableDocument,
    UnsafeArchive,
)
from registry.features import Encoded, cached
from registry.files import matching, write_atomic
from registry.home import Home
from registry.inspection import has_weights
from registry.modalities import modalities
from registry.object_cache import ObjectCache
from registry.progress import Progress, silent
from registry.sample import Sample

__all__ = ["Encodings"]

FEATURES, MEASUREMENTS = "features", "measurements"
"""What shared features are named under, and what encoding them took."""
_LEFT_ALONE = 60.0
"""Seconds for which a place of objects that does not answer is not asked for features, nor given any."""


class Encodings:
    """What a home keeps of encoding, and who encodes what it does not keep."""

    def __init__(
        self,
        home: Home,
        checkpoint: Callable[[str], Checkpoint],
        encoder: Callable[..., Encoder],
        note: Callable[[str], None],
    ) -> None:
        """Ask for the card and the opened net of a checkpoint by name; damaged and unwritten files are noted."""
        self._home, self._checkpoint, self._encoder, self._note = home, checkpoint, encoder, note
        self._retry_at = 0.0

    def encode(
        self,
        checkpoint: str,
        sample: Sample,
        *,
        whole: bool = False,
        known: Sample | None = None,
        progress: Progress = silent,
    ) -> Encoded:
        """Every block's features of a sample, kept in the home for the next time.

        Where positions of items are labelled, each has a vector, item after item; but if ``whole``, each item.
        ``known`` is a sample whose features may be kept already: of rows that are in both, these are taken.

        Raises:
            UnknownName: there is no such checkpoint.
            CheckpointError: it cannot be used.
        """

        def encoded() -> Encoded:
            if sample.task is Task.TOKEN_CLASSIFICATION:
                encoder = self._encoder(checkpoint, progress=progress)
                return (encoder if whole else at_positions(encoder)).encode(sample.items, progress=progress)
            return self._encode(checkpoint, sample, known, progress)

        place = self._place(checkpoint, sample, whole=whole)
        there = place.exists() or self._fetched(FEATURES, place)
        features = cached(place, encoded, keep=self._home.writable, note=self._note)
        if not there:
            self._share(FEATURES, place)
        return features

    def _encode(self, checkpoint: str, sample: Sample, known: Sample | None, progress: Progress) -> Encoded:
        if known is None or not self.encoded(checkpoint, known):
            return self._encoder(checkpoint, progress=progress).encode(sample.items, progress=progress)
        before = self.encode(checkpoint, known)
        rows = {item.shown: row for row, item in enumerate(known.items)}
        fresh = [item for item in sample.items if item.shown not in rows]
        if fresh:
            before = before.beside(self._encoder(checkpoint, progress=progress).encode(fresh, progress=progress))
        rows |= {item.shown: len(known) + row for row, item in enumerate(fresh)}
        return before.ordered([rows[item.shown] for item in sample.items])

    def measurement(self, checkpoint: str, sample: Sample) -> Plain:
        """What `keep_measurement` kept beside a sample's features; None where there is nothing, or it is damaged.

        Raises:
            UnknownName: there is no such checkpoint.
        """
        path = self._place(checkpoint, sample)
        beside = path.with_suffix(".json")
        if not (path.exists() and (beside.exists() or self._fetched(MEASUREMENTS, beside))):
            return None
        try:
            return read_json(beside)
        except (UnreadableDocument, NotFetched):
            return None

    def keep_measurement(self, checkpoint: str, sample: Sample, content: Plain) -> None:
        """Keep what encoding a sample took beside its features, as plain JSON; they would tell nothing of it.

        Raises:
            UnknownName: there is no such checkpoint.
        """
        path = self._place(checkpoint, sample).with_suffix(".json")
        if not self._home.writable:
            return
        try:
            write_atomic(path, json.dumps(content).encode())
        except OSError as cause:
            self._note(f"what encoding took is not kept: {cause}")
        else:
            self._share(MEASUREMENTS, path)

    def encoded(self, checkpoint: str, sample: Sample) -> bool:
        """Whether a sample's features are kept already; those that are shared are fetched to see it.

        Raises:
            UnknownName: there is no such checkpoint.
        """
        place = self._place(checkpoint, sample)
        return place.exists() or self._fetched(FEATURES, place)

    def recipe(self, checkpoint: Checkpoint) -> str:
        """What its features are kept under: it changes with name, weights, settings, and the version that encodes."""
        shared = self._home.shared
        if shared is None or not checkpoint.objects:
            return _short(_recipe(checkpoint, _processing(checkpoint)))
        here = has_weights(checkpoint.folder)
        return _short(_recipe(checkpoint, _digests(checkpoint) if here else _shared_digests(checkpoint, shared)))

    def _fetched(self, kind: str, place: Path) -> bool:
        """Whether what is shared of that name lies here now. A place that fails is left alone for a while."""
        shared = self._home.shared
        if shared is None or time.monotonic() < self._retry_at:
            return False
        try:
            return shared.fetch_file(kind, place)
        except (ObjectMissing, ObjectDamaged, UnsafeArchive) as cause:
            self._note(f"{cause}; what was shared is made anew")
        except (ObjectsError, DiskFull) as cause:
            self._do_without(cause)
        return False

    def _share(self, kind: str, place: Path) -> None:
        shared = self._home.shared
        if shared is None or time.monotonic() < self._retry_at or not place.exists():
            return
        try:
            shared.share_file(kind, place)
        except (ObjectsError, DiskFull) as cause:
            self._do_without(cause)

    def _do_without(self, cause: Exception) -> None:
        self._retry_at = time.monotonic() + _LEFT_ALONE
        self._note(f"features are not shared: {cause}")

    def _place(self, checkpoint: str, sample: Sample, *, whole: bool = False) -> Path:
        """Where the features that a checkpoint gives of a sample are kept."""
        rows = sample.order if whole or sample.task is not Task.TOKEN_CLASSIFICATION else f"positions-{sample.order}"
        return self._home.features / f"{self.recipe(self._checkpoint(checkpoint))}-{_short(rows)}.safetensors"


def _recipe(card: Checkpoint, processing: Iterable[tuple[str, bytes]]) -> str:
    """What fixes a checkpoint's features: its name, weights, settings, and the version that encodes.

    ``processing`` are the files of its settings and their contents, or what stands for these.
    """
    cap = "" if card.cap is None else f" {card.cap}"
    total = sha256(f"{card.name} {card.digest} {version('transferzoo')}{cap}".encode())
    for file, content in processing:
        total.update(f"{file} {len(content)} ".encode() + content)
    return total.hexdigest()


def _processing(card: Checkpoint) -> Iterator[tuple[str, bytes]]:
    """The files of a checkpoint's settings in its folder, with their contents; none for one that is not there."""
    for pattern in _patterns(card):
        for file in matching([pattern], card.folder) or (pattern,):
            path = card.folder / file
            yield file, path.read_bytes() if path.is_file() else b""


def _digests(card: Checkpoint) -> Iterator[tuple[str, bytes]]:
    """The same files with the digests of their contents: all that is known of a folder that is not here."""
    return ((file, sha256(content).digest() if content else b"") for file, content in _processing(card))


def _shared_digests(card: Checkpoint, shared: ObjectCache) -> Iterator[tuple[str, bytes]]:
    """As `_digests`, of the manifest; nothing of the folder is fetched."""
    files = {PurePosixPath(file.path): file for file in shared.manifest(card.objects).files}
    for pattern in _patterns(card):
        matches = [path for path in sorted(files) if len(path.parts) == pattern.count("/") + 1 and path.match(pattern)]
        for path in matches:
            yield str(path), bytes.fromhex(files[path].digest) if files[path].size else b""
        if not matches:
            yield pattern, b""


def _patterns(card: Checkpoint) -> tuple[str, ...]:
    return ("config.json", *modalities[card.modality].processor_files)


def _short(digest: str) -> str:
    return re.sub(r"\W+", "-", digest)[:32]
