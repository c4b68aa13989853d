import numpy as np
import pytest
import torch

from recommender.tuning.activation_cache import ActivationCache, fits, frozen_prefix
from recommender.tuning.classifier import Classifier, fresh_head
from recommender.tuning.data import ItemRows, keep
from registry.encoders.layers import layers_of, read_blocks
from registry.encoders.loading import load_network
from registry.progress import silent
from registry.targets import Positions, Targets
from tests.registry.encoders.nets import NETS, network_of, pictures, save_net

SUPPORTED = sorted(NETS)


def few(batch, rows):
    return {name: tensor[:rows] for name, tensor in batch.items()}


def inputs(batch):
    return {name: tensor for name, tensor in batch.items() if name != "labels"}


def classifier(net):
    torch.manual_seed(0)
    body = NETS[net]()
    body.eval()
    side = getattr(body.config, "image_size", 32)
    shape = [side, side] if isinstance(side, int) else side
    pixels, network = {"pixel_values": torch.rand(6, 3, *shape)}, network_of(body, shape[0])
    layers = layers_of(network)
    width = read_blocks(network, layers, few(pixels, 1)).blocks[-1].shape[1]
    built = Classifier(network, layers, layers.names[-1], fresh_head(width, 3))
    torch.nn.init.normal_(built.head.weight)
    return built, pixels


@pytest.mark.slow
@pytest.mark.parametrize("net", SUPPORTED)
def test_a_net_resumed_in_the_middle_says_the_same_and_its_first_block_is_not_run(net):
    built, pixels = classifier(net)
    built.eval()
    for block in built.layers.names[:-1]:
        boundary = ActivationCache(built, block, few(pixels, 2))
        kept = boundary.activations(pixels).detach()
        first = built.layers.blocks[0]
        called: list[str] = []
        handles = [
            module.register_forward_hook(lambda *_, path=path, called=called: called.append(path))
            for path, module in built.body.named_modules()
            if not list(module.children()) and f"{path}.".startswith(first.prefixes) and path != boundary.end
        ]
        torch.testing.assert_close(boundary.logits(kept), built(**pixels), atol=1e-5, rtol=1e-4)
        called.clear()
        boundary.logits(kept)
        assert called == []
        assert handles
        for handle in handles:
            handle.remove()


def test_gradients_reach_what_lies_behind_the_boundary_and_nothing_before():
    built, pixels = classifier("resnet")
    built.learn(built.layers.names[2:])
    boundary = ActivationCache(built, built.layers.names[1], few(pixels, 2))
    with torch.inference_mode():
        kept = boundary.activations(pixels)
    boundary.logits(kept.clone()).sum().backward()
    behind = [p for n, p in built.body.named_parameters() if n.startswith(built.layers.blocks[2].prefixes)]
    assert all(p.grad is not None for p in behind)
    assert all(
        p.grad is None for n, p in built.body.named_parameters() if n.startswith(built.layers.blocks[1].prefixes)
    )


def test_a_net_that_says_something_else_when_resumed_is_refused(monkeypatch):
    built, pixels = classifier("resnet")
    monkeypatch.setattr(ActivationCache, "activations", lambda *_: torch.ones(2, 8, 8, 8))
    with pytest.raises((ValueError, RuntimeError)):
        ActivationCache(built, built.layers.names[1], few(pixels, 2))


def test_after_a_pass_the_net_is_as_it_was():
    built, pixels = classifier("vit")
    built.eval()
    before = built(**pixels)
    boundary = ActivationCache(built, built.layers.names[0], few(pixels, 2))
    boundary.logits(boundary.activations(pixels))
    torch.testing.assert_close(built(**pixels), before)


def test_the_prefix_ends_before_the_first_block_that_learns_and_before_the_one_that_is_read():
    built, _ = classifier("resnet")
    one, two, three, four = built.layers.names
    assert frozen_prefix(built, frozenset({three, four})) == two
    assert frozen_prefix(built, frozenset({one})) is None
    assert frozen_prefix(built, frozenset()) == three
    assert frozen_prefix(built, frozenset({two})) == one


def test_activations_are_kept_only_where_there_is_room(tmp_path, monkeypatch):
    activation = torch.zeros(1, 4, 4)
    assert fits(10, activation, tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("usage", (), {"free": 2 * 4 * 10 * 16 - 1})())
    assert not fits(10, activation, tmp_path)


def test_kept_rows_are_what_flows_through_the_boundary(tmp_path):
    built, _ = classifier("resnet")
    built.eval()
    save_net(tmp_path / "net", "resnet")
    network = load_network(tmp_path / "net")
    items = ItemRows([network.prepare(item) for item in pictures(9)], Positions.of(Targets.of(np.arange(9))), network)
    boundary = ActivationCache(built, built.layers.names[1], inputs(items.batch([0, 1])))
    built.cache = boundary
    rows = keep(boundary, items, tmp_path / "kept.npy", silent, "keep")
    chosen = rows.batch([7, 2])
    assert chosen["labels"].tolist() == [7, 2]
    whole = built(**inputs(items.batch([7, 2])))
    torch.testing.assert_close(built(kept=chosen["kept"]), whole, atol=1e-5, rtol=1e-4)


def test_a_net_whose_activations_write_in_place_is_resumed(tmp_path):
    timm = pytest.importorskip("timm", reason="needs timm, and a torchvision that loads", exc_type=ImportError)
    torch.manual_seed(0)
    timm.models.save_for_hf(timm.create_model("resnet18", num_classes=3), tmp_path, safe_serialization=True)
    network = load_network(tmp_path, cap=32)
    layers = layers_of(network)
    built = Classifier(network, layers, layers.names[-1], fresh_head(512, 3)).eval()
    pixels = {"pixel_values": torch.rand(3, 3, 32, 32)}
    boundary = ActivationCache(built, layers.names[1], few(pixels, 2))
    kept = boundary.activations(pixels).detach()
    torch.testing.assert_close(boundary.logits(kept), built(**pixels), atol=1e-5, rtol=1e-4)
