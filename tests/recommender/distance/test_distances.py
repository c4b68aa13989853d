"""What sets one distance apart from the others."""

import subprocess
import sys

import numpy as np
import pytest

import recommender
from recommender.distance.classifier import classifier
from recommender.distance.energy import energy
from recommender.distance.frechet import frechet
from recommender.distance.knn import knn_distance, novelty
from recommender.distance.mean_embedding import mean_embedding
from recommender.distance.mmd import mmd
from registry.errors import TooManyNeighbors


def clouds(n=200, d=8, shift=0.0, spread=1.0, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(n, d)), spread * random.normal(size=(n, d)) + shift


def test_the_unbiased_statistic_is_negative_in_many_null_draws():
    results = [mmd(*clouds(30, 4, seed=seed), permutations=1).statistic for seed in range(60)]
    assert 0.3 < np.mean(np.array(results) < 0) < 0.75
    assert np.mean(results) == pytest.approx(0, abs=3 * np.std(results) / np.sqrt(60))


@pytest.mark.parametrize("distance", [mmd, energy, knn_distance, frechet])
def test_a_change_of_spread_alone_is_seen(distance):
    same, wider = distance(*clouds()), distance(*clouds(spread=1.6))
    assert wider.value > max(3 * same.value, wider.details["null_high"])


def test_a_linear_classifier_is_blind_to_spread_and_says_so_by_its_band():
    result = classifier(*clouds(spread=1.6))
    assert result.value <= result.details["null_high"]


@pytest.mark.parametrize(("shift", "low", "high"), [(0.0, 0.4, 0.6), (1.0, 0.95, 1.0)])
def test_the_area_under_the_curve_is_told(shift, low, high):
    assert low <= classifier(*clouds(shift=shift)).details["auc"] <= high


def test_two_halves_of_one_sample_lie_below_frechets_own_halves():
    result = frechet(*clouds(100, 64))
    assert result.value < result.details["null_high"]


def test_the_mean_embedding_comes_near_the_biased_mmd():
    x, y = clouds(300, shift=0.5)
    exact = mmd(x, y, sigma=4.0, permutations=1).value
    assert np.mean([mean_embedding(x, y, sigma=4.0, seed=seed).value for seed in range(5)]) == pytest.approx(
        exact, rel=0.1
    )


def test_the_mean_embedding_is_the_lenses_own():
    from registry.sketch import Lens

    x, y = clouds(shift=0.5)
    mean, scale = x.mean(axis=0), x.std(axis=0)
    lens = Lens("l", "image", "l@0#b", mean, scale, 3.0, seed=7)
    apart = np.square(lens.embed(x).astype(float) - lens.embed(y)).sum()
    result = mean_embedding(x, y, sigma=3.0, mean=mean, scale=scale, seed=7)
    assert result.value == pytest.approx(apart, rel=1e-4)


def test_a_fixed_bandwidth_gives_the_same_scale_to_every_pair():
    x, y = clouds(shift=0.5)
    assert mmd(x, y, sigma=4.0).details["sigma"] == 4.0
    assert mmd(2 * x, 2 * y, sigma=8.0).value == pytest.approx(mmd(x, y, sigma=4.0).value)
    assert mmd(x / 4, y / 4, sigma=4.0).value < 0.5 * mmd(x, y, sigma=4.0).value
    assert mmd(2 * x, 2 * y).value == pytest.approx(mmd(x, y).value)


def test_the_null_band_holds_the_permuted_statistics_about_zero():
    for distance in (mmd, energy, knn_distance):
        details = distance(*clouds(shift=0.5)).details
        assert details["null_low"] < 0 < details["null_high"] < distance(*clouds(shift=0.5)).value


def test_rows_far_from_the_source_are_novel_and_its_own_are_not():
    x, y = clouds()
    assert novelty(y + 6, x).min() == 100
    assert novelty(y, x).mean() == pytest.approx(50, abs=12)


def test_a_row_inside_the_support_counts_for_precision_one_beyond_does_not():
    x, y = clouds()
    inside, beyond = knn_distance(0.3 * x, y).details, knn_distance(x + 8, y).details
    assert inside["precision"] > 0.95 > inside["recall"]
    assert beyond["precision"] == beyond["recall"] == beyond["coverage"] == 0


def test_no_neighbors_at_all_are_refused():
    with pytest.raises(TooManyNeighbors):
        knn_distance(*clouds(), k=0)
    with pytest.raises(TooManyNeighbors):
        novelty(*clouds(4), k=4)


def test_neighbors_of_one_group_do_not_count():
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 6)
    x, y = (random.normal(size=(30, 4))[groups] + 0.01 * random.normal(size=(180, 4)) for _ in range(2))
    assert knn_distance(x, y).value > 0.4
    assert knn_distance(x, y, groups=(groups, groups)).value < 0.15


def test_the_shelves_load_no_heavy_library():
    heavy = "'sklearn', 'scipy.stats', 'pandas', 'faiss', 'torch', 'transformers'"
    code = f"import recommender, sys; recommender.distances, recommender.scores; print({{{heavy}}} & set(sys.modules))"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "set()"


def test_the_shelves_are_public():
    assert recommender.distances["mmd"] is mmd
    assert recommender.scores["logme"](np.eye(6), np.arange(6) % 2) < 0
