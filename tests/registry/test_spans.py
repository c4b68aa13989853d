"""Spans of tags, and the F1 of spans, as the CoNLL shared tasks count them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.cards import Metric
from registry.errors import LengthMismatch, UnfitMetric, UnusableLabels
from registry.metrics import score, weighted_scores
from registry.spans import Scheme, Span, astray, scheme_of, spans_of

TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
rows_of = st.lists(st.lists(st.sampled_from(TAGS), min_size=1, max_size=8), min_size=1, max_size=6)


def rows(*tags):
    held = np.empty(len(tags), object)
    held[:] = [np.array(row.split() if isinstance(row, str) else row) for row in tags] if len(tags) > 1 else None
    if len(tags) == 1:
        held[0] = np.array(tags[0].split())
    return held


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("O O", ()),
        ("B-PER I-PER O", (Span("PER", 0, 2),)),
        ("B-PER B-PER", (Span("PER", 0, 1), Span("PER", 1, 2))),
        ("I-PER I-PER B-PER", (Span("PER", 0, 2), Span("PER", 2, 3))),
        ("B-PER I-LOC", (Span("PER", 0, 1), Span("LOC", 1, 2))),
        ("O I-LOC", (Span("LOC", 1, 2),)),
        ("B-PER I-PER E-PER S-LOC", (Span("PER", 0, 3), Span("LOC", 3, 4))),
        ("B-PER L-PER U-LOC U-LOC", (Span("PER", 0, 2), Span("LOC", 2, 3), Span("LOC", 3, 4))),
        ("S-PER I-PER", (Span("PER", 0, 1), Span("PER", 1, 2))),
    ],
)
def test_spans_are_read_as_conlleval_reads_them(tags, spans):
    assert spans_of(tags.split()) == spans


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        ("O B-PER I-PER", Scheme.IOB2),
        ("O B-PER I-PER I-LOC", Scheme.IOB1),
        ("O I-PER", Scheme.IOB1),
        ("O B-PER I-PER E-PER S-PER", Scheme.BIOES),
        ("O U-PER", Scheme.BIOES),
        ("NOUN VERB O", None),
        ("O", None),
    ],
)
def test_schemes_are_recognized(tags, scheme):
    assert scheme_of(tags.split()) is scheme


def test_tags_of_a_scheme_beside_tags_of_none_are_named():
    with pytest.raises(UnusableLabels, match="'PER'"):
        scheme_of(["O", "B-LOC", "PER"])


def test_tags_that_go_on_with_nothing_are_counted():
    assert astray([["O", "I-PER", "I-PER"], ["B-PER", "I-LOC"], ["B-PER", "I-PER"], ["I-LOC"]]) == 3


def test_entity_f1_counts_spans_whose_kind_and_ends_are_right():
    truth = rows("B-PER I-PER O B-LOC", "O B-ORG I-ORG", "O O")
    predicted = rows("B-PER I-PER O B-PER", "O B-ORG O", "B-LOC O")
    # true: PER 0-2, LOC 3-4, ORG 1-3; predicted: PER 0-2, PER 3-4, ORG 1-2, LOC 0-1; right: PER 0-2
    assert score(Metric.ENTITY_F1, truth, predicted) == pytest.approx(2 * 1 / (3 + 4))
    assert score(Metric.ACCURACY, truth, predicted) == pytest.approx(6 / 9)
    assert score(Metric.ENTITY_F1, rows("O", "O O"), rows("O", "O O")) == 1.0


def test_rows_weigh_as_often_as_they_are_drawn():
    truth, predicted = rows("B-PER", "B-LOC O"), rows("O", "B-LOC O")
    weights = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 2.0]])
    f1 = weighted_scores(Metric.ENTITY_F1, truth, predicted, weights)
    np.testing.assert_allclose(f1, [0, 1, 2 * 2 / (3 + 2)])
    np.testing.assert_allclose(weighted_scores(Metric.ACCURACY, truth, predicted, weights), [0, 1, 4 / 5])


def test_what_cannot_be_judged_is_named():
    with pytest.raises(LengthMismatch, match="row 1"):
        score(Metric.ENTITY_F1, rows("O", "O O"), rows("O", "O"))
    with pytest.raises(UnfitMetric):
        score(Metric.ENTITY_F1, ["cat"], ["cat"])


@given(rows_of, st.randoms(use_true_random=False))
def test_it_agrees_with_seqeval(truth, random):
    seqeval = pytest.importorskip("seqeval.metrics")
    predicted = [[random.choice((tag, random.choice(TAGS))) for tag in row] for row in truth]
    held, predicted_tags = np.empty(len(truth), object), np.empty(len(truth), object)
    for place, (row, other) in enumerate(zip(truth, predicted, strict=True)):
        held[place], predicted_tags[place] = np.array(row), np.array(other)
    if any(tag != "O" for row in (*truth, *predicted) for tag in row):
        assert score(Metric.ENTITY_F1, held, predicted_tags) == pytest.approx(
            seqeval.f1_score(truth, predicted, zero_division=0)
        )
