import json
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from recommender.runs.folder import RunFolder
from recommender.runs.tracking import no_tracking
from recommender.serving.predict import Judged, Predictions, Predictor, answer
from recommender.tuning.heads import LinearHead, read_head, save_head
from recommender.tuning.recipe import run_local
from registry.cards import Metric, Task
from registry.encoders.encoder import load_encoder
from registry.errors import BadTable, NoItems, NotFinished, PathMissing, UnusableArrays
from registry.forms import to_json
from registry.progress import Cancelled, Phase
from tests.conftest import drawn
from tests.observers import Recorder, stopping
from tests.recommender.tuning.jobs import checkpoint, job, plan, whole
from tests.recommender.tuning.runs import CLASSES, finished_run
from tests.registry.encoders.nets import pictures

LOGITS = np.array([[2.0, 0.0, -1.0], [-3.0, 0.0, 3.0]], np.float32)


def predictions(task, logits=LOGITS, classes=("a", "b", "c")):
    return Predictions(Task(task), classes, ("one.png", "two.png"), logits)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return finished_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.mark.parametrize(
    ("net", "trained"),
    [
        ("vit", False),
        ("resnet", True),
        pytest.param("resnet", False, marks=pytest.mark.slow),
        pytest.param("vit", True, marks=pytest.mark.slow),
    ],
)
def test_a_run_predicts_what_it_was_scored_on(net, trained, tmp_path):
    card = checkpoint(tmp_path / "net", net)
    prepared = job(tmp_path, card, plan(card, *([whole(card)] if trained else [])))
    done, _ = run_local(prepared, no_tracking)
    moved = shutil.move(done.folder, tmp_path / "elsewhere")
    predicted = Predictor.open(moved).predict(prepared.sample.test.items)
    right = np.mean([label == true for label, true in zip(predicted.labels, prepared.sample.test.labels, strict=True)])
    assert right == pytest.approx(done.metrics["accuracy"])


@pytest.mark.parametrize("head", ["prototype", "neighbors"])
def test_heads_that_train_nothing_predict_too(head, tmp_path):
    card = checkpoint(tmp_path / "net")
    prepared = job(tmp_path, card, plan(card, head=head))
    done, _ = run_local(prepared, no_tracking)
    predicted = Predictor.open(done.folder).predict(prepared.sample.test.items)
    right = np.mean([label == true for label, true in zip(predicted.labels, prepared.sample.test.labels, strict=True)])
    assert right == pytest.approx(done.metrics["accuracy"])
    np.testing.assert_allclose(predicted.scores.sum(1), 1, rtol=1e-5)


def test_logits_are_the_heads_of_the_block_that_is_read(tmp_path):
    run = finished_run(tmp_path / "run", block=1)
    items = pictures(5)
    features = load_encoder(run.path).encode(items).blocks[1].vectors
    predicted = Predictor.open(run.path).predict(items)
    np.testing.assert_allclose(predicted.logits, read_head(run.path).logits(features), rtol=1e-5, atol=1e-6)


def test_arrays_are_predicted_as_the_same_pictures_are(run):
    predictor, images = Predictor.open(run.path), np.stack([drawn(seed, 40) for seed in range(4)])
    np.testing.assert_allclose(predictor.predict(images).logits, predictor.predict(pictures(4)).logits, atol=1e-6)
    with pytest.raises(UnusableArrays):
        predictor.predict(images.astype(np.float32))


def test_progress_is_told(run):
    recorder = Recorder()
    Predictor.open(run.path).predict(pictures(3), progress=recorder)
    assert recorder.counts[0] == (0, 3)
    assert recorder.counts[-1] == (3, 3)


def test_a_prediction_that_is_cancelled_ends_between_two_batches(run):
    before = sorted(run.path.rglob("*"))
    recorder = stopping(Phase.ENCODE)
    with pytest.raises(Cancelled):
        Predictor.open(run.path).predict(pictures(150), progress=recorder)
    assert 0 < recorder.counts[-1][0] < 150
    assert sorted(run.path.rglob("*")) == before


def test_a_class_is_named_with_its_probability():
    result = predictions("classification")
    assert result.labels == ("a", "c")
    np.testing.assert_allclose(result.scores.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(result.confidence, result.scores.max(1))


def test_labels_stand_each_on_its_own():
    result = predictions("multi-label")
    assert result.labels == ("a|b", "b|c")
    np.testing.assert_allclose(result.scores[0], 1 / (1 + np.exp(-LOGITS[0])), rtol=1e-6)
    np.testing.assert_allclose(result.confidence, [0.5, 0.5])


def test_a_value_is_told_as_it_is():
    result = predictions("regression", LOGITS[:, :1], ())
    assert result.labels == ("2", "-3")
    assert result.confidence is None
    assert to_json(result.rows()[1]) == {
        "file": "two.png",
        "prediction": "-3",
        "confidence": None,
        "scores": [-3.0],
    }


def named(classes, chosen, task="classification"):
    logits = np.where(np.array(chosen), 3.0, -3.0).astype(np.float32)
    return Predictions(Task(task), classes, tuple(map(str, range(len(logits)))), logits)


def test_a_judgment_counts_who_was_taken_for_whom():
    result = named(("a", "b"), [[1, 0], [0, 1], [0, 1], [1, 0], [1, 0]])
    judged = Judged.of(result, ["a", "a", "b", None, "stranger"], Metric.ACCURACY)
    assert (judged.rows, judged.unknown, judged.accuracy) == (3, 2, pytest.approx(2 / 3))
    assert judged.recall == {"a": (1, 2), "b": (1, 1)}
    assert judged.confusions == (("a", "b", 1),)
    assert judged.standard_error == pytest.approx(np.sqrt(2) / 3 / np.sqrt(3), rel=0.15)
    assert Judged.of(result, [None] * 5, Metric.ACCURACY) is None


def test_labels_are_judged_each_on_its_own():
    result = named(("a", "b"), [[1, 0], [1, 1], [0, 0]], "multi-label")
    judged = Judged.of(result, ["a", "a", "b"], Metric.ACCURACY)
    assert (judged.score, judged.accuracy) == (pytest.approx(4 / 6), pytest.approx(4 / 6))
    assert judged.recall == {"a": (2, 2), "b": (0, 1)}
    assert judged.confusions == ()


def test_a_quantity_is_judged_by_r_squared():
    result = Predictions(Task.REGRESSION, (), ("0", "1", "2"), np.array([[1.0], [2.0], [4.0]], np.float32))
    judged = Judged.of(result, ["1.0", "2.0", "3.0"], Metric.R2)
    assert judged.score == pytest.approx(0.5)
    assert (judged.accuracy, judged.recall) == (None, {})


def put(folder, *names):
    for seed, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn(seed)).save(folder / name)
    return folder


def test_a_labelled_folder_is_judged(run, tmp_path):
    place = put(tmp_path / "in", "red/1.png", "blue/2.png", "others/3.png", "4.png")
    result = answer(run, place)
    assert (result.judged.rows, result.judged.unknown) == (2, 2)
    assert result.predictions.names == ("4.png", "blue/2.png", "others/3.png", "red/1.png")


def test_a_table_says_what_is_true(run, tmp_path):
    place = put(tmp_path / "in", "1.png", "2.png", "3.png")
    table = tmp_path / "truth.csv"
    predicted = answer(run, place).predictions.labels
    table.write_text(f"file,target\n1.png,{predicted[0]}\n2.png,stranger\n")
    judged = answer(run, place, table).judged
    assert (judged.rows, judged.unknown, judged.score) == (1, 2, 1.0)
    table.write_text("file,target\nelsewhere.png,red\n")
    with pytest.raises(BadTable, match="no row names an image"):
        answer(run, place, table)


@pytest.mark.parametrize(
    ("task", "classes", "cells"), [("multi-label", CLASSES, ("red|blue", "")), ("regression", (), ("1.5", "-2"))]
)
def test_a_table_judges_other_tasks_too(task, classes, cells, tmp_path):
    other = finished_run(tmp_path / "run", task=task, classes=classes)
    place, table = put(tmp_path / "in", "1.png", "2.png"), tmp_path / "truth.csv"
    table.write_text(f"file,target\n1.png,{cells[0]}\n2.png,{cells[1]}\n")
    assert answer(other, place).judged is None
    judged = answer(other, place, table).judged
    assert judged.rows == 2
    assert np.isfinite(judged.score)


def test_a_flat_folder_a_zip_and_a_single_image_are_predicted_alike(run, tmp_path):
    place = put(tmp_path / "in", "1.png", "2.png")
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for file in sorted(place.iterdir()):
            archive.write(file, file.name)
    flat, zipped, single = (answer(run, path) for path in (place, tmp_path / "in.zip", place / "2.png"))
    assert flat.judged is None
    np.testing.assert_array_equal(flat.predictions.logits, zipped.predictions.logits)
    np.testing.assert_allclose(flat.predictions.logits[1:], single.predictions.logits, atol=1e-5)


def test_what_cannot_be_read_is_skipped_and_listed(run, tmp_path):
    place = put(tmp_path / "in", "1.png")
    for name in ("2.png", "3.png"):
        (place / name).write_text("no image")
    result = answer(run, place)
    assert result.predictions.names == ("1.png",)
    assert [row["file"] for row in result.to_dict()["skipped"]] == ["2.png", "3.png"]
    with pytest.raises(NoItems, match="can be read"):
        answer(run, place / "2.png")


@pytest.mark.parametrize(
    ("place", "warned"), [(".", True), ("train", True), ("test", False), ("..", True), ("../beside", False)]
)
def test_judging_rows_that_were_learned_from_is_warned_of(place, warned, run, tmp_path):
    own = shutil.copytree(run.path, tmp_path / "run")
    put(own / "data", "train/red/1.png", "test/red/2.png", *(["../beside/red/3.png"] if "beside" in place else []))
    record = json.loads((own / "run.json").read_text())
    record["sample"]["origin"] = str(own / "data")
    (own / "run.json").write_text(json.dumps(record))
    result = answer(RunFolder(own), (own / "data" / place).resolve())
    assert any("learned from" in note for note in result.notes) is warned


def test_a_run_that_is_not_finished_is_named_with_what_to_do(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.start({"id": "run"})
    with pytest.raises(NotFinished, match="run run is interrupted") as caught:
        Predictor.open(folder.path)
    assert "transferzoo runs resume run" in caught.value.remedy


def test_a_missing_folder_and_a_missing_head_are_named(run, tmp_path):
    with pytest.raises(PathMissing):
        Predictor.open(tmp_path / "nothing")
    torn = shutil.copytree(run.path, tmp_path / "torn")
    (torn / "head.safetensors").unlink()
    with pytest.raises(PathMissing, match=r"head\.safetensors"):
        Predictor.open(torn)


def test_regression_of_a_whole_run_has_one_column(tmp_path):
    run = finished_run(tmp_path / "run", task="regression", classes=())
    save_head(LinearHead(np.zeros((1, 24), np.float32), np.array([1.5], np.float32)), run.path)
    assert Predictor.open(run.path).predict(pictures(2)).labels == ("1.5", "1.5")
