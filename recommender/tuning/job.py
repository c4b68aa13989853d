"""Job: all that an executor needs to carry out a plan on a sample, and where the result will lie."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from recommender.plan import controlled
from recommender.tuning.devices import resolve
from recommender.tuning.folder import RunFolder, RunState
from recommender.verdicts import Choice, Cost, Expected, Plan
from registry.cards import Checkpoint, Outcome
from registry.errors import NotResumable, TransferZooError
from registry.features import Encoded
from registry.home import Home
from registry.progress import Progress, silent
from registry.sample import Sample
from registry.zoo import Zoo

__all__ = ["USUAL", "Encode", "Job", "Terms"]

Encode = Callable[[Sample, Progress], Encoded]


@dataclass(frozen=True, eq=False)
class Terms:
    """On what terms a choice is carried out: all that advice does not say."""

    seed: int = 0
    device: str = "cpu"
    """A device of this machine, or ``auto``, the fastest."""
    recommendation: str | None = None
    """Id of the advice that is followed."""
    estimated: Cost | None = None
    """What it was estimated to cost, to be held against what it does."""
    source: Sample | None = None
    """Labelled rows of what the checkpoint was pretrained on, to see what is forgotten of it."""
    controls: bool | None = None
    """Whether the run is held against no transfer and a training from scratch; None: as the plan asks."""
    queue_job: str | None = None
    """Id of the queue's job that this carries out: queued again after it was lost, it goes on with the same run."""


USUAL = Terms()


def _record_nowhere(_outcome: Outcome) -> None:
    """What is tried out only has no outcome."""


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
    estimated: Cost | None = None
    source: Sample | None = None
    """Labelled rows of what the checkpoint was pretrained on, to see what is forgotten of it."""
    queue_job: str | None = None
    record: Callable[[Outcome], None] = _record_nowhere
    """Gives the outcome to the registry; called when run.json is written, and again when MLflow's id is known."""

    @classmethod
    def of(cls, choice: Choice, sample: Sample, zoo: Zoo, terms: Terms = USUAL) -> "Job":
        """The job that carries out a choice, under a new id.

        Raises:
            DeviceMissing: the device asked for is not there.
        """
        name = choice.checkpoint.name
        plan = choice.plan if terms.controls is None else controlled(choice.plan, wanted=terms.controls)
        return cls(
            id=f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}", checkpoint=choice.checkpoint,
            plan=plan, sample=sample, home=zoo.home,
            encode=lambda part, progress: zoo.encode(name, part, progress=progress),
            seed=terms.seed, device=resolve(terms.device), expected=choice.expected, known=_known(choice),
            recommendation=terms.recommendation or choice.recommendation, estimated=terms.estimated,
            source=terms.source, queue_job=terms.queue_job,
        )  # fmt: skip

    @classmethod
    def again(cls, run: RunFolder, zoo: Zoo, progress: Progress = silent) -> "Job":
        """The job of a run that was interrupted or failed.

        Raises:
            NotResumable: it is over or still going on, or its checkpoint has changed.
            OtherRows: its data have changed.
        """
        if run.state is RunState.FINISHED:
            raise NotResumable(run.id, "it is finished", "See `transferzoo runs list`.")
        if run.state is RunState.RUNNING:
            raise NotResumable(run.id, "it is still going on", "Wait for it, or stop its process.")
        told = run.job
        try:
            card, plan = zoo.checkpoint(told["checkpoint"]), Plan.from_dict(told["plan"])
            expected = None if told["expected"] is None else Expected(**told["expected"])
            estimated = None if told["estimated"] is None else Cost(**told["estimated"])
            digest, seed, device = told["checkpoint_digest"], told["seed"], told["device"]
            known, recommendation = told["known"], told["recommendation"]
            data, rows = told["sample"], told["source"]
        except (KeyError, TypeError, ValueError) as cause:
            if isinstance(cause, TransferZooError):
                raise
            remedy = "Tune anew; `transferzoo doctor --repair` sets the folder aside."
            raise NotResumable(run.id, f"its job.json is damaged ({cause!r})", remedy) from cause
        if card.digest != digest:
            raise NotResumable(run.id, f"{card.name} has other weights now", "Tune anew.")
        read = partial(Sample.again, seed=seed, progress=progress)
        return cls(
            id=run.id, checkpoint=card, plan=plan, sample=read(data), home=zoo.home,
            encode=lambda part, progress: zoo.encode(card.name, part, progress=progress), seed=seed, device=device,
            expected=expected, known=known, recommendation=recommendation, estimated=estimated,
            source=None if rows is None else read(rows), queue_job=told.get("queue_job"),
        )  # fmt: skip

    def to_dict(self) -> dict[str, object]:
        """All that is needed to carry it out again."""
        return {
            "id": self.id, "checkpoint": self.checkpoint.name, "checkpoint_digest": self.checkpoint.digest,
            "plan": self.plan.to_dict(), "sample": self.sample.to_dict(), "seed": self.seed, "device": self.device,
            "expected": None if self.expected is None else self.expected.to_dict(), "known": dict(self.known),
            "recommendation": self.recommendation,
            "estimated": None if self.estimated is None else self.estimated.to_dict(),
            "source": None if self.source is None else self.source.to_dict(), "queue_job": self.queue_job,
        }  # fmt: skip

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
