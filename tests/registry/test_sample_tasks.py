"""Samples whose rows have several labels, or a quantity: read from a table or given as arrays."""

import csv
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score, r2_score

from registry.errors import BadTable, LabelsMissing, OtherRows, UnfitMetric, UnknownName, UnusableLabels
from registry.metrics import score
from registry.sample import Sample
from tests.conftest import draw_folder
from tests.registry.test_sample import arrays


def labels_csv(path: Path, rows: list[tuple[str, object]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("file", "target"), *rows])
    return path


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """Twelve images in no class folder."""
    return draw_folder(tmp_path, {"pets": 12}) / "pets"


MARKS = ["cat", "dog", "cat|dog", "", "cat", "cat|fur", "dog|fur", "", "fur", "cat", "dog", "cat|dog"]


def marked(flat: Path, **more: object) -> Sample:
    rows = [(f"{row}.png", mark) for row, mark in enumerate(MARKS)]
    return Sample.from_folder(flat, labels=labels_csv(flat.parent / "marks.csv", rows), **more)


def measured(flat: Path, **more: object) -> Sample:
    rows = [(f"{row}.png", row / 4) for row in range(12)]
    return Sample.from_folder(flat, labels=labels_csv(flat.parent / "sizes.csv", rows), **more)


def test_several_labels_become_columns(flat):
    sample = marked(flat)
    assert (sample.task, sample.metric, sample.classes) == ("multi-label", "macro-f1", ("cat", "dog", "fur"))
    truth = dict(zip([item.name for item in sample.items], sample.targets.values.tolist(), strict=True))
    assert truth["2.png"] == [1, 1, 0]
    assert truth["3.png"] == [0, 0, 0]
    assert sample.counts == {"cat": 6, "dog": 5, "fur": 3}
    assert sample.health.warnings == ("2 rows without any label",)


def test_numbers_become_a_quantity(flat):
    sample = measured(flat)
    assert (sample.task, sample.metric, sample.classes, sample.counts) == ("regression", "r2", (), {})
    assert sorted(sample.targets.values) == [row / 4 for row in range(12)]
    assert sample.targets.values.dtype == np.float64
    assert (sample.health.warnings, sample.health.balance) == ((), 1.0)


def test_what_is_shown_of_them_is_plain_json(flat):
    marks, sizes = (json.loads(json.dumps(read(flat).to_dict(), allow_nan=False)) for read in (marked, measured))
    assert (marks["task"], marks["classes"], marks["counts"]["fur"], marks["values"]) == ("multi-label", 3, 3, None)
    assert (sizes["task"], sizes["classes"], sizes["counts"]) == ("regression", 0, {})
    assert sizes["values"] == {"lowest": 0.0, "median": 1.375, "highest": 2.75}


def test_a_table_of_classes_needs_no_class_folders_and_is_the_same_sample(tmp_path):
    folders = draw_folder(tmp_path / "folders", {"cat": 3, "dog": 3})
    (tmp_path / "flat").mkdir()
    rows = []
    for file in sorted(folders.rglob("*.png")):
        shutil.copyfile(file, tmp_path / "flat" / f"{file.parent.name}{file.name}")
        rows.append((f"{file.parent.name}{file.name}", file.parent.name))
    sample = Sample.from_folder(tmp_path / "flat", labels=labels_csv(tmp_path / "rows.csv", rows))
    assert (sample.task, sample.digest) == ("classification", Sample.from_folder(folders).digest)


def test_a_zip_is_the_same_sample_as_its_folder(flat, tmp_path):
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for file in flat.iterdir():
            archive.write(file, file.name)
    assert marked(flat).digest == Sample.from_folder(tmp_path / "pets.zip", labels=tmp_path / "marks.csv").digest


def test_parts_on_top_are_read_as_such_and_so_is_a_test_part_elsewhere(tmp_path):
    root = draw_folder(tmp_path / "set", {"train": 6, "test": 3})
    other = draw_folder(tmp_path / "other", {"more": 2}, start=50)
    rows = [
        (f"{part}/{row}.png", row + 0.5)
        for part, count in (("train", 6), ("test", 3), ("more", 2))
        for row in range(count)
    ]
    table = labels_csv(tmp_path / "sizes.csv", rows)
    inside = Sample.from_folder(root, labels=table)
    assert (len(inside), sorted(inside.test.targets.values)) == (6, [0.5, 1.5, 2.5])
    assert sorted(Sample.from_folder(root, labels=table, test=other).test.targets.values) == [0.5, 1.5]


def test_images_without_a_row_are_left_out_and_counted(flat):
    table = labels_csv(flat.parent / "few.csv", [(f"{row}.png", row + 0.5) for row in range(10)])
    sample = Sample.from_folder(flat, labels=table)
    assert len(sample) == 10
    assert sample.health.warnings == ("2 images have no row in the table of labels: left out",)


def test_a_table_that_names_no_image_is_refused(flat):
    with pytest.raises(BadTable, match="no row names an image"):
        Sample.from_folder(flat, labels=labels_csv(flat.parent / "x.csv", [("z.png", "cat")]))


def test_a_label_that_training_lacks_is_named(tmp_path):
    root = draw_folder(tmp_path / "set", {"train": 2, "test": 1})
    rows = [("train/0.png", "cat|dog"), ("train/1.png", "cat"), ("test/0.png", "cat|bird")]
    with pytest.raises(UnusableLabels, match="lacks: bird"):
        Sample.from_folder(root, labels=labels_csv(tmp_path / "x.csv", rows))


def test_it_can_be_read_again_from_what_was_told_of_it(flat):
    for sample in (marked(flat), measured(flat), marked(flat, metric="accuracy")):
        record = json.loads(json.dumps(sample.to_dict()))
        assert Sample.again(record).digest == sample.digest
    labels_csv(flat.parent / "marks.csv", [(f"{row}.png", "cat|dog" if row else "") for row in range(12)])
    with pytest.raises(OtherRows):
        Sample.again(record)


def test_a_draw_of_the_rows_is_read_again_as_it_was_drawn(flat):
    table = labels_csv(flat.parent / "x.csv", [(f"{row}.png", "ab"[row % 2]) for row in range(12)])
    drawn = Sample.from_folder(flat, labels=table, limit=6, seed=3)
    record = json.loads(json.dumps(drawn.to_dict()))
    assert len(drawn) == 6
    assert Sample.again(record, seed=3).digest == drawn.digest


def test_what_a_task_was_taken_for_is_remembered(flat):
    table = labels_csv(flat.parent / "x.csv", [(f"{row}.png", row % 5) for row in range(12)])
    classes, sizes = (Sample.from_folder(flat, labels=table, task=task) for task in (None, "regression"))
    assert (classes.task, sizes.task) == ("classification", "regression")
    assert classes.digest != sizes.digest
    assert Sample.again(sizes.to_dict()).digest == sizes.digest


def test_a_metric_of_another_task_is_refused_by_name(flat):
    with pytest.raises(UnfitMetric, match="balanced-accuracy does not judge multi-label") as caught:
        marked(flat, metric="balanced-accuracy")
    assert "macro-f1" in caught.value.remedy
    with pytest.raises(UnfitMetric):
        measured(flat, metric="accuracy")
    with pytest.raises(UnfitMetric):
        Sample.from_arrays(arrays(4), list("aabb"), name="x", metric="r2")


def test_class_folders_tell_no_other_task(image_folder):
    with pytest.raises(LabelsMissing, match="no regression targets") as caught:
        Sample.from_folder(image_folder({"1": 2, "2": 2}), task="regression")
    assert "--labels" in caught.value.remedy


def test_a_misspelt_task_gets_a_hint(flat):
    with pytest.raises(UnknownName) as caught:
        marked(flat, task="multilabel")
    assert caught.value.remedy == "Did you mean 'multi-label'?"


def test_arrays_tell_their_task():
    marks = Sample.from_arrays(arrays(4), [("a", "b"), {"b"}, [], frozenset("a")], name="x")
    assert (marks.task, marks.targets.values.tolist()) == ("multi-label", [[1, 1], [0, 1], [0, 0], [1, 0]])
    sizes = Sample.from_arrays(arrays(3), np.array([0.5, 1, 2], np.float32), name="x")
    assert (sizes.task, sizes.targets.values.tolist()) == ("regression", [0.5, 1, 2])
    whole = Sample.from_arrays(arrays(3), [1, 2, 3], name="x", task="regression")
    assert (whole.task, whole.targets.values.tolist()) == ("regression", [1, 2, 3])
    assert Sample.from_arrays(arrays(3), [1.0, 2.0, 2.0], name="x").task == "classification"


@pytest.mark.parametrize(
    ("labels", "task", "why"),
    [
        ([("a",), "b"], "multi-label", "no collection"),
        ([("a|b",), ("a",)], None, "holds a |"),
        ([("a",), (None,)], None, "neither text"),
        ([0.5, np.inf], "regression", "no finite number"),
        ([0.5, "a"], "regression", "no finite number"),
    ],
)
def test_unusable_labels_are_refused(labels, task, why):
    with pytest.raises(UnusableLabels) as caught:
        Sample.from_arrays(arrays(2), labels, name="x", task=task)
    assert why in caught.value.why


def test_equal_images_with_other_labels_are_removed():
    images = arrays(5)[[0, 1, 2, 2, 3]]
    sample = Sample.from_arrays(images, [("a",), ("b",), ("a",), ("a", "b"), ("b",)], name="x")
    assert len(sample) == 3
    assert "2 rows removed: the same image has other labels elsewhere" in sample.health.warnings


def test_labels_that_tell_nothing_are_told():
    sample = Sample.from_arrays(arrays(4), [("a", "b"), ("a",), ("a", "c", "b"), ("a",)], name="x")
    assert sample.health.warnings == (
        "labels that every row has: a",
        "labels of one image are in every training part and never held out, so that no score is expected of them: c",
    )
    same = Sample.from_arrays(arrays(3), [1.5, 1.5, 1.5], name="x")
    assert "all rows have the same target" in same.health.warnings[0]


def test_scores_are_scikit_learns():
    random = np.random.default_rng(0)
    truth, predicted = (random.integers(0, 2, (50, 4)).astype(float) for _ in range(2))
    assert score("macro-f1", truth, predicted) == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert score("accuracy", truth, predicted) == pytest.approx((truth == predicted).mean())
    with pytest.raises(UnfitMetric):
        score("balanced-accuracy", truth, predicted)
    values, report = random.normal(size=50), random.normal(size=50)
    assert score("r2", values, report) == pytest.approx(r2_score(values, report))
    assert score("r2", values, report) < 0
    assert (score("r2", [1.5, 1.5], [1.5, 1.5]), score("r2", [1.5, 1.5], [1.5, 2])) == (1, 0)
