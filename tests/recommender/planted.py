"""A zoo whose encoders' answers are planted in the pictures: two pixels differ or not, which raw pixels cannot use."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from registry.catalog import write_checkpoint
from registry.encoders import BlockSize
from registry.features import Encoded, Features
from registry.progress import Progress, silent
from registry.sample import Sample
from registry.zoo import Zoo
from tests.registry.fakes import MeanColor, a_catalog, a_checkpoint


@dataclass
class Reader:
    """Block k tells whether pixels (0, column) and (1, column) differ in green, beside columns that tell nothing."""

    name: str
    columns: tuple[int, ...]
    modality: str = "image"
    digest: str = "4567"
    adaptable: tuple[str, ...] = ()
    names: tuple[str, ...] = field(default=("block 01", "block 02"))

    sizes: tuple[BlockSize, ...] = (BlockSize(1, 0, 0), BlockSize(2, 0, 0))

    @property
    def blocks(self) -> tuple[str, ...]:
        return self.names

    def remarks(self, items: Sequence) -> tuple[str, ...]:
        return ()

    def encode(self, items: Sequence, *, progress: Progress = silent) -> Encoded:
        pixels = np.stack([np.asarray(item.open()) for item in items]).astype(np.float32)
        noise = pixels[:, 4:6, :, 0].reshape(len(pixels), -1) / 255
        differ = np.abs(pixels[:, 0, :, 1] - pixels[:, 1, :, 1]) / 64
        blocks = tuple(
            Features(np.hstack([differ[:, column : column + 1], noise]), f"{self.name}@{self.digest}#{name}")
            for column, name in zip(self.columns, self.names, strict=True)
        )
        return Encoded(blocks, self.names)


def planted_sample(rows: int, right: Sequence[float], *, shade: int = 128, classes: int = 2, seed: int = 0) -> Sample:
    """Pictures of one shade; column k of `Reader` tells the class in a share ``right[k]`` of the rows."""
    random = np.random.default_rng(seed)
    labels = np.arange(rows) % classes
    images = np.clip(random.normal(shade, 10, (rows, 8, 8, 3)), 0, 255).astype(np.uint8)
    for column, share in enumerate(right):
        lies = random.random(rows) >= share
        report = np.where(lies, (labels + 1) % classes, labels)
        first = random.choice([-25, 25], rows)
        images[:, 0, column, 1] = shade + first
        images[:, 1, column, 1] = shade + np.where(report == 1, -first, first)
    return Sample.from_arrays(images, [f"class {label}" for label in labels], name="told")


def planted_zoo(place: Path, readers: dict[str, tuple[Reader, str | None]]) -> Zoo:
    """A zoo with MeanColor as its lens and these readers, each with the domain that it is said to come from."""
    catalog = a_catalog(place / "catalog")
    for name, (_, domain) in readers.items():
        folder = catalog / "seedlings" / name
        write_checkpoint(catalog, a_checkpoint(folder, name, domain=domain))
    zoo = Zoo.open(place / "home", catalog=catalog)
    zoo._encoders["mean-color"] = MeanColor()
    for name, (reader, _) in readers.items():
        zoo._encoders[name] = reader
    return zoo
