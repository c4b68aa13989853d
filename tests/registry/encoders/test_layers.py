import pytest
import torch
import transformers
from torch import nn

from registry.encoders.layers import layers_of, read_blocks, size_of
from tests.registry.encoders.nets import NETS, network_of, small_transformer, some_quick

ODD = {
    "dinov3_convnext": lambda: transformers.DINOv3ConvNextModel(
        transformers.DINOv3ConvNextConfig(hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 2, 1])
    ),
    "dinov3_vit": lambda: transformers.DINOv3ViTModel(transformers.DINOv3ViTConfig(**small_transformer())),
    "poolformer": lambda: transformers.PoolFormerForImageClassification(
        transformers.PoolFormerConfig(hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 2, 1])
    ),
    "pvt": lambda: transformers.PvtForImageClassification(
        transformers.PvtConfig(
            hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 2, 1], num_attention_heads=[1, 1, 2, 2], image_size=32
        )
    ),
    "pvt_v2": lambda: transformers.PvtV2ForImageClassification(
        transformers.PvtV2Config(
            hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 2, 1], num_attention_heads=[1, 1, 2, 2], image_size=32
        )
    ),
}
"""Lists of lists, lists beside lists, and lists whose members are never called themselves."""


@pytest.fixture(params=some_quick({**NETS, **ODD}))
def model(request):
    torch.manual_seed(0)
    return {**NETS, **ODD}[request.param]().eval()


class Rounds(transformers.ViTModel):
    """A net whose layers are gone through twice."""

    def __init__(self):
        super().__init__(transformers.ViTConfig(**SMALL), add_pooling_layer=False)

    def forward(self, pixel_values, return_dict=True):
        hidden = self.embeddings(pixel_values)
        for _ in range(2):
            for layer in self.layers:
                hidden = layer(hidden)
        return {"last_hidden_state": hidden}


class Siblings(transformers.ViTModel):
    """A net whose stages stand side by side, in no list."""

    def __init__(self):
        super().__init__(transformers.ViTConfig(**{**SMALL, "num_hidden_layers": 1}), add_pooling_layer=False)
        self.stage1, self.stage2, self.stage3 = (nn.Linear(16, 16) for _ in range(3))

    def forward(self, pixel_values, return_dict=True):
        hidden = self.embeddings(pixel_values)
        for stage in (self.stage1, self.stage2, self.stage3):
            hidden = stage(hidden)
        return {"last_hidden_state": hidden}


SMALL = small_transformer()


def test_layers_that_are_gone_through_in_rounds_are_one_block():
    assert layers_of(network_of(Rounds().eval())).names == ("block 01",)


def test_stages_side_by_side_are_blocks_in_the_order_in_which_they_are_called():
    blocks = layers_of(network_of(Siblings().eval())).blocks
    assert [block.end for block in blocks] == ["stage1", "stage2", "stage3"]
    assert "embeddings." in blocks[0].prefixes


def test_what_lies_between_two_blocks_belongs_to_the_later_one():
    blocks = layers_of(network_of(ODD["pvt"]().eval())).blocks
    assert [block.end for block in blocks] == [f"pvt.encoder.block.{place}" for place in ("0.0", "1.0", "2.1", "3.0")]
    assert all(f"pvt.encoder.patch_embeddings.{place}." in block.prefixes for place, block in enumerate(blocks))


def test_a_net_that_is_looked_at_is_left_as_it_was(model):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    layers_of(network_of(model))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def named(model, layers):
    """Each parameter with the blocks that claim it."""
    return {
        name: [block.name for block in layers.blocks if name.startswith(block.prefixes)]
        for name, _ in model.named_parameters()
    }


def test_every_backbone_parameter_belongs_to_one_block(model):
    layers = layers_of(network_of(model))
    heads = ("classifier", "cls_classifier", "fc.", "segmentation_head")
    for name, blocks in named(model, layers).items():
        assert len(blocks) == (0 if name.startswith(heads) else 1), name


def test_there_are_two_to_eight_blocks_in_order(model):
    names = layers_of(network_of(model)).names
    assert 2 <= len(names) <= 8
    assert names == tuple(f"block {place:02d}" for place in range(1, len(names) + 1))


def test_a_block_is_made_of_what_comes_before_its_end(model):
    """Changing the parameters of one block leaves the earlier blocks' features as they are and moves its own."""
    layers = layers_of(network_of(model))
    pixels = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        before = read_blocks(network_of(model), layers, {"pixel_values": pixels}).blocks
        for name, parameter in model.named_parameters():
            if name.startswith(layers.blocks[-1].prefixes):
                parameter.mul_(1.5).add_(0.1)
        after = read_blocks(network_of(model), layers, {"pixel_values": pixels}).blocks
    assert all(torch.equal(left, right) for left, right in zip(before[:-1], after[:-1], strict=True))
    assert not torch.allclose(before[-1], after[-1])


def test_the_stem_counts_to_the_first_block(model):
    layers = layers_of(network_of(model))
    first = next(iter(model.named_parameters()))[0]
    assert first.startswith(layers.blocks[0].prefixes)


def test_the_last_block_is_what_the_head_reads(model):
    layers = layers_of(network_of(model))
    if layers.head is None:
        pytest.skip("has no head")
    pixels = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        reading = read_blocks(network_of(model), layers, {"pixel_values": pixels})
        assert torch.allclose(model.get_submodule(layers.head)(reading.blocks[-1]), reading.logits)
        assert torch.equal(reading.logits, model(pixel_values=pixels).logits)


def test_reading_leaves_no_hooks_behind(model):
    read_blocks(network_of(model), layers_of(network_of(model)), {"pixel_values": torch.rand(1, 3, 32, 32)})
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_map_is_read_as_its_mean():
    model = NETS["resnet"]().eval()
    pixels = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        blocks = read_blocks(network_of(model), layers_of(network_of(model)), {"pixel_values": pixels}).blocks
        states = model(pixel_values=pixels, output_hidden_states=True).hidden_states
    for block, state in zip(blocks, states[1:], strict=True):
        torch.testing.assert_close(block, state.mean((2, 3)))


@pytest.mark.parametrize(("net", "extra"), [("vit", 1), ("deit", 2), ("dinov2", 1)])
def test_tokens_are_read_as_the_mean_over_patches_alone(net, extra):
    model = NETS[net]().eval()
    pixels = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        blocks = read_blocks(network_of(model), layers_of(network_of(model)), {"pixel_values": pixels}).blocks
        states = model.base_model(pixel_values=pixels, output_hidden_states=True).hidden_states
    for block, state in zip(blocks[:-1], states[1:-1], strict=True):
        torch.testing.assert_close(block, state[:, extra:].mean(1))


def test_a_pooled_map_of_several_cells_is_read_as_one_mean():
    model = NETS["textnet"]().eval()
    pixels = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        last = read_blocks(network_of(model), layers_of(network_of(model)), {"pixel_values": pixels}).blocks[-1]
        state = model.base_model(pixel_values=pixels).last_hidden_state
    torch.testing.assert_close(last, state.mean((2, 3)))


def test_other_sizes_than_the_stated_one_are_read_by_interpolated_positions():
    for net in ("vit", "swin"):
        model = NETS[net]().eval()
        batch = {"pixel_values": torch.rand(1, 3, 48, 48)}
        blocks = read_blocks(network_of(model, 48), layers_of(network_of(model)), batch).blocks
        assert all(torch.isfinite(block).all() for block in blocks)


def test_a_net_of_many_layers_is_joined_to_eight_blocks():
    config = transformers.ViTConfig(
        hidden_size=8, num_hidden_layers=13, num_attention_heads=2, intermediate_size=8, image_size=16, patch_size=8
    )
    blocks = layers_of(network_of(transformers.ViTForImageClassification(config), 16)).blocks
    assert [block.end for block in blocks] == [f"vit.layers.{place}" for place in (1, 3, 5, 7, 9, 11, 12)]


@pytest.mark.parametrize("net", ["resnet", "vit"])
def test_how_far_a_net_swells_is_seen_from_its_largest_output(net):
    model = NETS[net]().eval()
    network = network_of(model)
    rows = [network.prepare(item) for item in network.examples()[:2]]
    largest = 0

    def measure(_module, _inputs, output):
        nonlocal largest
        tensors = output.values() if isinstance(output, dict) else [output]
        largest = max(largest, *(one.nbytes for one in tensors if isinstance(one, torch.Tensor)), 0)

    for module in model.modules():
        module.register_forward_hook(measure)
    layers = layers_of(network)
    largest = 0
    with torch.inference_mode():
        read_blocks(network, layers, network.batch(rows))
    assert layers.swelling == pytest.approx(largest / sum(size_of(row) for row in rows))
