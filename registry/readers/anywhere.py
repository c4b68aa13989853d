"""Images wherever they lie, in no class: a folder of any layout, a zip, a single file."""

import sys
from pathlib import Path

from registry.errors import NoItems, PathMissing
from registry.progress import Progress, silent
from registry.readers.decoding import Scale
from registry.readers.image_folder import content, read_image_folder
from registry.readers.image_zip import read_image_zip
from registry.readers.images import Rows, read_items
from registry.readers.layout import is_image

__all__ = ["read_images"]


def read_images(
    path: Path, *, scale: Scale | None = None, follow_links: bool = False, progress: Progress = silent
) -> Rows:
    """Every image there, by name; what cannot be read is listed. ``scale`` maps deep pictures, as those trained on.

    Raises:
        PathMissing: nothing lies there.
        NoItems: no image, or none that can be read.
        UnsafeArchive: the zip must not be opened.
    """
    try:
        folder, there = path.is_dir(), path.exists()
    except OSError as cause:
        raise PathMissing(path) from cause
    if not there:
        raise PathMissing(path)
    if folder:
        rows = read_image_folder(
            path, limit=sys.maxsize, labelled=False, follow_links=follow_links, scale=scale, progress=progress
        )
    elif is_image(path.name):
        rows = read_items(
            path.parent, [path.name], [""], lambda _: content(path), progress=progress, tolerated=1.0, scale=scale
        )
    else:
        rows = read_image_zip(path, limit=sys.maxsize, labelled=False, scale=scale, progress=progress)
    if not rows.items:
        first = f" ({rows.unreadable[0][0]}: {rows.unreadable[0][1]})" if rows.unreadable else ""
        raise NoItems(path, f"images that can be read{first}", len(rows.unreadable))
    return rows
