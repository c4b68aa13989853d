"""The checkpoint's own preprocessing, exactly: resize, crop, rescale and normalize as its config file states.

The geometry is left to transformers' PIL processor. What follows it (rescaling, normalizing) maps each channel of the
8-bit pixels by a straight line; the line is read off the processor and held against it when the folder is opened.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import transformers
from jaxtyping import Float, UInt8
from PIL import Image
from transformers.image_processing_utils import BaseImageProcessor
from transformers.models.auto.image_processing_auto import (  # type: ignore[attr-defined]  # it exports no names
    IMAGE_PROCESSOR_MAPPING_NAMES,
)

from registry.errors import Unsupported
from registry.modalities import DEFAULT_CAP, Prepared
from registry.modalities.image.augment import augmented
from registry.modalities.image.patches import INPUTS, PatchPreprocessing, gives_patches, read_patches
from registry.modalities.image.settings import PER_CHANNEL, require_sound_processor
from registry.statements import stated

__all__ = ["Preprocessing", "processor_settings", "read_input", "read_preprocessing", "usual_settings"]

_TOLERANCE = 1e-4
_COLORS = 3
_FILTERS = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "random": 3}
"""PIL's numbers of timm's interpolations."""
_LONG = 8
"""Of a picture that is longer than this many times its width, only the middle is resized where no more is seen."""
_SAME_SCALE = 2e-3
"""How far the scale of the cut picture may lie from that of the whole one."""
_REACH = 4
"""Pixels of the picture, or of the result where that is coarser, beyond which no filter reaches (Lanczos: 3)."""
_CONVNEXT_WARPS_FROM = 384
_LEAST_RANGE, _WIDEST = 0.05, 300.0
"""Of what black and white become; nets take values from -1 to 1 or from 0 to 255, hardly beyond."""
_OF_A_TRAINER = ("trainer_state.json", "training_args.bin", "optimizer.pt")
_NO_FIXED_SIZE = "its preprocessing gives pictures of no fixed size"
_STATE_SIZE = "State do_resize and size in preprocessor_config.json, as the net was trained."
_BRING = (
    "Copy preprocessor_config.json from the model that it was tuned from, or save its processor into the folder: "
    "AutoImageProcessor.from_pretrained(that model).save_pretrained(folder)."
)


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """What happens to a picture before the net sees it."""

    height: int
    width: int
    stated: int
    """Side of the input before any cap."""
    slope: Float[np.ndarray, " c"]
    offset: Float[np.ndarray, " c"]
    settings: Mapping[str, Any]
    processor: BaseImageProcessor
    mode: str = "RGB"
    """PIL's word for the channels that the net takes: ``L`` for a net of gray pictures."""
    blended: tuple[str, ...] = INPUTS[:1]
    """Arguments by which pictures can be mixed."""

    @property
    def side(self) -> int:
        """The longer side of the input in pixels."""
        return max(self.height, self.width)

    @property
    def digest(self) -> str:
        """SHA-256 of all settings, the cap's effect included."""
        return hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()

    def pixels(self, image: Image.Image) -> UInt8[np.ndarray, "c h w"]:
        """Resized and cropped, still 8-bit."""
        return _geometry(self.processor, image.convert(self.mode))

    def prepared(self, image: Image.Image) -> Prepared:
        """As `pixels`, in the form in which it is kept."""
        return {"pixels": self.pixels(image)}

    def batch(self, rows: Sequence[Prepared], chance: Sequence[np.random.Generator] | None) -> dict[str, np.ndarray]:
        """The net's argument."""
        pixels: list[UInt8[np.ndarray, "c h w"]] = [row["pixels"] for row in rows]
        if chance is not None:
            pixels = [augmented(one, random) for one, random in zip(pixels, chance, strict=True)]
        return {INPUTS[0]: self.normalized(np.stack(pixels))}

    def context(self, rows: Sequence[Prepared]) -> dict[str, np.ndarray]:
        """Nothing: pictures of one size need no mask."""
        del rows
        return {}

    def tensor(self, image: Image.Image) -> Float[np.ndarray, "c h w"]:
        """The net's input."""
        return np.asarray(self.normalized(self.pixels(image)[None])[0])

    def normalized(self, pixels: UInt8[np.ndarray, "n c h w"]) -> Float[np.ndarray, "n c h w"]:
        """Rescaled and normalized, float32."""
        shape = (1, -1, 1, 1)
        return np.asarray(pixels.astype(np.float32) * self.slope.reshape(shape) + self.offset.reshape(shape))


def read_input(folder: Path, *, cap: int, channels: int = 3) -> Preprocessing | PatchPreprocessing:
    """As `read_preprocessing`, or for a net that takes rows of patches, as its processor makes them.

    Raises:
        Unsupported: as `read_preprocessing`.
    """
    settings = processor_settings(folder, channels)
    if gives_patches(processor := _build(folder, settings)):
        return read_patches(folder, processor, cap)
    return read_preprocessing(folder, cap=cap, channels=channels)


def read_preprocessing(folder: Path, *, cap: int = DEFAULT_CAP, channels: int = 3) -> Preprocessing:
    """The preprocessing that lies in a checkpoint's folder, with inputs no larger than ``cap``, for so many channels.

    Raises:
        Unsupported: there is none, or it cannot be reproduced.
    """
    mode = "RGB" if channels == _COLORS else "L"
    processor = _with_fixed_size(folder, processor_settings(folder, channels), mode)
    height, width = _output_size(folder, processor, mode)
    stated = max(height, width)
    if stated > cap:
        processor = _build(folder, _scaled(processor, cap / stated))
        height, width = _output_size(folder, processor, mode)
    slope, offset = _line(folder, processor, mode)
    used = {key: value for key, value in processor.to_dict().items() if value is not None}
    return Preprocessing(height, width, stated, slope, offset, used, processor, mode)


def processor_settings(folder: Path, channels: int = 3) -> dict[str, Any]:
    """The settings of the image processor, from preprocessor_config.json or a part of processor_config.json.

    Of a net of gray pictures, colors that it treats alike are one.

    Raises:
        Unsupported: neither file is there and sound.
    """
    for file, part in (("preprocessor_config.json", None), ("processor_config.json", "image_processor")):
        if (folder / file).is_file():
            content = stated(folder, file)
            settings = content if part is None else content.get(part)
            if not isinstance(settings, dict):
                raise Unsupported(folder, f"{file} cannot be read (it holds no {part})")
            require_sound_processor(folder, settings, channels)
            return settings if channels == _COLORS else _gray(folder, settings)
    if (timm := _of_timm(folder)) is not None:
        require_sound_processor(folder, timm, channels)
        return timm if channels == _COLORS else _gray(folder, timm)
    kept = next((file for file in _OF_A_TRAINER if (folder / file).exists()), None)
    whose = f"it is a Trainer's checkpoint ({kept}) saved without its image processor; " if kept else ""
    missing = "without preprocessor_config.json nobody knows what its input should look like"
    raise Unsupported(folder, whose + missing, _BRING)


def _of_timm(folder: Path) -> dict[str, Any] | None:
    """The evaluation transform that timm states in its config, as a processor of transformers; None where none is.

    Resized so that a crop of the middle is ``crop_pct`` of the short side (timm's `create_transform`).

    Raises:
        Unsupported: it is stated in a form that is not known.
    """
    wanted = stated(folder, "config.json").get("pretrained_cfg") if (folder / "config.json").is_file() else None
    if not isinstance(wanted, dict):
        return None
    try:
        _, height, width = (int(length) for length in wanted["input_size"])
        part, filter_ = float(wanted.get("crop_pct") or 0.875), str(wanted.get("interpolation", "bicubic"))
        resized = {edge: math.floor(side / part) for edge, side in (("height", height), ("width", width))}
        short = height == width and wanted.get("crop_mode", "center") == "center"
        return {
            "image_processor_type": "CLIPImageProcessor",
            "do_convert_rgb": True,
            "do_resize": True,
            "size": {"shortest_edge": resized["height"]} if short else resized,
            "resample": _FILTERS[filter_],
            "do_center_crop": True,
            "crop_size": {"height": height, "width": width},
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": list(wanted.get("mean", (0.485, 0.456, 0.406))),
            "image_std": list(wanted.get("std", (0.229, 0.224, 0.225))),
        }
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as cause:
        why = f"its config states a pretrained_cfg of timm that is not known ({cause!r:.100})"
        raise Unsupported(folder, why, _BRING) from cause


def usual_settings(folder: Path) -> dict[str, Any]:
    """Settings of the processor that transformers has for the type of model in a folder, of the size that this states.

    Raises:
        Unsupported: it has none.
    """
    config = stated(folder, "config.json")
    settings: dict[str, Any] = _build(folder, {}).to_dict()
    side = config.get("image_size")
    if isinstance(side, int) and not isinstance(side, bool):
        for key in ("size", "crop_size"):
            if isinstance(settings.get(key), Mapping):
                settings[key] = {edge: side for edge, length in settings[key].items() if length}
    return {key: value for key, value in settings.items() if value is not None}


def _gray(folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Settings that leave a gray picture gray."""
    usual = _build(folder, settings).to_dict()
    channels = {key: usual[key] for key in PER_CHANNEL if isinstance(usual.get(key), list | tuple)}
    restated = {**settings, **{key: list(values) for key, values in channels.items()}}
    require_sound_processor(folder, restated, 1)
    return {**restated, **{key: list(values)[:1] for key, values in channels.items()}, "do_convert_rgb": False}


def _build(folder: Path, settings: dict[str, Any]) -> BaseImageProcessor:
    named = str(settings.get("image_processor_type") or settings.get("feature_extractor_type") or _usual(folder))
    kind = named.replace("FeatureExtractor", "ImageProcessor").removesuffix("Fast").removesuffix("Pil") + "Pil"
    maker = getattr(transformers, kind, None) if kind.endswith("ImageProcessorPil") else None
    if maker is None:
        raise Unsupported(folder, f"its image processor {named!r:.200} is not one of transformers'", _BRING)
    try:
        processor: BaseImageProcessor = maker.from_dict(settings)
        return processor
    except Exception as cause:  # any processor class may raise anything
        raise Unsupported(folder, f"its image processor refuses its settings ({cause})") from cause


def _usual(folder: Path) -> str:
    """The processor that transformers takes for the model's type where none is named, as old files do not."""
    of_type = stated(folder, "config.json").get("model_type") if (folder / "config.json").is_file() else None
    return str(IMAGE_PROCESSOR_MAPPING_NAMES.get(str(of_type), {}).get("pil", ""))


def _with_fixed_size(folder: Path, settings: dict[str, Any], mode: str) -> BaseImageProcessor:
    """The processor; where it lets the shape follow the picture, a square center crop of the short side is added."""
    processor = _build(folder, settings)
    wide, tall, large = (_size_of(folder, processor, shape, mode) for shape in ((96, 48), (48, 96), (192, 96)))
    if wide == tall == large:
        return processor
    side = min(*wide, *tall)
    if min(large) != side:
        raise Unsupported(folder, _NO_FIXED_SIZE, _STATE_SIZE)
    return _build(folder, {**settings, "do_center_crop": True, "crop_size": {"height": side, "width": side}})


def _output_size(folder: Path, processor: BaseImageProcessor, mode: str) -> tuple[int, int]:
    sizes = {_size_of(folder, processor, shape, mode) for shape in ((96, 48), (48, 96), (60, 60))}
    if len(sizes) != 1:
        raise Unsupported(folder, _NO_FIXED_SIZE, _STATE_SIZE)
    return sizes.pop()


def _size_of(folder: Path, processor: BaseImageProcessor, shape: tuple[int, int], mode: str) -> tuple[int, int]:
    try:
        pixels = _geometry(processor, Image.new(mode, shape))
    except Exception as cause:  # any processor class may raise anything
        raise Unsupported(folder, f"its image processor fails ({cause})") from cause
    return int(pixels.shape[1]), int(pixels.shape[2])


def _scaled(processor: BaseImageProcessor, ratio: float) -> dict[str, Any]:
    """All sizes times ``ratio``. ConvNeXT's processor warps from 384 px on: made smaller, it must not begin to crop."""
    stated = processor.to_dict()
    scaled = {
        key: {edge: round(length * ratio) for edge, length in stated[key].items() if length}
        for key in ("size", "crop_size")
        if stated.get(key)
    }
    warps = "crop_pct" in stated and stated["size"].get("shortest_edge", 0) >= _CONVNEXT_WARPS_FROM
    return {**stated, **scaled, **({"crop_pct": 1.0} if warps else {})}


def _geometry(processor: BaseImageProcessor, image: Image.Image) -> UInt8[np.ndarray, "c h w"]:
    changes = {"do_rescale": False, "do_normalize": False}
    if "include_top" in processor.to_dict():  # EfficientNet's second normalization
        changes["include_top"] = False
    pixels = processor.preprocess(_as_processed(processor, image), **changes)["pixel_values"][0]
    return np.ascontiguousarray(pixels, dtype=np.uint8)


def _as_processed(processor: BaseImageProcessor, image: Image.Image) -> Image.Image:
    """The middle of a long and narrow picture, as far as it is looked at.

    A processor that fits the short side first would blow up the long one (30000 x 1 to 6,720,000 x 224), and crop it
    afterwards. What is cut away lies beyond the reach of any resampling filter from what stays.
    """
    settings = processor.to_dict()
    size, crop = settings.get("size") or {}, settings.get("crop_size") or {}
    edge, (short, long) = size.get("shortest_edge"), sorted(image.size)
    cropped = settings.get("do_center_crop") or settings.get("crop_pct")
    if not edge or not cropped or "longest_edge" in size or long <= _LONG * short:
        return image
    visible = max([edge, *(length for length in crop.values() if isinstance(length, int))]) / edge
    kept = math.ceil(short * visible) + 2 * math.ceil(_REACH * max(1.0, short / edge))
    kept = min(long, kept + (long - kept) % 2)  # the middle stays the middle
    fitted = edge / (settings.get("crop_pct") or 1.0) / short
    whole = int(long * fitted)
    while kept < long:  # whole pixels: the same scale, and the crop's half pixel falls as it would have fallen
        narrow = int(kept * fitted)
        if narrow % 2 == whole % 2 and abs(narrow * long - whole * kept) <= _SAME_SCALE * whole * kept:
            break
        kept += 2
    start = (long - kept) // 2
    across = image.width >= image.height
    return image.crop((start, 0, start + kept, short) if across else (0, start, short, start + kept))


def _line(
    folder: Path, processor: BaseImageProcessor, mode: str
) -> tuple[Float[np.ndarray, " c"], Float[np.ndarray, " c"]]:
    """Slope and offset of each channel, proved on a picture of noise."""
    flat = (_whole(folder, processor, Image.new("L", (64, 64), v).convert(mode)) for v in (0, 255))
    black, white = (pixels[:, pixels.shape[1] // 2, pixels.shape[2] // 2] for pixels in flat)
    slope, offset = (white - black) / 255, black
    reach = float(np.abs(white - black).min())
    if not (reach >= _LEAST_RANGE and np.abs([black, white]).max() <= _WIDEST):
        raise Unsupported(
            folder,
            f"its preprocessing turns black into {black[0]:.4g} and white into {white[0]:.4g}",
            "Mend preprocessor_config.json: image_mean and image_std are of the scale that rescale_factor leaves.",
        )
    noise = np.random.default_rng(0).integers(0, 256, (72, 56, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).convert(mode)
    ours = _geometry(processor, picture) * slope[:, None, None] + offset[:, None, None]
    theirs = _whole(folder, processor, picture)
    if ours.shape != theirs.shape or np.abs(ours - theirs).max() > _TOLERANCE * max(1.0, float(np.abs(theirs).max())):
        raise Unsupported(folder, f"{type(processor).__name__} does more than resize, crop, rescale and normalize")
    return slope.astype(np.float32), offset.astype(np.float32)


def _whole(folder: Path, processor: BaseImageProcessor, image: Image.Image) -> Float[np.ndarray, "c h w"]:
    try:
        with np.errstate(all="ignore"):
            return np.asarray(processor.preprocess(image)["pixel_values"][0], dtype=np.float64)
    except Exception as cause:  # any processor class may raise anything
        raise Unsupported(folder, f"its image processor fails ({cause})") from cause
