"""Every request performed, in one place: command line, queue, picker and whatever else asks only parse and render.

`perform` takes a request (`recommender.requests`), the registry, and an observer that hears what is worth showing on
the way and is asked between batches whether to go on. It gives the result, and keeps what is to be kept of it.
"""

import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any, overload

from recommender import flow
from recommender.benefit import benefit, for_epochs
from recommender.checks import check_request, require_advice, require_domain
from recommender.constraints import Constraints
from recommender.effort import Deadline
from recommender.holdings import Disk, Fetched, LockFile, Removed, Restorations, Searched, Upstream, manage
from recommender.observer import Observer
from recommender.requests import (
    AddDomainRequest,
    AddRequest,
    BenefitRequest,
    CompareRequest,
    DiskRequest,
    ExportRequest,
    Fetch,
    FetchDataRequest,
    FetchRequest,
    ForgetRequest,
    HoldingsRequest,
    ImportRequest,
    LockRequest,
    NearRequest,
    PredictRequest,
    PromoteRequest,
    RecommendRequest,
    RemoveRequest,
    Request,
    ResumeRequest,
    SampleRequest,
    SearchRequest,
    SyncRequest,
    TuneRequest,
    recommend_request,
)
from recommender.results import (
    Baseline,
    BaselineForm,
    Benefit,
    Choice,
    Distance,
    DomainDistance,
    Imported,
    OutcomeSource,
    Recommendation,
    TuningRun,
    Verdict,
)
from recommender.runs.devices import resolve
from recommender.runs.executors import executors
from recommender.runs.folder import RunState, find_queued, find_run
from recommender.runs.job import Job, TuneOptions
from recommender.runs.tracking import Tracker, TrackerRun, trackers
from recommender.serving.card import write_card
from recommender.serving.export import Exported, export, export_onnx
from recommender.serving.predict import Answer, answer
from recommender.serving.promote import Promoted, promote
from recommender.unprobed import within_budget
from recommender.workers import open_workers
from registry.cards import Checkpoint, Domain, Metric, Task
from registry.errors import (
    AlreadyThere,
    CheckpointError,
    ClusterLost,
    DiskFull,
    HubError,
    NotResumable,
    NoVariation,
    OtherRows,
    OtherSample,
    SingleClass,
)
from registry.forms import from_json
from registry.hub import Hub
from registry.hub_data import HubData
from registry.progress import Event, Phase, Progress
from registry.sample import Sample
from registry.upstream import fetch
from registry.zoo import Zoo

__all__ = ["Drawn", "perform", "read_sample", "reference"]

_ADVICE_STEPS = 5
"""Reading and comparing items, the lens, distances, no transfer; then there is one for each checkpoint."""
_TUNING_PARTS = 4
"""Reading, resolving the choice, estimating its cost, tuning; advice is one more where it is to be made."""
_NO_TIME = 0.001
"""Seconds by which advice that a lost cluster left is called, so that it is not taken for what was asked for."""
_OVERRUN = 0.1
"""Share of a time budget, beyond which a note says that it was overrun."""
_SAME = 0.05
"""Chance of one source above which a sample cannot be told from a domain."""

Kept = Mapping[str, Any]
"""The JSON form of kept advice."""


@dataclass(frozen=True)
class Drawn:
    """What transfer is worth, and where that is drawn."""

    benefit: Benefit
    picture: Path


@overload
def perform(request: RecommendRequest, zoo: Zoo, observer: Observer = ..., *, job: str | None = ...) -> Recommendation:
    pass


@overload
def perform(
    request: TuneRequest | ResumeRequest, zoo: Zoo, observer: Observer = ..., *, job: str | None = ...
) -> TuningRun:
    pass


@overload
def perform(request: BenefitRequest, zoo: Zoo, observer: Observer = ..., *, job: str | None = ...) -> Drawn:
    pass


@overload
def perform(request: CompareRequest, zoo: Zoo, observer: Observer = ..., *, job: str | None = ...) -> Distance:
    pass


@overload
def perform(
    request: NearRequest, zoo: Zoo, observer: Observer = ..., *, job: str | None = ...
) -> tuple[DomainDistance, ...]:
    pass


@overload
def perform(request: AddDomainRequest, zoo: Zoo, observer: Observer = ..., *, job: str | None = ...) -> Domain:
    pass


@overload
def perform(request: PredictRequest, zoo: Zoo, observer: Observer = ..., *, job: str | None = ...) -> Answer:
    pass


@overload
def perform(request: ExportRequest, zoo: Zoo, observer: Observer = ..., *, job: str | None = ...) -> Exported:
    pass


@overload
def perform(request: PromoteRequest, zoo: Zoo, observer: Observer = ..., *, job: str | None = ...) -> Promoted:
    pass


@overload
def perform(request: AddRequest, zoo: Zoo, observer: Observer = ..., *, job: str | None = ...) -> Checkpoint:
    pass


@overload
def perform(request: SearchRequest, zoo: Zoo, observer: Observer = ..., *, job: str | None = ...) -> Searched:
    pass


@overload
def perform(request: FetchRequest, zoo: Zoo, observer: Observer = ..., *, job: str | None = ...) -> Fetched:
    pass


@overload
def perform(request: FetchDataRequest, zoo: Zoo, observer: Observer = ..., *, job: str | None = ...) -> HubData:
    pass


@overload
def perform(
    request: SyncRequest, zoo: Zoo, observer: Observer = ..., *, job: str | None = ...
) -> Upstream | Restorations:
    pass


@overload
def perform(request: RemoveRequest, zoo: Zoo, observer: Observer = ..., *, job: str | None = ...) -> Removed:
    pass


@overload
def perform(request: DiskRequest, zoo: Zoo, observer: Observer = ..., *, job: str | None = ...) -> Disk:
    pass


@overload
def perform(request: LockRequest, zoo: Zoo, observer: Observer = ..., *, job: str | None = ...) -> LockFile:
    pass


@overload
def perform(request: ImportRequest, zoo: Zoo, observer: Observer = ..., *, job: str | None = ...) -> Imported:
    pass


@overload
def perform(request: ForgetRequest, zoo: Zoo, observer: Observer = ..., *, job: str | None = ...) -> OutcomeSource:
    pass


@overload
def perform(request: Request, zoo: Zoo, observer: Observer = ..., *, job: str | None = ...) -> object:
    pass


def perform(  # noqa: PLR0911 - one case a kind
    request: Request, zoo: Zoo, observer: Observer | None = None, *, job: str | None = None
) -> object:
    """Do what is asked for, and give what came of it; ``job`` is the queue's job that asked.

    Raises:
        TransferZooError: it cannot be done, or failed.
        Cancelled: the observer wanted no more; what was finished is kept.
    """
    watcher = observer or Observer()
    if isinstance(request, HoldingsRequest):
        return manage(request, zoo, watcher)
    check_request(request, zoo)
    match request:
        case RecommendRequest():
            return _recommend(request, zoo, watcher)
        case TuneRequest():
            return _tune(request, zoo, watcher, job)
        case ResumeRequest():
            return flow.resume(request.run, zoo, progress=watcher)
        case BenefitRequest():
            return _benefit(request, zoo, watcher)
        case CompareRequest():
            return _compare(request, zoo, watcher)
        case NearRequest():
            sample = read_sample(request.sample, watcher)
            most, metric, seed = request.most, request.metric, request.sample.seed
            wanted = partial(flow.near, most=most, metric=metric, family=request.family)
            return wanted(sample, zoo, seed=seed, progress=watcher)
        case AddDomainRequest():
            source = read_sample(request.sample, watcher)
            return zoo.add_domain(source, name=request.name, family=request.family, progress=watcher)
        case PredictRequest():
            run, links = find_run(zoo.home, request.run), request.follow_links
            return answer(run, request.path, request.labels, follow_links=links, progress=watcher)
        case ExportRequest():
            return _export(request, zoo, watcher)
        case PromoteRequest():
            return promote(find_run(zoo.home, request.run), request.name, zoo, progress=watcher)
    raise TypeError(f"{type(request).__name__} is no request that can be performed")


def reference(result: object) -> dict[str, Any]:  # noqa: PLR0911 - one case a kind
    """What names a result in the registry, or on the disk, for the job that it is the result of."""
    match result:
        case Recommendation():
            return {"recommendation": result.id}
        case TuningRun():
            return {"run": result.id}
        case Drawn():
            return {"picture": str(result.picture)}
        case Exported():
            return {"folder": str(result.folder)}
        case Promoted():
            return {"checkpoint": result.checkpoint.name, "notes": list(result.notes)}
        case Domain():
            return {"domain": result.name}
    return {}


def read_sample(request: SampleRequest, observer: Observer, progress: Progress | None = None) -> Sample:
    """The sample that a request names; the observer is shown it before anything else."""
    sample = Sample.from_folder(
        request.path,
        labels=request.labels,
        task=request.task,
        groups=request.groups,
        test=request.test,
        metric=request.metric,
        seed=request.seed,
        limit=request.limit,
        keep_duplicates=request.keep_duplicates,
        class_folder=request.class_folder,
        follow_links=request.follow_links,
        modality=request.modality,
        text=request.text,
        label=request.label,
        text2=request.text2,
        group=request.group,
        time=request.time,
        unlabelled=request.unlabelled,
        progress=progress or observer,
    )
    observer.on_sample(sample)
    return sample


# ---------------------------------------------------------------- advice


def _recommend(request: RecommendRequest, zoo: Zoo, observer: Observer) -> Recommendation:
    deadline = Deadline.going_on(request.time_budget, (request.time_budget or 0.0) - observer.waited())
    kept = None if request.continues is None else require_advice(zoo, request.continues)
    request = request if kept is None else _gone_on(request, kept)
    steps = _Steps(observer, _ADVICE_STEPS + request.keep)
    sample = read_sample(request.sample, observer, steps)
    _require_same(kept, sample)
    limits = Constraints(
        request.max_parameters,
        request.licenses,
        request.exclude,
        request.max_bytes,
        request.max_latency,
        request.max_memory,
        request.tuning_budget,
    )
    advise = partial(
        flow.recommend,
        sample,
        zoo,
        keep=request.keep,
        constraints=limits,
        effort=request.effort,
        seed=request.sample.seed,
        progress=steps,
    )
    try:
        with open_workers(request.executor) as workers:
            advice = advise(deadline=deadline, workers=workers)
            if not advice.undone and _fetched(request, advice, zoo, observer):
                advice = advise(deadline=deadline, workers=workers)
    except ClusterLost as lost:
        raise _to_be_gone_on_with(lost, advise, deadline, request, zoo) from lost
    if zoo.home.writable:
        zoo.keep(advice)
    if deadline.seconds is not None and deadline.left < -_OVERRUN * deadline.seconds:
        observer.on_note(
            f"The time budget of {deadline.seconds:g} s was overrun by {-deadline.left:.1f} s: reading the rows, what "
            "they score without transfer, and fetching cannot be cut short.",
            warning=True,
        )
    return advice


def _to_be_gone_on_with(
    lost: ClusterLost,
    advise: Callable[..., Recommendation],
    deadline: Deadline,
    request: RecommendRequest,
    zoo: Zoo,
) -> ClusterLost:
    """The same failure, and how to go on: what is known without the cluster is kept as advice with much undone."""
    if not zoo.home.writable:
        return lost
    part = advise(deadline=Deadline(deadline.seconds or _NO_TIME, interrupted=True))
    zoo.keep(part)
    place = shlex.quote(str(request.sample.path))
    again = f"`transferzoo recommend {place} --continue {part.id} --executor {request.executor}`"
    return ClusterLost(
        lost.address, lost.why, f"What was computed is kept. Start the cluster again, and go on: {again}."
    )


def _gone_on(request: RecommendRequest, kept: Kept) -> RecommendRequest:
    """The request that kept advice is of, on the sample that is named now, for as much time as it is given now."""
    before = recommend_request(kept)
    sample = request.sample.model_copy(update={"seed": before.sample.seed})
    now = {"time_budget": request.time_budget, "fetch": request.fetch, "executor": request.executor}
    return before.model_copy(update={"sample": sample, **now})


def _require_same(kept: Kept | None, sample: Sample) -> None:
    """Raise `OtherSample` where kept advice is about other rows."""
    if kept is not None and kept["sample"]["digest"] != sample.digest:
        raise OtherSample(str(kept["id"]), kept["sample"]["digest"], sample.digest)


def _fetched(request: RecommendRequest, advice: Recommendation, zoo: Zoo, observer: Observer) -> bool:
    """Whether anything was fetched of what is known and not here, so that it can be probed; what cannot be is noted."""
    if request.fetch is Fetch.NEVER:
        return False
    rows = within_budget(advice.unprobed, request.disk_budget, request.keep)
    if not rows:
        observer.on_note("Nothing that is known and not here fits into the disk budget.", warning=True)
        return False
    if request.fetch is Fetch.ASK and not observer.may_fetch(rows):
        return False
    done = 0
    for row in rows:
        try:
            fetch(zoo, row.checkpoint, progress=observer)
        except (HubError, CheckpointError, DiskFull, AlreadyThere) as failure:
            observer.on_note(f"{row.checkpoint} was not fetched: {failure}", warning=True)
        else:
            done += 1
    return done > 0


def _compare(request: CompareRequest, zoo: Zoo, observer: Observer) -> Distance:
    place = require_domain(zoo, request.other)
    mine = read_sample(request.sample, observer)
    shared = {"path": place, "groups": None, "test": None}
    theirs = request.other if place is None else read_sample(request.sample.model_copy(update=shared), observer)
    return flow.compare(
        mine,
        theirs,
        zoo,
        metric=request.metric,
        through=request.through,
        seed=request.sample.seed,
        progress=observer,
    )


def _export(request: ExportRequest, zoo: Zoo, observer: Observer) -> Exported:
    hub = None if request.push is None else Hub()
    if hub is not None and request.push is not None:
        hub.require_upload(request.push)
    run = find_run(zoo.home, request.run)
    exported = (export_onnx if request.onnx else export)(run, request.folder, progress=observer)
    if not (request.card or hub is not None):
        return exported
    name = str(run.result.get("checkpoint"))
    write_card(run, exported, zoo.checkpoint(name) if name in zoo else None)
    if hub is None or request.push is None:
        return replace(exported, card="README.md")
    return replace(exported, card="README.md", pushed=hub.push(exported.folder, request.push, progress=observer))


def _kept_advice(
    zoo: Zoo, sample: Sample, name: str | None, *, needed: bool, seed: int, observer: Observer, steps: "_Steps"
) -> Kept | None:
    """Kept advice: the one named, else the newest for this sample, else (where needed) made now."""
    kept = zoo.advice(sample_digest=sample.digest) if name is None else require_advice(zoo, name)
    _require_same(kept, sample)
    if kept is None and needed:
        observer.on_note("No advice on this sample is kept: it is made first.", warning=False)
        steps.foresee(1)
        steps.begin()
        until = Deadline()
        advice = flow.recommend(sample, zoo, deadline=until, seed=seed, progress=steps)
        zoo.keep(advice)
        until.require_uninterrupted()
        kept = advice.to_dict()
    return kept


def _choice(
    zoo: Zoo,
    sample: Sample,
    kept: Kept | None,
    named: tuple[str | None, str | None],
    seed: int,
    observer: Observer,
    progress: Progress,
) -> Choice:
    """The checkpoint and strategy that are named, as the advice has them where it has them; else its best.

    What the advice names without having probed it is probed now.
    """
    checkpoint, strategy = named
    if checkpoint is None and kept is not None:
        if not kept["choices"]:
            raise SingleClass("tuning") if sample.task is Task.CLASSIFICATION else NoVariation("targets")
        verdict = Verdict.from_form(kept["verdict"])
        if not verdict.transfer:
            observer.on_note(f"Warning: {verdict.sentence}", warning=True)
        elif not verdict.beyond_chance:
            observer.on_note(f"{verdict.sentence} --no-transfer fits its rival.", warning=False)
        checkpoint = str(kept["choices"][0]["checkpoint"])
    for place, row in enumerate([] if kept is None else kept["choices"]):
        if row["checkpoint"] == checkpoint and strategy in {None, row["strategy"]} and row["blocks"]:
            return flow.kept_choice(kept or {}, place, sample, zoo)
    return flow.evaluate(sample, zoo, str(checkpoint), strategy, seed=seed, progress=progress)


# ---------------------------------------------------------------- tuning


def _tune(request: TuneRequest, zoo: Zoo, observer: Observer, job: str | None) -> TuningRun:
    gone_on_with = None if job is None else _gone_on_with(request, zoo, observer, job)
    if gone_on_with is not None:
        return gone_on_with
    seed = request.sample.seed
    steps = _Steps(observer, _TUNING_PARTS + (request.source_data is not None), by_part=True)
    steps.begin()
    sample = read_sample(request.sample, observer, steps)
    source = None
    if request.source_data is not None:
        steps.begin()
        source = Sample.from_folder(request.source_data, seed=seed, progress=steps)
    needed = request.checkpoint is None and not request.no_transfer
    kept = _kept_advice(zoo, sample, request.recommendation, needed=needed, seed=seed, observer=observer, steps=steps)
    steps.begin()
    choice: Choice | Baseline
    if _fits_raw(request, kept):
        choice = _raw(zoo, sample, kept, seed, observer, steps)
    else:
        choice = _choice(zoo, sample, kept, (request.checkpoint, request.strategy), seed, observer, steps)
    options = TuneOptions(
        seed,
        resolve(request.device),
        None if kept is None else str(kept["id"]),
        source=source,
        controls=request.controls,
        epochs=request.epochs,
        rate=request.rate,
        batch_size=request.batch_size,
        find_rate=request.find_rate,
        queue_job=job,
    )
    steps.begin()
    if isinstance(choice, Choice):
        cost = flow.estimate_cost(choice, sample, zoo, options, progress=steps)
        options = replace(options, estimated=cost)
        observer.on_cost(cost, options.device)
    steps.begin()
    execute, track = executors[request.executor], _overheard(trackers[request.tracker], observer)
    return flow.tune(choice, sample, zoo, options, execute=execute, track=track, progress=steps)


def _fits_raw(request: TuneRequest, kept: Kept | None) -> bool:
    """Whether the model of no transfer is what is asked for, or advised."""
    if request.no_transfer:
        return True
    named = request.checkpoint or request.strategy or request.anyway
    return not (named or kept is None or not kept["choices"] or kept["verdict"]["transfer"])


def _raw(zoo: Zoo, sample: Sample, kept: Kept | None, seed: int, observer: Observer, progress: Progress) -> Baseline:
    """The model of no transfer: the one that the advice names, else the better one by cross-validation."""
    if kept is None:
        model = flow.no_transfer_model(sample, zoo, seed=seed, progress=progress)
    else:
        if not kept["verdict"]["transfer"]:
            observer.on_note(str(kept["verdict"]["sentence"]), warning=True)
        model = _no_transfer(kept)
    observer.on_note(f"Fitting {model.model}; --anyway or --checkpoint NAME tunes a checkpoint.", warning=False)
    return model


def _no_transfer(kept: Kept) -> Baseline:
    """The model of no transfer, as kept advice has it."""
    return from_json(BaselineForm, kept["baseline"]).judged_by(Metric(kept["sample"]["metric"]))


def _gone_on_with(request: TuneRequest, zoo: Zoo, observer: Observer, job: str) -> TuningRun | None:
    """The run that a job had begun when it was lost, brought to its end; None where there is none that can go on."""
    begun = find_queued(zoo.home, job)
    if begun is None:
        return None
    if begun.state is RunState.FINISHED:
        observer.on_note(f"run {begun.id} was finished when its job was lost", warning=False)
        return from_json(TuningRun, begun.result)
    observer.on_note(f"going on with run {begun.id}", warning=False)
    try:
        execute, track = executors[request.executor], _overheard(trackers[request.tracker], observer)
        return flow.resume(begun.id, zoo, execute=execute, track=track, progress=observer)
    except (NotResumable, OtherRows) as cause:
        observer.on_note(f"{cause}; tuning anew", warning=True)
        return None


def _overheard(track: Tracker, observer: Observer) -> Tracker:
    """The same tracker, whose points the observer hears too."""

    @contextmanager
    def overheard(work: Job) -> Iterator[TrackerRun]:
        with track(work) as tracker_run:
            observer.on_run(work.id)
            yield _Overheard(tracker_run, observer.on_point)

    return overheard


@dataclass(frozen=True)
class _Overheard:
    """A tracker's run whose points somebody else hears too."""

    tracker_run: TrackerRun
    on_point: Callable[[str, int, float], None]

    @property
    def run_id(self) -> str | None:
        return self.tracker_run.run_id

    @property
    def troubles(self) -> tuple[str, ...]:
        return self.tracker_run.troubles

    def point(self, series: str, step: int, value: float) -> None:
        self.tracker_run.point(series, step, value)
        if isfinite(value):
            self.on_point(series, step, value)

    def result(self, metrics: Mapping[str, float]) -> None:
        self.tracker_run.result(metrics)

    def artifact(self, file: Path) -> None:
        self.tracker_run.artifact(file)

    def model(self, folder: Path) -> None:
        self.tracker_run.model(folder)

    def close(self, status: str) -> None:
        self.tracker_run.close(status)


# ---------------------------------------------------------------- benefit


def _benefit(request: BenefitRequest, zoo: Zoo, observer: Observer) -> Drawn:
    from recommender.tuning.figures import benefit_curves  # noqa: PLC0415 - Matplotlib, for which no advice shall wait

    seed, named = request.sample.seed, (request.checkpoint, request.strategy)
    sample = read_sample(request.sample, observer)
    steps = _Steps(observer, 0)
    kept = _kept_advice(zoo, sample, None, needed=request.checkpoint is None, seed=seed, observer=observer, steps=steps)
    choice = _choice(zoo, sample, kept, named, seed, observer, observer)
    for warning in _exposure_notes(kept, choice.checkpoint.name):
        observer.on_note(warning, warning=True)
    scratch = flow.evaluate(sample, zoo, choice.checkpoint.name, "scratch", seed=seed, progress=observer)
    measured = benefit(
        choice,
        for_epochs(scratch.plan, request.epochs),
        sample,
        zoo,
        budgets=request.budgets,
        repeats=request.repeats,
        seed=seed,
        progress=observer,
    )
    place = request.picture or zoo.home.root / f"benefit-{sample.digest[:12]}.png"
    return Drawn(measured, benefit_curves(measured, place))


def _exposure_notes(kept: Kept | None, checkpoint: str) -> Iterator[str]:
    """A net that has seen these very items needs no labels of them."""
    for choice in [] if kept is None else kept["choices"]:
        distance = choice["distance"]
        if choice["checkpoint"] == checkpoint and distance is not None and (distance["p_same"] or 0) > _SAME:
            note = f"{checkpoint} was trained on {distance['domain']}, from which this sample cannot be told"
            yield f"Warning: {note} (p = {distance['p_same']:.2f}): it may have seen these items."


class _Steps:
    """Passes events on, and says which step of the whole they are of: a part of a phase, or what `begin` begins."""

    def __init__(self, observer: Observer, steps: int, *, by_part: bool = False) -> None:
        self._observer, self._steps, self._by_part = observer, steps, by_part
        self._step, self._phases = 0, set[tuple[Phase, str]]()

    def begin(self) -> None:
        """What is reported from now on is of the next step."""
        self._step += self._by_part

    def foresee(self, more: int) -> None:
        """So many more than were expected, where any were."""
        self._steps += more if self._steps else 0

    def report(self, event: Event) -> None:
        """Pass it on."""
        stage = event.phase, event.part
        if stage not in self._phases:
            self._phases.add(stage)
            self._step += not self._by_part
        if self._steps:
            event = replace(event, step=self._step, steps=max(self._step, self._steps))
        self._observer.report(event)

    def cancelled(self) -> bool:
        """Whatever the observer answers."""
        return self._observer.cancelled()
