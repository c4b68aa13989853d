"""The scores that are not run by default, against their definitions written out in loops."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import spearmanr
from sklearn.decomposition import PCA

from recommender.transfer.gbc import gbc
from recommender.transfer.leep import leep
from recommender.transfer.nce import nce
from recommender.transfer.parc import parc
from recommender.transfer.transrate import transrate


def source_head():
    random = np.random.default_rng(0)
    return random.dirichlet(np.ones(6), size=50), random.integers(0, 3, 50)


def rows_and_labels():
    random = np.random.default_rng(1)
    labels = np.arange(45) % 3
    return random.normal(size=(3, 8))[labels] + random.normal(size=(45, 8)), labels


def standardized(rows):
    return (rows - rows.mean(axis=0)) / rows.std(axis=0)


def test_leep_sums_over_source_classes():
    head, labels = source_head()
    passed = [[head[labels == y, z].sum() / head[:, z].sum() for z in range(6)] for y in range(3)]
    likelihood = [sum(passed[y][z] * row[z] for z in range(6)) for row, y in zip(head, labels, strict=True)]
    assert leep(head, labels) == pytest.approx(np.mean(np.log(likelihood)), abs=1e-12)


def test_nce_counts_labels_under_each_likeliest_source_class():
    head, labels = source_head()
    report = head.argmax(axis=1)
    likelihood = [np.mean(labels[report == z] == y) for z, y in zip(report, labels, strict=True)]
    assert nce(head, labels) == pytest.approx(np.mean(np.log(likelihood)), abs=1e-12)


def test_transrate_is_a_difference_of_log_determinants_each_about_its_own_mean():
    features, labels = rows_and_labels()
    rows = standardized(features)

    def rate(part):
        return 0.5 * np.linalg.slogdet(np.eye(8) + np.cov(part.T, bias=True) / 1e-4)[1]

    expected = rate(rows) - np.mean([rate(rows[labels == y]) for y in range(3)])
    assert transrate(features, labels) == pytest.approx(expected, rel=1e-9)


def test_parc_is_a_rank_correlation_of_distances():
    features, labels = rows_and_labels()
    pairs = np.tril_indices(45, -1)
    report = cdist(standardized(features), standardized(features), "cosine")[pairs]
    wanted = (labels[:, None] != labels)[pairs]
    assert parc(features, labels) == pytest.approx(100 * spearmanr(report, wanted).statistic, rel=1e-9)


def test_gbc_sums_the_overlap_of_every_ordered_pair_of_classes():
    features, labels = rows_and_labels()
    rows = PCA().fit_transform(standardized(features))
    means = [rows[labels == y].mean(axis=0) for y in range(3)]
    spreads = [(15 * rows[labels == y].var(axis=0) + rows.var(axis=0)) / 16 for y in range(3)]
    total = 0.0
    for i in range(3):
        for j in range(3):
            both = (spreads[i] + spreads[j]) / 2
            apart = np.sum((means[i] - means[j]) ** 2 / both) / 8
            wider = 0.5 * np.log(np.prod(both) / np.sqrt(np.prod(spreads[i]) * np.prod(spreads[j])))
            total += np.exp(-apart - wider) if i != j else 0
    assert gbc(features, labels) == pytest.approx(-total, rel=1e-9)
