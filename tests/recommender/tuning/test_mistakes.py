"""Mistakes of a run: the surest first, in the words of the labels, whatever the task."""

import numpy as np
import pytest

from recommender.tuning.mistakes import confusions, worst_mistakes
from registry.sample import Sample


def images(rows: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (rows, 6, 6), dtype=np.uint8)


def test_wrong_classes_are_listed_the_surest_first_and_right_ones_never():
    sample = Sample.from_arrays(images(4), ["cat", "cat", "dog", "dog"])
    logits = np.array([[0.0, 1.0], [3.0, 0.0], [5.0, 0.0], [0.0, 2.0]])
    mistakes = worst_mistakes(sample, logits)
    assert [(row.item, row.label, row.predicted) for row in mistakes] == [("2", "dog", "cat"), ("0", "cat", "dog")]
    assert mistakes[0].confidence == pytest.approx(1 / (1 + np.exp(-5)))
    counts = {(row.label, row.predicted): row.rows for row in confusions(sample, logits)}
    assert counts == {("cat", "cat"): 1, ("cat", "dog"): 1, ("dog", "cat"): 1, ("dog", "dog"): 1}


def test_of_several_labels_the_surest_wrong_one_counts():
    sample = Sample.from_arrays(images(3), [("sea",), ("sand", "sea"), ()])
    assert sample.classes == ("sand", "sea")
    mistakes = worst_mistakes(sample, np.array([[4.0, 1.0], [1.0, -1.0], [-1.0, -9.0]]))
    assert [(row.item, row.label, row.predicted) for row in mistakes] == [
        ("0", "sea", "sand|sea"),
        ("1", "sand|sea", "sand"),
    ]
    assert mistakes[0].confidence == pytest.approx(1 / (1 + np.exp(-4)))
    assert confusions(sample, np.zeros((3, 2))) == ()


def test_of_quantities_those_come_first_that_are_farthest_off():
    sample = Sample.from_arrays(images(3), [1.5, 2.5, 4.25])
    mistakes = worst_mistakes(sample, np.array([[1.0], [2.5], [9.25]]))
    assert [(row.item, row.predicted, row.off) for row in mistakes] == [
        ("2", "9.25", 5.0),
        ("0", "1", -0.5),
        ("1", "2.5", 0.0),
    ]
    assert mistakes[0].confidence is None


def test_of_tags_the_surest_wrong_word_counts():
    sample = Sample.from_arrays([["we", "saw", "Ann"], ["it", "rains"]], [["O", "O", "B-PER"], ["O", "O"]])
    right, wrong = [-3.0, 3.0], [2.0, 0.0]  # classes in order: B-PER, O
    mistakes = worst_mistakes(sample, np.array([right, wrong, wrong, right, right]))
    assert [(row.item, row.predicted) for row in mistakes] == [("0", "O B-PER B-PER")]
    assert mistakes[0].confidence == pytest.approx(1 / (1 + np.exp(-2)))
