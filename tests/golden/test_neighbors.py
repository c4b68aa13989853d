"""Neighbor score and neighbor distance against brute force over all pairs."""

from collections import Counter

import numpy as np
import pytest

from recommender.distance.knn import knn_distance, novelty
from recommender.transfer.knn import knn_score
from registry.index import other_neighbors


def nearest(rows, queries, others, k):
    """Row numbers of the k nearest of ``others[i]`` to query i."""
    gaps = np.linalg.norm(queries[:, None] - rows[None], axis=2)
    gaps[~others] = np.inf
    return np.argsort(gaps, axis=1, kind="stable")[:, :k]


def standardized(rows):
    return (rows - rows.mean(axis=0)) / rows.std(axis=0)


def majority(names):
    """The commonest; of those named as often, the one whose neighbors are nearer (weights 1/2, 1/4, ...)."""
    counts = Counter(names)
    near = {name: sum(2.0 ** -(place + 1) for place, one in enumerate(names) if one == name) for name in counts}
    return max(counts, key=lambda name: (counts[name], near[name]))


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize("k", [1, 4, 5])
@pytest.mark.parametrize("grouped", [False, True], ids=["rows", "groups"])
def test_the_score_is_the_share_of_right_votes(metric, k, grouped):
    random = np.random.default_rng(k)
    labels = np.arange(90) % 3
    features = random.normal(size=(3, 10))[labels] + 1.5 * random.normal(size=(90, 10))
    groups = np.arange(90) // 4 if grouped else np.arange(90)
    rows = standardized(features)
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True) if metric == "cosine" else rows
    near = nearest(rows, rows, groups[:, None] != groups[None], k)
    right = np.mean([majority(labels[row].tolist()) == label for row, label in zip(near, labels, strict=True)])
    assert knn_score(features, labels, k=k, metric=metric, groups=groups if grouped else None) == right


@pytest.mark.parametrize("shift", [0.0, 0.6])
def test_the_distance_counts_neighbors_of_the_same_side(shift):
    random = np.random.default_rng(0)
    x, y = random.normal(size=(50, 6)), random.normal(size=(70, 6)) + shift
    rows, side = standardized(np.concatenate([x, y])), np.repeat([0, 1], [50, 70])
    near = nearest(rows, rows, ~np.eye(120, dtype=bool), 5)
    same = np.mean([np.mean(side[row] == own) for row, own in zip(near, side, strict=True)])
    expected = (50 * 49 + 70 * 69) / (120 * 119)
    assert knn_distance(x, y).statistic == pytest.approx(same - expected, abs=1e-12)


def test_precision_recall_density_and_coverage_are_counted_in_balls():
    random = np.random.default_rng(1)
    x, y = random.normal(size=(40, 4)), 0.7 * random.normal(size=(30, 4)) + 0.5
    rows = standardized(np.concatenate([x, y]))
    ours, theirs = rows[:40], rows[40:]
    reach = [np.sort(np.linalg.norm(c[:, None] - c[None], axis=2), axis=1)[:, 5] for c in (ours, theirs)]
    gaps = np.linalg.norm(ours[:, None] - theirs[None], axis=2)
    in_theirs, in_ours = gaps <= reach[1], (gaps <= reach[0][:, None]).T
    details = knn_distance(x, y).details
    assert details["precision"] == pytest.approx(in_theirs.any(axis=1).mean())
    assert details["recall"] == pytest.approx(in_ours.any(axis=1).mean())
    assert details["density"] == pytest.approx(in_theirs.sum() / (5 * 40))
    assert details["coverage"] == pytest.approx(in_theirs.any(axis=0).mean())


def test_novelty_is_the_share_of_source_rows_that_lie_closer_to_their_own():
    random = np.random.default_rng(2)
    x, y = 2 * random.normal(size=(20, 3)), random.normal(size=(50, 3))
    source, rows = y / y.std(axis=0), x / y.std(axis=0)
    own = np.sort(np.linalg.norm(source[:, None] - source[None], axis=2), axis=1)[:, 5]
    far = np.sort(np.linalg.norm(rows[:, None] - source[None], axis=2), axis=1)[:, 4]
    assert novelty(x, y) == pytest.approx([100 * np.mean(own < one) for one in far])


@pytest.mark.parametrize("k", [1, 7])
@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize("grouped", [False, True], ids=["rows", "groups"])
def test_blocks_of_distances_lose_no_neighbor(k, metric, grouped, monkeypatch):
    monkeypatch.setattr("registry.index._ROWS_AT_ONCE", 5)
    random = np.random.default_rng(k)
    rows = random.normal(size=(43, 4)) + 1
    rows[20:23] = rows[2]
    groups = np.arange(43) // 6 if grouped else np.arange(43)
    scaled = rows / np.linalg.norm(rows, axis=1, keepdims=True) if metric == "cosine" else rows
    gaps = np.linalg.norm(scaled[:, None] - scaled[None], axis=2)
    gaps = gaps**2 / 2 if metric == "cosine" else gaps
    gaps[groups[:, None] == groups[None]] = np.inf
    distances, near = other_neighbors(rows, k, groups=groups, metric=metric)
    assert distances == pytest.approx(np.sort(gaps, axis=1)[:, :k], abs=2e-3)
    assert np.take_along_axis(gaps, near, 1) == pytest.approx(np.sort(gaps, axis=1)[:, :k], abs=1e-6)
