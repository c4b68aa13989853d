"""The cards of the registry (checkpoint, domain, outcome), its record of a job, and the words they share."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from registry.forms import Record
from registry.progress import Event, Phase

__all__ = [
    "BYTES_A_PARAMETER",
    "FIRST_MODALITY",
    "METRICS",
    "UNKNOWN_LICENSE",
    "Checkpoint",
    "Claim",
    "ClassFolder",
    "Domain",
    "HubFile",
    "HubState",
    "JobRecord",
    "JobState",
    "Keepable",
    "Locator",
    "Metric",
    "Origin",
    "Outcome",
    "Task",
    "Wanted",
    "limit_of",
]

UNKNOWN_LICENSE = "unknown"
BYTES_A_PARAMETER = 4
"""What weights take in memory, and mostly on disk: single precision."""
FIRST_MODALITY = "image"
"""What outcomes are of that were written before there was another."""
_QUANTITY = {"sample", "subset", "balanced", "small", "train"}
"""Words of a domain's name that say how much of it there is, not what it is."""


class Task(StrEnum):
    """What is predicted of an item."""

    CLASSIFICATION = "classification"
    MULTI_LABEL = "multi-label"
    REGRESSION = "regression"
    TOKEN_CLASSIFICATION = "token-classification"  # noqa: S105 - no password
    """A class of each position of an item, as of each word of a sentence."""


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
    ENTITY_F1 = "entity-f1"
    """Of spans, right where kind and both ends are."""

    @property
    def lowest(self) -> float:
        """Where intervals end; 0, but R squared is below 0 where the mean of the targets were a better guess."""
        return -1.0 if self is Metric.R2 else 0.0

    def words(self, score: float) -> str:
        """A score as it is read: R squared as a number, all else in percent: ``76.6 %``."""
        return f"{score:.3f}" if self is Metric.R2 else f"{100 * score:.1f} %"

    def interval(self, low: float, high: float) -> str:
        """The bounds of a score as it is read: ``70.1 to 83.0 %``."""
        return f"{low:.2f} to {high:.2f}" if self is Metric.R2 else f"{100 * low:.1f} to {100 * high:.1f} %"

    def difference(self, points: float) -> str:
        """A difference of two scores, with its sign: ``+29.2 points``."""
        return f"{points:+.3f}" if self is Metric.R2 else f"{100 * points:+.1f} points"


METRICS: Mapping[Task, tuple[Metric, ...]] = {
    Task.CLASSIFICATION: (Metric.ACCURACY, Metric.BALANCED_ACCURACY, Metric.MACRO_F1),
    Task.MULTI_LABEL: (Metric.MACRO_F1, Metric.ACCURACY),
    Task.REGRESSION: (Metric.R2,),
    Task.TOKEN_CLASSIFICATION: (Metric.ENTITY_F1, Metric.ACCURACY, Metric.MACRO_F1),
}
"""What judges a task; the first where none is asked for."""


class Origin(StrEnum):
    """Where a card came from."""

    SEEDLING = "seedling"
    LOCAL = "local"
    HUB = "hub"
    PUBLISHED = "published"
    OURS = "ours"
    ELSEWHERE = "elsewhere"
    """Measured, but not by this registry: an imported outcome."""


@runtime_checkable
class Keepable(Protocol):
    """Advice as the registry sees it: an id and a JSON-able dict."""

    @property
    def id(self) -> str:
        """The digest that names it."""

    def to_dict(self) -> dict[str, object]:
        """Everything to be kept."""


class HubState(StrEnum):
    """How a repository stands on its hub, as it was last seen."""

    OK = "ok"
    GATED = "gated"
    RENAMED = "renamed"
    DELETED = "deleted"
    MOVED = "moved"
    """Its revision has another commit by now; the one that is pinned stays."""


@dataclass(frozen=True)
class HubFile:
    """One file of a repository at a commit."""

    name: str
    bytes: int
    digest: str
    """``sha256:`` of a large file's content, or ``git:`` and the SHA-1 of a small one's blob."""


@dataclass(frozen=True)
class Locator:
    """Where on a hub a checkpoint comes from: an id at a commit, and exactly which files make it."""

    hub: str
    """``organization/name``."""
    revision: str
    """The branch or tag that was named; `sync` looks what it is by now."""
    commit: str
    """40 hexadecimal digits."""
    files: tuple[HubFile, ...] = ()
    state: HubState = HubState.OK
    upstream: str = ""
    """What there is instead: the new id of a renamed repository, the new commit of a moved one."""

    @property
    def weights(self) -> tuple[HubFile, ...]:
        """The files that hold its weights."""
        return tuple(file for file in self.files if file.name.endswith(".safetensors"))

    @property
    def bytes(self) -> int:
        """Of all its files."""
        return sum(file.bytes for file in self.files)


@dataclass(frozen=True)
class Claim:
    """One result that a checkpoint's maker states of it; no outcome, for nobody here has measured it."""

    data: str
    """The data set as it is called there."""
    task: str
    metric: str
    value: float
    split: str = ""


@dataclass(frozen=True)
class Checkpoint:
    """A pretrained model in a local folder. ``claimed`` comes from its maker, ``measured`` from us."""

    name: str
    modality: str
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
    locator: Locator | None = None
    """Where on a hub it comes from; None where it is a folder and nothing else. Its folder is where its files lie, or
    are to lie once they are fetched."""
    claims: tuple[Claim, ...] = ()
    """Results that its maker states, kept apart from outcomes."""
    cap: int | None = None
    """Size of input beyond which inputs are made smaller for it; None for the modality's own (224 px)."""
    objects: str = ""
    """Digest of the manifest of its files, where they are shared (`registry.objects`); empty where they are not."""


@dataclass(frozen=True)
class Wanted:
    """Conditions on a checkpoint that the database judges without reading its card; None asks for nothing."""

    modality: str | None = None
    most_parameters: int | None = None
    licenses: tuple[str, ...] | None = None
    """As cards write them."""
    exclude: tuple[str, ...] = ()
    names: tuple[str, ...] | None = None
    domains: tuple[str, ...] | None = None
    hubs: tuple[str, ...] | None = None
    from_hub: bool | None = None
    unsketched_in: str | None = None
    """The digest of a lens: what was trained on no domain that has a sketch in it."""


@dataclass(frozen=True)
class Domain:
    """A source of data; its sketch is kept apart, one for each lens."""

    name: str
    modality: str
    title: str
    family: str
    """Domains of one origin or kind; evaluation leaves whole families out."""
    rows: int
    """Rows that its sketch was made of; 0 where there is none."""
    license: str = UNKNOWN_LICENSE
    citation: str = ""
    origin: Origin = Origin.LOCAL
    data: str = ""
    """Where the items lay when they were sketched; empty when they are not at hand."""
    digest: str = ""
    """Content digest of the sample that was sketched."""
    aliases: tuple[str, ...] = ()
    """Other names by which the cards of checkpoints call it."""


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
    modality: str = FIRST_MODALITY
    """What was learned from: a score of another modality says nothing here. Where it is not stated, images."""


def limit_of(sample: Mapping[str, Any]) -> int | None:
    """Rows of a part that were read at most, of a kept sample; None for as many as is usual.

    Where that was not kept yet it is what health says of a draw: the rows that are left, those removed, those skipped.
    """
    limit: int | None = sample.get("limit")
    health: Mapping[str, Any] = sample["health"]
    if limit is not None or not health.get("sampled_from"):
        return limit
    return sum(int(health.get(part, 0)) for part in ("rows", "unreadable", "exact_duplicates", "leaked", "left_out"))


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    """Its process died; starting it again under the same key resumes it."""


@dataclass(frozen=True)
class JobRecord(Record):
    """One job as the registry knows it."""

    id: str
    kind: str
    spec: Mapping[str, object]
    state: JobState
    key: str
    created: str
    heartbeat: str
    stage: str = ""
    """The phase of the newest event; empty before the first."""
    done: int = 0
    of: int = 0
    host: str = ""
    pid: int = 0
    result: Mapping[str, object] | None = None
    error: str | None = None
    lane: str = "cpu"
    """What it waits for: one job of a lane is carried out at a time."""
    curve: Mapping[str, tuple[tuple[int, float], ...]] = field(default_factory=dict)
    """Learning curves: series -> (step, value), by step."""
    part: str = ""
    step: int = 0
    steps: int = 0
    owner: str = ""
    """The key of the service that asked for it; empty where somebody at this machine did."""
    tries: int = 0
    """How often it was begun since it was asked for."""

    @property
    def event(self) -> Event | None:
        """How far it is; None before anything was reported."""
        if self.stage not in set(Phase):
            return None
        return Event(Phase(self.stage), self.part, self.done, self.of, self.step, self.steps)


class Scope(StrEnum):
    """What a key of the service permits; each one what comes before it, too."""

    READ = "read"
    ADVISE = "advise"
    TUNE = "tune"
    ADMIN = "admin"


@dataclass(frozen=True)
class ApiKey(Record):
    """A key of the service, without its secret, of which only a hash is kept."""

    id: str
    name: str
    scope: Scope
    created: str
    expires: str
    """ISO 8601, UTC; empty for never."""
    revoked: str | None = None

    def permits(self, scope: Scope) -> bool:
        """Whether what needs that scope may be done with it."""
        order = list(Scope)
        return order.index(scope) <= order.index(self.scope)


@dataclass(frozen=True)
class AuditRow(Record):
    """One write through the service."""

    id: str
    """Of the request."""
    created: str
    key: str
    action: str
    status: int


class DeclaredDomains:
    """Domains that cards may declare in words: by the longest name, title or alias in the text of their source.

    Words are compared whole, blind to case, punctuation and to whether a number is written together with its name.
    """

    def __init__(self, domains: Sequence[Domain]) -> None:
        self._phrases: dict[str, list[tuple[list[str], Domain]]] = {}
        """By their first word."""
        for domain in domains:
            for phrase in _phrases(domain):
                self._phrases.setdefault(phrase[0], []).append((phrase, domain))

    def of(self, checkpoint: Checkpoint) -> Domain | None:
        """The domain that a card without one declares."""
        if checkpoint.domain is not None:
            return None
        text = _words(checkpoint.source)
        matches = [
            (len(phrase), domain.name, domain)
            for word in dict.fromkeys(text)
            for phrase, domain in self._phrases.get(word, ())
            if domain.modality == checkpoint.modality and _holds_phrase(text, phrase)
        ]
        return max(matches, key=lambda match: match[:2])[2] if matches else None


def _phrases(domain: Domain) -> list[list[str]]:
    """What a text may call a domain: its name, the head of its title, its aliases; without words of mere quantity."""
    head = re.split(r"[,:(]", domain.title)[0]
    phrases = [
        [word for word in _words(name) if word not in _QUANTITY] for name in (domain.name, head, *domain.aliases)
    ]
    return [phrase for phrase in phrases if phrase]


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+|\d+", text.casefold())


def _holds_phrase(text: Sequence[str], phrase: Sequence[str]) -> bool:
    return any(list(text[at : at + len(phrase)]) == list(phrase) for at in range(len(text) - len(phrase) + 1))
