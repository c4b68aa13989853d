"""Encodings: the features that checkpoints give of samples, kept in the home for the next time."""

import json
import re
from collections.abc import Callable
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from registry.cards import Checkpoint, Task
from registry.documents import Plain, read_json
from registry.encoders import Encoder, at_positions
from registry.errors import NotFetched, UnreadableDocument
from registry.features import Encoded, cached
from registry.files import matching, write_atomic
from registry.home import Home
from registry.modalities import modalities
from registry.progress import Progress, silent
from registry.sample import Sample

__all__ = ["Encodings"]


class Encodings:
    """What a home keeps of encoding, and who encodes what it does not keep."""

    def __init__(
        self,
        home: Home,
        checkpoint: Callable[[str], Checkpoint],
        encoder: Callable[[str], Encoder],
        note: Callable[[str], None],
    ) -> None:
        """Ask for the card and the opened net of a checkpoint by name; damaged and unwritten files are noted."""
        self._home, self._checkpoint, self._encoder, self._note = home, checkpoint, encoder, note

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
                encoder = self._encoder(checkpoint)
                return (encoder if whole else at_positions(encoder)).encode(sample.items, progress=progress)
            return self._encode(checkpoint, sample, known, progress)

        return cached(
            self._place(checkpoint, sample, whole=whole),
            encoded,
            keep=self._home.writable,
            note=self._note,
        )

    def _encode(self, checkpoint: str, sample: Sample, known: Sample | None, progress: Progress) -> Encoded:
        if known is None or not self.encoded(checkpoint, known):
            return self._encoder(checkpoint).encode(sample.items, progress=progress)
        before = self.encode(checkpoint, known)
        rows = {item.shown: row for row, item in enumerate(known.items)}
        fresh = [item for item in sample.items if item.shown not in rows]
        if fresh:
            before = before.beside(self._encoder(checkpoint).encode(fresh, progress=progress))
        rows |= {item.shown: len(known) + row for row, item in enumerate(fresh)}
        return before.ordered([rows[item.shown] for item in sample.items])

    def measurement(self, checkpoint: str, sample: Sample) -> Plain:
        """What `keep_measurement` kept beside a sample's features; None where there is nothing, or it is damaged.

        Raises:
            UnknownName: there is no such checkpoint.
        """
        path = self._place(checkpoint, sample)
        if not (path.exists() and path.with_suffix(".json").exists()):
            return None
        try:
            return read_json(path.with_suffix(".json"))
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

    def encoded(self, checkpoint: str, sample: Sample) -> bool:
        """Whether a sample's features are kept already.

        Raises:
            UnknownName: there is no such checkpoint.
        """
        return self._place(checkpoint, sample).exists()

    def recipe(self, checkpoint: Checkpoint) -> str:
        """What its features are kept under: it changes with name, weights, settings, and the version that encodes."""
        return _short(_recipe(checkpoint))

    def _place(self, checkpoint: str, sample: Sample, *, whole: bool = False) -> Path:
        """Where the features that a checkpoint gives of a sample are kept."""
        rows = sample.order if whole or sample.task is not Task.TOKEN_CLASSIFICATION else f"positions-{sample.order}"
        return self._home.features / f"{self.recipe(self._checkpoint(checkpoint))}-{_short(rows)}.safetensors"


def _recipe(card: Checkpoint) -> str:
    """What fixes a checkpoint's features: its name, weights, settings, and the version that encodes."""
    cap = "" if card.cap is None else f" {card.cap}"
    total = sha256(f"{card.name} {card.digest} {version('transferzoo')}{cap}".encode())
    for pattern in ("config.json", *modalities[card.modality].processor_files):
        for file in matching([pattern], card.folder) or (pattern,):
            path = card.folder / file
            content = path.read_bytes() if path.is_file() else b""
            total.update(f"{file} {len(content)} ".encode() + content)
    return total.hexdigest()


def _short(digest: str) -> str:
    return re.sub(r"\W+", "-", digest)[:32]
