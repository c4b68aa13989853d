"""What an image processor's settings may state, before any picture is made by them."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from registry.errors import Unsupported
from registry.statements import is_number, numbers_in

__all__ = ["MOST_PIXELS", "PER_CHANNEL", "require_sound_processor"]

MOST_PIXELS = 2048
"""The longest side that a preprocessing may make of a picture before any cap."""
_LEAST_CROP = 0.05
_LAST_FILTER = 5
_WIDEST = 1e4
PER_CHANNEL = ("image_mean", "image_std")
"""What is stated for each channel."""
_NO_LENGTH = {*PER_CHANNEL, "rescale_factor", "crop_pct"}
_LENGTHS = re.compile(r"size|edge|height|width|pixels|pad|patch|stride")


def require_sound_processor(folder: Path, settings: Mapping[str, Any], channels: int) -> None:
    """Refuse a processor's settings of the wrong kind, or that would make pictures of absurd size, before any is made.

    Raises:
        Unsupported: with the key.
    """
    for key in PER_CHANNEL:
        _require_channels(folder, key, settings.get(key), channels)
    factor = settings.get("rescale_factor")
    if factor is not None and not (is_number(factor) and 0 < factor < _WIDEST):
        raise Unsupported(folder, f"its preprocessing states rescale_factor {factor!r:.60}, not a number above 0")
    resampling = settings.get("resample")
    if resampling is not None and not (isinstance(resampling, int) and 0 <= resampling <= _LAST_FILTER):
        raise Unsupported(folder, f"its preprocessing states resample {resampling!r:.60}, not a filter of PIL (0 to 5)")
    portion = settings.get("crop_pct")
    if portion is not None and not (is_number(portion) and _LEAST_CROP <= portion <= 1):
        raise Unsupported(folder, f"its preprocessing states crop_pct {portion!r:.60}, not {_LEAST_CROP} to 1")
    rest = {key: value for key, value in settings.items() if key not in _NO_LENGTH}
    for key, number in numbers_in(rest):
        if _LENGTHS.search(key) and not 0 <= number <= MOST_PIXELS:
            raise Unsupported(
                folder,
                f"its preprocessing states {key} {number:.6g}, not 0 to {MOST_PIXELS}",
                "Mend preprocessor_config.json: sizes are in pixels.",
            )


def _require_channels(folder: Path, key: str, value: object, channels: int) -> None:
    if value is None or (is_number(value) and (value or key == "image_mean")):
        return
    remedy = f"Mend {key} in preprocessor_config.json: three numbers, one for each of red, green and blue."
    if not isinstance(value, list) or not all(is_number(one) for one in value):
        raise Unsupported(folder, f"its preprocessing states {key} {value!r:.60}, not three numbers", remedy)
    if channels == 1:
        if len(set(value)) != 1:
            why = f"its preprocessing states {len(value)} numbers as {key}, and its net takes one channel"
            raise Unsupported(folder, why, f"Mend {key} in preprocessor_config.json: one number, for gray.")
    elif len(value) != channels:
        raise Unsupported(folder, f"its preprocessing states {len(value)} numbers as {key}, pictures have 3", remedy)
    if key == "image_std" and min(value) <= 0:
        raise Unsupported(folder, f"its preprocessing divides by {min(value)} (image_std)", remedy)
