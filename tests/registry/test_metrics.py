"""Every metric, over weighted rows, against scikit-learn's."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import accuracy_score, f1_score, r2_score, recall_score

from registry.cards import Metric
from registry.metrics import score, weighted_scores

ROWS = 12
classes = arrays(np.int64, ROWS, elements=st.integers(0, 3))
labels = arrays(np.int64, (ROWS, 3), elements=st.integers(0, 1))
weights = arrays(np.float64, ROWS, elements=st.integers(0, 4)).filter(lambda row: row.sum() > 0)
quantities = arrays(np.float64, ROWS, elements=st.integers(-50, 50))


def weighted(metric: Metric, truth: np.ndarray, predicted: np.ndarray, row: np.ndarray) -> float:
    return float(weighted_scores(metric, truth, predicted, row[None])[0])


@settings(max_examples=30, deadline=None)
@given(truth=classes, predicted=classes, row=weights)
def test_metrics_of_classes_are_scikit_learns_with_these_weights(truth, predicted, row):
    there = row > 0
    true, guess, counts = truth[there], predicted[there], row[there]
    recall = recall_score(true, guess, labels=np.unique(true), average="macro", sample_weight=counts, zero_division=0)
    f1 = f1_score(true, guess, average="macro", sample_weight=counts, zero_division=0)
    accuracy = accuracy_score(true, guess, sample_weight=counts)
    assert weighted(Metric.ACCURACY, truth, predicted, row) == pytest.approx(accuracy)
    assert weighted(Metric.BALANCED_ACCURACY, truth, predicted, row) == pytest.approx(recall)
    assert weighted(Metric.MACRO_F1, truth, predicted, row) == pytest.approx(f1)


@settings(max_examples=30, deadline=None)
@given(truth=labels, predicted=labels, row=weights)
def test_the_f1_of_labels_is_scikit_learns_over_those_that_occur(truth, predicted, row):
    there = row > 0
    seen = (truth[there] + predicted[there]).any(axis=0)
    of_label = [
        f1_score(
            truth[there, label], predicted[there, label], average="binary", sample_weight=row[there], zero_division=0
        )
        for label in np.flatnonzero(seen)
    ]
    expected = np.mean(of_label) if of_label else 1.0
    assert weighted(Metric.MACRO_F1, truth, predicted, row) == pytest.approx(expected)


@settings(max_examples=30, deadline=None)
@given(truth=quantities, predicted=quantities, row=weights)
def test_r_squared_is_scikit_learns_wherever_the_truth_varies(truth, predicted, row):
    there = row > 0
    if len(np.unique(truth[there])) > 1:
        expected = r2_score(truth[there], predicted[there], sample_weight=row[there])
        assert weighted(Metric.R2, truth, predicted, row) == pytest.approx(expected)


@settings(max_examples=20, deadline=None)
@given(truth=classes, predicted=classes, counts=arrays(np.int64, ROWS, elements=st.integers(1, 3)))
def test_a_weight_is_how_often_a_row_is_there(truth, predicted, counts):
    again = np.repeat(np.arange(ROWS), counts)
    for metric in (Metric.ACCURACY, Metric.BALANCED_ACCURACY, Metric.MACRO_F1):
        assert weighted(metric, truth, predicted, counts.astype(float)) == pytest.approx(
            score(metric, truth[again], predicted[again])
        )


def test_metrics_load_no_scikit_learn():
    code = "import sys, registry.metrics; print('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
