"""Tiny nets at random initialization, saved as checkpoints; and pictures to show them."""

import json
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
import transformers as t

from registry.encoders.loading import quiet
from registry.modalities.image.items import ImageItem
from registry.modalities.image.network import ImageNetwork
from registry.modalities.image.preprocessing import Preprocessing, read_preprocessing
from tests.conftest import drawn

SQUARE = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}, "resample": 2}
OF_A_KIND = ("dinov3_convnext", "pvt", "resnet", "vit")
"""Convolutions and attention, with blocks in one list and in lists of lists."""
NAMES = {0: "cat", 1: "dog", 2: "hen"}


def some_quick(nets: Iterable[str]) -> list:
    """Nets as parameters: one of each kind for every run of the tests, the others in the slow suite."""
    return [net if net in OF_A_KIND else pytest.param(net, marks=pytest.mark.slow) for net in sorted(nets)]


def _labels() -> dict:
    return {"id2label": NAMES, "label2id": {name: place for place, name in NAMES.items()}}


def small_transformer() -> dict:
    """A config of three small layers that reads pictures of 32 px."""
    return {
        "hidden_size": 16,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "image_size": 32,
        "patch_size": 8,
    }


def _mobile() -> dict:
    """Weights large enough that a signal comes through many thin layers."""
    return {"image_size": 32, "initializer_range": 0.3, **_labels()}


def _stages() -> dict:
    return {"hidden_sizes": [8, 12, 16, 24], "depths": [1, 1, 2, 1]}


NETS: dict[str, Callable[[], t.PreTrainedModel]] = {
    "convnext": lambda: t.ConvNextForImageClassification(t.ConvNextConfig(**_stages(), **_labels())),
    "deit": lambda: t.DeiTForImageClassification(t.DeiTConfig(**small_transformer(), **_labels())),
    "dinov2": lambda: t.Dinov2Model(t.Dinov2Config(**small_transformer())),
    "efficientnet": lambda: t.EfficientNetForImageClassification(
        t.EfficientNetConfig(width_coefficient=0.2, depth_coefficient=0.2, hidden_dim=256, **_mobile())
    ),
    "mobilenet_v1": lambda: t.MobileNetV1ForImageClassification(t.MobileNetV1Config(depth_multiplier=0.1, **_mobile())),
    "mobilenet_v2": lambda: t.MobileNetV2ForImageClassification(t.MobileNetV2Config(depth_multiplier=0.1, **_mobile())),
    "regnet": lambda: t.RegNetForImageClassification(
        t.RegNetConfig(embedding_size=8, groups_width=4, **_stages(), **_labels())
    ),
    "resnet": lambda: t.ResNetForImageClassification(
        t.ResNetConfig(embedding_size=8, layer_type="basic", **_stages(), **_labels())
    ),
    "segmentation": lambda: t.MobileNetV2ForSemanticSegmentation(
        t.MobileNetV2Config(depth_multiplier=0.1, **_mobile())
    ),
    "swin": lambda: t.SwinForImageClassification(
        t.SwinConfig(
            embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=4, image_size=32, patch_size=2, **_labels()
        )
    ),
    "textnet": lambda: t.TextNetForImageClassification(_textnet()),
    "vit": lambda: t.ViTForImageClassification(t.ViTConfig(**small_transformer(), **_labels())),
}


def _textnet() -> t.TextNetConfig:
    return t.TextNetConfig(
        stem_kernel_size=3,
        stem_stride=1,
        stem_num_channels=3,
        stem_out_channels=8,
        image_size=[32, 32],
        conv_layer_kernel_sizes=[[[3, 3]], [[3, 3]], [[3, 3]]],
        conv_layer_strides=[[1], [2], [2]],
        hidden_sizes=[8, 8, 12, 16],
        depths=[1, 1, 1],
        **_labels(),
    )


def save_net(folder: Path, net: str | t.PreTrainedModel, preprocessor: dict | None = None, seed: int = 0) -> Path:
    """A checkpoint's folder with a tiny net in it."""
    torch.manual_seed(seed)
    model = NETS[net]() if isinstance(net, str) else net
    for name, buffer in model.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    with quiet():
        model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(SQUARE if preprocessor is None else preprocessor))
    return folder


def network_of(model: t.PreTrainedModel, side: int = 32) -> ImageNetwork:
    """A model that lies in no folder, with pictures of that side going in."""
    return ImageNetwork(model, _preprocessing(side))


@lru_cache
def _preprocessing(side: int) -> Preprocessing:
    with TemporaryDirectory() as place:
        stated = {**SQUARE, "size": {"height": side, "width": side}}
        (Path(place) / "preprocessor_config.json").write_text(json.dumps(stated))
        return read_preprocessing(Path(place))


def pictures(count: int, side: int = 40) -> list[ImageItem]:
    """Different random pictures."""
    return [ImageItem(f"{n}.png", f"{n}", pixels=drawn(n, side)) for n in range(count)]


def settings(folder: Path, file: str = "config.json") -> dict:
    return json.loads((folder / file).read_text())


def change(folder: Path, file: str = "config.json", **values: object) -> None:
    """Set keys of one of a checkpoint's JSON files."""
    (folder / file).write_text(json.dumps({**settings(folder, file), **values}))


def weights(folder: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(folder / "model.safetensors")
