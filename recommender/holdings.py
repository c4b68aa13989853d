"""Requests about the registry's checkpoints: add, search a hub, fetch, see what has changed there, lock, remove.

Nothing that learns is loaded, so that a list of files is there at once. `recommender.service`
performs these requests too, by way of this.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from recommender.checks import check_request
from recommender.imports import forget_import, import_results
from recommender.observer import Observer
from recommender.requests import (
    AddRequest,
    DiskRequest,
    FetchDataRequest,
    FetchRequest,
    ForgetRequest,
    HoldingsRequest,
    ImportRequest,
    LockRequest,
    RemoveRequest,
    SearchRequest,
    SyncRequest,
    When,
)
from recommender.results import Imported, OutcomeSource
from registry import upstream
from registry.cards import Checkpoint
from registry.errors import AlreadyThere, CheckpointError, DiskFull, HubError, NameHeld, UnusableRequest
from registry.forms import Record
from registry.hub import Hub, HubModel
from registry.hub_data import HubData, fetch_data
from registry.lock import Restored, lock, read_lock, restore, write_lock
from registry.object_cache import CachedFolder, ObjectCache
from registry.sample import Sample
from registry.state_dicts import add_state_dict
from registry.upstream import Change, Usage
from registry.zoo import Zoo

__all__ = [
    "Disk",
    "Fetched",
    "LockFile",
    "Locking",
    "Removed",
    "Restorations",
    "Searched",
    "Unfetched",
    "Upstream",
    "manage",
]


@dataclass(frozen=True)
class Searched(Record):
    """What a hub has, best first, and which rows of it were registered."""

    models: tuple[HubModel, ...]
    added: tuple[Checkpoint, ...] = ()


@dataclass(frozen=True)
class Unfetched(Record):
    """A checkpoint that could not be fetched."""

    checkpoint: str
    why: str
    remedy: str


@dataclass(frozen=True)
class Fetched(Record):
    """Checkpoints whose weights are here now, and those that could not be fetched."""

    fetched: tuple[Checkpoint, ...]
    failed: tuple[Unfetched, ...] = ()


@dataclass(frozen=True)
class Upstream(Record):
    """How the repository of every checkpoint of a hub stands."""

    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Restorations(Record):
    """What became of every checkpoint of a lock."""

    rows: tuple[Restored, ...]

    @property
    def sound(self) -> bool:
        """Whether all of them are here exactly as they were locked."""
        return all(row.sound for row in self.rows)


@dataclass(frozen=True)
class Removed(Record):
    """A checkpoint that is forgotten, and the bytes that this freed."""

    checkpoint: str
    freed: int


@dataclass(frozen=True)
class Disk(Record):
    """What a hub's cache holds, and where it lies; and what was fetched of shared objects."""

    cache: Path
    repositories: tuple[Usage, ...]
    objects: "Fetches | None" = None
    """What lies here of shared objects; None where none are shared."""


@dataclass(frozen=True)
class Fetches(Record):
    """The local cache of shared objects."""

    url: str
    """Where they are shared."""
    folder: Path
    folders: tuple[CachedFolder, ...]
    bytes: int
    bound: int

    @classmethod
    def of(cls, shared: ObjectCache) -> "Fetches":
        """What lies in a cache now."""
        folders = shared.folders()
        return cls(shared.objects.url, shared.folder, folders, sum(one.bytes for one in folders), shared.bound)


@dataclass(frozen=True)
class Locking(Record):
    """A checkpoint of a lock: its files, and the digest of its weights."""

    checkpoint: str
    files: int
    bytes: int
    digest: str


@dataclass(frozen=True)
class LockFile(Record):
    """A lock that was written."""

    file: Path
    checkpoints: tuple[Locking, ...]


def manage(  # noqa: PLR0911 - one case a kind
    request: HoldingsRequest, zoo: Zoo, observer: Observer | None = None
) -> (
    Checkpoint
    | Searched
    | Fetched
    | Upstream
    | Restorations
    | Removed
    | Disk
    | LockFile
    | Imported
    | OutcomeSource
    | HubData
):
    """Do what is asked for, and give what came of it.

    Raises:
        TransferZooError: it cannot be done, or failed.
        Cancelled: the observer wanted no more; what was finished is kept.
    """
    watcher = observer or Observer()
    check_request(request, zoo)
    match request:
        case AddRequest():
            card = _added(request, zoo, watcher)
            return card if request.max_input is None else zoo.use_inputs_up_to(card.name, request.max_input)
        case SearchRequest():
            return _searched(request, zoo, watcher)
        case FetchRequest():
            return _fetched(request.names, zoo, watcher)
        case FetchDataRequest():
            return fetch_data(
                zoo.home,
                request.hub,
                config=request.config,
                split=request.split,
                label=request.label,
                rows=request.rows,
                progress=watcher,
            )
        case SyncRequest(locked=None):
            return Upstream(upstream.sync(zoo, progress=watcher))
        case SyncRequest():
            return Restorations(restore(zoo, read_lock(Path(str(request.locked))), request.source))
        case RemoveRequest():
            return Removed(request.name, upstream.remove(zoo, request.name, weights=request.weights))
        case DiskRequest():
            hub = Hub()
            shared = zoo.home.shared
            return Disk(hub.cache, upstream.disk(zoo, hub=hub), None if shared is None else Fetches.of(shared))
        case LockRequest():
            return _locked(request.file, zoo)
        case ImportRequest():
            return import_results(request, zoo)
        case ForgetRequest():
            return forget_import(request, zoo)
    raise TypeError(f"{type(request).__name__} is no request about what the registry holds")


def _added(request: AddRequest, zoo: Zoo, observer: Observer) -> Checkpoint:
    named, license = request.name, request.license
    if request.folder is None:
        weights = request.weights is When.NOW
        return upstream.add(zoo, str(request.hub), name=named, weights=weights, license=license, progress=observer)
    if request.architecture is not None:
        domain = request.domain
        return add_state_dict(
            zoo, request.folder, request.architecture, name=named, license=license, domain=domain, progress=observer
        )
    source = None
    if request.source_data is not None:
        source = Sample.from_folder(request.source_data, keep_duplicates=True, progress=observer)
        observer.on_sample(source)
    return zoo.add(request.folder, name=named, source=source, license=license, domain=request.domain, progress=observer)


def _searched(request: SearchRequest, zoo: Zoo, observer: Observer) -> Searched:
    known = {card.locator.hub for card in zoo.checkpoints() if card.locator is not None}
    hub = Hub()
    rows = hub.search(
        request.words,
        task=request.task,
        license=request.license,
        max_parameters=request.max_parameters,
        sort=request.sort.value,
        limit=request.limit,
    )
    zoo.keep_downloads({row.hub: row.downloads for row in rows})
    if not all(number <= len(rows) for number in request.add):
        numbers = ",".join(map(str, request.add))
        why = f"{numbers!r} names no rows of {len(rows)}"
        raise UnusableRequest(request.kind, "--add", why, "Write their numbers: 1,3.")
    chosen = dict.fromkeys(rows[number - 1].hub for number in request.add)
    added = tuple(upstream.add(zoo, one, hub=hub, progress=observer) for one in chosen)
    counts = {one.hub: one.parameters for one in zoo.listings() if one.parameters is not None}
    counts |= {card.locator.hub: card.parameters for card in zoo.checkpoints() if card.locator is not None}
    counted = (replace(row, parameters=counts[row.hub], counted=True) if row.hub in counts else row for row in rows)
    return Searched(tuple(replace(row, in_zoo=row.hub in known) for row in counted), added)


def _fetched(names: Sequence[str], zoo: Zoo, observer: Observer) -> Fetched:
    """Each of them; where it is one alone, why it cannot be fetched is raised."""
    cards: list[Checkpoint] = []
    failed: list[Unfetched] = []
    for name in names:
        try:
            cards.append(upstream.fetch(zoo, name, progress=observer))
        except (HubError, CheckpointError, DiskFull, AlreadyThere, NameHeld) as failure:
            if len(names) == 1:
                raise
            failed.append(Unfetched(name, str(failure), failure.remedy))
    return Fetched(tuple(cards), tuple(failed))


def _locked(file: Path, zoo: Zoo) -> LockFile:
    entries = lock(zoo)
    write_lock(file, entries)
    rows = (Locking(one.card.name, len(one.files), one.bytes, one.card.digest) for one in entries)
    return LockFile(file, tuple(rows))
