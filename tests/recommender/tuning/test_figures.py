from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from recommender.results import Expected
from recommender.runs.event_log import EventLog
from recommender.tuning.feature_drift import BlockChange, Forgetting, SourceProbe
from recommender.tuning.figures import confusion_matrix, draw, draw_learning_curve, intervals, transferred_and_learned
from registry.cards import Metric
from tests.recommender.tuning.jobs import checkpoint, job, plan


def picture(file):
    with Image.open(file) as opened:
        assert opened.format == "PNG"
        return np.asarray(opened.convert("RGB"))


@pytest.fixture
def prepared(tmp_path):
    card = checkpoint(tmp_path / "net")
    prepared = job(tmp_path, card, plan(card))
    prepared.folder.mkdir()
    return prepared


def test_a_run_is_drawn_from_its_journal_and_its_predictions(prepared):
    event_log = EventLog(prepared.folder)
    for epoch in range(3):
        event_log.point("validation loss", epoch, 1.0 / (1 + epoch))
        event_log.point("validation accuracy", epoch, 0.5 + 0.1 * epoch)
    truth = prepared.sample.test.targets.values
    files = draw(prepared, truth, truth, {"score": 1.0, "standard_error": 0.0})
    assert [file.name for file in files] == ["learning-curve.png", "confusion-matrix.png", "expected-and-realized.png"]
    assert all(file.is_relative_to(prepared.folder) and picture(file).std() > 0 for file in files)


def test_what_there_is_nothing_to_draw_of_is_left_out(prepared):
    truth = prepared.sample.test.targets.values
    files = draw(replace(prepared, expected=None), truth, truth, {"score": 1.0, "standard_error": 0.0})
    assert [file.name for file in files] == ["confusion-matrix.png"]


def test_a_loss_that_is_no_number_leaves_a_gap(tmp_path):
    curves = {"validation loss": {0: 1.0, 1: float("inf"), 2: 0.5}, "training loss": {1: float("nan"), 2: 0.4}}
    assert picture(draw_learning_curve(curves, tmp_path / "curve.png")).std() > 0


@pytest.mark.parametrize("classes", [2, 15, 120])
def test_confusions_are_dark_where_rows_are(tmp_path, classes):
    truth = np.arange(classes)
    right = picture(confusion_matrix(truth, truth, tuple(map(str, truth)), tmp_path / "right.png"))
    wrong = picture(confusion_matrix(truth, truth[::-1].copy(), tuple(map(str, truth)), tmp_path / "wrong.png"))
    assert right.shape == wrong.shape
    assert (right != wrong).any()
    assert max(right.shape) < 2000


def test_an_interval_without_width_can_be_drawn(tmp_path):
    expected = Expected(Metric.ACCURACY, 0.8, 0.8, 0.8)
    assert picture(intervals(expected, 0.7, 0.0, tmp_path / "interval.png")).std() > 0


@pytest.mark.parametrize("blocks", [1, 8])
def test_what_was_transferred_and_learned_is_one_picture_and_the_source_widens_it(tmp_path, blocks):
    records = [BlockChange(f"block {n:02d}", 0.9 - 0.1 * n if n else None, 0.01 * n) for n in range(blocks)]
    alone = picture(transferred_and_learned(Forgetting(tuple(records), 0.1), tmp_path / "alone.png"))
    probed = Forgetting(tuple(records), 0.1, SourceProbe(0.8, 0.6, 0.02, 100, Metric.ACCURACY))
    assert alone.std() > 0
    assert picture(transferred_and_learned(probed, tmp_path / "probed.png")).shape[1] > alone.shape[1]
