"""Uploads of the picker: kept under the digest of their content, and for as long as somebody needs them."""

import hashlib
import time
from collections.abc import Iterable
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING

from recommender.requests import places_of
from registry.files import write_atomic
from registry.home import Home

if TYPE_CHECKING:
    from registry.zoo import Zoo

__all__ = [
    "DROPPABLE",
    "MOST_SECONDS",
    "clear_folders",
    "clear_own_uploads",
    "clear_uploads",
    "discard_upload",
    "file_stem",
    "save_upload",
]

DROPPABLE = (".zip", ".csv", ".tsv", ".jsonl", ".parquet")
"""Endings of what may be dropped."""
MOST_SECONDS = 24 * 3600.0
"""How long an upload is kept that nobody has used since."""
_OWN: set[Path] = set()
"""Folders of what was dropped on this process."""
_DONE = frozenset({"finished", "failed", "cancelled"})
"""States of a job that needs its items no more; one that was lost may be gone on with."""


def save_upload(home: Home, name: str, content: bytes) -> Path:
    """Keep an uploaded zip or table under the digest of its content; the same upload twice is one file."""
    digest = hashlib.sha256(content).hexdigest()[:16]
    kind = Path(name).suffix.casefold()
    place = home.root / "uploads" / digest / f"{file_stem(name)}{kind if kind in DROPPABLE else DROPPABLE[0]}"
    _OWN.add(place.parent)
    if place.exists():
        place.parent.touch()
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(place, content, durable=False)
    return place


def file_stem(name: str) -> str:
    """An uploaded file's name without its ending, made safe for this disk."""
    stem = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in Path(name).stem)[:60]
    return stem or "upload"


def discard_upload(place: Path) -> None:
    """Remove what was dropped and cannot be used."""
    rmtree(place.parent, ignore_errors=True)


def clear_uploads(zoo: "Zoo", *, older: float) -> int:
    """Remove what was dropped ``older`` seconds ago or more, but for what a job still needs; how many these were."""
    return clear_folders(zoo, (zoo.home.root / "uploads").glob("*"), older=older)


def clear_own_uploads(zoo: "Zoo") -> int:
    """Remove what was dropped on this process, but for what a job still needs; how many these were."""
    return clear_folders(zoo, [folder for folder in _OWN if folder.exists()])


def clear_folders(zoo: "Zoo", folders: Iterable[Path], *, older: float = 0.0) -> int:
    """Remove those that nobody has used for so many seconds, but for what a job still needs; how many these were."""
    now = time.time()
    unused = [folder for folder in folders if not older or now - folder.stat().st_mtime >= older]
    needed = [Path(place) for job in zoo.jobs.list() if job.state not in _DONE for place in places_of(job.spec)]
    gone = [folder for folder in unused if not any(path.is_relative_to(folder) for path in needed)]
    for folder in gone:
        rmtree(folder, ignore_errors=True)
    return len(gone)
