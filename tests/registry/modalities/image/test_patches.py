import json

import numpy as np
import pytest
import torch
import transformers as t
from PIL import Image

from recommender.serving.export import TOLERANCE, export
from registry.encoders.encoder import load_encoder
from registry.encoders.examination import require_function
from registry.encoders.loading import load_network
from tests.recommender.tuning.runs import finished_run
from tests.registry.encoders.nets import pictures, save_net

PROCESSOR = {"image_processor_type": "Siglip2ImageProcessor", "patch_size": 8, "max_num_patches": 16}
MEANS = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.6, 0.7]}


def net():
    vision = {
        "hidden_size": 16,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "patch_size": 8,
        "num_patches": 16,
    }
    torch.manual_seed(0)
    return t.Siglip2ForImageClassification(t.Siglip2Config(vision_config=vision, num_labels=3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_net(tmp_path_factory.mktemp("net"), net(), {**PROCESSOR, **MEANS})


@pytest.mark.parametrize("size", [(40, 40), (90, 30), (20, 70)])
def test_patches_are_those_of_the_checkpoints_own_processor(folder, size):
    network = load_network(folder)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8))
    theirs = t.Siglip2ImageProcessorPil(**PROCESSOR, **MEANS)(images=picture, return_tensors="pt")
    ours = network.batch([network.preprocessing.prepared(picture)])
    assert set(ours) == set(theirs)
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name].to(tensor.dtype), rtol=1e-5, atol=1e-5)


def test_padding_and_company_change_no_vector(folder):
    assert len(require_function(load_encoder(folder), load_network(folder).examples()).blocks) == 3


def test_a_cap_leaves_fewer_patches_and_another_digest(folder):
    whole, capped = (load_network(folder, cap=cap) for cap in (32, 17))
    assert (whole.stated, capped.stated) == (32, 32)
    assert (whole.preprocessing.most, capped.preprocessing.most) == (16, 4)
    assert whole.digest != capped.digest


def test_a_varied_picture_keeps_its_shape_and_what_is_padding(folder):
    network = load_network(folder)
    rows = [network.prepare(item) for item in pictures(2)]
    plain, varied = (
        network.batch(rows, chance)["pixel_values"] for chance in (None, [np.random.default_rng(n) for n in range(2)])
    )
    assert plain.shape == varied.shape
    assert not torch.equal(plain, varied)


def test_an_export_reads_pictures_of_any_shape_as_the_run_does(tmp_path):
    run = finished_run(tmp_path / "run", net(), preprocessor=PROCESSOR)
    assert export(run, tmp_path / "out").difference < TOLERANCE
    assert json.loads((tmp_path / "out" / "preprocessor_config.json").read_text())["max_num_patches"] == 16
