import numpy as np
import pytest

from recommender.tuning import data
from recommender.tuning.data import prepare_rows
from registry.encoders.loading import load_network
from registry.progress import Event, Phase, silent
from registry.targets import Positions, Targets
from tests.observers import Recorder
from tests.registry.encoders.nets import pictures, save_net


def numbers(rows):
    return Positions.of(Targets.of(np.arange(rows)))


@pytest.fixture
def network(tmp_path):
    return load_network(save_net(tmp_path / "net", "resnet"))


def test_a_batch_is_what_the_preprocessing_makes_of_the_pictures(network, tmp_path):
    items = pictures(5)
    opened = prepare_rows(items, numbers(5), network, tmp_path / "spill", silent, "open")
    batch = opened.batch([3, 1])
    assert batch["labels"].tolist() == [3, 1]
    for built, row in zip(batch["pixel_values"], (3, 1), strict=True):
        np.testing.assert_allclose(built.numpy(), network.preprocessing.tensor(items[row].open()), atol=1e-6)
    assert not list(tmp_path.glob("spill*"))


def test_more_than_memory_should_hold_lies_on_disk(network, tmp_path, monkeypatch):
    small = prepare_rows(pictures(4), numbers(4), network, tmp_path / "small", silent, "open")
    monkeypatch.setattr(data, "_IN_MEMORY", 1000)
    large = prepare_rows(pictures(4), numbers(4), network, tmp_path / "large", silent, "open")
    assert (tmp_path / "large.pixels.npy").stat().st_size > 4 * 3 * 32 * 32
    for one, other in zip(small.prepared, large.prepared, strict=True):
        assert np.array_equal(one["pixels"], other["pixels"])


def test_progress_is_told(network, tmp_path):
    recorder = Recorder()
    prepare_rows(pictures(3), numbers(3), network, tmp_path / "s", recorder, "training")
    assert recorder.events[-1] == Event(Phase.PREPARE, "training", 3, 3)
