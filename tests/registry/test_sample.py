import csv
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

import registry
from registry.cards import Metric, limit_of
from registry.errors import (
    BadTable,
    LengthMismatch,
    NoItems,
    PathMissing,
    RowsInMemory,
    TooFewRows,
    UnknownName,
    UnusableLabels,
)
from registry.metrics import score
from registry.progress import Cancelled, Phase
from registry.sample import Sample
from tests.conftest import drawn
from tests.observers import Recorder, stopping


def arrays(count: int, start: int = 0) -> np.ndarray:
    return np.stack([drawn(start + row, 6) for row in range(count)])


def letters(labels: str, **more: object) -> Sample:
    return Sample.from_arrays(arrays(len(labels)), list(labels), name="letters", **more)


def groups_csv(path: Path, rows: list[tuple[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("file", "group"), *rows])
    return path


def test_the_package_offers_it():
    assert registry.Sample is Sample


def test_a_folder_becomes_a_sample(image_folder):
    sample = Sample.from_folder(image_folder({"dog": 2, "cat": 3}))
    assert (sample.name, sample.modality, sample.task, sample.metric) == ("pets", "image", "classification", "accuracy")
    assert sample.classes == ("cat", "dog")
    assert sample.counts == {"cat": 3, "dog": 2}
    assert sample.targets.values.tolist() == [0, 0, 0, 1, 1]
    assert sample.group_ids.tolist() == [0, 1, 2, 3, 4]
    assert (sample.groups, sample.test, sample.health.warnings) == (None, None, ())


def test_a_sample_is_shown_in_a_line_and_gives_its_rows_one_by_one():
    sample = letters("aabb", groups=[1, 1, 2, 2], test=(arrays(2, 90), ["a", "b"]))
    assert repr(sample) == "<Sample 'letters': 4 rows, 2 classes, 2 groups, 2 test rows>"
    assert [(item.name, label) for item, label in sample] == [
        (item.name, label) for item, label in zip(sample.items, sample.labels, strict=True)
    ]
    assert len(list(sample)) == len(sample)
    amounts = Sample.from_arrays(arrays(3), [0.5, 1.5, 2.5], name="amounts")
    assert repr(amounts) == "<Sample 'amounts': 3 rows, a quantity>"


def test_a_sample_that_lay_in_memory_cannot_be_read_again_and_that_is_told_with_what_to_do():
    with pytest.raises(RowsInMemory, match="letters were arrays in memory") as caught:
        Sample.again(letters("aabb").to_dict())
    assert "sample=Sample.from_arrays" in caught.value.remedy


def test_what_is_shown_of_a_sample_is_plain_json(image_folder):
    root = image_folder({"train/cat": 5, "train/dog": 5, "test/cat": 1, "test/dog": 1})
    (root / "train" / "cat" / "bad.png").write_bytes(b"?")
    record = json.loads(json.dumps(Sample.from_folder(str(root), metric="macro-f1").to_dict()))
    assert {"name", "digest", "modality", "task", "rows", "classes", "metric", "health"} <= record.keys()
    assert (record["rows"], record["classes"], record["metric"], record["test_rows"]) == (10, 2, "macro-f1", 2)
    assert record["health"]["unreadable"] == 1
    assert record["health"]["unreadable_items"][0]["file"] == "train/cat/bad.png"


def test_a_zip_is_the_same_sample_as_its_folder(image_folder, tmp_path):
    root = image_folder({"cat": 3, "dog": 2})
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for file in root.rglob("*.png"):
            archive.write(file, file.relative_to(root.parent))
    folder, archived = Sample.from_folder(root), Sample.from_folder(tmp_path / "pets.zip")
    assert (folder.digest, folder.order, folder.name) == (archived.digest, archived.order, archived.name)


def test_the_digest_is_blind_to_place_and_file_names(image_folder):
    here, there = image_folder({"cat": 3, "dog": 2}, "here"), image_folder({"cat": 3, "dog": 2}, "there")
    (there / "cat" / "0.png").rename(there / "cat" / "zzz.png")
    first, second = Sample.from_folder(here), Sample.from_folder(there)
    assert first.digest == second.digest
    assert first.order != second.order


def test_the_digest_sees_content_labels_groups_and_metric():
    plain = letters("aabb")
    others = [
        letters("abab"),
        letters("aabb", metric="macro-f1"),
        letters("aabb", groups=[1, 1, 2, 2]),
        letters("aabb", groups=[1, 2, 2, 2]),
        Sample.from_arrays(arrays(4, start=9), list("aabb"), name="letters"),
        plain.take(np.array([0, 1, 2])),
    ]
    assert len({sample.digest for sample in (plain, *others)}) == 7


def test_a_sample_survives_pickling(image_folder):
    sample = Sample.from_folder(image_folder({"cat": 2, "dog": 2}))
    again = pickle.loads(pickle.dumps(sample))  # noqa: S301 - our own
    assert (again.digest, again.order, again.items) == (sample.digest, sample.order, sample.items)


@pytest.mark.parametrize("path", ["nowhere", "no\0where", "x" * 5_000])
def test_a_missing_path_is_said_to_be_missing(tmp_path, path):
    with pytest.raises(PathMissing) as caught:
        Sample.from_folder(f"{tmp_path}/{path}")
    assert "Check the spelling" in caught.value.remedy


def test_a_file_that_is_no_zip_holds_nothing(tmp_path):
    (tmp_path / "one.png").write_bytes(b"?")
    with pytest.raises(NoItems, match=r"one.png holds no zip that can be opened"):
        Sample.from_folder(tmp_path / "one.png")


def test_a_misspelt_metric_gets_a_hint(image_folder):
    with pytest.raises(UnknownName) as caught:
        Sample.from_folder(image_folder({"cat": 2}), metric="acuracy")
    assert caught.value.remedy == "Did you mean 'accuracy'?"


def test_one_class_is_told():
    assert letters("aaa").health.warnings == (
        "there is only one class: distances can be measured, transferability cannot",
    )


def test_a_class_with_one_image_is_told():
    sample = letters("aaaab")
    (warning,) = sample.health.warnings
    assert warning.startswith("classes with one image are in every training part and never held out, ")
    assert warning.endswith("so that no score is expected of them: b")
    assert sample.health.balance == 0.25


def test_uneven_classes_are_told():
    (report,) = letters("a" * 30 + "bb").health.warnings
    assert report.startswith("classes are uneven: 30 of a, 2 of b")


def test_exact_duplicates_are_removed_and_counted():
    pixels = arrays(4)[[0, 1, 0, 2, 3, 1, 0]]
    sample = Sample.from_arrays(pixels, list("aabbbaa"), name="twins")
    assert [item.name for item in sample.items] == ["1", "3", "4"]
    assert sample.health.exact_duplicates == 4
    assert sample.health.warnings[:2] == (
        "3 rows removed: the same image lies in another class too",
        "1 exact duplicate removed",
    )


def test_rows_of_the_test_part_are_removed_from_training():
    pixels = arrays(8)
    sample = Sample.from_arrays(pixels[:6], list("ababab"), name="x", test=(pixels[4:], list("abab")))
    assert (len(sample), sample.health.leaked) == (4, 2)
    assert "2 training images removed: in the test part too" in sample.health.warnings
    assert sample.test is not None
    assert len(sample.test) == 4


def test_what_vanishes_of_the_test_part_is_stated():
    pixels = arrays(8)
    sample = Sample.from_arrays(pixels[:4], list("abab"), name="x", test=(pixels[[4, 5, 6, 4, 7, 7]], list("abaaab")))
    assert sample.test is not None
    assert len(sample.test) == 3
    assert {
        "test part: 2 rows removed: the same image lies in another class too",
        "test part: 1 exact duplicate removed",
    } <= {*sample.health.warnings}


def test_a_test_part_of_which_nothing_is_left_is_missed_by_name():
    pixels = arrays(5)
    sample = Sample.from_arrays(pixels[:4], list("abab"), name="x", test=(pixels[[4, 4]], list("ab")))
    assert sample.test is None
    assert sample.health.warnings[-1] == "test part: no row is left, so that training rows are held out instead"


def test_near_duplicates_are_counted_within_and_across(tmp_path):
    for seed in range(30):
        picture = Image.fromarray(drawn(seed, 9)).resize((90, 90), Image.Resampling.BICUBIC)
        part = "test" if seed >= 24 else "train"
        folder = tmp_path / part / "ab"[seed % 2]
        folder.mkdir(parents=True, exist_ok=True)
        picture.save(folder / f"{seed}.png")
        if seed in (0, 1, 2):
            picture.resize((60, 60)).save(folder / f"{seed}.jpg", quality=70)
        if seed in (24, 25):
            picture.save(tmp_path / "train" / "ab"[seed % 2] / f"{seed}.jpg", quality=70)
    health = Sample.from_folder(tmp_path).health
    assert (health.near_duplicates, health.near_leaked, health.exact_duplicates, health.leaked) == (3, 2, 0, 0)


def test_training_on_the_very_test_part_leaves_nothing(image_folder):
    root = image_folder({"cat": 3, "dog": 2})
    with pytest.raises(NoItems, match="test part, but 5 images that the test part holds too") as caught:
        Sample.from_folder(root, test=root)
    assert "in one part" in caught.value.remedy


def test_classes_that_hold_the_same_images_leave_nothing():
    with pytest.raises(NoItems, match="but 8 images under more than one label") as caught:
        Sample.from_arrays([*arrays(4), *arrays(4)], list("aaaabbbb"), name="x")
    assert "in one class" in caught.value.remedy


def test_test_classes_unknown_to_training_are_named():
    with pytest.raises(UnusableLabels, match="lacks: c") as caught:
        Sample.from_arrays(arrays(4), list("aabb"), name="x", test=(arrays(3, 10), list("abc")))
    assert caught.value.rows == (2,)


def test_a_test_part_shares_the_classes_of_training():
    sample = Sample.from_arrays(arrays(4), list("aabb"), name="x", test=(arrays(2, 10), list("bb")))
    assert sample.test is not None
    assert sample.test.targets.values.tolist() == [1, 1]


def test_a_test_folder_of_the_users_own_is_used(image_folder):
    root = image_folder({"cat": 3, "dog": 2})
    own = image_folder({"test/cat": 1, "test/dog": 1, "train/cat": 4, "train/dog": 4}, "own", start=70)
    plain = Sample.from_folder(root, test=image_folder({"cat": 1, "dog": 1}, "plain", start=90))
    nested = Sample.from_folder(root, test=own)
    assert plain.test is not None
    assert nested.test is not None
    assert len(plain.test) == len(nested.test) == 2


def test_sampling_is_told(image_folder):
    sample = Sample.from_folder(image_folder({"cat": 30, "dog": 10}), limit=12)
    assert (len(sample), sample.health.sampled_from) == (12, 40)
    assert sample.counts == {"cat": 9, "dog": 3}
    assert sample.health.warnings == ("12 of 40 images drawn and read, each class in proportion",)


def test_a_draw_that_was_kept_before_its_limit_was_is_drawn_again(image_folder):
    root = image_folder({"cat": 30, "dog": 10})
    for name in ("0", "1"):
        (root / "cat" / f"{name}.png").write_bytes(b"no image")
    (root / "dog" / "0.png").write_bytes((root / "dog" / "1.png").read_bytes())
    kept = Sample.from_folder(root, limit=36).to_dict()
    assert len(Sample.again(kept)) < 36
    assert Sample.again({name: value for name, value in kept.items() if name != "limit"}).digest == kept["digest"]
    whole = Sample.from_folder(root).to_dict()
    assert limit_of(whole) is None


def test_groups_come_from_a_table(image_folder, tmp_path):
    root = image_folder({"cat": 2, "dog": 2})
    table = groups_csv(
        tmp_path / "g.csv", [("cat/0.png", "x"), ("cat/1.png", "y"), ("dog/0.png", "x"), ("dog/1.png", "z")]
    )
    sample = Sample.from_folder(root, groups=table)
    assert sample.groups == ("x", "y", "x", "z")
    assert sample.group_ids.tolist() == [0, 1, 0, 2]


def test_a_file_without_a_group_is_named(image_folder, tmp_path):
    root = image_folder({"cat": 2, "dog": 2})
    with pytest.raises(BadTable, match=r"no row for 'cat/1.png' \(3 of 4 files have none\)"):
        Sample.from_folder(root, groups=groups_csv(tmp_path / "g.csv", [("cat/0.png", "x")]))


def test_a_group_in_training_and_test_is_told(image_folder, tmp_path):
    root = image_folder({"train/cat": 2, "train/dog": 2, "test/cat": 1, "test/dog": 1})
    rows = [(str(file.relative_to(root)), file.parent.name + file.stem) for file in root.rglob("*.png")]
    sample = Sample.from_folder(root, groups=groups_csv(tmp_path / "g.csv", rows))
    assert "2 groups in the training and the test part at once: cat0, dog0" in sample.health.warnings


def test_every_row_needs_a_group():
    with pytest.raises(LengthMismatch):
        letters("aabb", groups=[1, 2])


def test_taken_rows_keep_the_classes():
    sample = letters("aabbc", groups=[1, 2, 3, 4, 5])
    taken = sample.take(np.array([False, False, True, True, False]))
    assert taken.labels == ("b", "b")
    assert taken.targets.values.tolist() == [1, 1]
    assert taken.groups == ("3", "4")
    assert taken.counts == {"a": 0, "b": 2, "c": 0}
    assert sample.take(np.array([4, 0])).labels == ("c", "a")


def test_folds_need_two_groups_of_a_class():
    for hopeless in (letters("a"), letters("abc"), letters("aabb", groups=[1, 1, 2, 2])):
        with pytest.raises(TooFewRows):
            hopeless.folds()
        with pytest.raises(TooFewRows):
            hopeless.split()


def test_a_reader_is_told_every_stage(image_folder):
    recorder = Recorder()
    Sample.from_folder(image_folder({"cat": 2, "dog": 2}), progress=recorder)
    assert recorder.words == ["reading images", "comparing images"]


def test_reading_that_is_cancelled_ends_between_two_items(image_folder):
    recorder = stopping(Phase.READ, 2)
    with pytest.raises(Cancelled):
        Sample.from_folder(image_folder({"cat": 9, "dog": 9}), progress=recorder)
    assert recorder.events[-1].done == 2


@pytest.mark.parametrize(
    ("metric", "reference"),
    [
        (Metric.ACCURACY, accuracy_score),
        (Metric.BALANCED_ACCURACY, balanced_accuracy_score),
        (Metric.MACRO_F1, lambda truth, predicted: f1_score(truth, predicted, average="macro")),
    ],
)
def test_scores_are_those_of_the_textbook(metric, reference):
    rng = np.random.default_rng(0)
    for _ in range(20):
        truth = np.append(rng.integers(0, 4, 30), np.arange(4))
        predicted = np.where(rng.random(34) < 0.6, truth, rng.integers(0, 4, 34))
        assert score(metric, truth, predicted) == pytest.approx(reference(truth, predicted))
        names = np.array(list("abcd"))
        assert score(metric, names[truth], list(names[predicted])) == pytest.approx(reference(truth, predicted))


def test_a_score_by_hand():
    truth, predicted = list("aaab"), list("aabb")
    assert score("accuracy", truth, predicted) == 0.75
    assert score("balanced-accuracy", truth, predicted) == pytest.approx((2 / 3 + 1) / 2)
    assert score("macro-f1", truth, predicted) == pytest.approx((0.8 + 2 / 3) / 2)


def test_a_score_needs_as_many_predictions_as_rows_and_one_at_least():
    with pytest.raises(LengthMismatch):
        score("accuracy", ["a"], ["a", "b"])
    with pytest.raises(TooFewRows):
        score("accuracy", [], [])


@pytest.mark.slow
def test_a_hundred_thousand_files_are_sampled(tmp_path):
    content = [Image.fromarray(drawn(seed, 8)) for seed in range(50)]
    for place, image in enumerate(content):
        image.save(tmp_path / f"{place}.png")
    for label in range(10):
        folder = tmp_path / "many" / f"class{label}"
        folder.mkdir(parents=True)
        for place in range(10_000):
            (folder / f"{place}.png").hardlink_to(tmp_path / f"{label * 5 + place % 5}.png")
    sample = Sample.from_folder(tmp_path / "many", limit=2_000)
    health = sample.health
    assert sample.counts == {f"class{label}": 5 for label in range(10)}
    assert (health.sampled_from, health.exact_duplicates) == (100_000, 1_950)
    assert health.warnings[0].startswith("2000 of 100000 images drawn and read")
