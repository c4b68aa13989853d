"""From relative file names to labelled rows: class folders, train/ and test/ above or below them, one folder around.

A name means what its neighbors make of it: folders are parts where they are named so and hold the same classes. What
could be read in two ways is refused, or noted, and `ClassFolder` decides it.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from registry.cards import ClassFolder
from registry.errors import AmbiguousLayout, NoItems, SampleError, printable
from registry.modalities import Modality, Reading, Words
from registry.readers.rows import Rows

__all__ = [
    "SPLIT_COLUMNS",
    "Layout",
    "LayoutPart",
    "LayoutRule",
    "allot",
    "as_known",
    "counted",
    "infer_layout",
    "is_by_folders",
    "is_hidden",
    "is_hidden_item",
    "is_item",
    "is_litter",
    "not_items",
    "other_files",
    "plain_name",
    "read_parts",
    "role_of",
    "sampled",
    "tabled",
    "truths",
    "unread",
    "without_labels",
]

_ROLES = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
    **dict.fromkeys(("dev", "eval", "val", "valid", "validation"), "validation"),
}
_TABLES = frozenset({".csv", ".json", ".jsonl", ".ndjson", ".parquet", ".tsv"})
_GENERIC = frozenset(
    {
        "data",
        "dataset",
        "folder",
        "image",
        "images",
        "img",
        "imgs",
        "of",
        "part",
        "photos",
        "pictures",
        "samples",
        "set",
        "split",
        "the",
    }
)
_WORD = re.compile(rf"({'|'.join(_ROLES)})(?:sets?|data|images?|imgs?)?")
_LITTER = frozenset(
    {
        "__MACOSX",
        "@eaDir",
        "#recycle",
        "@Recycle",
        "$RECYCLE.BIN",
        "System Volume Information",
        "lost+found",
    }
)
"""Folders that archivers, network drives and systems leave behind."""
_LISTED = 4
ITEMS = Words(one="item", many="items", unit="", raw="")
"""What items are called where their modality does not matter."""


@dataclass(frozen=True)
class LayoutPart:
    """Names of files, and the class each lies in."""

    names: tuple[str, ...]
    labels: tuple[str, ...]
    stratified: bool = True
    """Whether the labels are classes, which a draw keeps in proportion."""


@dataclass(frozen=True)
class Layout:
    """The training part, the test part where there is one, and what was decided on the way."""

    train: LayoutPart
    test: LayoutPart | None
    notes: tuple[str, ...]


LayoutRule = Callable[[Path, Sequence[str], Words], Layout]
"""How names of files below a place become labelled parts; notes and errors call them as the words do."""
SPLIT_COLUMNS = ("split", "set", "partition", "subset", "part")
"""Columns that may say of which part a row is."""
_Trails = dict[str, tuple[str, ...]]
"""The folders below which each named file lies, and its own name at the end."""


class _Notes(list[str]):
    """What was decided on the way, in the words of the modality."""

    def __init__(self, words: Words) -> None:
        super().__init__()
        self.words = words


def is_item(name: str, suffixes: frozenset[str]) -> bool:
    """Whether a file's name ends as those of items do, and it can be seen."""
    return PurePosixPath(name).suffix.lower() in suffixes and not is_hidden(name)


def is_hidden(name: str) -> bool:
    """Whether a file is hidden, or lies in a folder of a system's litter."""
    return any(part.startswith(".") or is_litter(part) for part in name.split("/"))


def is_hidden_item(name: str, suffixes: frozenset[str]) -> bool:
    """Whether a file is an item but for being hidden, and no archiver's companion of another (``._``)."""
    file = PurePosixPath(name)
    return file.suffix.lower() in suffixes and is_hidden(name) and not file.name.startswith("._")


def is_litter(folder: str) -> bool:
    """Whether a folder of that name is left behind by a system, with nobody's data in it."""
    return folder in _LITTER


def not_items(others: Counter[str], words: Words) -> str:
    """The note about other files, from how many there are of each ending."""
    total = others.total()
    what = f"1 file that is no {words.one}" if total == 1 else f"{total} files that are no {words.many}"
    return f"{what} ignored ({other_files(others)})"


def unread(others: Counter[str], modality: Modality) -> str:
    """What to do where there are files of these endings, and none that is read; nothing where there is none."""
    if not others:
        return ""
    if others[".arrow"]:
        return "If `datasets` saved it to disk: Sample.from_dataset(datasets.load_from_disk(FOLDER)), or write Parquet."
    if set(others) <= _TABLES:
        return "Give one of the tables itself, or call them train and test: train.csv, test.csv, one file a part."
    many = modality.words.many
    return f"{many[0].upper()}{many[1:]} that are read end in {' '.join(sorted(modality.suffixes))}; convert others."


def other_files(others: Counter[str]) -> str:
    """How many files there are of each ending, the commonest first."""
    kinds = sorted(others.items(), key=lambda kind: (-kind[1], kind[0]))
    return _listed([f"{count} {printable(ending) or 'without an ending'}" for ending, count in kinds])


def plain_name(name: str) -> str:
    """A name as it can be shown: composed, and bytes that are no text escaped; its own result stays as it is."""
    return unicodedata.normalize("NFC", printable(name))


def counted(number: int, noun: str) -> str:
    """A number of things in words."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def infer_layout(
    place: Path, names: Sequence[str], words: Words = ITEMS, class_folder: ClassFolder | None = None
) -> Layout:
    """Label each item by its class folder; what lies deeper in a class folder belongs to that class.

    ``train/`` and ``test/`` above the classes (or below each of them) are parts, not classes, and so are folders named
    like them (``seg_train/``, ``test_set/``) that hold the same classes. ``val/`` joins the training part where there
    is a test part, and is the test part where there is none. One folder around everything is looked through.
    ``class_folder`` says whether the outer or the inner of two folders is the class.

    Raises:
        NoItems: no item lies in a class folder.
        AmbiguousLayout: the classes may be the outer folders or the inner ones; or several data sets lie there.
    """
    notes = _Notes(words)
    trails = _unwrapped({name: tuple(name.split("/")) for name in sorted(names)}, notes)
    if not trails:
        raise NoItems(
            place,
            f"{words.many} in class folders",
            there=f"{words.count(len(names))} outside any",
            remedy=_without_folders(names, words),
        )
    _refuse_several(place, trails)
    trails = _lifted(trails, notes)
    roles = _roles(trails)
    if "train" not in roles.values():
        heads = {trail[0] for trail in trails.values()}
        if all(role_of(head) for head in heads):
            raise NoItems(
                place,
                f"class folders in {'/, '.join(sorted(heads))}/",
                there=f"{words.count(len(trails))} without one",
                remedy=_without_folders(names, words),
            )
        trails = _at_class(place, trails, class_folder, notes)
        return Layout(_part(place, trails, notes), None, tuple(notes))
    return _split_layout(place, _peeled(trails, set(roles)), roles, class_folder, notes)


def is_by_folders(rule: LayoutRule) -> bool:
    """Whether a rule reads classes off the folders."""
    return getattr(rule, "func", rule) is infer_layout


def truths(
    place: Path, names: Sequence[str], classes: Sequence[str], class_folder: ClassFolder | None = None
) -> dict[str, str]:
    """The class of each named file that lies in a folder of one of the classes, read as for training.

    Where nothing says whether the outer or the inner folder is the class, and the usual reading finds none of them,
    that one counts which alone finds any. Of several data sets each is read by itself.
    """
    trails = _unwrapped({name: tuple(name.split("/")) for name in names}, _Notes(ITEMS))
    if _data_sets(trails):
        sets: dict[str, dict[str, str]] = defaultdict(dict)
        for name, trail in trails.items():
            sets[trail[0]]["/".join(trail)] = name
        return {
            files[inside]: label
            for head, files in sets.items()
            for inside, label in truths(place / head, tuple(files), classes, class_folder).items()
        }
    usual = _known(place, names, classes, class_folder)
    if usual or class_folder is not None:
        return usual
    readings = [_known(place, names, classes, reading) for reading in ClassFolder]
    known = [reading for reading in readings if reading]
    return known[0] if len(known) == 1 else {}


def as_known(label: str, classes: Iterable[str]) -> str:
    """The one of the classes that a label means: the same, but for case, or the same whole number; else the label."""
    known = tuple(classes)
    if label in known:
        return label
    for form in (str.casefold, _as_number):
        close = [name for name in known if form(name) == form(label)]
        if len(close) == 1:
            return close[0]
    return label


def without_labels(names: Sequence[str]) -> Layout:
    """Every item, wherever it lies, in no class."""
    return Layout(LayoutPart(tuple(sorted(names)), ("",) * len(names), stratified=False), None, ())


def tabled(names: Sequence[str], labels: Mapping[str, str], words: Words = ITEMS, *, stratified: bool) -> Layout:
    """The named files that have a label, wherever they lie; ``train/`` and ``test/`` on top are parts.

    ``val/`` is what it is above class folders.
    """
    trails = {name: tuple(name.split("/")) for name in sorted(names) if name in labels}
    while len({trail[0] for trail in trails.values()}) == 1 and all(len(trail) > 1 for trail in trails.values()):
        trails = {name: trail[1:] for name, trail in trails.items()}
    heads = {trail[0] for trail in trails.values() if len(trail) > 1}
    sure = any(role_of(head) == "train" for head in heads)
    role = role_of if sure or not all(map(_leaning, heads)) else _leaning
    roles = {name: role(trail[0]) if len(trail) > 1 else "" for name, trail in trails.items()}
    if "train" not in roles.values():
        roles = dict.fromkeys(roles, "")
    inside = {part: [name for name, its in roles.items() if its == part] for part in ("test", "validation")}
    train = [name for name, its in roles.items() if its not in inside]
    notes = _validation_placed(train, inside)
    left = len(names) - len(trails)
    if left:
        notes.append(f"{words.count(left)} {'has' if left == 1 else 'have'} no row in the table of labels: left out")

    def part(chosen: Sequence[str]) -> LayoutPart:
        return LayoutPart(tuple(sorted(chosen)), tuple(labels[name] for name in sorted(chosen)), stratified)

    return Layout(part(train), part(inside["test"]) if inside["test"] else None, tuple(notes))


def role_of(head: str) -> str:
    """The part that a folder of that name is for sure (train, training_set, Test images): train, test, validation."""
    words = _words(head)
    return _leaning(head) if sum(word not in _GENERIC for word in words) == 1 else ""


def read_parts(
    layout: Layout,
    read: Callable[[LayoutPart, Reading | None], Rows],
    reading: Reading | None,
    notes: Sequence[str],
) -> Rows:
    """Rows of the training part and of the test part, which is read as that is."""
    train = read(layout.train, reading)
    test = None if layout.test is None else read(layout.test, train.reading)
    gone = _gone(layout.train, train, "")
    if test is not None and layout.test is not None:
        gone += _gone(layout.test, test, " of the test part")
    return replace(train, notes=(*layout.notes, *notes, *gone), test=test)


def sampled(part: LayoutPart, limit: int, seed: int) -> LayoutPart:
    """At most ``limit`` rows, each class in proportion and none lost while there is room; the same for a seed."""
    if len(part.names) <= limit:
        return part
    draw = np.random.default_rng(seed).permutation(len(part.names))
    strata = part.labels if part.stratified else ("",) * len(part.labels)
    left = allot(Counter(strata), limit)
    kept = []
    for row in draw:
        if left[strata[row]]:
            left[strata[row]] -= 1
            kept.append(int(row))
    kept.sort()
    names, labels = (tuple(column[row] for row in kept) for column in (part.names, part.labels))
    return LayoutPart(names, labels, part.stratified)


def allot(counts: Mapping[str, int], most: int) -> dict[str, int]:
    """Share ``most`` seats among classes in proportion to their counts, one each first (largest remainder)."""
    total = sum(counts.values())
    if total <= most:
        return dict(counts)
    names = sorted(counts)
    if most <= len(names):
        return {name: int(place < most) for place, name in enumerate(sorted(names, key=lambda n: (-counts[n], n)))}
    spare = most - len(names)
    exact = {name: spare * (counts[name] - 1) / (total - len(names)) for name in names}
    seats = {name: 1 + int(exact[name]) for name in names}
    by_remainder = sorted(names, key=lambda name: (int(exact[name]) - exact[name], name))
    for name in by_remainder[: most - sum(seats.values())]:
        seats[name] += 1
    return seats


def _known(
    place: Path, names: Sequence[str], classes: Sequence[str], class_folder: ClassFolder | None
) -> dict[str, str]:
    """The files that one reading of the folders puts into a class that is known."""
    try:
        layout = infer_layout(place, names, class_folder=class_folder)
    except SampleError:
        return {}
    parts = [layout.train] if layout.test is None else [layout.train, layout.test]
    labels = ((n, as_known(label, classes)) for part in parts for n, label in zip(part.names, part.labels, strict=True))
    return {name: label for name, label in labels if label in classes}


def _gone(part: LayoutPart, rows: Rows, where: str) -> list[str]:
    """A note for each class of which no item was read."""
    if not part.stratified:
        return []
    there, read = Counter(part.labels), set(rows.labels)
    bad = {name for name, _ in rows.unreadable}
    failed = Counter(label for name, label in zip(part.names, part.labels, strict=True) if printable(name) in bad)
    fate = {label: "can be read" if failed[label] else "was drawn" for label in there}
    return [
        f"class {label!r}{where} left out: none of its {rows.modality.words.count(count)} {fate[label]}"
        for label, count in sorted(there.items())
        if label not in read
    ]


def _words(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.findall(r"[^\W\d_]+", spaced.lower())


def _leaning(name: str) -> str:
    """The part that one word of a folder's name means, where no other word means another part."""
    roles = {_ROLES[match[1]] for word in _words(name) if (match := _WORD.fullmatch(word))}
    return roles.pop() if len(roles) == 1 else ""


def _as_number(label: str) -> float | str:
    try:
        return float(label)
    except ValueError:
        return label


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")


def _folders(names: Iterable[str]) -> str:
    return _listed([f"{plain_name(name)}/" for name in sorted(names)])


def _without_folders(names: Sequence[str], words: Words) -> str:
    """What to do about items that lie in no class folder; where their names begin with words, those may be classes."""
    starts = Counter(match[0] for name in names if (match := re.match(r"[^\W\d_]+", PurePosixPath(name).name)))
    usual = (
        f"Put each {words.one} into a folder named as its class, or pass a table of the columns file, target: --labels."
    )
    if len(starts) > 1 and min(starts.values()) > 1:
        return (
            f"{usual} If names tell the class ({_listed(sorted(map(plain_name, starts)))}), write it into that table."
        )
    return usual


def _unwrapped(trails: _Trails, notes: _Notes) -> _Trails:
    """Look through folders around everything, leaving out what lies in no folder; a class has most files directly."""
    around, loose = [], 0
    while True:
        inside = {name: trail for name, trail in trails.items() if len(trail) > 1}
        loose += len(trails) - len(inside)
        trails = inside
        deeper = sum(len(trail) > 2 for trail in trails.values())
        if len({trail[0] for trail in trails.values()}) != 1 or 2 * deeper <= len(trails):
            break
        around.append(next(iter(trails.values()))[0])
        trails = {name: trail[1:] for name, trail in trails.items()}
    if around:
        notes.append(f"read from inside {plain_name('/'.join(around))}/")
    if loose:
        notes.append(f"{notes.words.count(loose)} outside any class folder ignored")
    return trails


def _below(trails: _Trails) -> dict[str, Counter[str]]:
    """For each outermost folder how many items lie in which folder below it; those that lie in none under ``""``."""
    below: dict[str, Counter[str]] = defaultdict(Counter)
    for trail in trails.values():
        below[trail[0]][trail[1] if len(trail) > 2 else ""] += 1
    return dict(below)


def _deep(below: Mapping[str, Counter[str]]) -> set[str]:
    """Folders most of whose items lie in folders below them."""
    return {head for head, inside in below.items() if 2 * inside[""] < inside.total()}


def _data_sets(trails: _Trails) -> list[str]:
    """The folders beside others that have train/ and test/ with class folders: each is a data set of its own."""
    below = _below(trails)
    split: dict[str, Counter[str]] = defaultdict(Counter)
    for trail in trails.values():
        if len(trail) > 3 and role_of(trail[1]):
            split[trail[0]][role_of(trail[1])] += 1
    whole = sorted(h for h, parts in split.items() if parts["train"] and 2 * parts.total() > below[h].total())
    return whole if len(below) > 1 and not any(map(role_of, whole)) else []


def _refuse_several(place: Path, trails: _Trails) -> None:
    if whole := _data_sets(trails):
        among = f"several data sets ({_folders(whole)})" if len(whole) > 1 else f"a data set in {_folders(whole)}"
        rest = {trail[0] for trail in trails.values()} - set(whole)
        beside = f" beside {_folders(rest)}" if rest else ""
        raise AmbiguousLayout(place, f"it holds {among}{beside}, not classes", f"Give one of them: {place / whole[0]}")


def _lifted(trails: _Trails, notes: _Notes) -> _Trails:
    """Where each class has its own train/ and test/ below it, bring those above the classes."""
    below = _below(trails)
    if len(below) < 2 or any(role_of(head) for head in below):
        return trails
    for inside in below.values():
        parts = {sub: count for sub, count in inside.items() if sub and role_of(sub)}
        if "train" not in map(role_of, parts) or 2 * sum(parts.values()) <= inside.total():
            return trails
    bare = sum(not (len(trail) > 2 and role_of(trail[1])) for trail in trails.values())
    notes.append("parts lie below the classes: train/ and test/ of all classes joined")
    if bare:
        notes.append(f"{notes.words.count(bare)} beside them taken for training")
    return {
        name: (trail[1], trail[0], *trail[2:]) if len(trail) > 2 and role_of(trail[1]) else ("train", *trail)
        for name, trail in trails.items()
    }


def _roles(trails: _Trails) -> dict[str, str]:
    """The folders that are parts, and which; none where no training part has company that agrees.

    A folder is a part by its name alone only where class folders lie in it and all others are named as parts too, or
    a test part is there; else where another part holds the same classes.
    """
    below = _below(trails)
    deep = _deep(below)
    sure = {head: role_of(head) for head in below if role_of(head)}
    deep_roles = {sure[head] for head in deep if head in sure}
    agreeing = _agreeing(_peeled(trails, {head for head in deep if _leaning(head)}), deep)
    if "train" in deep_roles and (len(sure) == len(below) or "test" in deep_roles):
        return {**{head: role for head, role in sure.items() if head in deep}, **agreeing}
    return agreeing


def _agreeing(trails: _Trails, deep: set[str]) -> dict[str, str]:
    """Folders named as training parts and as others that hold the same classes, most of the fewer."""
    classes = {
        head: {plain_name(sub).casefold() for sub in inside if sub}
        for head, inside in _below(trails).items()
        if head in deep and _leaning(head)
    }
    roles: dict[str, str] = {}
    for one, its in classes.items():
        for other, theirs in classes.items():
            overlapping = 2 * len(its & theirs) >= min(len(its), len(theirs)) > 0
            if overlapping and _leaning(one) == "train" != _leaning(other):
                roles |= {one: "train", other: _leaning(other)}
    return roles


def _peeled(trails: _Trails, heads: set[str]) -> _Trails:
    """Look through the one folder around all classes of a part (seg_train/seg_train/<class>)."""
    while True:
        only = {}
        below = {head: inside for head, inside in _below(trails).items() if head in heads}
        for head, inside in below.items():
            subs = [sub for sub in inside if sub]
            nested = sum(trail[0] == head and len(trail) > 3 for trail in trails.values())
            if len(subs) == 1 and 2 * nested > inside.total():
                only[head] = subs[0]
        plural = {sub for head, inside in below.items() if head not in only for sub in inside}
        only = {head: sub for head, sub in only.items() if sub not in plural}
        if not only:
            return trails
        trails = {
            name: (trail[0], *trail[2:]) if len(trail) > 2 and only.get(trail[0]) == trail[1] else trail
            for name, trail in trails.items()
        }


def _split_layout(
    place: Path, trails: _Trails, roles: Mapping[str, str], class_folder: ClassFolder | None, notes: _Notes
) -> Layout:
    inside: dict[str, _Trails] = {"train": {}, "test": {}, "validation": {}}
    for name, trail in trails.items():
        if trail[0] in roles and len(trail) > 2:
            inside[roles[trail[0]]][name] = trail[1:]
    by_role = defaultdict(list)
    for head, role in roles.items():
        by_role[role].append(head)
    notes += [f"{_folders(heads)} joined to one {role} part" for role, heads in by_role.items() if len(heads) > 1]
    for head, subs in sorted(_below(trails).items()):
        if head not in roles:
            inside_it = f"{notes.words.many} lie in it without class folders"
            why = inside_it if role_of(head) else f"no part, beside {_folders(roles)}"
            notes.append(f"{plain_name(head)}/ ignored ({notes.words.count(subs.total())}): {why}")
        elif subs[""]:
            notes.append(f"{notes.words.count(subs[''])} of {plain_name(head)}/ outside any class folder ignored")
    inside["train"] = _at_class(place, inside["train"], class_folder, notes)
    nested = class_folder is ClassFolder.INNER
    for role in ("test", "validation"):
        inside[role] = _shifted(inside[role], notes) if nested else inside[role]
        known = {plain_name(trail[0]) for trail in inside["train"].values()}
        inside[role] = _matching_names(role, inside[role], known, notes)
        if inside[role] and known.isdisjoint(plain_name(trail[0]) for trail in inside[role].values()):
            strange = _folders({trail[0] for trail in inside[role].values()})
            count = notes.words.count(len(inside[role]))
            notes.append(f"{role} part ignored ({count}): none of its folders ({strange}) is a class of train/")
            inside[role] = {}
    return _with_validation(place, inside, notes)


def _matching_names(role: str, trails: _Trails, known: set[str], notes: _Notes) -> _Trails:
    """A part's classes under the names that the training part has for them."""
    names = {trail[0]: as_known(plain_name(trail[0]), known) for trail in trails.values()}
    other = {old: new for old, new in names.items() if plain_name(old) != new}
    if other:
        listed = _listed([f"{plain_name(old)} as {plain_name(new)}" for old, new in sorted(other.items())])
        notes.append(f"{role} part: {listed}, as the training part writes it")
    return {name: (names[trail[0]], *trail[1:]) for name, trail in trails.items()}


def _at_class(place: Path, trails: _Trails, class_folder: ClassFolder | None, notes: _Notes) -> _Trails:
    """Trails that begin with the class: the outer folder, or the inner one where that was said.

    Raises:
        AmbiguousLayout: the same folders lie below several others, and nothing says which are the classes.
    """
    if class_folder is ClassFolder.INNER:
        return _shifted(trails, notes)
    below = _below(trails)
    heads = Counter(sub for inside in below.values() for sub in inside if sub)
    shared = {sub for sub, count in heads.items() if count > 1}
    held = sum(inside[sub] for inside in below.values() for sub in shared)
    if class_folder is None and len(shared) > 1 and 2 * held >= len(trails):
        raise AmbiguousLayout(
            place,
            f"the same folders ({_folders(shared)}) lie below several others ({_folders(below)}): "
            "either may be the classes, or the outer ones may be parts",
            f"Say --class-folder outer ({_folders(below)}) or --class-folder inner ({_folders(heads)}); "
            "name parts train/ and test/; or pass a table with --labels.",
        )
    nested = [head for head in _deep(below) if sum(bool(sub) for sub in below[head]) > 1]
    if class_folder is None and len(below) > 1 and 2 * sum(below[head].total() for head in nested) > len(trails):
        notes.append(
            f"classes are the outer folders ({_folders(below)}), not those below them ({_folders(heads)}): "
            "--class-folder inner makes them the inner ones"
        )
    elif class_folder is None and len(below) > 1 and (far := _far_below(trails)):
        notes.append(
            f"classes are the outermost folders ({_folders(below)}), not those deep below them ({_folders(far)})"
        )
    return trails


def _far_below(trails: _Trails) -> set[str]:
    """Folders more than one level below the outermost ones, where most items lie so deep and parted among several."""
    chains = Counter(trail[:-1] for trail in trails.values() if len(trail) > 3)
    parted = len(chains) > len({chain[0] for chain in chains})
    return {"/".join(chain) for chain in chains} if parted and 2 * chains.total() > len(trails) else set()


def _shifted(trails: _Trails, notes: _Notes) -> _Trails:
    inner = {name: trail[1:] for name, trail in trails.items() if len(trail) > 2}
    if left := len(trails) - len(inner):
        notes.append(f"{notes.words.count(left)} outside any inner folder ignored")
    return inner


def _with_validation(place: Path, inside: Mapping[str, _Trails], notes: _Notes) -> Layout:
    every = {name: trail for trails in inside.values() for name, trail in trails.items()}
    parts = {role: list(trails) for role, trails in inside.items()}
    notes += _validation_placed(parts["train"], parts)
    train, test = ({name: every[name] for name in parts[role]} for role in ("train", "test"))
    layout = Layout(_part(place, train, notes), _part(place, test, notes) if test else None, ())
    return replace(layout, notes=tuple(dict.fromkeys(notes)))


def _validation_placed(train: list[str], inside: dict[str, list[str]]) -> list[str]:
    """Join the validation part to the training part, or make it the test part where there is none; and say so."""
    validation = inside["validation"]
    if not validation:
        return []
    if inside["test"]:
        train += validation
        return [f"validation part ({len(validation)} files) joined to the training part"]
    inside["test"] = validation
    return ["no test part: the validation part is used as one"]


def _part(place: Path, trails: _Trails, notes: _Notes) -> LayoutPart:
    """The files with their classes; folders whose names only differ in how letters are composed are one class.

    Raises:
        NoItems: none is left.
        AmbiguousLayout: two different names read alike.
    """
    if not trails:
        raise NoItems(place, f"{notes.words.many} in class folders")
    shown: dict[str, set[str]] = defaultdict(set)
    for trail in trails.values():
        shown[plain_name(trail[0])].add(trail[0])
    for label, names in shown.items():
        if len({printable(name) for name in names}) < len(names):
            raise AmbiguousLayout(place, f"two folders both read {label!r}", "Rename one of them.")
        if len(names) > 1:
            notes.append(f"{len(names)} folders named {label!r}, their letters composed differently, are one class")
    return LayoutPart(tuple(trails), tuple(plain_name(trail[0]) for trail in trails.values()))
