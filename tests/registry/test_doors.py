"""Samples from frames, datasets, lists of pictures and of paths: the same rows as from folders and arrays."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from registry.cards import Task
from registry.errors import NoItems, PathMissing, RowsInMemory, UnknownName, UnusableArrays, UnusableLabels
from registry.sample import Sample

CLASSES = ("cat", "dog")


def pixels(rows: int = 12, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (rows, 12, 12, 3), dtype=np.uint8)


def pictures(rows: int = 12, seed: int = 0) -> list[Image.Image]:
    return [Image.fromarray(one) for one in pixels(rows, seed)]


def labels(rows: int = 12) -> list[str]:
    return [CLASSES[row % 2] for row in range(rows)]


@pytest.fixture
def folder(tmp_path) -> Path:
    """Twelve images in two class folders."""
    for row, (image, label) in enumerate(zip(pictures(), labels(), strict=True)):
        (tmp_path / "pets" / label).mkdir(parents=True, exist_ok=True)
        image.save(tmp_path / "pets" / label / f"{row}.png")
    return tmp_path / "pets"


def frame_of(folder: Path) -> pd.DataFrame:
    files = sorted(folder.rglob("*.png"))
    return pd.DataFrame({"path": [str(file) for file in files], "kind": [file.parent.name for file in files]})


def test_pictures_in_a_list_are_what_their_arrays_are():
    arrays, listed = (Sample.from_arrays(items, labels(), name="x") for items in (pixels(), pictures()))
    assert listed.digest == arrays.digest
    drawn = [one.convert("L") for one in pictures()]
    gray = Sample.from_arrays(drawn, labels(), name="x")
    assert gray.health.converted == {"gray": 12}
    assert (
        gray.digest
        == Sample.from_arrays([np.asarray(one.convert("L")) for one in pictures()], labels(), name="x").digest
    )


def test_deep_and_transparent_pictures_are_read_as_from_files():
    deep = [Image.fromarray(np.arange(144, dtype=np.uint16).reshape(12, 12) * (row + 5)) for row in range(4)]
    clear = [Image.new("RGBA", (9, 9), (row * 20, 0, 0, 10 * row)) for row in range(4)]
    sample = Sample.from_arrays([*deep, *clear], labels(8), name="x", keep_duplicates=True)
    assert sample.health.converted == {"16-bit": 4, "alpha": 4}
    assert sample.reading["whole"] == [0, 2047]
    assert {item.open().mode for item in sample.items} == {"RGB"}


@pytest.mark.parametrize("as_text", [False, True])
def test_paths_are_read_as_the_folder_is(folder, as_text):
    files = sorted(folder.rglob("*.png"))
    sample = Sample.from_arrays(
        [str(file) if as_text else file for file in files], [file.parent.name for file in files], name="x"
    )
    assert sample.digest == Sample.from_folder(folder).digest
    assert sample.items[0].name == str(files[0])


def test_a_frame_of_paths_is_what_the_folder_is(folder, monkeypatch):
    sample = Sample.from_frame(frame_of(folder), "path", "kind", name="pets")
    assert sample.digest == Sample.from_folder(folder).digest
    relative = frame_of(folder).assign(path=lambda f: [str(Path(p).relative_to(folder)) for p in f["path"]])
    assert Sample.from_frame(relative, "path", "kind", name="pets", root=folder).digest == sample.digest


def test_a_frame_of_pictures_with_groups_and_a_test_frame():
    frame = pd.DataFrame({"picture": pictures(), "kind": labels(), "who": [row // 2 for row in range(12)]})
    held_out = pd.DataFrame({"picture": pictures(4, 1), "kind": labels(4), "who": [9] * 4})
    sample = Sample.from_frame(frame, "picture", "kind", name="x", groups="who", test=held_out)
    assert (len(sample), len(set(sample.groups)), len(sample.test)) == (12, 6, 4)
    assert sample.digest == Sample.from_arrays(pixels(), labels(), name="x", groups=frame["who"].tolist()).digest


def test_a_split_column_parts_a_frame():
    parts = ["train"] * 8 + ["val"] * 2 + ["test"] * 2
    frame = pd.DataFrame({"picture": pictures(), "kind": labels(), "part": parts})
    sample = Sample.from_frame(frame, "picture", "kind", name="x", split="part")
    assert (len(sample), len(sample.test)) == (10, 2)
    assert "validation part (2 rows) joined to the training part" in sample.health.warnings
    alone = Sample.from_frame(frame[:10], "picture", "kind", name="x", split="part")
    assert (len(alone), len(alone.test)) == (8, 2)
    with pytest.raises(UnknownName, match="row 0"):
        Sample.from_frame(frame, "picture", "kind", name="x", split="kind")
    with pytest.raises(NoItems, match="row to train on"):
        Sample.from_frame(frame[10:], "picture", "kind", name="x", split="part")


@pytest.mark.parametrize("column", ["pth", "kin"])
def test_a_column_that_is_missing_is_named_with_the_one_meant(folder, column):
    item, label = ("pth", "kind") if column == "pth" else ("path", "kin")
    with pytest.raises(UnknownName) as caught:
        Sample.from_frame(frame_of(folder), item, label, name="x")
    assert "Did you mean" in caught.value.remedy


def test_bad_frames_are_refused_by_name(folder, tmp_path):
    frame = frame_of(folder)
    with pytest.raises(NoItems):
        Sample.from_frame(frame[:0], "path", "kind", name="x")
    with pytest.raises(PathMissing, match="nowhere"):
        Sample.from_frame(frame.assign(path="nowhere.png"), "path", "kind", name="x")
    with pytest.raises(UnusableArrays, match="value 1"):
        Sample.from_frame({"path": [str(tmp_path / "pets"), 3], "kind": ["a", "b"]}, "path", "kind", name="x")
    with pytest.raises(UnusableArrays, match="some are files"):
        Sample.from_arrays([frame["path"][0], pictures()[0]], ["a", "b"], name="x")
    with pytest.raises(UnusableLabels) as caught:
        Sample.from_frame(frame.assign(kind=[None, *frame["kind"][1:]]), "path", "kind", name="x")
    assert caught.value.rows == (0,)
    with pytest.raises(UnusableArrays, match="is no frame"):
        Sample.from_frame(3, "path", "kind", name="x")


def test_groups_stay_with_their_rows_where_files_cannot_be_read(folder):
    frame = frame_of(folder).assign(who=list("aabbccddeeff"))
    Path(frame["path"][0]).write_bytes(b"broken")
    sample = Sample.from_frame(frame, "path", "kind", name="x", groups="who")
    assert sample.health.unreadable == 1
    assert dict(zip((item.name for item in sample.items), sample.groups, strict=True))[frame["path"][1]] == "a"


def test_what_lies_nowhere_cannot_be_read_again(folder):
    sample = Sample.from_frame(frame_of(folder), "path", "kind", name="x")
    with pytest.raises(RowsInMemory):
        Sample.again(sample.to_dict())


datasets = pytest.importorskip("datasets")


def dataset(rows: int = 12, seed: int = 0, **more: list) -> "datasets.Dataset":
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=list(CLASSES)),
            "tags": datasets.Sequence(datasets.Value("string")),
            "weight": datasets.Value("float32"),
        }
    )
    columns = {
        "image": pictures(rows, seed),
        "label": [row % 2 for row in range(rows)],
        "tags": [["furry", "small"] if row % 2 else ["furry"] for row in range(rows)],
        "weight": [row + 0.5 for row in range(rows)],
    }
    return datasets.Dataset.from_dict({**columns, **more}, features=features)


def test_a_dataset_is_read_by_its_features():
    sample = Sample.from_dataset(dataset(), name="hub")
    assert (len(sample), sample.classes, sample.modality) == (12, CLASSES, "image")
    held = io.BytesIO()
    pictures()[0].save(held, "PNG")
    assert sample.items[0].open().tobytes() == pictures()[0].tobytes()


def test_labels_of_a_dataset_may_be_several_or_a_quantity():
    tagged = Sample.from_dataset(dataset(), name="hub", label="tags")
    assert (tagged.task, tagged.classes) == (Task.MULTI_LABEL, ("furry", "small"))
    assert Sample.from_dataset(dataset(), name="hub", label="weight").task is Task.REGRESSION


def test_splits_of_a_dataset_are_parts_and_others_are_named():
    splits = datasets.DatasetDict({"train": dataset(), "test": dataset(4, 1), "unsupervised": dataset(6, 2)})
    sample = Sample.from_dataset(splits, name="hub")
    assert (len(sample), len(sample.test)) == (12, 4)
    assert "split 'unsupervised' (6 rows) not read: no part for training, validation or test" in sample.health.warnings


def test_bad_datasets_are_refused_by_name():
    with pytest.raises(UnknownName) as caught:
        Sample.from_dataset(dataset(), name="hub", label="lable")
    assert "Did you mean 'label'?" in caught.value.remedy
    with pytest.raises(NoItems):
        Sample.from_dataset(dataset().select([]), name="hub")
    with pytest.raises(NoItems, match="row to train on"):
        Sample.from_dataset(datasets.DatasetDict({"test": dataset()}), name="hub")
    with pytest.raises(UnusableArrays, match="is no datasets"):
        Sample.from_dataset([1, 2], name="hub")
    with pytest.raises(UnusableArrays, match="no column is plainly one of items"):
        Sample.from_dataset(dataset().remove_columns("image"), name="hub")
    with pytest.raises(UnusableLabels):
        Sample.from_dataset(dataset(label=[-1] * 12), name="hub")
