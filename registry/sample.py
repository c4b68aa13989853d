"""Sample: labelled items of one modality with a content digest, their health, and splits of them."""

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from registry.cards import METRICS, ClassFolder, Metric, Task, limit_of
from registry.errors import (
    BadTable,
    LabelsMissing,
    LengthMismatch,
    OtherRows,
    RowsInMemory,
    UnfitMetric,
    UnknownName,
    printable,
)
from registry.forms import Record, from_json
from registry.health import Clean, Health, HealthForm, Part, examine_parts
from registry.metrics import metric_of
from registry.modalities import Item, Modality, Reading, modalities
from registry.progress import Progress, silent
from registry.readers.anywhere import read_anywhere, read_rows
from registry.readers.layout import LayoutRule, as_known, infer_layout, plain_name
from registry.readers.memory import plain_labels, read_positions, read_values
from registry.readers.records import RecordColumns, is_records
from registry.readers.rows import Rows
from registry.readers.table import LabelTable, read_groups, read_labels
from registry.spans import scheme_of
from registry.splits import Splitter
from registry.targets import Positions, Targets, infer_task, names_in, quantities, read_targets, values_of

__all__ = ["Sample", "SampleForm"]

_LIMIT = 20_000
"""Rows of a part that are read at most; more are sampled."""

_POSITIONS_A_ROW = 8
"""Labelled positions of a draw for each row that is asked for."""
_MEMORY = "arrays"
"""Where rows lie that were never read from anywhere; a place on disk is an absolute path."""
_ESCAPED = re.compile(r"\\x([89a-f][0-9a-f])")


@dataclass(frozen=True, eq=False)
class Sample(Record):
    """Items + labels + modality + task. Made by one of its ``from_`` methods; to change one, make another."""

    name: str
    modality: str
    task: Task
    metric: Metric
    items: tuple[Item, ...]
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
    """Which of two folders above an item was said to be its class."""
    follow_links: bool = False
    """Whether links out of the folder were followed."""
    limit: int | None = None
    """Rows of a part that were read at most, where its user said how many."""
    reading: Reading = field(default_factory=dict)
    """How its items are read alike, as their modality has it; what a run on them predicts is read so too."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """The columns of records that it was read by; empty where it is none."""
    unlabelled: tuple[Item, ...] = ()
    """Items without labels, each once, that a net may learn from before it is tuned; of its digest no part."""
    unlabelled_from: str | None = None
    """Where they were read from."""

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
        limit: int | None = None,
        keep_duplicates: bool = False,
        class_folder: ClassFolder | str | None = None,
        follow_links: bool = False,
        modality: str | None = None,
        text: str | None = None,
        label: str | None = None,
        text2: str | None = None,
        group: str | None = None,
        time: str | None = None,
        unlabelled: Path | str | None = None,
        progress: Progress = silent,
    ) -> "Sample":
        """Items in class folders, or a zip of them; ``train/`` and ``test/`` may lie above the classes. Or records.

        Records are the rows of a CSV, TSV, JSON-lines or Parquet file, or of a folder with ``train.*`` and ``test.*``
        of them. What their labels are is read off the column: as with ``labels``, several are joined by ``|`` (or a
        list); lists of words and of their tags, and CoNLL-like files, are token classification. Files that are no
        UTF-8 are read as UTF-16 or Windows-1252, and that is noted; of more than 200,000 rows
        a draw is kept.

        Transparent images are laid on white. Images of more than 8 bits a channel, and of floats, are mapped to 8 bits
        by one scale for the whole sample, its test part and all that a run on it predicts: see `reading`.

        Args:
            path: the folder, zip or file; with ``labels`` of any layout.
            labels: CSV with the columns ``file`` and ``target``, several targets joined by ``|``; items without a row
                are left out. Numbers with fractions, or more than 20 of them, are a regression target;
                a ``|`` or a file without target makes it multi-label; all else are classes.
            task: what the table's targets are, where that is not to be read off them.
            groups: CSV with the columns ``file`` and ``group``; rows of a group are never parted.
            test: a folder or zip with the test part, used instead of a ``test/`` inside.
            metric: how predictions are judged; else the first that `registry.cards.METRICS` names for the task.
            seed: draws the rows to read where there are more than ``limit`` in a part.
            limit: rows of a part read at most; else 20,000.
            keep_duplicates: take items that look alike for independent rows. Else they are a group that no fold or
                draw parts, merged with the groups that are named; and training rows that look like a test row are
                left out, for on them the test would flatter whatever remembers them.
            class_folder: ``outer`` or ``inner``, where two folders above an item could both be its class.
            follow_links: whether links that lead out of the folder are followed; those within it always are.
            modality: what the items are, where files of several modalities lie there; else that of most of them.
            text: of records the column of texts; else one that is called as such columns are, or the only one that
                holds writing.
            label: the column of labels, likewise.
            text2: the column of the second text of a pair.
            group: a column; rows with the same value are never parted.
            time: a column of dates or numbers: the latest quarter of the rows is the test part.
            unlabelled: a folder, an archive or records with more items of the same kind; no label of them is read.
            progress: told stage, done and of.

        Raises:
            PathMissing: nothing lies there.
            ColumnsOfNoRecords: columns are named of what has none.
            NoItems: no item lies in a class folder.
            AmbiguousLayout: the classes may be these folders or those, or several data sets lie there.
            TooManyUnreadable: more than one item in five cannot be read.
            UnsafeArchive: the zip must not be opened.
            BadTable: the table of groups or of targets does not fit.
            LabelsMissing: a task that class folders cannot tell.
            UnusableLabels: the test part has classes that the training part lacks.
            UnknownName: no column, metric, task or modality of that name.
            UnfitMetric: the metric does not judge the task.
        """
        chosen = None if class_folder is None else _class_folder(class_folder)
        place, columns = _located(path), RecordColumns(text, label, text2, group, time)
        known_task = None if task is None else _named_task(task)
        table = _table(labels, known_task, place)
        usual = Task.CLASSIFICATION if table is None else table.task
        if known_task is not Task.TOKEN_CLASSIFICATION and (known_task is not None or not is_records(place)):
            _judge(metric, known_task or usual)  # before anything is read
        most = _LIMIT if limit is None else limit
        read = partial(
            read_rows,
            rule=_rule(table, chosen),
            limit=most,
            seed=seed,
            follow_links=follow_links,
            progress=progress,
        )
        kind = None if modality is None else modalities[modality]
        rows = read(place, modality=kind, columns=columns, task=known_task)
        judged = _judge(metric, rows.task or usual, rows.labels)
        if test is not None:
            rows = _with_other_test(rows, _located(test), read)
        rows = rows if table is None else replace(rows, notes=(*rows.notes, *table.notes))
        more: tuple[Item, ...] = ()
        if unlabelled is not None:
            rows, more = _with_unlabelled(rows, _located(unlabelled), most, seed, progress)
        train, part = _in_parts(rows, rows.task or usual, None if groups is None else _located(groups), place)
        origin = printable(str(place.absolute()))
        sample = _sample(_title(place), origin, train, part, judged, progress, keep_duplicates=keep_duplicates)
        return replace(
            sample,
            groups_from=_absolute(groups),
            test_from=_absolute(test),
            labels_from=_absolute(labels),
            class_folder=chosen,
            follow_links=follow_links,
            limit=limit,
            columns=rows.columns,
            unlabelled=more,
            unlabelled_from=_absolute(unlabelled),
        )

    @classmethod
    def again(cls, origin: Mapping[str, Any], *, seed: int = 0, progress: Progress = silent) -> "Sample":
        """The sample that a `to_dict` describes, read from where it lay.

        Raises:
            OtherRows: what lies there now is not what was told of.
            RowsInMemory: it was made from arrays, which lie nowhere.
            SampleError: it cannot be read.
            UnreadableForm: what was told of it is damaged.
        """
        form = from_json(SampleForm, origin)
        if form.origin == _MEMORY:
            raise RowsInMemory(form.name)
        columns = RecordColumns(**(form.columns or {}))
        sample = cls.from_folder(
            form.origin,
            labels=form.labels_from,
            task=form.task if form.labels_from or form.columns else None,
            groups=form.groups_from,
            test=form.test_from,
            metric=form.metric,
            seed=seed,
            class_folder=form.class_folder,
            follow_links=form.follow_links,
            limit=limit_of(origin),
            modality=form.modality,
            keep_duplicates=form.keep_duplicates,
            progress=progress,
            text=columns.text,
            label=columns.label,
            text2=columns.text2,
            group=columns.group,
            time=columns.time,
            unlabelled=form.unlabelled_from,
        )
        if sample.digest != form.digest:
            raise OtherRows(form.origin, form.digest, sample.digest)
        if form.unlabelled_digest not in {None, sample.unlabelled_digest}:
            there = form.unlabelled_from or form.origin
            raise OtherRows(there, str(form.unlabelled_digest), str(sample.unlabelled_digest))
        return sample

    @classmethod
    def from_arrays(  # noqa: PLR0913 - as above
        cls,
        items: Any,  # noqa: ANN401 - whatever a modality takes
        labels: Sequence[object] | np.ndarray,
        *,
        name: str = "arrays",
        groups: Sequence[object] | np.ndarray | None = None,
        test: tuple[Any, Sequence[object] | np.ndarray] | None = None,
        task: Task | str | None = None,
        metric: Metric | str | None = None,
        keep_duplicates: bool = False,
        modality: str | None = None,
        unlabelled: Any = (),  # noqa: ANN401 - as ``items``
        progress: Progress = silent,
    ) -> "Sample":
        """Items that Python holds, a label each, perhaps a group each.

        Images are uint8 (n, height, width) or (n, height, width, 3), or a list of such images, of PIL's, or of paths.
        Texts are a list or an array of `str`, or of pairs of them; or lists of words, with a list of their tags as the
        label of each (token classification).

        Where ``task`` is not said, labels that are tuples, sets or lists of names are multi-label, numbers with
        fractions a regression target, and all else classes. ``keep_duplicates`` as in `from_folder`; ``unlabelled`` are
        more items of the same kind, whose labels nobody knows.

        Raises:
            UnusableArrays: another kind or shape, or kinds that are mixed.
            PathMissing: no file lies at one of the paths.
            TooManyUnreadable: more than one file in five cannot be read.
            UnusableLabels: a missing label or group, mixed kinds, or test classes that the training part lacks.
            LengthMismatch: not one label or group an item.
            UnknownName: no metric, task or modality of that name.
            UnfitMetric: the metric does not judge the task.
        """
        kind = None if modality is None else modalities[modality]
        sample = _in_memory(
            name,
            (items, labels, groups),
            None if test is None else (*test, None),
            task=task,
            metric=metric,
            keep_duplicates=keep_duplicates,
            modality=kind,
            progress=progress,
        )
        if not len(unlabelled):
            return sample
        read, _ = modalities[sample.modality].settled(
            modalities[sample.modality].from_memory(unlabelled), sample.reading
        )
        return replace(sample, unlabelled=_each_once(read), unlabelled_from=_MEMORY)

    @classmethod
    def from_frame(  # noqa: PLR0913 - as above
        cls,
        frame: Any,  # noqa: ANN401 - a pandas.DataFrame, or what one is made of
        item: str | tuple[str, str],
        label: str,
        *,
        name: str = "frame",
        groups: str | None = None,
        split: str | None = None,
        test: Any = None,  # noqa: ANN401 - as above
        root: Path | str | None = None,
        task: Task | str | None = None,
        metric: Metric | str | None = None,
        keep_duplicates: bool = False,
        modality: str | None = None,
        progress: Progress = silent,
    ) -> "Sample":
        """A row an item: its path, or the item itself, in one column, its label in another.

        Args:
            frame: a ``pandas.DataFrame``, or a mapping of columns.
            item: the column of paths or items; relative paths lie below ``root``, else where you stand. Two columns
                are those of pairs of texts.
            label: the column of labels, as in `from_arrays`.
            name: what the sample is called.
            groups: a column; rows with the same value are never parted.
            split: a column that says of each row whether it is for training, validation or test.
            test: a frame of the same columns with the test part.
            root: the folder that paths begin in.
            task: what the labels are, where that is not to be read off them.
            metric: as in `from_folder`.
            keep_duplicates: as in `from_folder`.
            modality: what the items are, where several could be meant.
            progress: told stage, done and of.

        Raises:
            UnknownName: no such column, part, metric, task or modality.
            NoItems: no row, or none to train on.
            SampleError: as in `from_arrays`.
        """
        from registry.readers.frame import read_frame  # noqa: PLC0415 - loads pandas

        below = None if root is None else Path(root)
        parts = read_frame(frame, item, label, groups=groups, split=split, test=test, root=below)
        return _of_parts(name, parts, modality, task, metric, progress, keep_duplicates=keep_duplicates)

    @classmethod
    def from_dataset(  # noqa: PLR0913 - as above
        cls,
        data: Any,  # noqa: ANN401 - a datasets.Dataset or DatasetDict
        *,
        name: str = "dataset",
        item: str | tuple[str, str] | None = None,
        label: str | None = None,
        groups: str | None = None,
        task: Task | str | None = None,
        metric: Metric | str | None = None,
        keep_duplicates: bool = False,
        modality: str | None = None,
        progress: Progress = silent,
    ) -> "Sample":
        """A ``datasets.Dataset``, or a ``DatasetDict`` with the splits train and, perhaps, validation and test.

        Items are read from the bytes or files that it holds, as those of a folder are.

        Args:
            data: the dataset; all of it is read.
            name: what the sample is called.
            item: the column of items, or two of pairs of texts; without it the only one of the feature ``Image`` (or
                another modality's), or else the only one of texts.
            label: the column of labels (``ClassLabel``, ``Value``, or sequences of them); without it the only
                ``ClassLabel``, or else a column of texts that is called as labels are (``label``, ``target`` ...).
            groups: a column; rows with the same value are never parted.
            task: what the labels are, where that is not to be read off them.
            metric: as in `from_folder`.
            keep_duplicates: as in `from_folder`.
            modality: what the items are, where the feature does not say it.
            progress: told stage, done and of.

        Raises:
            UnknownName: no such column, metric, task or modality.
            NoItems: no row, or none to train on.
            SampleError: as in `from_arrays`.
        """
        from registry.readers.frame import read_dataset  # noqa: PLC0415 - loads pandas

        parts = read_dataset(data, item=item, label=label, groups=groups)
        return _of_parts(name, parts, modality, task, metric, progress, keep_duplicates=keep_duplicates)

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[tuple[Item, str]]:
        """Each row's item and label."""
        return iter(zip(self.items, self.labels, strict=True))

    def __repr__(self) -> str:
        named = {Task.MULTI_LABEL: "labels", Task.REGRESSION: "", Task.TOKEN_CLASSIFICATION: "tags"}.get(
            self.task, "classes"
        )
        parts = [f"{len(self):,} rows", f"{len(self.classes)} {named}" if named else "a quantity"]
        if self.groups is not None:
            parts.append(f"{len(set(self.groups))} groups")
        if self.test is not None:
            parts.append(f"{len(self.test):,} test rows")
        return f"<Sample {self.name!r}: {', '.join(parts)}>"

    @property
    def targets(self) -> Targets:
        """Each row's place in `classes`; 0 or 1 for each of them; the quantity; or an array of its tags."""
        return Targets(self.task, values_of(self.labels, self.classes, self.task))

    @property
    def positions(self) -> Positions:
        """What a head learns, one after another: the rows, or where each has several the positions of each."""
        return Positions.of(self.targets, self.classes)

    @property
    def is_constant(self) -> bool:
        """Whether there is nothing to tell apart."""
        return len(self.classes if self.task is Task.TOKEN_CLASSIFICATION else set(self.labels)) < 2

    @property
    def counts(self) -> dict[str, int]:
        """Rows of each of the classes or labels."""
        counts = Counter(name for label in self.labels for name in names_in(label, self.task))
        return {label: counts[label] for label in self.classes}

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
    def unlabelled_digest(self) -> str | None:
        """SHA-256 of the items without labels, as they are shown; None where there are none."""
        return _sha("\n".join(sorted(item.shown for item in self.unlabelled))) if self.unlabelled else None

    @property
    def _splitter(self) -> Splitter:
        digests = tuple(item.digest for item in self.items)
        return Splitter(digests, self.labels, self.groups, self.classes, self.task)

    def take(self, rows: Int[np.ndarray, " r"] | Bool[np.ndarray, " n"]) -> "Sample":
        """The rows named by an index or a mask, with the same classes, test part and health."""
        kept = np.arange(len(self))[rows]
        labels = tuple(self.labels[row] for row in kept)
        items = tuple(self.items[row] for row in kept)
        groups = None if self.groups is None else tuple(self.groups[row] for row in kept)
        digest = _digest(items, labels, groups, self.task, self.metric)
        return replace(self, items=items, labels=labels, groups=groups, digest=digest)

    def subsample(self, most: int, seed: int = 0, *, spread: bool = False) -> "Sample":
        """At most ``most`` rows, each class in proportion; groups come whole but for one a class at the edge.

        Where they are ``spread`` they come of as many groups as there can be: two rows of one tell less than of two.
        A row of several labels counts for the rarest; quantities are in proportion by quantile bins. Where positions
        are labelled there are at most eight times as many of them, of rows of average length.
        """
        if self.task is Task.TOKEN_CLASSIFICATION:
            tags = sum(len(label.split()) for label in self.labels)
            most = min(most, max(1, _POSITIONS_A_ROW * most * len(self) // tags))
        if len(self) <= most:
            return self
        return self.take(self._splitter.drawn(most, seed, spread=spread))

    def folds(self, k: int = 5, seed: int = 0) -> Int[np.ndarray, " n"]:
        """The fold that holds each row out: stratified, groups whole, decided by content and not by position.

        What is in proportion are the classes; each label, and the rows without any; five quantile bins of a quantity.
        Every class or label is in the training part of every fold. A row that this needs in all of them (the only one,
        or in the only group, of its class) has fold -1. There are fewer folds where there are fewer groups than ``k``.

        Raises:
            TooFewRows: not even two folds can be made.
        """
        return self._splitter.folds(k, seed)

    def split(self, share: float = 0.25, seed: int = 0) -> tuple["Sample", "Sample"]:
        """A training and a test part of about ``share`` of the rows: stratified, groups whole, by content.

        Every class stays in the training part.

        Raises:
            TooFewRows: nothing can be held out.
        """
        held_out = self._splitter.held_out(share, seed)
        test = replace(self.take(held_out), name=f"{self.name} (held out)", test=None)
        return replace(self.take(~held_out), test=test), test

    def to_form(self) -> "SampleForm":
        """What it is and how it was read, in figures: no row of it."""
        return SampleForm(
            name=self.name,
            digest=self.digest,
            modality=str(self.modality),
            task=self.task,
            rows=len(self),
            classes=len(self.classes),
            metric=self.metric,
            health=self.health.to_form(),
            counts=self.counts,
            groups=len(set(self.groups)) if self.groups is not None and self.named_groups else None,
            test_rows=None if self.test is None else len(self.test),
            origin=self.origin,
            groups_from=self.groups_from,
            test_from=self.test_from,
            labels_from=self.labels_from,
            class_folder=self.class_folder,
            follow_links=self.follow_links,
            limit=self.limit,
            scale=dict(self.reading) or None,
            values=self._values(),
            columns=dict(self.columns) or None,
            keep_duplicates=self.keep_duplicates,
            unlabelled=len(self.unlabelled) or None,
            unlabelled_from=self.unlabelled_from,
            unlabelled_digest=self.unlabelled_digest,
        )

    def _values(self) -> dict[str, float] | None:
        """Where the quantities of a regression lie."""
        if self.task is not Task.REGRESSION:
            return None
        low, middle, high = np.quantile(quantities(self.labels), [0, 0.5, 1]).tolist()
        return {"lowest": low, "median": middle, "highest": high}


@dataclass(frozen=True)
class SampleForm:
    """`Sample` as it is kept with advice and runs; what came later has the default that it had before."""

    name: str
    digest: str
    task: Task
    rows: int
    classes: int
    metric: Metric
    origin: str
    health: HealthForm
    groups_from: str | None
    test_from: str | None
    modality: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    groups: int | None = None
    test_rows: int | None = None
    labels_from: str | None = None
    class_folder: ClassFolder | None = None
    follow_links: bool = False
    limit: int | None = None
    scale: Mapping[str, Any] | None = None
    values: Mapping[str, float] | None = None
    keep_duplicates: bool = True
    columns: Mapping[str, str] | None = None
    unlabelled: int | None = None
    unlabelled_from: str | None = None
    unlabelled_digest: str | None = None


def _judge(name: Metric | str | None, task: Task, labels: Sequence[str] = ()) -> Metric:
    """The metric of that name, else the one that is usual for the task; tags that make no spans have no entity F1."""
    fit = METRICS[task]
    if task is Task.TOKEN_CLASSIFICATION and scheme_of(tag for label in set(labels) for tag in label.split()) is None:
        fit = tuple(metric for metric in fit if metric is not Metric.ENTITY_F1)
    judged = fit[0] if name is None else metric_of(name)
    if judged not in fit:
        raise UnfitMetric(judged, task if fit == METRICS[task] else "plain tags, none of them B- or I-", fit)
    return judged


def _named_task(name: Task | str) -> Task:
    try:
        return Task(name)
    except ValueError as cause:
        raise UnknownName("task", str(name), [str(known) for known in Task]) from cause


def _rule(table: LabelTable | None, class_folder: ClassFolder | None) -> LayoutRule:
    """How items are laid out: as a table says, else by their folders."""
    return partial(infer_layout, class_folder=class_folder) if table is None else table.layout


def _table(labels: Path | str | None, task: Task | None, place: Path) -> LabelTable | None:
    """The table of targets of the items at a place; records have their own."""
    if is_records(place):
        if labels is not None:
            why = f"it names files, and {place} holds records"
            raise BadTable(_located(labels), why, "Name their column of labels: --label COLUMN (label=).")
        return None
    if labels is not None and task is not Task.TOKEN_CLASSIFICATION:
        return read_labels(_located(labels), task)
    if task not in {None, Task.CLASSIFICATION}:
        raise LabelsMissing(str(task))
    return None


def _of_parts(
    name: str,
    parts: Any,  # noqa: ANN401 - `registry.readers.frame.Parts`, which loads pandas
    modality: str | None,
    task: Task | str | None,
    metric: Metric | str | None,
    progress: Progress,
    *,
    keep_duplicates: bool,
) -> Sample:
    """The sample that columns of a frame or dataset make."""
    kind = parts.modality if modality is None else modality
    train, test = parts.train, parts.test
    return _in_memory(
        name,
        (train.items, train.labels, train.groups),
        None if test is None else (test.items, test.labels, test.groups),
        task=task,
        metric=metric,
        keep_duplicates=keep_duplicates,
        modality=None if kind is None else modalities[kind],
        progress=progress,
        notes=parts.notes,
    )


def _in_memory(  # noqa: PLR0913 - as above
    name: str,
    train: tuple[Any, Any, Any],
    test: tuple[Any, Any, Any] | None,
    *,
    task: Task | str | None,
    metric: Metric | str | None,
    keep_duplicates: bool,
    modality: Modality | None,
    progress: Progress,
    notes: tuple[str, ...] = (),
) -> Sample:
    """A sample of items, labels and groups that lie nowhere."""
    inferred = infer_task(train[1], train[0]) if task is None else _named_task(task)
    judged = _judge(metric, inferred, read_targets(train[1], inferred) if inferred is Task.TOKEN_CLASSIFICATION else ())
    part = _from_memory(*train, inferred, modality, None, progress)
    part = replace(part, rows=replace(part.rows, notes=(*part.rows.notes, *notes)))
    held_out = None
    if test is not None:
        held_out = _from_memory(*test, inferred, part.rows.modality, part.rows.reading, progress)
    return _sample(name, _MEMORY, part, held_out, judged, progress, keep_duplicates=keep_duplicates)


def _from_memory(
    items: Any,  # noqa: ANN401 - as `Sample.from_arrays`
    labels: Sequence[object] | np.ndarray,
    groups: Sequence[object] | np.ndarray | None,
    task: Task,
    modality: Modality | None,
    reading: Reading | None,
    progress: Progress,
) -> Part:
    targets = read_targets(labels, task)
    together = None if groups is None else plain_labels(groups)
    if task is Task.TOKEN_CLASSIFICATION:
        numbered = read_positions(items, targets, modality=modality, reading=reading)
        numbered = replace(numbered, labels=tuple(map(str, range(len(targets)))))
    else:
        numbered = read_values(
            items, [str(row) for row in range(len(targets))], modality=modality, reading=reading, progress=progress
        )
    if together is not None and len(together) != len(targets):
        raise LengthMismatch(f"{numbered.modality.words.many} and groups", len(targets), len(together))
    kept = [int(row) for row in numbered.labels]
    rows = replace(numbered, labels=tuple(targets[row] for row in kept))
    return Part(rows, task, None if together is None else tuple(together[row] for row in kept))


def _with_other_test(rows: Rows, test: Path, read: Callable[..., Rows]) -> Rows:
    """The rows with the test part that lies at another place, which is read as they were."""
    same = RecordColumns(**{role: name for role, name in rows.columns.items() if role != "time"})
    held_out = read(test, modality=rows.modality, reading=rows.reading, columns=same, task=rows.task)
    return replace(rows, test=_test_part(rows, held_out), notes=(*rows.notes, *_of_other_test(rows, held_out)))


def _with_unlabelled(
    rows: Rows, place: Path, limit: int, seed: int, progress: Progress
) -> tuple[Rows, tuple[Item, ...]]:
    """The rows with what is to be known of more items without labels, and these, each once, read as the rows were."""
    texts = RecordColumns(**{role: name for role, name in rows.columns.items() if role in {"text", "text2"}})
    there = read_anywhere(
        place,
        modality=rows.modality,
        reading=rows.reading,
        columns=texts,
        limit=limit,
        seed=seed,
        progress=progress,
    )
    more = _each_once(there.items)
    return replace(rows, notes=(*rows.notes, *_of_unlabelled(there, len(more)))), more


def _in_parts(rows: Rows, task: Task, groups: Path | None, place: Path) -> tuple[Part, Part | None]:
    """Training and test part, with the groups of a table where one is named, else with those of the rows."""
    of_train, of_test = rows.groups, None if rows.test is None else rows.test.groups
    if groups is not None:
        of_train, of_test = _grouped(groups, place, rows)
    return Part(rows, task, of_train), None if rows.test is None else Part(rows.test, task, of_test)


def _test_part(rows: Rows, held_out: Rows) -> Rows:
    """The test part of another place, its classes under the names that they have in training."""
    part, known = held_out.test or held_out, set(rows.labels)
    return replace(part, labels=tuple(label if label in known else as_known(label, known) for label in part.labels))


def _of_other_test(rows: Rows, held_out: Rows) -> Iterator[str]:
    """What was passed over in the place of the test part, and in which it differs."""
    yield from (f"test part: {note}" for note in held_out.notes)
    count = rows.modality.words.count
    if held_out.test is not None:
        used = count(len(held_out.test.items))
        yield f"test part: of its own training and test part the test part is used ({used})"
    if rows.test is not None:
        yield f"the test part inside ({count(len(rows.test.items))}) is not used: another was named"


def _each_once(items: Sequence[Item]) -> tuple[Item, ...]:
    """The first of those that hold the same."""
    return tuple({item.identity: item for item in reversed(items)}.values())[::-1]


def _of_unlabelled(rows: Rows, kept: int) -> Iterator[str]:
    """How many items without labels there are, and what is to be known of them."""
    of = f" of {rows.total:,}" if rows.total > len(rows.items) else ""
    copies = f", {len(rows.items) - kept:,} copies among them left out" if kept < len(rows.items) else ""
    yield f"without labels: {rows.modality.words.count(len(rows.items))}{of} read{copies}"
    yield from (f"without labels: {note}" for note in rows.notes)


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
    return plain_name(resolved.stem if resolved.is_file() else resolved.name or str(resolved))


def _grouped(table: Path, place: Path, rows: Rows) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    """Groups of the training rows, and of the test rows where the table has all of them."""
    held_out = () if rows.test is None else rows.test.items
    groups = read_groups(table, [item.name for item in (*rows.items, *held_out)], place)
    missing = [item.name for item in rows.items if item.name not in groups]
    if missing:
        raise BadTable(
            table,
            f"no row for {missing[0]!r} ({len(missing)} of {len(rows.items)} files have none)",
            "Give every training file a row: file,group.",
        )
    of_test = tuple(groups.get(item.name, "") for item in held_out)
    return tuple(groups[item.name] for item in rows.items), of_test if of_test and all(of_test) else None


def _sample(
    name: str,
    origin: str,
    train: Part,
    test: Part | None,
    metric: Metric,
    progress: Progress,
    *,
    keep_duplicates: bool,
) -> Sample:
    examined = examine_parts(train, test, origin, keep_duplicates=keep_duplicates, progress=progress)
    reading = (train.rows if test is None else test.rows).reading

    def part(called: str, clean: Clean, health: Health, held_out: Sample | None) -> Sample:
        return Sample(
            name=called,
            modality=clean.rows.modality.name,
            task=clean.task,
            metric=metric,
            items=clean.items,
            labels=clean.labels,
            groups=clean.groups,
            health=health,
            digest=_digest(clean.items, clean.labels, clean.groups, clean.task, metric),
            test=held_out,
            origin=origin,
            classes=examined.classes,
            reading=reading,
        )

    held_out = None
    if examined.test is not None and examined.test_health is not None:
        held_out = part(f"{name} (test)", examined.test, examined.test_health, None)
    sample = part(name, examined.train, examined.health, held_out)
    return replace(sample, keep_duplicates=keep_duplicates, named_groups=train.groups is not None)


def _digest(
    items: Sequence[Item], labels: Sequence[str], groups: Sequence[str] | None, task: Task, metric: Metric
) -> str:
    rows = zip(items, labels, groups or [""] * len(items), strict=True)
    lines = sorted(json.dumps([item.shown, label, group]) for item, label, group in rows)
    return _sha("\n".join([json.dumps([task, metric, groups is not None]), *lines]))


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
