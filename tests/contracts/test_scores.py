"""Every score of the shelf, ours and those of installed plug-ins, keeps its promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.testing.scores import ScoreContract, Scored, few_examples, labelled_rows
from recommender.transfer import FROM_THE_SOURCE_HEAD, scores
from recommender.transfer.decomposition import decompose
from registry.cards import Task
from registry.errors import NotDefined, NotProbabilities, NoVariation, UnknownName, UnusableLabels
from registry.targets import Targets

WITHSTAND_NOISE = ("hscore", "knn", "linear", "logme")
ANY_TARGET = ("knn", "linear", "logme")


class TestPlugins(ScoreContract):
    @pytest.fixture(params=sorted(scores))
    def scored(self, request):
        return Scored(scores[request.param], request.param in FROM_THE_SOURCE_HEAD, request.param in WITHSTAND_NOISE)


def test_a_misspelt_score_gets_a_hint():
    with pytest.raises(UnknownName) as refused:
        scores["logmee"]
    assert "logme" in refused.value.remedy


@pytest.mark.parametrize("name", sorted(set(scores) - set(FROM_THE_SOURCE_HEAD)))
def test_a_decomposition_may_stand_for_the_features(name):
    features, labels = labelled_rows(separation=0.5)
    assert scores[name](decompose(features), labels) == scores[name](features, labels)


@pytest.mark.parametrize("name", FROM_THE_SOURCE_HEAD)
def test_a_score_of_the_source_head_refuses_features(name):
    features, labels = labelled_rows()
    with pytest.raises(NotProbabilities, match="row 0"):
        scores[name](features, labels)


@pytest.mark.parametrize("name", ANY_TARGET)
def test_a_number_is_predicted_better_where_the_features_tell_it(name):
    random = np.random.default_rng(0)
    features = random.normal(size=(120, 6))
    related = Targets(Task.REGRESSION, features[:, 0] + 0.1 * random.normal(size=120))
    unrelated = Targets(Task.REGRESSION, random.normal(size=120))
    assert scores[name](features, related) > scores[name](features, unrelated)


@pytest.mark.parametrize("name", ANY_TARGET)
def test_several_labels_are_predicted_better_where_the_features_tell_them(name):
    random = np.random.default_rng(0)
    features = random.normal(size=(120, 6))
    related = Targets(Task.MULTI_LABEL, features[:, :2] > 0)
    unrelated = Targets(Task.MULTI_LABEL, random.normal(size=(120, 2)) > 0)
    assert scores[name](features, related) > scores[name](features, unrelated)


@few_examples
@given(constants=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=2))
@pytest.mark.parametrize("name", ANY_TARGET)
@pytest.mark.parametrize("quantities", [1, 2], ids=["a number", "several numbers"])
def test_constants_added_to_the_targets_change_nothing(name, quantities, constants):
    random = np.random.default_rng(0)
    features = random.normal(size=(60, 6))
    targets = features[:, :quantities] + 0.3 * random.normal(size=(60, quantities))
    moved = targets + constants[:quantities]
    report, untouched = (
        scores[name](features, Targets(Task.REGRESSION, one[:, 0] if quantities == 1 else one))
        for one in (moved, targets)
    )
    assert report == pytest.approx(untouched, abs=1e-6)


def test_a_target_in_another_unit_moves_the_evidence_of_every_checkpoint_alike():
    random = np.random.default_rng(0)
    signal, noise = random.normal(size=(2, 60, 6))
    target = 3 + signal[:, 0] + 0.3 * random.normal(size=60)
    for features in (signal, noise):
        large, small = (scores["logme"](features, Targets(Task.REGRESSION, unit * target)) for unit in (1e12, 1))
        moved = large - small
        assert moved == pytest.approx(-59 / 60 * np.log(1e12), abs=1e-9)


@pytest.mark.parametrize("name", sorted(scores))
@pytest.mark.parametrize("values", [np.linspace(0, 1, 60), np.eye(60)[:, :3]], ids=["floats", "columns"])
def test_values_without_a_task_are_never_guessed_to_be_a_number_or_several_labels(name, values):
    readable = Scored(scores[name], name in FROM_THE_SOURCE_HEAD).readable(labelled_rows()[0])
    with pytest.raises(UnusableLabels, match="state the task with Targets"):
        scores[name](readable, values)


@pytest.mark.parametrize("name", ANY_TARGET)
def test_a_constant_number_is_refused(name):
    with pytest.raises(NoVariation):
        scores[name](labelled_rows()[0], Targets(Task.REGRESSION, np.ones(60)))


@pytest.mark.parametrize("name", sorted(set(scores) - set(ANY_TARGET)))
@pytest.mark.parametrize(
    "targets",
    [Targets(Task.REGRESSION, np.linspace(0, 1, 60)), Targets(Task.MULTI_LABEL, np.arange(120).reshape(60, 2) % 2)],
    ids=["a number", "several labels"],
)
def test_targets_without_a_definition_are_refused(name, targets):
    features = labelled_rows()[0]
    readable = Scored(scores[name], name in FROM_THE_SOURCE_HEAD).readable(features)
    with pytest.raises(NotDefined, match=name):
        scores[name](readable, targets)


@pytest.mark.parametrize("name", ["knn", "linear"])
def test_groups_that_give_the_label_away_are_seen_through(name):
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 5)
    labels = random.integers(0, 2, 40)[groups]
    features = random.normal(size=(40, 30))[groups] + 0.01 * random.normal(size=(200, 30))
    assert scores[name](features, labels) > 0.8
    assert scores[name](features, labels, groups=groups) < 0.7
