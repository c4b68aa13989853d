"""From relative file names to labelled rows: class folders, train/ and test/ above them, one folder around it all."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from registry.errors import NoItems
from registry.readers.images import IMAGE_SUFFIXES

__all__ = [
    "Lay", "Layout", "Part", "allot", "is_hidden", "is_image", "lay_out", "not_images", "plain", "role_of", "sampled",
    "tabled", "unlabelled",
]  # fmt: skip

_TRAIN = frozenset({"train", "training"})
_TEST = frozenset({"test", "testing"})
_VALIDATION = frozenset({"dev", "val", "valid", "validation"})


@dataclass(frozen=True)
class Part:
    """Names of files, and the class each lies in."""

    names: tuple[str, ...]
    labels: tuple[str, ...]
    stratified: bool = True
    """Whether the labels are classes, which a draw keeps in proportion."""


@dataclass(frozen=True)
class Layout:
    """The training part, the test part where there is one, and what was decided on the way."""

    train: Part
    test: Part | None
    notes: tuple[str, ...]


Lay = Callable[[Path, Sequence[str]], Layout]
"""How names of files below a place become labelled parts."""


def is_image(name: str) -> bool:
    """Whether a file's name is that of an image that can be seen."""
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES and not is_hidden(name)


def is_hidden(name: str) -> bool:
    """Whether a file is hidden, or an archiver's litter."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def not_images(count: int) -> str:
    """The note about other files."""
    return "1 file that is no image ignored" if count == 1 else f"{count} files that are no images ignored"


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
    trails, notes = _unwrapped({name: tuple(name.split("/")) for name in sorted(names)})
    if not trails:
        raise NoItems(place, "images in class folders")
    below = Counter(trail[0] for trail in trails.values())
    deeper = Counter(trail[0] for trail in trails.values() if len(trail) > 2)
    heads, deep = set(below), {head for head in below if 2 * deeper[head] > below[head]}
    if _is_split(heads, deep):
        return _split_layout(trails, heads, deep, notes)
    if all(role_of(head) for head in heads):
        raise NoItems(place, f"class folders in {'/, '.join(sorted(heads))}/")
    return Layout(_part(trails), None, tuple(notes))


def unlabelled(names: Sequence[str]) -> Layout:
    """Every image, wherever it lies, in no class."""
    return Layout(Part(tuple(sorted(names)), ("",) * len(names)), None, ())


def tabled(names: Sequence[str], labels: Mapping[str, str], *, stratified: bool) -> Layout:
    """The named files that have a label, wherever they lie; ``train/`` and ``test/`` on top are parts.

    ``val/`` is what it is above class folders.
    """
    trails = {name: tuple(name.split("/")) for name in sorted(names) if name in labels}
    while len({trail[0] for trail in trails.values()}) == 1 and all(len(trail) > 1 for trail in trails.values()):
        trails = {name: trail[1:] for name, trail in trails.items()}
    roles = {name: role_of(trail[0]) if len(trail) > 1 else "" for name, trail in trails.items()}
    if "train" not in roles.values():
        roles = dict.fromkeys(roles, "")
    inside = {role: [name for name, its in roles.items() if its == role] for role in ("test", "validation")}
    train = [name for name, its in roles.items() if its not in inside]
    notes = _validation_placed(train, inside)
    left = len(names) - len(trails)
    if left:
        notes.append(f"{left} {'image has' if left == 1 else 'images have'} no row in the table of labels: left out")

    def part(chosen: Sequence[str]) -> Part:
        return Part(tuple(sorted(chosen)), tuple(labels[name] for name in sorted(chosen)), stratified)

    return Layout(part(train), part(inside["test"]) if inside["test"] else None, tuple(notes))


def role_of(head: str) -> str:
    """The part that a folder of that name is: train, test, validation, or none."""
    name = head.lower()
    return "train" if name in _TRAIN else "test" if name in _TEST else "validation" if name in _VALIDATION else ""


def sampled(part: Part, limit: int, seed: int) -> Part:
    """At most ``limit`` rows, each class in proportion and none lost while there is room; the same for a seed."""
    if len(part.names) <= limit:
        return part
    draw = np.random.default_rng(seed).permutation(len(part.names))
    strata = part.labels if part.stratified else ("",) * len(part.labels)
    left = allot(Counter(strata), limit)
    kept = []
    for row in draw:
        if left[strata[row]]:
            left[strata[row]] -= 1
            kept.append(int(row))
    kept.sort()
    names, labels = (tuple(told[row] for row in kept) for told in (part.names, part.labels))
    return Part(names, labels, part.stratified)


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
    """Look through folders around everything, leaving out what lies in no folder; a class has most files directly."""
    around, loose = [], 0
    while True:
        inside = {name: trail for name, trail in trails.items() if len(trail) > 1}
        loose += len(trails) - len(inside)
        trails = inside
        deeper = sum(len(trail) > 2 for trail in trails.values())
        if len({trail[0] for trail in trails.values()}) != 1 or 2 * deeper <= len(trails):
            break
        around.append(next(iter(trails.values()))[0])
        trails = {name: trail[1:] for name, trail in trails.items()}
    notes = [f"read from inside {plain('/'.join(around))}/"] if around else []
    if loose:
        notes.append(f"{loose} {'image' if loose == 1 else 'images'} outside any class folder ignored")
    return trails, notes


def _is_split(heads: set[str], deep: set[str]) -> bool:
    """A folder named train is a part only where class folders lie in it and the company it keeps agrees."""
    roles = {role_of(head) for head in deep}
    return "train" in roles and (all(role_of(head) for head in heads) or "test" in roles)


def _split_layout(trails: Mapping[str, tuple[str, ...]], heads: set[str], deep: set[str], notes: list[str]) -> Layout:
    inside: dict[str, dict[str, tuple[str, ...]]] = {"train": {}, "test": {}, "validation": {}}
    for name, trail in trails.items():
        if trail[0] in deep and role_of(trail[0]) and len(trail) > 2:
            inside[role_of(trail[0])][name] = trail[1:]
    for head in sorted(heads):
        if not role_of(head):
            notes.append(f"{plain(head)}/ beside train/ and test/ ignored")
        elif head not in deep:
            notes.append(f"{plain(head)}/ ignored: images lie in it without class folders")
    classes = set(_part(inside["train"]).labels)
    for role in ("test", "validation"):
        if inside[role] and classes.isdisjoint(_part(inside[role]).labels):
            inside[role] = {}
            notes.append(f"{role} part ignored: none of its folders is a class of train/")
    return _with_validation(inside, notes)


def _with_validation(inside: dict[str, dict[str, tuple[str, ...]]], notes: list[str]) -> Layout:
    every = {name: trail for trails in inside.values() for name, trail in trails.items()}
    parts = {role: list(trails) for role, trails in inside.items()}
    notes += _validation_placed(parts["train"], parts)
    train, test = ({name: every[name] for name in parts[role]} for role in ("train", "test"))
    return Layout(_part(train), _part(test) if test else None, tuple(notes))


def _validation_placed(train: list[str], inside: dict[str, list[str]]) -> list[str]:
    """Join the validation part to the training part, or make it the test part where there is none; and say so."""
    validation = inside["validation"]
    if not validation:
        return []
    if inside["test"]:
        train += validation
        return [f"validation part ({len(validation)} files) joined to the training part"]
    inside["test"] = validation
    return ["no test part: the validation part is used as one"]


def _part(trails: Mapping[str, tuple[str, ...]]) -> Part:
    return Part(tuple(trails), tuple(plain(trail[0]) for trail in trails.values()))
