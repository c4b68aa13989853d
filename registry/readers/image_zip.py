"""Images in a zip of class folders; nothing is unpacked to disk, and nothing is expanded before it is judged.

What is refused: names that climb out, links, collisions, encryption, and bombs (see Fifield, "A better zip bomb",
WOOT 2019, for what the caps on ratio, bytes and entries are against).
"""

import stat
import struct
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from registry.errors import NoItems, UnsafeArchive
from registry.progress import Progress, silent
from registry.readers.images import MAX_BYTES, TOLERATED, Rows, read_items
from registry.readers.layout import Lay, Part, is_hidden, is_image, lay_out, not_images, sampled, unlabelled

__all__ = ["Caps", "read_image_zip", "require_sound"]


@dataclass(frozen=True)
class Caps:
    """How much an archive may hold, and how tightly packed."""

    entries: int = 250_000
    unpacked_bytes: int = 2 * 2**30
    ratio: int = 200
    ratio_from: int = 2**20
    """Members smaller than this, unpacked, may be packed as tightly as they like."""


_CAPS = Caps()


def read_image_zip(
    path: Path, *, limit: int, seed: int = 0, labelled: bool = True, lay: Lay = lay_out, caps: Caps = _CAPS,
    progress: Progress = silent,
) -> Rows:  # fmt: skip
    """Judge every member, label (``lay``), sample to ``limit`` rows a part, then decode from memory.

    Not ``labelled``, every image counts, wherever it lies, and any number of them may be unreadable.

    Raises:
        UnsafeArchive: a member that climbs out, explodes, collides, or is a link or encrypted.
        NoItems: no zip, no image in it, or none in a class folder.
        TooManyUnreadable: more than one in five cannot be read.
    """
    with _opened(path) as archive:
        return _rows(path, archive, limit, seed, lay if labelled else None, caps, progress)


def require_sound(path: Path, *, caps: Caps = _CAPS) -> None:
    """Judge an archive by its table of contents alone: nothing is unpacked.

    Raises:
        UnsafeArchive: a member that climbs out, explodes, collides, or is a link or encrypted.
        NoItems: no zip, or no image in it.
    """
    with _opened(path) as archive:
        if not any(is_image(name) for name in _judged(path, archive.infolist(), caps)):
            raise NoItems(path, "images")


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, NotImplementedError, EOFError, struct.error) as cause:
        raise NoItems(path, f"zip that can be opened ({cause})") from cause


def _rows(
    path: Path, archive: zipfile.ZipFile, limit: int, seed: int, lay: Lay | None, caps: Caps, progress: Progress
) -> Rows:
    members = _judged(path, archive.infolist(), caps)
    images = {name: info for name, info in members.items() if is_image(name)}
    others = sum(not is_image(name) and not is_hidden(name) for name in members)
    if not images:
        raise NoItems(path, "images in class folders" if lay else "images")
    layout, tolerated = (lay(path, tuple(images)), TOLERATED) if lay else (unlabelled(tuple(images)), 1.0)

    def fetch(name: str) -> tuple[bytes, Path | None]:
        if images[name].file_size > MAX_BYTES:
            raise OSError(f"{images[name].file_size >> 20} MiB, more than {MAX_BYTES >> 20}")
        return archive.read(images[name]), None

    def read(part: Part) -> Rows:
        drawn = sampled(part, limit, seed)
        rows = read_items(path, drawn.names, drawn.labels, fetch, progress=progress, tolerated=tolerated)
        return replace(rows, found=len(part.names))

    test = None if layout.test is None else read(layout.test)
    notes = (*layout.notes, not_images(others)) if others else layout.notes
    return replace(read(layout.train), notes=notes, test=test)


def _judged(path: Path, infos: Sequence[zipfile.ZipInfo], caps: Caps) -> dict[str, zipfile.ZipInfo]:
    """The files by their plain names, once every member has been found harmless."""
    if len(infos) > caps.entries:
        raise UnsafeArchive(path, infos[caps.entries].filename, f"is one of {len(infos)}; at most {caps.entries}")
    members: dict[str, zipfile.ZipInfo] = {}
    unpacked = 0
    for info in infos:
        _require_plain(path, info)
        _require_loose(path, info, caps)
        unpacked += info.file_size
        if unpacked > caps.unpacked_bytes:
            raise UnsafeArchive(path, info.filename, f"takes it past {caps.unpacked_bytes >> 20} MiB unpacked")
        if info.is_dir():
            continue
        name = str(PurePosixPath(info.filename.replace("\\", "/")))
        if name in members:
            raise UnsafeArchive(path, info.filename, "is there twice")
        members[name] = info
    return members


def _require_plain(path: Path, info: zipfile.ZipInfo) -> None:
    name = info.filename
    if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or name[1:2] == ":":
        raise UnsafeArchive(path, name, "climbs out of the archive")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise UnsafeArchive(path, name, "is a symbolic link")
    if info.flag_bits & 0x1:
        raise UnsafeArchive(path, name, "is encrypted")


def _require_loose(path: Path, info: zipfile.ZipInfo, caps: Caps) -> None:
    if info.file_size > caps.ratio_from and info.file_size > caps.ratio * info.compress_size:
        ratio = info.file_size // max(info.compress_size, 1)
        raise UnsafeArchive(path, info.filename, f"unpacks {ratio}:1; at most {caps.ratio}:1")
