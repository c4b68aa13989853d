"""A real case on a bare machine: targets that ship inside libraries, and the whole way from sample to outcome."""

from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from rich.console import Console
from rich.text import Text

from recommender import flow
from recommender.verdicts import Recommendation
from registry.cards import Outcome
from registry.errors import ExtraMissing, UnknownName
from registry.sample import Sample
from registry.zoo import Zoo
from ui import render

__all__ = ["TARGETS", "digits", "run", "surfaces"]

PHOTOGRAPHS = (
    "astronaut.png", "brick.png", "chelsea.png", "coffee.png", "coins.png", "grass.png", "gravel.png",
    "hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png", "page.png", "retina.jpg", "rocket.jpg",
)  # fmt: skip
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
KEEP = 2
"""One checkpoint fewer than are bundled, so that the sketches really prune one."""


def surfaces() -> Sample:
    """Fourteen real photographs of scikit-image as gray patches: left 55 % to train on, right part to test on.

    Raises:
        ExtraMissing: scikit-image is not installed.
    """
    train, labels, groups, test, truth = [], [], [], [], []
    for name, gray in _photographs():
        cut = int(gray.shape[1] * TRAIN_SHARE)
        for patch, strip in _patches(gray[:, :cut]):
            train.append(patch)
            labels.append(name)
            groups.append(f"{name} {strip}")
        held_out = [patch for patch, _ in _patches(gray[:, cut:])]
        test += held_out
        truth += [name] * len(held_out)
    part = (np.stack(test), truth)
    return Sample.from_arrays(np.stack(train), labels, name="surfaces", groups=groups, test=part)


def digits() -> Sample:
    """The 1,797 handwritten digits of scikit-learn (8 x 8 pixels); every fourth is kept for the test."""
    from sklearn.datasets import load_digits  # noqa: PLC0415 - slow to import

    stored = load_digits()
    images = np.round(stored.images * (255 / 16)).astype(np.uint8)
    labels = np.array([str(label) for label in stored.target])
    late = np.arange(len(images)) % 4 == 3
    part = (images[late], labels[late].tolist())
    return Sample.from_arrays(images[~late], labels[~late].tolist(), name="digits", test=part)


TARGETS: Mapping[str, Callable[[], Sample]] = MappingProxyType({"surfaces": surfaces, "digits": digits})


def run(target: str, zoo: Zoo, terminal: Console, bars: render.Bars, *, seed: int = 0) -> Recommendation:
    """Sample, advice, tuning, outcome, each told as it comes; no tuning where the advice is not to transfer.

    Raises:
        UnknownName: no such target.
        ExtraMissing: the target's library is not installed.
    """
    if target not in TARGETS:
        raise UnknownName("target", target, tuple(TARGETS))
    sample = TARGETS[target]()
    terminal.print(render.sample_report(sample.to_dict()), "")
    for outcome in zoo.history(sample_digest=sample.digest):
        terminal.print(_memory(outcome), "")
    with bars as progress:
        advice = flow.recommend(sample, zoo, keep=KEEP, seed=seed, progress=progress)
    zoo.keep(advice)
    terminal.print(render.advice_report(advice.to_dict()), "")
    if advice.verdict.transfer:
        with bars as progress:
            tuned = flow.tune(advice.best, sample, zoo, recommendation=advice.id, seed=seed, progress=progress)
        terminal.print(render.run_report(tuned.to_dict(), expected=advice.best.expected.to_dict()), "")
    else:
        terminal.print(Text("Nothing is tuned: the advice is not to transfer.", "bold"), "")
    picker = render.command("picker", home=zoo.home.root)
    terminal.print(render.next_steps([picker, render.mlflow_command(zoo.home)]))
    return advice


def _memory(outcome: Outcome) -> Text:
    told = f"{outcome.checkpoint}, {outcome.strategy}: {render.percent(outcome.score)}"
    return Text(f"You have run this before, on {outcome.created[:10]}: {told}", "cyan")


def _photographs() -> Iterator[tuple[str, UInt8[np.ndarray, "h w"]]]:
    found = find_spec("skimage")
    if found is None or found.origin is None:
        raise ExtraMissing("scikit-image", "demo")
    folder = Path(found.origin).parent / "data"
    for file in PHOTOGRAPHS:
        with Image.open(folder / file) as stored:
            gray = stored.convert("L")
        if max(gray.size) > LARGE:
            gray = gray.reduce(2)
        yield Path(file).stem, np.asarray(gray)


def _patches(gray: UInt8[np.ndarray, "h w"]) -> list[tuple[UInt8[np.ndarray, "p p"], int]]:
    """At most `MOST` patches with the number of their strip, spread evenly over the picture."""
    found: list[tuple[UInt8[np.ndarray, "p p"], int]] = []
    for stride in STRIDES:
        found = _cut(gray, stride)
        if len(found) >= MOST:
            break
    chosen = np.unique(np.linspace(0, len(found) - 1, min(MOST, len(found))).round().astype(int))
    return [found[place] for place in chosen]


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
