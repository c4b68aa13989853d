import re
import subprocess
import sys
from pathlib import Path

import pytest

from registry.cards import Task
from registry.errors import BadTable, PathMissing
from registry.modalities.image import IMAGE
from registry.readers import table as tables
from registry.readers.layout import sampled, tabled
from registry.readers.table import read_groups, read_labels
from tests.conftest import draw_folder

ROOT = Path(__file__).parents[3]
NAMES = ["cat/1.png", "cat/2.png", "dog/1.png", "dog/sub/3.png"]


def table(tmp_path, text: str, encoding: str = "utf-8"):
    path = tmp_path / "groups.csv"
    path.write_text(text, encoding=encoding)
    return path


def test_files_are_found_by_path_or_by_a_bare_name_that_is_unique(tmp_path):
    text = "file,group\ncat/1.png,anna\n2.png,anna\n./dog/1.png,ben\nsub/3.png,ben\nelsewhere.png,cy\n"
    assert read_groups(table(tmp_path, text), NAMES) == dict(zip(NAMES, ["anna", "anna", "ben", "ben"], strict=True))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("file,group\n1.png,anna\n", r"line 2: '1.png' fits 2 items"),
        ("file,group\ncat/1.png,anna\n\ncat/1.png,ben\n", "line 4: 'cat/1.png' is there twice"),
        ("file,group\ncat/1.png,anna\n2.png,\n", "line 3: the cell 'group' is empty"),
        ("file,group\n,anna\n", "line 2: the cell 'file' is empty"),
        ("file,group\ncat/1.png\n", "line 2: the cell 'group' is empty"),
        ("name,group\ncat/1.png,anna\n", "no column 'file'"),
        ("", "no column 'file'"),
    ],
)
def test_a_bad_row_is_named(tmp_path, text, why):
    with pytest.raises(BadTable, match=why) as caught:
        read_groups(table(tmp_path, text), NAMES)
    assert caught.value.remedy


def test_semicolons_a_byte_order_mark_and_capitals_are_understood(tmp_path):
    result = read_groups(table(tmp_path, "File;Group;note\ncat/1.png;anna;x\n", "utf-8-sig"), NAMES)
    assert result == {"cat/1.png": "anna"}


def test_other_encodings_are_refused_in_words(tmp_path):
    with pytest.raises(BadTable, match="is not UTF-8"):
        read_groups(table(tmp_path, "file,group\ncat/1.png,Jürgen\n", "latin-1"), NAMES)


def test_a_missing_table_is_a_missing_path(tmp_path):
    with pytest.raises(PathMissing):
        read_groups(tmp_path / "none.csv", NAMES)


def test_a_folder_is_no_table(tmp_path):
    with pytest.raises(BadTable):
        read_groups(tmp_path, NAMES)


def targets(tmp_path, *cells: str):
    return table(tmp_path, "file,target\n" + "".join(f"{row}.png,{cell}\n" for row, cell in enumerate(cells)))


@pytest.mark.parametrize(
    ("cells", "task"),
    [
        (["cat", "dog", "cat"], "classification"),
        (["1", "2", "1"], "classification"),
        ([str(row) for row in range(20)], "classification"),
        ([str(row) for row in range(21)], "regression"),
        (["1", "2", "2.5"], "regression"),
        (["1.0", "-2e3"], "regression"),
        (["1", "two", "2.5"], "classification"),
        (["cat|dog", "cat"], "multi-label"),
        (["cat", "", "dog"], "multi-label"),
        (["1|2", "2.5"], "multi-label"),
        (["", "1", "0"], "multi-label"),
    ],
)
def test_the_task_is_read_off_the_column(tmp_path, cells, task):
    assert read_labels(targets(tmp_path, *cells)).task == task


def test_a_task_that_is_named_is_not_read_off(tmp_path):
    path = targets(tmp_path, "1", "2", "2")
    record = {task: [cell for _, _, cell in read_labels(path, Task(task)).rows] for task in Task}
    assert record == {
        "classification": ["1", "2", "2"],
        "multi-label": ["1", "2", "2"],
        "regression": ["1.0", "2.0", "2.0"],
        "token-classification": ["1", "2", "2"],
    }


def test_whole_numbers_taken_for_a_quantity_are_told(tmp_path):
    assert "21 different whole numbers" in read_labels(targets(tmp_path, *map(str, range(21)))).notes[0]
    assert read_labels(targets(tmp_path, "0.5", "1")).notes == ()


@pytest.mark.parametrize(
    ("cells", "task", "kept"),
    [
        (["0.5", "", "1.5", "nan"], Task.REGRESSION, ["0.5", "1.5"]),
        (["0.5", "NA", "1.5", "None", "-7"], Task.REGRESSION, ["0.5", "1.5", "-7.0"]),
        (["1.0", "", "2.0", "NaN"], Task.CLASSIFICATION, ["1", "2"]),
    ],
)
def test_among_numbers_a_gap_is_a_row_without_a_target_that_is_left_out_and_counted(
    tmp_path, monkeypatch, cells, task, kept
):
    result = read_labels(targets(tmp_path, *cells))
    assert (result.task, [cell for _, _, cell in result.rows]) == (task, kept)
    assert "2 rows of the table without a target left out" in result.notes
    monkeypatch.setattr(tables, "_KEPT_ROWS", 1)
    long = read_labels(targets(tmp_path, *cells))
    names = [f"{row}.png" for row in range(len(cells))]
    assert (long.rows, list(long.match(tmp_path, names).values())) == ((), kept)


def test_numbers_among_which_one_is_none_are_names_and_it_is_said_which(tmp_path):
    result = read_labels(targets(tmp_path, "0.5", "1.5", "2.5", "?"))
    assert result.task is Task.CLASSIFICATION
    assert result.notes[0].startswith("3 of 4 different targets are numbers, others ('?') are none")
    assert read_labels(targets(tmp_path, "cat", "0.5", "dog")).notes == ()


def test_numbers_with_their_unit_are_names_and_it_is_said(tmp_path):
    result = read_labels(targets(tmp_path, *(f"{row / 4:.2f} mm" for row in range(30))))
    assert result.task is Task.CLASSIFICATION
    assert result.notes == (
        "30 different targets like '0.00 mm' are taken for names: write a quantity without its unit",
    )
    assert read_labels(targets(tmp_path, *(f"{row}{'ab'[row % 2]}" for row in range(30)))).notes == ()
    assert read_labels(targets(tmp_path, "5 mm", "7 mm", "5 mm")).notes == ()


@pytest.mark.parametrize("sign", [",", ";", " / ", " ", "+"])
def test_labels_that_seem_joined_by_another_sign_are_said(tmp_path, sign):
    result = read_labels(targets(tmp_path, "sand", "", f'"sand{sign}sea"', "sea"))
    assert result.task is Task.MULTI_LABEL
    assert result.notes == (f"'sand{sign}sea' is taken for one label: several are joined by |",)


def test_a_column_of_parts_that_is_not_used_is_said(tmp_path):
    path = tmp_path / "parts.csv"
    path.write_text("file,target,split\n0.png,cat,train\n1.png,dog,test\n")
    assert any("column 'split' (test, train) of the table is not used" in note for note in read_labels(path).notes)
    path.write_text("file,target,set\n0.png,cat,blue\n1.png,dog,red\n")
    assert read_labels(path).notes == ()


def test_a_table_of_labels_in_utf_16_is_read_and_noted(tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text("file;target\n0.png;Kätzchen\n", encoding="utf-16")
    assert [(row[1:], *read_labels(path).notes) for row in read_labels(path).rows] == [
        (("0.png", "Kätzchen"), "the table of labels is read as UTF-16")
    ]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BadTable, match="is not utf-16"):
        read_labels(path)


def test_labels_of_a_row_are_a_set_in_order(tmp_path):
    rows = read_labels(targets(tmp_path, "dog| cat |dog", "|", "ant")).rows
    assert [cell for _, _, cell in rows] == ["cat|dog", "", "ant"]


@pytest.mark.parametrize(
    ("cells", "task", "why"),
    [
        (["0.5", "1e999"], None, "line 3: '1e999' is no finite number"),
        (["0.5", "much"], Task.REGRESSION, "line 3: 'much' is no finite number"),
        (["cat", ""], Task.CLASSIFICATION, "line 3: the cell 'target' is empty"),
        ([], None, "it has no row"),
    ],
)
def test_a_target_that_is_none_is_named_by_its_line(tmp_path, cells, task, why):
    with pytest.raises(BadTable, match=why) as caught:
        read_labels(targets(tmp_path, *cells), task)
    assert caught.value.remedy


def layout_of(tmp_path, names: list[str], text: str):
    return read_labels(table(tmp_path, text)).layout(tmp_path, names, IMAGE.words)


def test_files_of_any_layout_are_labelled_and_those_without_a_row_left_out(tmp_path):
    layout = layout_of(
        tmp_path, ["b.png", "deep/er/a.png", "c.png"], "file,target\na.png,x\nb.png,y\nelsewhere.png,z\n"
    )
    assert (layout.train.names, layout.train.labels, layout.test) == (("b.png", "deep/er/a.png"), ("y", "x"), None)
    assert layout.notes == (
        "1 image has no row in the table of labels: left out",
        "1 row of the table without an image (line 4: elsewhere.png)",
    )


def test_train_and_test_on_top_are_parts_and_the_validation_part_fills_in(tmp_path):
    text = "file,target\n" + "".join(f"{name}.png,x\n" for name in "abcd")
    both = layout_of(tmp_path, ["set/train/a.png", "set/test/b.png", "set/val/c.png", "set/d.png"], text)
    assert both.train.names == ("set/d.png", "set/train/a.png", "set/val/c.png")
    assert both.test.names == ("set/test/b.png",)
    validated = layout_of(tmp_path, ["train/a.png", "val/c.png"], text)
    assert (validated.train.names, validated.test.names) == (("train/a.png",), ("val/c.png",))


def test_a_folder_named_test_is_no_part_where_there_is_no_train(tmp_path):
    assert layout_of(tmp_path, ["test/a.png", "b.png"], "file,target\na.png,x\nb.png,y\n").test is None


def test_a_table_about_other_files_is_refused(tmp_path):
    with pytest.raises(BadTable, match="no row names an image"):
        layout_of(tmp_path, ["a.png"], "file,target\nb.png,x\n")


def test_a_draw_of_quantities_takes_all_of_them_alike():
    names, values = [f"{row:04}" for row in range(1000)], [f"{row}.5" for row in range(1000)]
    part = tabled(names, dict(zip(names, values, strict=True)), stratified=False).train
    drawn = sampled(part, 100, 0)
    assert len(set(drawn.names)) == 100
    assert abs(sum(map(float, drawn.labels)) / 100 - 500) < 3 * 1000 / 12**0.5 / 10


LONG = "file,target\n" + "".join(f"else/{row}.png,{'xy'[row % 2]}\n" for row in range(40))
ABOUT = "b.png,x\nimg/deep/er/a.jpg,y\nb.png,x\nC.png,y\n"


@pytest.mark.parametrize("task", [None, *Task])
def test_a_long_table_is_read_as_a_short_one_and_says_so(tmp_path, monkeypatch, task):
    if task is Task.REGRESSION:
        path = table(tmp_path, (LONG + ABOUT).replace(",x", ",1").replace(",y", ",2.5"))
    else:
        path = table(tmp_path, LONG + ABOUT)
    names = ["b.png", "deep/er/a.png", "c.png", "d.png"]
    short = read_labels(path, task)
    monkeypatch.setattr(tables, "_KEPT_ROWS", 10)
    long = read_labels(path, task)
    assert (long.task, long.seen, len(long.rows), len(short.rows)) == (short.task, 44, 0, 44)
    assert "44 rows" in long.notes[-1]
    layouts = [one.layout(tmp_path, names, IMAGE.words) for one in (short, long)]
    assert layouts[0] == layouts[1]
    assert "40 rows of the table without an image (line 2: else/0.png)" in layouts[0].notes
    with pytest.raises(BadTable, match=r"line 2 says 'else/0\.png', an item there is 'z\.png'"):
        long.match(tmp_path, ["z.png"])


def test_of_more_items_than_can_be_looked_up_a_draw_is_and_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_KEPT_ROWS", 10)
    monkeypatch.setattr(tables, "_MOST_NAMES", 20)
    layout = read_labels(table(tmp_path, LONG)).layout(tmp_path, [f"{row}.png" for row in range(30)], IMAGE.words)
    assert len(layout.train.names) == 20
    assert "30 images there: a draw of 20 was looked up in the table" in layout.notes


def test_a_bad_cell_of_a_long_table_is_named_by_its_line_too(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_KEPT_ROWS", 2)
    long = read_labels(targets(tmp_path, "0.5", "1.5", "2.5", "much", "3.5"), Task.REGRESSION)
    with pytest.raises(BadTable, match="line 5"):
        long.match(tmp_path, ["0.png"])


SAMPLE = """
import sys
from pathlib import Path
import psutil
from registry.sample import Sample
place = Path(sys.argv[1])
Sample.from_folder(place / "img", labels=place / "short.csv")
before = psutil.Process().memory_info().rss
sample = Sample.from_folder(place / "img", labels=place / "long.csv", groups=place / "groups.csv")
print(len(sample), dict(sample.counts), len(set(sample.groups)), (psutil.Process().memory_info().rss - before) >> 20)
print(*sample.health.warnings, sep="\\n")
"""


@pytest.mark.slow
def test_a_sound_table_of_more_than_a_million_rows_is_read_in_little_memory(tmp_path):
    draw_folder(tmp_path / "img", {".": 6})
    rows = [f"{row}.png,{'ab'[row % 2]}\n" for row in range(6)]
    (tmp_path / "short.csv").write_text("file,target\n" + "".join(rows))
    with (tmp_path / "long.csv").open("w") as file, (tmp_path / "groups.csv").open("w") as groups:
        file.write("file,target\n")
        groups.write("file,group\n" + "".join(f"{row}.png,{row // 2}\n" for row in range(6)))
        for row in range(1_200_000):
            file.write(f"elsewhere/of/the/{row:09}.png,{'ab'[row % 2]}\n")
            groups.write(f"elsewhere/of/the/{row:09}.png,{row}\n")
        file.writelines(rows)
    done = subprocess.run(
        [sys.executable, "-c", SAMPLE, str(tmp_path)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    figures, *notes = done.stdout.splitlines()
    assert figures.startswith("6 {'a': 3, 'b': 3} 3 ")
    assert int(figures.split()[-1]) < 150, "more MiB than the rows of a tenth of it take"
    assert "the table has 1,200,006 rows: those about what lies there were kept" in notes
    assert any(re.match(r"1200000 rows of the table without an image \(line 2: ", note) for note in notes)
