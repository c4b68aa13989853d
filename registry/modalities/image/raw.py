"""Features of no transfer: an image shrunk to 24 x 24 pixels, row by row, in 0 to 1; one channel where all are gray."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import Pipeline

from registry.modalities import RawRecipe
from registry.modalities.image.items import ImageItem

__all__ = ["SIDE", "Channels", "Shrunk", "raw_features", "raw_recipe"]

SIDE = 24
_CHANNELS = 3
_LUMA = np.array([19595, 38470, 7471], np.int64)
"""Of 65536 parts of an image's luma those of red, green and blue (ITU-R 601-2, as PIL has it)."""


class Shrunk(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Images to rows of SIDE x SIDE x 3 numbers in 0 to 1. There is nothing to fit."""

    def fit(self, X: Sequence[ImageItem], y: object = None) -> "Shrunk":
        """Learn nothing."""
        del X, y
        return self

    def transform(self, X: Sequence[ImageItem]) -> Float[np.ndarray, "n d"]:
        """Every image's pixels."""
        rows = [np.asarray(item.open().resize((SIDE, SIDE), Image.Resampling.BOX), np.float32) / 255 for item in X]
        return np.stack(rows).reshape(len(rows), -1)

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401 - scikit-learn's, which has no types
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags


class Channels(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # as above
    """One channel where all rows that it was fitted on are gray; what is colored is then read as its luma."""

    def fit(self, X: Float[np.ndarray, "n d"], y: object = None) -> "Channels":
        """Learn how many channels there are."""
        del y
        colors = X.reshape(len(X), -1, _CHANNELS)
        self.channels_ = 1 if (colors == colors[..., :1]).all() else _CHANNELS
        return self

    def transform(self, X: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n e"]:
        """The rows in so many channels."""
        if self.channels_ == _CHANNELS:
            return X
        colors = np.rint(X.reshape(len(X), -1, _CHANNELS) * 255).astype(np.int64)
        luma: Float[np.ndarray, "n p"] = ((colors @ _LUMA + 0x8000) >> 16).astype(np.float32) / 255
        return luma.reshape(len(X), -1)


def raw_features() -> Pipeline:
    """As `registry.modalities.Modality.raw`."""
    return Pipeline([("shrunk", Shrunk()), ("channels", Channels())])


def raw_recipe(fitted: Pipeline) -> RawRecipe:
    """As `registry.modalities.Modality.raw_recipe`."""
    channels = fitted.named_steps["channels"].channels_
    settings = {"side": SIDE, "channels": channels, "resize": "box", "divide_by": 255}
    return RawRecipe(
        settings,
        f"""import numpy as np
from PIL import Image

def features(path):
    small = Image.open(path).convert("RGB").resize(({SIDE}, {SIDE}), Image.Resampling.BOX)
    return np.asarray(small.convert("{"RGB" if channels == _CHANNELS else "L"}"), np.float32).ravel() / 255
""",
    )
