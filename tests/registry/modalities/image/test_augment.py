import numpy as np
import torch

from recommender.tuning.objective import Objective
from registry.cards import Task
from registry.modalities.image.augment import augmented
from tests.recommender.tuning.test_loop import learner


def picture(side=32):
    """A bright square left of the middle of a dark picture."""
    pixels = np.full((3, side, side), 40, np.uint8)
    pixels[:, 12:20, 4:12] = 220
    return pixels


def test_a_picture_keeps_its_form_and_follows_the_chance_it_is_given():
    one, same, other = (augmented(picture(), np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert one.shape == (3, 32, 32)
    assert one.dtype == np.uint8
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_nothing_is_mirrored():
    for seed in range(50):
        changed = augmented(picture(), np.random.default_rng(seed)).astype(float)
        assert changed[:, :, :16].mean() > changed[:, :, 16:].mean()


def test_a_gray_picture_stays_gray():
    changed = augmented(picture(), np.random.default_rng(3))
    assert (changed[0] == changed[1]).all()
    assert (changed[1] == changed[2]).all()


def test_augmented_rows_change_from_epoch_to_epoch_and_come_again_with_the_epoch(tmp_path):
    _, training = learner(tmp_path)
    rows = training.rows
    plain = rows.batch([0, 1])["pixel_values"]
    rows.seed = 7
    first = rows.batch([0, 1])["pixel_values"]
    rows.set_epoch(1)
    second = rows.batch([1])["pixel_values"]
    rows.set_epoch(0)
    assert not torch.equal(first, plain)
    assert not torch.equal(first[1:], second)
    assert torch.equal(rows.batch([1])["pixel_values"], first[1:])


def test_mixup_mixes_pictures_and_their_truth_alike():
    objective = Objective(Task.CLASSIFICATION, 2, 0.0, 0.4, None, 0.0)
    pixels, targets = torch.tensor([0.0, 1.0, 0.0, 1.0]).reshape(4, 1, 1, 1), torch.tensor([0, 1, 0, 1])
    mixed, truth = objective.mix({"x": pixels, "mask": targets}, targets, ("x",), np.random.default_rng(1))
    assert mixed["mask"] is targets
    torch.testing.assert_close(truth.sum(1), torch.ones(4))
    torch.testing.assert_close(mixed["x"].reshape(4), truth[:, 1])
    assert ((truth[:, 1] > 0) & (truth[:, 1] < 1)).any()


def test_without_mixup_nothing_is_mixed():
    objective = Objective(Task.CLASSIFICATION, 2, 0.0, 0.0, None, 0.0)
    pixels, targets = torch.rand(4, 1, 1, 1), torch.tensor([0, 1, 0, 1])
    mixed, truth = objective.mix({"x": pixels}, targets, ("x",), np.random.default_rng(1))
    assert mixed["x"] is pixels
    assert truth is targets
