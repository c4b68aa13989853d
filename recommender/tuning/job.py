"""Job: all that an executor needs to carry out a plan on a sample, and where the result will lie."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from recommender.verdicts import Choice, Expected, Plan
from registry.cards import Checkpoint
from registry.features import Encoded
from registry.home import Home
from registry.progress import Progress
from registry.sample import Sample
from registry.zoo import Zoo

__all__ = ["Encode", "Job"]

Encode = Callable[[Sample, Progress], Encoded]


@dataclass(frozen=True, eq=False)
class Job:
    """One tuning. ``encode`` gives the checkpoint's features of a sample, from a cache where there is one."""

    id: str
    checkpoint: Checkpoint
    plan: Plan
    sample: Sample
    home: Home
    encode: Encode
    seed: int = 0
    device: str = "cpu"
    expected: Expected | None = None
    known: Mapping[str, object] = field(default_factory=dict)
    """What the advice rested on (probe, scores, distance), kept with the outcome."""
    recommendation: str | None = None

    @classmethod
    def of(
        cls, choice: Choice, sample: Sample, zoo: Zoo, *, recommendation: str | None = None, seed: int = 0,
        device: str = "cpu",
    ) -> "Job":  # fmt: skip
        """The job that carries out a choice, under a new id."""
        name = choice.checkpoint.name
        return cls(
            id=f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}", checkpoint=choice.checkpoint,
            plan=choice.plan, sample=sample, home=zoo.home,
            encode=lambda part, progress: zoo.encode(name, part, progress=progress),
            seed=seed, device=device, expected=choice.expected, known=_known(choice), recommendation=recommendation,
        )  # fmt: skip

    @property
    def folder(self) -> Path:
        """Where the run's files lie."""
        return self.home.runs / self.id


def _known(choice: Choice) -> dict[str, object]:
    found = choice.ranked.transferability
    at_read = {row.block: row.score for row in found.blocks}
    distance = found.candidate.distance
    return {
        "probe": at_read[choice.plan.read], "scores": dict(found.scores),
        "distance": None if distance is None else distance.to_dict(),
        "no_transfer": choice.ranked.expected.mean - choice.ranked.gain.mean,
    }  # fmt: skip
