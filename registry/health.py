"""Health: what is wrong with a sample's rows, found before anything is measured, and what was done about it."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from jaxtyping import Int

from registry.cards import Task
from registry.duplicates import Fingerprints
from registry.errors import NoItems, UnusableLabels
from registry.forms import Record
from registry.modalities import Item, Words
from registry.progress import Phase, Progress, advance
from registry.readers.layout import counted
from registry.readers.rows import Rows
from registry.spans import Scheme, astray, scheme_of
from registry.targets import classes_of, names_in

__all__ = [
    "MOST_PAIRS",
    "AlikeRows",
    "Clean",
    "Examined",
    "Health",
    "HealthForm",
    "Likeness",
    "Part",
    "UnreadableItem",
    "examine_parts",
]

MOST_PAIRS = 200
"""Pairs of alike rows that are listed of each likeness."""
_LISTED = 20
_UNEVEN = 10
_UNSEEN = "in every training part and never held out, so that no score is expected of them"
_FEWEST_GROUPS = 5
"""Named groups that must be left after merging, for folds to hold some out."""


class Likeness(StrEnum):
    """In what two rows are alike."""

    SAME = "same content"
    """Both in one part."""
    ALIKE = "alike"
    """Both in one part."""
    LEAKED = "same content as a test row"
    NEAR_LEAKED = "like a test row"


@dataclass(frozen=True)
class AlikeRows(Record):
    """Two rows that are the same or alike, by their names."""

    likeness: Likeness
    item: str
    label: str
    other: str
    """A row of the test part, where the likeness says so."""
    other_label: str


@dataclass(frozen=True)
class Health(Record):
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
    pairs: tuple[AlikeRows, ...] = ()
    """The rows that are the same or alike, each beside the one that it is most like; `MOST_PAIRS` of each likeness."""

    def to_form(self) -> "HealthForm":
        """The first unreadable items are listed."""
        listed = tuple(UnreadableItem(name, why) for name, why in self.unreadable_items[:_LISTED])
        return HealthForm(**{**vars(self), "unreadable_items": listed})


@dataclass(frozen=True)
class UnreadableItem:
    """An item that was skipped."""

    file: str
    reason: str


@dataclass(frozen=True)
class HealthForm:
    """`Health` as it is kept; what came later has a default."""

    rows: int
    unreadable: int
    converted: Mapping[str, int]
    exact_duplicates: int
    near_duplicates: int
    leaked: int
    near_leaked: int
    sampled_from: int | None
    balance: float
    warnings: tuple[str, ...]
    unreadable_items: tuple[UnreadableItem, ...] = ()
    near_groups: int = 0
    largest_near_group: int = 0
    left_out: int = 0
    pairs: tuple[AlikeRows, ...] = ()


@dataclass(frozen=True)
class Part:
    """Rows as a reader gave them, with their groups."""

    rows: Rows
    task: Task
    groups: tuple[str, ...] | None


@dataclass(frozen=True)
class Examined:
    """The parts of a sample without what must not be in them, and how healthy they are."""

    train: "Clean"
    test: "Clean | None"
    classes: tuple[str, ...]
    health: Health
    test_health: Health | None


def examine_parts(
    train: Part, test: Part | None, origin: str, *, keep_duplicates: bool, progress: Progress
) -> Examined:
    """Leave out exact duplicates, what the test part holds too, and what is like it; group what is alike.

    Raises:
        NoItems: no training row is left.
        UnusableLabels: the test part has classes that the training part lacks.
    """
    words = train.rows.modality.words
    advance(progress, Phase.COMPARE, 0, 1, words.many)
    clean, clean_test = _cleaned(train), None if test is None else _cleaned(test)
    apart = clean if clean_test is None else clean.without({item.identity for item in clean_test.items})
    if not apart.items:
        raise NoItems(
            origin,
            f"training {words.many} besides conflicting duplicates and those of the test part",
            there=_nothing_but_copies(clean),
            remedy=f"Keep each {words.one} in one class, and in one part: compare the folders that hold or link to the "
            "same.",
        )
    near = _NearRows.of(apart, clean_test, keep=keep_duplicates)
    kept = apart.keep([row for row in range(len(apart.items)) if row not in near.left_out])
    classes = classes_of(kept.labels, kept.task)
    new = _new_tags(clean_test, classes)
    classes = tuple(sorted((*classes, *new)))
    health = _health(clean, kept, near, _leaked(clean, clean_test))
    of_test, test_health = None, None
    of_test_part: list[str] = []
    if clean_test is not None:
        own = _health(clean_test, clean_test)
        of_test_part += _of_files(own, clean_test)
        if clean_test.items:
            _require_known(clean_test, classes)
            of_test, test_health = replace(clean_test, groups=near.test_groups), own
        else:
            of_test_part.append("no row is left, so that training rows are held out instead")
    beside = (f"test part: {warning}" for warning in of_test_part)
    warnings = *_of_targets(kept), *_of_new(new), *_of_groups(kept, clean_test), *beside
    health = replace(health, warnings=(*health.warnings, *warnings))
    advance(progress, Phase.COMPARE, 1, 1, words.many)
    return Examined(replace(kept, groups=near.groups), of_test, classes, health, test_health)


def _leaked(train: "Clean", test: "Clean | None") -> tuple[AlikeRows, ...]:
    """Training rows whose content the test part has too, each beside that row."""
    if test is None:
        return ()
    there = {item.identity: row for row, item in enumerate(test.items)}
    both = [(row, there[item.identity]) for row, item in enumerate(train.items) if item.identity in there]
    return tuple(_pair(Likeness.LEAKED, train, row, test, other) for row, other in both[:MOST_PAIRS])


def _nothing_but_copies(train: "Clean") -> str:
    """Where the copies of every training item lie, in words."""
    words = train.words
    conflicting = f"{words.count(train.conflicting)} under more than one label" if train.conflicting else ""
    leaked = f"{words.count(len(train.items))} that the test part holds too" if train.items else ""
    return " and ".join(part for part in (conflicting, leaked) if part)


@dataclass(frozen=True)
class Clean:
    """A part without exact duplicates."""

    rows: Rows
    task: Task
    items: tuple[Item, ...]
    labels: tuple[str, ...]
    groups: tuple[str, ...] | None
    conflicting: int
    copies: tuple[AlikeRows, ...] = ()
    """Rows that were left out because another holds the same, each beside it."""

    @property
    def words(self) -> Words:
        """What its items are called."""
        return self.rows.modality.words

    def without(self, identities: set[str]) -> "Clean":
        """The rows that hold something else."""
        return self.keep([row for row, item in enumerate(self.items) if item.identity not in identities])

    def keep(self, rows: Sequence[int]) -> "Clean":
        """The rows of those numbers."""
        groups = None if self.groups is None else tuple(self.groups[row] for row in rows)
        items, labels = tuple(self.items[row] for row in rows), tuple(self.labels[row] for row in rows)
        return replace(self, items=items, labels=labels, groups=groups)


def _cleaned(part: Part) -> Clean:
    """Of rows that hold the same one is kept (of the first group by name), or none where their labels differ."""
    copies: dict[str, list[int]] = defaultdict(list)
    for row, item in enumerate(part.rows.items):
        copies[item.identity].append(row)
    labels, groups = part.rows.labels, part.groups
    agreed = [rows for rows in copies.values() if len({labels[row] for row in rows}) == 1]
    kept = sorted(rows[0] if groups is None else min(rows, key=lambda row: (groups[row], row)) for rows in agreed)
    conflicting = len(labels) - sum(map(len, agreed))
    whole = Clean(part.rows, part.task, part.rows.items, labels, groups, conflicting)
    of_identity = {part.rows.items[row].identity: row for row in kept}
    lost = [
        (row, of_identity.get(identity, rows[0]))
        for identity, rows in copies.items()
        for row in rows
        if row != of_identity.get(identity, rows[0])
    ]
    alike = tuple(_pair(Likeness.SAME, whole, row, whole, other) for row, other in sorted(lost)[:MOST_PAIRS])
    return replace(whole.keep(kept), copies=alike)


def _pair(likeness: Likeness, part: Clean, row: int, other: Clean, other_row: int) -> AlikeRows:
    return AlikeRows(
        likeness,
        part.items[row].name,
        part.labels[row],
        other.items[other_row].name,
        other.labels[other_row],
    )


def _require_known(test: Clean, classes: Sequence[str]) -> None:
    unknown = set(classes_of(test.labels, test.task)) - set(classes)
    if unknown:
        rows = [row for row, label in enumerate(test.labels) if unknown & {*names_in(label, test.task)}]
        first = test.items[rows[0]].name
        raise UnusableLabels(
            f"the test part has classes that the training part lacks: {_listed(sorted(unknown))}; {first} for one",
            rows,
            "Take these rows out of the test part, or give the training part rows of these classes.",
        )


@dataclass(frozen=True)
class _NearRows:
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
    pairs: tuple[AlikeRows, ...]
    """Training rows beside the row that they are most like, first those that are like a test row."""

    @classmethod
    def of(cls, train: Clean, test: Clean | None, *, keep: bool) -> "_NearRows":
        held_out = () if test is None else test.items
        rows, named = len(train.items), None if test is None else test.groups
        every = Fingerprints.of([*train.items, *held_out], train.rows.modality)
        if keep:
            in_test = np.arange(rows + len(held_out)) >= rows
            repeated, leaked = every.repeated()[:rows], every.like_any(in_test)[:rows]
            pairs = _likest(every, np.flatnonzero(repeated), np.flatnonzero(leaked), train, test)
            return cls(True, int(repeated.sum()), int(leaked.sum()), frozenset(), train.groups, named, (), 0, pairs)
        chains = every.components()
        leaked_rows = np.flatnonzero(np.isin(chains[:rows], chains[rows:]))
        left_out = _dispensable(train, leaked_rows.tolist())
        left = [row for row in range(rows) if row not in left_out]
        groups, sizes, unmerged = _merged(train.keep(left), chains[left])
        test_groups = None if test is None else _merged(test, chains[rows:])[0]
        firsts = np.unique(chains[left], return_index=True)[1]
        again = np.delete(np.array(left, np.int64), firsts)
        pairs = _likest(every, again, leaked_rows, train, test)
        return cls(
            False, sum(sizes) - len(sizes), len(leaked_rows), left_out, groups, test_groups, sizes, unmerged, pairs
        )


def _likest(
    prints: Fingerprints,
    repeated: Int[np.ndarray, " r"],
    leaked: Int[np.ndarray, " l"],
    train: Clean,
    test: Clean | None,
) -> tuple[AlikeRows, ...]:
    """Training rows beside the row that each is most like: a test row, or a training row."""
    rows = len(train.items)
    pairs: list[AlikeRows] = []
    if test is not None and len(leaked):
        listed = leaked[:MOST_PAIRS]
        others = prints.likest(listed, np.arange(rows, rows + len(test.items)))
        pairs += [
            _pair(Likeness.NEAR_LEAKED, train, row, test, other - rows)
            for row, other in zip(listed.tolist(), others.tolist(), strict=True)
        ]
    listed = repeated[:MOST_PAIRS]
    others = prints.likest(listed, np.arange(rows))
    pairs += [
        _pair(Likeness.ALIKE, train, row, train, other)
        for row, other in zip(listed.tolist(), others.tolist(), strict=True)
    ]
    return tuple(pairs)


def _dispensable(train: Clean, rows: Sequence[int]) -> frozenset[int]:
    """Those of the rows without which every class or label is there still."""
    counts = _counts(train)
    left_out: set[int] = set()
    for row in rows:
        names = names_in(train.labels[row], train.task)
        if len(left_out) + 1 < len(train.items) and all(counts[name] > 1 for name in names):
            counts.subtract(names)
            left_out.add(row)
    return frozenset(left_out)


def _merged(part: Clean, chains: Int[np.ndarray, " n"]) -> tuple[tuple[str, ...] | None, tuple[int, ...], int]:
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
        leads = {lead(part.groups[row]) for row in rows}
        leader |= dict.fromkeys(leads, min(leads))
    merged = tuple(lead(name) for name in part.groups)
    before, after = Counter(part.groups), Counter(merged)
    if len(after) < min(_FEWEST_GROUPS, len(before)) or max(after.values()) > max(*before.values(), len(merged) // 2):
        return part.groups, sizes, len(across)
    return merged, sizes, 0


def _health(clean: Clean, kept: Clean, near: _NearRows | None = None, leaked: tuple[AlikeRows, ...] = ()) -> Health:
    """What became of a part on its way from ``clean.rows`` to ``kept``; ``near`` and ``leaked`` of a training part."""
    near_rows = _NearRows.of(clean, None, keep=True) if near is None else near
    rows, counts = clean.rows, _counts(kept)
    draft = Health(
        rows=len(kept.items),
        unreadable=len(rows.unreadable),
        converted=rows.converted,
        exact_duplicates=len(rows.items) - len(clean.items),
        near_duplicates=near_rows.near_duplicates,
        leaked=len(clean.items) - len(kept.items) - len(near_rows.left_out),
        near_leaked=near_rows.near_leaked,
        sampled_from=rows.total if rows.total > len(rows.items) + len(rows.unreadable) else None,
        balance=min(counts.values()) / max(counts.values()) if counts else 1.0,
        warnings=(),
        unreadable_items=rows.unreadable,
        near_groups=len(near_rows.sizes),
        largest_near_group=max(near_rows.sizes, default=0),
        left_out=len(near_rows.left_out),
        pairs=(*clean.copies, *leaked, *near_rows.pairs),
    )
    lost = (*_of_files(draft, kept), *_of_lost_classes(rows, kept))
    near_notes = _near_warnings(draft, near_rows, kept.words)
    return replace(draft, warnings=(*rows.notes, *lost, *near_notes, *rows.modality.remarks(kept.items)))


def _of_lost_classes(rows: Rows, kept: Clean) -> Iterator[str]:
    """Warnings about classes of which no row is left."""
    words = kept.words
    lost = Counter(rows.labels) if kept.task is Task.CLASSIFICATION else Counter()
    for label in set(kept.labels):
        lost.pop(label, None)
    for label, count in sorted(lost.items()):
        yield f"class {label!r} is gone: {words.count(count)}, each removed as a duplicate of another class or part"


def _of_files(health: Health, kept: Clean) -> Iterator[str]:
    """Warnings about files skipped or removed."""
    words = kept.words
    if health.sampled_from:
        read = len(kept.rows.items) + health.unreadable
        fairly = ", each class in proportion" if kept.task is Task.CLASSIFICATION else ""
        yield f"{read} of {health.sampled_from} {words.many} drawn and read{fairly}"
    if health.unreadable:
        name, why = health.unreadable_items[0]
        yield f"{words.count(health.unreadable)} skipped as unreadable; the first: {name} ({why})"
    for kind, remark in words.remarks.items():
        if count := health.converted.get(kind):
            yield f"{words.count(count, kind)}: {remark}"
    if kept.conflicting:
        yield f"{counted(kept.conflicting, 'row')} removed: the same {words.one} {_ELSEWHERE[kept.task]}"
    if health.exact_duplicates > kept.conflicting:
        yield f"{counted(health.exact_duplicates - kept.conflicting, 'exact duplicate')} removed"
    if rewritten := len({item.digest for item in kept.rows.items}) - len({item.identity for item in kept.rows.items}):
        yield f"{words.count(rewritten)} of other bytes, yet the same as another but for the writing: taken for one"
    if health.leaked:
        yield f"{words.count(health.leaked, 'training')} removed: in the test part too"


def _near_warnings(health: Health, near: _NearRows, words: Words) -> Iterator[str]:
    """Warnings about items that are alike, and what was done about it."""
    repeated, leaked = words.count(health.near_duplicates), words.count(health.near_leaked, "training")
    if health.near_groups:
        largest = f"{counted(health.near_groups, 'group')}, the largest of {health.largest_near_group}"
        yield (
            f"{repeated} much like an earlier one: grouped with it ({largest}), so that no fold parts them; "
            "--keep-duplicates takes them for independent"
        )
    elif near.kept_apart and health.near_duplicates:
        yield f"{repeated} much like an earlier one: kept ungrouped, they flatter the score"
    if near.unmerged:
        yield (
            f"{counted(near.unmerged, 'group')} of {words.many} that look alike lie in several of the named groups, "
            "which were left as they are: merged, too few would be left to hold out"
        )
    if health.left_out:
        yield f"{leaked} much like a test {words.one}: {_left_out(health)}; --keep-duplicates keeps them"
    elif health.near_leaked:
        yield f"{leaked} much like a test {words.one}, kept: the test score may flatter"


def _left_out(health: Health) -> str:
    if health.left_out == health.near_leaked:
        return "left out, for on them the test score would flatter"
    return f"{health.left_out} left out, the others kept, for without them a class would be missing"


_ELSEWHERE = {
    Task.CLASSIFICATION: "lies in another class too",
    Task.MULTI_LABEL: "has other labels elsewhere",
    Task.REGRESSION: "has another target elsewhere",
    Task.TOKEN_CLASSIFICATION: "has other tags elsewhere",
}


def _counts(kept: Clean) -> Counter[str]:
    """Rows of each class or label that occurs."""
    return Counter(name for label in kept.labels for name in names_in(label, kept.task))


def _of_targets(kept: Clean) -> Iterator[str]:
    """Warnings about targets that tell too little, or two of which may be one."""
    yield from _of_spellings(kept)
    if kept.task is Task.CLASSIFICATION:
        yield from _of_classes(kept)
    elif kept.task is Task.TOKEN_CLASSIFICATION:
        yield from _of_tags(kept)
    elif len(set(kept.labels)) == 1:
        yield "all rows have the same target: distances can be measured, transferability cannot"
    elif kept.task is Task.MULTI_LABEL:
        yield from _of_labels(kept)


def _new_tags(test: Clean | None, classes: Sequence[str]) -> tuple[str, ...]:
    """Tags that the test part alone has: no class of rows is lacking for them."""
    if test is None or test.task is not Task.TOKEN_CLASSIFICATION:
        return ()
    return tuple(tag for tag in classes_of(test.labels, test.task) if tag not in classes)


def _of_new(tags: Sequence[str]) -> Iterator[str]:
    if tags:
        yield f"tags that the test part alone has, and that nothing can learn: {_listed(tags)}"


def _of_tags(kept: Clean) -> Iterator[str]:
    """Warnings about tags that say nothing, that make no spans, or that are in training always."""
    rows = [label.split() for label in kept.labels]
    tags, many = {tag for row in rows for tag in row}, kept.words.many
    if len(tags) == 1:
        yield f"there is only the tag {min(tags)}: distances can be measured, transferability cannot"
    elif scheme_of(tags) is None:
        yield "plain tags, none of them B- or I-: judged position by position, for they make no spans"
    stray = astray(rows) if scheme_of(tags) not in {None, Scheme.IOB1} else 0
    if stray:
        yield f"{counted(stray, 'tag')} that go on with a span that was not begun, read as its beginning"
    having = Counter(tag for row in rows for tag in set(row))
    single = sorted(tag for tag, count in having.items() if count == 1)
    if single and len(rows) > 1:
        yield f"tags in one of the {many} are {_UNSEEN}: {_listed(single)}"


def _of_spellings(kept: Clean) -> Iterator[str]:
    """A warning about names of classes or labels that differ in letter case, Unicode form, spaces or hyphens alone."""
    if kept.task is Task.REGRESSION:
        return
    spellings: dict[str, set[str]] = defaultdict(set)
    for name in _counts(kept):
        folded = unicodedata.normalize("NFKC", name).casefold()
        spellings["".join(letter for letter in folded if letter not in "-_" and not letter.isspace())].add(name)
    several = [" and ".join(map(repr, sorted(names))) for names in spellings.values() if len(names) > 1]
    if several:
        yield f"labels that differ in spelling alone, and are learned as different: {_listed(sorted(several))}"


def _of_labels(kept: Clean) -> Iterator[str]:
    """Warnings about labels that say nothing, or that are in training always."""
    counts, bare = _counts(kept), kept.labels.count("")
    if bare:
        yield f"{counted(bare, 'row')} without any label"
    everywhere = sorted(label for label, count in counts.items() if count == len(kept.labels))
    if everywhere:
        yield f"labels that every row has: {_listed(everywhere)}"
    single = sorted(label for label, count in counts.items() if count == 1)
    if single:
        yield f"labels of one {kept.words.one} are {_UNSEEN}: {_listed(single)}"


def _of_classes(kept: Clean) -> Iterator[str]:
    """Warnings about classes too few, too small or too uneven."""
    counts = Counter(kept.labels)
    if len(counts) == 1:
        yield "there is only one class: distances can be measured, transferability cannot"
    single = sorted(label for label, count in counts.items() if count == 1)
    if single:
        yield f"classes with one {kept.words.one} are {_UNSEEN}: {_listed(single)}"
    groups: dict[str, set[str]] = defaultdict(set)
    for label, group in zip(kept.labels, kept.groups or (), strict=kept.groups is not None):
        groups[label].add(group)
    alone = sorted(label for label, members in groups.items() if len(members) == 1 and counts[label] > 1)
    if alone:
        yield f"classes with one group are {_UNSEEN}: {_listed(alone)}"
    if min(counts.values()) * _UNEVEN < max(counts.values()):
        most, least = max(counts, key=lambda c: counts[c]), min(counts, key=lambda c: counts[c])
        yield (
            f"classes are uneven: {counts[most]} of {most}, {counts[least]} of {least}; "
            "balanced-accuracy or macro-f1 may judge more fairly"
        )


def _of_groups(kept: Clean, test: Clean | None) -> Iterator[str]:
    """A warning about groups on both sides of the test."""
    shared = set(kept.groups or ()) & set(test.groups or ()) if test is not None else set()
    if shared:
        yield f"{counted(len(shared), 'group')} in the training and the test part at once: {_listed(sorted(shared))}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
