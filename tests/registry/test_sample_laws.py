"""What holds for every sample: folds, splits and digests follow content, never position."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from registry.errors import TooFewRows
from registry.sample import Sample

FEW = settings(max_examples=20)
POOL = np.random.default_rng(0).integers(0, 256, (120, 3, 3), dtype=np.uint8)


Rows = tuple[list[str], list[int] | None]


@st.composite
def rows(draw: st.DrawFn, grouped: bool | None = None) -> Rows:
    """Labels of up to 60 rows in up to 6 classes, perhaps with groups that have nothing to do with the classes."""
    labels = draw(st.lists(st.sampled_from("abcdef"), min_size=2, max_size=60))
    together = draw(st.booleans()) if grouped is None else grouped
    return labels, draw(st.lists(st.integers(0, 11), min_size=len(labels), max_size=len(labels))) if together else None


def sample_of(drawn: Rows) -> Sample:
    """Every row a different image, though two of nine pixels may be alike by chance."""
    labels, groups = drawn
    return Sample.from_arrays(POOL[: len(labels)], labels, name="any", groups=groups, keep_duplicates=True)


def folds_of(sample: Sample, k: int, seed: int) -> np.ndarray:
    try:
        return sample.folds(k, seed)
    except TooFewRows:
        assume(False)
        raise


@FEW
@given(rows(), st.integers(2, 7), st.integers(0, 3))
@example((list("abcbac"), [2, 1, 1, 0, 0, 2]), 2, 0)  # dealt by balance alone, both groups of a class meet
def test_every_class_is_in_every_training_part(drawn, k, seed):
    sample = sample_of(drawn)
    folds = folds_of(sample, k, seed)
    for fold in range(folds.max() + 1):
        assert set(np.unique(sample.targets.values[folds != fold])) == set(range(len(sample.classes)))


@FEW
@given(rows(), st.integers(2, 7), st.integers(0, 3))
def test_folds_are_numbered_without_gaps_and_at_most_k(drawn, k, seed):
    sample = sample_of(drawn)
    folds = folds_of(sample, k, seed)
    held_out = np.unique(folds[folds >= 0])
    assert held_out.tolist() == list(range(len(held_out)))
    assert 2 <= len(held_out) <= k


@FEW
@given(rows(grouped=True), st.integers(2, 7))
def test_no_group_straddles_a_fold(drawn, k):
    sample = sample_of(drawn)
    folds = folds_of(sample, k, 0)
    for group in np.unique(sample.group_ids):
        assert len(set(folds[sample.group_ids == group])) == 1


@FEW
@given(rows(), st.integers(2, 7), st.integers(0, 3), st.randoms(use_true_random=False))
def test_folds_follow_the_rows_when_these_are_shuffled(drawn, k, seed, random):
    sample = sample_of(drawn)
    order = np.array(random.sample(range(len(sample)), len(sample)))
    assert (folds_of(sample, k, seed)[order] == sample.take(order).folds(k, seed)).all()


@FEW
@given(rows(grouped=False), st.integers(2, 6))
def test_ungrouped_folds_share_every_class_evenly(drawn, k):
    sample = sample_of(drawn)
    folds = folds_of(sample, k, 0)
    for place, count in enumerate(sample.counts.values()):
        mine = folds[sample.targets.values == place]
        if count == 1:
            assert mine.tolist() == [-1]
        elif folds.max() + 1 == k:
            per_fold = np.bincount(mine, minlength=k)
            assert per_fold.max() - per_fold.min() <= 1


def test_another_seed_gives_other_folds():
    sample = Sample.from_arrays(POOL, ["a", "b"] * 60, name="x")
    assert (sample.folds(seed=0) != sample.folds(seed=1)).any()
    assert (sample.folds(seed=0) == sample.folds(seed=0)).all()


@FEW
@given(rows(), st.randoms(use_true_random=False))
def test_the_digest_is_blind_to_row_order_and_the_order_is_not(drawn, random):
    sample = sample_of(drawn)
    order = np.array(random.sample(range(len(sample)), len(sample)))
    shuffled = sample.take(order)
    assert shuffled.digest == sample.digest
    assert (shuffled.order == sample.order) == (order == np.arange(len(order))).all()


@FEW
@given(
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from("ab"), st.integers(0, 3)), min_size=2, max_size=30),
    st.randoms(use_true_random=False),
)
def test_removing_duplicates_does_not_depend_on_their_order(rows_read, random):
    labels_of: dict[int, set[str]] = {}
    for image, label, _ in rows_read:
        labels_of.setdefault(image, set()).add(label)
    assume(any(len(labels) == 1 for labels in labels_of.values()))

    def read(order: list[tuple[int, str, int]]) -> Sample:
        images, labels, groups = zip(*order, strict=True)
        return Sample.from_arrays(POOL[list(images)], labels, name="x", groups=groups)

    one, other = read(rows_read), read(random.sample(rows_read, len(rows_read)))
    assert one.digest == other.digest
    assert one.health.exact_duplicates == other.health.exact_duplicates == len(rows_read) - len(one)


@FEW
@given(rows(), st.integers(1, 70), st.integers(0, 3))
def test_a_subsample_is_stratified_and_never_too_large(drawn, most, seed):
    sample = sample_of(drawn)
    small = sample.subsample(most, seed)
    assert len(small) == min(most, len(sample))
    for label, count in sample.counts.items():
        assert abs(small.counts[label] - count * len(small) / len(sample)) <= len(sample.classes)
        assert small.counts[label] or most < len(sample.classes)


@FEW
@given(rows(), st.integers(1, 70), st.randoms(use_true_random=False))
def test_a_subsample_follows_content(drawn, most, random):
    sample = sample_of(drawn)
    order = np.array(random.sample(range(len(sample)), len(sample)))
    assume(most >= len(sample.classes))
    assert sample.take(order).subsample(most).digest == sample.subsample(most).digest


@FEW
@given(rows(grouped=True), st.integers(5, 50))
def test_a_subsample_cuts_at_most_one_group_a_class(drawn, most):
    sample = sample_of(drawn)
    small = sample.subsample(most)
    whole = dict.fromkeys(zip(sample.labels, sample.groups, strict=True), 0)
    for pair in zip(sample.labels, sample.groups, strict=True):
        whole[pair] += 1
    got = dict.fromkeys(whole, 0)
    for pair in zip(small.labels, small.groups, strict=True):
        got[pair] += 1
    cut = [label for (label, group), count in got.items() if 0 < count < whole[label, group]]
    assert len(cut) == len(set(cut))


@FEW
@given(rows(grouped=True), st.integers(5, 50), st.randoms(use_true_random=False))
def test_a_spread_subsample_takes_a_second_row_of_a_group_after_one_of_each(drawn, most, random):
    sample = sample_of(drawn)
    small = sample.subsample(most, spread=True)
    assert len(small) == min(most, len(sample))
    having, taken = (Counter(zip(part.labels, part.groups, strict=True)) for part in (sample, small))
    for label in set(small.labels):
        counts = {pair: taken[pair] for pair in having if pair[0] == label}
        untouched = [pair for pair, count in counts.items() if count < having[pair]]
        assert max(counts.values()) <= 1 + min((counts[pair] for pair in untouched), default=max(counts.values()))
    order = np.array(random.sample(range(len(sample)), len(sample)))
    assume(most >= len(sample.classes))
    assert sample.take(order).subsample(most, spread=True).digest == small.digest


@FEW
@given(rows(), st.sampled_from([0.2, 0.25, 0.5]))
def test_a_split_keeps_groups_whole_and_every_class_in_training(drawn, share):
    sample = sample_of(drawn)
    try:
        train, test = sample.split(share)
    except TooFewRows:
        assume(False)
    assert len(train) + len(test) == len(sample)
    assert train.test is test
    assert all(train.counts.values())
    if sample.groups is not None:
        assert not set(train.groups) & set(test.groups)


def test_a_split_is_as_large_as_asked():
    sample = Sample.from_arrays(POOL, ["a"] * 80 + ["b"] * 40, name="x")
    for share in (0.1, 0.2, 0.25, 0.4, 0.5):
        for seed in range(3):
            _, test = sample.split(share, seed)
            assert test.counts == {"a": round(80 * share), "b": round(40 * share)}


@pytest.mark.parametrize("k", [2, 5])
def test_grouped_folds_are_stratified_as_well_as_groups_allow(k):
    labels, groups = ["a", "a", "b"] * 40, [row // 3 for row in range(120)]
    folds = Sample.from_arrays(POOL, labels, name="x", groups=groups).folds(k)
    assert np.bincount(folds).tolist() == [120 // k] * k


def test_a_large_group_that_training_cannot_spare_takes_no_fold():
    labels = ["a", "b"] * 10 + ["only here"] + ["a", "b"] * 2
    sample = Sample.from_arrays(POOL[:25], labels, name="x", groups=[0] * 21 + [1, 1, 2, 2])
    folds = sample.folds(2)
    assert folds[:21].tolist() == [-1] * 21
    assert sorted(folds[[21, 23]].tolist()) == [0, 1]


Labelled = tuple[str, list[object], list[int] | None]
"""A task, what is to be predicted of each row, and perhaps groups."""


@st.composite
def marked(draw: st.DrawFn, grouped: bool | None = None) -> Labelled:
    """Rows of up to five labels each, perhaps none, perhaps in groups."""
    labels = draw(st.lists(st.sets(st.sampled_from("abcde")), min_size=4, max_size=60).filter(any))
    together = draw(st.booleans()) if grouped is None else grouped
    groups = draw(st.lists(st.integers(0, 11), min_size=len(labels), max_size=len(labels))) if together else None
    return "multi-label", labels, groups


@st.composite
def measured(draw: st.DrawFn, grouped: bool | None = None) -> Labelled:
    """Rows of a quantity, perhaps with many equal ones, perhaps in groups."""
    values = draw(st.lists(st.integers(-3, 3) | st.floats(-1e6, 1e6), min_size=4, max_size=60))
    together = draw(st.booleans()) if grouped is None else grouped
    groups = draw(st.lists(st.integers(0, 11), min_size=len(values), max_size=len(values))) if together else None
    return "regression", values, groups


def task_sample(drawn: Labelled) -> Sample:
    task, labels, groups = drawn
    return Sample.from_arrays(POOL[: len(labels)], labels, name="any", task=task, groups=groups)


@FEW
@given(marked(), st.integers(2, 7), st.integers(0, 3))
def test_every_label_is_in_every_training_part(drawn, k, seed):
    sample = task_sample(drawn)
    folds = folds_of(sample, k, seed)
    for fold in range(folds.max() + 1):
        assert sample.targets.values[folds != fold].any(axis=0).all()


@FEW
@given(marked() | measured(), st.integers(2, 7), st.integers(0, 3), st.randoms(use_true_random=False))
def test_folds_of_other_tasks_are_numbered_keep_groups_and_follow_the_rows(drawn, k, seed, random):
    sample = task_sample(drawn)
    folds = folds_of(sample, k, seed)
    held_out = np.unique(folds[folds >= 0])
    assert held_out.tolist() == list(range(len(held_out)))
    assert 2 <= len(held_out) <= k
    for group in np.unique(sample.group_ids):
        assert len(set(folds[sample.group_ids == group])) == 1
    order = np.array(random.sample(range(len(sample)), len(sample)))
    assert (folds[order] == sample.take(order).folds(k, seed)).all()


@FEW
@given(marked(grouped=False), st.integers(2, 5))
def test_ungrouped_folds_share_every_label_about_evenly(drawn, k):
    sample = task_sample(drawn)
    folds = folds_of(sample, k, 0)
    for column in sample.targets.values.T:
        mine = np.bincount(folds[(column > 0) & (folds >= 0)], minlength=folds.max() + 1)
        assert mine.max() - mine.min() <= len(sample.classes) + 1


def test_rows_without_a_label_are_in_every_fold():
    sample = Sample.from_arrays(POOL, [("a",), ("b",), ()] * 40, name="x")
    folds = sample.folds()
    assert np.bincount(folds[~sample.targets.values.any(axis=1)]).tolist() == [8] * 5


def test_every_fold_of_a_quantity_spans_it():
    values = np.random.default_rng(0).exponential(size=120)
    sample = Sample.from_arrays(POOL, values, name="x")
    folds = sample.folds()
    fifths = np.searchsorted(np.quantile(values, [0.2, 0.4, 0.6, 0.8]), sample.targets.values)
    for fold in range(5):
        assert np.ptp(np.bincount(fifths[folds == fold], minlength=5)) <= 1


def test_two_groups_of_other_quantities_are_two_folds():
    sample = Sample.from_arrays(POOL[:20], np.arange(20) / 2, name="x", groups=[0] * 10 + [1] * 10)
    assert sorted(set(sample.folds())) == [0, 1]


@FEW
@given(marked() | measured(), st.sampled_from([0.2, 0.25, 0.5]))
def test_a_split_of_other_tasks_keeps_groups_whole_and_every_label_in_training(drawn, share):
    sample = task_sample(drawn)
    try:
        train, test = sample.split(share)
    except TooFewRows:
        assume(False)
    assert len(train) + len(test) == len(sample)
    assert train.classes == test.classes == sample.classes
    assert all(train.counts.values())
    if sample.groups is not None:
        assert not set(train.groups) & set(test.groups)


@FEW
@given(marked() | measured(), st.integers(1, 70), st.randoms(use_true_random=False))
def test_a_subsample_of_other_tasks_is_as_large_as_asked_and_follows_content(drawn, most, random):
    sample = task_sample(drawn)
    small = sample.subsample(most)
    assert len(small) == min(most, len(sample))
    order = np.array(random.sample(range(len(sample)), len(sample)))
    assume(most >= 7)
    assert sample.take(order).subsample(most).digest == small.digest


def test_a_subsample_holds_labels_and_quantities_in_proportion():
    marks = Sample.from_arrays(POOL, [("a", "b"), ("a",), ("a",), ()] * 30, name="x").subsample(40)
    assert marks.counts == {"a": 30, "b": 10}
    sizes = Sample.from_arrays(POOL, np.arange(120) / 7, name="x").subsample(40)
    assert np.histogram(sizes.targets.values, bins=5, range=(0, 120 / 7))[0].tolist() == [8] * 5
