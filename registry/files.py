"""Files that are there whole, as they were before, or not at all: write-then-replace, full disks by name, digests.

A rename that means "done" must not outrun the content that it vouches for: the file is flushed to the disk before the
rename, its folder after it. ``<name>.<thread>.<pid>.tmp`` is what a killed process leaves; `doctor` finds it.
"""

import errno
import fcntl
import hashlib
import os
import shutil
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from registry.errors import DiskFull

__all__ = [
    "allocate",
    "chain_of",
    "copy_files",
    "disk_full_named",
    "filling",
    "flush",
    "flush_folder",
    "is_disk_full",
    "is_locked",
    "replacing",
    "sha256_of",
    "write_atomic",
]

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_WORDS = ("no space left on device", "os error 28", "disk quota exceeded", "database or disk is full")
"""What libraries leave of the system's error number: safetensors, HDF5, SQLite."""


def write_atomic(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a file, whole or not at all.

    Raises:
        DiskFull: there is no room; what was there before is there still.
    """
    with replacing(path, len(content), durable=durable) as partial:
        partial.write_bytes(content)


@contextmanager
def replacing(path: Path, size: int | None = None, *, durable: bool = True) -> Iterator[Path]:
    """A path beside ``path`` to write one file to, which takes its place when the block ends without an error.

    Args:
        path: what is to be there at the end; its folder exists.
        size: the bytes that are to be written, where that is known.
        durable: whether it must outlive a power cut: file and folder are flushed to the disk.

    Raises:
        DiskFull: there is no room; what was there before is there still.
    """
    partial = path.with_name(f"{path.name}.{threading.get_ident()}.{os.getpid()}.tmp")
    with disk_full_named(path, size):
        try:
            yield partial
            if durable:
                flush(partial)
            partial.replace(path)
            if durable:
                flush_folder(path.parent)
        finally:
            with suppress(OSError):
                partial.unlink()


@contextmanager
def disk_full_named(path: Path, size: int | None = None) -> Iterator[None]:
    """Turn whatever a library raises when the disk is full into `DiskFull`, with what is free and what is missing.

    ``size`` is the number of bytes that were to be written, where that is known: a library that says nothing of its
    error's cause (torch does not) has met a full disk where there is less room than that.
    """
    try:
        yield
    except DiskFull:
        raise
    except Exception as cause:
        silent = isinstance(cause, OSError | RuntimeError) and size is not None and _free(path) < size
        if not (silent or is_disk_full(cause)):
            raise
        first = next((link for link in chain_of(cause) if isinstance(link, DiskFull)), None)
        if first is not None:  # what failed because of it says less
            raise DiskFull(first.path, first.free, first.size) from cause
        named = cause.filename if isinstance(cause, OSError) else None
        raise DiskFull(named if isinstance(named, str | Path) else path, _free(path), size) from cause


@contextmanager
def filling(folder: Path, size: int | None = None) -> Iterator[None]:
    """A new folder is filled; where that fails, nothing of it stays.

    Args:
        folder: what is new.
        size: the bytes that are to be written, where that is known.

    Raises:
        DiskFull: there is no room.
    """
    try:
        with disk_full_named(folder, size):
            yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def allocate(file: Path) -> None:
    """Have the disk's room for all of a file that was made in its size, before it is written to as memory.

    A page for which there is no room ends a process without a word.

    Raises:
        DiskFull: there is no room; the file is gone.
    """
    size = file.stat().st_size
    if sys.platform != "linux":
        return  # whose systems know no such call
    try:
        with disk_full_named(file, size), file.open("rb+") as content:
            os.posix_fallocate(content.fileno(), 0, size)
    except DiskFull:
        file.unlink()
        raise


def is_disk_full(failure: BaseException) -> bool:
    """Whether a full disk (or quota) is behind a failure, however deep."""
    for link in chain_of(failure):
        if isinstance(link, DiskFull) or (isinstance(link, OSError) and link.errno in _FULL):
            return True
        if any(words in str(link).casefold() for words in _FULL_WORDS):
            return True
    return False


def flush(file: Path) -> None:
    """Have the system write a file's content to the disk."""
    with file.open("rb+") as content:
        os.fsync(content.fileno())


def flush_folder(folder: Path) -> None:
    """Have the system write a folder's entries to the disk, where folders can be opened for that."""
    with suppress(PermissionError):  # Windows opens no folder, and needs none of this
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def is_locked(lock: Path) -> bool:
    """Whether a living process holds a `filelock.FileLock` on that file: the system drops it when the process dies.

    Looks without getting in the way of others that look.
    """
    try:
        handle = os.open(lock, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def copy_files(patterns: Iterable[str], source: Path, target: Path) -> None:
    """Copy what lies below ``source`` under these names (``*`` for any part of one) to the same place below another."""
    for pattern in patterns:
        for file in source.glob(pattern):
            place = target / file.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)


def matching(patterns: Iterable[str], folder: Path) -> tuple[str, ...]:
    """What lies below a folder under these names (as `copy_files`), in order, each as a path from there."""
    return tuple(
        file.relative_to(folder).as_posix()
        for pattern in patterns
        for file in sorted(folder.glob(pattern))
        if file.is_file()
    )


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, read piece by piece."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def chain_of(failure: BaseException) -> Iterator[BaseException]:
    """A failure, what it came of, and so on."""
    visited: set[int] = set()
    link: BaseException | None = failure
    while link is not None and id(link) not in visited:
        visited.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _free(path: Path) -> int:
    """Bytes that are free where a path lies, or is to lie."""
    place = next((folder for folder in (path, *path.parents) if folder.is_dir()), Path.cwd())
    return shutil.disk_usage(place).free
