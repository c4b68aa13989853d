"""What the JSON files of a checkpoint's folder state: read within limits, and nothing in them believed unseen."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeGuard

from registry.documents import read_json
from registry.errors import MalformedWeights, RemoteCodeRefused, UnreadableDocument, Unsupported

__all__ = [
    "FOREIGN_WEIGHTS",
    "MOST_HEADER",
    "SHARD_INDEX",
    "is_number",
    "numbers_in",
    "refuse_code",
    "require_modest",
    "shard_names",
    "stated",
]

SHARD_INDEX = "model.safetensors.index.json"
"""Where weights that are cut in several files say which."""
_MOST_SHARDS = 1000
FOREIGN_WEIGHTS = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack", ".ot")
"""How files of weights end that are refused: pickles, and those of other libraries."""
MOST_HEADER = 8 << 20
"""Bytes that the header of a safetensors file may have."""

MOST_STATED = 1_000_000
"""The largest number that a config may state; vocabularies stay below it."""
_REPEATED = re.compile(r"(?:^|[._])(?<!window_)(?:layers|depths?|blocks|stages|repeats)$")
"""Settings that say how often something is built; ``max_window_layers`` says which layers attend in a window."""


def stated(folder: Path, file: str) -> dict[str, Any]:
    """The settings in a JSON file of a checkpoint's folder.

    Whole numbers of more than 64 bits are the largest of 64: tokenizers without a limit state ten to the thirty.

    Raises:
        Unsupported: it is no JSON, is beyond the limits, or holds no settings.
        NotFetched: it is a Git LFS pointer.
    """
    try:
        content = read_json(folder / file, clipped=True)
    except UnreadableDocument as cause:
        raise Unsupported(folder, f"{file} cannot be read ({cause.why})", cause.remedy) from cause
    if not isinstance(content, dict):
        raise Unsupported(folder, f"{file} holds no settings", "Take it from where the checkpoint came, again.")
    return content


def shard_names(folder: Path) -> tuple[str, ...]:
    """The files that a folder's index of shards names, once each: safetensors files of the same folder.

    Raises:
        MalformedWeights: it cannot be read, or names none, too many, one that lies elsewhere, or a tensor twice.
        NotFetched: it is a Git LFS pointer.
    """
    index = folder / SHARD_INDEX
    try:
        content = read_json(index, unique=True)
    except UnreadableDocument as cause:
        raise MalformedWeights(index, f"it cannot be read ({cause.why})") from cause
    mapping = content.get("weight_map") if isinstance(content, dict) else None
    names = sorted({str(name) for name in mapping.values()}) if isinstance(mapping, dict) else []
    if not 0 < len(names) <= _MOST_SHARDS:
        raise MalformedWeights(index, f"it names {len(names) or 'no'} shards")
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise MalformedWeights(index, f"shard {name!r} is not a safetensors file of this folder")
    return tuple(names)


def refuse_code(folder: Path, content: object, place: str = "") -> None:
    """Refuse auto_map anywhere, and attention kernels that would be fetched from a hub.

    Raises:
        RemoteCodeRefused: with the field.
    """
    if isinstance(content, Mapping):
        for key, value in content.items():
            here = f"{place}.{key}" if place else str(key)
            fetched = "implementation" in str(key) and isinstance(value, str) and "/" in value
            if key == "auto_map" or fetched:
                raise RemoteCodeRefused(folder, here)
            refuse_code(folder, value, here)
    elif isinstance(content, list):
        for row, value in enumerate(content):
            refuse_code(folder, value, f"{place}[{row}]")


def require_modest(folder: Path, settings: Mapping[str, Any], tensors: int) -> None:
    """Refuse a config that would build a net out of all proportion to its ``tensors`` stored weights.

    Raises:
        Unsupported: a number that no net needs, or more layers than stored tensors.
    """
    for key, number in numbers_in(settings):
        if isinstance(number, int) and abs(number) > MOST_STATED:
            raise Unsupported(folder, f"its config states {key} {number:.6g}, more than {MOST_STATED:,}")
        if number > max(tensors, 1) and _REPEATED.search(key):
            raise Unsupported(folder, f"its config states {key} {number:.6g}, but {tensors} tensors are stored")


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a number, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def numbers_in(content: object, key: str = "") -> Iterator[tuple[str, float]]:
    """All numbers, each with the keys that lead to it."""
    if isinstance(content, Mapping):
        for name, value in content.items():
            yield from numbers_in(value, f"{key}.{name}" if key else str(name))
    elif isinstance(content, list):
        for value in content:
            yield from numbers_in(value, key)
    elif is_number(content):
        yield key, content
