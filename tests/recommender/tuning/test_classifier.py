import numpy as np
import pytest
import torch

from recommender.transfer.linear import fit_head
from recommender.tuning.classifier import Classifier, fresh_head, logistic_head
from registry.encoders.layers import layers_of, read_blocks
from registry.targets import Targets
from tests.registry.encoders.nets import NETS, network_of


@pytest.fixture(params=["resnet", "vit", "mobilenet_v1"])
def classifier(request):
    torch.manual_seed(0)
    body = NETS[request.param]().eval()
    layers = layers_of(network_of(body))
    network = network_of(body)
    width = read_blocks(network, layers, {"pixel_values": torch.rand(1, 3, 32, 32)}).blocks[-1].shape[1]
    return Classifier(network, layers, layers.names[-1], fresh_head(width, 4))


def learning(classifier):
    return {name for name, parameter in classifier.named_parameters() if parameter.requires_grad}


def test_at_first_only_the_head_learns(classifier):
    assert learning(classifier) == {"head.weight", "head.bias"}


def test_only_the_named_blocks_and_the_head_learn(classifier):
    last = classifier.layers.blocks[-1]
    classifier.learn([last.name])
    wanted = {f"body.{name}" for name, _ in classifier.body.named_parameters() if name.startswith(last.prefixes)}
    assert learning(classifier) == wanted | {"head.weight", "head.bias"}
    assert wanted


def test_the_source_head_never_learns(classifier):
    classifier.learn(classifier.layers.names)
    assert not any(name.startswith("body.classifier") for name in learning(classifier))


def test_what_is_frozen_stays_in_evaluation_mode(classifier):
    last = classifier.layers.blocks[-1]
    classifier.learn([last.name])
    classifier.train()
    for path, module in classifier.body.named_modules():
        assert module.training == f"{path}.".startswith(last.prefixes), path
    classifier.eval()
    assert not any(module.training for module in classifier.modules())


def test_dropout_before_the_source_head_is_never_on(classifier):
    """MobileNetV1 states a dropout of 0.999 there."""
    classifier.learn(classifier.layers.names)
    classifier.train()
    outside = [m for path, m in classifier.body.named_modules() if isinstance(m, torch.nn.Dropout) and "." not in path]
    assert not any(module.training for module in outside)


def test_running_statistics_are_a_mean_over_batches_and_not_the_last_batch(classifier):
    """transformers' MobileNets state a momentum of 0.997, which in torch keeps almost nothing of what was before."""
    norms = [module for module in classifier.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert all(module.momentum <= 0.5 for module in norms)


def test_a_fresh_head_says_nothing_yet(classifier):
    assert torch.equal(classifier(pixel_values=torch.rand(2, 3, 32, 32)), torch.zeros(2, 4))


def test_the_logistic_head_is_the_fitted_one_with_its_scaling_folded_in():
    random = np.random.default_rng(0)
    features = random.normal(size=(60, 5)) * np.array([1, 100, 0.01, 1, 0]) + 7
    targets = (features[:, 1] > 7).astype(np.int64)
    fitted = fit_head(features, targets, 3)
    layer = logistic_head(features, Targets.of(targets), 3, None)
    standardized = (features - fitted.mean) / fitted.scale
    ours = layer(torch.from_numpy(features.astype(np.float32))).detach().numpy()
    np.testing.assert_allclose(ours, standardized @ fitted.weight.T + fitted.bias, rtol=1e-3, atol=2e-3)
    assert (ours.argmax(1) == targets).mean() > 0.95


def test_the_head_can_read_an_earlier_block(classifier):
    pixels = torch.rand(2, 3, 32, 32)
    features = read_blocks(classifier.network, classifier.layers, {"pixel_values": pixels}).blocks[0]
    head = torch.nn.Linear(features.shape[1], 2)
    early = Classifier(classifier.network, classifier.layers, classifier.layers.names[0], head)
    torch.testing.assert_close(early(pixel_values=pixels), head(features))
