"""The bench: where weights, rows and features of a cell are found; features are kept outside the repository."""

import json
import time
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np

from registry.cards import Checkpoint
from registry.encoders.encoder import CheckpointEncoder, load_encoder
from registry.features import Encoded, cached
from registry.home import Home, catalog_folder
from registry.sample import Sample
from tests.benchmarks.proving_ground.cells import Cell
from tests.benchmarks.proving_ground.targets import IMAGES, Ground, Part, part_of

__all__ = ["Bench", "WeightsMissing"]


class WeightsMissing(LookupError):
    """No folder holds the weights that a cell names by digest."""


@dataclass(frozen=True)
class Bench:
    """Folders of the data, of shared real checkpoints, of grown ones, and of what may be kept from run to run."""

    data: Path
    shared: Path
    grown: Path
    cache: Path
    ground: Ground = IMAGES
    teachers: Path = Path(".cache/teachers")
    """Real checkpoints that are too large to lie among the shared ones."""

    @property
    def home(self) -> Home:
        """A registry home of the proving ground's own."""
        return Home.find(self.cache / "home")

    def part(self, cell: Cell) -> Part:
        """The cell's rows."""
        return self.rows_of(cell.target, cell.rows, cell.seed)

    def rows_of(self, target: str, rows: int, seed: int) -> Part:
        """A target's rows for cells of at most so many training rows."""
        return part_of(self.data, target, rows, seed, self.ground)

    def folder(self, cell: Cell) -> Path:
        """The folder whose weights have the cell's digest.

        Raises:
            WeightsMissing: none has.
        """
        places = (
            catalog_folder() / "seedlings" / cell.checkpoint,
            self.grown / cell.checkpoint / "done",
            self.shared / "checkpoints" / self.ground.modality / cell.checkpoint,
            self.teachers / cell.checkpoint,
        )
        for place in places:
            if (place / "model.safetensors").is_file() and _digest(place / "model.safetensors") == cell.digest:
                return place
        raise WeightsMissing(f"{cell.checkpoint} with digest {cell.digest[:12]} is in none of {[*map(str, places)]}")

    def has(self, cell: Cell) -> bool:
        """Whether the cell's weights are here still."""
        try:
            self.folder(cell)
        except WeightsMissing:
            return False
        return True

    def checkpoint(self, cell: Cell) -> Checkpoint:
        """The cell's checkpoint as a card."""
        opened = self.encoder(cell).opened
        return Checkpoint(
            cell.checkpoint,
            self.ground.modality,
            opened.architecture,
            self.folder(cell),
            cell.digest,
            opened.parameters,
            opened.input_size,
            lineage=tuple(filter(None, cell.lineage.split(";"))),
        )

    def encoder(self, cell: Cell) -> CheckpointEncoder:
        """The cell's encoder; inputs are capped as the product caps them (224 px, 128 tokens)."""
        return _opened(self.folder(cell), cell.checkpoint)

    def train_features(self, cell: Cell) -> Encoded:
        """Every block's features of the cell's training rows, from the cache where they are."""
        most, part = self.rows_of(cell.target, self.ground.probe_rows, cell.seed), self.part(cell)
        places = {item.digest: place for place, item in enumerate(most.train.items)}
        rows = np.array([places[item.digest] for item in part.train.items])
        return self._encoded(cell, most.train).take(rows)

    def test_features(self, cell: Cell) -> Encoded:
        """The same of its test rows."""
        return self._encoded(cell, self.part(cell).test)

    def forward_seconds(self, cell: Cell) -> float:
        """Processor seconds a row that encoding the training rows took when it was done."""
        train = self.rows_of(cell.target, self.ground.probe_rows, cell.seed).train
        record = json.loads(self._path(cell, train).with_suffix(".json").read_text())
        return float(record["seconds"]) / int(record["rows"])

    def _encoded(self, cell: Cell, sample: Sample) -> Encoded:
        path = self._path(cell, sample)

        def make() -> Encoded:
            began = time.process_time()
            result = self.encoder(cell).encode(sample.items)
            record = {"seconds": time.process_time() - began, "rows": len(sample)}
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_suffix(".json").write_text(json.dumps(record))
            return result

        return cached(path, make)

    def _path(self, cell: Cell, sample: Sample) -> Path:
        return self.cache / "features" / self.encoder(cell).digest[:16] / f"{sample.order[:16]}.safetensors"


@lru_cache(maxsize=256)
def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


@lru_cache(maxsize=2)
def _opened(folder: Path, name: str) -> CheckpointEncoder:
    return load_encoder(folder, name=name)
