"""The linear head: out of fold, and as a warm start."""

import numpy as np
import pytest

from recommender.transfer.linear import fit_head, linear, out_of_fold
from registry.errors import LengthMismatch, NotFinite, SingleClass, WidthMismatch


def data(rows=90, columns=10, classes=3, separation=1.0, seed=0):
    random = np.random.default_rng(seed)
    labels = np.arange(rows) % classes
    return separation * random.normal(size=(classes, columns))[labels] + random.normal(size=(rows, columns)), labels


@pytest.mark.parametrize("head", ["ridge", "logistic"])
def test_a_head_predicts_rows_that_it_has_not_seen(head):
    features, labels = data()
    found = out_of_fold(features, labels, np.arange(90) // 3 % 5, head=head)
    assert np.mean(found.predicted == labels) > 0.9
    assert found.probabilities.sum(axis=1) == pytest.approx(1)
    assert np.array_equal(found.probabilities.argmax(axis=1), found.predicted)


@pytest.mark.parametrize("head", ["ridge", "logistic"])
def test_labels_that_features_do_not_tell_are_guessed_no_better_than_by_chance(head):
    features, labels = data(200, 300, 4, separation=0)
    found = out_of_fold(features, labels, np.arange(200) // 4 % 5, head=head)
    assert np.mean(found.predicted == labels) < 0.36
    assert found.probabilities.max(axis=1).mean() < 0.5


def test_the_label_of_a_row_never_reaches_its_own_prediction():
    features, labels = data()
    folds = np.arange(90) // 3 % 5
    spoiled = np.where(folds == 2, (labels + 1) % 3, labels)
    before, after = (out_of_fold(features, y, folds).probabilities[folds == 2] for y in (labels, spoiled))
    assert np.array_equal(before, after)


def test_a_row_outside_the_folds_is_in_training_always():
    features, labels = data(61)
    labels[0] = 3
    folds = np.r_[-1, np.arange(60) // 3 % 5]
    found = out_of_fold(features, labels, folds)
    assert found.predicted[0] == -1
    assert not found.probabilities[0].any()
    assert found.probabilities.shape == (61, 4)
    assert found.probabilities[1:, 3].max() > 0


def test_a_class_missing_from_training_is_never_predicted():
    features, labels = data(60)
    labels[:3] = 3
    folds = np.r_[[0] * 3, np.arange(57) // 3 % 5]
    assert not out_of_fold(features, labels, folds).probabilities[folds == 0, 3].any()


def test_folds_that_leave_one_class_to_train_on_are_refused():
    features, labels = data(20, classes=2)
    with pytest.raises(SingleClass):
        out_of_fold(features, labels, labels)


@pytest.mark.parametrize("spoil", [{"targets": np.zeros(3, int)}, {"folds": np.zeros(3, int)}])
def test_targets_and_folds_of_another_length_are_refused(spoil):
    features, labels = data()
    with pytest.raises(LengthMismatch):
        out_of_fold(features, **{"targets": labels, "folds": labels, **spoil})


def test_the_folded_head_takes_features_as_they_are():
    features, labels = data()
    features = np.hstack([features * 1e4 + 7, np.ones((90, 1))])
    head = fit_head(features, labels, 3)
    weight, bias = head.folded()
    assert features @ weight.T + bias == pytest.approx(head.logits(features), abs=1e-6)
    assert np.mean(head.logits(features).argmax(axis=1) == labels) > 0.9
    assert not weight[:, -1].any()


def test_a_class_that_the_head_knows_of_but_never_saw_is_the_unlikeliest():
    features, labels = data()
    head = fit_head(features, labels, 5)
    assert head.weight.shape == (5, 10)
    assert head.logits(features)[:, 3:].max() < head.logits(features)[:, :3].max(axis=1).min()


def test_noise_is_fitted_with_a_heavy_hand():
    features, labels = data(80, 400, separation=0)
    raised = np.exp(fit_head(features, labels, 3).logits(data(80, 400, separation=0, seed=1)[0]))
    assert (raised / raised.sum(axis=1, keepdims=True)).max(axis=1).mean() < 0.45


def test_other_features_than_it_was_fitted_on_are_refused():
    head = fit_head(*data(), 3)
    with pytest.raises(WidthMismatch):
        head.logits(np.ones((2, 9)))
    with pytest.raises(NotFinite):
        head.logits(np.full((2, 10), np.nan))


def test_folds_of_the_head_keep_groups_whole():
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 4)
    labels = random.integers(0, 2, 30)[groups]
    features = random.normal(size=(30, 40))[groups] + 0.01 * random.normal(size=(120, 40))
    loose, tight = fit_head(features, labels, 2), fit_head(features, labels, 2, groups=groups)
    assert np.abs(tight.weight).max() < np.abs(loose.weight).max()


def test_a_number_is_scored_by_r_squared():
    features, _ = data()
    assert linear(features, 3 + features @ np.arange(10.0)) > 0.999


def test_a_small_head_is_fitted_on_one_thread_and_a_large_one_on_half_of_them(monkeypatch):
    from threadpoolctl import threadpool_info

    from recommender.transfer import linear as room

    seen, minimize = [], room.minimize

    def watched(*given, **settings):
        seen.extend(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
        return minimize(*given, **settings)

    monkeypatch.setattr(room, "minimize", watched)
    random = np.random.default_rng(0)
    room.fit_head(random.normal(size=(40, 6)), np.arange(40) % 2, 2)
    assert set(seen) == {1}
    monkeypatch.setattr(room.os, "cpu_count", lambda: 16)
    assert [room._threads_for(products) for products in (10**6, 10**9)] == [1, 8]
