import numpy as np
import pytest

from recommender.tuning import data
from recommender.tuning.data import open_pictures
from registry.encoders.preprocessing import read_preprocessing
from registry.progress import silent
from tests.registry.encoders.nets import pictures, save_net


@pytest.fixture
def preprocessing(tmp_path):
    return read_preprocessing(save_net(tmp_path / "net", "resnet"))


def test_a_batch_is_what_the_preprocessing_makes_of_the_pictures(preprocessing, tmp_path):
    items = pictures(5)
    opened = open_pictures(items, np.arange(5), preprocessing, tmp_path / "spill.npy", silent, "open")
    batch = opened.batch([3, 1])
    assert batch["labels"].tolist() == [3, 1]
    for made, row in zip(batch["pixel_values"], (3, 1), strict=True):
        np.testing.assert_allclose(made.numpy(), preprocessing.tensor(items[row].open()), atol=1e-6)
    assert not (tmp_path / "spill.npy").exists()


def test_more_than_memory_should_hold_lies_on_disk(preprocessing, tmp_path, monkeypatch):
    small = open_pictures(pictures(4), np.arange(4), preprocessing, tmp_path / "small.npy", silent, "open")
    monkeypatch.setattr(data, "_IN_MEMORY", 1000)
    large = open_pictures(pictures(4), np.arange(4), preprocessing, tmp_path / "large.npy", silent, "open")
    assert (tmp_path / "large.npy").stat().st_size > 4 * 3 * 32 * 32
    assert np.array_equal(small.pixels, large.pixels)


def test_progress_is_told(preprocessing, tmp_path):
    heard = []
    open_pictures(pictures(3), np.arange(3), preprocessing, tmp_path / "s", lambda *told: heard.append(told), "open")
    assert heard[-1] == ("open", 3, 3)
