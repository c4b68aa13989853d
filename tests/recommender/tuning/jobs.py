"""Small jobs: tiny nets, a few dozen pictures whose class is their color, and plans that one writes down."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from recommender.results import Expected, Plan, Stage
from recommender.runs.job import Job
from registry.cards import Checkpoint, Metric
from registry.encoders.encoder import open_encoder
from registry.encoders.loading import inspect
from registry.home import Home
from registry.sample import Sample
from tests.registry.encoders.nets import save_net

SHADES = {"red": 0, "green": 1, "blue": 2}


def colored(rows: int, seed: int = 0, noise: float = 50) -> tuple[np.ndarray, list[str]]:
    """Noise in which the class's color is somewhat brighter."""
    random = np.random.default_rng(seed)
    labels = [list(SHADES)[row % 3] for row in range(rows)]
    images = random.normal(110, noise, (rows, 16, 16, 3))
    for row, label in enumerate(labels):
        images[row, :, :, SHADES[label]] += 30
    return np.clip(images, 0, 255).astype(np.uint8), labels


def sample(rows: int = 48, test_rows: int = 24, *, groups: list[str] | None = None) -> Sample:
    images, labels = colored(rows)
    test = colored(test_rows, seed=1) if test_rows else None
    return Sample.from_arrays(images, labels, name="colors", groups=groups, test=test)


def checkpoint(folder: Path, net: str = "resnet") -> Checkpoint:
    opened = inspect(save_net(folder, net))
    return Checkpoint(net, "image", opened.architecture, folder, opened.digest, opened.parameters, opened.input_size)


def plan(card: Checkpoint, *stages: Stage, **changes: object) -> Plan:
    """A plan that reads the last block; without stages a linear probe."""
    blocks = open_encoder(card.folder).blocks
    trained = {block for stage in stages for block in stage.train}
    made = Plan(
        strategy="by hand",
        read=blocks[-1],
        head="logistic",
        stages=stages,
        frozen=tuple(block for block in blocks if block not in trained),
        from_scratch=False,
        augment=False,
        batch_size=16,
        weight_decay=0.01,
        label_smoothing=0.0,
        because=("the test wants it",),
    )
    return replace(made, **changes)


def whole(card: Checkpoint, epochs: int = 2, rate: float = 1e-3, **changes: object) -> Stage:
    """A stage in which everything learns."""
    return replace(Stage(open_encoder(card.folder).blocks, epochs, 1e-2, rate), **changes)


def job(
    place: Path, card: Checkpoint, made: Plan, data: Sample | None = None, *, name: str = "run", seed: int = 0
) -> Job:
    return Job(
        name,
        card,
        made,
        sample() if data is None else data,
        Home.find(place / "home"),
        seed=seed,
        expected=Expected(Metric.ACCURACY, 0.8, 0.7, 0.9),
        known={"probe": 0.75},
    )
