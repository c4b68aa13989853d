"""What every score promises. A plug-in subclasses `ScoreContract` and gives the fixture `scored`."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recommender.testing.odd_arrays import FLOAT_TOLERANCE, ODD_LABELS, ODD_ROWS, a_finite_number_or_a_named_error
from recommender.transfer import ComparableScore, ScoreFunction
from registry.cards import Task
from registry.errors import LengthMismatch, NotFinite, NotRows, SingleClass, TooFewRows, UnusableLabels
from registry.targets import Targets


@dataclass(frozen=True)
class Scored:
    """A score, and how rows of features become what it reads: themselves, or a source head's probabilities."""

    score: ScoreFunction
    reads_probabilities: bool = False
    withstands_noise: bool = True
    """Whether noise in many columns must not beat signal in few."""

    def __call__(self, features, labels, **settings):
        return self.score(self.readable(features), labels, **settings)

    def readable(self, features):
        return softmax(features) if self.reads_probabilities else features


def softmax(rows):
    """Class probabilities of rows of logits."""
    raised = np.exp(np.clip(rows, -50, 50) - np.clip(rows, -50, 50).max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def labelled_rows(rows=60, columns=12, classes=3, separation=1.0, seed=0):
    """Rows around class means that are so far apart, and their classes."""
    random = np.random.default_rng(seed)
    labels = np.arange(rows) % classes
    return separation * random.normal(size=(classes, columns))[labels] + random.normal(size=(rows, columns)), labels


def two_classes(columns, separation, seed, rows=90):
    """All columns tell the two classes apart, and alike."""
    labels = np.arange(rows) % 2
    return separation * (2.0 * labels[:, None] - 1) + np.random.default_rng(seed).normal(size=(rows, columns)), labels


def lost_to_noise(scored, draws=40):
    """How often pure noise in 768 columns scores at least as high as a signal in 64, both with 60 rows.

    The signal: four balanced classes whose means are drawn with standard deviation .7, noise of 1 around them.
    """
    lost = 0
    labels = np.repeat(np.arange(4), 15)
    for seed in range(draws):
        random = np.random.default_rng(seed)
        noise = random.normal(size=(60, 768))
        signal = 0.7 * random.normal(size=(4, 64))[labels] + random.normal(size=(60, 64))
        lost += scored(noise, labels) >= scored(signal, labels)
    return lost


few_examples = settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)


class ScoreContract:
    """The laws; every test takes the score under test, as a `Scored`."""

    def test_it_keeps_the_promise(self, scored):
        assert isinstance(scored.score, ScoreFunction)

    def test_a_comparable_score_stays_on_the_scale_of_the_metrics_that_it_estimates(self, scored):
        if not isinstance(scored.score, ComparableScore):
            pytest.skip("it does not declare itself comparable")
        assert scored.score.metrics
        assert 0 < scored.score.standard_error < 1
        for apart in (0, 0.5, 2):
            value = scored(*labelled_rows(90, 12, 3, apart))
            assert max(metric.lowest for metric in scored.score.metrics) <= value <= 1

    def test_it_is_a_plain_number(self, scored):
        assert type(scored(*labelled_rows())) is float

    def test_it_grows_with_separation(self, scored):
        draws = [[scored(*labelled_rows(90, 12, 3, apart, seed)) for seed in range(5)] for apart in (0, 0.5, 2)]
        means = [np.mean(draw) for draw in draws]
        assert means == sorted(means)

    @pytest.mark.parametrize("columns", [1, 2, 12])
    def test_it_grows_as_two_classes_part_along_one_direction(self, scored, columns):
        """Where a class has no constant of its own, that direction is lost."""
        if scored.reads_probabilities:
            pytest.skip("it reads probabilities, not columns")
        draws = [[scored(*two_classes(columns, apart, seed)) for seed in range(5)] for apart in (0, 0.5, 2)]
        means = [np.mean(draw) for draw in draws]
        assert means == sorted(means)
        assert means[0] < means[2]

    @few_examples
    @given(constants=st.lists(st.floats(-1000, 1000), min_size=12, max_size=12))
    def test_constants_added_to_the_columns_change_nothing(self, scored, constants):
        if scored.reads_probabilities:
            pytest.skip("it reads probabilities, not columns")
        features, labels = labelled_rows()
        assert scored(features + np.array(constants), labels) == pytest.approx(scored(features, labels), rel=1e-4)

    @few_examples
    @given(order=st.randoms(use_true_random=False))
    def test_it_is_blind_to_the_order_of_the_rows(self, scored, order):
        features, labels = labelled_rows()
        mixed = order.sample(range(len(labels)), len(labels))
        assert scored(features[mixed], labels[mixed]) == pytest.approx(scored(features, labels), rel=1e-6, abs=1e-9)

    @few_examples
    @given(names=st.lists(st.text(min_size=1, max_size=5), min_size=3, max_size=3, unique=True))
    def test_it_is_blind_to_the_names_of_the_classes(self, scored, names):
        features, labels = labelled_rows(separation=0.5)
        named = np.array(names)[labels]
        assert scored(features, named) == pytest.approx(scored(features, labels), rel=1e-6, abs=1e-9)

    def test_targets_that_carry_their_task_score_like_their_values(self, scored):
        features, labels = labelled_rows(separation=0.5)
        carried = Targets(Task.CLASSIFICATION, labels)
        assert scored(features, carried) == pytest.approx(scored(features, labels), rel=1e-9, abs=1e-12)

    def test_it_leaves_its_inputs_as_they_were(self, scored):
        features, labels = labelled_rows()
        before = features.copy()
        scored(features, labels)
        assert np.array_equal(features, before)

    def test_single_precision_and_torch_tensors_will_do(self, scored):
        features, labels = labelled_rows()
        readable = scored.readable(features)
        expected = pytest.approx(scored.score(readable, labels), rel=FLOAT_TOLERANCE, abs=FLOAT_TOLERANCE)
        assert scored.score(readable.astype(np.float32), labels) == expected
        assert scored.score(torch.from_numpy(readable), torch.from_numpy(labels)) == expected

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda rows: np.hstack([rows, np.full((len(rows), 2), 1e8)]),
            lambda rows: rows * np.array([1e8, *[1.0] * (rows.shape[1] - 1)]),
            lambda rows: np.repeat(rows[:10], 6, axis=0),
            lambda rows: np.hstack([rows] * 20),
            lambda rows: np.hstack([np.round(rows), np.round(rows)]),
        ],
        ids=["constant columns", "a column at 1e8", "duplicated rows", "rows fewer than columns", "dependent columns"],
    )
    @pytest.mark.parametrize("odd", [False, True], ids=["balanced", "a class with one row"])
    def test_hard_rows_stay_finite(self, scored, spoil, odd):
        features, labels = labelled_rows()
        labels = np.where(np.arange(len(labels)) == 0, 9, labels) if odd else labels
        assert np.isfinite(scored(spoil(features), labels))

    def test_two_rows_of_two_classes_stay_finite(self, scored):
        features, _ = labelled_rows()
        assert np.isfinite(scored(features[:2], np.array([0, 1])))

    def test_a_thousand_classes_stay_finite(self, scored):
        features, labels = labelled_rows(2000, 8, 1000)
        assert np.isfinite(scored(features, labels))

    def test_constant_columns_change_nothing(self, scored):
        if not scored.withstands_noise:
            pytest.skip("it reads probabilities, or correlates the columns of a row")
        features, labels = labelled_rows(separation=0.5)
        wide = np.hstack([features, np.full((len(features), 3), 7.0)])
        assert scored(wide, labels) == pytest.approx(scored(features, labels), rel=1e-6, abs=1e-9)

    def test_units_of_the_columns_do_not_matter(self, scored):
        if scored.reads_probabilities:
            pytest.skip("it reads probabilities, not columns")
        features, labels = labelled_rows(separation=0.5)
        units = np.logspace(-4, 8, features.shape[1])
        assert scored(features * units - 3 * units, labels) == pytest.approx(scored(features, labels), rel=1e-4)

    def test_noise_in_many_columns_does_not_beat_signal_in_few(self, scored):
        lost = lost_to_noise(scored)
        if not scored.withstands_noise:
            pytest.skip(f"it does not promise to: noise beats signal in {lost} of 40 draws")
        assert lost <= 1

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_a_value_that_is_not_finite_is_refused_with_its_row(self, scored, value):
        features, labels = labelled_rows()
        readable = scored.readable(features)
        readable[7, 2] = value
        with pytest.raises(NotFinite, match="row 7"):
            scored.score(readable, labels)

    def test_one_class_is_refused(self, scored):
        features, labels = labelled_rows()
        with pytest.raises(SingleClass):
            scored(features, np.zeros_like(labels))

    @pytest.mark.parametrize("rows", [0, 1])
    def test_fewer_than_two_rows_are_refused(self, scored, rows):
        features, labels = labelled_rows()
        with pytest.raises(TooFewRows, match=f"need 2 rows, have {rows}"):
            scored.score(scored.readable(features)[:rows], labels[:rows])

    def test_features_without_columns_are_refused(self, scored):
        with pytest.raises(NotRows):
            scored.score(np.zeros((4, 0)), np.arange(4))

    def test_labels_of_another_length_are_refused(self, scored):
        features, labels = labelled_rows()
        with pytest.raises(LengthMismatch):
            scored(features, labels[1:])

    def test_groups_of_another_length_are_refused(self, scored):
        features, labels = labelled_rows()
        with pytest.raises(LengthMismatch):
            scored(features, labels, groups=labels[1:])

    @pytest.mark.parametrize("odd", [None, 1.5, "two"])
    def test_labels_of_mixed_kinds_are_refused_with_their_rows(self, scored, odd):
        features, labels = labelled_rows()
        mixed = np.array([*labels[:-1].tolist(), odd], dtype=object)
        with pytest.raises(UnusableLabels, match="rows 59"):
            scored(features, mixed)

    @pytest.mark.parametrize("spoil", ODD_ROWS.values(), ids=ODD_ROWS.keys())
    def test_odd_features_have_a_finite_score_or_a_named_error(self, scored, spoil):
        features, labels = labelled_rows(30, 4)
        a_finite_number_or_a_named_error(lambda: scored.score(spoil(scored.readable(features)), labels))

    @pytest.mark.parametrize("spoil", ODD_LABELS.values(), ids=ODD_LABELS.keys())
    def test_odd_labels_have_a_finite_score_or_a_named_error(self, scored, spoil):
        features, labels = labelled_rows(30, 4)
        a_finite_number_or_a_named_error(lambda: scored(features, spoil(labels)))

    @pytest.mark.parametrize("spoil", ODD_LABELS.values(), ids=ODD_LABELS.keys())
    def test_odd_groups_have_a_finite_score_or_a_named_error(self, scored, spoil):
        features, labels = labelled_rows(30, 4)
        a_finite_number_or_a_named_error(lambda: scored(features, labels, groups=spoil(np.arange(30) % 5)))
