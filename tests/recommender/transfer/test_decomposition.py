"""The factorization that scores share, and the labels they read."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.transfer.decomposition import decompose
from recommender.transfer.hscore import hscore
from recommender.transfer.logme import logme
from recommender.transfer.targets import parse_targets
from registry.cards import Task
from registry.errors import NotFinite, NoVariation, UnusableLabels
from registry.targets import Targets


@pytest.mark.parametrize("shape", [(40, 7), (7, 40), (20, 20)], ids=["tall", "wide", "square"])
def test_the_factors_give_the_rows_again(shape):
    thin = decompose(np.random.default_rng(0).normal(size=shape) * 3 + 5)
    assert thin.left * np.sqrt(thin.squares) @ thin.right.T == pytest.approx(thin.rows, abs=1e-9)
    assert thin.left.T @ thin.left == pytest.approx(np.eye(len(thin.squares)), abs=1e-9)
    assert (np.diff(thin.squares) <= 0).all()


@pytest.mark.parametrize("shape", [(40, 7), (7, 40)], ids=["tall", "wide"])
def test_projecting_needs_no_left_factor(shape):
    random = np.random.default_rng(0)
    thin, columns = decompose(random.normal(size=shape)), random.normal(size=(shape[0], 3))
    assert thin.project(columns) == pytest.approx(thin.left.T @ columns, abs=1e-9)


def test_dependent_columns_are_no_extra_directions():
    rows = np.random.default_rng(0).normal(size=(30, 4))
    assert len(decompose(np.hstack([rows, rows, np.ones((30, 3))])).squares) == 4
    assert decompose(np.hstack([rows, np.ones((30, 3))])).width == 4


def test_a_column_far_from_zero_keeps_its_variation():
    rows = np.random.default_rng(0).normal(size=(30, 2))
    assert decompose(rows + 1e8).rows == pytest.approx(decompose(rows).rows, abs=1e-6)


def test_rows_that_are_all_the_same_are_refused():
    with pytest.raises(NoVariation):
        decompose(np.full((4, 3), 0.1))


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1))
@pytest.mark.parametrize("score", [logme, hscore])
def test_a_rotation_of_white_features_changes_nothing(score, seed):
    """Standardizing is not a rotation's friend in general; on white features the two commute."""
    random = np.random.default_rng(seed)
    labels = np.arange(60) % 3
    white = np.sqrt(60) * decompose(random.normal(size=(3, 5))[labels] + random.normal(size=(60, 5))).left
    rotation = np.linalg.qr(random.normal(size=(5, 5)))[0]
    assert score(white @ rotation, labels) == pytest.approx(score(white, labels), rel=1e-8)


def test_text_whole_numbers_and_truth_values_are_classes():
    for labels in (np.array(["b", "a", "b"]), np.array([7, -1, 7]), np.array([True, False, True])):
        targets = parse_targets(labels, 3, "it")
        assert targets.task is Task.CLASSIFICATION
        assert targets.codes.tolist() == [1, 0, 1]


@pytest.mark.parametrize("dtype", [np.int64, np.float64, bool])
def test_the_task_is_the_one_that_is_stated_whatever_the_values_are_stored_as(dtype):
    for values in (np.arange(3) % 2, np.eye(3)):
        for task in (Task.REGRESSION, Task.MULTI_LABEL):
            assert parse_targets(Targets(task, values.astype(dtype)), 3, "it", tuple(Task)).task is task


def test_labels_that_are_missing_are_named_by_row():
    with pytest.raises(UnusableLabels, match="rows 1"):
        parse_targets(np.array(["a", None, "b"], dtype=object), 3, "it")
    with pytest.raises(UnusableLabels, match="rows 2"):
        parse_targets(Targets(Task.MULTI_LABEL, np.array([[0, 1], [1, 0], [2, 0]])), 3, "it", tuple(Task))
    with pytest.raises(NotFinite, match="row 1"):
        parse_targets(Targets(Task.REGRESSION, np.array([0.0, np.nan, 2.0])), 3, "it", tuple(Task))
