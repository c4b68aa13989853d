"""A seeded fuzz of samples: folders of any layout, a table of groups beside them, arrays, frames. Only named errors."""

import os
import random
import shutil
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from registry.cards import Metric, Task
from registry.errors import TransferZooError
from registry.readers.anywhere import read_anywhere
from registry.sample import Sample
from tests.conftest import draw_folder, drawn

NAMES = (
    "train",
    "TEST",
    "val set",
    "training_images",
    "__MACOSX",
    ".hidden",
    "a|b",
    "a\nb",
    "=1+1",
    "[red]x[nope]",
    "\x1b[2J",
    "é",
    "e\u0301",
    "CAT",
    "cat ",
    " ",
    "0",
    "0.0",
    "nan",
    "x" * 200,
    os.fsdecode(b"\xff\xfe"),
    "a.png",
    "labels.csv",
    "\u202egnp",
    "x.zip",
)
CONTENTS = (b"", b"\x89PNG\r\n\x1a\n", b"\0" * 64, b"PK\x03\x04", b"GIF89a\xff\xff\xff\xff", b"file,group\n")
SUFFIXES = (".png", ".PNG", ".jpg", ".tif", ".webp", ".npy", "", ".txt", ".zip")


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """Class folders with a test part, twelve images, and a table of groups of their files."""
    place = tmp_path_factory.mktemp("sound")
    draw_folder(place / "set/train", {"cat": 4, "dog": 4})
    draw_folder(place / "set/test", {"cat": 2, "dog": 2}, start=50)
    files = sorted(file.relative_to(place / "set").as_posix() for file in (place / "set").rglob("*.png"))
    (place / "groups.csv").write_text("file,group\n" + "".join(f"{file},{n // 2}\n" for n, file in enumerate(files)))
    return place


def _disturb(root: Path, chance: random.Random) -> None:  # noqa: PLR0912 - one branch a fault
    """One thing below a folder renamed, moved, replaced, linked, doubled or removed."""
    entries = [entry for entry in sorted(root.rglob("*")) if not entry.is_symlink()]
    folders = [root, *(entry for entry in entries if entry.is_dir())]
    if not entries:
        return
    one, folder, name = chance.choice(entries), chance.choice(folders), chance.choice(NAMES)
    name += chance.choice(SUFFIXES) if chance.random() < 0.5 else ""
    target = folder / name
    if os.path.lexists(target):
        return
    match chance.randrange(9):
        case 0:
            one.rename(one.with_name(name)) if not os.path.lexists(one.with_name(name)) else None
        case 1:
            if not target.is_relative_to(one):
                shutil.move(one, target)
        case 2:
            if one.is_dir() and not target.is_relative_to(one):
                shutil.copytree(one, target, symlinks=True, copy_function=_copied)
        case 3:
            shutil.rmtree(one) if one.is_dir() else one.unlink()
        case 4 if one.is_file():
            one.unlink()
            chance.choice([one.mkdir, lambda: os.mkfifo(one)])()
        case 5:
            target.symlink_to(chance.choice([root, root.parent, one, Path("/dev/zero"), Path("/"), target, "nowhere"]))
        case 6:
            target.write_bytes(chance.choice(CONTENTS))
        case 7 if one.is_file():
            one.write_bytes(one.read_bytes()[: chance.randrange(80)] + chance.choice(CONTENTS))
        case _:
            shutil.move(root, root.with_name("moved"))
            root.mkdir()
            (root.parent / "moved").rename(root / name)


def _copied(source: str, target: str) -> None:
    if os.path.isfile(source):  # noqa: PTH113 - as shutil hands it over; a pipe would be waited for
        shutil.copyfile(source, target)


def _table_disturbed(content: bytes, chance: random.Random) -> bytes:
    """Cells of a table replaced, lines doubled, cut or of other bytes."""
    lines = content.splitlines(keepends=True)
    for _ in range(chance.randrange(1, 4)):
        row = chance.randrange(len(lines))
        cells = lines[row].rstrip(b"\n").split(b",")
        match chance.randrange(6):
            case 0:
                cells[chance.randrange(len(cells))] = os.fsencode(chance.choice(NAMES))
                lines[row] = b",".join(cells) + b"\n"
            case 1:
                lines[row] = chance.choice([b"", b"\n", b'"', b",", b"\0\n", b"\xff\n", b"a" * 3_000_000])
            case 2:
                lines.insert(row, lines[chance.randrange(len(lines))])
            case 3:
                lines[row] = lines[row][: chance.randrange(len(lines[row]) + 1)]
            case 4:
                lines[row] = b"../" + lines[row]
            case _:
                lines[row] = lines[row].replace(b",", chance.choice([b";", b"\t", b",,", b'","']))
    return b"".join(lines) or b"x"


@pytest.mark.parametrize(("rounds", "seed"), [(12, 0), pytest.param(110, 1, marks=pytest.mark.slow)])
def test_a_folder_of_any_layout_is_read_or_refused_by_name(sound, tmp_path, rounds, seed):
    chance, came = random.Random(seed), Counter()  # noqa: S311 - a seeded fuzz
    for number in range(rounds):
        place = tmp_path / str(number)
        shutil.copytree(sound, place)
        for _ in range(chance.randrange(1, 5)):
            _disturb(place / "set", chance)
        if chance.random() < 0.3:
            table = place / "groups.csv"
            table.write_bytes(_table_disturbed(table.read_bytes(), chance))
        how = {
            "groups": place / "groups.csv" if chance.random() < 0.4 else None,
            "class_folder": chance.choice([None, None, "outer", "inner"]),
            "follow_links": False,
        }
        try:
            sample = Sample.from_folder(place / "set", limit=chance.choice([3, 20_000]), **how)
            came["read"] += 1
            assert all(item.open().mode == "RGB" for item in sample.items)
            assert repr(sample)
            assert Sample.again(sample.to_dict()).digest == sample.digest or len(sample) == 3
        except TransferZooError as error:
            came[type(error).__name__] += 1
        except Exception as error:
            raise AssertionError(f"round {number}: {type(error).__name__}: {error}") from error
        try:
            read_anywhere(place / "set")
        except TransferZooError:
            came["nothing to predict"] += 1
        shutil.rmtree(place)
    assert came["read"] > rounds / 4
    assert len(came) > 2


@pytest.mark.parametrize(("rounds", "seed"), [(15, 0), pytest.param(110, 1, marks=pytest.mark.slow)])
def test_a_table_of_groups_is_read_or_refused_by_name(sound, tmp_path, rounds, seed):
    chance, came = random.Random(seed), Counter()  # noqa: S311 - a seeded fuzz
    content = (sound / "groups.csv").read_bytes()
    for _ in range(rounds):
        (tmp_path / "groups.csv").write_bytes(_table_disturbed(content, chance))
        try:
            sample = Sample.from_folder(sound / "set", groups=tmp_path / "groups.csv")
            came["read"] += 1
            assert len(sample.groups) == len(sample)
        except TransferZooError as error:
            came[type(error).__name__] += 1
    assert came["read"] > 1
    assert came["BadTable"] > rounds / 4


ODD = (
    None,
    float("nan"),
    float("inf"),
    1e308,
    10**400,
    -1,
    True,
    "",
    "x",
    b"x",
    1j,
    object(),
    [],
    (),
    {},
    "\ud800",
    "a|b",
)
DTYPES = ("u1", "i1", "u2", "i4", "i8", "f2", "f4", "f8", "c8", "?", "U3", "O", "M8[s]", "S2")


def _values(chance: random.Random, rows: int):  # noqa: PLR0911 - one return a fault
    """Items, nearly always wrong in some way."""
    sound = np.stack([drawn(chance.randrange(99), chance.choice([4, 9])) for _ in range(1)] * rows) if rows else []
    shape = tuple(chance.choice([0, 1, 2, 3, 5]) for _ in range(chance.randrange(5)))
    match chance.randrange(12):
        case 0:
            with np.errstate(all="ignore"):
                return np.zeros((rows, *shape), chance.choice(DTYPES))
        case 1:
            return [chance.choice([*ODD, drawn(1, 4), Image.new("RGB", (4, 4))]) for _ in range(rows)]
        case 2:
            return chance.choice(ODD)
        case 3:
            return np.asarray(sound, "f8") * chance.choice([1, -1, 1e30, 1e308, 0.5])
        case 4:
            return [drawn(n, chance.choice([1, 3, 6])) for n in range(rows)]
        case 5:
            return [Image.new(chance.choice(["1", "L", "I;16", "F", "CMYK", "PA"]), (3, 3)) for _ in range(rows)]
        case 6:
            return np.ma.masked_less(sound, chance.choice([0, 99])) if rows else sound
        case 7:
            return chance.choice([iter([]), range(rows), {0: 1}, "abc", np.zeros((0, 4, 4, 3), "u1")])
        case 8:
            return [np.full((3, 3), chance.choice([float("nan"), 1e308, 7.5])) for _ in range(rows)]
        case _:
            return np.stack([drawn(n, 6) for n in range(rows)]) if rows else []


def _labels(chance: random.Random, rows: int):
    match chance.randrange(9):
        case 0:
            return [chance.choice(ODD) for _ in range(rows)]
        case 1:
            return chance.choice(["ab", np.array("a"), range(rows), np.zeros((rows, 2)), [], b"ab"])
        case 2:
            return np.array([chance.choice([0.5, 1.0, float("nan"), 1e308]) for _ in range(rows)])
        case 3:
            return [chance.choice([("a",), {"b"}, [], ("a", None), ("a", "b")]) for _ in range(rows)]
        case _:
            return ["ab"[row % 2] for row in range(rows)]


@pytest.mark.parametrize(("rounds", "seed"), [(200, 0), pytest.param(1000, 1, marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore")  # NumPy's about the values that it is given
def test_arrays_and_frames_are_read_or_refused_by_name(rounds, seed):
    chance, came = random.Random(seed), Counter()  # noqa: S311 - a seeded fuzz
    for number in range(rounds):
        rows = chance.choice([0, 1, 2, 8])
        items, labels = _values(chance, rows), _labels(chance, chance.choice([rows, rows, rows, 3]))
        groups = _labels(chance, rows) if chance.random() < 0.3 else None
        how = {
            "groups": groups,
            "task": chance.choice([*[None] * 9, *Task, "nope"]),
            "metric": chance.choice([*[None] * 30, *Metric, "nope"]),
        }
        try:
            if chance.random() < 0.3:
                frame = {"i": items, "l": labels, "g": groups, "s": ["train", "test"] * (rows // 2)}
                how["groups"] = chance.choice([None, "g", "x"])
                built = frame if chance.random() < 0.5 else _framed(frame)
                Sample.from_frame(built, "i", "l", name="x", split=chance.choice([None, "s"]), **how)
            else:
                test = (_values(chance, 2), _labels(chance, 2)) if chance.random() < 0.2 else None
                Sample.from_arrays(items, labels, name="x", test=test, **how)
            came["read"] += 1
        except TransferZooError as error:
            came[type(error).__name__] += 1
        except Exception as error:
            raise AssertionError(f"round {number}: {type(error).__name__}: {error}") from error
    assert came["read"] > rounds / 20
    assert len(came) > 5


def _framed(columns):
    try:
        return pd.DataFrame({name: list(values) for name, values in columns.items()})
    except (TypeError, ValueError):
        return columns


def test_a_fuzz_waits_for_nothing(tmp_path):
    (tmp_path / "cat").mkdir()
    os.mkfifo(tmp_path / "cat/a.png")
    began = time.monotonic()
    with pytest.raises(TransferZooError):
        Sample.from_folder(tmp_path)
    assert time.monotonic() - began < 60
