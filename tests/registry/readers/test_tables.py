import pytest

from registry.errors import BadTable, PathMissing
from registry.readers.tables import read_groups

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
    found = read_groups(table(tmp_path, "File;Group;note\ncat/1.png;anna;x\n", "utf-8-sig"), NAMES)
    assert found == {"cat/1.png": "anna"}


def test_other_encodings_are_refused_in_words(tmp_path):
    with pytest.raises(BadTable, match="is not UTF-8"):
        read_groups(table(tmp_path, "file,group\ncat/1.png,Jürgen\n", "latin-1"), NAMES)


def test_a_missing_table_is_a_missing_path(tmp_path):
    with pytest.raises(PathMissing):
        read_groups(tmp_path / "none.csv", NAMES)


def test_a_folder_is_no_table(tmp_path):
    with pytest.raises(BadTable):
        read_groups(tmp_path, NAMES)
