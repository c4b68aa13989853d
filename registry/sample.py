"""Sample: labelled items with a content digest, their health, and splits that never part what belongs together."""

import hashlib
import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from registry.cards import METRICS, ClassFolder, Metric, Modality, Task
from registry.errors import (
    BadTable,
    LabelsMissing,
    LengthMismatch,
    NoItems,
    OtherRows,
    PathMissing,
    RowsInMemory,
    TooFewRows,
    UnfitMetric,
    UnknownName,
    UnusableLabels,
    printable,
)
from registry.progress import Phase, Progress, advance, silent
from registry.readers.arrays import Images, plain_labels, read_arrays
from registry.readers.decoding import Scale
from registry.readers.fingerprints import Fingerprints
from registry.readers.image_folder import read_image_folder
from registry.readers.image_zip import read_image_zip
from registry.readers.images import ImageItem, Rows
from registry.readers.layout import Lay, allot, as_known, counted, lay_out, plain
from registry.readers.tables import LabelTable, read_groups, read_labels
from registry.targets import (
    classes_of,
    infer_task,
    names_in,
    quantities,
    read_targets,
    strata_of,
    stratum_of,
    values_of,
)

__all__ = ["LIMIT", "Health", "Sample", "score"]

LIMIT = 20_000
"""Rows of a part that are read at most; more are sampled."""

_MEMORY = "arrays"
"""Where rows lie that were never read from anywhere; a place on disk is an absolute path."""
_ESCAPED = re.compile(r"\\x([89a-f][0-9a-f])")
_LISTED = 20
_UNEVEN = 10
_TIE = 1e-6
_FEWEST_GROUPS = 5
"""Named groups that must be left after merging, for folds to hold some out."""


@dataclass(frozen=True)
class Health:
    """What was found wrong, skipped, converted or removed before anything was measured."""

    rows: int
    unreadable: int
    """Items skipped."""
    converted: dict[str, int]
    """How many items were gray, palette, CMYK, 16-bit, animated, EXIF-rotated ..."""
    exact_duplicates: int
    """Rows removed because another row has the same content."""
    near_duplicates: int
    """Rows that look like an earlier row."""
    leaked: int
    """Training rows removed because the test part has them too."""
    near_leaked: int
    """Training rows that look like a test row, or like one that does."""
    sampled_from: int | None
    """Rows there were, where not all were read."""
    balance: float
    """Rows of the smallest class for one of the largest."""
    warnings: tuple[str, ...]
    unreadable_items: tuple[tuple[str, str], ...] = ()
    """Name and reason of each item skipped."""
    near_groups: int = 0
    """Groups that near duplicates make; none where they are kept apart."""
    largest_near_group: int = 0
    """Rows of the largest of them."""
    left_out: int = 0
    """Of the near-leaked rows those that were left out of the training part."""

    def to_dict(self) -> dict[str, object]:
        """The JSON form; the first unreadable items are listed."""
        return {
            "rows": self.rows,
            "unreadable": self.unreadable,
            "converted": dict(self.converted),
            "exact_duplicates": self.exact_duplicates,
            "near_duplicates": self.near_duplicates,
            "leaked": self.leaked,
            "near_leaked": self.near_leaked,
            "sampled_from": self.sampled_from,
            "balance": self.balance,
            "warnings": list(self.warnings),
            "near_groups": self.near_groups,
            "largest_near_group": self.largest_near_group,
            "left_out": self.left_out,
            "unreadable_items": [{"file": name, "reason": why} for name, why in self.unreadable_items[:_LISTED]],
        }


@dataclass(frozen=True, eq=False)
class Sample:
    """Items + labels + modality + task. Made by `from_folder` or `from_arrays`; to change one, make another."""

    name: str
    modality: Modality
    task: Task
    metric: Metric
    items: tuple[ImageItem, ...]
    labels: tuple[str, ...]
    """One text a row: its class, its labels joined by ``|``, or its quantity."""
    groups: tuple[str, ...] | None
    health: Health
    digest: str
    """SHA-256 of contents, labels, groups, task and metric, blind to row order and to where the items lie.
    What is kept row by row (features) belongs under `order` instead."""
    test: "Sample | None"
    origin: str
    """Where it was read from."""
    classes: tuple[str, ...]
    """Sorted names of the classes or labels; none in regression. A test part and whatever is taken from a sample keep
    the sample's, so that targets agree."""
    groups_from: str | None = None
    """The table of groups that it was read with."""
    test_from: str | None = None
    """Where its test part was read from, if not from `origin`."""
    labels_from: str | None = None
    """The table of targets that it was read with."""
    keep_duplicates: bool = False
    """Whether near duplicates were taken for rows like any other."""
    named_groups: bool = False
    """Whether its user named groups; near duplicates make groups too."""
    class_folder: ClassFolder | None = None
    """Which of two folders above an image was said to be its class."""
    follow_links: bool = False
    """Whether links out of the folder were followed."""

    @classmethod
    def from_folder(  # noqa: PLR0913 - each says how it is read
        cls,
        path: Path | str,
        *,
        labels: Path | str | None = None,
        task: Task | str | None = None,
        groups: Path | str | None = None,
        test: Path | str | None = None,
        metric: Metric | str | None = None,
        seed: int = 0,
        limit: int = LIMIT,
        keep_duplicates: bool = False,
        class_folder: ClassFolder | str | None = None,
        follow_links: bool = False,
        progress: Progress = silent,
    ) -> "Sample":
        """Images in class folders, or a zip of them; ``train/`` and ``test/`` may lie above the classes.

        Transparent images are laid on white. Images of more than 8 bits a channel, and of floats, are mapped to 8 bits
        by one scale for the whole sample, its test part and all that a run on it predicts: see `scale`.

        Args:
            path: the folder or zip; with ``labels`` of any layout.
            labels: CSV with the columns ``file`` and ``target``, several targets joined by ``|``; images without a row
                are left out. Numbers with fractions, or more than 20 of them, are a regression target;
                a ``|`` or a file without target makes it multi-label; all else are classes.
            task: what the table's targets are, where that is not to be read off them.
            groups: CSV with the columns ``file`` and ``group``; rows of a group are never parted.
            test: a folder or zip with the test part, used instead of a ``test/`` inside.
            metric: how predictions are judged; else the first that `registry.cards.METRICS` names for the task.
            seed: draws the rows to read where there are more than ``limit`` in a part.
            limit: rows of a part read at most.
            keep_duplicates: take images that look alike for independent rows. Else they are a group that no fold or
                draw parts, merged with the groups that are named; and training rows that look like a test row are
                left out, for on them the test would flatter whatever remembers them.
            class_folder: ``outer`` or ``inner``, where two folders above an image could both be its class.
            follow_links: whether links that lead out of the folder are followed; those within it always are.
            progress: told stage, done and of.

        Raises:
            PathMissing: nothing lies there.
            NoItems: no image lies in a class folder.
            AmbiguousLayout: the classes may be these folders or those, or several data sets lie there.
            TooManyUnreadable: more than one image in five cannot be read.
            UnsafeArchive: the zip must not be opened.
            BadTable: the table of groups or of targets does not fit.
            LabelsMissing: a task that class folders cannot tell.
            UnusableLabels: the test part has classes that the training part lacks.
            UnknownName: no metric or task of that name.
            UnfitMetric: the metric does not judge the task.
        """
        chosen = None if class_folder is None else _class_folder(class_folder)
        table, place = _table(labels, task), _located(path)
        told, lay = Task.CLASSIFICATION if table is None else table.task, _rule(table, chosen)
        judged = _judge(metric, told)
        read = partial(_read, lay=lay, limit=limit, seed=seed, follow_links=follow_links, progress=progress)
        rows = read(place)
        if test is not None:
            held_out = read(_located(test), scale=rows.scale)
            rows = replace(rows, test=_test_part(rows, held_out), notes=(*rows.notes, *_of_other_test(rows, held_out)))
        rows = rows if table is None else replace(rows, notes=(*rows.notes, *table.notes))
        tabled, tabled_test = (None, None) if groups is None else _grouped(_located(groups), place, rows)
        part = None if rows.test is None else _Part(rows.test, told, tabled_test)
        train, origin = _Part(rows, told, tabled), printable(str(place.absolute()))
        made = _sample(_title(place), origin, train, part, judged, progress, keep_duplicates=keep_duplicates)
        return replace(
            made,
            groups_from=_absolute(groups),
            test_from=_absolute(test),
            labels_from=_absolute(labels),
            class_folder=chosen,
            follow_links=follow_links,
        )

    @classmethod
    def again(cls, told: Mapping[str, Any], *, seed: int = 0, progress: Progress = silent) -> "Sample":
        """The sample that `to_dict` told of, read from where it lay.

        Raises:
            OtherRows: what lies there now is not what was told of.
            RowsInMemory: it was made from arrays, which lie nowhere.
            SampleError: it cannot be read.
        """
        if told["origin"] == _MEMORY:
            raise RowsInMemory(told["name"])
        labels = told.get("labels_from")
        found = cls.from_folder(
            told["origin"],
            labels=labels,
            task=told["task"] if labels else None,
            groups=told["groups_from"],
            test=told["test_from"],
            metric=told["metric"],
            seed=seed,
            class_folder=told.get("class_folder"),
            follow_links=told.get("follow_links", False),
            keep_duplicates=told.get("keep_duplicates", True),
            progress=progress,
        )
        if found.digest != told["digest"]:
            raise OtherRows(told["origin"], told["digest"], found.digest)
        return found

    @classmethod
    def from_arrays(  # noqa: PLR0913 - as above
        cls,
        images: Images,
        labels: Sequence[object] | np.ndarray,
        *,
        name: str,
        groups: Sequence[object] | np.ndarray | None = None,
        test: tuple[Images, Sequence[object] | np.ndarray] | None = None,
        task: Task | str | None = None,
        metric: Metric | str | None = None,
        keep_duplicates: bool = False,
        progress: Progress = silent,
    ) -> "Sample":
        """Images as uint8 (n, height, width) or (n, height, width, 3), a label each, perhaps a group each.

        A list of such images, (height, width) or (height, width, 3), will do too.

        Where ``task`` is not said, labels that are tuples, sets or lists of names are multi-label, numbers with
        fractions a regression target, and all else classes. ``keep_duplicates`` as in `from_folder`.

        Raises:
            UnusableArrays: another kind or shape.
            UnusableLabels: a missing label or group, mixed kinds, or test classes that the training part lacks.
            LengthMismatch: not one label or group an image.
            UnknownName: no metric or task of that name.
            UnfitMetric: the metric does not judge the task.
        """
        found = infer_task(labels) if task is None else _named_task(task)
        judged, rows = _judge(metric, found), _from_arrays(images, labels, found)
        held_out = None if test is None else _Part(_from_arrays(*test, found), found, None)
        together = None if groups is None else plain_labels(groups)
        if together is not None and len(together) != len(rows.items):
            raise LengthMismatch("images and groups", len(rows.items), len(together))
        train = _Part(rows, found, together)
        return _sample(name, _MEMORY, train, held_out, judged, progress, keep_duplicates=keep_duplicates)

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[tuple[ImageItem, str]]:
        """Each row's item and label."""
        return iter(zip(self.items, self.labels, strict=True))

    def __repr__(self) -> str:
        named = {Task.CLASSIFICATION: "classes", Task.MULTI_LABEL: "labels", Task.REGRESSION: ""}[self.task]
        parts = [f"{len(self):,} rows", f"{len(self.classes)} {named}" if named else "a quantity"]
        if self.groups is not None:
            parts.append(f"{len(set(self.groups))} groups")
        if self.test is not None:
            parts.append(f"{len(self.test):,} test rows")
        return f"<Sample {self.name!r}: {', '.join(parts)}>"

    @property
    def targets(self) -> Shaped[np.ndarray, "n ..."]:
        """Each row's place in `classes`; in multi-label 0 or 1 for each of them; in regression the quantity."""
        return values_of(self.labels, self.classes, self.task)

    @property
    def counts(self) -> dict[str, int]:
        """Rows of each of the classes or labels."""
        found = Counter(name for label in self.labels for name in names_in(label, self.task))
        return {label: found[label] for label in self.classes}

    @property
    def group_ids(self) -> Int[np.ndarray, " n"]:
        """A number for each row, equal where rows belong together; its own where there are no groups."""
        if self.groups is None:
            return np.arange(len(self), dtype=np.int64)
        return np.unique(np.array(self.groups), return_inverse=True)[1].astype(np.int64).reshape(-1)

    @property
    def order(self) -> str:
        """SHA-256 of the rows as they are shown, in row order: what is kept row by row is kept under this."""
        return _sha("\n".join(item.shown for item in self.items))

    @property
    def scale(self) -> Scale:
        """Black and white of the images of more than 8 bits a channel, found on the training part; empty without."""
        found = Scale()
        for item in (*self.items, *(() if self.test is None else self.test.items)):
            found |= item.scale
        return found

    def take(self, rows: Int[np.ndarray, " r"] | Bool[np.ndarray, " n"]) -> "Sample":
        """The rows named by an index or a mask, with the same classes, test part and health."""
        kept = np.arange(len(self))[rows]
        labels = tuple(self.labels[row] for row in kept)
        items = tuple(self.items[row] for row in kept)
        groups = None if self.groups is None else tuple(self.groups[row] for row in kept)
        digest = _digest(items, labels, groups, self.task, self.metric)
        return replace(self, items=items, labels=labels, groups=groups, digest=digest)

    def subsample(self, most: int, seed: int = 0) -> "Sample":
        """At most ``most`` rows, each class in proportion; groups come whole but for one a class at the edge.

        A row of several labels counts for the rarest; quantities are in proportion by quantile bins.
        """
        if len(self) <= most:
            return self
        strata = stratum_of(self.labels, self.task)
        left = allot(Counter(strata), most)
        kept = []
        for row in self._drawn(seed):
            if left[strata[row]]:
                left[strata[row]] -= 1
                kept.append(row)
        return self.take(np.array(sorted(kept), dtype=np.int64))

    def folds(self, k: int = 5, seed: int = 0) -> Int[np.ndarray, " n"]:
        """The fold that holds each row out: stratified, groups whole, decided by content and not by position.

        What is in proportion are the classes; each label, and the rows without any; five quantile bins of a quantity.
        Every class or label is in the training part of every fold. A row that this needs in all of them (the only one,
        or in the only group, of its class) has fold -1. There are fewer folds where there are fewer groups than ``k``.

        Raises:
            TooFewRows: not even two folds can be made.
        """
        shares = np.full(max(2, min(k, len(set(self.group_ids)))), 1.0)
        folds = self._dealt(shares, seed, always=-1)
        used = np.unique(folds[folds >= 0])
        if len(used) < 2:
            raise TooFewRows("two folds of whole groups with every class in training", self._needed, len(self))
        return np.where(folds < 0, -1, np.searchsorted(used, folds))

    def split(self, share: float = 0.25, seed: int = 0) -> tuple["Sample", "Sample"]:
        """A training and a test part of about ``share`` of the rows: stratified, groups whole, by content.

        Every class stays in the training part.

        Raises:
            TooFewRows: nothing can be held out.
        """
        held_out = self._dealt(np.array([1 - share, share]), seed, always=0) == 1
        if not held_out.any():
            raise TooFewRows("a training and a test part of whole groups", self._needed, len(self))
        test = replace(self.take(held_out), name=f"{self.name} (held out)", test=None)
        return replace(self.take(~held_out), test=test), test

    def to_dict(self) -> dict[str, object]:
        """The JSON form."""
        return {
            "name": self.name,
            "digest": self.digest,
            "modality": str(self.modality),
            "task": str(self.task),
            "rows": len(self),
            "classes": len(self.classes),
            "metric": str(self.metric),
            "health": self.health.to_dict(),
            "counts": self.counts,
            "groups": len(set(self.groups)) if self.groups is not None and self.named_groups else None,
            "test_rows": None if self.test is None else len(self.test),
            "origin": self.origin,
            "groups_from": self.groups_from,
            "test_from": self.test_from,
            "labels_from": self.labels_from,
            "class_folder": None if self.class_folder is None else str(self.class_folder),
            "follow_links": self.follow_links,
            "scale": self.scale.to_dict() if self.scale else None,
            "values": self._values(),
            "keep_duplicates": self.keep_duplicates,
        }

    @property
    def _needed(self) -> int:
        """Rows below which nothing can be held out."""
        return 2 * max(1, len(self.classes))

    def _values(self) -> dict[str, float] | None:
        """Where the quantities of a regression lie."""
        if self.task is not Task.REGRESSION:
            return None
        low, middle, high = np.quantile(quantities(self.labels), [0, 0.5, 1]).tolist()
        return {"lowest": low, "median": middle, "highest": high}

    def _drawn(self, seed: int) -> list[int]:
        """Row numbers in an order drawn from the content, rows of a unit side by side."""
        lots = {row: place for place, unit in enumerate(self._units(seed)) for row in unit}
        return sorted(range(len(self)), key=lambda row: (lots[row], _lot(self.items[row].digest, seed)))

    def _units(self, seed: int) -> list[list[int]]:
        """Rows that stay together (a group; else equal contents), in an order drawn from their content."""
        together: dict[str, list[int]] = defaultdict(list)
        for row, item in enumerate(self.items):
            together[item.digest if self.groups is None else self.groups[row]].append(row)
        content = {
            key: _lot("".join(sorted(self.items[row].digest + self.labels[row] for row in rows)), seed)
            for key, rows in together.items()
        }
        return [together[key] for key in sorted(together, key=lambda key: content[key])]

    def _dealt(self, shares: Float[np.ndarray, " k"], seed: int, always: int) -> Int[np.ndarray, " n"]:
        """The part of each row; ``always`` for those without which a class would be missing there."""
        strata = strata_of(self.labels, self.classes, self.task)
        units = [_Unit.of(rows, strata) for rows in self._units(seed)]
        parts = _deal(units, strata.shape[1], len(self.classes), shares, always)
        dealt = np.empty(len(self), np.int64)
        for part, unit in zip(parts, units, strict=True):
            dealt[unit.rows] = part
        return dealt


def score(
    metric: Metric | str, truth: Sequence[object] | np.ndarray, predicted: Sequence[object] | np.ndarray
) -> float:
    """Accuracy, its mean over the classes of the truth (balanced accuracy), or the mean F1 over all classes seen.

    Two-dimensional truth is multi-label: accuracy is the mean over its columns, balanced accuracy is not defined. R
    squared is below 0 where predictions are worse than the mean of the truth.

    Raises:
        LengthMismatch: not one prediction a row.
        TooFewRows: no row at all.
        UnknownName: no metric of that name.
        UnfitMetric: it does not judge multi-label predictions.
    """
    judged, true, said = _metric(metric), np.asarray(truth), np.asarray(predicted)
    if len(true) != len(said):
        raise LengthMismatch("truth and predictions", len(true), len(said))
    if not len(true):
        raise TooFewRows(str(judged), 1, 0)
    if judged is Metric.R2:
        return _r2(true.astype(np.float64), said.astype(np.float64))
    if true.ndim > 1:
        return _over_labels(judged, true > 0, said > 0)
    if judged is Metric.ACCURACY:
        return float((true == said).mean())
    if judged is Metric.BALANCED_ACCURACY:
        return float(np.mean([(said[true == label] == label).mean() for label in np.unique(true)]))
    labels = np.union1d(true, said)
    return float(np.mean([_f1(true == label, said == label) for label in labels]))


def _f1(true: Bool[np.ndarray, " n"], said: Bool[np.ndarray, " n"]) -> float:
    return 2.0 * float((true & said).sum()) / float(true.sum() + said.sum())


def _over_labels(metric: Metric, true: Bool[np.ndarray, "n c"], said: Bool[np.ndarray, "n c"]) -> float:
    """Labels that occur neither in truth nor in predictions have no F1; where there is no other, all is right."""
    if metric is Metric.ACCURACY:
        return float((true == said).mean())
    if metric is not Metric.MACRO_F1:
        raise UnfitMetric(metric, Task.MULTI_LABEL, METRICS[Task.MULTI_LABEL])
    there = (true | said).any(axis=0)
    return float(np.mean([_f1(true[:, at], said[:, at]) for at in np.flatnonzero(there)])) if there.any() else 1.0


def _r2(true: Float[np.ndarray, " n"], said: Float[np.ndarray, " n"]) -> float:
    """Where the truth does not vary: 1 if it was met, else 0."""
    error, spread = float(np.square(true - said).sum()), float(np.square(true - true.mean()).sum())
    return 1 - error / spread if spread > 0 else float(error == 0)


def _metric(name: Metric | str) -> Metric:
    try:
        return Metric(name)
    except ValueError as cause:
        raise UnknownName("metric", str(name), [str(known) for known in Metric]) from cause


def _judge(name: Metric | str | None, task: Task) -> Metric:
    """The metric of that name, else the one that is usual for the task."""
    judged = METRICS[task][0] if name is None else _metric(name)
    if judged not in METRICS[task]:
        raise UnfitMetric(judged, task, METRICS[task])
    return judged


def _named_task(name: Task | str) -> Task:
    try:
        return Task(name)
    except ValueError as cause:
        raise UnknownName("task", str(name), [str(known) for known in Task]) from cause


def _rule(table: LabelTable | None, class_folder: ClassFolder | None) -> Lay:
    """How items are laid out: as a table says, else by their folders."""
    return partial(lay_out, class_folder=class_folder) if table is None else table.lay_out


def _table(labels: Path | str | None, task: Task | str | None) -> LabelTable | None:
    asked = None if task is None else _named_task(task)
    if labels is not None:
        return read_labels(_located(labels), asked)
    if asked not in {None, Task.CLASSIFICATION}:
        raise LabelsMissing(str(asked))
    return None


def _from_arrays(images: Images, labels: Sequence[object] | np.ndarray, task: Task) -> Rows:
    if task is Task.CLASSIFICATION:
        return read_arrays(images, labels)
    blank, targets = read_arrays(images, [0] * len(images)), read_targets(labels, task)
    if len(blank.items) != len(targets):
        raise LengthMismatch("images and labels", len(blank.items), len(targets))
    return replace(blank, labels=targets)


@dataclass(frozen=True)
class _Part:
    """Rows as a reader gave them, with their groups."""

    rows: Rows
    task: Task
    groups: tuple[str, ...] | None


def _read(
    place: Path, *, lay: Lay, limit: int, seed: int, follow_links: bool, progress: Progress, scale: Scale | None = None
) -> Rows:
    try:
        folder, there = place.is_dir(), place.exists()
    except (OSError, ValueError) as cause:  # a name that is too long, or holds a NUL
        raise PathMissing(place) from cause
    if not there:
        raise PathMissing(place)
    if folder:
        return read_image_folder(
            place, lay=lay, limit=limit, seed=seed, follow_links=follow_links, scale=scale, progress=progress
        )
    return read_image_zip(place, lay=lay, limit=limit, seed=seed, scale=scale, progress=progress)


def _test_part(rows: Rows, held_out: Rows) -> Rows:
    """The test part of another place, its classes under the names that they have in training."""
    part, known = held_out.test or held_out, set(rows.labels)
    return replace(part, labels=tuple(label if label in known else as_known(label, known) for label in part.labels))


def _of_other_test(rows: Rows, held_out: Rows) -> Iterator[str]:
    """What was passed over in the place of the test part, and in which it differs."""
    yield from (f"test part: {note}" for note in held_out.notes)
    if held_out.test is not None:
        yield f"test part: of its own training and test part the test part is used ({len(held_out.test.items)} images)"
    if rows.test is not None:
        yield f"the test part inside ({len(rows.test.items)} images) is not used: another was named"


def _class_folder(name: ClassFolder | str) -> ClassFolder:
    try:
        return ClassFolder(name)
    except ValueError as cause:
        raise UnknownName("class folder", str(name), [str(known) for known in ClassFolder]) from cause


def _located(path: Path | str) -> Path:
    r"""The place of that name; where nothing lies there, ``\xe9`` in it is the byte that `printable` wrote so."""
    place = Path(path).expanduser()
    if _ESCAPED.search(str(place)) and not os.path.lexists(place):
        return Path(_ESCAPED.sub(lambda byte: chr(0xDC00 + int(byte[1], 16)), str(place)))
    return place


def _absolute(place: Path | str | None) -> str | None:
    return None if place is None else printable(str(_located(place).absolute()))


def _title(place: Path) -> str:
    resolved = place.resolve()
    return plain(resolved.stem if resolved.is_file() else resolved.name or str(resolved))


def _grouped(table: Path, place: Path, rows: Rows) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    """Groups of the training rows, and of the test rows where the table speaks of all of them."""
    held_out = () if rows.test is None else rows.test.items
    found = read_groups(table, [item.name for item in (*rows.items, *held_out)], place)
    missing = [item.name for item in rows.items if item.name not in found]
    if missing:
        raise BadTable(
            table,
            f"no row for {missing[0]!r} ({len(missing)} of {len(rows.items)} files have none)",
            "Give every training file a row: file,group.",
        )
    of_test = tuple(found.get(item.name, "") for item in held_out)
    return tuple(found[item.name] for item in rows.items), of_test if of_test and all(of_test) else None


def _sample(
    name: str,
    origin: str,
    train: _Part,
    test: _Part | None,
    metric: Metric,
    progress: Progress,
    *,
    keep_duplicates: bool,
) -> Sample:
    advance(progress, Phase.COMPARE, 0, 1, "images")
    clean, clean_test = _cleaned(train), None if test is None else _cleaned(test)
    apart = clean if clean_test is None else clean.without({item.digest for item in clean_test.items})
    if not apart.items:
        raise NoItems(
            origin,
            "training images besides conflicting duplicates and those of the test part",
            there=_nothing_but_copies(clean),
            remedy="Keep each image in one class, and in one part: compare the folders that hold or link to the same.",
        )
    alike = _Alike.of(apart, clean_test, keep=keep_duplicates)
    kept = apart.keep([row for row in range(len(apart.items)) if row not in alike.left_out])
    classes = classes_of(kept.labels, kept.task)
    part = None
    if clean_test is not None and clean_test.items:
        _require_known(clean_test, classes)
        of_test = replace(clean_test, groups=alike.test_groups)
        part = _assembled(f"{name} (test)", origin, of_test, classes, metric, _health(clean_test, clean_test), None)
    health = _health(clean, kept, alike)
    health = replace(health, warnings=(*health.warnings, *_of_targets(kept), *_of_groups(kept, clean_test)))
    advance(progress, Phase.COMPARE, 1, 1, "images")
    made = _assembled(name, origin, replace(kept, groups=alike.groups), classes, metric, health, part)
    return replace(made, keep_duplicates=keep_duplicates, named_groups=kept.groups is not None)


def _nothing_but_copies(train: "_Clean") -> str:
    """Where the copies of every training image lie, in words."""
    conflicting = f"{counted(train.conflicting)} under more than one label" if train.conflicting else ""
    leaked = f"{counted(len(train.items))} that the test part holds too" if train.items else ""
    return " and ".join(part for part in (conflicting, leaked) if part)


@dataclass(frozen=True)
class _Clean:
    """A part without exact duplicates."""

    rows: Rows
    task: Task
    items: tuple[ImageItem, ...]
    labels: tuple[str, ...]
    groups: tuple[str, ...] | None
    conflicting: int

    def without(self, digests: set[str]) -> "_Clean":
        return self.keep([row for row, item in enumerate(self.items) if item.digest not in digests])

    def keep(self, rows: Sequence[int]) -> "_Clean":
        groups = None if self.groups is None else tuple(self.groups[row] for row in rows)
        items, labels = tuple(self.items[row] for row in rows), tuple(self.labels[row] for row in rows)
        return replace(self, items=items, labels=labels, groups=groups)


def _cleaned(part: _Part) -> _Clean:
    """Of rows with equal content one is kept (of the first group by name), or none where their labels differ."""
    copies: dict[str, list[int]] = defaultdict(list)
    for row, item in enumerate(part.rows.items):
        copies[item.digest].append(row)
    labels, groups = part.rows.labels, part.groups
    agreed = [rows for rows in copies.values() if len({labels[row] for row in rows}) == 1]
    kept = sorted(rows[0] if groups is None else min(rows, key=lambda row: (groups[row], row)) for rows in agreed)
    conflicting = len(labels) - sum(map(len, agreed))
    return _Clean(part.rows, part.task, part.rows.items, labels, groups, conflicting).keep(kept)


def _require_known(test: _Clean, classes: Sequence[str]) -> None:
    unknown = set(classes_of(test.labels, test.task)) - set(classes)
    if unknown:
        rows = [row for row, label in enumerate(test.labels) if unknown & {*names_in(label, test.task)}]
        listed = ", ".join(sorted(unknown))
        raise UnusableLabels(f"the test part has classes that the training part lacks: {listed}", rows)


def _assembled(
    name: str,
    origin: str,
    part: _Clean,
    classes: tuple[str, ...],
    metric: Metric,
    health: Health,
    test: Sample | None,
) -> Sample:
    digest = _digest(part.items, part.labels, part.groups, part.task, metric)
    return Sample(
        name,
        Modality.IMAGE,
        part.task,
        metric,
        part.items,
        part.labels,
        part.groups,
        health,
        digest,
        test,
        origin,
        classes,
    )


def _digest(
    items: Sequence[ImageItem], labels: Sequence[str], groups: Sequence[str] | None, task: Task, metric: Metric
) -> str:
    rows = zip(items, labels, groups or [""] * len(items), strict=True)
    lines = sorted(json.dumps([item.shown, label, group]) for item, label, group in rows)
    return _sha("\n".join([json.dumps([task, metric, groups is not None]), *lines]))


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _lot(content: str, seed: int) -> str:
    return _sha(f"{seed}:{content}")


@dataclass(frozen=True)
class _Alike:
    """What near duplicates make of a training part beside its test part."""

    kept_apart: bool
    """Whether they are taken for rows like any other."""
    near_duplicates: int
    near_leaked: int
    left_out: frozenset[int]
    """Training rows that look like a test row, and are not needed for a class to be there."""
    groups: tuple[str, ...] | None
    """Of the training rows that are left."""
    test_groups: tuple[str, ...] | None
    sizes: tuple[int, ...]
    """Rows of each group of near duplicates, the largest first."""
    unmerged: int
    """Groups of near duplicates that would have merged too many of the named groups."""

    @classmethod
    def of(cls, train: _Clean, test: _Clean | None, *, keep: bool) -> "_Alike":
        looks = [item.look for item in train.items], [] if test is None else [item.look for item in test.items]
        rows, named = len(train.items), None if test is None else test.groups
        if keep:
            prints = Fingerprints.of(looks[0])
            repeated, leaked = int(prints.repeated().sum()), int(prints.also_in(Fingerprints.of(looks[1])).sum())
            return cls(True, repeated, leaked, frozenset(), train.groups, named, (), 0)
        chains = Fingerprints.of([*looks[0], *looks[1]]).components()
        leaked_rows = np.flatnonzero(np.isin(chains[:rows], chains[rows:]))
        left_out = _dispensable(train, leaked_rows.tolist())
        left = [row for row in range(rows) if row not in left_out]
        groups, sizes, unmerged = _merged(train.keep(left), chains[left])
        test_groups = None if test is None else _merged(test, chains[rows:])[0]
        repeated = sum(sizes) - len(sizes)
        return cls(False, repeated, len(leaked_rows), left_out, groups, test_groups, sizes, unmerged)


def _dispensable(train: _Clean, rows: Sequence[int]) -> frozenset[int]:
    """Those of the rows without which every class or label is there still."""
    counts = _counts(train)
    left_out: set[int] = set()
    for row in rows:
        names = names_in(train.labels[row], train.task)
        if len(left_out) + 1 < len(train.items) and all(counts[name] > 1 for name in names):
            counts.subtract(names)
            left_out.add(row)
    return frozenset(left_out)


def _merged(part: _Clean, chains: Int[np.ndarray, " n"]) -> tuple[tuple[str, ...] | None, tuple[int, ...], int]:
    """Groups of a part: those that are named, merged where near duplicates connect them; else the near duplicates.

    Beside them the sizes of what near duplicates connect, and how many of these were not merged because hardly any
    named group were left to hold out. None where nothing is named and nothing alike.
    """
    chained: dict[int, list[int]] = defaultdict(list)
    for row, chain in enumerate(chains.tolist()):
        chained[chain].append(row)
    several = [rows for rows in chained.values() if len(rows) > 1]
    sizes = tuple(sorted(map(len, several), reverse=True))
    if part.groups is None:
        if not several:
            return None, (), 0
        firsts = {row: min(part.items[other].digest for other in rows) for rows in chained.values() for row in rows}
        return tuple(firsts[row] for row in range(len(part.items))), sizes, 0
    leader = {name: name for name in part.groups}

    def lead(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    across = [rows for rows in several if len({part.groups[row] for row in rows}) > 1]
    for rows in across:
        found = {lead(part.groups[row]) for row in rows}
        leader |= dict.fromkeys(found, min(found))
    merged = tuple(lead(name) for name in part.groups)
    before, after = Counter(part.groups), Counter(merged)
    if len(after) < min(_FEWEST_GROUPS, len(before)) or max(after.values()) > max(*before.values(), len(merged) // 2):
        return part.groups, sizes, len(across)
    return merged, sizes, 0


def _health(clean: _Clean, kept: _Clean, alike: _Alike | None = None) -> Health:
    """What became of a part on its way from ``clean.rows`` to ``kept``; ``alike`` of a training part only."""
    found = _Alike.of(clean, None, keep=True) if alike is None else alike
    rows, counts = clean.rows, _counts(kept)
    draft = Health(
        rows=len(kept.items),
        unreadable=len(rows.unreadable),
        converted=rows.converted,
        exact_duplicates=len(rows.items) - len(clean.items),
        near_duplicates=found.near_duplicates,
        leaked=len(clean.items) - len(kept.items) - len(found.left_out),
        near_leaked=found.near_leaked,
        sampled_from=rows.found if rows.found > len(rows.items) + len(rows.unreadable) else None,
        balance=min(counts.values()) / max(counts.values()) if counts else 1.0,
        warnings=(),
        unreadable_items=rows.unreadable,
        near_groups=len(found.sizes),
        largest_near_group=max(found.sizes, default=0),
        left_out=len(found.left_out),
    )
    told = (*rows.notes, *_of_files(draft, kept), *_of_lost_classes(rows, kept), *_of_likeness(draft, found))
    return replace(draft, warnings=told)


def _of_lost_classes(rows: Rows, kept: _Clean) -> Iterator[str]:
    """Warnings about classes of which no row is left."""
    lost = Counter(rows.labels) if kept.task is Task.CLASSIFICATION else Counter()
    for label in set(kept.labels):
        lost.pop(label, None)
    for label, count in sorted(lost.items()):
        yield f"class {label!r} is gone: {_count(count, 'image')}, each removed as a duplicate of another class or part"


def _of_files(health: Health, kept: _Clean) -> Iterator[str]:
    """Warnings about files skipped or removed."""
    if health.sampled_from:
        read = len(kept.rows.items) + health.unreadable
        fairly = ", each class in proportion" if kept.task is Task.CLASSIFICATION else ""
        yield f"{read} of {health.sampled_from} images drawn and read{fairly}"
    if health.unreadable:
        name, why = health.unreadable_items[0]
        yield f"{_count(health.unreadable, 'image')} skipped as unreadable; the first: {name} ({why})"
    if animated := health.converted.get("animated"):
        yield f"{_count(animated, 'animated image')}: only the first frame is used"
    if kept.conflicting:
        yield f"{_count(kept.conflicting, 'row')} removed: the same image {_ELSEWHERE[kept.task]}"
    if health.exact_duplicates > kept.conflicting:
        yield f"{_count(health.exact_duplicates - kept.conflicting, 'exact duplicate')} removed"
    if health.leaked:
        yield f"{_count(health.leaked, 'training image')} removed: in the test part too"


def _of_likeness(health: Health, alike: _Alike) -> Iterator[str]:
    """Warnings about images that look alike, and what was done about it."""
    repeated, leaked = (_count(health.near_duplicates, "image"), _count(health.near_leaked, "training image"))
    if health.near_groups:
        largest = f"{_count(health.near_groups, 'group')}, the largest of {health.largest_near_group}"
        yield (
            f"{repeated} much like an earlier one: grouped with it ({largest}), so that no fold parts them; "
            "--keep-duplicates takes them for independent"
        )
    elif alike.kept_apart and health.near_duplicates:
        yield f"{repeated} much like an earlier one: kept ungrouped, they flatter the score"
    if alike.unmerged:
        yield (
            f"{_count(alike.unmerged, 'group')} of images that look alike lie in several of the named groups, which "
            "were left as they are: merged, too few would be left to hold out"
        )
    if health.left_out:
        yield f"{leaked} much like a test image: {_left_out(health)}; --keep-duplicates keeps them"
    elif health.near_leaked:
        yield f"{leaked} much like a test image, kept: the test score may flatter"


def _left_out(health: Health) -> str:
    if health.left_out == health.near_leaked:
        return "left out, for on them the test score would flatter"
    return f"{health.left_out} left out, the others kept, for without them a class would be missing"


_ELSEWHERE = {
    Task.CLASSIFICATION: "lies in another class too",
    Task.MULTI_LABEL: "has other labels elsewhere",
    Task.REGRESSION: "has another target elsewhere",
}


def _counts(kept: _Clean) -> Counter[str]:
    """Rows of each class or label that occurs."""
    return Counter(name for label in kept.labels for name in names_in(label, kept.task))


def _of_targets(kept: _Clean) -> Iterator[str]:
    """Warnings about targets that tell too little."""
    if kept.task is Task.CLASSIFICATION:
        yield from _of_classes(kept)
    elif len(set(kept.labels)) == 1:
        yield "all rows have the same target: distances can be measured, transferability cannot"
    elif kept.task is Task.MULTI_LABEL:
        yield from _of_labels(kept)


def _of_labels(kept: _Clean) -> Iterator[str]:
    """Warnings about labels that say nothing, or that are in training always."""
    counts, bare = _counts(kept), kept.labels.count("")
    if bare:
        yield f"{_count(bare, 'row')} without any label"
    everywhere = sorted(label for label, count in counts.items() if count == len(kept.labels))
    if everywhere:
        yield f"labels that every row has: {_listed(everywhere)}"
    single = sorted(label for label, count in counts.items() if count == 1)
    if single:
        yield f"labels of one image are in every training part and never held out: {_listed(single)}"


def _of_classes(kept: _Clean) -> Iterator[str]:
    """Warnings about classes too few, too small or too uneven."""
    counts = Counter(kept.labels)
    if len(counts) == 1:
        yield "there is only one class: distances can be measured, transferability cannot"
    single = sorted(label for label, count in counts.items() if count == 1)
    if single:
        yield f"classes with one image are in every training part and never held out: {_listed(single)}"
    groups: dict[str, set[str]] = defaultdict(set)
    for label, group in zip(kept.labels, kept.groups or (), strict=kept.groups is not None):
        groups[label].add(group)
    alone = sorted(label for label, members in groups.items() if len(members) == 1 and counts[label] > 1)
    if alone:
        yield f"classes with one group are in every training part and never held out: {_listed(alone)}"
    if min(counts.values()) * _UNEVEN < max(counts.values()):
        most, least = max(counts, key=lambda c: counts[c]), min(counts, key=lambda c: counts[c])
        yield (
            f"classes are uneven: {counts[most]} of {most}, {counts[least]} of {least}; "
            "balanced-accuracy or macro-f1 may judge more fairly"
        )


def _of_groups(kept: _Clean, test: _Clean | None) -> Iterator[str]:
    """A warning about groups on both sides of the test."""
    shared = set(kept.groups or ()) & set(test.groups or ()) if test is not None else set()
    if shared:
        yield f"{_count(len(shared), 'group')} in the training and the test part at once: {_listed(sorted(shared))}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


@dataclass(frozen=True)
class _Unit:
    """Rows that stay together, and how many there are of each stratum; a row may count in several."""

    rows: list[int]
    classes: Int[np.ndarray, " c"]
    counts: Int[np.ndarray, " c"]

    @classmethod
    def of(cls, rows: list[int], strata: Bool[np.ndarray, "n s"]) -> "_Unit":
        counts = strata[rows].sum(axis=0)
        classes = np.flatnonzero(counts)
        return cls(rows, classes, counts[classes])


def _deal(
    units: Sequence[_Unit], strata: int, needed: int, shares: Float[np.ndarray, " k"], always: int
) -> Int[np.ndarray, " u"]:
    """Large units first, each to the part that lacks its strata most (Sainte-Lague's divisors, stratum by stratum).

    The first ``needed`` strata, which are classes, never leave training.
    """
    spread = Counter(int(label) for unit in units for label in unit.classes)
    totals = np.zeros(strata)
    for unit in units:
        totals[unit.classes] += unit.counts
    held, parts = np.zeros((len(shares), strata)), np.full(len(units), always, np.int64)
    for place in sorted(range(len(units)), key=lambda place: -len(units[place].rows)):
        unit = units[place]
        if any(spread[int(label)] == 1 for label in unit.classes if label < needed):
            continue
        cost = ((2 * held[:, unit.classes] + unit.counts) * unit.counts / totals[unit.classes]).sum(axis=1)
        parts[place] = np.argmin((cost + _TIE * held.sum(axis=1) / totals.sum()) / shares)
        held[parts[place], unit.classes] += unit.counts
    return _with_every_class_in_training(parts, units, needed, always)


def _with_every_class_in_training(
    parts: Int[np.ndarray, " u"], units: Sequence[_Unit], needed: int, always: int
) -> Int[np.ndarray, " u"]:
    """Where one part holds all of a class, the smallest unit with it goes where training always is."""
    having: dict[int, list[int]] = defaultdict(list)
    for place, unit in enumerate(units):
        for label in unit.classes[unit.classes < needed]:
            having[int(label)].append(place)
    for places in having.values():
        if len(set(parts[places])) == 1:
            parts[min(places, key=lambda place: len(units[place].rows))] = always
    return parts
