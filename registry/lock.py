"""The lock: which checkpoints a registry has, byte for byte, and what was known of each when it came in.

``zoo.lock`` is JSON, the same for the same registry. It names the hub's id and commit where there are such, every file
with its digest and size, and the license and claims as they were at import, which the source may change later.
`restore` gives exactly that back from what lies on this disk, and asks no network; what is not here it names.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from hashlib import sha1
from pathlib import Path, PurePosixPath
from typing import Any

from registry.cards import Checkpoint, HubFile, HubState, Origin
from registry.documents import read_json
from registry.errors import (
    BadLock,
    DiskFull,
    FolderUnusable,
    NotFetched,
    ObjectsError,
    PathMissing,
    TransferZooError,
    UnreadableDocument,
)
from registry.files import sha256_of, write_atomic
from registry.forms import from_json
from registry.hub import Hub
from registry.inspection import plain_files
from registry.zoo import Zoo

__all__ = ["Locked", "Restored", "lock", "read_lock", "restore", "write_lock"]

_VERSION = 1


@dataclass(frozen=True)
class Locked:
    """A checkpoint as it was when it was locked."""

    card: Checkpoint
    files: tuple[HubFile, ...]
    here: bool = True
    """Whether its weights were on the disk; else it was known from its hub alone."""

    @property
    def bytes(self) -> int:
        """Of all its files."""
        return sum(file.bytes for file in self.files)


@dataclass(frozen=True)
class Restored:
    """What became of a locked checkpoint: ``as locked``, ``restored``, ``changed`` or ``missing``."""

    checkpoint: str
    state: str
    why: str
    """What was changed, or what is missing; empty where nothing is."""
    source: str = ""
    """Where what is missing can be had again: a hub's id and commit."""

    @property
    def sound(self) -> bool:
        """Whether it is here exactly as it was locked."""
        return self.state in {"as locked", "restored"}


def lock(zoo: Zoo) -> tuple[Locked, ...]:
    """Every checkpoint of a registry, but for those that came with transferzoo, by name.

    Of one that is on a hub and was not fetched, the files are those that its hub names.

    Raises:
        PathMissing: a file vanished while it was read.
        ObjectsError: which files a shared one has cannot be read.
    """
    entries = []
    for card in (card for card in zoo.checkpoints() if card.origin is not Origin.SEEDLING):
        if zoo.here(card):
            entries.append(Locked(card, _files(card, zoo)))
        elif card.locator is not None:
            entries.append(Locked(card, card.locator.files, here=False))
    return tuple(entries)


def write_lock(path: Path, entries: Sequence[Locked]) -> None:
    """Write a lock, whole or not at all.

    Raises:
        DiskFull: there is no room.
        FolderUnusable: nothing can be written there.
    """
    body = {"version": _VERSION, "checkpoints": [_plain(entry) for entry in entries]}
    try:
        write_atomic(path, (json.dumps(body, indent=1, sort_keys=True) + "\n").encode())
    except DiskFull:
        raise
    except OSError as cause:
        raise FolderUnusable(path, cause.strerror or str(cause)) from cause


def read_lock(path: Path) -> tuple[Locked, ...]:
    """The checkpoints that a lock names.

    Raises:
        PathMissing: it is not there.
        BadLock: it is no lock, or one that a later transferzoo wrote.
    """
    if not path.exists():
        raise PathMissing(path)
    try:
        body = read_json(path)
    except (UnreadableDocument, NotFetched) as cause:
        raise BadLock(path, str(cause)) from cause
    if not isinstance(body, dict) or not isinstance(body.get("checkpoints"), list):
        raise BadLock(path, "it names no checkpoints")
    if body.get("version") != _VERSION:
        raise BadLock(path, f"it is of version {body.get('version')!r}, and {_VERSION} is read here")
    entries = []
    for place, kept in enumerate(body["checkpoints"]):
        try:
            entries.append(_entry(kept))
        except (KeyError, TypeError, ValueError, AttributeError) as cause:
            why = f"checkpoint {place + 1} of it cannot be read ({type(cause).__name__}: {cause})"
            raise BadLock(path, why) from cause
    return tuple(entries)


def restore(zoo: Zoo, entries: Sequence[Locked], places: Sequence[Path] = ()) -> tuple[Restored, ...]:
    """Make every checkpoint of a lock what it was, from where it lies or from a folder of its name in ``places``.

    A checkpoint is taken over only where every file is the same, byte for byte. No hub is asked; one that is registered
    and shared with this home is fetched.
    """
    return tuple(_restored(zoo, entry, places) for entry in entries)


def _restored(zoo: Zoo, entry: Locked, places: Sequence[Path]) -> Restored:
    name = entry.card.name
    known = zoo.checkpoint(name) if name in zoo else None
    if known is not None:
        with suppress(ObjectsError, DiskFull):  # then it is missing, which is said
            known = zoo.at_hand(known)
    if known is not None and known.digest != entry.card.digest:
        why = f"other weights are registered: {known.digest[:12]}, locked {entry.card.digest[:12]}"
        return Restored(name, "changed", why)
    problems: list[str] = []
    lacking = [file.name for file in entry.files]
    for folder in dict.fromkeys(_folders(entry, known, places)):
        gone, other = _differences(folder, entry.files)
        if len(gone) == len(entry.files):
            continue
        if other:
            parts = [(gone, "not there"), (other, "not as locked")]
            words = "; ".join(f"{', '.join(names)} {words}" for names, words in parts if names)
            problems.append(f"{folder}: {words}")
        elif gone:
            lacking = min(lacking, gone, key=len)
        elif known is not None and _settled(known, folder) == _settled(entry.card, folder) and known.folder == folder:
            return Restored(name, "as locked", "")
        else:
            return _taken(zoo, entry, folder)
    if problems:
        return Restored(name, "changed", "; ".join(problems))
    if not entry.here:
        same = known is not None and _settled(known) == _settled(entry.card)
        return Restored(name, "as locked", "") if same else _taken(zoo, entry, entry.card.folder)
    size = sum(file.bytes for file in entry.files if file.name in lacking)
    locator = entry.card.locator
    source = "" if locator is None else f"{locator.hub}@{locator.commit}"
    return Restored(name, "missing", f"{size:,} bytes: {', '.join(lacking)}", source)


def _settled(card: Checkpoint, folder: Path | None = None) -> Checkpoint:
    """A card without how its repository stands upstream, as it is in that folder."""
    locator = None if card.locator is None else replace(card.locator, state=HubState.OK, upstream="")
    return replace(card, locator=locator, folder=folder or card.folder)


def _taken(zoo: Zoo, entry: Locked, folder: Path) -> Restored:
    try:
        zoo.restore(replace(entry.card, folder=folder))
    except TransferZooError as failure:
        return Restored(entry.card.name, "changed", str(failure))
    return Restored(entry.card.name, "restored", "")


def _folders(entry: Locked, known: Checkpoint | None, places: Sequence[Path]) -> list[Path]:
    """Where it may lie, the likeliest first."""
    own = [] if known is None else [known.folder]
    if entry.card.locator is not None:
        own.append(Hub().snapshot(entry.card.locator.hub, entry.card.locator.commit))
    return [*own, entry.card.folder, *(place / entry.card.name for place in places), *places]


def _differences(folder: Path, files: Sequence[HubFile]) -> tuple[list[str], list[str]]:
    """Which files of a folder are not there, and which are not as they were locked."""
    gone = [file.name for file in files if not (folder / file.name).is_file()]
    there = [file for file in files if file.name not in gone]
    other = [file.name for file in there if _size(folder, file) != file.bytes]
    if not (gone or other):
        other = [file.name for file in there if not _same(folder / file.name, file.digest)]
    return gone, other


def _same(path: Path, digest: str) -> bool:
    """Whether a file is the one of that digest: SHA-256 of its content, or git's SHA-1 of a blob."""
    kind, _, value = digest.partition(":")
    if kind == "git":
        content = path.read_bytes()
        return sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() == value
    return sha256_of(path) == value


def _size(folder: Path, file: HubFile) -> int:
    return (folder / file.name).stat().st_size


def _files(card: Checkpoint, zoo: Zoo) -> tuple[HubFile, ...]:
    """The plain files of a checkpoint's folder that may be opened here, by name; of one that is shared, as uploaded."""
    shared = zoo.home.shared
    if shared is not None and card.objects and not card.folder.is_dir():
        files = shared.manifest(card.objects).files
        return tuple(HubFile(file.path, file.size, f"sha256:{file.digest}") for file in files if "/" not in file.path)
    paths = [card.folder / name for name in plain_files(card.folder)]
    return tuple(HubFile(path.name, path.stat().st_size, f"sha256:{sha256_of(path)}") for path in paths)


def _plain(entry: Locked) -> dict[str, Any]:
    card = {**asdict(entry.card), "folder": str(entry.card.folder)}
    return {"card": card, "files": [asdict(file) for file in entry.files], "here": entry.here}


def _entry(kept: Any) -> Locked:  # noqa: ANN401 - whatever a file holds
    files = tuple(HubFile(**file) for file in kept["files"])
    for file in files:
        parts = PurePosixPath(file.name).parts
        if not parts or ".." in parts or PurePosixPath(file.name).is_absolute():
            raise ValueError(f"{file.name!r} is no name of a file")
    card = from_json(Checkpoint, kept["card"])
    if not all(isinstance(value, str) for value in (card.name, card.digest, *(file.digest for file in files))):
        raise TypeError("its name or a digest is no text")
    return Locked(card, files, bool(kept["here"]))
