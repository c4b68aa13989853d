"""Doctor: is what is stored still true? Checks, and repairs that lose nothing that is sound."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from importlib import import_module
from pathlib import Path
from shutil import rmtree

import numpy as np
import psutil

from registry.cards import Checkpoint, Domain, Origin
from registry.damages import quarantined
from registry.errors import CacheDamaged, ObjectsError, RegistryCorrupt, TransferZooError, UnknownName
from registry.features import Encoded
from registry.forms import Record
from registry.home import Home
from registry.inspection import has_weights, weights_digest
from registry.object_cache import CachedFolder, ObjectCache
from registry.progress import Phase, Progress, advance, silent
from registry.sample import Sample
from registry.sketch import Lens
from registry.store import Damage, Store, damaged_rows, salvage
from registry.zoo import Zoo

__all__ = ["Check", "Diagnosis", "Finding", "FindingKind", "Report", "check", "examine", "repair"]


_MOST_FAULTS = 3
"""Files that a finding names."""
_COMPARED_AT_ONCE = 4096


class FindingKind(StrEnum):
    """What is not as it should be."""

    DATABASE = "database"
    ROW = "row"
    INDEX = "index"
    CHECKPOINT = "checkpoint"
    SKETCH = "sketch"
    FEATURES = "features"
    JOB = "job"
    RUN = "run"
    TRACKING = "tracking"
    LEFTOVER = "leftover"
    OBJECT = "object"


@dataclass(frozen=True)
class Finding(Record):
    """One thing that is wrong, what to do about it, and what was done."""

    kind: FindingKind
    subject: str
    what: str
    remedy: str
    done: str = ""
    """What the repair did; empty where nothing was done."""


@dataclass(frozen=True)
class Report(Record):
    """All that was found."""

    findings: tuple[Finding, ...]
    quarantined: tuple[str, ...] = ()
    """Where rows and databases lie that were found damaged, now or before, and kept aside."""
    mendable: int = 0
    """How many of the findings a repair would mend."""

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong, or nothing any more."""
        return all(finding.done for finding in self.findings)

    def to_form(self) -> "ReportForm":
        """Schema 1, with whether all is well."""
        return ReportForm(self.healthy, self.findings, self.quarantined)


@dataclass(frozen=True)
class ReportForm:
    """`Report` as it is printed."""

    healthy: bool
    findings: tuple[Finding, ...]
    quarantined: tuple[str, ...]
    schema: int = 1


Mend = Callable[[], str]
"""A repair; gives what it did."""
Diagnosis = tuple[Finding, Mend | None]
"""A finding with its repair, where there is a safe one."""
Check = Callable[[Zoo], Iterator[Diagnosis]]


def check(
    home: Path | str | None = None,
    *,
    mend: bool = False,
    catalog: Path | None = None,
    also: Sequence[Check] = (),
    deep: bool = False,
    progress: Progress = silent,
) -> Report:
    """Examine (and with ``mend`` repair) the registry of a home, even one whose database does not open.

    ``also`` are checks of what lies in the home beside the registry: runs, say. ``deep`` reads every shared file.

    Raises:
        HomeUnusable: the home cannot be read or written.
        RegistryNewer: a later transferzoo wrote it.
    """
    try:
        zoo = Zoo.open(home, catalog=catalog, mend=False, progress=progress)
    except RegistryCorrupt as cause:
        place = Home.find(home)
        finding = Finding(FindingKind.DATABASE, cause.path, cause.why, cause.remedy)
        if not (mend and place.writable) or place.registry is not None:
            return Report((finding,), mendable=int(place.writable and place.registry is None))
        done = _rescue(place)
        zoo = Zoo.open(home, catalog=catalog, mend=False, progress=progress)
        rest = repair(zoo, also=also, deep=deep, progress=progress)
        return Report((replace(finding, done=done), *rest.findings), rest.quarantined)
    with zoo:
        return (repair if mend else examine)(zoo, also=also, deep=deep, progress=progress)


def examine(zoo: Zoo, *, also: Sequence[Check] = (), deep: bool = False, progress: Progress = silent) -> Report:
    """Everything that is wrong; changes nothing."""
    diagnoses = list(_findings(zoo, also, progress, deep=deep))
    mendable = sum(mend is not None for _, mend in diagnoses) if zoo.home.writable else 0
    return Report(tuple(finding for finding, _ in diagnoses), _kept_aside(zoo), mendable)


def repair(zoo: Zoo, *, also: Sequence[Check] = (), deep: bool = False, progress: Progress = silent) -> Report:
    """Everything that is wrong, after what can be mended safely was mended."""
    mended = []
    for finding, mend in _findings(zoo, also, progress, deep=deep):
        try:
            mended.append(replace(finding, done=mend()) if mend else finding)
        except TransferZooError as cause:
            mended.append(replace(finding, what=f"{finding.what}; the repair failed: {cause}"))
    return Report(tuple(mended), _kept_aside(zoo))


def _findings(zoo: Zoo, also: Sequence[Check], progress: Progress, *, deep: bool) -> Iterator[Diagnosis]:
    """Every finding with its repair, where there is a safe one. Later checks rely on the repairs of earlier ones."""
    contents = (_contents,) if deep else ()
    rest = (_cache, _sketches, _index, _features, _jobs, _leftovers, *also)
    checks: Sequence[Check] = (_database, _checkpoints, *contents, _objects, *rest)
    for done, check in enumerate(checks):
        advance(progress, Phase.EXAMINE, done, len(checks))
        try:
            yield from list(check(zoo))
        except RegistryCorrupt as cause:
            yield Finding(FindingKind.DATABASE, check.__name__.strip("_"), cause.why, cause.remedy), None
        except ObjectsError as cause:
            if check is _objects:  # for the others it is the same, and was said
                yield Finding(FindingKind.OBJECT, str(zoo.home.objects), str(cause), cause.remedy), None
    advance(progress, Phase.EXAMINE, len(checks), len(checks))


def _database(zoo: Zoo) -> Iterator[Diagnosis]:
    damage = damaged_rows(zoo.store.database)
    complaints = [one.why for one in damage if one.table == "file"]
    if complaints and zoo.store.database.index_differs(complaints):
        remedy = "Make its indexes anew from its tables."
        yield (
            Finding(FindingKind.DATABASE, zoo.store.database.where, "; ".join(complaints), remedy),
            partial(_reindexed, zoo),
        )
    elif complaints:
        what = "; ".join(complaints)
        remedy = "The repair takes over what is sound into a new database."
        yield Finding(FindingKind.DATABASE, zoo.store.database.where, what, remedy), partial(_rescued, zoo)
        return
    for one in damage:
        if one.table != "file":
            what = f"it {one.why}: it was changed from outside"
            remedy = "The repair sets it aside; what the catalog has comes back, the rest must be added again."
            yield Finding(FindingKind.ROW, f"{one.table}: {one.key}", what, remedy), partial(_quarantine, zoo, one)


def _checkpoints(zoo: Zoo) -> Iterator[Diagnosis]:
    for card in zoo.checkpoints():
        if not has_weights(card.folder) and (zoo.here(card) or (card.locator is not None and card.folder.is_dir())):
            continue  # it is shared or of a hub, and was not fetched
        why = _wrong_with(card)
        if why:
            remedy = f"Add it again from where it lies now: `transferzoo zoo add FOLDER --name {card.name}`."
            yield Finding(FindingKind.CHECKPOINT, card.name, why, remedy), None


def _wrong_with(card: Checkpoint) -> str:
    if not card.folder.is_dir():
        return f"its folder {card.folder} is gone"
    try:
        changed = weights_digest(card.folder) != card.digest
    except OSError as cause:
        return f"its weights cannot be read: {cause}"
    return f"the weights in {card.folder} are not those that were registered" if changed else ""


def _contents(zoo: Zoo) -> Iterator[Diagnosis]:
    """Shared files that have another content than their digest says. What is removed is missing, and so uploaded."""
    shared = zoo.home.shared
    if shared is None:
        return
    for digest in shared.objects.damaged():
        remedy = "Remove it: it is uploaded again where it was made."
        finding = Finding(FindingKind.OBJECT, digest, "what is shared of it has another content", remedy)
        yield finding, partial(_no_longer_shared, shared, digest)


def _objects(zoo: Zoo) -> Iterator[Diagnosis]:
    """Checkpoints that are to be shared and are not, or not whole: what is missing or has another size."""
    shared = zoo.home.shared
    if shared is None:
        return
    shared.objects.require_there()
    for card in zoo.checkpoints():
        if card.locator is not None or card.origin is Origin.SEEDLING:
            continue
        faults = shared.objects.faults(card.objects) if card.objects else ("no other machine can open it",)
        if not faults:
            continue
        mine = zoo.store.checkpoints(name=card.name)[0].folder
        what = f"it is not shared: {'; '.join(faults[:_MOST_FAULTS])}"
        if mine.is_dir() and not _wrong_with(replace(card, folder=mine)):
            yield Finding(FindingKind.OBJECT, card.name, what, "Upload it."), partial(_shared_again, zoo, card.name)
        else:
            remedy = "Run `transferzoo doctor --repair` on the machine where its files lie."
            yield Finding(FindingKind.OBJECT, card.name, what, remedy), None


def _cache(zoo: Zoo) -> Iterator[Diagnosis]:
    """Folders that were fetched and are not what was fetched; more of them than the bound allows."""
    shared = zoo.home.shared
    if shared is None:
        return
    for cached in shared.folders():
        if why := shared.damage(cached):
            finding = Finding(
                FindingKind.OBJECT, str(cached.path / cached.name), why, "Remove it: it is fetched again."
            )
            yield finding, partial(_uncached, shared, cached)
    size = sum(cached.bytes for cached in shared.folders())
    if size > shared.bound:
        what = f"it holds {size / 1e6:,.1f} MB, more than the bound of {shared.bound / 1e6:,.1f} MB"
        finding = Finding(FindingKind.OBJECT, str(shared.folder), what, "Remove what was not used for long.")
        yield finding, partial(_within_bound, shared)


def _sketches(zoo: Zoo) -> Iterator[Diagnosis]:
    """Domains that were seen through another lens than today's only."""
    today = {lens.digest for lens in _lenses(zoo)}
    cards = {card.name: card for card in zoo.domains()}
    current = {domain for _, domain, lens in zoo.store.sketched() if lens in today}
    for number, domain, lens in zoo.store.sketched():
        if lens in today:
            continue
        what = f"its sketch was made through another lens ({lens[:12]}) and is compared with nothing"
        if domain in current:
            old = Finding(FindingKind.SKETCH, domain, f"an old sketch of it is left (lens {lens[:12]})", "Drop it.")
            yield old, partial(_dropped, zoo, number)
        elif domain not in cards:  # its card is damaged, which is a finding already
            continue
        elif Path(cards[domain].data or "/nowhere").exists():
            remedy = f"Look at {cards[domain].data} through today's lens."
            yield Finding(FindingKind.SKETCH, domain, what, remedy), partial(_sketched_anew, zoo, cards[domain], number)
        else:
            yield Finding(FindingKind.SKETCH, domain, what, "Add its checkpoint again with --source-data."), None


def _index(zoo: Zoo) -> Iterator[Diagnosis]:
    """An index file that is damaged, or that holds other vectors than the database."""
    rooms = import_module("registry.index")
    for lens in _lenses(zoo):
        path = zoo.index_path(lens)
        if not path.exists():
            continue
        kept = rooms.DomainIndex.load(path, zoo.index_stamp(lens))
        if kept is None or not _agrees(zoo, lens, kept.numbers, kept.vectors):
            what = "it is damaged, or was made of something else" if kept is None else "it differs from the database"
            remedy = "Make it anew from the database."
            repair = "removed; the next search makes it anew"
            yield Finding(FindingKind.INDEX, str(path), what, remedy), partial(_removed, path, repair)


def _agrees(zoo: Zoo, lens: Lens, numbers: np.ndarray, vectors: np.ndarray) -> bool:
    """Whether those of the index's vectors that the database has are the database's."""
    common = np.flatnonzero(np.isin(numbers, zoo.store.sketch_numbers(lens.digest)))
    for start in range(0, len(common), _COMPARED_AT_ONCE):
        held = {int(numbers[place]): vectors[place] for place in common[start : start + _COMPARED_AT_ONCE]}
        there = zoo.store.embeddings([*held])
        if not all(np.array_equal(embedding, held[number]) for number, embedding in there.items()):
            return False
    return True


def _features(zoo: Zoo) -> Iterator[Diagnosis]:
    """Kept features that no registered checkpoint gives any more, or that are not what was kept."""
    known = {zoo.encodings.recipe(card) for card in zoo.checkpoints()}
    for path in sorted(zoo.home.features.glob("*.safetensors")):
        orphaned = path.name[:32] not in known
        what = "no registered checkpoint gives these features" if orphaned else _wrong_in(path)
        if what:
            finding = Finding(
                FindingKind.FEATURES, path.name, f"{what} ({path.stat().st_size / 1e6:.1f} MB)", "Remove it."
            )
            yield finding, partial(_removed, path)


def _wrong_in(path: Path) -> str:
    try:
        Encoded.load(path, path.stem)
    except CacheDamaged as cause:
        return cause.why
    return ""


def _jobs(zoo: Zoo) -> Iterator[Diagnosis]:
    for job in zoo.jobs.dead():
        what = f"the {job.kind} job counts as {job.state}, but its process {job.pid} on {job.host} is gone"
        finding = Finding(FindingKind.JOB, job.id, what, "Start the same again: it goes on where it stopped.")
        yield finding, partial(_reaped, zoo)


def _leftovers(zoo: Zoo) -> Iterator[Diagnosis]:
    """Half-written files of processes that were killed, and folders of checkpoints that were never registered."""
    for path in sorted(path for place in _litter(zoo.home) for path in place.glob("*.tmp") if path.is_file()):
        process = path.suffixes[-2][1:] if len(path.suffixes) > 1 else ""
        if not (process.isdigit() and psutil.pid_exists(int(process))):
            finding = Finding(FindingKind.LEFTOVER, str(path), "a killed process left it half written", "Remove it.")
            yield finding, partial(_removed, path)
    kept = {card.folder for card in zoo.checkpoints()}
    for folder in sorted(path for path in zoo.home.checkpoints.glob("*") if path.is_dir() and path not in kept):
        process = folder.name.split(".")[-2] if folder.name.endswith(".tmp") else ""
        if not (process.isdigit() and psutil.pid_exists(int(process))):
            finding = Finding(FindingKind.LEFTOVER, str(folder), "no registered checkpoint lies there", "Remove it.")
            yield finding, partial(_removed_folder, folder)


def _lenses(zoo: Zoo) -> list[Lens]:
    findings = []
    for modality in {card.modality for card in zoo.domains()}:
        try:
            findings.append(zoo.lens(modality))
        except UnknownName:
            continue
    return findings


def _litter(home: Home) -> Iterator[Path]:
    """Folders of a home in which files are written and then renamed."""
    yield from (home.root, home.features, home.damaged, home.root / "jobs", home.checkpoints)
    for above in (home.runs, home.root / "uploads", home.checkpoints):
        yield from sorted(path for path in above.glob("*") if path.is_dir())


def _kept_aside(zoo: Zoo) -> tuple[str, ...]:
    return tuple(str(path) for path in quarantined(zoo.home))


def _quarantine(zoo: Zoo, damage: Damage) -> str:
    """Move a damaged row out of the database into a file, and let the catalog's come back."""
    place = zoo.quarantine(damage)
    zoo.load_catalog(again=True)
    return f"set aside in {place}; the catalog was read again"


def _reindexed(zoo: Zoo) -> str:
    """Make the indexes anew; where rows themselves are damaged, so that it cannot be done, take over what is sound."""
    try:
        zoo.store.database.reindex()
    except RegistryCorrupt:
        return _rescued(zoo)
    return "the indexes were made anew"


def _rescued(zoo: Zoo) -> str:
    done = _rescue(zoo.home)
    zoo.load_catalog(again=True)
    return done


def _rescue(home: Home) -> str:
    """Put a damaged database aside and take over into a new one what of it is sound."""
    number = 1
    while (aside := home.database.with_name(f"registry.damaged-{number}.db")).exists():
        number += 1
    for suffix in ("-wal", "-shm", ""):
        part = home.database.with_name(home.database.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    fresh = Store.open(home.database)
    if not aside.exists():
        return "a new database was made"
    taken = salvage(fresh.database, aside)
    counts = ", ".join(f"{count} {table}" for table, (count, _) in taken.items() if count) or "nothing"
    lost = ", ".join(f"{unsound} {table}" for table, (_, unsound) in taken.items() if unsound)
    left = f" ({lost} are damaged and were not)" if lost else ""
    return f"a new database was made and {counts} taken over{left}; the damaged one is kept as {aside}"


def _sketched_anew(zoo: Zoo, card: Domain, number: int) -> str:
    """Sketch a domain whose data are at hand through today's lens, if they are still the same."""
    readings = (Sample.from_folder(card.data, keep_duplicates=keep) for keep in (True, False))
    source = next((read for read in readings if read.digest == card.digest), None)
    if source is None:
        return ""
    zoo.sketch_anew(card.name, source)
    zoo.store.drop_sketch(number)
    return f"{len(source.items)} rows of {card.data} were looked at through today's lens"


def _dropped(zoo: Zoo, number: int) -> str:
    zoo.store.drop_sketch(number)
    return "dropped"


def _reaped(zoo: Zoo) -> str:
    zoo.jobs.reap()
    return "queued again, or marked as lost where it was begun often enough"


def _shared_again(zoo: Zoo, name: str) -> str:
    zoo.share(name)
    return "uploaded"


def _no_longer_shared(shared: ObjectCache, digest: str) -> str:
    shared.objects.drop(digest)
    return "removed"


def _uncached(shared: ObjectCache, cached: CachedFolder) -> str:
    return "removed" if shared.remove(cached) else ""


def _within_bound(shared: ObjectCache) -> str:
    freed = shared.make_room()
    return f"{freed / 1e6:,.1f} MB were removed" if freed else ""


def _removed_folder(path: Path) -> str:
    rmtree(path, ignore_errors=True)
    return "removed"


def _removed(path: Path, repair: str = "removed") -> str:
    path.unlink(missing_ok=True)
    return repair
