"""What the JSON files of a checkpoint's folder state: read within limits, and nothing in them believed unseen."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from registry.documents import read_json
from registry.errors import RemoteCodeRefused, UnreadableDocument, Unsupported

__all__ = ["MOST_PIXELS", "refuse_code", "require_modest", "require_sound_processor", "stated"]

MOST_PIXELS = 2048
"""The longest side that a preprocessing may make of a picture before any cap."""
MOST_STATED = 1_000_000
"""The largest number that a config may state; vocabularies stay below it."""
_LEAST_CROP = 0.05
_LAST_FILTER = 5
_WIDEST = 1e4
_REPEATED = re.compile(r"(?:^|[._])(?:layers|depths?|blocks|stages|repeats)$")
_PER_CHANNEL = ("image_mean", "image_std")
_LENGTHS = re.compile(r"size|edge|height|width|pixels|pad|patch|stride")


def stated(folder: Path, file: str) -> dict[str, Any]:
    """The settings in a JSON file of a checkpoint's folder.

    Raises:
        Unsupported: it is no JSON, is beyond the limits, or holds no settings.
        NotFetched: it is a Git LFS pointer.
    """
    try:
        found = read_json(folder / file)
    except UnreadableDocument as cause:
        raise Unsupported(folder, f"{file} cannot be read ({cause.why})", cause.remedy) from cause
    if not isinstance(found, dict):
        raise Unsupported(folder, f"{file} holds no settings")
    return found


def refuse_code(folder: Path, found: object, place: str = "") -> None:
    """Refuse auto_map anywhere, and attention kernels that would be fetched from a hub.

    Raises:
        RemoteCodeRefused: with the field.
    """
    if isinstance(found, Mapping):
        for key, value in found.items():
            here = f"{place}.{key}" if place else str(key)
            fetched = "implementation" in str(key) and isinstance(value, str) and "/" in value
            if key == "auto_map" or fetched:
                raise RemoteCodeRefused(folder, here)
            refuse_code(folder, value, here)
    elif isinstance(found, list):
        for row, value in enumerate(found):
            refuse_code(folder, value, f"{place}[{row}]")


def require_modest(folder: Path, settings: Mapping[str, Any], tensors: int) -> None:
    """Refuse a config that would build a net out of all proportion to its ``tensors`` stored weights.

    Raises:
        Unsupported: a number that no net needs, or more layers than stored tensors.
    """
    for key, number in _numbers(settings):
        if isinstance(number, int) and abs(number) > MOST_STATED:
            raise Unsupported(folder, f"its config states {key} {number:.6g}, more than {MOST_STATED:,}")
        if number > max(tensors, 1) and _REPEATED.search(key):
            raise Unsupported(folder, f"its config states {key} {number:.6g}, but {tensors} tensors are stored")


def require_sound_processor(folder: Path, settings: Mapping[str, Any]) -> None:
    """Refuse a processor's settings of the wrong kind, or that would make pictures of absurd size, before any is made.

    Raises:
        Unsupported: with the key.
    """
    for key in _PER_CHANNEL:
        _require_channels(folder, key, settings.get(key))
    factor = settings.get("rescale_factor")
    if factor is not None and not (_is_number(factor) and 0 < factor < _WIDEST):
        raise Unsupported(folder, f"its preprocessing states rescale_factor {factor!r:.60}, not a number above 0")
    resampling = settings.get("resample")
    if resampling is not None and not (isinstance(resampling, int) and 0 <= resampling <= _LAST_FILTER):
        raise Unsupported(folder, f"its preprocessing states resample {resampling!r:.60}, not a filter of PIL (0 to 5)")
    portion = settings.get("crop_pct")
    if portion is not None and not (_is_number(portion) and _LEAST_CROP <= portion <= 1):
        raise Unsupported(folder, f"its preprocessing states crop_pct {portion!r:.60}, not {_LEAST_CROP} to 1")
    for key, number in _numbers(settings):
        if _LENGTHS.search(key) and not 0 <= number <= MOST_PIXELS:
            raise Unsupported(
                folder, f"its preprocessing states {key} {number:.6g}, not 0 to {MOST_PIXELS}",
                "Mend preprocessor_config.json: sizes are in pixels.",
            )  # fmt: skip


def _require_channels(folder: Path, key: str, value: object) -> None:
    if value is None or (_is_number(value) and (value or key == "image_mean")):
        return
    remedy = f"Mend {key} in preprocessor_config.json: three numbers, one for each of red, green and blue."
    if not isinstance(value, list) or not all(_is_number(one) for one in value):
        raise Unsupported(folder, f"its preprocessing states {key} {value!r:.60}, not three numbers", remedy)
    if len(value) != 3:
        raise Unsupported(folder, f"its preprocessing states {len(value)} numbers as {key}, pictures have 3", remedy)
    if key == "image_std" and min(value) <= 0:
        raise Unsupported(folder, f"its preprocessing divides by {min(value)} (image_std)", remedy)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _numbers(found: object, key: str = "") -> Iterator[tuple[str, float]]:
    """All numbers, each with the keys that lead to it."""
    if isinstance(found, Mapping):
        for name, value in found.items():
            if name not in (*_PER_CHANNEL, "rescale_factor", "crop_pct"):
                yield from _numbers(value, f"{key}.{name}" if key else str(name))
    elif isinstance(found, list):
        for value in found:
            yield from _numbers(value, key)
    elif _is_number(found):
        yield key, found  # type: ignore[misc] # it is a number
