"""Folders of detection, segmentation and generation are refused by name; those that only look like them are read."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from registry.errors import OtherTask
from registry.readers.archive import read_archive
from registry.readers.folder import read_folder
from registry.readers.records import RecordColumns, read_records
from tests.conftest import drawn

COUNT = 4


def draw(root: Path, *folders: str, name: str = "{}.png") -> Path:
    for at, folder in enumerate(folders):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for number in range(COUNT):
            Image.fromarray(drawn(10 * at + number)).save(root / folder / name.format(number))
    return root


def masks(root: Path, folder: str, name: str = "{}.png") -> Path:
    (root / folder).mkdir(parents=True, exist_ok=True)
    for number in range(COUNT):
        Image.fromarray(np.where(drawn(number)[..., 0] > 128, 255, 0).astype(np.uint8)).save(
            root / folder / name.format(number)
        )
    return root


def coco(root: Path, key: str = "bbox") -> Path:
    draw(root, "train", "val")
    (root / "annotations").mkdir()
    rows = {"images": [{"id": 1, "file_name": "0.png"}], "annotations": [{"image_id": 1, key: [0, 0, 5, 5]}]}
    (root / "annotations" / "instances.json").write_text(json.dumps(rows))
    return root


def written(root: Path, folder: str, ending: str, text: str) -> Path:
    (root / folder).mkdir(parents=True, exist_ok=True)
    for number in range(COUNT):
        (root / folder / f"{number}{ending}").write_text(text)
    return root


def boxes(root: Path) -> Path:
    return written(draw(root, "images/train"), "labels/train", ".txt", "0 0.5 0.5 0.1 0.2\n3 0.1 0.2 0.05 0.1\n")


def outlines(root: Path) -> Path:
    return written(draw(root, "images"), "labels", ".txt", "0 0.1 0.1 0.2 0.1 0.2 0.2\n")


def voc(root: Path) -> Path:
    content = "<annotation><object><name>cat</name><bndbox><xmin>1</xmin></bndbox></object></annotation>"
    return written(draw(root, "JPEGImages"), "Annotations", ".xml", content)


def captions(root: Path) -> Path:
    (draw(root, "train") / "train" / "metadata.jsonl").write_text('{"file_name": "0.png", "text": "a cat"}\n')
    return root


@pytest.mark.parametrize(
    ("make", "task", "holds"),
    [
        (coco, "detection", "boxes (COCO), annotations/instances.json"),
        (lambda root: coco(root, "caption"), "generation", "captions (COCO)"),
        (boxes, "detection", "boxes (YOLO), labels/train/0.txt"),
        (outlines, "segmentation", "outlines (YOLO)"),
        (voc, "detection", "boxes (VOC), Annotations/0.xml"),
        (captions, "generation", "captions, train/metadata.jsonl"),
        (lambda root: draw(root, "trainA", "trainB"), "generation", "images of two kinds"),
        (lambda root: masks(draw(root, "images"), "masks"), "segmentation", "a mask for each image, masks/0.png"),
        (lambda root: masks(draw(root, "benign"), "benign", "{}_mask.png"), "segmentation", "benign/0_mask.png"),
    ],
)
def test_a_folder_of_another_task_is_refused_by_its_name(tmp_path, make, task, holds):
    with pytest.raises(OtherTask) as raised:
        read_folder(make(tmp_path / "data"), limit=100)
    assert raised.value.task == task
    assert holds in str(raised.value)
    assert "--labels FILE.csv" in raised.value.remedy


def test_a_zip_of_another_task_is_refused_too(tmp_path):
    root, packed = boxes(tmp_path / "data"), tmp_path / "data.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for file in sorted(root.rglob("*.*")):
            archive.write(file, file.relative_to(root))
    with pytest.raises(OtherTask, match="for detection"):
        read_archive(packed, limit=100)


@pytest.mark.parametrize(
    "make",
    [
        lambda root: draw(root, "mask", "no_mask"),  # who wears one: photographs of equal names
        lambda root: written(draw(root, "cat", "dog"), "cat", ".txt", "taken in June 2019"),
        lambda root: masks(draw(root, "stripes"), "dots"),  # two colors, and no name that says mask
    ],
)
def test_what_only_looks_like_one_is_read(tmp_path, make):
    assert len(read_folder(make(tmp_path / "data"), limit=100).items) == 2 * COUNT


def test_other_files_beside_classes_are_no_hindrance(tmp_path):
    root = draw(tmp_path / "data", "cat", "dog")
    (root / "info.json").write_text('{"images": 8, "source": "a camera"}')
    (root / "metadata.csv").write_text("file_name,label,text\n0.png,cat,x\n")
    assert len(read_folder(root, limit=100).items) == 2 * COUNT


def test_where_labels_are_named_nothing_is_refused(tmp_path):
    from registry.sample import Sample

    root = boxes(tmp_path / "data")
    table = tmp_path / "labels.csv"
    rows = [f"images/train/{number}.png,{'cat' if number % 2 else 'dog'}" for number in range(COUNT)]
    table.write_text("file,target\n" + "\n".join(rows) + "\n")
    assert len(Sample.from_folder(root, labels=table, modality="image")) == COUNT


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Say something kind", "completion": "You are kind"},
        {"messages": [{"role": "user", "content": "Hello"}]},
    ],
)
def test_records_for_who_is_to_write_texts_are_refused_unless_columns_are_named(tmp_path, row):
    path = tmp_path / "chat.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for _ in range(COUNT)))
    with pytest.raises(OtherTask, match="for generation") as raised:
        read_records(path, limit=100)
    assert "--label LABEL" in raised.value.remedy


def test_records_with_a_label_beside_a_prompt_are_read(tmp_path):
    path = tmp_path / "prompts.jsonl"
    rows = [{"prompt": f"a prompt of number {n}", "completion": "some text", "label": "ab"[n % 2]} for n in range(8)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = RecordColumns(text="prompt")
    assert set(read_records(path, columns=columns, limit=100).labels) == {"a", "b"}
