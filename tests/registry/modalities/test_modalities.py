"""What only a modality knows is named nowhere else."""

import re
from pathlib import Path

import pytest

from registry.modalities import Modality, Network, modalities, modality_of
from tests.registry.encoders.nets import NETS, network_of, pictures

ROOT = Path(__file__).parents[3]
OWN = re.compile(r"pixel_values|input_ids|input_values|ForImageClassification|IMAGE_CLASSIFICATION")


@pytest.mark.parametrize("room", ["registry", "recommender", "ui"])
def test_the_models_own_arguments_are_named_in_modalities_alone(room):
    named = [
        f"{file.relative_to(ROOT)}:{number}"
        for file in sorted((ROOT / room).rglob("*.py"))
        if ROOT / "registry" / "modalities" not in file.parents
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
        if OWN.search(line)
    ]
    assert named == []


def test_each_modality_keeps_its_promise():
    for name, modality in modalities.items():
        assert isinstance(modality, Modality)
        assert modality.name == name
        assert all(modality_of(argument) is modality for argument in modality.inputs)
    assert modality_of("nobodys_values") is None


def test_a_batch_is_what_the_model_takes_and_padding_or_company_change_nothing():
    network = network_of(NETS["resnet"]())
    assert isinstance(network, Network)
    rows = [network.prepare(item) for item in pictures(3)]
    whole, alone = network.batch(rows), network.batch(rows[1:2])
    assert set(whole) == modalities["image"].inputs
    assert all(alone[name].equal(whole[name][1:2]) for name in whole)


def test_examples_can_be_prepared_and_are_the_same_each_time():
    network = network_of(NETS["vit"]())
    one, other = ([network.prepare(item) for item in network.examples()] for _ in range(2))
    assert len(one) >= 2
    assert all((left["pixels"] == right["pixels"]).all() for left, right in zip(one, other, strict=True))


PICTURES = re.compile(r"\b(PIL|Pillow|images?|pixels?|pictures?)\b", re.IGNORECASE)
SPOKEN_OF = {
    "registry/cards.py": "the default modality's name, and what older cards state",
    "registry/catalog.py": "the modalities' names",
    "registry/encoders/loading.py": "the unit of a cap, and the tower of models that compare images with texts",
    "registry/errors.py": "what is done with folders of detection",
    "registry/listings.py": "tasks of a hub, by their own names",
    "registry/readers/frame.py": "a feature of datasets, by its own name",
    "registry/readers/layout.py": "names of folders that say nothing",
    "registry/readers/other_tasks.py": "folders of detection and segmentation, as their tools name them",
    "registry/readers/table.py": "names of columns that stand for a file",
    "registry/sample.py": "what its doors take, for example",
    "registry/testing/modality.py": "kinds of media",
}
"""Files of the registry outside its modalities that speak of pictures, and why."""


def test_what_an_image_is_is_known_in_its_package_alone():
    by_name = {}
    for file in sorted((ROOT / "registry").rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        name = str(file.relative_to(ROOT))
        if ROOT / "registry" / "modalities" not in file.parents and PICTURES.search(text):
            by_name[name] = text
    assert sorted(by_name) == sorted(SPOKEN_OF)
    assert not [name for name, text in by_name.items() if re.search(r"import.*\bPIL\b|from PIL", text)]
