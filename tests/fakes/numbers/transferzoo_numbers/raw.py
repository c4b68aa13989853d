"""Features of no transfer: four moments of a series."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from registry.modalities import RawRecipe

__all__ = ["Moments", "raw_features", "raw_recipe"]


class Moments(TransformerMixin, BaseEstimator):
    """Series to mean, deviation, least and largest number."""

    def fit(self, X: Any, y: object = None) -> "Moments":
        """Learn nothing."""
        del X, y
        return self

    def transform(self, X: Any) -> np.ndarray:
        """A row for each series."""
        rows = [(one.mean(), one.std(), one.min(), one.max()) for one in (item.open() for item in X)]
        return np.array(rows, np.float32).reshape(-1, 4)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags


def raw_features() -> Pipeline:
    """As `Modality.raw`."""
    return Pipeline([("moments", Moments()), ("scale", StandardScaler())])


def raw_recipe(fitted: Pipeline) -> RawRecipe:
    """As `Modality.raw_recipe`."""
    scale = fitted.named_steps["scale"]
    mean, spread = scale.mean_.tolist(), scale.scale_.tolist()
    return RawRecipe(
        {"moments": ["mean", "deviation", "least", "largest"], "mean": mean, "scale": spread},
        f"""import json
import numpy as np

def features(path):
    one = np.array(json.load(open(path)), np.float64)
    row = np.array([one.mean(), one.std(), one.min(), one.max()], np.float32)
    return (row - np.array({mean}, np.float32)) / np.array({spread}, np.float32)
""",
    )
