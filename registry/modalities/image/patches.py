"""Pictures as rows of patches, for nets that take any shape of picture within a number of patches (SigLIP 2's NaFlex).

A picture keeps its proportions as far as whole patches allow; what is left of the number of patches is padding, which
a mask leaves out (Tschannen et al. 2025, section 2.4). As for pictures of one size (`preprocessing`), the geometry is
transformers' own, and the straight line of each channel is read off the processor and held against it.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image
from transformers.image_processing_utils import BaseImageProcessor

from registry.errors import Unsupported
from registry.modalities import Prepared
from registry.modalities.image.augment import augmented

__all__ = ["INPUTS", "PatchPreprocessing", "gives_patches", "read_patches"]

INPUTS = ("pixel_values", "pixel_attention_mask", "spatial_shapes")
"""What such nets take: rows of patches, which of them are none, and how many there are in a column and in a row."""
_TOLERANCE = 1e-4
_COLORS = 3


@dataclass(frozen=True, eq=False)
class PatchPreprocessing:
    """What happens to a picture before the net sees it."""

    patch: int
    """Side of a patch in pixels."""
    most: int
    """Patches of a picture, padding among them."""
    stated: int
    """Side of the square that has as many patches as are stated, before any cap."""
    slope: Float[np.ndarray, " 3"]
    offset: Float[np.ndarray, " 3"]
    settings: Mapping[str, Any]
    processor: BaseImageProcessor
    mode: str = "RGB"
    blended: tuple[str, ...] = ()
    """Pictures of different shapes cannot be mixed."""

    @property
    def side(self) -> int:
        """Side of the square that has as many patches."""
        return round(math.sqrt(self.most) * self.patch)

    @property
    def height(self) -> int:
        """As `side`."""
        return self.side

    @property
    def width(self) -> int:
        """As `side`."""
        return self.side

    @property
    def digest(self) -> str:
        """SHA-256 of all settings, the cap's effect included."""
        return hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()

    def prepared(self, image: Image.Image) -> Prepared:
        """Rows of patches, still 8-bit, and how many there are in a column and in a row."""
        patches, grid = _patches(self.processor, image.convert(self.mode), do_rescale=False, do_normalize=False)
        return {"patches": patches.astype(np.uint8), "grid": grid}

    def batch(self, rows: Sequence[Prepared], chance: Sequence[np.random.Generator] | None) -> dict[str, np.ndarray]:
        """The net's arguments."""
        patches = [row["patches"] for row in rows]
        if chance is not None:
            patches = [
                self._varied(row["patches"], row["grid"], random) for row, random in zip(rows, chance, strict=True)
            ]
        mask = self.context(rows)[INPUTS[1]]
        pixels = np.stack(patches).astype(np.float32).reshape(len(rows), self.most, -1, _COLORS)
        normalized = (pixels * self.slope + self.offset).reshape(len(rows), self.most, -1) * mask[..., None]
        grids = np.stack([row["grid"] for row in rows])
        return {INPUTS[0]: normalized.astype(np.float32), INPUTS[1]: mask, INPUTS[2]: grids}

    def context(self, rows: Sequence[Prepared]) -> dict[str, np.ndarray]:
        """Which patches are none."""
        counts = np.array([int(np.prod(row["grid"])) for row in rows])
        return {INPUTS[1]: (np.arange(self.most) < counts[:, None]).astype(np.int32)}

    def _varied(
        self, patches: UInt8[np.ndarray, "m p"], grid: Int[np.ndarray, " 2"], random: np.random.Generator
    ) -> UInt8[np.ndarray, "m p"]:
        """Patches of the same picture seen a little otherwise."""
        (tall, wide), side = (int(count) for count in grid), self.patch
        cells = patches[: tall * wide].reshape(tall, wide, side, side, _COLORS)
        picture = cells.transpose(4, 0, 2, 1, 3).reshape(_COLORS, tall * side, wide * side)
        moved = augmented(np.ascontiguousarray(picture), random).reshape(_COLORS, tall, side, wide, side)
        varied = patches.copy()
        varied[: tall * wide] = moved.transpose(1, 3, 2, 4, 0).reshape(tall * wide, -1)
        return varied


def gives_patches(processor: BaseImageProcessor) -> bool:
    """Whether a processor makes rows of patches."""
    return set(INPUTS) <= set(processor.model_input_names)


def read_patches(folder: Path, processor: BaseImageProcessor, cap: int) -> PatchPreprocessing:
    """The preprocessing that a processor of patches does, of no more of them than a square of ``cap`` pixels has.

    Raises:
        Unsupported: it cannot be reproduced.
    """
    settings = processor.to_dict()
    patch, stated = int(settings["patch_size"]), int(settings["max_num_patches"])
    most = min(stated, max(1, (cap // patch) ** 2))
    used = type(processor).from_dict({**settings, "max_num_patches": most})
    slope, offset = _line(folder, used)
    kept = {key: value for key, value in used.to_dict().items() if value is not None}
    return PatchPreprocessing(patch, most, round(math.sqrt(stated) * patch), slope, offset, kept, used)


def _patches(processor: BaseImageProcessor, image: Image.Image, **changes: bool) -> tuple[np.ndarray, np.ndarray]:
    processed = processor.preprocess(image, **changes)
    return np.asarray(processed[INPUTS[0]][0]), np.asarray(processed[INPUTS[2]][0], np.int64)


def _line(folder: Path, processor: BaseImageProcessor) -> tuple[Float[np.ndarray, " 3"], Float[np.ndarray, " 3"]]:
    """Slope and offset of each channel, proved on a picture of noise."""
    noise = np.random.default_rng(0).integers(0, 256, (72, 56, _COLORS), dtype=np.uint8)
    flat = [Image.new("RGB", (64, 64), (value,) * _COLORS) for value in (0, 255)]
    try:
        black, white = (_patches(processor, image)[0][0, -_COLORS:].astype(np.float64) for image in flat)
        plain, grid = _patches(processor, Image.fromarray(noise), do_rescale=False, do_normalize=False)
        theirs, _ = _patches(processor, Image.fromarray(noise))
    except Exception as cause:  # any processor class may raise anything
        raise Unsupported(folder, f"its image processor fails ({cause})") from cause
    slope, count = (white - black) / 255, int(np.prod(grid))
    ours = (plain.reshape(len(plain), -1, _COLORS) * slope + black).reshape(len(plain), -1)[:count]
    if np.abs(ours - theirs[:count]).max() > _TOLERANCE * max(1.0, float(np.abs(theirs).max())):
        raise Unsupported(folder, f"{type(processor).__name__} does more than cut, rescale and normalize")
    return slope.astype(np.float32), black.astype(np.float32)
