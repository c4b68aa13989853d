"""What no transfer at all would score: raw inputs with a linear head and with nearest neighbors, the better one.

Images are shrunk to 24 x 24 pixels; the folds, and so the rows, are the probe's own, which makes the two paired.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int, Shaped
from PIL import Image

from recommender.resampling import draw_weights, resample
from recommender.results import Baseline, Expected
from recommender.transfer.linear import out_of_fold
from registry.cards import Modality
from registry.encoders import BlockSize
from registry.features import Encoded, Features
from registry.index import neighbors
from registry.metrics import Z, score
from registry.modalities import Item
from registry.progress import Phase, Progress, silent, tracked
from registry.sample import Sample

__all__ = [
    "NEIGHBORS",
    "NOTHING",
    "RAW",
    "SIDE",
    "STRATEGIES",
    "RawPixels",
    "baseline",
    "better",
    "held_out",
    "no_transfer",
    "raw_pixels",
    "votes",
]

SIDE = 24
SPREAD = 0.02
"""Standard deviation of a model's test score around its cross-validated one, beyond what either part's rows explain."""
NEIGHBORS = 5
RAW = "raw pixels"
"""What stands for the block that a head reads where nothing is transferred."""
NOTHING = "no transfer"
"""What stands for the checkpoint there; no checkpoint can have that name."""
LINEAR, NEAREST = f"{RAW} + linear", f"{RAW} + {NEIGHBORS} nearest neighbors"
STRATEGIES: Mapping[str, str] = {LINEAR: "raw-linear", NEAREST: "raw-neighbors"}
"""The strategy of a run that carries a model of no transfer out, by the model's name."""


def baseline(sample: Sample, *, folds: Int[np.ndarray, " n"], seed: int = 0, progress: Progress = silent) -> Baseline:
    """Cross-validate both models on the sample's rows; the one with the better score speaks for *no transfer*."""
    pixels = raw_pixels(sample, progress)
    groups = None if sample.groups is None else sample.group_ids
    found = held_out(pixels, sample.targets, folds, groups)
    weights = draw_weights(sample.group_ids, seed=seed)
    tested = folds >= 0
    scored = {
        model: resample(sample.metric, sample.targets[tested], guess[tested], weights[:, tested])
        for model, guess in found.items()
    }
    model = max(scored, key=lambda name: scored[name].value)
    mean, test_rows = scored[model].value, round(0.25 * len(sample)) if sample.test is None else len(sample.test)
    reach = Z * float(np.sqrt(scored[model].standard_error ** 2 * (1 + len(sample) / max(test_rows, 1)) + SPREAD**2))
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
    groups = np.concatenate([train.group_ids, len(train) + np.arange(len(test))])
    targets = np.concatenate([train.targets, test.targets])
    return best, _MODELS[best](pixels, targets, asked, groups)[len(train) :]


def better(sample: Sample, pixels: Float[np.ndarray, "n d"], seed: int = 0) -> str:
    """Name of the model with the better score in folds of the sample's rows.

    Raises:
        TooFewRows: they cannot be folded.
    """
    folds, truth = sample.folds(seed=seed), sample.targets
    told, tested = held_out(pixels, truth, folds, sample.group_ids), folds >= 0
    return max(told, key=lambda name: score(sample.metric, truth[tested], told[name][tested]))


def held_out(
    pixels: Float[np.ndarray, "n d"],
    targets: Shaped[np.ndarray, "n ..."],
    folds: Int[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"] | None = None,
) -> dict[str, Shaped[np.ndarray, "n ..."]]:
    """What either model says of the rows of each fold after the others, by the model's name; -1 where fold is -1."""
    return {name: model(pixels, targets, folds, groups) for name, model in _MODELS.items()}


@dataclass(frozen=True)
class RawPixels:
    """The encoder of no transfer: pixels of an image shrunk to `SIDE` x `SIDE`, row by row, in 0 to 1.

    With one channel, what is colored is read as its luma.
    """

    channels: int
    name: str = RAW
    digest: str = ""
    modality: Modality = Modality.IMAGE
    adaptable: tuple[str, ...] = ()
    sizes: tuple[BlockSize, ...] = ()
    blocks: ClassVar[tuple[str, ...]] = (RAW,)

    @classmethod
    def of(cls, pixels: Float[np.ndarray, "n d"]) -> "RawPixels":
        """What makes such rows."""
        return cls(pixels.shape[1] // SIDE**2)

    def encode(self, items: Sequence[Item], *, progress: Progress = silent) -> Encoded:
        """Pixels of the items as the features of the only block."""
        mode = "RGB" if self.channels == 3 else "L"
        rows = [
            np.asarray(item.open().resize((SIDE, SIDE), Image.Resampling.BOX).convert(mode), np.float32).ravel() / 255
            for item in tracked(items, progress, Phase.BASELINE, len(items), RAW)
        ]
        return Encoded((Features(np.stack(rows), f"{RAW} {self.channels}"),), self.blocks)


def votes(
    distances: Float[np.ndarray, "m k"], near: Shaped[np.ndarray, "m k ..."], classes: int
) -> Float[np.ndarray, "m c"]:
    """What neighbors say, a nearer one counting more, as 1 / distance; one at no distance alone.

    ``near`` are their targets: of class numbers the shares of votes, of labels (m, k, c) or values the mean.
    """
    with np.errstate(divide="ignore"):
        weights = 1 / np.asarray(distances, np.float64)
    same = np.isinf(weights)
    weights = np.where(same.any(axis=1, keepdims=True), same, weights)
    weights /= weights.sum(axis=1, keepdims=True)
    if near.ndim == 2 and np.issubdtype(near.dtype, np.integer):
        near = near[:, :, None] == np.arange(classes)
    elif near.ndim == 2:
        near = near[:, :, None]
    return np.asarray(np.einsum("mk,mkc->mc", weights, near.astype(np.float64)))


def raw_pixels(sample: Sample, progress: Progress = silent) -> Float[np.ndarray, "n d"]:
    """Every image as a row of shrunken pixels in 0 to 1; one channel where all are gray."""
    return _shrunk(sample.items, progress)


def _shrunk(items: Sequence[Item], progress: Progress) -> Float[np.ndarray, "n d"]:
    small = np.stack(
        [
            np.asarray(item.open().resize((SIDE, SIDE), Image.Resampling.BOX), np.float32) / 255
            for item in tracked(items, progress, Phase.BASELINE, len(items), RAW)
        ]
    )
    if np.array_equal(small[..., 0], small[..., 1]) and np.array_equal(small[..., 1], small[..., 2]):
        small = small[..., :1]
    return small.reshape(len(small), -1)


def _linear(
    pixels: Float[np.ndarray, "n d"],
    targets: Shaped[np.ndarray, "n ..."],
    folds: Int[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"] | None = None,
) -> Shaped[np.ndarray, "n ..."]:
    return out_of_fold(pixels, targets, folds, groups=groups).predicted


def _of_neighbors(
    pixels: Float[np.ndarray, "n d"],
    targets: Shaped[np.ndarray, "n ..."],
    folds: Int[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"] | None = None,
) -> Shaped[np.ndarray, "n ..."]:
    """Vote of the nearest rows of other folds; the labels that most of them have; or the mean of their quantities."""
    del groups  # whole groups are in one fold
    predicted = np.full(targets.shape, -1, targets.dtype)
    classes = int(targets.max()) + 1 if np.issubdtype(targets.dtype, np.integer) else 0
    for fold in np.unique(folds[folds >= 0]):
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        distances, near = neighbors(pixels[test], pixels[train], min(NEIGHBORS, len(train)))
        shares = votes(distances, targets[train[near]], classes)
        if classes:
            predicted[test] = shares.argmax(axis=1)
        else:
            predicted[test] = shares > 0.5 if targets.ndim > 1 else shares[:, 0]
    return predicted


_MODELS: Mapping[str, Callable[..., Shaped[np.ndarray, "n ..."]]] = {LINEAR: _linear, NEAREST: _of_neighbors}
