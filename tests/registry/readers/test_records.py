"""Files of rows: texts with their labels, in whichever form they were written."""

import csv
import json

import pandas as pd
import pytest

from registry.errors import BadTable, TooManyUnreadable
from registry.forms import to_json
from registry.readers import records
from registry.readers.anywhere import read_anywhere
from registry.readers.records import is_records, read_records
from registry.sample import Sample

ROWS = [
    {"text": "The match was won in the last minute", "label": "sport"},
    {"text": 'He said "no", and\nleft the room', "label": "people"},
    {"text": "Grüße aus Köln, schöner Tag 😀", "label": "people"},
    {"text": "=HYPERLINK(1) is no formula here", "label": "sport"},
]


def write(path, rows=ROWS, encoding="utf-8"):
    kind = path.suffix
    if kind == ".parquet":
        pd.DataFrame(rows).to_parquet(path)
    elif kind in {".jsonl", ".ndjson"}:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding=encoding)
    else:
        with path.open("w", newline="", encoding=encoding, errors="replace") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if kind == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.ndjson", "a.parquet"])
def test_every_form_gives_the_same_rows(tmp_path, name):
    rows = read_records(write(tmp_path / name), limit=99)
    assert rows.modality.name == "text"
    assert [item.open() for item in rows.items] == [row["text"] for row in ROWS]
    assert list(rows.labels) == [row["label"] for row in ROWS]
    assert rows.items[1].name.startswith(f"{name}:")
    assert rows.notes == ()


@pytest.mark.parametrize(("encoding", "note"), [("utf-8-sig", None), ("utf-16", "UTF-16"), ("cp1252", "Windows-1252")])
def test_encodings_are_sniffed_and_noted(tmp_path, encoding, note):
    rows = read_records(write(tmp_path / "a.csv", encoding=encoding), limit=99)
    assert rows.items[2].open().startswith("Grüße aus Köln")
    assert [text for text in rows.notes if "read as" in text] == ([] if note is None else [f"a.csv read as {note}"])


def test_train_and_test_in_a_folder_are_parts_and_validation_joins(tmp_path):
    write(tmp_path / "train.csv", ROWS[:2])
    write(tmp_path / "dev.jsonl", ROWS[2:3])
    write(tmp_path / "test.csv", ROWS[3:])
    (tmp_path / "about.json").write_text("{}")
    assert is_records(tmp_path)
    rows = read_records(tmp_path, limit=99)
    assert (len(rows.items), len(rows.test.items)) == (3, 1)
    assert rows.notes == ("dev.jsonl joined to the training part",)
    assert len(read_anywhere(tmp_path).items) == 4


def test_a_folder_with_class_folders_beside_a_table_is_no_folder_of_records(tmp_path):
    write(tmp_path / "train.csv")
    (tmp_path / "cat").mkdir()
    assert not is_records(tmp_path)


def test_columns_are_found_by_name_or_by_what_they_hold(tmp_path):
    renamed = [{"id": row, "Tweet": one["text"], "Sentiment": one["label"]} for row, one in enumerate(ROWS)]
    assert "'Tweet' and 'Sentiment'" in read_records(write(tmp_path / "a.csv", renamed), limit=99).notes[0]
    odd = [{"was": one["text"], "wer": one["label"]} for one in ROWS]
    assert list(read_records(write(tmp_path / "b.csv", odd), limit=99).labels) == [row["label"] for row in ROWS]


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([{"a": "one two three four", "b": "five six seven eight", "label": "x"}], "texts among a, b, label"),
        ([{"text": "one two", "a": "1", "b": "2"}], "labels among text, a, b"),
        ([{"text": "one two"}], "labels among text"),
        ([{"text": f"row {row}", "label": row + 0.5} for row in range(30)], "no classes"),
    ],
)
def test_columns_that_are_not_plain_are_an_error_that_names_those_there(tmp_path, rows, why):
    with pytest.raises(BadTable, match=why):
        read_records(write(tmp_path / "a.csv", rows), limit=99)


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.csv", b""), ("a.csv", b"text,label\n"), ("a.jsonl", b"{\n"), ("a.jsonl", b"[1]\n"), ("a.parquet", b"PAR1")],
)
def test_what_holds_no_row_is_an_error(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadTable):
        read_records(tmp_path / name, limit=99)


def test_bad_rows_are_counted_each_with_its_reason(tmp_path):
    good = "".join(f"text number {row},{'ab'[row % 2]}\n" for row in range(20))
    (tmp_path / "a.csv").write_text(f"text,label\n{good} ,a\ntoo,many,b\nnul\0here,a\nno label,\n")
    rows = read_records(tmp_path / "a.csv", limit=99)
    assert len(rows.items) == 20
    assert rows.notes[0] == "1 row of a.csv without a label left out"
    reasons = [reason for _, reason in rows.unreadable]
    assert [word in reason for word, reason in zip(("no text", "3 cells", "NUL"), reasons, strict=True)] == [True] * 3
    (tmp_path / "b.csv").write_text("text,label\n ,a\nword,b\n")
    with pytest.raises(TooManyUnreadable):
        read_records(tmp_path / "b.csv", limit=99)


def test_of_a_very_long_file_a_draw_is_kept_and_that_is_noted(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "_MOST", 50)
    write(tmp_path / "a.csv", [{"text": f"text {row}", "label": "ab"[row % 2]} for row in range(300)])
    rows = read_records(tmp_path / "a.csv", limit=999)
    assert len(rows.items) == 50
    assert rows.notes == ("a.csv has 300 rows: a draw of 50 was read",)
    assert max(int(item.open().split()[1]) for item in rows.items) > 100


def test_a_sample_of_records_knows_where_it_lay(tmp_path):
    rows = [{"text": f"a text about {word} {row}", "label": word} for row in range(12) for word in ("tea", "rain")]
    write(tmp_path / "train.csv", rows)
    sample = Sample.from_folder(tmp_path)
    assert (sample.modality, len(sample), sample.classes) == ("text", 24, ("rain", "tea"))
    assert Sample.again(to_json(sample.to_form())).digest == sample.digest
