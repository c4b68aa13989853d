"""What no transfer at all would score: raw inputs with a linear head and with nearest neighbors, the better one.

Images are shrunk to 24 x 24 pixels; the folds, and so the rows, are the probe's own, which makes the two paired.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int, Shaped
from PIL import Image

from recommender.resampling import Z, draw_weights, resample
from recommender.transfer.linear import out_of_fold
from recommender.verdicts import Baseline, Expected
from registry.index import neighbors
from registry.progress import Progress, silent, told
from registry.readers.images import ImageItem
from registry.sample import Sample, score

__all__ = ["baseline", "better", "held_out", "no_transfer", "raw_pixels"]

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
    return Baseline(model, Expected.around(sample.metric, mean, reach), found[model])


def no_transfer(
    train: Sample, test: Sample, *, seed: int = 0, progress: Progress = silent
) -> tuple[str, Shaped[np.ndarray, "m ..."]]:
    """What *no transfer* says of test rows: the model with the better score in folds of the training rows.

    Raises:
        TooFewRows: the training rows cannot be folded.
    """
    pixels = _shrunk((*train.items, *test.items), progress)
    best = better(train, pixels[: len(train)], seed)
    asked = np.repeat([-1, 0], [len(train), len(test)])
    return best, _MODELS[best](pixels, np.concatenate([train.targets, test.targets]), asked)[len(train) :]


def better(sample: Sample, pixels: Float[np.ndarray, "n d"], seed: int = 0) -> str:
    """Name of the model with the better score in folds of the sample's rows.

    Raises:
        TooFewRows: they cannot be folded.
    """
    folds, truth = sample.folds(seed=seed), sample.targets
    told, tested = held_out(pixels, truth, folds), folds >= 0
    return max(told, key=lambda name: score(sample.metric, truth[tested], told[name][tested]))


def held_out(
    pixels: Float[np.ndarray, "n d"], targets: Shaped[np.ndarray, "n ..."], folds: Int[np.ndarray, " n"]
) -> dict[str, Shaped[np.ndarray, "n ..."]]:
    """What either model says of the rows of each fold after the others, by the model's name; -1 where fold is -1."""
    return {name: model(pixels, targets, folds) for name, model in _MODELS.items()}


def raw_pixels(sample: Sample, progress: Progress = silent) -> Float[np.ndarray, "n d"]:
    """Every image as a row of shrunken pixels in 0 to 1; one channel where all are gray."""
    return _shrunk(sample.items, progress)


def _shrunk(items: Sequence[ImageItem], progress: Progress) -> Float[np.ndarray, "n d"]:
    small = np.stack([
        np.asarray(item.open().resize((SIDE, SIDE), Image.Resampling.BOX), np.float32) / 255
        for item in told(items, "raw pixels", len(items), progress)
    ])  # fmt: skip
    if np.array_equal(small[..., 0], small[..., 1]) and np.array_equal(small[..., 1], small[..., 2]):
        small = small[..., :1]
    return small.reshape(len(small), -1)


def _linear(
    pixels: Float[np.ndarray, "n d"], targets: Shaped[np.ndarray, "n ..."], folds: Int[np.ndarray, " n"]
) -> Shaped[np.ndarray, "n ..."]:
    return out_of_fold(pixels, targets, folds).predicted


def _of_neighbors(
    pixels: Float[np.ndarray, "n d"], targets: Shaped[np.ndarray, "n ..."], folds: Int[np.ndarray, " n"]
) -> Shaped[np.ndarray, "n ..."]:
    """Vote of the nearest rows of other folds; the labels that most of them have; or the mean of their quantities."""
    predicted = np.full(targets.shape, -1, targets.dtype)
    for fold in np.unique(folds[folds >= 0]):
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        near = train[neighbors(pixels[test], pixels[train], min(NEIGHBORS, len(train)))[1]]
        if np.issubdtype(targets.dtype, np.integer):
            predicted[test] = _vote(targets, near)
        else:
            mean = targets[near].mean(axis=1)
            predicted[test] = mean > 0.5 if targets.ndim > 1 else mean
    return predicted


def _vote(targets: Int[np.ndarray, " n"], near: Int[np.ndarray, "m k"]) -> Int[np.ndarray, " m"]:
    votes = np.zeros((len(near), int(targets.max()) + 1))
    for column in range(near.shape[1]):
        votes[np.arange(len(near)), targets[near[:, column]]] += 1 - 1e-3 * column
    return np.asarray(votes.argmax(1))


_MODELS: Mapping[str, Callable[..., Shaped[np.ndarray, "n ..."]]] = {
    "raw pixels + linear": _linear, f"raw pixels + {NEIGHBORS} nearest neighbors": _of_neighbors,
}  # fmt: skip
