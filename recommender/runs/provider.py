"""Who an executor asks while it carries out a job: for features of rows, and to keep what came of it.

A job holds names, digests and plain data, so that it can be carried out anywhere; a provider belongs to one process.
"""

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from recommender.baseline import RAW, RawPixels, raw_pixels
from recommender.runs.job import Job
from registry.cards import Outcome
from registry.encoders import Encoder, open_encoder
from registry.features import Encoded
from registry.progress import Progress
from registry.sample import Sample
from registry.zoo import Zoo

__all__ = ["FolderProvider", "Provider", "ZooProvider"]


@runtime_checkable
class Provider(Protocol):
    """What an executor is handed with a job."""

    def features(self, job: Job, part: Sample, progress: Progress) -> Encoded:
        """Features of a part of the job's sample, by the job's checkpoint or (in a raw plan) of the items as they are.

        Raises:
            CheckpointError, EstimatorError: the checkpoint, or the rows, cannot be used.
        """

    def record(self, job: Job, outcome: Outcome) -> None:
        """Keep the outcome: called when run.json is written, and again when MLflow's id is known.

        Raises:
            RegistryError, DiskFull: it cannot be kept now; the next start keeps it.
        """


@dataclass
class _Raw:
    """Raw features of any part of a job's sample, in as many channels as all its rows need."""

    job: str = ""
    encoder: RawPixels | None = None

    def features(self, job: Job, part: Sample, progress: Progress) -> Encoded:
        if self.encoder is None or self.job != job.id:
            self.job, self.encoder = job.id, RawPixels.of(raw_pixels(job.sample, progress))
        return self.encoder.encode(part.items, progress=progress)


@dataclass
class FolderProvider:
    """Opens the checkpoint where it lies and encodes whatever is asked for; keeps neither features nor outcomes."""

    raw: _Raw = field(default_factory=_Raw)
    encoder: Encoder | None = None

    def features(self, job: Job, part: Sample, progress: Progress) -> Encoded:
        """Encoded anew, whatever was encoded before."""
        if job.plan.read == RAW:
            return self.raw.features(job, part, progress)
        if self.encoder is None or self.encoder.name != job.checkpoint.name:
            self.encoder = open_encoder(job.checkpoint.folder, name=job.checkpoint.name)
        return self.encoder.encode(part.items, progress=progress)

    def record(self, job: Job, outcome: Outcome) -> None:
        """Not kept."""


@dataclass
class ZooProvider:
    """The registry: its cache of features, and its history."""

    zoo: Zoo
    raw: _Raw = field(default_factory=_Raw)

    def features(self, job: Job, part: Sample, progress: Progress) -> Encoded:
        """From the cache where they are kept."""
        if job.plan.read == RAW:
            return self.raw.features(job, part, progress)
        return self.zoo.encode(job.checkpoint.name, part, progress=progress)

    def record(self, job: Job, outcome: Outcome) -> None:
        """Kept as history, with the rows that it was tuned on."""
        self.zoo.record(outcome, job.sample)
