"""Small jobs: a tiny net, a few dozen pictures whose class is their color, and plans that one writes down."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from transformers import ResNetConfig, ResNetModel

from recommender.results import Expected, Plan, Stage
from recommender.runs.job import Job
from registry.cards import Checkpoint, Metric
from registry.encoders.encoder import load_encoder
from registry.encoders.loading import inspect, quiet
from registry.home import Home
from registry.sample import Sample

__all__ = ["card_of", "colored", "job", "plan", "sample", "tiny_checkpoint", "whole"]

_SHADES = {"red": 0, "green": 1, "blue": 2}
_SIDE = 32


def tiny_checkpoint(folder: Path) -> Checkpoint:
    """A checkpoint of some ten thousand random weights, saved in a folder."""
    torch.manual_seed(0)
    model = ResNetModel(
        ResNetConfig(embedding_size=8, layer_type="basic", hidden_sizes=[8, 12, 16, 24], depths=[1, 1, 2, 1])
    )
    for name, buffer in model.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    with quiet():
        model.save_pretrained(folder)
    size = {"height": _SIDE, "width": _SIDE}
    processor = {"image_processor_type": "ViTImageProcessor", "size": size, "resample": 2}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return card_of(folder, "tiny")


def card_of(folder: Path, name: str) -> Checkpoint:
    """The card of a checkpoint of images that lies in a folder."""
    opened = inspect(folder)
    return Checkpoint(name, "image", opened.architecture, folder, opened.digest, opened.parameters, opened.input_size)


def colored(rows: int, seed: int = 0, noise: float = 50) -> tuple[np.ndarray, list[str]]:
    """Noise in which the class's color is somewhat brighter."""
    random = np.random.default_rng(seed)
    labels = [list(_SHADES)[row % 3] for row in range(rows)]
    images = random.normal(110, noise, (rows, 16, 16, 3))
    for row, label in enumerate(labels):
        images[row, :, :, _SHADES[label]] += 30
    return np.clip(images, 0, 255).astype(np.uint8), labels


def sample(rows: int = 48, test_rows: int = 24, *, groups: list[str] | None = None) -> Sample:
    """Pictures of three colors, with a test part."""
    images, labels = colored(rows)
    test = colored(test_rows, seed=1) if test_rows else None
    return Sample.from_arrays(images, labels, name="colors", groups=groups, test=test)


def plan(card: Checkpoint, *stages: Stage, **changes: object) -> Plan:
    """A plan that reads the last block; without stages a linear probe."""
    blocks = load_encoder(card.folder).blocks
    trained = {block for stage in stages for block in stage.train}
    probe = Plan(
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
    return replace(probe, **changes)  # type: ignore[arg-type]  # fields of a plan by name


def whole(card: Checkpoint, epochs: int = 2, rate: float = 1e-3, **changes: object) -> Stage:
    """A stage in which everything learns."""
    return replace(Stage(load_encoder(card.folder).blocks, epochs, 1e-2, rate), **changes)  # type: ignore[arg-type]


def job(
    place: Path, card: Checkpoint, work: Plan, data: Sample | None = None, *, name: str = "run", seed: int = 0
) -> Job:
    """The job that carries out a plan on those pictures, in a home of its own."""
    return Job(
        id=name,
        checkpoint=card,
        plan=work,
        sample=sample() if data is None else data,
        home=Home.find(place / "home"),
        seed=seed,
        expected=Expected(Metric.ACCURACY, 0.8, 0.7, 0.9),
        known={"probe": 0.75},
    )
