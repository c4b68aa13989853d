"""What a finished run says of new items, from its folder alone: preprocessing, backbone and head as they were trained.

No registry and no MLflow is asked. What a number of the head means follows from the task: a class's logit
(classification), the logit of a label on its own (multi-label), the value itself (regression).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import expit, softmax

from recommender.tuning.folder import RunFolder
from recommender.tuning.heads import Head, read_head
from registry.cards import Metric, Modality, Task
from registry.encoders import Encoder, encoders
from registry.errors import NotFinished, PathMissing
from registry.progress import Progress, silent
from registry.readers.anywhere import read_images
from registry.readers.arrays import array_items
from registry.readers.images import ImageItem
from registry.readers.layout import plain, role_of
from registry.sample import score

__all__ = ["Answer", "Judged", "Predictions", "Predictor", "answer", "class_of", "finished"]

_DECIDED = 0.5
_LISTED = 10


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a run says of some items, in their order."""

    task: Task
    classes: tuple[str, ...]
    names: tuple[str, ...]
    logits: Float[np.ndarray, "n c"]

    @property
    def scores(self) -> Float[np.ndarray, "n c"]:
        """Probabilities of the classes (their sum is 1), of each label on its own, or the values themselves."""
        if self.task is Task.REGRESSION:
            return self.logits
        return np.asarray(softmax(self.logits, 1) if self.task is Task.CLASSIFICATION else expit(self.logits))

    @property
    def labels(self) -> tuple[str, ...]:
        """The likeliest class; the labels more likely than not, joined by ``|``; or the value in words."""
        if self.task is Task.REGRESSION:
            return tuple(f"{value:.6g}" for value in self.logits[:, 0])
        if self.task is Task.CLASSIFICATION:
            return tuple(self.classes[place] for place in self.logits.argmax(1))
        chosen = self.scores >= _DECIDED
        return tuple("|".join(np.array(self.classes)[row]) for row in chosen)

    @property
    def confidence(self) -> Float[np.ndarray, " n"] | None:
        """Probability of the class named, or of the least certain decision on a label; none in regression."""
        if self.task is Task.REGRESSION:
            return None
        if self.task is Task.CLASSIFICATION:
            return np.asarray(self.scores.max(1))
        return np.asarray(np.maximum(self.scores, 1 - self.scores).min(1))

    def to_dict(self) -> dict[str, object]:
        """The JSON form."""
        sure = self.confidence
        return {
            "task": str(self.task), "classes": list(self.classes),
            "rows": [
                {"file": name, "prediction": label, "confidence": None if sure is None else float(sure[row]),
                 "scores": [float(value) for value in self.scores[row]]}
                for row, (name, label) in enumerate(zip(self.names, self.labels, strict=True))
            ],
        }  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """Predictions held against the classes that the items are known to belong to."""

    metric: Metric
    score: float
    accuracy: float
    standard_error: float
    """Of the accuracy, by the binomial."""
    rows: int
    unknown: int
    """Items whose class is not known, or not one of the run's; not judged."""
    recall: dict[str, tuple[int, int]]
    """For each class that occurs how many rows were named rightly, and how many there are."""
    confusions: tuple[tuple[str, str, int], ...]
    """Class, what it was taken for, and how often; the most frequent first."""

    @classmethod
    def of(cls, said: Sequence[str], truth: Sequence[str | None], metric: Metric) -> "Judged | None":
        """The judgment on class names; None where no truth is known."""
        pairs = [(true, label) for true, label in zip(truth, said, strict=True) if true is not None]
        if not pairs:
            return None
        true, named = zip(*pairs, strict=True)
        right, there = Counter(t for t, label in pairs if t == label), Counter(true)
        wrong = Counter(pair for pair in pairs if pair[0] != pair[1])
        share = score(Metric.ACCURACY, true, named)
        return cls(
            metric, score(metric, true, named), share, float(np.sqrt(share * (1 - share) / len(pairs))), len(pairs),
            len(said) - len(pairs), {label: (right[label], there[label]) for label in sorted(there)},
            tuple((t, label, count) for (t, label), count in sorted(wrong.items(), key=lambda w: (-w[1], w[0]))),
        )  # fmt: skip

    def to_dict(self) -> dict[str, object]:
        """The JSON form; the most frequent confusions are listed."""
        return {
            "metric": str(self.metric), "score": self.score, "accuracy": self.accuracy,
            "standard_error": self.standard_error, "rows": self.rows, "unknown": self.unknown,
            "recall": {label: {"right": right, "rows": rows} for label, (right, rows) in self.recall.items()},
            "confusions": [
                {"class": true, "taken_for": named, "rows": rows} for true, named, rows in self.confusions[:_LISTED]
            ],
        }  # fmt: skip


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
    encoder: Encoder
    head: Head

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
        told = finished(run)
        return cls(
            run, Task(told["task"]), Metric(told["sample"]["metric"]), tuple(told["classes"]), told["plan"]["read"],
            encoders[Modality(told["sample"]["modality"])](run.path, name=f"run {run.id}"), read_head(run.path),
        )  # fmt: skip

    def predict(self, items: Sequence[ImageItem] | np.ndarray, *, progress: Progress = silent) -> Predictions:
        """What the run says of items, or of uint8 images (n, h, w) or (n, h, w, 3); batch by batch.

        Raises:
            TooFewRows: no items.
            NotFinite: an item that the net turns into NaN or infinity, by name.
            UnusableArrays: arrays that are no images.
        """
        opened = array_items(items) if isinstance(items, np.ndarray) else items
        encoded = self.encoder.encode(opened, progress=progress)
        vectors = encoded.blocks[encoded.names.index(self.read)].vectors
        names = tuple(plain(item.name) for item in opened)
        return Predictions(self.task, self.classes, names, self.head.logits(vectors))


@dataclass(frozen=True, eq=False)
class Answer:
    """What a run says of all images at a place, judged where they lie in folders of its classes."""

    run: str
    predictions: Predictions
    judged: Judged | None
    skipped: tuple[tuple[str, str], ...]
    """Name and reason of each image that cannot be read."""
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        """The JSON form, schema 1."""
        return {
            "schema": 1, "run": self.run, **self.predictions.to_dict(),
            "judged": None if self.judged is None else self.judged.to_dict(),
            "skipped": [{"file": name, "reason": why} for name, why in self.skipped], "notes": list(self.notes),
        }  # fmt: skip


def answer(run: RunFolder, place: Path, *, progress: Progress = silent) -> Answer:
    """Predict every image of a folder of any layout, of a zip, or a single one.

    Raises:
        PathMissing, NoItems, UnsafeArchive: there is nothing to predict.
        NotFinished, CheckpointError: the run cannot be used.
    """
    predictor = Predictor.open(run.path)
    rows = read_images(place.expanduser(), progress=progress)
    said = predictor.predict(rows.items, progress=progress)
    judged = None
    if predictor.task is Task.CLASSIFICATION:
        truth = [class_of(name, predictor.classes) for name in said.names]
        judged = Judged.of(said.labels, truth, predictor.metric)
    skipped = tuple((plain(name), why) for name, why in rows.unreadable)
    notes = rows.notes if judged is None else (*rows.notes, *_of_origin(run, place))
    return Answer(run.id, said, judged, skipped, notes)


def finished(run: RunFolder) -> dict[str, Any]:
    """What a run told at its end.

    Raises:
        NotFinished: it has not come to it.
    """
    told = run.told
    if not {"task", "classes", "plan", "sample"} <= set(told):
        raise NotFinished(run.id, str(run.state), run.reason)
    return told


def class_of(name: str, classes: Sequence[str]) -> str | None:
    """The innermost folder above a file that is named as a class; None where none is."""
    folders = [plain(folder) for folder in reversed(PurePosixPath(name).parts[:-1])]
    return next((folder for folder in folders if folder in classes), None)


def _of_origin(run: RunFolder, place: Path) -> tuple[str, ...]:
    """A note where the images are, or hold, those that the run has learned from."""
    origin, here = Path(run.told["sample"]["origin"]), place.expanduser().absolute()
    if here.is_relative_to(origin):
        learned = role_of(next(iter(here.relative_to(origin).parts), "")) != "test"
    else:
        learned = origin.is_relative_to(here)
    return ("the run has learned from images that lie here: of them the accuracy flatters",) if learned else ()
