"""Images in a zip of class folders; nothing is unpacked to disk, and nothing is expanded before it is judged.

What is refused: names that climb out, links, collisions, encryption, and bombs (see Fifield, "A better zip bomb",
WOOT 2019, for what the caps on ratio, bytes and entries are against).
"""

import stat
import struct
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from registry.errors import NoItems, TransferZooError, UnsafeArchive, printable
from registry.progress import Progress, silent
from registry.readers.decoding import Scale
from registry.readers.images import IMAGE_SUFFIXES, MAX_BYTES, TOLERATED, Rows, read_items
from registry.readers.layout import (
    Lay,
    Part,
    counted,
    is_hidden,
    is_hidden_image,
    is_image,
    lay_out,
    not_images,
    other_files,
    read_parts,
    sampled,
    unlabelled,
)

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
_UTF_8 = 0x800
_BROKEN = (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, ValueError, ArithmeticError, struct.error)
"""What a damaged directory of members ends in."""


def read_image_zip(
    path: Path,
    *,
    limit: int,
    seed: int = 0,
    labelled: bool = True,
    lay: Lay = lay_out,
    scale: Scale | None = None,
    caps: Caps = _CAPS,
    progress: Progress = silent,
) -> Rows:
    """Judge every member, label (``lay``), sample to ``limit`` rows a part, then decode from memory.

    Not ``labelled``, every image counts, wherever it lies, and any number of them may be unreadable. ``scale`` maps
    deep pictures, where it is not to be measured on these.

    Raises:
        UnsafeArchive: a member that climbs out, explodes, collides, or is a link or encrypted.
        NoItems: no zip, no image in it, or none in a class folder.
        AmbiguousLayout: folders that may be read one way or another.
        TooManyUnreadable: more than one in five cannot be read.
    """
    with _opened(path) as archive:
        members = _judged(path, archive.infolist(), caps)
        images = {name: info for name, info in members.items() if is_image(name)}
        others = Counter(
            PurePosixPath(name).suffix.lower() for name in members if not is_image(name) and not is_hidden(name)
        )
        if not images:
            raise NoItems(
                path,
                "images in class folders" if labelled else "images",
                there=other_files(others),
                remedy=_remedy(others),
            )
        layout, tolerated = (lay(path, tuple(images)), TOLERATED) if labelled else (unlabelled(tuple(images)), 1.0)

        def fetch(name: str) -> tuple[bytes, Path | None]:
            if images[name].file_size > MAX_BYTES:
                raise OSError(f"{images[name].file_size >> 20} MiB, more than {MAX_BYTES >> 20}")
            return archive.read(images[name]), None

        def read(part: Part, scale: Scale | None) -> Rows:
            drawn = sampled(part, limit, seed)
            rows = read_items(
                path, drawn.names, drawn.labels, fetch, progress=progress, tolerated=tolerated, scale=scale
            )
            return replace(rows, found=len(part.names))

        hidden = sorted({printable(name) for name in members if is_hidden_image(name)})
        notes = [f"{counted(len(hidden), 'hidden image')} passed over ({hidden[0]} for one)"] if hidden else []
        return read_parts(layout, read, scale, [*notes, *([not_images(others)] if others else [])])


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
    if not stat.S_ISREG(path.stat().st_mode):
        raise NoItems(path, "images: it is a pipe, a device or a socket", remedy="Give a folder or a zip.")
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except TransferZooError:
        raise
    except _BROKEN as cause:
        raise NoItems(path, f"zip that can be opened ({cause})") from cause


def _remedy(others: Counter[str]) -> str:
    if others[".zip"]:
        return "A zip in a zip is not opened: unpack the outer one, and give the folder or one of the zips in it."
    return f"Images that are read end in {' '.join(sorted(IMAGE_SUFFIXES))}; convert others." if others else ""


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
        if info.is_dir() or (info.filename.endswith("\\") and not info.file_size):
            continue
        name = str(PurePosixPath(_name(info).replace("\\", "/")))
        if name in members:
            raise UnsafeArchive(path, info.filename, "is there twice")
        members[name] = info
    return members


def _name(info: zipfile.ZipInfo) -> str:
    """A member's name; without the flag that states an encoding it is UTF-8 where that fits, else code page 437."""
    if info.flag_bits & _UTF_8 or info.filename.isascii():
        return info.filename
    try:
        return info.filename.encode("cp437").decode()
    except UnicodeError:
        return info.filename


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
