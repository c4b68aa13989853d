"""Job: all that an executor needs to know to carry out a plan on a sample, as data that can be sent anywhere."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from recommender.baseline import NOTHING, is_raw, raw_features_of, raw_strategy
from recommender.plan import controlled, set_by_hand
from recommender.results import Baseline, Choice, Cost, Expected, Exposure, Plan
from recommender.runs.devices import resolve
from recommender.runs.folder import RunFolder, RunState
from registry.cards import Checkpoint, Task
from registry.errors import NotResumable, NoVariation, OtherRows, SingleClass, UnreadableForm
from registry.forms import Record, from_json
from registry.home import Home
from registry.modalities import modalities
from registry.progress import Progress, silent
from registry.sample import Sample
from registry.sketch import row_key
from registry.zoo import Zoo

__all__ = ["DEFAULTS", "Job", "TuneOptions"]


@dataclass(frozen=True, eq=False)
class TuneOptions:
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
    epochs: int | None = None
    """Passes over the rows that learn; None for as many as the plan has. So with the next two."""
    rate: float | None = None
    """Of the topmost block that learns; all others keep their ratio to it."""
    batch_size: int | None = None
    find_rate: bool = False
    """Whether a range test may lower the rates before each stage."""
    queue_job: str | None = None
    """Id of the queue's job that this carries out: queued again after it was lost, it goes on with the same run."""

    def of_training(self, plan: Plan) -> Plan:
        """The plan with what these options set by hand.

        Raises:
            NotOffered: something is, and the plan trains nothing but a head.
        """
        return set_by_hand(plan, self.epochs, self.rate, self.batch_size, find_rate=self.find_rate)


DEFAULTS = TuneOptions()


@dataclass(frozen=True, eq=False, kw_only=True)
class _Terms:
    """What a job and the form of it have alike."""

    id: str
    plan: Plan
    seed: int = 0
    device: str = "cpu"
    expected: Expected | None = None
    known: Mapping[str, object] = field(default_factory=dict)
    """What the advice rested on (probe, scores, distance), kept with the outcome."""
    recommendation: str | None = None
    estimated: Cost | None = None
    queue_job: str | None = None

    @property
    def _alike(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(_Terms)}


@dataclass(frozen=True, eq=False, kw_only=True)
class Job(_Terms, Record):
    """One tuning: names, digests and plain data, so that another process can carry it out; see `Provider`."""

    checkpoint: Checkpoint
    sample: Sample
    home: Home
    source: Sample | None = None
    """Labelled rows of what the checkpoint was pretrained on, to see what is forgotten of it."""
    exposure: Exposure | None = None
    """Which of the rows the checkpoint has seen before: a score on these flatters it."""
    advice: Mapping[str, Any] | None = None
    """What the advice that is followed comes to, for those who are told of the run."""

    @classmethod
    def of(cls, choice: Choice | Baseline, sample: Sample, zoo: Zoo, options: TuneOptions = DEFAULTS) -> "Job":
        """The job that carries out a choice, or fits the model of *no transfer*, under a new id.

        Raises:
            DeviceMissing: the device asked for is not there.
            SingleClass, NoVariation: there is nothing that a model could tell apart.
            NotOffered: epochs, rate or batch size are set by hand where nothing but a head is trained.
        """
        if isinstance(choice, Baseline):
            return cls._raw(choice, sample, zoo, options)
        plan = options.of_training(choice.plan)
        plan = plan if options.controls is None else controlled(plan, wanted=options.controls)
        return cls(
            id=_new_id(),
            checkpoint=zoo.at_hand(choice.checkpoint),
            plan=plan,
            sample=sample,
            home=zoo.home,
            seed=options.seed,
            device=resolve(options.device),
            expected=choice.expected,
            known=_known(choice),
            recommendation=options.recommendation or choice.recommendation,
            estimated=options.estimated,
            source=options.source,
            queue_job=options.queue_job,
            advice=_summary(zoo, options.recommendation or choice.recommendation),
            exposure=choice.ranked.transferability.candidate.exposure,
        )

    @classmethod
    def _raw(cls, model: Baseline, sample: Sample, zoo: Zoo, options: TuneOptions) -> "Job":
        strategy = raw_strategy(model.model)
        if strategy is None:
            raise SingleClass("a model") if sample.task is Task.CLASSIFICATION else NoVariation("targets")
        card = _nothing(zoo.home, sample.modality, raw_features_of(model.model))
        plan = Plan(
            strategy=strategy,
            read=card.architecture,
            head=strategy,
            stages=(),
            frozen=(),
            from_scratch=True,
            augment=False,
            batch_size=1,
            weight_decay=0.0,
            label_smoothing=0.0,
            because=(f"nothing is transferred: {model.model} was not beaten, or was asked for",),
        )
        expected = model.expected
        return cls(
            id=_new_id(),
            checkpoint=card,
            plan=options.of_training(plan),
            sample=sample,
            home=zoo.home,
            seed=options.seed,
            device="cpu",
            expected=expected,
            known={"no_transfer": expected.mean},
            recommendation=options.recommendation,
            advice=_summary(zoo, options.recommendation),
        )

    @classmethod
    def again(cls, run: RunFolder, zoo: Zoo, progress: Progress = silent, *, sample: Sample | None = None) -> "Job":
        """The job of a run that was interrupted or failed, on its sample read again or handed over.

        Raises:
            NotResumable: it is over or still going on, or its checkpoint has changed.
            OtherRows: its data have changed, or another sample is handed over.
            RowsInMemory: its sample was made from arrays, and is not handed over.
        """
        if run.state is RunState.FINISHED:
            raise NotResumable(run.id, "it is finished", "See `transferzoo runs list`.")
        if run.state is RunState.RUNNING:
            raise run.occupied()
        try:
            form = from_json(JobForm, run.job)
        except UnreadableForm as cause:
            remedy = "Tune anew; `transferzoo doctor --repair` sets the folder aside."
            raise NotResumable(run.id, f"its job.json is damaged ({cause})", remedy) from cause
        raw, modality = is_raw(form.plan.strategy), str(form.sample.get("modality"))
        card = _nothing(zoo.home, modality, form.plan.read) if raw else zoo.checkpoint(form.checkpoint)
        if card.digest != form.checkpoint_digest:
            raise NotResumable(run.id, f"{card.name} has other weights now", "Tune anew.")
        read = partial(Sample.again, seed=form.seed, progress=progress)
        rows = read(form.sample) if sample is None else sample
        if rows.digest != form.sample.get("digest"):
            raise OtherRows(rows.origin, str(form.sample.get("digest")), rows.digest)
        return cls(
            **{**form._alike, "id": run.id},
            checkpoint=zoo.at_hand(card, progress=progress),
            sample=rows,
            home=zoo.home,
            source=None if form.source is None else read(form.source),
            exposure=None if form.exposure is None else form.exposure.of(rows),
        )

    def to_form(self) -> "JobForm":
        """All that is needed to carry it out again."""
        return JobForm(
            **self._alike,
            checkpoint=self.checkpoint.name,
            checkpoint_digest=self.checkpoint.digest,
            sample=self.sample.to_dict(),
            source=None if self.source is None else self.source.to_dict(),
            exposure=None if self.exposure is None else SeenForm.of_exposure(self.exposure),
        )

    @property
    def folder(self) -> Path:
        """Where the run's files lie."""
        return self.home.runs / self.id


@dataclass(frozen=True)
class SeenForm:
    """`Exposure` as it is kept with a job: rows by their keys."""

    seen: tuple[str, ...]
    through: tuple[str, ...]
    copies: bool
    because: str

    @classmethod
    def of_exposure(cls, exposure: Exposure) -> "SeenForm":
        """The form of it."""
        seen = tuple(sorted(row_key(digest).hex() for digest in exposure.seen))
        return cls(seen, exposure.through, exposure.copies, exposure.because)

    def of(self, sample: Sample) -> Exposure:
        """The exposure, its rows found again in the sample."""
        keys = set(self.seen)
        items = (*sample.items, *(() if sample.test is None else sample.test.items))
        seen = frozenset(item.digest for item in items if row_key(item.digest).hex() in keys)
        return Exposure(seen, self.through, self.copies, self.because)


@dataclass(frozen=True, kw_only=True)
class JobForm(_Terms):
    """`Job` as it is kept in a run's job.json."""

    checkpoint: str
    checkpoint_digest: str
    sample: Mapping[str, Any]
    source: Mapping[str, Any] | None
    exposure: SeenForm | None = None


def _nothing(home: Home, modality: str, raw: str) -> Checkpoint:
    """What a run without any checkpoint names as such, on raw features of that name."""
    return Checkpoint(NOTHING, modality, raw, home.root, "", 0, modalities[modality].raw_size)


def _new_id() -> str:
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"


def _summary(zoo: Zoo, recommendation: str | None) -> dict[str, Any] | None:
    """Kept advice in a few figures and one table; None where it was not kept."""
    kept = None if recommendation is None else zoo.advice(recommendation)
    if kept is None:
        return None
    best, health = next(iter(kept["choices"]), None), kept["sample"]["health"]
    counts = ("rows", "unreadable", "exact_duplicates", "near_duplicates", "leaked", "near_leaked")
    settings = {key: kept["settings"].get(key) for key in ("keep", "seed", "max_parameters", "licenses")}
    facts = {
        "sample": kept["sample"]["name"],
        "metric": kept["sample"]["metric"],
        "transfer": kept["verdict"]["transfer"],
        "no_transfer": kept["baseline"]["model"],
        **{f"health.{key}": health[key] for key in counts},
        **{f"asked.{key}": value for key, value in settings.items()},
    }
    figures = {"no_transfer": kept["baseline"]["mean"]}
    if best is not None:
        facts |= {"chosen": best["checkpoint"], "strategy": best["strategy"]}
        figures |= {"expected": best["expected"]["mean"], "gain": best["gain"]["mean"]}
    rows = [
        [
            row["checkpoint"],
            row["strategy"],
            row["tier"],
            *(row["expected"][end] for end in ("mean", "low", "high")),
            row["gain"]["mean"],
            row["cost"]["seconds"],
        ]
        for row in kept["choices"]
    ]
    return {
        "sentence": kept["verdict"]["sentence"],
        "facts": {key: str(value) for key, value in facts.items()},
        "figures": figures,
        "choices": rows,
    }


def _known(choice: Choice) -> dict[str, object]:
    scored = choice.ranked.transferability
    at_read = {row.block: row.score for row in scored.blocks}
    distance = scored.candidate.distance
    known: dict[str, object] = {
        "probe": at_read[choice.plan.read],
        "scores": dict(scored.scores),
        "distance": None if distance is None else distance.to_dict(),
        "no_transfer": choice.expected.mean - choice.ranked.gain.mean,
    }
    if choice.basis is not None:
        known["basis"] = {key: vars(choice.basis)[key] for key in ("anchor", "body", "features")}
    if scored.candidate.exposure is None:
        return known
    if not scored.believed:
        del known["probe"]
    exposure = scored.candidate.exposure
    return {**known, "rows_seen": len(exposure.seen), "seen_through": list(exposure.through)}
