"""Small things whose answers can be read off: an encoder that averages pixels, a catalog of three domains."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from registry.cards import Checkpoint, Domain, Metric, Origin, Outcome, Task
from registry.catalog import write_checkpoint, write_domain, write_lens
from registry.encoders import BlockSize
from registry.features import Encoded, Features
from registry.progress import Progress, silent
from registry.sample import Sample
from registry.sketch import Lens, fit_lens, sketch_of

SPACE = "mean-color@0123#last"
SHADES = {"dark": 40, "gray": 128, "bright": 215}


@dataclass
class MeanColor:
    """Features of an image: its mean red, green and blue. Counts how often it was asked."""

    name: str = "mean-color"
    digest: str = "0123"
    modality: str = "image"
    blocks: tuple[str, ...] = ("first", "last")
    adaptable: tuple[str, ...] = ()
    sizes: tuple[BlockSize, ...] = (BlockSize(1, 0, 0), BlockSize(2, 0, 0))
    paths_of: int = 0

    def remarks(self, items: Sequence) -> tuple[str, ...]:
        return ()

    def encode(self, items: Sequence, *, progress: Progress = silent) -> Encoded:
        self.paths_of += 1
        means = np.array([np.asarray(item.open()).mean(axis=(0, 1)) for item in items], dtype=np.float32)
        first = Features(means[:, :1], f"{self.name}@{self.digest}#first")
        return Encoded((first, Features(means, f"{self.name}@{self.digest}#last")), self.blocks)


def cloud(shade: float, rows: int = 60, seed: int = 0) -> Features:
    """What MeanColor sees of images of about that shade."""
    vectors = np.random.default_rng(seed).normal(shade, 12, size=(rows, 3))
    return Features(vectors.astype(np.float32), SPACE)


def shaded(shade: int, rows: int = 20, name: str = "mine", seed: int = 0) -> Sample:
    """A sample of images of about that shade."""
    random = np.random.default_rng(seed)
    images = np.clip(random.normal(shade, 12, size=(rows, 1, 1, 3)) + random.normal(0, 20, (rows, 8, 8, 3)), 0, 255)
    return Sample.from_arrays(images.astype(np.uint8), [f"c{row % 2}" for row in range(rows)], name=name)


def a_lens() -> Lens:
    return fit_lens("color", "image", [cloud(shade) for shade in SHADES.values()])


def a_checkpoint(folder: Path, name: str = "mean-color", **other: object) -> Checkpoint:
    """A card, and a folder with weights that match it."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"w": np.arange(3, dtype=np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"architectures": ["MeanColor"]}))
    card = {
        "name": name,
        "modality": "image",
        "architecture": "MeanColor",
        "folder": folder,
        "digest": sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        "parameters": 3,
        "input_size": 8,
    }
    return Checkpoint(**{**card, **other})


def a_domain(name: str, **other: object) -> Domain:
    card = {"name": name, "modality": "image", "title": name.title(), "family": "shades", "rows": 60}
    return Domain(**{**card, **other})


def an_outcome(name: str = "o1", **other: object) -> Outcome:
    card = {
        "id": name,
        "checkpoint": "mean-color",
        "strategy": "lp-ft",
        "sample_digest": "abc",
        "sample_name": "mine",
        "task": Task.CLASSIFICATION,
        "metric": Metric.ACCURACY,
        "score": 0.75,
        "standard_error": 0.02,
        "rows_train": 30,
        "rows_test": 10,
        "seconds": 1.5,
        "origin": Origin.OURS,
        "created": "2026-01-01",
        "conditions": {"seed": 0},
    }
    return Outcome(**{**card, **other})


def a_catalog(folder: Path) -> Path:
    """One checkpoint, which is the lens's, and the domains dark, gray and bright with their sketches."""
    lens = a_lens()
    write_lens(folder, lens)
    for name, shade in SHADES.items():
        write_domain(folder, a_domain(name, origin=Origin.PUBLISHED), sketch_of(name, cloud(shade), lens))
    seedling = a_checkpoint(folder / "seedlings/mean-color", domain="gray", origin=Origin.SEEDLING)
    write_checkpoint(folder, seedling)
    return folder


@dataclass(frozen=True)
class Advice:
    """Something to keep."""

    id: str = "advice-1"
    sample: str = "abc"

    def to_dict(self) -> dict[str, object]:
        return {"schema": 1, "id": self.id, "sample": {"digest": self.sample}, "choices": [{"p": 0.5, "low": None}]}
