"""Data sets of a hub: tables alone (Parquet, CSV, TSV, JSON lines), never a script, as a folder that any reader reads.

Which files are which split is read off the card's ``configs``, else off their names. Rows of texts are kept as JSON
lines, files inside Parquet (media) as files in class folders.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path

from registry.cards import UNKNOWN_LICENSE, HubFile
from registry.documents import read_text
from registry.errors import BadTable, HubDataTooLarge, NoTables, SeveralConfigurations, UnknownName, UnreadableForm
from registry.files import disk_full_named, write_atomic
from registry.forms import Json, Record, from_json
from registry.home import Home
from registry.hub import Hub, Remote, front_matter, parse_hub_id
from registry.progress import Phase, Progress, advance, require_wanted, silent
from registry.readers.records import LABEL_NAMES
from registry.readers.reservoir import Reservoir, reservoir_sample
from registry.readers.streams import stream_records

__all__ = ["USUAL_ROWS", "HubData", "fetch_data"]

USUAL_ROWS = 20_000
"""Rows of a part that are kept unless more are asked for."""
_MOST_BYTES = 2 << 30
"""Of all files of the parts that are fetched."""
_TABLES = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson")
_TRAIN, _TEST, _VALIDATION = "train", "test", "validation"
_SPLITS = {"train": _TRAIN, "training": _TRAIN, "test": _TEST, "testing": _TEST, "eval": _TEST}
_SPLITS |= dict.fromkeys(("validation", "valid", "val", "dev"), _VALIDATION)
"""What a word of a file's name says of the split that it is of."""
_UNLABELLED = -1
"""What stands for a label that is kept secret."""
_KINDS = (
    (b"\x89PNG", ".png"),
    (b"\xff\xd8", ".jpg"),
    (b"RIFF", ".wav"),
    (b"fLaC", ".flac"),
    (b"OggS", ".ogg"),
    (b"ID3", ".mp3"),
)
"""How files begin, and what their names end in."""

Splits = Mapping[str, Sequence[HubFile]]


@dataclass(frozen=True)
class HubData(Record):
    """A data set of a hub that is here now."""

    hub: str
    commit: str
    license: str
    """As its card states it."""
    path: Path
    """A folder, to be read like any other."""
    splits: Mapping[str, str]
    """Of each part (train, test) the split that it is."""
    rows: Mapping[str, int]
    """Rows of each part that were kept."""
    of: Mapping[str, int]
    """Rows of each part on the hub."""
    columns: tuple[str, ...]


def fetch_data(
    home: Home,
    hub: str,
    *,
    config: str | None = None,
    split: str | None = None,
    label: str | None = None,
    rows: int = USUAL_ROWS,
    progress: Progress = silent,
) -> HubData:
    """Fetch a data set, ``organization/name[@revision]``: its training part, and its test part where there is one.

    Args:
        home: whose folder it is kept in.
        hub: its id.
        config: one of several configurations that it has.
        split: this split alone.
        label: the column by which files inside Parquet are laid into folders; else it is recognized.
        rows: of each part, at most; of more a draw.
        progress: hears how far it is, and is asked whether to go on.

    Raises:
        HubError: it cannot be had.
        NoTables: it holds no tables.
        HubDataTooLarge: there is more of it than is fetched.
        SeveralConfigurations: it has several, none is its usual one, and none is named.
        UnknownName: it has no such configuration, split or column.
        BadTable: a table cannot be read.
    """
    name, revision = parse_hub_id(hub)
    client = Hub(kind="dataset")
    remote = client.remote(name, revision)
    readme = [file for file in remote.files if file.name == "README.md"]
    card: Mapping[str, object] = {}
    if readme:
        folder = client.fetch(remote.hub, remote.commit, readme, aside=home.damaged, progress=progress)
        card = front_matter(read_text(folder / "README.md"))
    chosen = _chosen(_splits(remote, card, config), split)
    wanted = f"{config} {split} {label} {rows}".encode()
    place = home.root / "datasets" / remote.hub.replace("/", "--")
    place /= f"{remote.commit[:12]}-{hashlib.sha256(wanted).hexdigest()[:8]}"
    if (kept := _kept(place)) is not None:
        return kept
    drawn = {part: _drawn(client, home, remote, files, rows, progress) for part, (_, files) in chosen.items()}
    if split is None and _is_unlabelled(drawn.get(_TEST)):
        del drawn[_TEST]
    folder = place / remote.hub.partition("/")[2]
    data = HubData(
        remote.hub,
        remote.commit,
        _license(card),
        folder,
        {part: chosen[part][0] for part in drawn},
        {part: len(rows.entries) for part, rows in drawn.items()},
        {part: rows.seen for part, rows in drawn.items()},
        tuple(dict.fromkeys(column for rows in drawn.values() for row in rows.entries[:100] for column in row)),
    )
    shutil.rmtree(place, ignore_errors=True)
    with disk_full_named(place):
        for part, kept_rows in drawn.items():
            _write(folder, part, kept_rows.entries, label)
            require_wanted(progress)
    write_atomic(place / "data.json", json.dumps(data.to_dict()).encode())
    return data


def _kept(place: Path) -> HubData | None:
    """What was fetched so before."""
    try:
        return from_json(HubData, json.loads((place / "data.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, UnreadableForm):
        return None


def _license(card: Mapping[str, object]) -> str:
    stated = card.get("license")
    names = stated if isinstance(stated, list) else [stated]
    return " + ".join(name for name in names if isinstance(name, str)) or UNKNOWN_LICENSE


def _splits(remote: Remote, card: Mapping[str, object], config: str | None) -> Splits:
    """The tables of each split of a configuration."""
    tables = [file for file in remote.files if file.name.lower().endswith(_TABLES)]
    if not tables:
        scripts = [file.name for file in remote.files if file.name.endswith(".py")]
        raise NoTables(remote.hub, scripts[0] if scripts else None)
    stated = _configs(card)
    if stated:
        usual = _usual(card, stated)
        if config is None and not usual:
            raise SeveralConfigurations(remote.hub, tuple(stated))
        patterns = stated.get(config or usual)
        if patterns is None:
            raise UnknownName("configuration", config or "", tuple(stated))
        by_split = {
            split: [file for file in tables if any(fnmatchcase(file.name, one) for one in many)]
            for split, many in patterns.items()
        }
        return {split: files for split, files in by_split.items() if files}
    folders = dict.fromkeys(file.name.partition("/")[0] for file in tables if "/" in file.name)
    if config is not None:
        if config not in folders:
            raise UnknownName("configuration", config, tuple(folders))
        tables = [file for file in tables if file.name.startswith(f"{config}/")]
    elif len(several := [name for name in folders if not _SPLITS.keys() & {*_words(name)}]) > 1:
        raise SeveralConfigurations(remote.hub, several)
    named: dict[str, list[HubFile]] = {}
    for file in tables:
        named.setdefault(next((_SPLITS[word] for word in _words(file.name) if word in _SPLITS), _TRAIN), []).append(
            file
        )
    return named


def _words(name: str) -> list[str]:
    return re.split(r"[^a-z]+", name.lower())


def _configs(card: Mapping[str, object]) -> dict[str, dict[str, list[str]]]:
    """Patterns of files by configuration and split, as far as a card states them soundly."""
    configs: dict[str, dict[str, list[str]]] = {}
    stated = card.get("configs")
    for one in stated if isinstance(stated, list) else ():
        files = one.get("data_files") if isinstance(one, dict) else None
        splits = files if isinstance(files, list) else [files]
        patterns: dict[str, list[str]] = {}
        for row in splits:
            split, paths = (row.get("split"), row.get("path")) if isinstance(row, dict) else (_TRAIN, row)
            many = [path for path in (paths if isinstance(paths, list) else [paths]) if isinstance(path, str)]
            patterns.setdefault(str(split), []).extend(many)
        if any(patterns.values()):
            configs[str(one.get("config_name", "default"))] = patterns
    return configs


def _usual(card: Mapping[str, object], stated: Collection[str]) -> str:
    """The configuration that a card marks as usual or calls so, or the only one; else none."""
    listed = card["configs"] if isinstance(card["configs"], list) else []
    marked = [one.get("config_name") for one in listed if isinstance(one, dict) and one.get("default") is True]
    only = [*stated] if len(stated) == 1 else []
    return next((str(name) for name in (*marked, "default", *only) if name in stated), "")


def _chosen(splits: Splits, split: str | None) -> dict[str, tuple[str, Sequence[HubFile]]]:
    """The split that each part is, with its files."""
    if split is not None:
        if split not in splits:
            raise UnknownName("split", split, tuple(splits))
        return {_TRAIN: (split, splits[split])}
    train = _TRAIN if _TRAIN in splits else next(iter(splits))
    chosen = {_TRAIN: (train, splits[train])}
    test = next((name for name in (_TEST, _VALIDATION) if name in splits and name != train), None)
    return chosen if test is None else {**chosen, _TEST: (test, splits[test])}


def _drawn(
    client: Hub, home: Home, remote: Remote, files: Sequence[HubFile], rows: int, progress: Progress
) -> Reservoir[Json]:
    """A draw of the rows of these files."""
    size = sum(file.bytes for file in files)
    if size > _MOST_BYTES:
        raise HubDataTooLarge(remote.hub, size, _MOST_BYTES)
    folder = client.fetch(remote.hub, remote.commit, files, aside=home.damaged, progress=progress)
    return reservoir_sample(chain.from_iterable(_rows(folder / file.name, progress) for file in files), rows)


def _rows(table: Path, progress: Progress) -> Iterator[Json]:
    for number, row in stream_records(table, []):
        if number % 1000 == 0:
            advance(progress, Phase.READ, number, 0, table.name)
        yield dict(row)


def _is_unlabelled(rows: Reservoir[Json] | None) -> bool:
    """Whether a part keeps its labels secret: every row has the number that stands for none."""
    if rows is None or not rows.entries:
        return False
    return any(
        all(row.get(name) == _UNLABELLED for row in rows.entries) for name in rows.entries[0] if name in LABEL_NAMES
    )


def _write(folder: Path, part: str, rows: Sequence[Json], label: str | None) -> None:
    """The rows of a part: files inside them in class folders, others as JSON lines."""
    inside = next((name for row in rows[:1] for name, value in row.items() if _is_file(value)), None)
    if inside is None:
        folder.mkdir(parents=True, exist_ok=True)
        lines = (json.dumps(row, ensure_ascii=False, default=str) for row in rows)
        write_atomic(folder / f"{part}.jsonl", "".join(f"{line}\n" for line in lines).encode(), durable=False)
        return
    columns = [name for name in rows[0] if name != inside]
    named = label or next((name for name in LABEL_NAMES if name in columns), None)
    if named not in columns:
        why = f"no column of labels is known among {', '.join(columns) or 'none'}"
        raise BadTable(folder.name, why, "Name it: --label COLUMN.")
    for number, row in enumerate(rows):
        content = (row.get(inside) or {}).get("bytes")
        if not isinstance(content, bytes):
            continue
        place = folder / part / _folder_name(row[named])
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number:06d}{_ending(row[inside], content)}").write_bytes(content)


def _is_file(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("bytes"), bytes)


def _ending(value: Json, content: bytes) -> str:
    suffix = Path(str(value.get("path") or "")).suffix.lower()
    return (
        suffix
        if re.fullmatch(r"\.[a-z0-9]{1,5}", suffix)
        else next((s for b, s in _KINDS if content.startswith(b)), "")
    )


def _folder_name(label: object) -> str:
    """A class as a folder's name, whatever it is called."""
    safe = re.sub(r"[^\w .+-]", "_", str(label)).strip(" .")
    return safe[:100] or "_"
