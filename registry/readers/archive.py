"""Items in a zip of class folders; nothing is unpacked to disk, and nothing is expanded before it is judged.

What is refused: names that climb out, links, collisions, encryption, and bombs (see Fifield, "A better zip bomb",
WOOT 2019, for what the caps on ratio, bytes and entries are against). A member that unpacks to more than the directory
states is read no further than that, which only deflate allows.
"""

import io
import re
import stat
import struct
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from registry.errors import NoItems, TransferZooError, UnsafeArchive, printable
from registry.modalities import Modality, Reading
from registry.progress import Progress, silent
from registry.readers.layout import (
    LayoutPart,
    LayoutRule,
    infer_layout,
    is_by_folders,
    is_hidden,
    is_hidden_item,
    is_item,
    not_items,
    other_files,
    read_parts,
    sampled,
    unread,
    without_labels,
)
from registry.readers.other_tasks import HEAD_BYTES, refuse_other_tasks
from registry.readers.rows import MAX_BYTES, TOLERATED, Rows, known_suffixes, prevailing, read_items

__all__ = ["Caps", "read_archive", "read_members", "require_sound"]


@dataclass(frozen=True)
class Caps:
    """How much an archive may hold, and how tightly packed."""

    entries: int = 250_000
    unpacked_bytes: int = 2 * 2**30
    ratio: int = 200
    ratio_from: int = 2**20
    """Members smaller than this, unpacked, may be packed as tightly as they like."""


_CAPS = Caps()
_SINGLE = (
    "A single file is read where it is a zip of a folder, or texts as CSV, TSV, JSON lines or Parquet; else give a "
    "folder, write one of those, or pass a DataFrame to Sample.from_frame."
)
_UTF_8 = 0x800
_MOST_DIRECTORY = MAX_BYTES
"""Bytes of the directory of members, which `zipfile` reads at once, before it knows how many these are; no member is
read further either."""
_MEMBER = b"PK\1\2"
"""What the entry of each member in the directory begins with."""
_PACKED = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
"""What is never unpacked further than is asked for; a few bytes of the others may be gigabytes."""
_UNBOUNDED = {zipfile.ZIP_BZIP2: "bzip2", zipfile.ZIP_LZMA: "lzma"}
_BROKEN = (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, ValueError, ArithmeticError, struct.error)
"""What a damaged directory of members ends in."""


def read_archive(
    path: Path,
    *,
    limit: int,
    modality: Modality | None = None,
    seed: int = 0,
    rule: LayoutRule | None = infer_layout,
    reading: Reading | None = None,
    caps: Caps = _CAPS,
    progress: Progress = silent,
) -> Rows:
    """Judge every member, label (``rule``), sample to ``limit`` rows a part, then decode from memory.

    Without ``modality`` it is that of most members. Without ``rule`` every item counts, wherever it lies, and any
    number of them may be unreadable. Items are settled by ``reading``, and else as they are measured themselves.

    Raises:
        UnsafeArchive: a member that climbs out, explodes, collides, or is a link or encrypted.
        NoItems: no zip, no item in it, or none in a class folder.
        AmbiguousLayout: folders that may be read one way or another.
        TooManyUnreadable: more than one in five cannot be read.
    """
    with _opened(path, caps) as archive:
        members = _judged(path, archive.infolist(), caps)
        known = known_suffixes()

        def head(name: str) -> bytes:
            return _unpacked(archive, members[name], MAX_BYTES if is_item(name, known) else HEAD_BYTES)

        if rule is not None and is_by_folders(rule):
            refuse_other_tasks(path, (name for name in members if not is_hidden(name)), head)
        kind, mixed = prevailing((name for name in members if is_item(name, known)), modality)
        words, chosen = kind.words, {name: info for name, info in members.items() if is_item(name, kind.suffixes)}
        others = Counter(
            PurePosixPath(name).suffix.lower() for name in members if name not in chosen and not is_hidden(name)
        )
        if not chosen:
            raise NoItems(
                path,
                words.many if rule is None else f"{words.many} in class folders",
                there=other_files(others),
                remedy=_remedy(others, kind),
            )
        names = tuple(chosen)
        layout, tolerated = (without_labels(names), 1.0) if rule is None else (rule(path, names, words), TOLERATED)

        def fetch(name: str) -> tuple[bytes, Path | None]:
            if chosen[name].file_size > MAX_BYTES:
                raise OSError(f"{chosen[name].file_size >> 20} MiB, more than {MAX_BYTES >> 20}")
            return _unpacked(archive, chosen[name], MAX_BYTES), None

        def read(part: LayoutPart, reading: Reading | None) -> Rows:
            drawn = sampled(part, limit, seed)
            rows = read_items(
                path,
                drawn.names,
                drawn.labels,
                fetch,
                modality=kind,
                progress=progress,
                tolerated=tolerated,
                reading=reading,
            )
            return replace(rows, total=len(part.names))

        hidden = sorted({printable(name) for name in members if is_hidden_item(name, kind.suffixes)})
        notes = [f"{words.count(len(hidden), 'hidden')} passed over ({hidden[0]} for one)"] if hidden else []
        return read_parts(layout, read, reading, [*notes, *([not_items(others, words)] if others else []), *mixed])


def read_members(path: Path, names: Iterable[str], *, caps: Caps = _CAPS) -> dict[str, bytes]:
    """The bytes of some members by their plain names, as far as they are there and no larger than an item may be.

    Raises:
        UnsafeArchive: a member that climbs out, explodes, collides, or is a link or encrypted.
        NoItems: no zip.
    """
    with _opened(path, caps) as archive:
        members = _judged(path, archive.infolist(), caps)
        wanted = (name for name in names if name in members and members[name].file_size <= MAX_BYTES)
        return {name: _unpacked(archive, members[name], MAX_BYTES) for name in wanted}


def require_sound(path: Path, *, caps: Caps = _CAPS) -> None:
    """Judge an archive by its table of contents alone: nothing is unpacked.

    Raises:
        UnsafeArchive: a member that climbs out, explodes, collides, or is a link or encrypted.
        NoItems: no zip, or no item in it.
    """
    known = known_suffixes()
    with _opened(path, caps) as archive:
        if not any(is_item(name, known) for name in _judged(path, archive.infolist(), caps)):
            raise NoItems(path, prevailing(())[0].words.many)


class _Directory(io.BufferedReader):
    """A zip's file, of whose directory of members no more is read than may be."""

    def __init__(self, path: Path, caps: Caps) -> None:
        super().__init__(io.FileIO(path))
        self._path, self._caps = path, caps

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes.

        Raises:
            UnsafeArchive: they are a directory of too many members.
        """
        if size is not None and size > _MOST_DIRECTORY:
            why = f"has {size >> 20} MiB of names; at most {_MOST_DIRECTORY >> 20}"
            raise UnsafeArchive(self._path, "its directory", why)
        content = super().read(size)
        if content.startswith(_MEMBER) and content.count(_MEMBER) > self._caps.entries:
            at = [match.start() for match in re.finditer(_MEMBER, content)]
            place = at[self._caps.entries]
            (length,) = struct.unpack_from("<H", content, place + 28)
            name = content[place + 46 : place + 46 + length].decode("utf-8", "replace")
            raise UnsafeArchive(self._path, name, f"is one of {len(at)}; at most {self._caps.entries}")
        return content


def _unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> bytes:
    """The first bytes of a member, no more than its directory states: what is beyond is not unpacked to be dropped."""
    with archive.open(info) as member:
        return member.read(min(info.file_size + 1, most))


@contextmanager
def _opened(path: Path, caps: Caps) -> Iterator[zipfile.ZipFile]:
    if not stat.S_ISREG(path.stat().st_mode):
        many = prevailing(())[0].words.many
        raise NoItems(path, f"{many}: it is a pipe, a device or a socket", remedy="Give a folder or a zip.")
    try:
        with _Directory(path, caps) as file, zipfile.ZipFile(file) as archive:
            yield archive
    except TransferZooError:
        raise
    except _BROKEN as cause:
        remedy = "" if path.suffix.lower() == ".zip" else _SINGLE
        raise NoItems(path, f"zip that can be opened ({cause})", remedy=remedy) from cause


def _remedy(others: Counter[str], modality: Modality) -> str:
    if others[".zip"]:
        return "A zip in a zip is not opened: unpack the outer one, and give the folder or one of the zips in it."
    return unread(others, modality)


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
    if info.compress_type not in _PACKED:
        kind = _UNBOUNDED.get(info.compress_type, f"method {info.compress_type}")
        raise UnsafeArchive(path, info.filename, f"is packed by {kind}; only deflate has a bound")
    if info.file_size > caps.ratio_from and info.file_size > caps.ratio * info.compress_size:
        ratio = info.file_size // max(info.compress_size, 1)
        raise UnsafeArchive(path, info.filename, f"unpacks {ratio}:1; at most {caps.ratio}:1")
