"""What no transfer at all would score: raw inputs with a linear head and with nearest neighbors, the better one.

Images are shrunk to 24 x 24 pixels; the folds, and so the rows, are the probe's own, which makes the two paired.
"""

import numpy as np
from jaxtyping import Float, Int
from PIL import Image

from recommender.resampling import Z, draw_weights, resample
from recommender.transfer.linear import out_of_fold
from recommender.verdicts import Baseline, Expected
from registry.index import neighbors
from registry.progress import Progress, silent, told
from registry.sample import Sample

__all__ = ["baseline", "held_out", "raw_pixels"]

SIDE = 24
NEIGHBORS = 5


def baseline(sample: Sample, *, folds: Int[np.ndarray, " n"], seed: int = 0, progress: Progress = silent) -> Baseline:
    """Cross-validate both models on the sample's rows; the one with the better score speaks for *no transfer*."""
    pixels = raw_pixels(sample, progress)
    found = held_out(pixels, sample.targets, folds)
    weights = draw_weights(sample.group_ids, seed=seed)
    tested = folds >= 0
    scored = {
        model: resample(sample.metric, sample.targets[tested], guess[tested], weights[:, tested])
        for model, guess in found.items()
    }
    model = max(scored, key=lambda name: scored[name].value)
    mean, reach = scored[model].value, Z * scored[model].standard_error
    return Baseline(model, Expected(sample.metric, mean, max(0.0, mean - reach), min(1.0, mean + reach)), found[model])


def held_out(
    pixels: Float[np.ndarray, "n d"], targets: Int[np.ndarray, " n"], folds: Int[np.ndarray, " n"]
) -> dict[str, Int[np.ndarray, " n"]]:
    """What either model says of the rows of each fold after the others, by the model's name; -1 where fold is -1."""
    return {
        "raw pixels + linear": out_of_fold(pixels, targets, folds).predicted,
        f"raw pixels + {NEIGHBORS} nearest neighbors": _vote(pixels, targets, folds),
    }


def raw_pixels(sample: Sample, progress: Progress = silent) -> Float[np.ndarray, "n d"]:
    """Every image as a row of shrunken pixels in 0 to 1; one channel where all are gray."""
    small = np.stack([
        np.asarray(item.open().resize((SIDE, SIDE), Image.Resampling.BOX), np.float32) / 255
        for item in told(sample.items, "raw pixels", len(sample.items), progress)
    ])  # fmt: skip
    if np.array_equal(small[..., 0], small[..., 1]) and np.array_equal(small[..., 1], small[..., 2]):
        small = small[..., :1]
    return small.reshape(len(small), -1)


def _vote(
    pixels: Float[np.ndarray, "n d"], targets: Int[np.ndarray, " n"], folds: Int[np.ndarray, " n"]
) -> Int[np.ndarray, " n"]:
    predicted = np.full(len(targets), -1)
    for fold in np.unique(folds[folds >= 0]):
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        _, near = neighbors(pixels[test], pixels[train], min(NEIGHBORS, len(train)))
        votes = np.zeros((len(test), int(targets.max()) + 1))
        for column in range(near.shape[1]):
            votes[np.arange(len(test)), targets[train][near[:, column]]] += 1 - 1e-3 * column
        predicted[test] = votes.argmax(1)
    return predicted
