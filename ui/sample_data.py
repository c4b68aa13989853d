"""Sample data on a bare machine: photographs, digits and texts that ship inside libraries."""

import inspect
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from registry.errors import ExtraMissing, UnknownName
from registry.home import Home
from registry.progress import Progress, silent
from registry.sample import Sample

__all__ = ["TARGETS", "Patch", "demo_sample", "digits", "laid_out", "surfaces"]

PHOTOGRAPHS = (
    "astronaut.png",
    "brick.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "page.png",
    "retina.jpg",
    "rocket.jpg",
)
LARGE = 800
"""Photographs with a longer side than this are halved."""
PATCH = 48
STRIP = 96
"""Patches of one vertical strip of this width are one group; none straddles two."""
TRAIN_SHARE = 0.55
MOST = 40
FLAT = 8.0
"""A patch whose gray levels (0 to 255) deviate less than this shows nothing."""
STRIDES = (48, 24, 16, 12, 8)
"""Patches overlap only where a photograph is too small for enough of them."""
SUBJECTS = (
    "cluster.hierarchy",
    "fft",
    "integrate",
    "interpolate",
    "linalg",
    "ndimage",
    "optimize",
    "signal",
    "sparse",
    "spatial",
    "special",
    "stats",
)
"""Parts of SciPy whose functions and classes are described."""
SHORTEST = 30
"""Letters of a description that says something."""


@dataclass(frozen=True)
class Patch:
    """One gray image of a target: ``part`` is train or test; ``group`` is empty where rows stand alone."""

    part: str
    label: str
    group: str
    pixels: UInt8[np.ndarray, "h w"]

    suffix = ".png"

    def write(self, path: Path) -> None:
        """As a picture."""
        Image.fromarray(self.pixels).save(path)


@dataclass(frozen=True)
class Passage:
    """One text of a target; as `Patch` otherwise."""

    part: str
    label: str
    group: str
    text: str

    suffix = ".txt"

    def write(self, path: Path) -> None:
        """In UTF-8."""
        path.write_text(self.text, encoding="utf-8")


Piece = Patch | Passage


def surfaces() -> Iterator[Patch]:
    """Fourteen real photographs of scikit-image in patches: left 55 % to train on, right part to test on.

    Raises:
        ExtraMissing: scikit-image is not installed.
    """
    for name, gray in _photographs():
        cut = int(gray.shape[1] * TRAIN_SHARE)
        for part, side in (("train", gray[:, :cut]), ("test", gray[:, cut:])):
            for pixels, strip in _patches(side):
                yield Patch(part, name, f"{name} {part} {strip}", pixels)


def digits() -> Iterator[Patch]:
    """The 1,797 handwritten digits of scikit-learn (8 x 8 pixels); every fourth is kept for the test."""
    from sklearn.datasets import load_digits  # noqa: PLC0415 - no page waits for scikit-learn

    stored = load_digits()
    for row, (image, label) in enumerate(zip(stored.images, stored.target, strict=True)):
        part = "test" if row % 4 == 3 else "train"
        yield Patch(part, str(label), "", np.round(image * (255 / 16)).astype(np.uint8))


def subjects() -> Iterator[Passage]:
    """What SciPy's documentation says of some 1,300 functions and classes, to be told by the part that they are in.

    The first two paragraphs of each, without its signature; every fourth is kept for the test.
    """
    rows = ((name.partition(".")[0], text) for name in SUBJECTS for text in _descriptions(f"scipy.{name}"))
    for row, (label, text) in enumerate(rows):
        yield Passage("test" if row % 4 == 3 else "train", label, "", text)


TARGETS: Mapping[str, Callable[[], Iterator[Piece]]] = MappingProxyType(
    {"surfaces": surfaces, "digits": digits, "text": subjects}
)


def laid_out(target: str, home: Home) -> tuple[Path, Path | None]:
    """A target as a folder in the home, and the table of its groups where it has any, for whatever takes a sample.

    Raises:
        UnknownName: no such target.
        ExtraMissing: the target's library is not installed.
    """
    if target not in TARGETS:
        raise UnknownName("target", target, tuple(TARGETS))
    folder, groups = home.root / "samples" / target, home.root / "samples" / f"{target}-groups.csv"
    if not folder.is_dir():
        _write_pieces(list(TARGETS[target]()), folder, groups)
    return folder, groups if groups.exists() else None


def demo_sample(target: str, home: Home, *, progress: Progress = silent) -> Sample:
    """A target as it is read from there.

    Raises:
        UnknownName, ExtraMissing: as `laid_out` has it.
    """
    folder, groups = laid_out(target, home)
    return Sample.from_folder(folder, groups=groups, progress=progress)


def _write_pieces(pieces: Sequence[Piece], folder: Path, groups: Path) -> None:
    """Write ``<part>/<label>/<number>.png`` and the table of groups; the folder appears when all of it is there."""
    partial = folder.with_name(f".{folder.name}-{os.getpid()}-{threading.get_ident()}")
    table = ["file,group"]
    for number, piece in enumerate(pieces):
        name = f"{piece.part}/{piece.label}/{number:04d}{piece.suffix}"
        (partial / name).parent.mkdir(parents=True, exist_ok=True)
        piece.write(partial / name)
        table.append(f"{name},{piece.group}")
    if any(piece.group for piece in pieces):
        groups.write_text("\n".join(table) + "\n")
    try:
        partial.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
        shutil.rmtree(partial)  # somebody else was faster, with the same


def _descriptions(module: str) -> Iterator[str]:
    """The first two paragraphs of each docstring of a module's public functions and classes, in alphabetical order."""
    owner = import_module(module)
    for name in sorted(owner.__all__):
        described = getattr(owner, name)
        paragraphs: list[str] = []
        for paragraph in re.split(r"\n\s*\n", (inspect.getdoc(described) or "") if callable(described) else ""):
            if re.search(r"-{4,}", paragraph) or paragraph.lstrip().startswith(".. "):
                break
            if not paragraph.startswith(f"{name}("):
                paragraphs.append(" ".join(paragraph.split()))
        text = " ".join(paragraphs[:2])
        if len(text) >= SHORTEST:
            yield text


def _photographs() -> Iterator[tuple[str, UInt8[np.ndarray, "h w"]]]:
    package = find_spec("skimage")
    if package is None or package.origin is None:
        raise ExtraMissing("scikit-image", "demo")
    folder = Path(package.origin).parent / "data"
    for file in PHOTOGRAPHS:
        with Image.open(folder / file) as stored:
            gray = stored.convert("L")
        if max(gray.size) > LARGE:
            gray = gray.reduce(2)
        yield Path(file).stem, np.asarray(gray)


def _patches(gray: UInt8[np.ndarray, "h w"]) -> list[tuple[UInt8[np.ndarray, "p p"], int]]:
    """At most `MOST` patches with the number of their strip, spread evenly over the picture."""
    patches: list[tuple[UInt8[np.ndarray, "p p"], int]] = []
    for stride in STRIDES:
        patches = _cut(gray, stride)
        if len(patches) >= MOST:
            break
    chosen = np.unique(np.linspace(0, len(patches) - 1, min(MOST, len(patches))).round().astype(int))
    return [patches[place] for place in chosen]


def _cut(gray: UInt8[np.ndarray, "h w"], stride: int) -> list[tuple[UInt8[np.ndarray, "p p"], int]]:
    height, width = gray.shape
    places = [
        (x, y, left // STRIP)
        for left in range(0, width, STRIP)
        for x in range(left, min(left + STRIP, width) - PATCH + 1, stride)
        for y in range(0, height - PATCH + 1, stride)
    ]
    cut = [(gray[y : y + PATCH, x : x + PATCH], strip) for x, y, strip in places]
    return [(patch, strip) for patch, strip in cut if patch.std() >= FLAT]
