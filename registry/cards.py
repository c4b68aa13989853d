"""The three cards of the registry (checkpoint, domain, outcome) and the words they share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol, runtime_checkable

__all__ = [
    "METRICS", "UNKNOWN_LICENSE", "Checkpoint", "ClassFolder", "Domain", "Keepable", "Metric", "Modality", "Origin",
    "Outcome", "Task",
]  # fmt: skip

UNKNOWN_LICENSE = "unknown"


class Modality(StrEnum):
    """What the items are."""

    IMAGE = "image"
    TEXT = "text"
    AUDIO = "audio"


class Task(StrEnum):
    """What is predicted of an item."""

    CLASSIFICATION = "classification"
    MULTI_LABEL = "multi-label"
    REGRESSION = "regression"


class ClassFolder(StrEnum):
    """Which of two folders above an image is its class."""

    OUTER = "outer"
    INNER = "inner"


class Metric(StrEnum):
    """How a prediction is judged; higher is better, 1 is perfect."""

    ACCURACY = "accuracy"
    BALANCED_ACCURACY = "balanced-accuracy"
    MACRO_F1 = "macro-f1"
    R2 = "r2"

    @property
    def lowest(self) -> float:
        """Where intervals end; 0, but R squared is below 0 where the mean of the targets were a better guess."""
        return -1.0 if self is Metric.R2 else 0.0


METRICS: Mapping[Task, tuple[Metric, ...]] = {
    Task.CLASSIFICATION: (Metric.ACCURACY, Metric.BALANCED_ACCURACY, Metric.MACRO_F1),
    Task.MULTI_LABEL: (Metric.MACRO_F1, Metric.ACCURACY),
    Task.REGRESSION: (Metric.R2,),
}
"""What judges a task; the first where none is asked for."""


class Origin(StrEnum):
    """Where a card came from."""

    SEEDLING = "seedling"
    LOCAL = "local"
    HUB = "hub"
    PUBLISHED = "published"
    OURS = "ours"


@runtime_checkable
class Keepable(Protocol):
    """Advice as the registry sees it: an id and a JSON-able dict."""

    @property
    def id(self) -> str:
        """The digest that names it."""

    def to_dict(self) -> dict[str, object]:
        """Everything to be kept."""


@dataclass(frozen=True)
class Checkpoint:
    """A pretrained model in a local folder. ``claimed`` comes from its maker, ``measured`` from us."""

    name: str
    modality: Modality
    architecture: str
    folder: Path
    digest: str
    """SHA-256 of model.safetensors."""
    parameters: int
    input_size: int
    """Side of the square input in pixels that its preprocessing makes (before any cap)."""
    license: str = UNKNOWN_LICENSE
    domain: str | None = None
    """Name of the domain card it was pretrained on, where there is one."""
    source: str = ""
    """The source in words."""
    lineage: tuple[str, ...] = ()
    """Data sets and teachers that shaped it, for exclusion in evaluation."""
    origin: Origin = Origin.LOCAL
    claimed: Mapping[str, object] = field(default_factory=dict)
    measured: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Domain:
    """A source of data; its sketch is kept apart, one for each lens."""

    name: str
    modality: Modality
    title: str
    family: str
    """Domains of one origin or kind; evaluation leaves whole families out."""
    rows: int
    license: str = UNKNOWN_LICENSE
    citation: str = ""
    origin: Origin = Origin.LOCAL
    data: str = ""
    """Where the items lay when they were sketched; empty when they are not at hand."""
    digest: str = ""
    """Content digest of the sample that was sketched."""


@dataclass(frozen=True)
class Outcome:
    """One fine-tuning result with its conditions; ours (with run id) or published (with citation)."""

    id: str
    checkpoint: str
    strategy: str
    sample_digest: str
    sample_name: str
    task: Task
    metric: Metric
    score: float
    standard_error: float | None
    rows_train: int
    rows_test: int
    seconds: float
    origin: Origin
    created: str
    """ISO 8601, UTC."""
    citation: str = ""
    mlflow_run_id: str | None = None
    conditions: Mapping[str, object] = field(default_factory=dict)
    """What was known before (probe scores, distance, expected score) and how it was run (seed, epochs ...)."""
