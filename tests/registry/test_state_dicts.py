"""Weights that lie in a file of their own."""

import json
import shutil

import pytest
import torch

from recommender.requests import request_of
from registry.errors import (
    AlreadyThere,
    HubMissing,
    HubOffline,
    NoWeights,
    PathMissing,
    PickleRefused,
    ShapeMismatch,
    Unsupported,
    UnusableRequest,
)
from registry.state_dicts import add_state_dict
from registry.zoo import Zoo
from tests.fakes.hub import the_only_hub
from tests.registry.encoders.nets import NETS, SQUARE, change, save_net


@pytest.fixture
def zoo(tmp_path):
    (tmp_path / "catalog").mkdir()
    with Zoo.open(tmp_path / "home", catalog=tmp_path / "catalog") as opened:
        yield opened


@pytest.fixture
def whole(tmp_path):
    return save_net(tmp_path / "whole", "vit")


@pytest.fixture
def file(whole, tmp_path):
    return shutil.copy(whole / "model.safetensors", tmp_path / "mine.safetensors")


def test_weights_alone_become_the_checkpoint_that_a_config_describes(zoo, whole, file):
    for name, architecture in (("by-file", whole / "config.json"), ("by-folder", whole)):
        card = add_state_dict(zoo, file, str(architecture), name=name)
        assert (card.architecture, card.input_size) == ("ViTForImageClassification", 32)
        assert card.digest == zoo.add(whole, name="whole").digest
        assert (card.folder / "model.safetensors").samefile(file)
        assert json.loads((card.folder / "preprocessor_config.json").read_text()) == SQUARE
    assert not any("preprocessing" in note for note in zoo.notes)


def test_without_a_processor_the_usual_one_is_taken_at_the_stated_size_and_said(zoo, whole, file):
    (whole / "preprocessor_config.json").unlink()
    card = add_state_dict(zoo, file, str(whole))
    assert (card.name, card.input_size) == ("mine", 32)
    assert any("ViTImageProcessor" in note and "assumed" in note for note in zoo.notes)


def test_adding_the_same_file_again_changes_nothing_and_another_is_refused(zoo, whole, file, tmp_path):
    card = add_state_dict(zoo, file, str(whole))
    assert add_state_dict(zoo, file, str(whole)) == card
    other = shutil.copy(
        save_net(tmp_path / "other", "vit", seed=1) / "model.safetensors", tmp_path / "other.safetensors"
    )
    with pytest.raises(AlreadyThere):
        add_state_dict(zoo, other, str(whole), name="mine")


@pytest.mark.parametrize("processor", [True, False])
def test_of_a_checkpoint_of_a_hub_config_and_processor_are_fetched_and_no_weights(
    zoo, whole, file, processor, tmp_path, monkeypatch
):
    if not processor:
        (whole / "preprocessor_config.json").unlink()
    with the_only_hub(monkeypatch, tmp_path / "hf") as hub:
        hub.add("org/net", whole)
        card = add_state_dict(zoo, file, "org/net")
        assert not hub.paths_of("safetensors")
        with pytest.raises(HubMissing, match="org/gone"):
            add_state_dict(zoo, file, "org/gone", name="other")
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        with pytest.raises(HubOffline):
            add_state_dict(zoo, file, "org/net", name="other")
    assert (card.name, card.architecture) == ("mine", "ViTForImageClassification")
    assert (card.folder / "model.safetensors").samefile(file)
    assert any("assumed" in note for note in zoo.notes) is not processor
    assert [place.name for place in zoo.home.checkpoints.iterdir()] == ["mine"]


def test_weights_of_another_net_are_refused_and_nothing_is_left(zoo, whole, file):
    change(whole, hidden_size=32)
    with pytest.raises((ShapeMismatch, Unsupported)):
        add_state_dict(zoo, file, str(whole))
    assert list(zoo.home.checkpoints.iterdir()) == []
    assert "mine" not in zoo


@pytest.mark.parametrize(
    ("weights", "architecture", "error"),
    [
        ("gone.safetensors", "whole", PathMissing),
        ("pickled.bin", "whole", PickleRefused),
        ("notes.txt", "whole", Unsupported),
        ("mine.safetensors", "gone.json", PathMissing),
        ("mine.safetensors", "empty", NoWeights),
    ],
)
def test_what_is_no_weights_or_no_config_is_named(zoo, whole, file, tmp_path, weights, architecture, error):
    torch.save({}, tmp_path / "pickled.bin")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(error):
        add_state_dict(zoo, tmp_path / weights, str(tmp_path / architecture))


def test_a_file_of_weights_needs_to_be_told_what_it_is_of(file):
    with pytest.raises(UnusableRequest, match="--architecture"):
        request_of("zoo add", {"folder": str(file)})
    assert request_of("zoo add", {"folder": str(file), "architecture": "google/vit"}).architecture == "google/vit"


def test_every_tiny_net_has_a_usual_processor_or_says_so(tmp_path):
    from registry.modalities import modalities

    for net in sorted(NETS):
        folder = save_net(tmp_path / net, net)
        assert modalities["image"].usual_processor(folder)["image_processor_type"]
