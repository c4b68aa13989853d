"""Images in class folders on disk."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from registry.errors import NoItems
from registry.progress import Progress, silent
from registry.readers.images import MAX_BYTES, TOLERATED, Rows, read_items
from registry.readers.layout import Lay, Part, is_image, lay_out, not_images, plain, sampled, unlabelled

__all__ = ["content", "read_image_folder"]

_TELL_EVERY = 5_000


def read_image_folder(
    path: Path, *, limit: int, seed: int = 0, labelled: bool = True, lay: Lay = lay_out, progress: Progress = silent
) -> Rows:
    """Scan, label (``lay``), sample to ``limit`` rows a part, then decode. Hidden files and folders are passed over.

    Not ``labelled``, every image counts, wherever it lies, and any number of them may be unreadable.

    Raises:
        NoItems: no image lies there, or none in a class folder.
        TooManyUnreadable: more than one in five cannot be read.
    """
    names, others, closed = _scan(path, progress)
    if not names:
        raise NoItems(path, "images in class folders" if labelled else "images", len(closed))
    layout, tolerated = (lay(path, names), TOLERATED) if labelled else (unlabelled(names), 1.0)
    test = None if layout.test is None else _read(path, layout.test, limit, seed, tolerated, progress)
    notes = [*layout.notes, *(f"folder {name} cannot be opened: {why}" for name, why in closed)]
    if others:
        notes.append(not_images(others))
    return replace(_read(path, layout.train, limit, seed, tolerated, progress), notes=tuple(notes), test=test)


def content(path: Path) -> tuple[bytes, Path]:
    """A file's bytes, and its path.

    Raises:
        OSError: it cannot be read, or holds too much.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise OSError(f"{size >> 20} MiB, more than {MAX_BYTES >> 20}")
    return path.read_bytes(), path


def _read(root: Path, part: Part, limit: int, seed: int, tolerated: float, progress: Progress) -> Rows:
    drawn = sampled(part, limit, seed)
    rows = read_items(
        root, drawn.names, drawn.labels, lambda name: content(root / name), progress=progress, tolerated=tolerated
    )
    return replace(rows, found=len(part.names))


def _scan(root: Path, progress: Progress) -> tuple[list[str], int, list[tuple[str, str]]]:
    """Names of all images below ``root``, how many other files there are, and folders that cannot be opened."""
    names: list[str] = []
    closed: list[tuple[str, str]] = []
    others = told = 0
    for name in _files(root, closed):
        if is_image(name):
            names.append(name)
        else:
            others += 1
        if len(names) - told >= _TELL_EVERY:
            told = len(names)
            progress("finding files", told, 0)
    return names, others, closed


def _files(root: Path, closed: list[tuple[str, str]]) -> Iterator[str]:
    waiting, linked = [""], set[str]()
    while waiting:
        below = waiting.pop()
        here = os.path.join(root, below)  # noqa: PTH118 - a Path for each of 100,000 files is slow
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if not entry.is_dir():
                        if entry.is_file():
                            yield f"{below}{entry.name}"
                    elif not entry.is_symlink() or _leads_on(entry.path, here, linked):
                        waiting.append(f"{below}{entry.name}/")
        except OSError as cause:
            closed.append((plain(below) or ".", cause.strerror or str(cause)))


def _leads_on(link: str, here: str, linked: set[str]) -> bool:
    """Whether a linked folder is neither one that we stand in nor one that another link led to."""
    target = os.path.realpath(link)
    if target in linked or f"{os.path.realpath(here)}/".startswith(f"{target}/"):
        return False
    linked.add(target)
    return True
