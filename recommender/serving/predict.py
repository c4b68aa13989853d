"""What a finished run says of new items, from its folder alone: preprocessing, backbone and head as they were trained.

No registry and no MLflow is asked. What a number of the head means follows from the task: a class's logit
(classification), the logit of a label on its own (multi-label), the value itself (regression).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped
from scipy.special import expit, softmax

from recommender.resampling import draw_weights, resample
from recommender.runs.folder import RunFolder
from recommender.tuning.heads import (
    FittedHead,
    RawNeighborsHead,
    RawTagsHead,
    ScaledLinearHead,
    named,
    read_head,
    read_raw,
)
from registry.cards import FIRST_MODALITY, ClassFolder, Metric, Task
from registry.encoders import Encoder, at_positions, open_encoder
from registry.errors import NotFinished, PathMissing
from registry.forms import Record
from registry.metrics import score
from registry.modalities import Item, Modality, modalities
from registry.progress import Progress, silent
from registry.readers.anywhere import read_anywhere
from registry.readers.layout import as_known, plain_name, role_of, truths
from registry.readers.memory import read_positions
from registry.readers.records import RecordColumns
from registry.readers.rows import Rows
from registry.readers.table import LabelTable, read_labels
from registry.spans import spans_of
from registry.targets import names_in, rows_of_tags, values_of

__all__ = ["Answer", "Judged", "PredictedSpan", "Predictions", "Predictor", "answer", "cap_of", "finished"]

_DECIDED = 0.5
_LISTED = 10
_NO_TAG = "O "
"""In place of what is not known."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a run says of some items, in their order."""

    task: Task
    classes: tuple[str, ...]
    names: tuple[str, ...]
    logits: Float[np.ndarray, "p c"]
    """A row for each item, or for each of its positions."""
    positions: tuple[tuple[str, ...], ...] = ()
    """Of each item, in words, where positions are labelled."""

    @property
    def scores(self) -> Float[np.ndarray, "p c"]:
        """Probabilities of the classes (their sum is 1), of each label on its own, or the values themselves."""
        if self.task is Task.REGRESSION:
            return self.logits
        return np.asarray(expit(self.logits) if self.task is Task.MULTI_LABEL else softmax(self.logits, 1))

    @property
    def values(self) -> Shaped[np.ndarray, "n ..."]:
        """What is predicted of each item, in the form of `registry.targets.Targets`."""
        numbers = named(self.task, self.logits)
        if self.task is not Task.TOKEN_CLASSIFICATION:
            return numbers
        return rows_of_tags(np.array(self.classes)[numbers], np.array([len(row) for row in self.positions]))

    @property
    def labels(self) -> tuple[str, ...]:
        """The likeliest class; the labels more likely than not, joined by ``|``; the value in words; or the tags."""
        if self.task is Task.REGRESSION:
            return tuple(f"{value:.6g}" for value in self.logits[:, 0])
        if self.task is Task.TOKEN_CLASSIFICATION:
            return tuple(" ".join(tags) for tags in self.values)
        if self.task is Task.CLASSIFICATION:
            return tuple(self.classes[place] for place in self.logits.argmax(1))
        chosen = self.scores >= _DECIDED
        return tuple("|".join(np.array(self.classes)[row]) for row in chosen)

    @property
    def confidence(self) -> Float[np.ndarray, " n"] | None:
        """Probability of the class named, or of the least certain decision on a label or a tag; none in regression."""
        if self.task is Task.REGRESSION:
            return None
        if self.task is Task.TOKEN_CLASSIFICATION:
            sure = np.split(self.scores.max(1), np.cumsum([len(row) for row in self.positions])[:-1])
            return np.array([row.min() for row in sure])
        if self.task is Task.CLASSIFICATION:
            return np.asarray(self.scores.max(1))
        return np.asarray(np.maximum(self.scores, 1 - self.scores).min(1))

    def rows(self) -> "tuple[PredictedRow, ...]":
        """Item by item, as it is printed."""
        sure = None if self.confidence is None else self.confidence.tolist()
        if sure is not None and self.task is Task.TOKEN_CLASSIFICATION:
            tagged = zip(self.names, self.labels, sure, self.positions, strict=True)
            return tuple(
                TaggedRow(name, tags, least, (), words, _spans(words, tags)) for name, tags, least, words in tagged
            )
        scores = self.scores.tolist()
        return tuple(
            PredictedRow(name, label, None if sure is None else sure[row], tuple(scores[row]))
            for row, (name, label) in enumerate(zip(self.names, self.labels, strict=True))
        )


@dataclass(frozen=True)
class PredictedRow:
    """What is said of one item."""

    file: str
    prediction: str
    confidence: float | None
    scores: tuple[float, ...]
    """Of each class or label; none where positions are labelled."""


@dataclass(frozen=True)
class TaggedRow(PredictedRow):
    """What is said of the positions of one item: the prediction has a tag for each."""

    words: tuple[str, ...]
    spans: "tuple[PredictedSpan, ...]"


@dataclass(frozen=True)
class PredictedSpan:
    """Positions that belong together, from the first to the one behind the last."""

    kind: str
    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Judged(Record):
    """Predictions held against what is known of the items."""

    metric: Metric
    score: float
    standard_error: float
    """Of the score, by bootstrap of the items."""
    accuracy: float | None
    """Over rows, or over rows and labels; none in regression."""
    rows: int
    unknown: int
    """Items of which nothing is known, or a class that the run does not know; not judged."""
    recall: dict[str, tuple[int, int]]
    """For each class or label that occurs in how many rows it was named, and how many have it."""
    confusions: tuple[tuple[str, str, int], ...]
    """Class, what it was taken for, and how often; the most frequent first."""

    @classmethod
    def of(cls, predicted: Predictions, truth: Sequence[str | None], metric: Metric) -> "Judged | None":
        """The judgment, where what is true is told as in a table of labels; None where nothing is known."""
        rows = [row for row, truths in enumerate(truth) if truths is not None and _known(truths, predicted)]
        if not rows:
            return None
        truths = [str(truth[row]) for row in rows]
        true, guessed = values_of(truths, predicted.classes, predicted.task), predicted.values[rows]
        drawn = resample(metric, true, guessed, draw_weights(np.arange(len(rows))))
        pairs = (
            Counter(zip(true.tolist(), guessed.tolist(), strict=True)) if predicted.task is Task.CLASSIFICATION else {}
        )
        wrong = [(predicted.classes[t], predicted.classes[g], count) for (t, g), count in pairs.items() if t != g]
        return cls(
            metric,
            drawn.value,
            drawn.standard_error,
            None if predicted.task is Task.REGRESSION else score(Metric.ACCURACY, true, guessed),
            len(rows),
            len(truth) - len(rows),
            _recall(predicted.classes, predicted.task, true, guessed),
            tuple(sorted(wrong, key=lambda row: (-row[2], row[0], row[1]))),
        )

    def to_form(self) -> "JudgedForm":
        """With the most frequent confusions."""
        recall = {label: {"right": right, "rows": rows} for label, (right, rows) in self.recall.items()}
        often = self.confusions[:_LISTED]
        confusions = tuple({"class": true, "taken_for": named, "rows": rows} for true, named, rows in often)
        return JudgedForm(**{**vars(self), "recall": recall, "confusions": confusions})


@dataclass(frozen=True)
class JudgedForm:
    """`Judged` as it is printed."""

    metric: Metric
    score: float
    standard_error: float
    accuracy: float | None
    rows: int
    unknown: int
    recall: Mapping[str, Mapping[str, int]]
    confusions: tuple[Mapping[str, str | int], ...]


@dataclass(frozen=True, eq=False)
class Predictor:
    """A finished run, opened."""

    run: RunFolder
    task: Task
    metric: Metric
    classes: tuple[str, ...]
    """Class names; the names of the labels; in regression none."""
    read: str
    """The block whose pooled features the head reads."""
    modality: Modality
    encoder: Encoder
    head: FittedHead

    @classmethod
    def open(cls, folder: Path | str) -> "Predictor":
        """The run in that folder.

        Raises:
            PathMissing: there is no such folder, or a part of it is missing.
            NotFinished: the run has not come to its end.
            CheckpointError: its backbone or preprocessing cannot be used.
        """
        run = RunFolder(Path(folder).expanduser().absolute())
        if not run.path.is_dir():
            raise PathMissing(run.path)
        result, head = finished(run), read_head(run.path)
        task = Task(result["task"])
        if isinstance(head, ScaledLinearHead | RawNeighborsHead | RawTagsHead):
            encoder: Encoder = read_raw(run.path, result["sample"]["modality"], result["plan"]["read"], task)
        else:
            encoder = open_encoder(run.path, name=f"run {run.id}", cap=cap_of(result))
            encoder = at_positions(encoder) if task is Task.TOKEN_CLASSIFICATION else encoder
        return cls(
            run,
            task,
            Metric(result["sample"]["metric"]),
            tuple(result["classes"]),
            result["plan"]["read"],
            modalities[result["sample"]["modality"]],
            encoder,
            head,
        )

    def predict(
        self,
        items: Sequence[Item] | Any,  # noqa: ANN401 - whatever the modality takes
        *,
        progress: Progress = silent,
    ) -> Predictions:
        """What the run says of items, or of values in memory as its modality takes them; batch by batch.

        Raises:
            TooFewRows: no items.
            NotFinite: an item that the net turns into NaN or infinity, by name.
            UnusableArrays: values that are no items of the modality.
        """
        held = not isinstance(items, np.ndarray) and all(isinstance(item, Item) for item in items)
        opened = items if held else self._opened(items)
        encoded = self.encoder.encode(opened, progress=progress)
        vectors = encoded.blocks[encoded.names.index(self.read)].vectors
        names = tuple(plain_name(item.name) for item in opened)
        kind = self.modality.positions if self.task is Task.TOKEN_CLASSIFICATION else None
        positions = () if kind is None else tuple(kind.of(item) for item in opened)
        return Predictions(self.task, self.classes, names, self.head.logits(vectors), positions)

    def _opened(self, values: Any) -> tuple[Item, ...]:  # noqa: ANN401 - as above
        """Items that Python holds; where positions are labelled, lists of these too."""
        positions = self.modality.positions if self.task is Task.TOKEN_CLASSIFICATION else None
        if positions is None or not all(isinstance(value, list) for value in values):
            return self.modality.from_memory(values)
        return read_positions(values, [_NO_TAG * len(value) for value in values], modality=self.modality).items


@dataclass(frozen=True, eq=False)
class Answer(Record):
    """What a run says of all items at a place, judged where they lie in folders of its classes or a table tells."""

    run: str
    predictions: Predictions
    judged: Judged | None
    skipped: tuple[tuple[str, str], ...]
    """Name and reason of each item that cannot be read."""
    notes: tuple[str, ...]
    modality: str = FIRST_MODALITY

    def to_form(self) -> "AnswerForm":
        """Schema 1."""
        predicted, judged = self.predictions, self.judged
        return AnswerForm(
            run=self.run,
            task=predicted.task,
            classes=predicted.classes,
            rows=predicted.rows(),
            judged=None if judged is None else judged.to_form(),
            skipped=tuple({"file": name, "reason": why} for name, why in self.skipped),
            notes=self.notes,
            modality=self.modality,
        )


@dataclass(frozen=True)
class AnswerForm:
    """`Answer` as it is printed."""

    run: str
    task: Task
    classes: tuple[str, ...]
    rows: tuple[TaggedRow | PredictedRow, ...]
    judged: JudgedForm | None
    skipped: tuple[Mapping[str, str], ...]
    notes: tuple[str, ...]
    schema: int = 1
    modality: str = FIRST_MODALITY


def answer(
    run: RunFolder, place: Path, labels: Path | None = None, *, follow_links: bool = False, progress: Progress = silent
) -> Answer:
    """Predict every item of a folder of any layout, of a zip, or a single one.

    Folders are read as those of a sample are, and items as those that the run was trained on.

    Args:
        run: what predicts.
        place: where the items lie; folders named as classes of the run say what is true.
        labels: CSV with the columns ``file`` and ``target`` that says it instead, for any task.
        follow_links: whether links that lead out of the folder are followed.
        progress: told stage, done and of.

    Raises:
        PathMissing, NoItems, UnsafeArchive: there is nothing to predict.
        BadTable: the table does not fit the items or the run's task.
        NotFinished, CheckpointError: the run cannot be used.
    """
    predictor = Predictor.open(run.path)
    table = None if labels is None else read_labels(labels.expanduser(), predictor.task)
    trained = run.result["sample"]
    rows = read_anywhere(
        place.expanduser(),
        modality=predictor.modality,
        reading=trained.get("scale") or {},
        follow_links=follow_links,
        columns=RecordColumns(**(trained.get("columns") or {})),
        task=predictor.task,
        progress=progress,
    )
    truth = _truth(predictor, trained, table, place.expanduser(), rows)
    predicted = predictor.predict(rows.items, progress=progress)
    judged = Judged.of(predicted, truth, predictor.metric)
    skipped = tuple((plain_name(name), why) for name, why in rows.unreadable)
    notes = rows.notes if judged is None else (*rows.notes, *_of_origin(run, place, predictor.modality))
    return Answer(run.id, predicted, judged, skipped, notes, predictor.modality.name)


def cap_of(result: Mapping[str, Any]) -> int | None:
    """The size of input beyond which a run made its inputs smaller; None for its modality's own."""
    cap = result.get("conditions", {}).get("cap")
    return cap if isinstance(cap, int) else None


def finished(run: RunFolder) -> dict[str, Any]:
    """The result that a run wrote at its end.

    Raises:
        NotFinished: it has not come to it.
    """
    result = run.result
    if not {"task", "classes", "plan", "sample"} <= set(result):
        raise NotFinished(run.id, str(run.state), run.reason)
    return result


def _truth(
    predictor: Predictor, trained: Mapping[str, Any], table: LabelTable | None, place: Path, rows: Rows
) -> list[str | None]:
    """What is known of each item: from the table, from its record, or else from its folder, read as for the sample."""
    names = [item.name for item in rows.items]
    if table is not None:
        stated = table.match(place, names, predictor.modality.words)
    elif rows.truths:
        stated = dict(rows.truths)
    elif predictor.task is Task.CLASSIFICATION:
        chosen = trained.get("class_folder")
        stated = truths(place, names, predictor.classes, None if chosen is None else ClassFolder(chosen))
    else:
        return []
    if predictor.task is Task.CLASSIFICATION:
        stated = {name: as_known(label, predictor.classes) for name, label in stated.items()}
    return [stated.get(name) for name in names]


def _known(truth: str, predicted: Predictions) -> bool:
    """Whether every class or label of a row is one that the run can name."""
    return set(names_in(truth, predicted.task)) <= set(predicted.classes)


def _spans(words: Sequence[str], tags: str) -> tuple[PredictedSpan, ...]:
    return tuple(PredictedSpan(*span, " ".join(words[span.start : span.end])) for span in spans_of(tags.split()))


def _recall(
    classes: Sequence[str], task: Task, true: Shaped[np.ndarray, "n ..."], guessed: Shaped[np.ndarray, "n ..."]
) -> dict[str, tuple[int, int]]:
    if task is Task.REGRESSION:
        return {}
    if task is Task.TOKEN_CLASSIFICATION:
        return _span_recall(true, guessed) or _recall(classes, Task.CLASSIFICATION, *_numbered(classes, true, guessed))
    places = np.arange(len(classes))
    has, called = ((rows > 0 if rows.ndim > 1 else rows[:, None] == places) for rows in (true, guessed))
    counts = zip(classes, (has & called).sum(0).tolist(), has.sum(0).tolist(), strict=True)
    return {label: (hits, there) for label, hits, there in counts if there}


def _span_recall(true: Shaped[np.ndarray, " n"], guessed: Shaped[np.ndarray, " n"]) -> dict[str, tuple[int, int]]:
    """Spans of each kind that were found exactly, and that there are; nothing where tags make none."""
    there, hits = Counter[str](), Counter[str]()
    for tags, predicted in zip(true, guessed, strict=True):
        spans = set(spans_of(tags))
        there.update(span.kind for span in spans)
        hits.update(span.kind for span in spans & {*spans_of(predicted)})
    return {kind: (hits[kind], there[kind]) for kind in sorted(there)}


def _numbered(classes: Sequence[str], *rows: Shaped[np.ndarray, " n"]) -> list[np.ndarray]:
    """Places of all tags in the classes."""
    return [np.searchsorted(np.array(classes), np.concatenate([*tags])) for tags in rows]


def _of_origin(run: RunFolder, place: Path, modality: Modality) -> tuple[str, ...]:
    """A note where the items are, or hold, those that the run has learned from."""
    origin, here = Path(run.result["sample"]["origin"]), place.expanduser().absolute()
    if here.is_relative_to(origin):
        learned = role_of(next(iter(here.relative_to(origin).parts), "")) != "test"
    else:
        learned = origin.is_relative_to(here)
    many = modality.words.many
    return (f"the run has learned from {many} that lie here: of them the accuracy flatters",) if learned else ()
