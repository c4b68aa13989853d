"""Results of others: read from a table or from MLflow, shown before anything is written, then kept as outcomes.

What a table states is a claim; what a run of MLflow logged, or a table that is said to, was measured, if not here. Both
stand beside what was measured here and are never taken for it: they say which checkpoint is the stronger before any
probe (`recommender.history.History.advantage`), and correct no expectation. Every outcome keeps its source and all that
stood beside it; an import is forgotten as a whole.
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from io import StringIO
from pathlib import Path

from recommender.requests import ForgetRequest, ImportRequest
from recommender.results import Imported, LeftOut, OutcomeSource
from recommender.runs.mlflow_history import is_mlflow, logged_runs
from registry.cards import Metric, Origin, Outcome, Task
from registry.documents import read_text
from registry.errors import BadTable, UnknownName, UnusableRequest
from registry.zoo import Zoo

__all__ = ["forget_import", "import_results", "outcome_sources", "outcomes_of"]

FIELDS = ("checkpoint", "sample", "strategy", "score", "rows_train", "rows_test")
"""What is read of every row; the first two and the score must be there."""
HERE = "here"
"""The id of what was measured here."""
_MOST_BYTES = 16 << 20
_MOST_CELLS, _LONGEST = 60, 300
"""Cells of a row that are kept beside it, and letters of each."""
_PREVIEWED, _NAMED = 8, 8
_SAME = 5e-4
"""By how much the same result may differ from one table to the next: they round."""
_PERCENT = 1.5
"""A column that holds more than this is in percent."""
_IMAGENETS = {
    "results-imagenet": "ImageNet-1k",
    "results-imagenet-a": "ImageNet-A",
    "results-imagenet-r": "ImageNet-R",
    "results-imagenet-real": "ImageNet-ReaL",
    "results-imagenetv2-matched-frequency": "ImageNet-V2",
    "results-sketch": "ImageNet-Sketch",
}
"""timm's tables of results, and the set that each is of, as the catalog calls it."""


@dataclass(frozen=True)
class _Form:
    """A published table that is known by its headings."""

    headings: frozenset[str]
    columns: Mapping[str, str]
    """The column of each of `FIELDS`."""
    fixed: Mapping[str, str] = field(default_factory=dict)
    wide: Mapping[str, str] = field(default_factory=dict)
    """Columns of scores, and the sample that each is of."""


_FORMS = (
    _Form(
        frozenset({"model", "in1k", "real", "v2", "sketch"}),
        {"checkpoint": "model"},
        {"strategy": "as published"},
        {
            "in1k": "ImageNet-1k",
            "a": "ImageNet-A",
            "r": "ImageNet-R",
            "real": "ImageNet-ReaL",
            "v2": "ImageNet-V2",
            "sketch": "ImageNet-Sketch",
        },
    ),
    _Form(
        frozenset({"model", "top1", "top5", "crop_pct"}),
        {"checkpoint": "model", "score": "top1"},
        {"strategy": "as published"},
    ),
    _Form(
        frozenset({"dataset", "model", "finetuned_acc"}),
        {"checkpoint": "model", "sample": "dataset", "score": "finetuned_acc"},
        {"strategy": "full fine-tuning"},
    ),
)


@dataclass(frozen=True)
class _Row:
    """One result as it stands at its source."""

    place: str
    """``line 12``, ``run 1f3a``."""
    cells: Mapping[str, str]
    created: str = ""
    seconds: float = 0.0
    run: str | None = None


def import_results(request: ImportRequest, zoo: Zoo) -> Imported:
    """Read them; write them only where the request says so.

    Raises:
        BadTable, UnreadableDocument: the table cannot be read.
        MlflowUnusable: the store cannot.
        UnknownName: there is no such experiment.
        UnusableRequest: it does not say what to read, or names what is not there.
    """
    logged = is_mlflow(request.origin)
    rows, source, digest = _logged(request) if logged else _table(request)
    columns, fixed, wide = _mapping(request, rows, source, logged=logged)
    named = json.dumps([source, digest, columns, fixed, wide], sort_keys=True)
    name = sha256(named.encode()).hexdigest()[:12]
    names, before = _names(zoo), _known(zoo)
    measured = request.measured or logged
    reader = _Reader(columns, fixed, names, name, source, Origin.ELSEWHERE if measured else Origin.PUBLISHED)
    fresh: dict[str, Outcome] = {}
    left: list[LeftOut] = []
    again = 0
    for row in _narrow(rows, columns, wide):
        try:
            outcome = reader.outcome(row)
        except ValueError as cause:
            left.append(LeftOut(row.place, str(cause)))
            continue
        if any(abs(score - outcome.score) < _SAME for score in before.get(_key(outcome), ())) or outcome.id in fresh:
            again += 1
        else:
            fresh[outcome.id] = outcome
    if request.wide:
        _require_scores(request, rows, wide)
    outcomes = tuple(fresh.values())
    if request.yes and outcomes:
        zoo.home.require_writable()
        zoo.record_all(outcomes)
    here = {*zoo, *(one.name for one in zoo.listings())}
    alike = {str(one.conditions["named"]): one.checkpoint for one in outcomes}
    strange = Counter(one.checkpoint for one in outcomes if one.checkpoint not in here)
    return Imported(
        name,
        source,
        "measured" if measured else "claimed",
        bool(request.yes and outcomes),
        outcomes[:_PREVIEWED],
        len(outcomes),
        again,
        len({one.checkpoint for one in outcomes}),
        len({one.sample_name for one in outcomes}),
        len(strange),
        tuple(one for one, _ in strange.most_common(_NAMED)),
        {theirs: ours for theirs, ours in alike.items() if theirs != ours},
        len(left),
        tuple(left[:_NAMED]),
    )


def forget_import(request: ForgetRequest, zoo: Zoo) -> OutcomeSource:
    """Remove all outcomes of an import.

    Raises:
        UnknownName: there is no such import.
        UnusableRequest: it came with transferzoo, or was measured here.
    """
    source = _source_of(zoo, request.name)
    if source.status not in {"claimed", "measured"}:
        why = f"{source.id} was not imported: it is {source.status}"
        raise UnusableRequest("history forget", "name", why, "Imports alone can be forgotten: `history list`.")
    zoo.home.require_writable()
    zoo.forget_outcomes([one.id for one in outcomes_of(zoo, source.id)])
    return source


def outcome_sources(zoo: Zoo) -> tuple[OutcomeSource, ...]:
    """Where all that is known comes from: what was measured here, every import, the catalog's tables."""
    grouped: dict[tuple[str, str, str], list[Outcome]] = {}
    for one in zoo.history():
        grouped.setdefault(_belongs(one), []).append(one)
    rows = [
        OutcomeSource(
            name,
            source,
            status,
            len(outcomes),
            len({one.checkpoint for one in outcomes}),
            len({one.sample_name for one in outcomes}),
            max(one.created for one in outcomes),
        )
        for (status, name, source), outcomes in grouped.items()
    ]
    order = ("here", "measured", "claimed", "bundled")
    return tuple(sorted(rows, key=lambda row: (order.index(row.status), row.id)))


def outcomes_of(zoo: Zoo, name: str) -> tuple[Outcome, ...]:
    """All outcomes of one source, by its id or the beginning of it; by checkpoint, then sample.

    Raises:
        UnknownName: there is no such source.
    """
    source = _source_of(zoo, name)
    own = [one for one in zoo.history() if _belongs(one)[1] == source.id]
    return tuple(sorted(own, key=lambda one: (one.checkpoint, one.sample_name, one.strategy, one.id)))


def _source_of(zoo: Zoo, name: str) -> OutcomeSource:
    known = outcome_sources(zoo)
    matching = [source for source in known if source.id == name] or [
        source for source in known if source.id.startswith(name)
    ]
    if len(matching) != 1:
        raise UnknownName("source of outcomes", name, [source.id for source in known])
    return matching[0]


def _belongs(one: Outcome) -> tuple[str, str, str]:
    """Status, id and source of what an outcome belongs to."""
    if one.origin is Origin.OURS:
        return "here", HERE, "runs of this registry"
    imported = one.conditions.get("import")
    if imported is not None:
        return str(one.conditions.get("status")), str(imported), str(one.conditions.get("source"))
    return "bundled", one.citation.partition(" ")[0] or "catalog", one.citation


# ---------------------------------------------------------------- reading


def _table(request: ImportRequest) -> tuple[list[_Row], str, str]:
    path = Path(request.origin).expanduser().absolute()
    try:
        text = read_text(path, _MOST_BYTES)
        sheet = csv.DictReader(StringIO(text, newline=""), delimiter="\t" if path.suffix == ".tsv" else ",")
        rows = []
        for line, row in enumerate(sheet, start=2):
            if None in row:
                raise BadTable(path, f"line {line} has more cells than there are headings", "Mend that line.")
            rows.append(_Row(f"line {line}", {name.strip(): (value or "").strip() for name, value in row.items()}))
    except csv.Error as cause:
        raise BadTable(path, f"it is no CSV: {cause}", "Save it as CSV with a line of headings.") from cause
    if not rows:
        raise BadTable(path, "it holds no rows below its headings", "Give a table with a line of headings.")
    return rows, str(path), sha256(text.encode()).hexdigest()


def _logged(request: ImportRequest) -> tuple[list[_Row], str, str]:
    runs = [*logged_runs(request.origin, request.experiments, request.where)]
    rows = [_Row(f"run {one.run}", one.cells, one.created, one.seconds, one.run) for one in runs]
    if not rows:
        raise UnusableRequest(request.kind, "origin", "no finished run is there that fits", "Name other --experiment.")
    return rows, runs[0].place, ",".join([*request.experiments, request.where])


def _mapping(
    request: ImportRequest, rows: Sequence[_Row], source: str, *, logged: bool
) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """The column of every field, what is the same for all rows, and the columns of scores of a wide table."""
    headings = list(dict.fromkeys(name for row in rows for name in row.cells))
    form = None if logged else next((one for one in _FORMS if one.headings <= set(headings)), None)
    columns = {name: name for name in FIELDS if name in headings and not logged}
    columns |= {"sample": "sample_name"} if "sample_name" in headings and not logged else {}
    fixed: dict[str, str] = {"strategy": "as published"}
    wide: dict[str, str] = {}
    if form is not None:
        columns, fixed, wide = {**form.columns}, {**fixed, **form.fixed}, {**form.wide}
        known = _IMAGENETS.get(Path(source).stem)
        fixed |= {} if known is None else {"sample": known}
    named = {name: str(value) for name in FIELDS if (value := getattr(request, name)) is not None}
    fixed |= request.constants
    columns = {name: column for name, column in {**columns, **named}.items() if name not in request.constants}
    if request.wide:
        wide = {name: name for name in headings if name not in columns.values()}
    there = {name for name, column in columns.items() if column in headings} | {*fixed}
    there |= {"sample", "score"} if wide else set()
    for name, column in named.items():
        if column not in headings:
            raise UnusableRequest(request.kind, name, f"there is no {column!r}", _listed(headings))
    for name in ("checkpoint", "sample", "score"):
        if name not in there:
            option = name.replace("_", "-")
            hint = f"Name it: --{option} COLUMN, or --set {option}=VALUE. {_listed(headings)}"
            raise UnusableRequest(request.kind, name, "it is not said which column holds it", hint)
    return columns, fixed, wide


def _listed(headings: Sequence[str]) -> str:
    more = f" and {len(headings) - 3 * _NAMED} more" if len(headings) > 3 * _NAMED else ""
    return f"There is: {', '.join(headings[: 3 * _NAMED])}{more}."


def _narrow(rows: Sequence[_Row], columns: Mapping[str, str], wide: Mapping[str, str]) -> Iterator[_Row]:
    """One row a score, in a share of 1."""
    scores = wide or {columns["score"]: ""}
    for column, sample in scores.items():
        values = [number for row in rows if (number := _number(row.cells.get(column, ""))) is not None]
        percent = max(values, default=0.0) > _PERCENT
        for row in rows:
            text = row.cells.get(column, "")
            if wide and not text:
                continue
            number = _number(text)
            score = text if number is None else repr(number / 100 if percent else number)
            others = {name: cell for name, cell in row.cells.items() if name not in scores}
            place = f"{row.place}, {column}" if wide else row.place
            yield replace(row, place=place, cells={**others, _SCORE: score, _SAMPLE: sample})


def _require_scores(request: ImportRequest, rows: Sequence[_Row], wide: Mapping[str, str]) -> None:
    """Ranks, as some tables hold them, are no scores."""
    values = [number for row in rows for name in wide if (number := _number(row.cells.get(name, ""))) is not None]
    if values and max(values) > 1 and all(value.is_integer() for value in values):
        why = "the other columns hold whole numbers alone: ranks, not scores"
        raise UnusableRequest(request.kind, "wide", why, "Give a table of scores; percent with a decimal will do.")


_SCORE, _SAMPLE = "\0score", "\0sample"
"""Keys that no table has."""


@dataclass(frozen=True)
class _Reader:
    """What makes an outcome of a row."""

    columns: Mapping[str, str]
    fixed: Mapping[str, str]
    names: Mapping[str, str]
    """Names of checkpoints by how they may be written."""
    name: str
    source: str
    origin: Origin

    def outcome(self, row: _Row) -> Outcome:
        """The outcome.

        Raises:
            ValueError: the row holds none; why.
        """
        read = {**self.fixed, **{name: row.cells.get(column, "") for name, column in self.columns.items()}}
        read |= {"sample": row.cells[_SAMPLE]} if row.cells[_SAMPLE] else {}
        task = Task(read.get("task", Task.CLASSIFICATION))
        metric = Metric(read.get("metric", Metric.R2 if task is Task.REGRESSION else Metric.ACCURACY))
        score = _number(row.cells[_SCORE])
        for needed in ("checkpoint", "sample"):
            if not read[needed]:
                raise ValueError(f"no {needed}")
        if score is None or not metric.lowest <= score <= 1:
            raise ValueError(f"{row.cells[_SCORE] or 'nothing'} is no {metric}")
        checkpoint = self.names.get(_plain(read["checkpoint"]), read["checkpoint"])
        unread = {name: cell for name, cell in row.cells.items() if name not in {_SCORE, _SAMPLE} and cell}
        stated = {
            name[:_LONGEST]: cell[:_LONGEST]
            for name, cell in [*unread.items()][:_MOST_CELLS]
            if name not in self.columns.values()
        }
        named = json.dumps([self.source, row.run, checkpoint, read["sample"], read["strategy"], metric, score, stated])
        return Outcome(
            id=f"import-{sha256(named.encode()).hexdigest()[:16]}",
            checkpoint=checkpoint,
            strategy=read["strategy"] or "as published",
            sample_digest=f"published:{read['sample']}",
            sample_name=read["sample"],
            task=task,
            metric=metric,
            score=score,
            standard_error=None,
            rows_train=_count(read.get("rows_train", "")),
            rows_test=_count(read.get("rows_test", "")),
            seconds=row.seconds,
            origin=self.origin,
            created=row.created,
            citation=f"{Path(self.source).name}, {row.place}",
            mlflow_run_id=row.run,
            conditions={
                "import": self.name,
                "source": self.source,
                "status": "measured" if self.origin is Origin.ELSEWHERE else "claimed",
                "named": read["checkpoint"],
                "stated": stated,
            },
            modality=read.get("modality", "image"),
        )


def _names(zoo: Zoo) -> dict[str, str]:
    """The registry's name of every checkpoint that it knows, by all that it may be called."""
    names: dict[str, str] = {}
    for one in zoo.history():
        timm = one.conditions.get("timm_row")
        if isinstance(timm, str):
            names[_plain(timm)] = one.checkpoint
        elif one.origin is Origin.PUBLISHED and "import" not in one.conditions:
            names.setdefault(_plain(one.checkpoint), one.checkpoint)
    for listing in zoo.listings():
        for called in (*listing.aliases, listing.hub, listing.hub.rpartition("/")[2], listing.name):
            names[_plain(called)] = listing.name
    for card in zoo.checkpoints():
        if card.locator is not None:
            names[_plain(card.locator.hub)] = card.name
        names[_plain(card.name)] = card.name
    return names


def _plain(name: str) -> str:
    """A name without case and signs: ``Inception V3`` is ``inception_v3``."""
    return re.sub(r"[\W_]+", "", name.casefold())


def _key(one: Outcome) -> tuple[str, ...]:
    return one.checkpoint, one.sample_name, one.strategy, str(one.metric)


def _known(zoo: Zoo) -> dict[tuple[str, ...], list[float]]:
    """Scores that others are known to have come to."""
    known: dict[tuple[str, ...], list[float]] = {}
    for one in zoo.history():
        if one.origin is not Origin.OURS:
            known.setdefault(_key(one), []).append(one.score)
    return known


def _number(text: str) -> float | None:
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None


def _count(text: str) -> int:
    number = _number(text.replace(",", ""))
    return 0 if number is None or number < 0 else int(number)
