"""Flipped labels are found among sound ones, by heads on planted features that have not seen them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from recommender.flow import recommend
from recommender.results import BlockScore, Candidate, Exposure, Transferability
from recommender.suspects import HARDEST, suspected_labels
from recommender.transfer.linear import out_of_fold
from registry.cards import Task
from registry.sample import Sample
from tests.recommender.planted import Reader, planted_zoo
from tests.registry.fakes import a_checkpoint

ROWS, CLASSES = 240, 3
TRUE = np.arange(ROWS) % CLASSES


def flipped(share: float, seed: int = 0) -> np.ndarray:
    """Labels, of which a share names another class."""
    random = np.random.default_rng(seed)
    wrong = np.isin(np.arange(ROWS), random.choice(ROWS, round(share * ROWS), replace=False))
    return np.where(wrong, (TRUE + random.integers(1, CLASSES, ROWS)) % CLASSES, TRUE)


def sample_of(labels: Sequence[int]) -> Sample:
    random = np.random.default_rng(1)
    images = random.integers(0, 256, (ROWS, 4, 4, 3)).astype(np.uint8)
    return Sample.from_arrays(images, [f"class {label}" for label in labels], name="told")


def head(tmp_path, name: str, labels: np.ndarray, *, noise: float = 0.5, seen: Exposure | None = None):
    """A checkpoint whose features tell the true classes."""
    random = np.random.default_rng(len(name))
    features = np.eye(CLASSES)[TRUE] + noise * random.normal(size=(ROWS, CLASSES))
    result = out_of_fold(features.astype(np.float32), labels, np.arange(ROWS) // CLASSES % 5)
    candidate = Candidate(a_checkpoint(tmp_path / name, name), None, seen)
    blocks = (BlockScore("last", 0.9, 0.01),)
    return Transferability(candidate, {}, blocks, (), result.predicted, 0.0, probabilities=result.probabilities)


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_flipped_labels_are_found_with_the_one_that_was_meant(tmp_path, share):
    labels = flipped(share)
    heads = [head(tmp_path, name, labels, noise=0.25) for name in ("a", "bb", "ccc")]
    suspects = suspected_labels(sample_of(labels), heads)
    listed = {int(row.item) for row in suspects.rows}
    planted = set(np.flatnonzero(labels != TRUE).tolist())
    assert len(listed & planted) >= 0.8 * len(listed)
    assert len(listed & planted) >= 0.7 * len(planted)
    for row in suspects.rows:
        assert row.label == f"class {labels[int(row.item)]}" != row.suggested
    meant = [row.suggested == f"class {TRUE[int(row.item)]}" for row in suspects.rows]
    assert np.mean(meant) > 0.9
    margins = [row.suggested_probability - row.probability for row in suspects.rows]
    assert margins == sorted(margins, reverse=True)


def test_where_labels_are_sound_and_clear_none_is_in_doubt(tmp_path):
    heads = [head(tmp_path, name, TRUE, noise=0.1) for name in ("a", "bb")]
    suspects = suspected_labels(sample_of(TRUE), heads)
    assert (suspects.rows, suspects.rows_judged, suspects.checkpoints) == ((), ROWS, ("a", "bb"))


def test_the_hardest_rows_that_are_in_no_doubt_stand_beside_those_that_are(tmp_path):
    labels = flipped(0.05)
    suspects = suspected_labels(sample_of(labels), [head(tmp_path, name, labels, noise=0.4) for name in ("a", "bb")])
    assert len(suspects.hardest) == HARDEST
    assert not {row.item for row in suspects.hardest} & {row.item for row in suspects.rows}
    chances = [row.probability for row in suspects.hardest]
    assert chances == sorted(chances)
    assert all(row.label != row.suggested for row in suspects.hardest)


def test_a_row_that_one_head_reads_as_it_is_labeled_is_in_no_doubt(tmp_path):
    labels = flipped(0.05)
    heads = [head(tmp_path, name, labels, noise=0.25) for name in ("a", "bb")]
    certain = np.eye(CLASSES)[labels] * 0.9 + 0.1 / CLASSES
    suspects = suspected_labels(sample_of(labels), [*heads, replace(heads[0], probabilities=certain)])
    assert suspects.rows == ()


def test_a_head_that_may_know_the_labels_is_not_asked_and_one_alone_tells_nothing(tmp_path):
    labels = flipped(0.05)
    seen = Exposure(frozenset(), (), copies=True, because="it learned from them")
    heads = [head(tmp_path, "a", labels), head(tmp_path, "bb", labels, seen=seen)]
    assert suspected_labels(sample_of(labels), heads) is None


def test_heads_that_are_wrong_even_where_they_are_sure_doubt_no_label(tmp_path):
    classes = 24
    labels = np.arange(ROWS) % classes
    random = np.random.default_rng(3)
    weak = []
    for name in ("a", "bb"):
        features = np.eye(classes)[labels] + 0.7 * random.normal(size=(ROWS, classes))
        result = out_of_fold(features.astype(np.float32), labels, np.arange(ROWS) // classes % 5)
        assert 2 / classes < (result.predicted == labels).mean() < 0.5  # better than a guess
        candidate = Candidate(a_checkpoint(tmp_path / name, name), None, None)
        blocks = (BlockScore("last", 0.3, 0.01),)
        weak.append(
            Transferability(candidate, {}, blocks, (), result.predicted, 0.0, probabilities=result.probabilities)
        )
    assert suspected_labels(sample_of(labels), weak) is None


def test_how_many_labels_the_heads_give_stands_beside_those_in_doubt(tmp_path):
    labels = flipped(0.2)
    heads = [head(tmp_path, name, labels, noise=0.25) for name in ("a", "bb")]
    assert suspected_labels(sample_of(labels), heads).agreement == pytest.approx(0.8, abs=0.05)


def test_quantities_have_no_suspects(tmp_path):
    values = Sample.from_arrays([np.full((4, 4, 3), k, np.uint8) for k in range(30)], np.linspace(0, 1, 30))
    assert values.task is Task.REGRESSION
    assert suspected_labels(values, [head(tmp_path, name, TRUE) for name in ("a", "bb")]) is None


def contrasts(labels: np.ndarray, columns: Sequence[int], seed: int = 0) -> np.ndarray:
    """Pictures for `Reader`: in these columns the upper two pixels differ much in class 1, and little in class 0."""
    random = np.random.default_rng(seed)
    images = random.integers(100, 150, (len(labels), 8, 8, 3)).astype(np.uint8)
    for column in columns:
        half = np.where(labels == 1, random.integers(15, 30, len(labels)), random.integers(0, 10, len(labels)))
        images[:, 0, column, 1], images[:, 1, column, 1] = 128 + half, 128 - half
    return images


@pytest.mark.slow
def test_advice_lists_them_and_changes_none(tmp_path):
    meant = np.arange(200) % 2
    wrong = np.isin(np.arange(200), [0, 10, 20, 31, 41, 51])
    labels = [f"class {label}" for label in np.where(wrong, 1 - meant, meant)]
    sample = Sample.from_arrays(contrasts(meant, (0, 1)), labels, name="told")
    zoo = planted_zoo(tmp_path, {"one": (Reader("one", (0, 0)), None), "two": (Reader("two", (1, 1)), None)})
    advice = recommend(sample, zoo)
    assert set(advice.suspects.checkpoints) == {"one", "two"}  # and not the one that reads nothing
    listed = {int(row.item) for row in advice.suspects.rows}
    assert listed <= set(np.flatnonzero(wrong))
    assert len(listed) >= 3
    rows = advice.to_dict()["suspects"]["rows"]
    assert all(row["suggested"] == f"class {meant[int(row['item'])]}" != row["label"] for row in rows)
    assert list(sample.labels) == labels
