"""Records as strangers write them: damaged, without an end, in any script."""

import bz2
import csv
import gzip
import json
import re
import resource
import tracemalloc
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recommender.baseline import RawRows
from registry.cards import Task
from registry.encoders.loading import load_network
from registry.errors import BadTable, NoItems
from registry.readers.records import RecordColumns, is_records, read_records
from registry.readers.streams import stream_records
from registry.sample import Sample
from tests.registry.modalities.text.nets import save

STRANGE = (
    "😀😃 what a day 🏖️👨‍👩‍👧",
    "مرحبا بالعالم، كيف حالك اليوم؟",
    "שלום עולם, מה שלומך היום?",
    "a\u202eright to left\u202c override",
    "zero\u200bwidth\u200djoiners\ufeffinside",
    "\U0001d571\U0001d597 and 日本語 and ไทย",
)


def write(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


def test_one_broken_letter_does_not_make_another_encoding_of_a_file(tmp_path):
    rows = "".join(f"Grüße aus Köln {row},{'ab'[row % 2]}\n" for row in range(20)).encode()
    (tmp_path / "a.csv").write_bytes(b"text,label\n" + rows + b"broken \xff here,a\n")
    read = read_records(tmp_path / "a.csv", limit=99)
    assert read.items[0].open() == "Grüße aus Köln 0"
    assert read.items[20].open() == "broken \ufffd here"
    assert read.notes == ("a.csv read as UTF-8 with broken letters",)


def test_bytes_that_even_windows_1252_does_not_have_cost_a_letter(tmp_path):
    (tmp_path / "a.csv").write_bytes("text,label\nGrüße,a\n".encode("latin-1") + b"hole \x81 here,b\n")
    read = read_records(tmp_path / "a.csv", limit=99)
    assert [item.open() for item in read.items] == ["Grüße", "hole \ufffd here"]


def test_a_quote_that_is_never_closed_is_named_by_its_line_and_swallows_nothing(tmp_path):
    rows = [f"text number {row},{'ab'[row % 2]}\n" for row in range(3000)]
    (tmp_path / "a.csv").write_text("text,label\n" + "".join([*rows[:1200], '"no end,a\n', *rows[1200:]]))
    with pytest.raises(BadTable, match=r"opens behind line 1,201 is never closed"):
        read_records(tmp_path / "a.csv", limit=9999)


def test_long_texts_are_cut_and_that_is_counted(tmp_path):
    path = write(tmp_path / "a.csv", [("letters " * 20_000, "a"), ("short text", "b"), ("another one", "a")])
    read = read_records(path, limit=9)
    assert len(read.items[0].open()) == 100_000
    assert read.converted == {"cut at 100,000 characters": 1}
    network = load_network(save(tmp_path / "net", "bert"))
    assert len(network.prepare(read.items[0])["tokens"]) == network.tokenization.longest


def test_any_script_and_sign_comes_through_to_features_and_tokens(tmp_path):
    rows = [(f"{text} {row}", "ab"[row % 2]) for row in range(3) for text in STRANGE]
    sample = Sample.from_folder(write(tmp_path / "a.csv", rows), keep_duplicates=True)
    assert [item.open() for item in sample.items] == [text for text, _ in rows]
    assert np.isfinite(RawRows.of("text", sample.items).features()).all()
    network = load_network(save(tmp_path / "net", "gpt2"))
    assert all(len(network.prepare(item)["tokens"]) > 0 for item in sample.items)


def test_a_class_of_one_row_is_always_learned_from_and_that_is_stated(tmp_path):
    rows = [(f"a text about {label} {row}", label) for row in range(12) for label in ("tea", "rain")]
    sample = Sample.from_folder(write(tmp_path / "a.csv", [*rows, ("only this", "once")]), keep_duplicates=True)
    warning = (
        "classes with one text are in every training part and never held out, so that no score is expected of them: "
    )
    assert f"{warning}once" in sample.health.warnings
    assert sample.folds()[sample.labels.index("once")] == -1


@pytest.mark.slow
def test_a_file_of_a_gigabyte_is_streamed_and_a_draw_of_it_kept(tmp_path):
    path, rows = tmp_path / "huge.csv", 5000
    with path.open("w", encoding="utf-8") as file:
        file.write("text,label\n")
        part = "".join(f'"row {row}, {"some more words " * 12}",{"ab"[row % 2]}\n' for row in range(rows))
        times = -(-(1 << 30) // len(part))
        for _ in range(times):
            file.write(part)
    assert path.stat().st_size >= 1 << 30
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read = read_records(path, limit=1000)
    assert len(read.items) == 1000
    assert f"huge.csv has {rows * times:,} rows: a draw of 200,000 of {rows * times:,} was read" in read.notes
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 700 << 10  # KiB: far less than the file


ROWS = [(f"a text about {label} {row}", label) for row in range(6) for label in ("tea", "rain")]


def test_a_column_without_a_name_is_called_after_its_place(tmp_path):
    pd.DataFrame(ROWS, columns=["text", "label"]).to_csv(tmp_path / "a.csv")  # with its index, as pandas does unasked
    read = read_records(tmp_path / "a.csv", limit=99)
    assert [item.open() for item in read.items] == [text for text, _ in ROWS]
    named = read_records(tmp_path / "a.csv", columns=RecordColumns(group="column 1"), limit=99)
    assert named.groups == tuple(map(str, range(len(ROWS))))


@pytest.mark.parametrize("content", ["[{}]", "{}\n"])
def test_a_json_file_is_an_array_or_lines(content, tmp_path):
    joined = (", " if "[" in content else "\n").join(json.dumps({"": 0, "text": a, "label": b}) for a, b in ROWS)
    (tmp_path / "a.json").write_text(content.format(joined) if "[" in content else joined)
    assert len(read_records(tmp_path / "a.json", limit=99).items) == len(ROWS)
    assert is_records(tmp_path / "a.json")
    (tmp_path / "train.json").write_text("[]")
    assert not is_records(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "why", "columns"),
    [
        ("a.csv", "text,label,label\na b,x,y\n", "two columns are called 'label'", {}),
        ("a.csv", "text,label\na, b,x\nc, d,y\n", "row 1 has 3 cells where the headings are 2, and so it is", {}),
        ("a.csv", "text,label\na b,x\nc d,y\n", "column 'text' is named as text and as label", {"label": "text"}),
        ("a.conll", "one\ntwo\n\nthree\n", "its lines hold a word and no tag", {}),
        ("a.txt", "Some words here.\nAnd others.\n", "its lines are no words with a tag each", {}),
        ("a.json", '[{"text": "a"}, 3]', "member 2 of its array is no object", {}),
        ("a.json", '[{"text": ', "it is no JSON", {}),
    ],
)
def test_a_file_that_cannot_be_told_apart_is_refused_by_what_is_wrong_with_it(name, content, why, columns, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(BadTable, match=re.escape(why)):
        Sample.from_folder(tmp_path / name, text="text" if columns else None, **columns)


def test_a_quote_left_open_near_the_end_takes_no_row_with_it(tmp_path):
    rows = [f"text number {row},{'ab'[row % 2]}\n" for row in range(30)]
    (tmp_path / "a.csv").write_text("text,label\n" + "".join([*rows[:20], '"no end,a\n', *rows[20:]]))
    with pytest.raises(BadTable, match=r"opens behind line 21 is never closed"):
        read_records(tmp_path / "a.csv", limit=99)
    (tmp_path / "a.csv").write_text('text,"label\n' + "".join(rows))
    with pytest.raises(BadTable, match=r"quote of its first line is never closed"):
        read_records(tmp_path / "a.csv", limit=99)


def test_labels_that_mean_something_else_than_classes_are_noted(tmp_path):
    texts = [f"text number {row}" for row in range(12)]
    lists = write(tmp_path / "lists.csv", [(text, ("['a', 'b']", "['a']")[row % 2]) for row, text in enumerate(texts)])
    assert any("read like lists" in note for note in read_records(lists, limit=99).notes)
    commas = write(tmp_path / "commas.csv", [(text, f"{row},5") for row, text in enumerate(texts)])
    assert any("decimal point" in note for note in read_records(commas, limit=99).notes)
    plain = write(tmp_path / "plain.csv", [(text, "ab"[row % 2]) for row, text in enumerate(texts)])
    assert read_records(plain, limit=99).notes == ()


def test_a_text_that_fills_a_column_of_parquet_is_kept_once(tmp_path):
    long = ["x" * 2**20 + str(number) for number in range(3)]
    texts = pa.DictionaryArray.from_arrays(pa.array([row % 3 for row in range(4096)], pa.int32()), pa.array(long))
    table = pa.table({"text": texts, "label": ["a", "b"] * 2048, "in": [{"it": "x"}] * 4096})
    pq.write_table(table, tmp_path / "a.parquet", compression="zstd", store_schema=False)
    tracemalloc.start()
    read = [(row["text"][-1], row["label"], row["in"]) for _, row in stream_records(tmp_path / "a.parquet", [])]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert read == [(str(row % 3), "ab"[row % 2], {"it": "x"}) for row in range(4096)]
    assert (tmp_path / "a.parquet").stat().st_size < 100_000
    assert peak < 2**26


def test_a_column_of_parquet_that_explodes_is_refused_unopened(tmp_path, monkeypatch):
    pq.write_table(pa.table({"text": ["x" * 2**20], "label": ["a"]}), tmp_path / "a.parquet", compression="zstd")
    monkeypatch.setattr("registry.readers.streams._RATIO_FROM", 2**18)
    with pytest.raises(BadTable, match=r"column 'text' unpacks \d+:1; at most 200:1"):
        read_records(tmp_path / "a.parquet", limit=99)
    monkeypatch.setattr("registry.readers.streams._MOST_RECORDS", 0)
    with pytest.raises(BadTable, match="1 rows; at most 0"):
        read_records(tmp_path / "a.parquet", limit=99)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.jsonl", '{"text": "a", "label": "b"}\n{"text": "' + "x" * 3000 + '"}\n', "line 2 has more than"),
        ("a.json", "[" + ",".join(['{"text": "a", "label": "b"}'] * 200) + "]", "an array of more than"),
        ("a.csv", "text,label\na,b\n" + "x" * 3000 + ",b\n", "field larger than field limit"),
    ],
)
def test_a_line_without_an_end_is_refused_and_not_held(tmp_path, monkeypatch, name, content, why):
    monkeypatch.setattr("registry.readers.streams._LONGEST", 2000)
    (tmp_path / name).write_text(content)
    with pytest.raises(BadTable, match=why) as caught:
        list(stream_records(tmp_path / name, []))
    assert caught.value.remedy


def test_of_very_many_columns_two_of_one_name_are_named(tmp_path):
    (tmp_path / "a.csv").write_text(",".join(f"c{place}" for place in range(200_000)) + ",c7\n")
    with pytest.raises(BadTable, match="two columns are called 'c7'"):
        list(stream_records(tmp_path / "a.csv", []))


@pytest.mark.parametrize(
    ("name", "packed", "word"), [("a.csv", gzip.compress, "gzip"), ("a.jsonl", bz2.compress, "bzip2")]
)
def test_a_packed_table_is_called_so(tmp_path, name, packed, word):
    (tmp_path / name).write_bytes(packed(b"text,label\na,b\n"))
    with pytest.raises(BadTable, match=f"it is no text but {word}") as caught:
        read_records(tmp_path / name, limit=99)
    assert caught.value.remedy == "Unpack it, or name it by what it is."


def test_decimals_of_parquet_are_quantities(tmp_path):
    frame = pd.DataFrame({"text": [f"text {row}" for row in range(9)], "label": [Decimal(row) / 4 for row in range(9)]})
    frame.to_parquet(tmp_path / "a.parquet")
    rows = read_records(tmp_path / "a.parquet", limit=99)
    assert rows.task == Task.REGRESSION
    assert [float(label) for label in rows.labels] == [row / 4 for row in range(9)]


def test_a_column_of_parts_and_headings_that_are_a_row_are_noted(tmp_path):
    table = pd.DataFrame({"text": list("stuvwxyz"), "label": list("ab" * 4), "split": ["train", "test"] * 4})
    table.to_csv(tmp_path / "a.csv", index=False)
    assert any("'split' (test, train) is not used" in note for note in read_records(tmp_path / "a.csv", limit=99).notes)
    (tmp_path / "b.csv").write_text("".join(f"some words {row},{'ab'[row % 2]}\n" for row in range(8)))
    assert any("first line is taken for headings" in note for note in read_records(tmp_path / "b.csv", limit=99).notes)


def test_a_test_part_with_other_columns_is_refused_by_name(tmp_path):
    write(tmp_path / "train.csv", [(f"text {row}", "ab"[row % 2]) for row in range(8)])
    (tmp_path / "test.csv").write_text(
        "sentence,class\n" + "".join(f"test {row},{'ab'[row % 2]}\n" for row in range(4))
    )
    with pytest.raises(BadTable, match=r"test\.csv: it has no column 'text', where train\.csv has its texts"):
        read_records(tmp_path, limit=99)


def test_a_registry_beside_the_parts_is_no_data(tmp_path):
    for part, rows in (("train", range(6)), ("test", range(6, 9))):
        (tmp_path / f"{part}.conll").write_text("".join(f"EU{row} B-ORG\nsays O\n\n" for row in rows))
    (tmp_path / "home").mkdir()
    assert not is_records(tmp_path)
    (tmp_path / "home" / "registry.db").touch()
    assert is_records(tmp_path)
    assert len(read_records(tmp_path, limit=99).items) == 6


def test_fields_of_objects_are_columns_by_dotted_names(tmp_path):
    rows = [
        {"id": row, "review": {"text": f"words {row}", "of": {"lang": "en"}}, "meta": {"stars": "ab"[row % 2]}}
        for row in range(8)
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(BadTable, match=r"labels among id, review\.text, review\.of\.lang, meta\.stars"):
        read_records(tmp_path / "a.jsonl", limit=99)
    read = read_records(tmp_path / "a.jsonl", columns=RecordColumns(label="meta.stars"), limit=99)
    assert any("'review.text' as text" in note for note in read.notes)
    assert len(read.items) == 8
    assert set(read.labels) == {"a", "b"}
    (tmp_path / "b.jsonl").write_text("".join(json.dumps(row | {"meta.stars": "c"}) + "\n" for row in rows))
    assert set(read_records(tmp_path / "b.jsonl", columns=RecordColumns(label="meta.stars"), limit=99).labels) == {"c"}


@pytest.mark.parametrize(("first", "last", "noted"), [(1, 5, True), (0, 4, False), (1, 2, False), (1, 12, False)])
def test_what_may_be_a_scale_of_ratings_is_noted(tmp_path, first, last, noted):
    stars = [first + row % (last - first + 1) for row in range(24)]
    (tmp_path / "a.csv").write_text("text,stars\n" + "".join(f"words {row},{star}\n" for row, star in enumerate(stars)))
    read = read_records(tmp_path / "a.csv", limit=99)
    assert read.task is Task.CLASSIFICATION
    assert any("where they are ratings, --task regression" in note for note in read.notes) is noted


def test_objects_in_cells_and_files_of_other_kinds_have_a_remedy(tmp_path):
    (tmp_path / "a.jsonl").write_text("".join(f'{{"data": [{{"text": "words {row}"}}]}}\n' for row in range(4)))
    with pytest.raises(BadTable) as nested:
        read_records(tmp_path / "a.jsonl", limit=99)
    assert "json_normalize" in nested.value.remedy
    (tmp_path / "a.xlsx").write_bytes(b"no table")
    with pytest.raises(NoItems) as sheet:
        Sample.from_folder(tmp_path / "a.xlsx")
    assert "Sample.from_frame" in sheet.value.remedy
    for file, remedy in (("one.csv", "train.csv"), ("data.arrow", "load_from_disk")):
        (tmp_path / file[:3]).mkdir()
        (tmp_path / file[:3] / file).write_text("")
        with pytest.raises(NoItems) as folder:
            Sample.from_folder(tmp_path / file[:3])
        assert remedy in folder.value.remedy
