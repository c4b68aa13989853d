import numpy as np
import pytest
import torch

from registry.encoders.encoder import load_encoder
from registry.errors import ItemUnreadable, NotFinite
from registry.features import Encoded
from registry.modalities.image.items import ImageItem
from tests.registry.encoders.nets import change, pictures, save_net


def test_the_source_heads_classes_come_as_probabilities(tmp_path):
    head = load_encoder(save_net(tmp_path, "resnet")).encode(pictures(4)).head
    assert head.shape == (4, 3)
    np.testing.assert_allclose(head.sum(1), 1, rtol=1e-5)


def test_a_head_without_class_names_says_nothing(tmp_path):
    folder = save_net(tmp_path, "mobilenet_v1")
    change(folder, id2label={str(n): f"LABEL_{n}" for n in range(3)}, label2id=None)
    assert load_encoder(folder).encode(pictures(2)).head is None
    assert load_encoder(save_net(tmp_path / "segments", "segmentation")).encode(pictures(2)).head is None


def test_the_digest_follows_weights_and_preprocessing_and_cap_but_not_the_name(tmp_path):
    folder, other = save_net(tmp_path / "a", "resnet"), save_net(tmp_path / "b", "resnet", seed=1)
    first = load_encoder(folder).digest
    assert load_encoder(folder, name="else").digest == first
    assert load_encoder(other).digest != first
    assert load_encoder(folder, cap=24).digest != first
    change(folder, "preprocessor_config.json", image_mean=[0.1, 0.2, 0.3])
    assert load_encoder(folder).digest != first


def test_small_batches_make_what_large_ones_make(tmp_path):
    from dataclasses import replace

    encoder, items = load_encoder(save_net(tmp_path, "mobilenet_v2")), pictures(7)
    whole, parts = encoder.encode(items), replace(encoder, batch=2).encode(items)
    for left, right in zip(whole.blocks, parts.blocks, strict=True):
        np.testing.assert_allclose(left.vectors, right.vectors, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("room", "largest"), [(1 << 40, 7), (2, 2), (0, 1)])
def test_a_pass_takes_no_more_items_than_its_largest_output_has_room_for(tmp_path, monkeypatch, room, largest):
    encoder, items = load_encoder(save_net(tmp_path, "resnet")), pictures(7)
    item = encoder.layers.swelling * sum(part.nbytes for part in encoder.network.prepare(items[0]).values())
    monkeypatch.setattr("registry.encoders.encoder._LARGEST_OUTPUT", room * item)
    passes = []
    encoder.network.model.register_forward_pre_hook(
        lambda _module, _inputs, named: passes.append(len(named["pixel_values"])), with_kwargs=True
    )
    whole = encoder.encode(items)
    assert (sum(passes), max(passes)) == (7, largest)
    assert len(whole.blocks[0].vectors) == 7


def test_features_survive_the_disk(tmp_path):
    encoded = load_encoder(save_net(tmp_path / "net", "vit")).encode(pictures(3))
    encoded.save(tmp_path / "kept.safetensors")
    again = Encoded.load(tmp_path / "kept.safetensors")
    assert again.names == encoded.names
    assert all(np.array_equal(a.vectors, b.vectors) for a, b in zip(again.blocks, encoded.blocks, strict=True))
    assert np.array_equal(again.head, encoded.head)


def test_a_picture_that_overflows_is_named(tmp_path):
    encoder = load_encoder(save_net(tmp_path, "resnet"))
    with torch.no_grad():
        for parameter in encoder.network.model.parameters():
            parameter.mul_(1e30)
    with pytest.raises(NotFinite, match=r"0\.png"):
        encoder.encode(pictures(3))


def test_an_item_that_cannot_be_opened_stops_the_encoding(tmp_path):
    encoder = load_encoder(save_net(tmp_path / "net", "resnet"))

    gone = ImageItem("gone.png", "0" * 64, path=tmp_path / "gone.png")
    with pytest.raises(ItemUnreadable, match="gone"):
        encoder.encode([*pictures(1), gone])
