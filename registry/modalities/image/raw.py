"""Features of no transfer: an image shrunk to 24 x 24 pixels, its oriented gradients, its colors, or all of them.

Pixels come row by row, in 0 to 1, of one channel where all are gray. Gradients are histograms of oriented gradients
(Dalal & Triggs 2005) of 48 x 48 gray pixels, as scikit-image has them: nine directions, cells of 8 x 8 pixels, blocks
of 2 x 2 cells, L2-Hys. Colors are the square roots of the shares (Arandjelovic & Zisserman 2012) of 64 colors.
"""

import ast
from collections.abc import Callable, Sequence
from inspect import getsource
from textwrap import dedent
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import Pipeline

from registry.errors import UnknownName
from registry.modalities import RawRecipe
from registry.modalities.image.items import ImageItem

__all__ = ["ALL", "COLORS", "GRADIENTS", "PIXELS", "SIDE", "Appearance", "AppearancePart", "raw_features", "raw_recipe"]

SIDE = 24
PIXELS, GRADIENTS, COLORS, ALL = "raw pixels", "oriented gradients", "color histograms", "pixels, gradients and colors"
_CHANNELS = 3
_COLORS = 64
_COLUMNS = {
    "pixels": slice(0, SIDE * SIDE * _CHANNELS),
    "gradients": slice(SIDE * SIDE * _CHANNELS, -_COLORS),
    "colors": slice(-_COLORS, None),
}
"""Of what `Appearance` gives."""
_PARTS = {PIXELS: ("pixels",), GRADIENTS: ("gradients",), COLORS: ("colors",), ALL: ("pixels", "gradients", "colors")}
_LUMA = np.array([19595, 38470, 7471], np.int64)
"""Of 65536 parts of an image's luma those of red, green and blue (ITU-R 601-2, as PIL has it)."""


def pixels(image: Image.Image, mode: str) -> Float[np.ndarray, " d"]:
    """24 x 24 pixels of a mode (``RGB`` or ``L``), in 0 to 1."""
    return np.asarray(image.resize((24, 24), Image.Resampling.BOX).convert(mode), np.float32).ravel() / 255


def gradients(image: Image.Image) -> Float[np.ndarray, " d"]:
    """Histograms of oriented gradients: 5 x 5 blocks of 2 x 2 cells with 9 directions each."""
    gray = np.asarray(image.convert("L").resize((48, 48), Image.Resampling.BILINEAR), np.float64)
    across, down = np.zeros((2, 48, 48))
    across[:, 1:-1], down[1:-1] = gray[:, 2:] - gray[:, :-2], gray[2:] - gray[:-2]
    strength, direction = np.hypot(across, down), np.rad2deg(np.arctan2(down, across)) % 180 // 20
    cell = np.arange(48) // 8
    places = (cell[:, None] * 6 + cell) * 9 + direction.astype(np.int64)
    cells = np.bincount(places.ravel(), strength.ravel() / 64, minlength=324).reshape(6, 6, 9)
    blocks = sliding_window_view(cells, (2, 2), (0, 1)).transpose(0, 1, 3, 4, 2).reshape(25, 36)
    for most in (0.2, 1.0):
        blocks = np.minimum(blocks / np.sqrt(np.square(blocks).sum(1, keepdims=True) + 1e-10), most)
    return blocks.astype(np.float32).ravel()


def colors(image: Image.Image) -> Float[np.ndarray, " d"]:
    """Square roots of the shares of 4 x 4 x 4 colors."""
    levels = np.asarray(image.resize((48, 48), Image.Resampling.BOX)) // 64 @ np.array([16, 4, 1])
    return np.asarray(np.sqrt(np.bincount(levels.ravel(), minlength=64) / levels.size), np.float32)


class Appearance(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Images to rows of pixels in three channels, then oriented gradients, then colors. There is nothing to fit."""

    def fit(self, X: Sequence[ImageItem], y: object = None) -> "Appearance":
        """Learn nothing."""
        del X, y
        return self

    def transform(self, X: Sequence[ImageItem]) -> Float[np.ndarray, "n d"]:
        """All that any features of no transfer read of every image, which is opened once."""
        return np.stack([_described(item.open()) for item in X])

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401 - scikit-learn's, which has no types
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags


class AppearancePart(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # as above
    """The columns of `Appearance` that a name stands for.

    Pixels have one channel where all rows that it was fitted on are gray; what is colored is then read as its luma.
    """

    def __init__(self, named: str = PIXELS) -> None:
        self.named = named

    def fit(self, X: Float[np.ndarray, "n d"], y: object = None) -> "AppearancePart":
        """Learn how many channels there are."""
        del y
        shades = X[:, _COLUMNS["pixels"]].reshape(len(X), -1, _CHANNELS)
        self.channels_ = 1 if (shades == shades[..., :1]).all() else _CHANNELS
        return self

    def transform(self, X: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n e"]:
        """The rows in those columns, pixels in so many channels."""
        parts = [self._read(X[:, _COLUMNS[part]], part) for part in _PARTS[self.named]]
        return np.concatenate(parts, axis=1)

    def _read(self, rows: Float[np.ndarray, "n d"], part: str) -> Float[np.ndarray, "n e"]:
        if part != "pixels" or self.channels_ == _CHANNELS:
            return rows
        shades = np.rint(rows.reshape(len(rows), -1, _CHANNELS) * 255).astype(np.int64)
        luma: Float[np.ndarray, "n p"] = ((shades @ _LUMA + 0x8000) >> 16).astype(np.float32) / 255
        return luma.reshape(len(rows), -1)


def raw_features(named: str = PIXELS) -> Pipeline:
    """As `registry.modalities.Modality.raw`.

    Raises:
        UnknownName: no features have that name.
    """
    if named not in _PARTS:
        raise UnknownName("raw features", named, tuple(_PARTS))
    return Pipeline([("described", Appearance()), ("part", AppearancePart(named))])


def raw_recipe(fitted: Pipeline) -> RawRecipe:
    """As `registry.modalities.Modality.raw_recipe`: what it calls is written out."""
    part = fitted.named_steps["part"]
    mode = "RGB" if part.channels_ == _CHANNELS else "L"
    called: dict[str, tuple[Callable[..., Any], str]] = {
        "pixels": (pixels, f'pixels(image, "{mode}")'),
        "gradients": (gradients, "gradients(image)"),
        "colors": (colors, "colors(image)"),
    }
    makers = [called[one] for one in _PARTS[part.named]]
    definitions = "\n\n".join(_bare(maker) for maker, _ in makers)
    imports = "from numpy.lib.stride_tricks import sliding_window_view\n" if gradients in dict(makers) else ""
    settings = {"features": part.named, "channels": part.channels_}
    return RawRecipe(
        settings,
        f"""import numpy as np
{imports}from PIL import Image

{definitions}

def features(path):
    image = Image.open(path).convert("RGB")
    return np.concatenate([{", ".join(call for _, call in makers)}])
""",
    )


def _described(image: Image.Image) -> Float[np.ndarray, " d"]:
    return np.concatenate([pixels(image, "RGB"), gradients(image), colors(image)])


def _bare(function: Callable[..., Any]) -> str:
    """The source of a function, without types and words."""
    (defined,) = ast.parse(dedent(getsource(function))).body
    assert isinstance(defined, ast.FunctionDef)  # noqa: S101 - it was defined with def
    defined.returns, defined.body, defined.decorator_list = None, defined.body[1:], []
    for argument in defined.args.args:
        argument.annotation = None
    return ast.unparse(defined)
