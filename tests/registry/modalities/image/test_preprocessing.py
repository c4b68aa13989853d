import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import transformers
from PIL import Image

from registry.errors import Unsupported
from registry.modalities.image import preprocessing
from registry.modalities.image.preprocessing import read_preprocessing
from tests.conftest import drawn

CROPPED = {
    "size": {"shortest_edge": 40},
    "crop_size": {"height": 36, "width": 36},
    "do_center_crop": True,
    "resample": 2,
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.5, 0.6, 0.7],
    "rescale_factor": 1 / 255,
}
SETTINGS = {
    "mobilenet v1": {"image_processor_type": "MobileNetV1ImageProcessor", **CROPPED},
    "mobilenet v2": {"image_processor_type": "MobileNetV2ImageProcessor", **CROPPED},
    "vit": {"image_processor_type": "ViTImageProcessor", "size": {"height": 24, "width": 24}, "resample": 3},
    "vit, slow": {"image_processor_type": "ViTImageProcessorFast", "size": {"height": 24, "width": 24}},
    "vit, old": {"feature_extractor_type": "ViTFeatureExtractor", "size": 24},
    "raw": {
        "image_processor_type": "ViTImageProcessor",
        "size": {"height": 24, "width": 24},
        "image_mean": [0, 0, 0],
        "image_std": [1 / 255] * 3,
    },
    "not normalized": {
        "image_processor_type": "ViTImageProcessor",
        "size": {"height": 24, "width": 24},
        "do_normalize": False,
    },
    "convnext": {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 30}, "crop_pct": 0.8},
    "bit": {"image_processor_type": "BitImageProcessor", **CROPPED, "resample": 3},
    "deit": {
        "image_processor_type": "DeiTImageProcessor",
        "size": {"height": 30, "width": 30},
        "crop_size": {"height": 26, "width": 26},
    },
    "efficientnet": {
        "image_processor_type": "EfficientNetImageProcessor",
        "size": {"height": 30, "width": 30},
        "rescale_offset": True,
        "rescale_factor": 1 / 127.5,
        "do_normalize": False,
    },
    "mobilevit": {
        "image_processor_type": "MobileViTImageProcessor",
        "size": {"shortest_edge": 30},
        "crop_size": {"height": 28, "width": 28},
    },
    "larger crop": {
        "image_processor_type": "MobileNetV1ImageProcessor",
        **CROPPED,
        "crop_size": {"height": 48, "width": 48},
    },
}
SHAPES = [(60, 44), (20, 33), (48, 48)]


def settle(folder, settings):
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def theirs(settings, image):
    kind = settings.get("image_processor_type", "ViTImageProcessor").removesuffix("Fast") + "Pil"
    return getattr(transformers, kind).from_dict(settings).preprocess(image)["pixel_values"][0]


@pytest.mark.parametrize("name", sorted(SETTINGS))
@pytest.mark.parametrize("shape", SHAPES)
def test_a_picture_becomes_what_transformers_makes_of_it(name, shape, tmp_path):
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8))
    ours = read_preprocessing(settle(tmp_path, SETTINGS[name])).tensor(image)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs(SETTINGS[name], image), rtol=1e-5, atol=1e-5)


def test_a_gray_picture_is_read_as_one_of_three_channels(tmp_path):
    built = read_preprocessing(settle(tmp_path, SETTINGS["vit"])).tensor(Image.new("L", (10, 10), 7))
    assert built.shape == (3, 24, 24)


def test_many_threads_make_what_one_makes(tmp_path):
    preprocessing = read_preprocessing(settle(tmp_path, SETTINGS["mobilenet v2"]))
    images = [Image.fromarray(drawn(n, 50)) for n in range(16)]
    with ThreadPoolExecutor(8) as pool:
        for built, image in zip(pool.map(preprocessing.tensor, images), images, strict=True):
            assert np.array_equal(built, preprocessing.tensor(image))


@pytest.mark.parametrize(
    "name", ["mobilenet v1", "vit", "convnext", "bit", "deit", "efficientnet", "mobilevit", "larger crop"]
)
def test_a_cap_makes_the_input_as_small_as_asked(name, tmp_path):
    settle(tmp_path, SETTINGS[name])
    whole, capped = read_preprocessing(tmp_path), read_preprocessing(tmp_path, cap=20)
    assert capped.side == 20
    assert capped.stated == whole.stated == whole.side
    assert capped.digest != whole.digest


def test_a_capped_picture_shows_the_same_part_only_smaller(tmp_path):
    settle(tmp_path, SETTINGS["mobilenet v1"] | {"do_normalize": False})
    ramp = np.tile(np.linspace(0, 255, 200).astype(np.uint8)[None, :, None], (200, 1, 3))
    image = Image.fromarray(ramp)
    whole, half = (read_preprocessing(tmp_path, cap=cap).tensor(image) for cap in (36, 18))
    np.testing.assert_allclose(half[0, 9], whole[0, 9].reshape(18, 2).mean(1), atol=0.02)


def test_a_cap_that_is_not_reached_changes_nothing(tmp_path):
    settle(tmp_path, SETTINGS["vit"])
    assert read_preprocessing(tmp_path, cap=24).digest == read_preprocessing(tmp_path).digest


def test_a_large_convnext_input_is_warped_and_stays_so_when_capped(tmp_path):
    settle(tmp_path, {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 384}})
    edge = np.zeros((60, 60, 3), np.uint8)
    edge[0] = 255
    assert read_preprocessing(tmp_path, cap=60).tensor(Image.fromarray(edge))[0, 0].mean() > 0.9


def test_a_shape_that_follows_the_picture_is_cropped_to_a_square(tmp_path):
    settle(
        tmp_path, {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 32}, "do_center_crop": False}
    )
    preprocessing = read_preprocessing(tmp_path)
    assert {preprocessing.tensor(Image.new("RGB", shape)).shape for shape in SHAPES} == {(3, 32, 32)}


def test_settings_inside_a_processor_file_are_found(tmp_path):
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": SETTINGS["vit"]}))
    assert read_preprocessing(tmp_path).side == 24


def test_without_settings_nothing_is_guessed(tmp_path):
    with pytest.raises(Unsupported, match="nobody knows"):
        read_preprocessing(tmp_path)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"image_processor_type": "NobodysImageProcessor"}, "not one of transformers'"),
        ({"image_processor_type": "os"}, "not one of transformers'"),
        ({"size": 24}, "not one of transformers'"),
        ({"image_processor_type": "ViTImageProcessor", "do_resize": False}, "no fixed size"),
        ({"image_processor_type": "ViTImageProcessor", "size": "large"}, "image processor"),
    ],
)
def test_what_cannot_be_reproduced_is_said(settings, why, tmp_path):
    with pytest.raises(Unsupported, match=why):
        read_preprocessing(settle(tmp_path, settings))


def test_old_settings_without_a_type_are_read_as_transformers_does(tmp_path):
    settle(tmp_path, {"do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": 24})
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    preprocessing = read_preprocessing(tmp_path)
    assert (preprocessing.side, type(preprocessing.processor).__name__) == (24, "ViTImageProcessorPil")


ABSURD = {
    "one mean": {"image_mean": [0.5]},
    "no mean": {"image_mean": []},
    "mean in words": {"image_mean": "gray"},
    "nested mean": {"image_mean": [[0.5], 0.5, 0.5]},
    "spread of zero": {"image_std": [0.5, 0, 0.5]},
    "no spread": {"image_std": 0},
    "negative spread": {"image_std": [-1, 1, 1]},
    "mean of 255 on pictures of 1": {"image_mean": [123.7, 116.3, 103.5], "image_std": [58.4, 57.1, 57.4]},
    "spread far too small": {"image_std": [1e-9] * 3},
    "rescaling forgotten": {"do_rescale": False, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
    "factor of zero": {"rescale_factor": 0},
    "factor in words": {"rescale_factor": "1/255"},
    "far too large": {"size": {"height": 12000, "width": 12000}},
    "a bomb": {"size": 10**7},
    "below zero": {"size": {"height": -3, "width": 24}},
    "of no size": {"size": {"height": 0, "width": 0}},
    "a bomb by its crop": {
        "image_processor_type": "ConvNextImageProcessor",
        "size": {"shortest_edge": 32},
        "crop_pct": 1e-5,
    },
    "a bomb by its padding": {"do_pad": True, "pad_size": {"height": 10**6, "width": 10**6}},
    "a size of words": {"size": {"height": "24", "width": None}},
    "resampled by nothing": {"resample": 99},
    "resampled by words": {"resample": "best"},
}


@pytest.mark.parametrize("name", sorted(ABSURD))
def test_absurd_settings_are_refused_before_a_picture_is_made(name, tmp_path):
    with pytest.raises(Unsupported) as caught:
        read_preprocessing(settle(tmp_path, {**SETTINGS["vit"], **ABSURD[name]}))
    assert caught.value.remedy


def test_means_of_255_without_rescaling_are_sound(tmp_path):
    means = {"image_mean": [123.7, 116.3, 103.5], "image_std": [58.4, 57.1, 57.4], "do_rescale": False}
    black = read_preprocessing(settle(tmp_path, {**SETTINGS["vit"], **means})).tensor(Image.new("RGB", (9, 9)))
    np.testing.assert_allclose(black[:, 0, 0], -np.divide(means["image_mean"], means["image_std"]), rtol=1e-5)


@pytest.mark.parametrize("size", [(600, 9), (9, 600), (2_001, 40), (4_000, 200)])
def test_of_a_long_picture_the_same_middle_is_seen_though_the_rest_is_cut_away_first(size, tmp_path, monkeypatch):
    settings = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 32},
        "do_center_crop": True,
        "crop_size": {"height": 32, "width": 32},
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    read = read_preprocessing(tmp_path)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))
    cut = read.pixels(picture).astype(int)
    monkeypatch.setattr(preprocessing, "_LONG", 10**9)
    assert np.abs(cut - read.pixels(picture)).mean() < 3


def test_a_scan_line_is_not_blown_up(tmp_path, monkeypatch):
    settings = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 224},
        "do_center_crop": True,
        "crop_size": {"height": 224, "width": 224},
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    read, widest = read_preprocessing(tmp_path), list[int]()
    process = type(read.processor).preprocess
    monkeypatch.setattr(
        type(read.processor),
        "preprocess",
        lambda self, image, **how: widest.append(max(image.size)) or process(self, image, **how),
    )
    assert read.pixels(Image.new("RGB", (30_000, 1), (9, 9, 9))).shape == (3, 224, 224)
    assert max(widest) < 32


TIMM = {"input_size": [3, 32, 32], "crop_pct": 0.8, "interpolation": "bilinear", "mean": [0.5] * 3, "std": [0.5] * 3}


def test_the_transform_that_timm_states_in_its_config_is_followed(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet18", "pretrained_cfg": TIMM}))
    read = read_preprocessing(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    resized = np.asarray(picture.resize((60, 40), Image.Resampling.BILINEAR), np.float32)
    expected = resized[4:36, 14:46].transpose(2, 0, 1) / 255 * 2 - 1
    np.testing.assert_allclose(read.tensor(picture), expected, atol=1e-5)


@pytest.mark.parametrize("changes", [{"input_size": None}, {"crop_pct": "all"}, {"interpolation": "magic"}])
def test_a_transform_of_timm_that_is_not_known_is_refused(tmp_path, changes):
    (tmp_path / "config.json").write_text(json.dumps({"pretrained_cfg": {**TIMM, **changes}}))
    with pytest.raises(Unsupported, match="timm"):
        read_preprocessing(tmp_path)


@pytest.mark.parametrize("mean", [0.5, [0.5], [0.5, 0.5, 0.5]])
def test_a_net_of_one_channel_sees_a_picture_in_gray(tmp_path, mean):
    stated = {**SETTINGS["vit"], "image_mean": mean, "image_std": mean, "do_convert_rgb": True}
    read = read_preprocessing(settle(tmp_path, stated), channels=1)
    colored = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8))
    assert read.tensor(colored).shape[0] == 1
    np.testing.assert_array_equal(read.tensor(colored), read.tensor(colored.convert("L")))


def test_colors_that_a_net_of_one_channel_would_weigh_apart_are_refused(tmp_path):
    stated = {**SETTINGS["vit"], "image_mean": [0.4, 0.5, 0.6]}
    with pytest.raises(Unsupported, match="takes one channel"):
        read_preprocessing(settle(tmp_path, stated), channels=1)
