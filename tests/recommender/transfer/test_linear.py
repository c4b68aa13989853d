"""The linear head: out of fold, and as a warm start."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.transfer.linear import fit_head, linear, out_of_fold
from registry import threads
from registry.cards import Task
from registry.errors import LengthMismatch, NotFinite, SingleClass, WidthMismatch
from registry.targets import Targets


def data(rows=90, columns=10, classes=3, separation=1.0, seed=0):
    random = np.random.default_rng(seed)
    labels = np.arange(rows) % classes
    return separation * random.normal(size=(classes, columns))[labels] + random.normal(size=(rows, columns)), labels


@pytest.mark.parametrize("head", ["ridge", "logistic"])
def test_a_head_predicts_rows_that_it_has_not_seen(head):
    features, labels = data()
    held_out = out_of_fold(features, labels, np.arange(90) // 3 % 5, head=head)
    assert np.mean(held_out.predicted == labels) > 0.9
    assert held_out.probabilities.sum(axis=1) == pytest.approx(1)
    assert np.array_equal(held_out.probabilities.argmax(axis=1), held_out.predicted)


@pytest.mark.parametrize("head", ["ridge", "logistic"])
def test_labels_that_features_do_not_tell_are_guessed_no_better_than_by_chance(head):
    features, labels = data(200, 300, 4, separation=0)
    held_out = out_of_fold(features, labels, np.arange(200) // 4 % 5, head=head)
    assert np.mean(held_out.predicted == labels) < 0.36
    assert held_out.probabilities.max(axis=1).mean() < 0.5


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
    held_out = out_of_fold(features, labels, folds)
    assert held_out.predicted[0] == -1
    assert not held_out.probabilities[0].any()
    assert held_out.probabilities.shape == (61, 4)
    assert held_out.probabilities[1:, 3].max() > 0


@pytest.mark.parametrize("task", ["classes", "labels", "quantity"])
def test_other_rows_are_predicted_by_the_head_of_every_fold(task):
    features, labels = data(120)
    targets = {"classes": labels, "labels": several(np.eye(3)[labels]), "quantity": quantity(features[:, 0])}[task]
    folds, others = np.arange(120) // 3 % 4, data(7, seed=1)[0]
    held_out = out_of_fold(features, targets, folds, others=others)
    assert out_of_fold(features, targets, folds).of_others.shape[:2] == (4, 0)
    for fold in range(4):
        beside = np.concatenate([features[folds != fold], others])
        known = Targets.of(targets).take(folds != fold)
        unknown = np.zeros_like(known.values, shape=(7, *known.values.shape[1:]))
        alone = out_of_fold(
            beside,
            known.followed_by(replace(known, values=unknown)),
            np.repeat([-1, 0], [len(known.values), 7]),
        )
        assert held_out.of_others[fold] == pytest.approx(alone.probabilities[-7:])
    with pytest.raises(WidthMismatch):
        out_of_fold(features, targets, folds, others=others[:, 1:])


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


def test_a_head_takes_features_of_any_scale_and_columns_without_spread():
    features, labels = data()
    features = np.hstack([features * 1e4 + 7, np.ones((90, 1))])
    head = fit_head(features, labels, 3)
    assert np.mean(head.logits(features).argmax(axis=1) == labels) > 0.9
    assert not head.weight[:, -1].any()


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


@pytest.mark.parametrize("rare", [1, 2])
def test_classes_of_few_rows_do_not_take_the_weights_from_all_others(rare):
    """Forty classes, a third of one or two rows: the head is as good as nearest means."""
    random = np.random.default_rng(0)
    codes = np.repeat(np.arange(40), [rare if code % 3 == 0 else 4 for code in range(40)])
    centers = 1.2 * random.normal(size=(40, 64))
    features, new = (centers[codes] + random.normal(size=(len(codes), 64)) for _ in range(2))
    means = np.stack([features[codes == code].mean(axis=0) for code in range(40)])
    nearest = np.square(new[:, None] - means).sum(axis=2).argmin(axis=1)
    predicted = fit_head(features, codes, 40).logits(new).argmax(axis=1)
    assert (predicted == codes).mean() > (nearest == codes).mean() - 0.05


def test_classes_of_one_row_do_not_take_the_confidence_from_all_others():
    random = np.random.default_rng(0)
    codes = np.concatenate([np.repeat(np.arange(5), 8), np.arange(5, 35)])
    features = 0.8 * random.normal(size=(35, 64))[codes] + random.normal(size=(len(codes), 64))
    known = codes < 5
    folds = np.where(known, np.arange(len(codes)) % 5, -1)
    sure = out_of_fold(features, codes, folds).probabilities[known].max(axis=1)
    assert sure.mean() > 0.95


def test_a_number_is_scored_by_r_squared():
    features, _ = data()
    assert linear(features, Targets(Task.REGRESSION, 3 + features @ np.arange(10.0))) > 0.999


def test_a_small_head_is_fitted_on_one_thread(monkeypatch):
    from threadpoolctl import threadpool_info

    from recommender.transfer import linear as room

    seen, minimize = [], room.minimize

    def watched(*passed, **settings):
        seen.extend(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
        return minimize(*passed, **settings)

    threads._threadpools.cache_clear()  # other tests may have loaded libraries since
    monkeypatch.setattr(room, "minimize", watched)
    random = np.random.default_rng(0)
    room.fit_head(random.normal(size=(40, 6)), np.arange(40) % 2, 2)
    assert set(seen) == {1}


def marks(rows=200, columns=12, seed=0):
    """Three labels that are told by features, one of them rare, and a quantity."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(rows, columns))
    values = features @ random.normal(size=(columns, 4)) + 0.5 * random.normal(size=(rows, 4))
    return features, (values[:, :3] > [0, 1, 4]).astype(float), 1000 + 50 * values[:, 3]


def several(labels):
    return Targets(Task.MULTI_LABEL, labels)


def quantity(values):
    return Targets(Task.REGRESSION, values)


@pytest.mark.parametrize("head", ["ridge", "logistic"])
def test_each_label_is_told_on_its_own(head):
    features, labels, _ = marks()
    held_out = out_of_fold(features, several(labels), np.arange(200) % 5, head=head)
    assert (held_out.predicted == labels).mean(axis=0).min() > 0.85
    assert np.array_equal(held_out.predicted, held_out.probabilities > 0.5)
    alone = out_of_fold(features, several(labels[:, :1]), np.arange(200) % 5, head=head)
    assert held_out.probabilities[:, :1] == pytest.approx(alone.probabilities, abs=1e-3)


@pytest.mark.parametrize("head", ["ridge", "logistic"])
def test_labels_are_as_frequent_as_they_are_said_to_be(head):
    labels = marks(600)[1]
    held_out = out_of_fold(
        np.random.default_rng(1).normal(size=(600, 12)), several(labels), np.arange(600) % 5, head=head
    )
    assert held_out.probabilities.mean(axis=0) == pytest.approx(labels.mean(axis=0), abs=0.02)
    assert held_out.probabilities.std(axis=0).max() < 0.1


def test_a_label_that_all_or_no_rows_have_is_said_of_all_or_none():
    features, labels, _ = marks()
    labels = np.hstack([labels[:, :1], np.zeros((200, 1)), np.ones((200, 1))])
    held_out, head = out_of_fold(features, several(labels), np.arange(200) % 5), fit_head(features, several(labels), 3)
    for predicted in (held_out.predicted, head.logits(features) > 0):
        assert predicted[:, 1:].tolist() == [[0, 1]] * 200
    assert np.isfinite(head.logits(features)).all()


def test_labels_get_a_logistic_regression_each():
    features, labels, _ = marks()
    head = fit_head(features, several(labels), 3)
    fresh = marks(seed=0)[0]
    assert ((head.logits(fresh) > 0) == labels).mean() > 0.9
    alone = fit_head(features, several(labels[:, 2:]), 1)
    assert head.logits(features)[:, 2:] == pytest.approx(alone.logits(features), abs=0.05)


def test_a_quantity_is_told_in_its_own_unit():
    features, _, values = marks()
    held_out = out_of_fold(features, quantity(values), np.arange(200) % 5)
    error = np.square(held_out.predicted - values).sum() / np.square(values - values.mean()).sum()
    assert error < 0.1
    assert fit_head(features, quantity(values), 1).logits(features)[:, 0] == pytest.approx(values, abs=4 * 50)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(moved=st.floats(-1e6, 1e6), shift=st.floats(-1e3, 1e3))
@pytest.mark.parametrize("columns", [12, 300], ids=["n > d", "n < d"])
def test_a_constant_added_to_a_quantity_is_added_to_what_is_told_and_one_added_to_features_is_not(
    columns, moved, shift
):
    features, _, values = marks(200, columns)
    folds, values = np.arange(200) % 5, values / 50
    report = out_of_fold(features, quantity(values), folds).predicted
    assert out_of_fold(features + shift, quantity(values + moved), folds).predicted - moved == pytest.approx(
        report, abs=1e-6
    )
    head, other = fit_head(features, quantity(values), 1), fit_head(features + shift, quantity(values + moved), 1)
    assert other.logits(features + shift) - moved == pytest.approx(head.logits(features), abs=1e-6)


def test_a_quantity_that_features_do_not_tell_is_guessed_at_its_mean():
    features, _, values = marks(200, 300)
    held_out = out_of_fold(np.random.default_rng(1).normal(size=features.shape), quantity(values), np.arange(200) % 5)
    assert np.abs(held_out.predicted - values.mean()).mean() < 0.3 * values.std()


@pytest.mark.parametrize("kind", [1, 2])
def test_targets_of_a_row_never_reach_its_own_prediction(kind):
    report = marks()
    features, targets, folds = report[0], report[kind], np.arange(200) % 5
    spoiled, of_task = targets.copy(), {1: several, 2: quantity}[kind]
    spoiled[folds == 2] = spoiled[folds == 2][::-1] + (kind == 2)
    before, after = (out_of_fold(features, of_task(y), folds).probabilities[folds == 2] for y in (targets, spoiled))
    assert np.array_equal(before, after)


def test_a_row_outside_the_folds_is_no_prediction_in_any_task():
    features, labels, values = marks()
    folds = np.r_[-1, np.arange(199) % 5]
    for targets in (several(labels), quantity(values)):
        held_out = out_of_fold(features, targets, folds)
        assert (held_out.predicted[0] == -1).all()
        assert not held_out.probabilities[0].any()
