"""Rows of different lengths, resumed in the middle of a net: masks go along, whatever length the net was looked at."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch

from recommender.tuning.activation_cache import ActivationCache
from recommender.tuning.classifier import Classifier, fresh_head
from recommender.tuning.data import ItemRows, keep
from registry.encoders.layers import layers_of
from registry.encoders.loading import load_network
from registry.modalities import modalities
from registry.progress import silent
from registry.targets import Positions, Targets
from tests.registry.modalities.text.nets import SENTENCES, save

SHORT = ("Yes", "No way", "Well")
ITEMS = modalities["text"].from_memory([*SHORT, *SENTENCES, "long " * 100])


def _rows(name):
    with TemporaryDirectory() as place:
        network = load_network(save(Path(place), name))
    layers = layers_of(network)
    classifier = Classifier(network, layers, layers.names[-1], fresh_head(16, 3))
    torch.nn.init.normal_(classifier.head.weight)
    classifier.eval()
    positions = Positions.of(Targets.of(np.zeros(len(ITEMS), np.int64)))
    return classifier, ItemRows([network.prepare(item) for item in ITEMS], positions, network)


def _inputs(batch):
    return {name: tensor for name, tensor in batch.items() if name != "labels"}


@pytest.mark.parametrize("name", ["bert", "bert-classifier", "distilbert", "roberta", "gpt2", "gpt2-classifier"])
def test_short_and_long_rows_say_the_same_when_resumed_behind_any_block(name, tmp_path):
    built, rows = _rows(name)
    for block in built.layers.names[:-1]:
        boundary = ActivationCache(built, block, _inputs(rows.batch(range(len(SHORT)))), rows.context([0]).keys())
        kept = keep(boundary, rows, tmp_path / f"{block}.npy", silent, "rows")
        built.cache = boundary
        for some in (range(3), [5, 1], range(len(ITEMS)), [len(ITEMS) - 1]):
            with torch.inference_mode():
                whole, resumed = built(**_inputs(rows.batch(some))), built(**_inputs(kept.batch(some)))
            torch.testing.assert_close(resumed, whole, atol=1e-4, rtol=1e-4)


def test_a_net_that_hands_on_what_depends_on_the_length_is_refused():
    built, rows = _rows("t5")
    similar = _inputs(rows.batch([len(ITEMS) - 1, len(ITEMS) - 1]))
    with pytest.raises(ValueError, match="depends on a row's length"):
        ActivationCache(built, built.layers.names[0], similar, rows.context([0]).keys())
