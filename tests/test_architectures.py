"""The table of architectures holds: whatever one of them refuses is named here, and one more refusal fails.

Image classifiers of transformers, a few of what has none, and the text models that people start from; all others by
``python -m tests.benchmarks.architectures``.
"""

from importlib.util import find_spec

import pytest
import torch
import transformers

from registry.encoders.loading import auto_class
from registry.modalities import modalities
from tests.benchmarks.architectures import USUAL, architectures, table

CONVOLUTIONS_ALONE = {"adapters"}
"""There is no linear layer in any block that an adapter could learn beside."""
ANOTHER_HEAD = {"exported"}
"""transformers' classifier reads something else than what its backbone gives."""
NO_CLASSIFIER = {"exported"}
"""transformers has none for the type."""

REFUSED: dict[str, set[str]] = {
    "BitForImageClassification": CONVOLUTIONS_ALONE,
    "DinatForImageClassification": {"registered"},
    "EfficientNetForImageClassification": CONVOLUTIONS_ALONE,
    "HGNetV2ForImageClassification": CONVOLUTIONS_ALONE,
    "ImageGPTForImageClassification": {"registered"},
    "MobileNetV1ForImageClassification": CONVOLUTIONS_ALONE,
    "MobileNetV2ForImageClassification": CONVOLUTIONS_ALONE,
    "MobileViTV2ForImageClassification": CONVOLUTIONS_ALONE,
    "PPLCNetForImageClassification": CONVOLUTIONS_ALONE,
    "PerceiverForImageClassificationConvProcessing": ANOTHER_HEAD,
    "PerceiverForImageClassificationFourier": ANOTHER_HEAD,
    "PerceiverForImageClassificationLearned": ANOTHER_HEAD,
    "PoolFormerForImageClassification": CONVOLUTIONS_ALONE,
    "RegNetForImageClassification": CONVOLUTIONS_ALONE,
    "ResNetForImageClassification": CONVOLUTIONS_ALONE,
    "SwiftFormerForImageClassification": ANOTHER_HEAD,
    "TextNetForImageClassification": CONVOLUTIONS_ALONE,
    "TimmWrapperForImageClassification": {"registered"},
    # texts
    "AlbertForSequenceClassification": {"resumed"},  # one layer that is gone through again and again
    "GPT2ForSequenceClassification": {"adapters"},
    "LlamaForSequenceClassification": ANOTHER_HEAD,
    "MPNetForSequenceClassification": {"resumed"},
    "MambaModel": {"adapters", "exported"},
    "T5EncoderModel": {"resumed", "exported"},  # its first layer hands on the positions of all
}
LACKING = {"DinatForImageClassification": "natten", "TimmWrapperForImageClassification": "timm"}
"""What must be missing for the refusal to stand."""
LONG = ("beit", "cvt", "efficientnet", "perceiver", "poolformer", "pvt")
"""Of these a row takes half a minute: they are wide at any size, or work at their full one alone."""
WITHOUT_CLASSIFIER = ("aimv2", "blip-2", "dinov3_convnext", "dinov3_vit", "dpt", "flava")
"""A few of a hundred."""
IMAGES = (*auto_class(modalities["image"])._model_mapping._model_mapping, *WITHOUT_CLASSIFIER)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("modality", "of_type"),
    [
        *(pytest.param("image", of_type, marks=[pytest.mark.long] * (of_type in LONG)) for of_type in IMAGES),
        *(("text", of_type) for of_type in USUAL["text"]),
    ],
)
def test_no_architecture_refuses_more_than_is_known(modality, of_type):
    threads = torch.get_num_threads()
    rows = list(table(modality, [of_type]))
    torch.set_num_threads(threads)
    for row in rows:
        if row.architecture in LACKING and find_spec(LACKING[row.architecture]) is not None:
            continue
        assert set(row.refused) <= REFUSED.get(row.architecture, set()), row


@pytest.mark.slow
def test_what_is_named_as_refused_is_an_architecture():
    kinds = [*architectures(modalities["image"], IMAGES), *architectures(modalities["text"])]
    named = {kind.__name__ for kind in kinds}
    assert set(REFUSED) <= named
    assert all(hasattr(transformers, name) for name in REFUSED)
