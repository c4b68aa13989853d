"""From relative file names to labelled rows: class folders, train/ and test/ above them, one folder around it all."""

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from registry.errors import NoItems
from registry.readers.images import IMAGE_SUFFIXES

__all__ = ["Layout", "Part", "allot", "is_image", "lay_out", "plain", "sampled"]

_TRAIN = frozenset({"train", "training"})
_TEST = frozenset({"test", "testing"})
_VALIDATION = frozenset({"dev", "val", "valid", "validation"})


@dataclass(frozen=True)
class Part:
    """Names of files, and the class each lies in."""

    names: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """The training part, the test part where there is one, and what was decided on the way."""

    train: Part
    test: Part | None
    notes: tuple[str, ...]


def is_image(name: str) -> bool:
    """Whether a file's name is that of an image, and it is neither hidden nor an archiver's litter."""
    path = PurePosixPath(name)
    return path.suffix.lower() in IMAGE_SUFFIXES and not any(p.startswith(".") or p == "__MACOSX" for p in path.parts)


def plain(name: str) -> str:
    """A name as it can be shown: composed, and without bytes that are no text."""
    return unicodedata.normalize("NFC", name.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


def lay_out(place: Path, names: Sequence[str]) -> Layout:
    """Label each image by its class folder; what lies deeper in a class folder belongs to that class.

    ``train/`` and ``test/`` above the classes are parts, not classes. ``val/`` joins the training part where there
    is a test part, and is the test part where there is none. One folder around everything is looked through.

    Raises:
        NoItems: no image lies in a class folder.
    """
    trails = {name: tuple(name.split("/")) for name in sorted(names)}
    trails, notes = _unwrapped(trails)
    loose = sum(len(trail) == 1 for trail in trails.values())
    if loose:
        notes.append(f"{loose} {_images(loose)} outside any class folder ignored")
        trails = {name: trail for name, trail in trails.items() if len(trail) > 1}
    if not trails:
        raise NoItems(place, "images in class folders")
    heads = {trail[0] for trail in trails.values()}
    deep = heads - {trail[0] for trail in trails.values() if len(trail) == 2}
    if _is_split(heads, deep):
        return _split_layout(trails, heads, deep, notes)
    if all(_role(head) for head in heads):
        raise NoItems(place, f"class folders in {'/, '.join(sorted(heads))}/")
    return Layout(_part(trails), None, tuple(notes))


def sampled(part: Part, limit: int, seed: int) -> Part:
    """At most ``limit`` rows, each class in proportion and none lost while there is room; the same for a seed."""
    if len(part.names) <= limit:
        return part
    draw = np.random.default_rng(seed).permutation(len(part.names))
    left = allot(Counter(part.labels), limit)
    kept = []
    for row in draw:
        if left[part.labels[row]]:
            left[part.labels[row]] -= 1
            kept.append(int(row))
    kept.sort()
    return Part(tuple(part.names[row] for row in kept), tuple(part.labels[row] for row in kept))


def allot(counts: Mapping[str, int], most: int) -> dict[str, int]:
    """Share ``most`` seats among classes in proportion to their counts, one each first (largest remainder)."""
    total = sum(counts.values())
    if total <= most:
        return dict(counts)
    names = sorted(counts)
    if most <= len(names):
        return {name: int(place < most) for place, name in enumerate(sorted(names, key=lambda n: (-counts[n], n)))}
    spare = most - len(names)
    exact = {name: spare * (counts[name] - 1) / (total - len(names)) for name in names}
    seats = {name: 1 + int(exact[name]) for name in names}
    by_remainder = sorted(names, key=lambda name: (int(exact[name]) - exact[name], name))
    for name in by_remainder[: most - sum(seats.values())]:
        seats[name] += 1
    return seats


def _unwrapped(trails: dict[str, tuple[str, ...]]) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    around = []
    while len({trail[0] for trail in trails.values()}) == 1 and all(len(trail) > 2 for trail in trails.values()):
        around.append(next(iter(trails.values()))[0])
        trails = {name: trail[1:] for name, trail in trails.items()}
    return trails, [f"read from inside {plain('/'.join(around))}/"] if around else []


def _role(head: str) -> str:
    name = head.lower()
    return "train" if name in _TRAIN else "test" if name in _TEST else "validation" if name in _VALIDATION else ""


def _is_split(heads: set[str], deep: set[str]) -> bool:
    """A folder named train is a part only where class folders lie in it and the company it keeps agrees."""
    roles = {_role(head) for head in deep}
    return "train" in roles and (all(_role(head) for head in heads) or "test" in roles)


def _split_layout(
    trails: dict[str, tuple[str, ...]], heads: set[str], deep: set[str], notes: list[str]
) -> Layout:
    inside: dict[str, dict[str, tuple[str, ...]]] = {"train": {}, "test": {}, "validation": {}}
    for name, trail in trails.items():
        if trail[0] in deep and _role(trail[0]) and len(trail) > 2:
            inside[_role(trail[0])][name] = trail[1:]
    for head in sorted(heads):
        if not _role(head):
            notes.append(f"{plain(head)}/ beside train/ and test/ ignored")
        elif head not in deep:
            notes.append(f"{plain(head)}/ ignored: images lie in it without class folders")
    if inside["validation"] and inside["test"]:
        notes.append(f"validation part ({len(inside['validation'])} files) joined to the training part")
        inside["train"] |= inside["validation"]
    elif inside["validation"]:
        notes.append("no test part: the validation part is used as one")
        inside["test"] = inside["validation"]
    return Layout(_part(inside["train"]), _part(inside["test"]) if inside["test"] else None, tuple(notes))


def _part(trails: Mapping[str, tuple[str, ...]]) -> Part:
    return Part(tuple(trails), tuple(plain(trail[0]) for trail in trails.values()))


def _images(count: int) -> str:
    return "image" if count == 1 else "images"
