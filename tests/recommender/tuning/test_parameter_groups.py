import pytest

from recommender.results import Stage
from recommender.tuning.classifier import Classifier, fresh_head
from recommender.tuning.parameter_groups import rates
from registry.encoders.layers import layers_of
from tests.registry.encoders.nets import NETS, network_of


@pytest.fixture
def classifier():
    body = NETS["resnet"]()
    return Classifier(network_of(body), layers_of(network_of(body)), "block 04", fresh_head(24, 3))


def rate_of(groups, parameter):
    return [group["lr"] for group in groups if any(parameter is other for other in group["params"])]


def test_every_learning_parameter_has_one_rate(classifier):
    groups = rates(classifier, Stage(classifier.layers.names, 1, 1e-2, 1e-3), 0.1)
    held = [id(parameter) for group in groups for parameter in group["params"]]
    classifier.learn(classifier.layers.names)
    assert sorted(held) == sorted(id(p) for p in classifier.parameters() if p.requires_grad)


def test_lower_blocks_learn_more_slowly_by_the_stated_factor(classifier):
    groups = rates(classifier, Stage(classifier.layers.names, 1, 1e-2, 1e-3, 0.5), 0.1)
    assert rate_of(groups, classifier.head.weight) == [1e-2]
    for place, block in enumerate(reversed(classifier.layers.blocks)):
        for name, parameter in classifier.body.named_parameters():
            if name.startswith(block.prefixes):
                assert rate_of(groups, parameter) == [pytest.approx(1e-3 * 0.5**place)]


def test_frozen_blocks_are_in_no_group(classifier):
    groups = rates(classifier, Stage(("block 03", "block 04"), 1, 1e-2, 1e-3, 0.5), 0.1)
    frozen = next(classifier.body.parameters())
    assert rate_of(groups, frozen) == []
    assert {group["lr"] for group in groups} == {1e-2, 1e-3, 5e-4}


def test_biases_and_norms_have_no_weight_decay(classifier):
    for group in rates(classifier, Stage(classifier.layers.names, 1, 1e-2, 1e-3), 0.1):
        for parameter in group["params"]:
            assert group["weight_decay"] == (0.1 if parameter.ndim > 1 else 0.0)
