"""Checks of a request before any item is read: names that do not exist, places where nothing lies."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from recommender.considered import MOST_READ
from recommender.distance import distances
from recommender.requests import (
    AddDomainRequest,
    AddRequest,
    BenefitRequest,
    CompareRequest,
    ExportRequest,
    FetchDataRequest,
    FetchRequest,
    NearRequest,
    PredictRequest,
    PromoteRequest,
    RecommendRequest,
    Request,
    ResumeRequest,
    SyncRequest,
    TuneRequest,
)
from recommender.runs.folder import find_run
from recommender.strategies import strategies
from recommender.workers import require_workers
from registry.cards import UNKNOWN_LICENSE, Checkpoint, Wanted
from registry.errors import FolderUnusable, NoCandidates, PathMissing, UnknownName
from registry.home import Home
from registry.hub import parse_hub_id
from registry.licenses import Licenses, permits, require_license
from registry.listings import Listing
from registry.plugins import Plugins
from registry.readers.archive import require_sound
from registry.zoo import Zoo

__all__ = ["check_request", "require_advice", "require_domain", "require_names", "require_places"]

_KEPT = 200
"""Recommendations, the newest first, among which a misspelt id is looked for."""


def check_request(request: Request, zoo: Zoo) -> None:  # noqa: PLR0912 - one case a kind
    """All that would be refused before anything is read; what may be written is tried.

    Raises:
        SampleError: a path of it cannot be used.
        UnknownName: a name of it names nothing.
        DeviceMissing: there is no such device.
        UnusableHubId: it names no checkpoint of a hub.
        FolderUnusable: its picture or table cannot be written.
        HomeUnusable: it must be kept, and the home is read-only.
    """
    _check_home(request, zoo.home)
    match request:
        case RecommendRequest():
            require_places(*request.sample.places)
            require_names(zoo, licenses=request.licenses, exclude=request.exclude, recommendation=request.continues)
            require_workers(request.executor)
            _require_file(request.suspects)
        case TuneRequest():
            require_places(*request.sample.places, request.source_data)
            require_names(
                zoo,
                checkpoint=request.checkpoint,
                strategy=request.strategy,
                recommendation=request.recommendation,
                device=request.device,
                executor=request.executor,
                tracker=request.tracker,
            )
        case BenefitRequest():
            require_places(*request.sample.places)
            require_names(zoo, checkpoint=request.checkpoint, strategy=request.strategy)
            _require_writable(request.picture, zoo.home)
        case CompareRequest():
            require_places(*request.sample.places)
            require_domain(zoo, request.other)
            require_names(zoo, distance=request.metric, checkpoint=request.through)
        case NearRequest() | AddDomainRequest():
            require_places(*request.sample.places)
            require_names(zoo, distance=request.metric if isinstance(request, NearRequest) else None)
        case AddRequest():
            require_places(request.folder, request.source_data)
            if request.license is not None:
                require_license(request.license)
            if request.hub is not None:
                parse_hub_id(request.hub)
            if request.domain is not None and request.source_data is None:
                zoo.domain(request.domain)
        case FetchDataRequest():
            parse_hub_id(request.hub)
        case SyncRequest():
            require_places(request.locked, *request.source)
        case PredictRequest():
            require_places(request.path, request.labels)
        case _:
            pass


def _check_home(request: Request, home: Home) -> None:
    """What must be kept can be, and the run that is meant is there."""
    if isinstance(
        request,
        TuneRequest | ResumeRequest | AddRequest | AddDomainRequest | PromoteRequest | FetchRequest | FetchDataRequest,
    ):
        home.require_writable()
    if isinstance(request, ResumeRequest | PredictRequest | ExportRequest | PromoteRequest):
        find_run(home, request.run)


def require_places(*places: Path | str | None) -> None:
    """Something lies at each of them, and what is a zip may be opened; None is left out.

    Raises:
        PathMissing: nothing lies there.
        NoItems: a zip that is none, or that holds no item.
        UnsafeArchive: a zip that must not be opened.
    """
    for place in places:
        if place is None:
            continue
        path = Path(place).expanduser()
        try:
            there = path.exists()
        except OSError as cause:
            raise PathMissing(path) from cause
        if not there:
            raise PathMissing(path)
        if path.suffix.lower() == ".zip" and path.is_file():
            require_sound(path)


def require_names(  # noqa: PLR0913 - each names something else
    zoo: Zoo,
    *,
    checkpoint: str | None = None,
    strategy: str | None = None,
    recommendation: str | None = None,
    distance: str | None = None,
    licenses: Iterable[str] = (),
    exclude: Iterable[str] = (),
    device: str = "auto",
    executor: str = "local",
    tracker: str = "mlflow",
) -> None:
    """Each of them names something.

    Raises:
        UnknownName: there is no such checkpoint, strategy, recommendation, distance, license, executor or tracker.
        NotHere: the checkpoint is known, and its weights are not fetched.
        PluginUnusable: it is brought by a plug-in that cannot be loaded.
        NoCandidates: nothing is under these licenses, base model and training data included.
        DeviceMissing: there is no such device.
    """
    for name in (name for name in exclude if zoo.listing(name) is None):
        zoo.checkpoint(name)
    if checkpoint is not None:
        zoo.require_here(zoo.checkpoint(checkpoint))
    if strategy is not None:
        _require_listed("strategy", strategy, strategies)
    if distance is not None:
        _require_listed("distance", distance, distances)
    if executor != "local":
        from recommender.runs.executors import executors  # noqa: PLC0415 - loads scikit-learn and torch

        _require_listed("executor", executor, executors)
    if tracker != "mlflow":
        from recommender.runs.tracking import trackers  # noqa: PLC0415 - as above

        _require_listed("tracker", tracker, trackers)
    if recommendation is not None:
        require_advice(zoo, recommendation)
    _require_licenses(zoo, licenses)
    if device not in {"auto", "cpu"}:
        from recommender.runs.devices import resolve  # noqa: PLC0415 - loads torch

        resolve(device)


def require_advice(zoo: Zoo, name: str) -> Mapping[str, Any]:
    """The kept advice of that id.

    Raises:
        UnknownName: there is none.
    """
    kept = zoo.advice(name)
    if kept is None:
        raise UnknownName("recommendation", name, [str(advice["id"]) for _, advice in zoo.kept(_KEPT)])
    return kept


def require_domain(zoo: Zoo, place: str) -> Path | None:
    """The folder or zip that is meant, or None where it is the name of a known domain.

    Raises:
        UnknownName: neither lies anything there nor is there a domain of that name.
        PathMissing: it is a path, and nothing lies there.
    """
    path = Path(place).expanduser()
    if path.exists() or len(path.parts) > 1 or path.suffix.lower() == ".zip":
        require_places(path)
        return path
    zoo.domain(place)
    return None


def _require_writable(picture: Path | None, home: Home) -> None:
    """Before minutes of work, not after; what has no place of its own is kept in the home."""
    if picture is None:
        home.require_writable()
    _require_file(picture)


def _require_file(place: Path | None) -> None:
    """A file may be written there, where one is named."""
    if place is None:
        return
    try:
        place.touch()
    except OSError as cause:
        raise FolderUnusable(place, cause.strerror or str(cause)) from cause


def _require_listed(what: str, name: str, known: Plugins[Any]) -> None:
    """Require that name among the plug-ins; a package's is loaded for that, as it may be unusable."""
    if name not in known:
        raise UnknownName(what, name, [*known])
    if name in known.brought:
        known[name]


def _require_licenses(zoo: Zoo, wanted: Iterable[str]) -> None:
    """Each is a license, and together they admit at least one checkpoint that is known here."""
    names = tuple(wanted)
    for name in names:
        require_license(name)
    if zoo.checkpoint_count(Wanted()) > MOST_READ and any(permits(one, names) for one in zoo.stated_licenses()):
        return
    cards: list[Checkpoint | Listing] = [*zoo.checkpoints(), *zoo.listings()]
    of = zoo.licenses_once()
    licenses = [of(card) for card in cards if names]
    if not licenses or any(one.objection(names) is None for one in licenses):
        return
    if any(Licenses(one.weights).objection(names) is None for one in licenses):
        raise NoCandidates(
            f"the weights of some are under {' or '.join(names)}, but none with its base model and training data",
            _license_lacking(licenses, names),
        )
    known = sorted({license for one in licenses for license in one.weights} - {UNKNOWN_LICENSE})
    raise UnknownName("checkpoint's license", " or ".join(names), known)


def _license_lacking(licenses: Iterable[Licenses], names: tuple[str, ...]) -> str:
    """Which license to take, too, so that most more are within; empty where all that is lacking is unknown."""
    lacking = Counter(name for one in licenses if (name := one.lacking(names)) is not None)
    hints = [f"--license {name!r}" for name, _ in lacking.most_common(2)]
    return f"Take, too: {' or '.join(hints)}." if hints else ""
