"""Uploads of the picker: kept under the digest of their content, and for as long as somebody needs them."""

import hashlib
import json
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING

from recommender.requests import places_of
from registry.errors import NoItems
from registry.files import write_atomic
from registry.forms import Json
from registry.home import Home

if TYPE_CHECKING:
    from registry.zoo import Zoo

__all__ = [
    "DROPPABLE",
    "MOST_SECONDS",
    "Upload",
    "clear_folders",
    "clear_own_uploads",
    "clear_uploads",
    "discard_upload",
    "file_stem",
    "is_of",
    "keep_answer",
    "kept_answer",
    "save_upload",
    "save_uploads",
]

DROPPABLE = (".zip", ".csv", ".tsv", ".jsonl", ".parquet")
"""Endings of what may be dropped."""
MOST_SECONDS = 24 * 3600.0
"""How long an upload is kept that nobody has used since."""
_LONGEST = 120
"""Bytes of a file's name that is kept as it is."""
_OWNED = re.compile(r"(.+)-[0-9a-f]{16}")
"""The folder of somebody's upload."""
_OWN: set[Path] = set()
"""Folders of what was dropped on this process."""
_DONE = frozenset({"finished", "failed", "cancelled"})
"""States of a job that needs its items no more; one that was lost may be gone on with."""


@dataclass(frozen=True)
class Upload:
    """What was dropped, where it is kept now."""

    path: Path
    labels: Path | None = None
    """A table of targets that was dropped beside loose items."""
    folder: Path | None = None
    """What is removed with it; None for the folder that it lies in."""


def save_uploads(home: Home, files: Sequence[tuple[str, bytes]], owner: str = "", *, labelled: bool = True) -> Upload:
    """Keep what was dropped together: one zip or table, several tables, or loose items with a table of their targets.

    Loose items lie in one folder under the names that they have, made harmless; the table of targets lies beside it.
    Items that are not ``labelled``, to be predicted, need no such table.

    Raises:
        NoItems: loose items without one table that says what they are.
    """
    if len(files) == 1 and Path(files[0][0]).suffix.casefold() in DROPPABLE:
        return Upload(save_upload(home, *files[0], owner))
    named = sorted((_harmless(name), content) for name, content in files)
    digest = hashlib.sha256(b"".join(hashlib.sha256(name.encode() + content).digest() for name, content in named))
    folder = _folder(home, owner, digest.hexdigest())
    tables = [name for name, _ in named if Path(name).suffix.casefold() in DROPPABLE]
    loose = labelled and len(tables) < len(named)
    if loose and len(tables) != 1:
        raise NoItems(
            folder.name,
            "table that says what the loose files are",
            there=f"{len(named) - len(tables)} files and {len(tables)} tables",
            remedy="Drop them together with one CSV with the columns file and target, or a zip of class folders.",
        )
    _OWN.add(folder)
    for name, content in named:
        place = folder / (name if loose and name in tables else f"dropped/{name}")
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(place, content, durable=False)
    return Upload(folder / "dropped", folder / tables[0] if loose else None, folder)


def is_of(place: Path, home: Home, owner: str) -> bool:
    """Whether a place is no upload, here or in another home of the same registry, or one of that owner."""
    there, uploads = place.resolve(), home.root.resolve() / "uploads"
    if there.is_relative_to(uploads):
        return there.relative_to(uploads).as_posix().startswith(f"{owner}-")
    elsewhere = (_OWNED.fullmatch(name) for above, name in pairwise(there.parts) if above == uploads.name)
    return all(row[1] == owner for row in elsewhere if row)


def keep_answer(home: Home, job: str, answer: Json) -> None:
    """Keep what a job predicted, for as long as an upload is kept."""
    place = _answer(home, job)
    place.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(place, json.dumps(answer).encode(), durable=False)


def kept_answer(home: Home, job: str) -> Json | None:
    """What a job predicted; None where it is not kept any more."""
    try:
        answer: Json = json.loads(_answer(home, job).read_bytes())
    except (OSError, ValueError):
        return None
    return answer


def _answer(home: Home, job: str) -> Path:
    return home.root / "uploads" / f"answer-{job}" / "answer.json"


def _folder(home: Home, owner: str, digest: str) -> Path:
    return home.root / "uploads" / "-".join(filter(None, (owner, digest[:16])))


def _harmless(name: str) -> str:
    """A file's own name, without what would hide it or lead elsewhere."""
    own = Path(name.replace("\\", "/")).name.lstrip(".")
    return (
        own if own and len(own.encode()) <= _LONGEST and own.isprintable() else f"{file_stem(name)}{Path(name).suffix}"
    )


def save_upload(home: Home, name: str, content: bytes, owner: str = "") -> Path:
    """Keep an uploaded zip or table under the digest of its content; the same upload twice is one file.

    ``owner`` is whose it is: another's copy of it is another file.
    """
    kind = Path(name).suffix.casefold()
    place = (
        _folder(home, owner, hashlib.sha256(content).hexdigest())
        / f"{file_stem(name)}{kind if kind in DROPPABLE else DROPPABLE[0]}"
    )
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


def discard_upload(upload: Upload) -> None:
    """Remove what was dropped and cannot be used."""
    rmtree(upload.folder or upload.path.parent, ignore_errors=True)


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
