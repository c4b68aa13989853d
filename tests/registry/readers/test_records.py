"""Files of rows: texts with their labels, in whichever form they were written."""

import csv
import json

import pandas as pd
import pytest

from registry.cards import Task
from registry.errors import BadTable, ColumnsOfNoRecords, OtherRows, TooManyUnreadable, UnknownName
from registry.forms import to_json
from registry.readers import records
from registry.readers.anywhere import read_anywhere
from registry.readers.records import RecordColumns, is_records, read_records
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


@pytest.mark.parametrize(
    ("encoding", "note"),
    [
        ("utf-8-sig", None),
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16"),
        ("utf-16-be", "UTF-16"),
        ("cp1252", "Windows-1252"),
    ],
)
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
    assert read_records(write(tmp_path / "a.csv", renamed), limit=99).notes == (
        "a.csv: column 'Tweet' as text, 'Sentiment' as label",
    )
    odd = [{"was": one["text"], "wer": one["label"]} for one in ROWS]
    assert list(read_records(write(tmp_path / "b.csv", odd), limit=99).labels) == [row["label"] for row in ROWS]


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([{"a": "one two three four", "b": "five six seven eight", "label": "x"}], "texts among a, b, label"),
        ([{"text": "one two", "a": "1", "b": "2"}], "labels among text, a, b"),
        ([{"text": "one two"}], "labels among text"),
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
    assert rows.notes == ("a.csv has 300 rows: a draw of 50 of 300 was read",)
    assert max(int(item.open().split()[1]) for item in rows.items) > 100


def test_a_sample_of_records_knows_where_it_lay(tmp_path):
    rows = [{"text": f"a text about {word} {row}", "label": word} for row in range(12) for word in ("tea", "rain")]
    write(tmp_path / "train.csv", rows)
    sample = Sample.from_folder(tmp_path)
    assert (sample.modality, len(sample), sample.classes) == ("text", 24, ("rain", "tea"))
    assert Sample.again(to_json(sample.to_form())).digest == sample.digest


def test_named_columns_count_and_pairs_groups_and_labels_go_along(tmp_path):
    rows = [
        {"a": f"is it {row}?", "b": f"no, {row + 1}", "gold": "yes" if row % 2 else "no", "who": row // 4, "text": "x"}
        for row in range(12)
    ]
    columns = RecordColumns(text="a", text2="b", label="gold", group="who")
    read = read_records(write(tmp_path / "a.jsonl", rows), columns=columns, limit=99)
    assert read.items[3].parts == ("is it 3?", "no, 4")
    assert read.items[3].digest != read.items[4].digest
    assert (read.labels[:2], read.groups[3:5]) == (("no", "yes"), ("0", "1"))
    assert read.columns == {"text": "a", "text2": "b", "label": "gold", "group": "who"}
    sample = Sample.from_folder(tmp_path / "a.jsonl", text="a", text2="b", label="gold", group="who")
    assert len(set(sample.groups)) == 3
    assert sample.named_groups
    assert Sample.again(to_json(sample.to_form())).digest == sample.digest


def test_columns_that_are_called_as_those_of_a_pair_are_one(tmp_path):
    rows = [{"premise": "one two", "hypothesis": f"three {row}", "label": "ab"[row % 2]} for row in range(4)]
    assert read_records(write(tmp_path / "a.csv", rows), limit=9).items[1].parts == ("one two", "three 1")


@pytest.mark.parametrize(
    ("labels", "task", "kept"),
    [
        (["a|b", "b", "", "b|a"], Task.MULTI_LABEL, ("a|b", "b", "", "a|b")),
        ([["b", "a"], ["b"], [], ["a"]], Task.MULTI_LABEL, ("a|b", "b", "", "a")),
        ([0.5, 1.25, 2, 3.5], Task.REGRESSION, ("0.5", "1.25", "2.0", "3.5")),
        ([1, 2, 1, 2], Task.CLASSIFICATION, ("1", "2", "1", "2")),
        ([True, False, True, False], Task.CLASSIFICATION, ("True", "False", "True", "False")),
    ],
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_what_labels_are_is_read_off_the_column(tmp_path, name, labels, task, kept):
    if isinstance(labels[0], list) and name == "a.csv":
        labels = ["|".join(cell) for cell in labels]
    rows = [{"text": f"row number {row}", "label": label} for row, label in enumerate(labels)]
    read = read_records(write(tmp_path / name, rows), limit=9)
    assert (read.task, read.labels) == (task, kept)


def test_a_quantity_is_a_class_where_that_is_the_task(tmp_path):
    rows = [{"text": f"row {row}", "stars": row} for row in range(40)]
    path = write(tmp_path / "a.csv", rows)
    assert read_records(path, limit=99).task is Task.REGRESSION
    assert read_records(path, limit=99, task=Task.CLASSIFICATION).labels[39] == "39"


@pytest.mark.parametrize("odd", [3, {"x": 1}, ["a|b"], [None]])
def test_labels_of_several_kinds_are_an_error_that_names_a_row(tmp_path, odd):
    rows = [{"text": f"row {row}", "label": odd if row == 2 else "word"} for row in range(4)]
    with pytest.raises(BadTable, match=r"row (a.jsonl:)?3"):
        read_records(write(tmp_path / "a.jsonl", rows), limit=99)


def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path):
    with pytest.raises(UnknownName, match="labl") as caught:
        read_records(write(tmp_path / "a.csv"), columns=RecordColumns(label="labl"), limit=99)
    assert "label" in caught.value.remedy
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "a.txt").write_text("words")
    with pytest.raises(ColumnsOfNoRecords, match="--label"):
        Sample.from_folder(tmp_path / "class", label="label")


@pytest.mark.parametrize("form", ["2026-01-{:02d}", "{}.5", "2026-01-{:02d}T10:00:00+02:00", "{} Jan 2026"])
def test_what_comes_last_is_the_test_part(tmp_path, form):
    rows = [{"text": f"day {day}", "label": "ab"[day % 2], "when": form.format(day)} for day in range(20, 0, -1)]
    read = read_records(write(tmp_path / "a.csv", rows), columns=RecordColumns(time="when"), limit=99)
    assert sorted(int(item.text.split()[1]) for item in read.test.items) == [16, 17, 18, 19, 20]
    assert "column 'when': the 5 latest of 20 rows are the test part" in " ".join(read.notes)


def test_a_class_that_begins_in_the_test_part_is_left_out_and_named(tmp_path):
    rows = [{"text": f"day {day}", "label": "new" if day == 20 else "ab"[day % 2], "when": day} for day in range(21)]
    read = read_records(write(tmp_path / "a.csv", rows), columns=RecordColumns(time="when"), limit=99)
    assert "1 row of classes that begin only then left out: new" in read.notes
    assert "new" not in read.test.labels


@pytest.mark.parametrize(("times", "why"), [(["soon"] * 8, "is no time"), ([3] * 8, "first time")])
def test_times_that_cannot_be_put_in_order_are_an_error(tmp_path, times, why):
    rows = [{"text": f"row {row}", "label": "ab"[row % 2], "when": time} for row, time in enumerate(times)]
    with pytest.raises(BadTable, match=why):
        read_records(write(tmp_path / "a.csv", rows), columns=RecordColumns(time="when"), limit=99)


def test_what_records_state_is_known_where_they_are_read_in_no_class(tmp_path):
    columns = RecordColumns(text="text", label="label", group="gone")
    read = read_anywhere(write(tmp_path / "a.csv"), columns=columns, task=Task.CLASSIFICATION)
    assert read.truths["a.csv:1"] == "sport"
    other = [{"sentence": row["text"], "stars": 2} for row in ROWS]
    assert read_anywhere(write(tmp_path / "b.csv", other), columns=columns).truths == {}
    damaged = [{"text": row["text"], "label": "n/a"} for row in ROWS]
    assert read_anywhere(write(tmp_path / "c.csv", damaged), columns=columns, task=Task.REGRESSION).truths == {}


def test_a_table_of_numbers_is_told_that_it_is_for_another_tool(tmp_path):
    rows = "".join(f"{number / 7:.3f},{number % 5},{'ab'[number % 2]}\n" for number in range(40))
    (tmp_path / "measures.csv").write_text("length,width,label\n" + rows)
    with pytest.raises(BadTable, match="holds numbers") as refused:
        Sample.from_folder(tmp_path / "measures.csv", label="label")
    assert "gradient boosting" in str(refused.value.remedy)


@pytest.mark.parametrize(
    ("columns", "named", "proposed"),
    [
        (("id", "day", "said in short", "kind"), {}, "--text 'said in short' --label kind"),
        (("id", "day", "text", "kind"), {}, "--text text --label kind"),
        (("title", "day", "said", "label"), {}, "--text said --label label"),
        (("title", "day", "said", "kind"), {"label": "day"}, "--text said --label day"),
        (("id", "day", "said", "kind"), {"text": "day"}, "--text day --label kind"),
    ],
)
def test_where_columns_are_not_plain_those_that_may_be_meant_are_proposed(tmp_path, columns, named, proposed):
    cells = (
        (f"number {row} of all", f"day {row % 6}", f"words at some length, {row} of them", "abc"[row % 3])
        for row in range(24)
    )
    path = write(tmp_path / "a.csv", [dict(zip(columns, row, strict=True)) for row in cells])
    with pytest.raises(BadTable, match="no column is plainly") as refused:
        read_records(path, columns=RecordColumns(**named), limit=99)
    assert f"perhaps {proposed} " in refused.value.remedy


def test_where_no_value_comes_back_no_column_is_proposed(tmp_path):
    path = write(
        tmp_path / "a.csv", [{name: f"words {name} {row}" for name in ("one", "two", "three")} for row in range(9)]
    )
    with pytest.raises(BadTable) as refused:
        read_records(path, limit=99)
    assert "--text COLUMN --label COLUMN" in refused.value.remedy


def test_items_without_labels_come_along_each_once_and_are_read_again(tmp_path):
    rows = [{"text": f"a text about {word} {row}", "label": word} for row in range(12) for word in ("tea", "rain")]
    more = [{"body": f"something else {row // 2}", "text": f"more of it {row // 2}", "label": 7} for row in range(8)]
    path, unlabelled = write(tmp_path / "a.csv", rows), write(tmp_path / "more.jsonl", more)
    sample = Sample.from_folder(path, unlabelled=unlabelled)
    assert [item.open() for item in sample.unlabelled] == [f"more of it {row}" for row in range(4)]
    assert "without labels: 8 texts read, 4 copies among them left out" in sample.health.warnings
    assert sample.digest == Sample.from_folder(path).digest
    assert sample.subsample(6).unlabelled == sample.unlabelled
    form = to_json(sample.to_form())
    assert Sample.again(form).unlabelled == sample.unlabelled
    write(unlabelled, more[:4])
    with pytest.raises(OtherRows, match=r"more\.jsonl"):
        Sample.again(form)


def test_of_many_items_without_labels_a_draw_is_kept(tmp_path):
    write(tmp_path / "a.csv")
    (tmp_path / "more").mkdir()
    for number in range(9):
        (tmp_path / "more" / f"{number}.txt").write_text(f"text number {number}")
    sample = Sample.from_folder(tmp_path / "a.csv", unlabelled=tmp_path / "more", limit=5)
    assert len(sample.unlabelled) == 5
    assert "without labels: 5 texts of 9 read" in sample.health.warnings
