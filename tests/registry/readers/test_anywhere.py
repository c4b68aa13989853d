from pathlib import Path
from zipfile import ZipFile

import pytest
from PIL import Image

from registry.errors import NoItems, PathMissing, UnsafeArchive
from registry.modalities import modalities
from registry.readers.anywhere import read_anywhere
from tests.conftest import draw_folder, drawn


def test_images_count_wherever_they_lie(tmp_path: Path) -> None:
    draw_folder(tmp_path / "in", {"cat": 2, "train/dog": 1})
    Image.fromarray(drawn(9)).save(tmp_path / "in" / "loose.png")
    (tmp_path / "in" / "notes.txt").write_text("no image")
    result = read_anywhere(tmp_path / "in")
    assert [item.name for item in result.items] == ["cat/0.png", "cat/1.png", "loose.png", "train/dog/0.png"]
    assert set(result.labels) == {""}
    assert result.test is None


def test_a_single_image_is_read(tmp_path: Path) -> None:
    draw_folder(tmp_path, {"cat": 1})
    result = read_anywhere(tmp_path / "cat" / "0.png")
    assert [item.name for item in result.items] == ["0.png"]
    assert result.items[0].open().size == (12, 12)


def test_any_number_may_be_unreadable_but_not_all(tmp_path: Path) -> None:
    for name in ("1.png", "2.png", "3.png"):
        (tmp_path / name).write_text("no image")
    with pytest.raises(NoItems, match="can be read"):
        read_anywhere(tmp_path)
    Image.fromarray(drawn(0)).save(tmp_path / "2.png")
    assert [name for name, _ in read_anywhere(tmp_path).unreadable] == ["1.png", "3.png"]


def test_a_zip_is_judged_as_ever(tmp_path: Path) -> None:
    Image.fromarray(drawn(0)).save(tmp_path / "1.png")
    with ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.write(tmp_path / "1.png", "1.png")
    assert [item.name for item in read_anywhere(tmp_path / "in.zip").items] == ["1.png"]
    with ZipFile(tmp_path / "in.zip", "a") as archive:
        archive.writestr("../2.png", b"")
    with pytest.raises(UnsafeArchive, match="climbs out"):
        read_anywhere(tmp_path / "in.zip")


@pytest.mark.parametrize("name", ["nothing", "x" * 300])
def test_a_missing_place_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(PathMissing):
        read_anywhere(tmp_path / name)


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoItems, match="holds no images"):
        read_anywhere(tmp_path)


def test_where_nothing_can_be_predicted_no_class_folders_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.png").touch()
    for place in ("empty", "empty.png"):
        with pytest.raises(NoItems) as caught:
            read_anywhere(tmp_path / place)
        assert "any layout" in caught.value.remedy
        assert "<class>" not in caught.value.remedy


@pytest.mark.parametrize(
    ("file", "wanted", "instead"),
    [
        ("rows.csv", "image", "images, but texts"),
        ("rows.jsonl", "image", "images, but texts"),
        ("note.txt", "image", "images, but texts"),
        ("photo.png", "text", "texts, but images"),
    ],
)
def test_a_file_of_another_modality_is_named_as_such(file: str, wanted: str, instead: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text('text,label\n"a",b\n')
    with pytest.raises(NoItems, match=f"holds no {instead}"):
        read_anywhere(tmp_path / file, modality=modalities[wanted])
