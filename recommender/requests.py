"""What can be asked for, as data: typed, validated, the same in every process; `recommender.service` performs it.

A request is what the command line, the picker, the queue and any other surface make of what they are told. Every path
is made absolute, every name of a task, metric or class folder is checked; what does not fit is an `UnusableRequest`.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from recommender.effort import Effort
from registry.cards import FIRST_MODALITY, METRICS, ClassFolder, Metric, Task, limit_of
from registry.errors import TransferZooError, UnknownName, UnusableRequest

__all__ = [
    "LIMITS",
    "REQUESTS",
    "AddDomainRequest",
    "AddRequest",
    "BenefitRequest",
    "CompareRequest",
    "DiskRequest",
    "ExportRequest",
    "Fetch",
    "FetchDataRequest",
    "FetchRequest",
    "ForgetRequest",
    "HoldingsRequest",
    "ImportRequest",
    "LockRequest",
    "NearRequest",
    "Order",
    "PredictRequest",
    "PromoteRequest",
    "RecommendRequest",
    "RemoveRequest",
    "Request",
    "ResumeRequest",
    "SampleRequest",
    "SearchRequest",
    "SyncRequest",
    "TuneRequest",
    "When",
    "choice_request",
    "place_of",
    "places_of",
    "recommend_request",
    "request_of",
    "sample_request",
]

LIMITS = ("max_bytes", "max_latency", "max_memory", "tuning_budget")
"""Fields of advice that its settings name only where they were given."""


def _absolute(path: Path) -> Path:
    try:
        return path.expanduser().absolute()
    except RuntimeError:  # a home of a user that there is not
        return path.absolute()


Place = Annotated[Path, AfterValidator(_absolute)]
Name = Annotated[str, StringConstraints(min_length=1)]
Count = Annotated[int, Field(ge=1)]


def _bytes(value: object) -> object:
    """``700MiB``, ``1.5 GB`` as a number of bytes; what is no text is left as it is."""
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value.strip())
    if match is None:
        raise ValueError(f"{value!r} is no size")
    return round(float(match[1]) * _UNITS[match[2].casefold()])


def _seconds(value: object) -> object:
    """``90s``, ``10min``, ``2h`` as a number of seconds; what is no text is left as it is."""
    if not isinstance(value, str):
        return value
    match = _SPAN.fullmatch(value.strip())
    if match is None:
        raise ValueError(f"{value!r} is no time")
    return float(match[1]) * _SPANS[match[2].casefold()]


_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(b|[kmgt]i?b?|)", re.IGNORECASE)
_UNITS = {"": 1, "b": 1} | {
    unit: base**power
    for power, letter in enumerate("kmgt", start=1)
    for unit, base in ((letter, 1000), (f"{letter}b", 1000), (f"{letter}i", 1024), (f"{letter}ib", 1024))
}
_SPAN = re.compile(r"(\d+(?:\.\d+)?) ?(s|min|h|)", re.IGNORECASE)
_SPANS = {"": 1, "s": 1, "min": 60, "h": 3600}
_SIZED = "a number of bytes, or one with kB, MB, GB, KiB, MiB or GiB: {option} 700MiB"
_TIMED = "a number of seconds, or one with s, min or h: {option} 10min"
_FORMS = {
    "max_bytes": _SIZED,
    "max_memory": _SIZED,
    "disk_budget": _SIZED,
    "tuning_budget": _TIMED,
    "time_budget": _TIMED,
    "max_latency": "a number of milliseconds above 0: {option} 20",
}
"""How a limit is written, by its field."""
Bytes = Annotated[int, BeforeValidator(_bytes), Field(ge=1)]
Seconds = Annotated[float, BeforeValidator(_seconds), Field(gt=0, allow_inf_nan=False)]


class Request(BaseModel):
    """What every request is: frozen, without any field that is not known.

    Raises:
        UnusableRequest: a field is missing, unknown, or holds what it cannot hold.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: ClassVar[str]
    """What is to be done, in the words of the command line."""

    def __init__(self, **fields: Any) -> None:  # noqa: ANN401 - they are validated here
        try:
            super().__init__(**fields)
        except ValidationError as cause:
            raise _named(type(self), cause) from cause

    def to_json(self) -> dict[str, Any]:
        """All fields, as JSON can hold them; `request_of` gives the request back."""
        return self.model_dump(mode="json")

    @property
    def place(self) -> Path | None:
        """Where the data lie that it is about; None where it is about none."""
        return None


class SampleRequest(Request):
    """Where a sample lies, and how it is to be read."""

    kind = "sample"
    path: Place
    labels: Place | None = None
    task: Task | None = None
    groups: Place | None = None
    test: Place | None = None
    metric: Metric | None = None
    class_folder: ClassFolder | None = None
    follow_links: bool = False
    modality: str | None = None
    """What the items are; None for what most of the files hold."""
    keep_duplicates: bool = False
    text: Name | None = None
    """Of records the column of texts; None for one that is recognized. So with the label."""
    label: Name | None = None
    text2: Name | None = None
    """The column of the second text of a pair."""
    group: Name | None = None
    """A column whose equal values belong together."""
    time: Name | None = None
    """A column of times: the latest rows are the test part."""
    unlabelled: Place | None = None
    """More items of the same kind, without labels."""
    limit: Count | None = None
    """Rows of a part that are read at most; None for as many as is usual."""
    seed: Annotated[int, Field(ge=0)] = 0
    """What everything random follows, in reading the sample and in all that is done with it."""

    @property
    def place(self) -> Path:
        """Where the data lie."""
        return self.path

    @property
    def places(self) -> tuple[Path | None, ...]:
        """All places that something must lie at."""
        return self.path, self.labels, self.groups, self.test, self.unlabelled


class _OfSample(Request):
    """A request about a sample."""

    kind = ""
    sample: SampleRequest

    @property
    def place(self) -> Path:
        """Where the data lie."""
        return self.sample.path


class Fetch(StrEnum):
    """Whether weights that are not here may be fetched for advice."""

    NEVER = "never"
    ASK = "ask"
    AUTO = "auto"


class RecommendRequest(_OfSample):
    """Which checkpoint to start from, and how much of it to freeze."""

    kind = "recommend"
    keep: Count = 5
    """Checkpoints to probe."""
    max_parameters: Count | None = None
    licenses: tuple[str, ...] = ()
    exclude: tuple[Name, ...] = ()
    max_bytes: Bytes | None = None
    """Of the weights, on the disk or to be fetched."""
    max_latency: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Milliseconds for one item alone."""
    max_memory: Bytes | None = None
    """Bytes that carrying out the plan may take."""
    tuning_budget: Seconds | None = None
    """Seconds that carrying out the plan may take."""
    fetch: Fetch = Fetch.NEVER
    """Whether the best of what is known and not here is fetched, to be probed, too."""
    effort: Effort = Effort.NORMAL
    time_budget: Seconds | None = None
    """Seconds until there is advice, from when it was asked for."""
    continues: Name | None = None
    """Id of kept advice that is gone on with: its settings count, and what was computed for it."""
    disk_budget: Bytes = 2 << 30
    """Bytes that may be fetched for that."""
    suspects: Place | None = None
    """CSV to which labels in doubt are written."""
    executor: Name = "local"
    """Who probes: this process, or the workers of a Ray cluster."""


class TuneRequest(_OfSample):
    """Carry out a choice: the advised one, a named one, or the model of no transfer."""

    kind = "tune"
    checkpoint: Name | None = None
    strategy: Name | None = None
    no_transfer: bool = False
    anyway: bool = False
    """Whether the best choice is tuned although the advice is not to transfer."""
    recommendation: Name | None = None
    """Id of kept advice; else the newest for this sample."""
    epochs: Count | None = None
    """Passes over the rows that learn; None for as many as the plan has. So with the next two."""
    rate: Annotated[float, Field(gt=0, le=1)] | None = None
    """Of the topmost block that learns; all others keep their ratio to it."""
    batch_size: Annotated[int, Field(ge=2)] | None = None
    find_rate: bool = False
    """Whether a range test may lower the rates before each stage."""
    source_data: Place | None = None
    controls: bool | None = None
    executor: Name = "local"
    tracker: Name = "mlflow"
    device: Name = "auto"

    @model_validator(mode="after")
    def _one_or_the_other(self) -> "TuneRequest":
        if self.no_transfer and (self.checkpoint or self.strategy or self.anyway):
            raise ValueError("--no-transfer goes with neither --checkpoint, --strategy nor --anyway")
        if self.no_transfer and (self.epochs or self.rate or self.batch_size or self.find_rate):
            raise ValueError("--no-transfer goes with neither --epochs, --rate, --find-rate nor --batch-size")
        return self


class BenefitRequest(_OfSample):
    """What transfer is worth on a sample, against the same net from scratch."""

    kind = "benefit"
    checkpoint: Name | None = None
    strategy: Name | None = None
    budgets: Annotated[int, Field(ge=2, le=12)] = 5
    repeats: Count = 1
    epochs: Count = 20
    """Epochs that scratch is given."""
    picture: Place | None = None
    """PNG to draw; else one in the home."""


class CompareRequest(_OfSample):
    """How far a sample lies from another one, or from a known domain."""

    kind = "distance"
    other: Name
    """A folder or zip, read as the sample is, or the name of a known domain."""
    metric: Name = "mmd"
    through: Name | None = None


class NearRequest(_OfSample):
    """The known domains nearest to a sample."""

    kind = "domains near"
    most: Count = 10
    metric: Name = "mmd"
    family: Name | None = None
    """Only domains of this family, however many of others are nearer."""


class AddDomainRequest(_OfSample):
    """Register a sample as a domain, from which distances are measured."""

    kind = "domains add"
    name: Name | None = None
    """What to call it; else as the sample is called."""
    family: Name | None = None
    """Domains of one origin or kind; else its own name."""


class _OfRun(Request):
    """A request about a run: by its id, the beginning of it, or ``latest``."""

    kind = ""
    run: Name


class ResumeRequest(_OfRun):
    """Go on with an interrupted run."""

    kind = "runs resume"


class PredictRequest(_OfRun):
    """What a finished run says of what lies at a place."""

    kind = "predict"
    path: Place
    labels: Place | None = None
    follow_links: bool = False

    @property
    def place(self) -> Path:
        """Where the data lie."""
        return self.path


class ExportRequest(_OfRun):
    """A finished run as others open it."""

    kind = "export"
    folder: Place
    onnx: bool = False
    card: bool = False
    push: Name | None = None
    """``organization/name`` on the hub; uploads the folder, with its card, as a private repository."""


class PromoteRequest(_OfRun):
    """What a run learned, as a checkpoint of the registry."""

    kind = "zoo promote"
    name: Name


class HoldingsRequest(Request):
    """A request about what the registry holds, for which nothing is learned; `recommender.holdings` performs it."""

    kind = ""


class When(StrEnum):
    """When weights of a hub are fetched."""

    NOW = "now"
    LATER = "later"


def _place_or_id(text: str) -> str:
    """A path that is there, made absolute; else the text, which may be the id of a checkpoint of a hub."""
    place = Path(text).expanduser()
    return str(place.absolute()) if place.exists() else text


class AddRequest(HoldingsRequest):
    """Register a checkpoint: a folder, or one of a hub."""

    kind = "zoo add"
    folder: Place | None = None
    hub: Name | None = None
    """``organization/name[@revision]``."""
    name: Name | None = None
    weights: When = When.LATER
    """Of a hub: whether the weights are fetched at once."""
    source_data: Place | None = None
    domain: Name | None = None
    license: Name | None = None
    architecture: Annotated[str, StringConstraints(min_length=1), AfterValidator(_place_or_id)] | None = None
    """Of a file of weights alone: a config.json, a folder with one, or a checkpoint of a hub."""
    max_input: Annotated[int, Field(ge=1, le=2048)] | None = None
    """Size of input beyond which inputs are made smaller; None for the modality's own."""

    @model_validator(mode="after")
    def _one_of_two(self) -> "AddRequest":
        if (self.folder is None) is (self.hub is None):
            raise ValueError("give a folder, or the id of a checkpoint of a hub")
        if self.architecture is not None and (self.folder is None or self.source_data is not None):
            raise ValueError("--architecture goes with a file of weights, and without --source-data")
        if self.architecture is None and self.folder is not None and self.folder.is_file():
            raise ValueError(f"{self.folder.name} holds weights alone: say with --architecture what net they are of")
        for field in ("source_data", "domain") if self.hub is not None else ():
            if getattr(self, field) is not None:
                option = f"--{field.replace('_', '-')}"
                why = f"{option} goes with a folder: a checkpoint of a hub says itself what it was trained on"
                raise ValueError(why)
        return self


class Order(StrEnum):
    """What comes first in a search."""

    DOWNLOADS = "downloads"
    LIKES = "likes"
    NEWEST = "last_modified"


def _rows(value: object) -> object:
    """``1,3`` as row numbers; any other is left as it is."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


class SearchRequest(HoldingsRequest):
    """What a hub has, and whether it can be used here."""

    kind = "zoo search"
    words: str = ""
    """Words of the id."""
    task: Name | None = None
    license: Name | None = None
    """As the hub states it."""
    max_parameters: Count | None = None
    sort: Order = Order.DOWNLOADS
    limit: Annotated[int, Field(ge=1, le=200)] = 20
    add: Annotated[tuple[Count, ...], BeforeValidator(_rows)] = ()
    """Rows of the answer, from 1, that are registered."""


class FetchRequest(HoldingsRequest):
    """Fetch the weights of checkpoints that are known, by name or by their id on a hub."""

    kind = "zoo fetch"
    names: Annotated[tuple[Name, ...], Field(min_length=1)]


class FetchDataRequest(HoldingsRequest):
    """Fetch a data set of a hub, tables alone, as a folder that is read like any other."""

    kind = "data fetch"
    hub: Name
    """``organization/name[@revision]``."""
    config: Name | None = None
    """One of several configurations that it has."""
    split: Name | None = None
    """This split alone; else the training part, and the test part where there is one."""
    label: Name | None = None
    """The column of labels, where files lie inside the tables; else it is recognized."""
    rows: Count = 20_000
    """Rows of a part that are kept; of more a draw."""


class SyncRequest(HoldingsRequest):
    """What has changed upstream; with a lock, bring the checkpoints up to what it names, offline."""

    kind = "zoo sync"
    locked: Place | None = None
    source: tuple[Place, ...] = ()
    """Folders with checkpoints to look in, too."""

    @model_validator(mode="after")
    def _with_a_lock(self) -> "SyncRequest":
        if self.source and self.locked is None:
            raise ValueError("--from goes with --locked")
        return self


class RemoveRequest(HoldingsRequest):
    """Forget a checkpoint."""

    kind = "zoo remove"
    name: Name
    weights: bool = False
    """Whether its files are removed from the hub's cache, too."""


class DiskRequest(HoldingsRequest):
    """What the caches of the hub and of shared objects hold, and what of them may go."""

    kind = "zoo disk"


class LockRequest(HoldingsRequest):
    """Write down which checkpoints there are, byte for byte."""

    kind = "zoo lock"
    file: Place = Field(Path("zoo.lock"), validate_default=True)


def _address(text: str) -> str:
    """An address as it is; a path that is there made absolute."""
    place = Path(text).expanduser()
    return str(place.absolute()) if "://" not in text and place.exists() else text


def _constants(value: object) -> object:
    """``("strategy=full", ...)`` as pairs; any other is left as it is."""
    if not isinstance(value, list | tuple):
        return value
    pairs = [str(one).partition("=") for one in value]
    if not all(sign for _, sign, _ in pairs):
        raise ValueError("write NAME=VALUE")
    return {name.strip().replace("-", "_"): text.strip() for name, _, text in pairs}


class ImportRequest(HoldingsRequest):
    """Keep results of others, from a table or from MLflow, as history; unless ``yes``, only show them."""

    kind = "history import"
    origin: Annotated[str, StringConstraints(min_length=1), AfterValidator(_address)]
    """A CSV or TSV, or where MLflow keeps its runs: a URI, a database's file."""
    checkpoint: Name | None = None
    """The column that names it; of runs of MLflow a parameter, tag or metric: ``params.model``. So below."""
    sample: Name | None = None
    strategy: Name | None = None
    score: Name | None = None
    rows_train: Name | None = None
    rows_test: Name | None = None
    wide: bool = False
    """Whether every other column is a sample, and holds scores."""
    constants: Annotated[Mapping[str, str], BeforeValidator(_constants)] = {}
    """What is the same for all: any of the above but the score, and ``task``, ``metric``, ``modality``."""
    experiments: tuple[Name, ...] = ()
    """Of MLflow; none for all."""
    where: str = ""
    """MLflow's filter of runs: ``tags.team = 'vision'``."""
    measured: bool = False
    """Whether a table holds what its user has measured; else it is a claim."""
    yes: bool = False

    @model_validator(mode="after")
    def _known_constants(self) -> "ImportRequest":
        known = ("checkpoint", "sample", "strategy", "rows_train", "rows_test", "task", "metric", "modality")
        for name, value in self.constants.items():
            if name not in known:
                raise ValueError(f"--set: there is no {name!r}; known: {', '.join(known)}")
            if name == "task":
                Task(value)
            if name == "metric":
                Metric(value)
        return self


class ForgetRequest(HoldingsRequest):
    """Forget what was imported."""

    kind = "history forget"
    name: Name
    """Its id, or the beginning of it."""


REQUESTS: Mapping[str, type[Request]] = {
    form.kind: form
    for form in (
        RecommendRequest,
        TuneRequest,
        BenefitRequest,
        CompareRequest,
        NearRequest,
        AddDomainRequest,
        ResumeRequest,
        PredictRequest,
        ExportRequest,
        PromoteRequest,
        AddRequest,
        SearchRequest,
        FetchRequest,
        FetchDataRequest,
        SyncRequest,
        RemoveRequest,
        DiskRequest,
        LockRequest,
        ImportRequest,
        ForgetRequest,
    )
}
"""Every request by its kind."""


def request_of(kind: str, fields: Mapping[str, Any]) -> Request:
    """The request of that kind and these fields, as `Request.to_json` gives them.

    Raises:
        UnknownName: there is no such kind.
        UnusableRequest: a field does not fit.
    """
    if kind not in REQUESTS:
        raise UnknownName("request", kind, tuple(REQUESTS))
    return REQUESTS[kind](**fields)


def place_of(fields: Mapping[str, Any]) -> str:
    """Where the data lie that a request is about, from its JSON form, whatever else is wrong with it."""
    sample = fields.get("sample")
    return str((sample if isinstance(sample, Mapping) else fields).get("path", ""))


def places_of(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """Every place on this disk that a request reads, from its JSON form: its data, labels, groups, tests and so on."""
    texts = [value for value in fields.values() if isinstance(value, str) and Path(value).is_absolute()]
    return (*texts, *(place for value in fields.values() if isinstance(value, Mapping) for place in places_of(value)))


def sample_request(sample: Mapping[str, Any], seed: int) -> SampleRequest:
    """What reads a sample again, from its JSON form; before there was a choice, near duplicates were kept.

    Raises:
        UnusableRequest: a field does not fit.
    """
    table, metric = sample.get("labels_from"), Metric(sample["metric"])
    columns = sample.get("columns") or {}
    return SampleRequest(
        path=sample["origin"],
        labels=table,
        task=sample["task"] if table or columns else None,
        groups=sample["groups_from"],
        test=sample["test_from"],
        metric=None if metric is METRICS[Task(sample["task"])][0] else metric,
        class_folder=sample.get("class_folder"),
        follow_links=sample.get("follow_links", False),
        modality=None if sample["modality"] == FIRST_MODALITY else sample["modality"],
        keep_duplicates=sample.get("keep_duplicates", True),
        unlabelled=sample.get("unlabelled_from"),
        limit=limit_of(sample),
        seed=seed,
        **columns,
    )


def recommend_request(advice: Mapping[str, Any]) -> RecommendRequest:
    """What gives a recommendation again, from its JSON form.

    Raises:
        UnusableRequest: a field does not fit.
    """
    settings = advice["settings"]
    return RecommendRequest(
        sample=sample_request(advice["sample"], settings["seed"]),
        keep=settings["keep"],
        max_parameters=settings["max_parameters"],
        licenses=tuple(settings["licenses"]),
        exclude=tuple(settings["exclude"]),
        **{name: settings[name] for name in (*LIMITS, "effort", "time_budget") if name in settings},
    )


def choice_request(advice: Mapping[str, Any], place: int | None = 0) -> TuneRequest:
    """What carries out the choice at a place of a recommendation's JSON form; None for the model of no transfer.

    Raises:
        UnusableRequest: a field does not fit.
    """
    chosen = None if place is None else advice["choices"][place]
    return TuneRequest(
        sample=sample_request(advice["sample"], advice["settings"]["seed"]),
        recommendation=advice["id"],
        checkpoint=None if chosen is None else chosen["checkpoint"],
        strategy=None if chosen is None else chosen["strategy"],
        no_transfer=chosen is None,
    )


def _named(form: type[Request], cause: ValidationError) -> TransferZooError:
    """The first thing that is wrong, as one of `registry.errors`."""
    first = cause.errors()[0]
    inner = first.get("ctx", {}).get("error")
    if isinstance(inner, TransferZooError):
        return inner
    field, value = ".".join(map(str, first["loc"])), first["input"]
    known = _known(form, first)
    if known is not None and first["type"] != "extra_forbidden":
        return UnusableRequest(form.kind, field, f"there is no {value!r}", _hint(str(value), known))
    if known is not None:
        return UnusableRequest(form.kind, field, "is no field of it", _hint(field, known))
    if first["type"] == "missing":
        return UnusableRequest(form.kind, field, "is missing")
    why = f"{value!r} does not do: {first['msg'][:1].lower()}{first['msg'][1:]}" if inner is None else str(inner)
    if field in _FORMS:
        return UnusableRequest(
            form.kind, field, why, f"Write {_FORMS[field].format(option='--' + field.replace('_', '-'))}."
        )
    return UnusableRequest(form.kind, field, why)


def _known(form: type[Request], problem: ErrorDetails) -> tuple[str, ...] | None:
    """What would have done, where only names do."""
    if problem["type"] == "extra_forbidden":
        return tuple(form.model_fields)
    kinds = {
        "task": Task,
        "metric": Metric,
        "class_folder": ClassFolder,
        "fetch": Fetch,
        "effort": Effort,
        "weights": When,
        "sort": Order,
    }
    words = kinds.get(str(problem["loc"][-1])) if problem["type"] == "enum" and problem["loc"] else None
    return None if words is None else tuple(str(word) for word in words)


def _hint(name: str, known: tuple[str, ...]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(known)}."
