"""Items wherever they lie: a folder, an archive, a single file, records."""

import sys
from collections.abc import Iterable
from pathlib import Path

from registry.cards import Task
from registry.errors import BadTable, ColumnsOfNoRecords, NoItems, PathMissing
from registry.modalities import Item, Modality, Reading, Undecodable, modalities
from registry.progress import Progress, silent
from registry.readers.archive import read_archive, read_members
from registry.readers.folder import content, read_folder
from registry.readers.layout import LayoutRule, is_item
from registry.readers.records import RecordColumns, is_records, read_records
from registry.readers.rows import Rows, known_suffixes, prevailing, read_items
from registry.readers.streams import is_sentences

__all__ = ["read_anywhere", "read_named", "read_rows"]

_LABELLED = (
    "Give texts and their labels as CSV, TSV, JSON lines or Parquet, or as .txt files in class folders; words and "
    "their tags one a line, with an empty line behind a sentence."
)


def read_rows(  # noqa: PLR0913 - each says how they are read
    path: Path,
    *,
    rule: LayoutRule | None,
    limit: int,
    modality: Modality | None = None,
    seed: int = 0,
    follow_links: bool = False,
    columns: RecordColumns | None = None,
    task: Task | None = None,
    reading: Reading | None = None,
    progress: Progress = silent,
) -> Rows:
    """Rows of a folder, an archive or records, as `read_folder`, `read_archive` and `read_records` have it.

    ``columns`` and ``task`` say how records are read.

    Raises:
        PathMissing: nothing lies there.
        NoItems: it is neither a folder nor a file.
        ColumnsOfNoRecords: columns are named of what has none.
        SampleError: as they raise it.
    """
    try:
        folder, there = path.is_dir(), path.exists()
    except (OSError, ValueError) as cause:  # a name that is too long, or holds a NUL
        raise PathMissing(path) from cause
    if not there:
        raise PathMissing(path)
    if not folder and not path.is_file():
        many = (prevailing(())[0] if modality is None else modality).words.many
        raise NoItems(path, f"{many}: it is a pipe, a device or a socket", remedy="Give a folder or a file.")
    if is_records(path) and (modality is None or modality.text_is_item):
        return read_records(
            path,
            columns=columns,
            task=task,
            labelled=rule is not None,
            limit=limit,
            seed=seed,
            modality=modality,
            reading=reading,
            progress=progress,
        )
    if modality is not None and not folder and (other := _modality_of(path)) and other is not modality:
        many = modality.words.many
        raise NoItems(path, many, there=other.words.many, remedy=f"Give {many}: a folder, a zip or a single file.")
    if columns is not None and columns.named and rule is not None:
        raise ColumnsOfNoRecords(path, tuple(columns.named))
    if not folder and rule is not None and is_sentences(path):
        raise BadTable(path, "its lines are no words with a tag each", _LABELLED)
    if folder:
        return read_folder(
            path,
            rule=rule,
            limit=limit,
            modality=modality,
            seed=seed,
            follow_links=follow_links,
            reading=reading,
            progress=progress,
        )
    if rule is None and is_item(path.name, known_suffixes() if modality is None else modality.suffixes):
        kind = prevailing([path.name], modality)[0]
        return read_items(
            path.parent,
            [path.name],
            [""],
            lambda _: content(path),
            modality=kind,
            progress=progress,
            tolerated=1.0,
            reading=reading,
        )
    return read_archive(path, rule=rule, limit=limit, modality=modality, seed=seed, reading=reading, progress=progress)


def read_anywhere(  # noqa: PLR0913 - each says how they are read
    path: Path,
    *,
    modality: Modality | None = None,
    reading: Reading | None = None,
    follow_links: bool = False,
    columns: RecordColumns | None = None,
    task: Task | None = None,
    limit: int = sys.maxsize,
    seed: int = 0,
    progress: Progress = silent,
) -> Rows:
    """Every item there, in no class, by name; what cannot be read is listed. ``reading`` is that of those trained on.

    Of records ``columns`` are those trained on, as far as they are there, and ``task`` is what the labels are that may
    stand beside the texts: see `Rows.truths`. Of more than ``limit`` items a draw by ``seed``.

    Raises:
        PathMissing: nothing lies there.
        NoItems: no item, or none that can be read.
        UnsafeArchive: the archive must not be opened.
    """
    rows = read_rows(
        path,
        rule=None,
        limit=limit,
        seed=seed,
        modality=modality,
        follow_links=follow_links,
        columns=columns,
        task=task,
        reading=reading,
        progress=progress,
    )
    if not rows.items:
        first = f" ({rows.unreadable[0][0]}: {rows.unreadable[0][1]})" if rows.unreadable else ""
        raise NoItems(path, f"{rows.modality.words.many} that can be read{first}", len(rows.unreadable))
    return rows


def read_named(
    path: Path,
    names: Iterable[str],
    *,
    modality: Modality,
    reading: Reading | None = None,
    columns: RecordColumns | None = None,
    task: Task | None = None,
    follow_links: bool = False,
) -> dict[str, Item]:
    """Some of the items there by their names, without a look at the others; what is gone or unreadable is left out.

    Of records all are read, for their names are numbers of rows.

    Raises:
        PathMissing: nothing lies there.
        SampleError: as the readers raise it.
    """
    wanted = dict.fromkeys(names)
    if not path.exists():
        raise PathMissing(path)
    if is_records(path) and modality.text_is_item:
        rows = read_records(path, columns=columns, task=task, labelled=False, limit=sys.maxsize, modality=modality)
        return {item.name: item for item in rows.items if item.name in wanted}
    read: dict[str, tuple[bytes, Path | None] | None] = {}
    if path.is_dir():
        read.update((name, _below(path, name, follow_links=follow_links)) for name in wanted)
    else:
        read.update((name, (held, None)) for name, held in read_members(path, wanted).items())
    decoded = {name: modality.decode(name, *held) for name, held in read.items() if held is not None}
    sound = [item for item in decoded.values() if not isinstance(item, Undecodable)]
    return {item.name: item for item in modality.settled(sound, reading or {})[0]}


def _modality_of(file: Path) -> Modality | None:
    """What a single file holds by its name; None where that does not say it."""
    if is_records(file):
        return next(each for each in modalities.each() if each.text_is_item)
    return prevailing([file.name])[0] if is_item(file.name, known_suffixes()) else None


def _below(folder: Path, name: str, *, follow_links: bool) -> tuple[bytes, Path] | None:
    """A file below a folder; None where it cannot be read, or lies outside of it and links are not to be followed."""
    place = folder / name
    try:
        inside = follow_links or place.resolve().is_relative_to(folder.resolve())
        return content(place) if inside else None
    except (OSError, ValueError):  # it cannot be read, or a name holds a NUL
        return None
