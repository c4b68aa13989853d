import numpy as np
import pytest
import torch
import transformers as t

from registry.encoders import examination, open_encoder
from registry.encoders.examination import examine_checkpoint, require_function
from registry.errors import NotAFunction, Unsupported
from registry.features import Encoded, Features
from tests.registry.encoders.nets import NETS, SQUARE, network_of, save_net, some_quick


@pytest.mark.parametrize("net", some_quick(set(NETS) - {"mobilenet_v1"}))
def test_a_sound_net_is_a_function_of_its_picture(net, tmp_path):
    examine_checkpoint(save_net(tmp_path, net), net)


def test_a_net_that_masks_at_random_is_refused(tmp_path):
    config = t.ViTMAEConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=4,
        decoder_hidden_size=8,
        decoder_num_hidden_layers=1,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=16,
    )
    with pytest.raises(NotAFunction, match="the second time"):
        examine_checkpoint(save_net(tmp_path, t.ViTMAEForPreTraining(config)), "mae")


def test_a_net_whose_first_pass_fails_is_refused(tmp_path, monkeypatch):
    folder = save_net(tmp_path, "resnet")
    monkeypatch.setattr("registry.encoders.encoder.read_blocks", lambda *passed: {}["block"])
    with pytest.raises(Unsupported, match="KeyError: 'block'"):
        examine_checkpoint(folder, "resnet")


def test_a_net_that_tells_no_pictures_apart_is_refused(tmp_path):
    model = NETS["resnet"]()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    with pytest.raises(Unsupported, match="same vector"):
        examine_checkpoint(save_net(tmp_path, model), "zero")


def test_a_net_that_overflows_on_an_example_is_refused(tmp_path):
    model = NETS["vit"]()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1e30)
    with pytest.raises(Unsupported, match="NaN or infinite"):
        examine_checkpoint(save_net(tmp_path, model), "huge")


class Company:
    """An encoder whose vectors are centered on those of the batch."""

    name, digest, modality, blocks, adaptable, sizes = "company", "", "image", ("only",), (), ()

    def remarks(self, items):
        return ()

    def encode(self, items, *, progress=None):
        means = np.array([np.asarray(item.open()).mean((0, 1)) for item in items], np.float32)
        return Encoded((Features(means - means.mean(0), "company"),), self.blocks)


def test_a_vector_that_depends_on_its_company_is_refused():
    with pytest.raises(NotAFunction, match="is encoded with it"):
        require_function(Company(), network_of(NETS["resnet"]()).examples())


def test_blocks_that_are_lists_of_modules_are_read_at_their_last_member(tmp_path):
    config = t.PoolFormerConfig(hidden_sizes=[8, 8, 16, 16], depths=[2, 1, 1, 1], num_labels=3)
    folder = save_net(tmp_path, t.PoolFormerForImageClassification(config), SQUARE)
    examine_checkpoint(folder, "poolformer")
    assert len(open_encoder(folder).blocks) == 4


@pytest.mark.parametrize(("net", "side"), [("vit", 16), ("resnet", 16), ("levit", 64)])
def test_a_large_net_is_examined_at_small_inputs_where_it_takes_them(net, side, tmp_path, monkeypatch):
    monkeypatch.setattr(examination, "_LARGE", 0)
    monkeypatch.setattr(examination, "_SMALLER", 14)
    sides = []

    def noted(encoder, items):
        sides.append(encoder.network.preprocessing.side)
        return require_function(encoder, items)

    monkeypatch.setattr(examination, "require_function", noted)
    if net == "levit":
        narrow = {"hidden_sizes": [16] * 3, "num_attention_heads": [1] * 3, "depths": [1] * 3, "key_dim": [8] * 3}
        model = t.LevitForImageClassification(t.LevitConfig(image_size=64, **narrow))
        for module in model.modules():
            if isinstance(module, torch.nn.Linear | torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(module.weight)
        folder = save_net(tmp_path, model, {**SQUARE, "size": {"height": 64, "width": 64}})
    else:
        folder = save_net(tmp_path, net)
    examine_checkpoint(folder, net)
    assert sides == [side]
