from decimal import Decimal

import numpy as np
import pytest
import torch

from registry.errors import LengthMismatch, UnusableArrays, UnusableLabels
from registry.readers.memory import label_values, plain_labels, read_values


@pytest.mark.parametrize("shape", [(3, 8, 6), (3, 8, 6, 1), (3, 8, 6, 3)])
def test_gray_and_color_arrays_open_as_rgb(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    rows = read_values(pixels, ["a", "b", "a"])
    opened = np.asarray(rows.items[1].open())
    assert opened.shape == (8, 6, 3)
    assert (opened == pixels[1].reshape(8, 6, -1)).all()
    assert rows.converted == ({} if shape[-1] == 3 else {"gray": 3})


def test_equal_bytes_of_another_shape_are_another_item():
    pixels = np.arange(48, dtype=np.uint8)
    wide, tall = read_values(pixels.reshape(1, 6, 8), ["a"]), read_values(pixels.reshape(1, 8, 6), ["a"])
    assert wide.items[0].digest != tall.items[0].digest


@pytest.mark.parametrize(
    "images",
    [np.zeros((2, 4, 4)), np.zeros((2, 4), np.uint8), np.zeros((2, 4, 4, 2), np.uint8), np.zeros((0, 4, 4), np.uint8)],
)
def test_what_is_no_stack_of_images_is_refused(images):
    with pytest.raises(UnusableArrays, match="images cannot be an array of"):
        read_values(images, ["a"] * len(images))


def test_every_image_needs_its_label():
    with pytest.raises(LengthMismatch, match="2 rows against 1"):
        read_values(np.zeros((2, 4, 4), np.uint8), ["a"])


@pytest.mark.parametrize(
    ("labels", "rows"),
    [
        (["a", None, "b", None], (1, 3)),
        ([0, 1, 1.5], (2,)),
        (np.array([0.0, np.nan]), (1,)),
        (["a", 1, "b"], (1,)),
        (["a", " "], (1,)),
        ([["a"], ["b"]], (0, 1)),
    ],
)
def test_unusable_labels_are_named_by_row(labels, rows):
    with pytest.raises(UnusableLabels) as caught:
        plain_labels(labels)
    assert caught.value.rows == rows


def test_whole_numbers_of_every_kind_are_labels():
    assert plain_labels(np.array([1.0, 2.0])) == plain_labels([1, 2]) == plain_labels(np.array([1, 2], np.int8))


def test_labels_of_tensors_and_decimals_are_numbers():
    assert plain_labels(torch.tensor([0, 1])) == plain_labels([torch.tensor(0), torch.tensor(1)]) == ("0", "1")
    assert label_values([Decimal(1) / 4, "a"]) == [0.25, "a"]
    with pytest.raises(UnusableLabels):
        plain_labels(torch.tensor(1))
