"""Registering real checkpoint folders, with a small real net."""

import json
import multiprocessing
import shutil
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from registry.cards import Origin
from registry.catalog import write_checkpoint, write_domain, write_lens
from registry.errors import (
    AlreadyThere,
    BadWeights,
    NoWeights,
    PathMissing,
    PickleRefused,
    RemoteCodeRefused,
    ShapeMismatch,
    UnknownName,
)
from registry.inspection import weights_digest
from registry.sketch import fit_lens, sketch_of
from registry.zoo import Zoo
from tests.registry.fakes import a_checkpoint, a_domain, shaded

PREPROCESSING = {
    "image_processor_type": "ViTImageProcessor",
    "do_resize": True,
    "size": {"height": 16, "width": 16},
    "resample": 2,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
}


@pytest.fixture(scope="session")
def net(tmp_path_factory):
    """The folder of a small real ResNet at its seeded initialization."""
    import torch
    from transformers import ResNetConfig, ResNetForImageClassification

    torch.manual_seed(0)
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic", num_labels=2)
    folder = tmp_path_factory.mktemp("nets") / "small-resnet"
    ResNetForImageClassification(config).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSING))
    return folder


@pytest.fixture
def catalog(net, tmp_path):
    """A catalog whose lens is that net, and whose one domain is gray."""
    from registry.encoders.encoder import load_encoder

    folder = tmp_path / "catalog"
    shutil.copytree(net, folder / "seedlings/lens-net")
    encoder = load_encoder(folder / "seedlings/lens-net", name="lens-net")
    gray = encoder.encode(shaded(128).items).last
    lens = fit_lens("small", "image", [gray, encoder.encode(shaded(40).items).last])
    write_lens(folder, lens)
    write_domain(folder, a_domain("gray"), sketch_of("gray", gray, lens))
    card = a_checkpoint(tmp_path / "nothing", "lens-net", domain="gray", digest=weights_digest(net))
    write_checkpoint(folder, replace(card, folder=folder / "seedlings/lens-net"))
    return folder


@pytest.fixture
def zoo(tmp_path, catalog):
    with Zoo.open(tmp_path / "home", catalog=catalog) as opened:
        yield opened


@pytest.fixture
def mine(net, tmp_path):
    return shutil.copytree(net, tmp_path / "mine")


def change_weights(folder, change):
    path = folder / "model.safetensors"
    tensors = {name: tensor.copy() for name, tensor in load_file(path).items()}
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def test_a_checkpoint_folder_is_registered_where_it_lies(zoo, mine):
    card = zoo.add(mine)
    assert (card.name, card.modality, card.architecture) == ("mine", "image", "ResNetForImageClassification")
    assert (card.folder, card.digest, card.input_size) == (mine, weights_digest(mine), 16)
    assert (card.license, card.domain, card.origin, card.source) == ("unknown", None, Origin.LOCAL, "")
    assert zoo.checkpoint("mine") == card
    assert len(zoo.encode("mine", shaded(40)).blocks) == len(zoo.encoder("mine").blocks)


def test_adding_the_same_again_changes_nothing(zoo, mine):
    card = zoo.add(mine, name="net", license="MIT")
    assert zoo.add(mine, name="net") == card
    assert len(zoo.checkpoints()) == 2


def test_a_name_taken_by_other_weights_is_refused(zoo, mine):
    zoo.add(mine)
    change_weights(mine, lambda tensors: tensors["classifier.1.bias"].fill(3))
    with pytest.raises(AlreadyThere, match="different checkpoint named 'mine'"):
        zoo.add(mine)
    assert zoo.add(mine, name="mine too").name == "mine-too"


def test_a_checkpoint_that_moved_is_added_again_from_its_new_place(zoo, mine, tmp_path):
    zoo.add(mine, license="MIT")
    mine.rename(tmp_path / "moved")
    card = zoo.add(tmp_path / "moved", name="mine")
    assert (card.folder, card.license) == (tmp_path / "moved", "MIT")


def test_a_relative_folder_is_remembered_in_full(zoo, mine, monkeypatch):
    monkeypatch.chdir(mine.parent)
    assert zoo.add("mine").folder == mine


def test_source_data_become_a_domain_with_a_sketch(zoo, mine):
    source = shaded(215, rows=30, name="snow")
    card = zoo.add(mine, source=source, family="weather")
    domain = zoo.domain("snow")
    assert (card.domain, card.lineage) == ("snow", ("snow",))
    assert (domain.family, domain.rows, domain.digest) == ("weather", 30, source.digest)
    assert zoo.sketch("snow").seen == 30
    assert zoo.near(zoo.lens_features(source), 1)[0][0] == domain
    assert zoo.add(mine, source=source, family="weather") == card
    assert len(zoo.domains()) == 2


def test_a_domain_name_taken_by_other_data_is_refused_and_the_checkpoint_not_added(zoo, mine):
    with pytest.raises(AlreadyThere, match="domain named 'gray'"):
        zoo.add(mine, source=shaded(215, name="gray"))
    with pytest.raises(UnknownName):
        zoo.checkpoint("mine")


def test_a_known_domain_can_be_named_and_stays_named(zoo, mine):
    assert zoo.add(mine, domain="gray").domain == "gray"
    assert zoo.add(mine).domain == "gray"
    with pytest.raises(UnknownName, match="no domain named 'grey'"):
        zoo.add(mine, name="other", domain="grey")
    assert [card.name for card in zoo.checkpoints()] == ["lens-net", "mine"]


@pytest.mark.parametrize(
    ("stated", "license", "verbatim"),
    [
        ({"licence": "apache-2.0"}, "Apache-2.0", "apache-2.0"),
        ({"license": "MIT License"}, "MIT", "MIT License"),
        ({"licence": "BSD 3-Clause"}, "BSD-3-Clause", "BSD 3-Clause"),
        ({"licence": "research use only"}, "unknown", "research use only"),
        ({"license": ["mit", "apache-2.0"]}, "MIT AND Apache-2.0", "mit AND apache-2.0"),
        ({"licence": "none stated"}, "unknown", "none stated"),
        ({}, "unknown", "unknown"),
    ],
)
def test_a_license_is_tidied_and_kept_as_it_was_stated(zoo, mine, stated, license, verbatim):
    predicted = {**stated, "source_domain": "gray things", "claimed_accuracy": "91 %"}
    (mine / "SOURCE.json").write_text(json.dumps(predicted))
    card = zoo.add(mine)
    assert (card.license, card.claimed["license"]) == (license, verbatim)
    assert (card.source, card.claimed["claimed_accuracy"]) == ("gray things", "91 %")
    assert card.measured == {}


def test_a_license_that_is_said_counts_before_the_folders(zoo, mine):
    (mine / "README.md").write_text("---\nlicense: mit\n---\n# Net\n")
    assert zoo.add(mine).license == "MIT"
    assert zoo.add(mine, license="cc-by-4.0").license == "CC-BY-4.0"
    assert zoo.add(mine).license == "CC-BY-4.0"


def test_sharded_weights_are_known_by_the_digest_of_all_their_files(zoo, net, tmp_path):
    from transformers import ResNetForImageClassification

    ResNetForImageClassification.from_pretrained(net).save_pretrained(tmp_path / "shards", max_shard_size="10KB")
    shutil.copy(net / "preprocessor_config.json", tmp_path / "shards")
    card = zoo.add(tmp_path / "shards")
    assert card.digest == weights_digest(tmp_path / "shards")
    assert zoo.encoder("shards").blocks


def _no_weights(folder):
    (folder / "model.safetensors").unlink()


def _pickled(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _remote_code(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "evil.Model"}}))


def _not_a_number(folder):
    change_weights(folder, lambda tensors: tensors["classifier.1.bias"].fill(np.nan))


def _other_shape(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_sizes": [8, 16]}))


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (_no_weights, NoWeights),
        (_pickled, PickleRefused),
        (_remote_code, RemoteCodeRefused),
        (_not_a_number, BadWeights),
        (_other_shape, ShapeMismatch),
        (shutil.rmtree, PathMissing),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused_by_name_and_leaves_no_trace(zoo, mine, spoil, error):
    spoil(mine)
    with pytest.raises(error) as caught:
        zoo.add(mine)
    assert caught.value.remedy
    assert [card.name for card in zoo.checkpoints()] == ["lens-net"]


def test_a_bundled_checkpoint_added_again_stays_the_bundled_one(zoo, catalog):
    assert zoo.add(catalog / "seedlings/lens-net", license="MIT").license == "unknown"


def _add(home, catalog, folder):
    Zoo.open(home, catalog=catalog).add(folder, license="MIT")


@pytest.mark.slow
def test_several_processes_may_add_the_same_at_once(zoo, catalog, mine):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_add, args=(zoo.home.root, catalog, mine)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert zoo.checkpoint("mine").license == "MIT"


def test_a_license_or_domain_that_does_not_exist_is_told_before_anything_is_read(zoo, tmp_path):
    with pytest.raises(UnknownName, match="no license named 'mitt'"):
        zoo.add(tmp_path / "nowhere", license="mitt")
    with pytest.raises(UnknownName, match="no domain named 'grey'"):
        zoo.add(tmp_path / "nowhere", domain="grey")


def test_what_a_stranger_claims_is_kept_as_text_of_a_readable_length(zoo, mine):
    odd = {"claimed_accuracy": {"top 1": [0.5, None]}, "source_repo": "x" * 10_000, "source_domain": 7}
    (mine / "SOURCE.json").write_text(json.dumps(odd))
    card = zoo.add(mine)
    assert (card.claimed["claimed_accuracy"], card.source) == ('{"top 1": [0.5, null]}', "7")
    assert len(card.claimed["source_repo"]) == 2000


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json", "processor_config.json"])
def test_features_are_kept_under_every_file_that_makes_them(zoo, mine, file):
    card = zoo.add(mine)
    before = zoo.encodings.recipe(card)
    stated = mine / file
    stated.write_text((stated.read_text() if stated.exists() else "{}") + " ")
    assert zoo.encodings.recipe(card) != before


def test_how_large_inputs_may_be_is_a_choice_and_other_features_follow(zoo, mine):
    before = zoo.add(mine)
    recipe, digest = zoo.encodings.recipe(before), zoo.encoder("mine").digest
    small = zoo.use_inputs_up_to("mine", 12)
    assert (small.cap, zoo.checkpoint("mine").cap, small.input_size) == (12, 12, 16)
    assert zoo.encoder("mine").network.preprocessing.side == 12
    assert zoo.encodings.recipe(small) != recipe
    assert zoo.encoder("mine").digest != digest
    assert zoo.add(mine).cap == 12
