"""Who an executor asks while it carries out a job: for features of rows, and to keep what came of it.

A job holds names, digests and plain data, so that it can be carried out anywhere; a provider belongs to one process.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from recommender.runs.job import Job
from registry.cards import Outcome, Task
from registry.encoders import Encoder, at_positions, open_encoder
from registry.features import Encoded
from registry.progress import Progress
from registry.sample import Sample
from registry.targets import Positions
from registry.zoo import Zoo

__all__ = ["FolderProvider", "Provider", "RowsProvider", "ZooProvider"]


@runtime_checkable
class Provider(Protocol):
    """What an executor is handed with a job."""

    def features(self, job: Job, part: Sample, progress: Progress) -> Encoded:
        """Features of a part of the job's sample by the job's checkpoint; a raw plan asks for none.

        Raises:
            CheckpointError, EstimatorError: the checkpoint, or the rows, cannot be used.
        """

    def record(self, job: Job, outcome: Outcome) -> None:
        """Keep the outcome: called when run.json is written, and again when MLflow's id is known.

        Raises:
            RegistryError, DiskFull: it cannot be kept now; the next start keeps it.
        """


@dataclass
class FolderProvider:
    """Opens the checkpoint where it lies and encodes whatever is asked for; keeps neither features nor outcomes."""

    encoder: Encoder | None = None

    def features(self, job: Job, part: Sample, progress: Progress) -> Encoded:
        """Encoded anew, whatever was encoded before."""
        if self.encoder is None or self.encoder.name != job.checkpoint.name:
            encoder = open_encoder(job.checkpoint.folder, name=job.checkpoint.name, cap=job.checkpoint.cap)
            self.encoder = at_positions(encoder) if part.task is Task.TOKEN_CLASSIFICATION else encoder
        return self.encoder.encode(part.items, progress=progress)

    def record(self, job: Job, outcome: Outcome) -> None:
        """Not kept."""


@dataclass
class ZooProvider:
    """The registry: its cache of features, and its history."""

    zoo: Zoo

    def features(self, job: Job, part: Sample, progress: Progress) -> Encoded:
        """From the cache where they are kept."""
        return self.zoo.encode(job.checkpoint.name, part, progress=progress)

    def record(self, job: Job, outcome: Outcome) -> None:
        """Kept as history, with the rows that it was tuned on."""
        self.zoo.record(outcome, job.sample)


@dataclass(frozen=True, eq=False)
class RowsProvider:
    """A checkpoint's features of all rows, encoded once; those of any part are looked up. No outcome is kept."""

    sources: tuple[tuple[Mapping[object, int], Encoded, Positions], ...]

    @classmethod
    def of(cls, checkpoint: str, sample: Sample, zoo: Zoo, progress: Progress) -> "RowsProvider":
        """Of a sample and its test part."""
        parts = [sample] if sample.test is None else [sample, sample.test]
        return cls(
            tuple(
                (
                    {item: row for row, item in enumerate(part.items)},
                    zoo.encode(checkpoint, part, progress=progress),
                    part.positions,
                )
                for part in parts
            )
        )

    def features(self, job: Job, part: Sample, progress: Progress) -> Encoded:
        """Features of a part, whatever job they are for."""
        del job, progress
        places, encoded, positions = next(source for source in self.sources if part.items[0] in source[0])
        return encoded.take(positions.within(np.array([places[item] for item in part.items])))

    def record(self, job: Job, outcome: Outcome) -> None:
        """Nothing of it becomes history."""
