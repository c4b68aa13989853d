import os
from pathlib import Path

import pytest

from registry.errors import NoItems
from registry.modalities.image import IMAGE
from registry.readers.folder import read_folder
from registry.readers.layout import allot, infer_layout
from tests.conftest import draw_folder


def test_a_class_is_the_first_folder_and_deeper_ones_belong_to_it(tmp_path):
    draw_folder(tmp_path, {"cat": 2, "cat/siamese": 1, "dog/a/b": 1, "dog": 2})
    rows = read_folder(tmp_path, limit=99)
    assert dict(zip([item.name for item in rows.items], rows.labels, strict=True)) == {
        "cat/0.png": "cat",
        "cat/1.png": "cat",
        "cat/siamese/0.png": "cat",
        "dog/0.png": "dog",
        "dog/1.png": "dog",
        "dog/a/b/0.png": "dog",
    }


def test_train_and_test_folders_are_parts(tmp_path):
    draw_folder(tmp_path / "Train", {"cat": 3, "dog": 2})
    draw_folder(tmp_path / "test", {"cat": 1, "dog": 1}, start=50)
    rows = read_folder(tmp_path, limit=99)
    assert rows.labels == ("cat",) * 3 + ("dog",) * 2
    assert rows.test is not None
    assert rows.test.labels == ("cat", "dog")


def test_hidden_files_are_passed_over_and_others_counted(tmp_path):
    draw_folder(tmp_path, {"cat": 2, "dog": 2, ".hidden": 3, "cat/.ipynb_checkpoints": 6})
    (tmp_path / "cat" / "1.png").rename(tmp_path / "cat" / ".1.png")
    (tmp_path / "cat" / "._0.png").write_bytes(b"litter")
    (tmp_path / "cat" / ".DS_Store").write_bytes(b"litter")
    (tmp_path / "cat" / "notes.txt").write_text("words")
    rows = read_folder(tmp_path, limit=99)
    assert len(rows.items) == 3
    assert rows.notes == (
        "2 hidden folders passed over (.hidden/, cat/.ipynb_checkpoints/)",
        "1 hidden image passed over (cat/.1.png)",
        "1 file that is no image ignored (1 .txt)",
        "1 text there too, not read: --modality text (modality='text') reads them",
    )


def test_a_folder_without_images_is_named(tmp_path):
    with pytest.raises(NoItems, match="holds no images in class folders") as caught:
        read_folder(tmp_path, limit=99)
    assert str(tmp_path) in str(caught.value)
    assert "train/" in caught.value.remedy


def test_images_beside_no_class_are_no_sample(tmp_path):
    draw_folder(tmp_path, {".": 3})
    with pytest.raises(NoItems):
        read_folder(tmp_path, limit=99)


def test_a_closed_folder_is_told(tmp_path):
    draw_folder(tmp_path, {"cat": 2, "dog": 2})
    (tmp_path / "dog").chmod(0)
    try:
        if os.access(tmp_path / "dog", os.R_OK):
            pytest.skip("this user may read everything")
        assert read_folder(tmp_path, limit=99).notes == ("folder dog/ cannot be opened: Permission denied",)
    finally:
        (tmp_path / "dog").chmod(0o755)


def test_links_are_followed_but_not_in_circles(tmp_path):
    elsewhere = draw_folder(tmp_path / "elsewhere", {"kept": 2})
    root = draw_folder(tmp_path / "data", {"cat": 2})
    (root / "dog").symlink_to(elsewhere / "kept")
    (root / "cat" / "round").symlink_to(root)
    (root / "cat" / "gone.png").symlink_to(root / "nowhere.png")
    rows = read_folder(root, limit=99, follow_links=True)
    assert sorted(rows.labels) == ["cat", "cat", "dog", "dog"]
    assert rows.unreadable == (("cat/gone.png", "a link that leads nowhere"),)
    assert rows.notes == ("1 link back to a folder around it not followed (cat/round/)",)


def test_a_link_to_what_lies_around_the_folder_is_not_followed_and_told(tmp_path):
    root = draw_folder(tmp_path / "data", {"cat": 2, "dog": 2})
    (root / "cat" / "up").symlink_to(tmp_path)
    rows = read_folder(root, limit=99, follow_links=True)
    assert len(rows.items) == 4
    assert rows.notes == ("1 link back to a folder around it not followed (cat/up/)",)


def test_sampling_is_stratified_seeded_and_told(tmp_path):
    draw_folder(tmp_path, {"many": 40, "few": 9, "one": 1})
    first, again, other = (read_folder(tmp_path, limit=20, seed=seed) for seed in (0, 0, 1))
    assert {label: first.labels.count(label) for label in set(first.labels)} == {"many": 15, "few": 4, "one": 1}
    assert first.items == again.items != other.items
    assert (first.total, len(first.items)) == (50, 20)


def names(**folders: int) -> list[str]:
    return [f"{folder.replace('__', '/')}/{place}.png" for folder, count in folders.items() for place in range(count)]


def test_one_folder_around_everything_is_looked_through():
    layout = infer_layout(Path("x"), [*names(top__cat=2, top__dog=2), "top/preview.png"], IMAGE.words)
    assert set(layout.train.labels) == {"cat", "dog"}
    assert layout.notes == ("read from inside top/", "1 image outside any class folder ignored")


def test_validation_joins_training_where_there_is_a_test_part():
    layout = infer_layout(Path("x"), names(train__cat=2, val__cat=1, test__cat=1), IMAGE.words)
    assert layout.test is not None
    assert (len(layout.train.names), layout.test.names) == (3, ("test/cat/0.png",))
    assert layout.notes == ("validation part (1 files) joined to the training part",)


def test_validation_is_the_test_part_where_there_is_no_other():
    layout = infer_layout(Path("x"), names(train__cat=2, val__cat=1), IMAGE.words)
    assert layout.test is not None
    assert layout.test.names == ("val/cat/0.png",)


def test_a_class_may_be_called_train():
    layout = infer_layout(Path("x"), names(train=3, bus=2), IMAGE.words)
    assert set(layout.train.labels) == {"train", "bus"}


def test_a_test_part_without_classes_is_ignored_and_told():
    flat = infer_layout(Path("x"), names(train__cat=2, train__dog=2, test=5), IMAGE.words)
    strange = infer_layout(Path("x"), names(train__cat=2, train__dog=2, test__images=5), IMAGE.words)
    assert flat.test is strange.test is None
    assert flat.notes == ("test/ ignored (5 images): images lie in it without class folders",)
    assert strange.notes == ("test part ignored (5 images): none of its folders (images/) is a class of train/",)


def test_train_and_test_without_class_folders_are_no_two_classes():
    with pytest.raises(NoItems, match="class folders in test/, train/"):
        infer_layout(Path("x"), names(train=3, test=2), IMAGE.words)


@pytest.mark.parametrize("most", [1, 3, 4, 10, 57, 200])
def test_seats_are_never_more_than_asked_or_there(most):
    counts = {"a": 100, "b": 10, "c": 2, "d": 1}
    seats = allot(counts, most)
    assert sum(seats.values()) == min(most, 113)
    assert all(0 <= seats[name] <= counts[name] for name in counts)
    assert most < 4 or all(seats.values())


def test_empty_folders_registries_and_classes_far_above_the_items_are_noted(tmp_path):
    draw_folder(tmp_path, {"cat/x/a": 2, "cat/x/b": 2, "dog/y/c": 2, "home/runs": 2})
    (tmp_path / "void").mkdir()
    (tmp_path / "home" / "registry.db").touch()
    rows = read_folder(tmp_path, limit=99)
    assert set(rows.labels) == {"cat", "dog"}
    assert "1 empty folder passed over (void/)" in rows.notes
    assert "1 folder of a registry passed over (home/)" in rows.notes
    assert any("not those deep below them (cat/x/a/, cat/x/b/, dog/y/c/)" in note for note in rows.notes)
