"""Upstream: what the registry has of a hub. Add a repository, search, fetch weights, see what has changed, remove.

A card is judged before its weights are here: their headers, read by ranges, are laid into files of the right size, and
all that config and headers tell is checked on these, as on a folder. A commit that is pinned stays; what has moved at
its source becomes a state of the card.
"""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory

from registry.cards import (
    UNKNOWN_LICENSE,
    Checkpoint,
    Claim,
    HubFile,
    HubState,
    Locator,
    Origin,
)
from registry.documents import Plain, read_text
from registry.errors import (
    BadWeights,
    CheckpointError,
    HubError,
    HubGated,
    HubMissing,
    HubOffline,
    MalformedWeights,
    NotFetched,
    NoWeights,
    ProcessorMissing,
    QuantizedOnly,
    UnreadableDocument,
)
from registry.hub import Hub, Remote, front_matter, parse_hub_id, small_files, weight_files
from registry.inspection import inspect_folder
from registry.licenses import spdx
from registry.progress import Progress, silent
from registry.statements import SHARD_INDEX, refuse_code, shard_names, stated
from registry.zoo import Zoo

__all__ = ["Change", "Usage", "add", "claims_in", "disk", "fetch", "remove", "sync"]

_PROCESSORS = (
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
)
_MOST_CLAIMS = 200
_LONGEST = 300
_FORBIDDEN = "HF_HUB_OFFLINE forbids to ask the hub; what is cached works"
_COUNTS = {"I64", "I32", "I16", "BOOL"}
"""Kinds of number of buffers that count or mask."""
_WIDTHS = {"float32": "F32", "float16": "F16", "bfloat16": "BF16", "float64": "F64"}


@dataclass(frozen=True)
class Change:
    """How a checkpoint's repository stands upstream."""

    checkpoint: str
    hub: str
    state: HubState
    commit: str
    """The commit that is pinned."""
    upstream: str = ""
    """What there is instead: a new id or commit."""
    changed: tuple[str, ...] = ()
    """Files that are new, gone or other there."""
    unknown: str = ""
    """Why nothing could be learned of it; empty where something was."""
    downloads: int | None = None
    """How often it was downloaded, as the hub states it now."""


@dataclass(frozen=True)
class Usage:
    """What one repository takes of the cache."""

    hub: str
    bytes: int
    checkpoints: tuple[str, ...]
    """Registered checkpoints that lie in it; where there are none, it may go."""
    folder: Path
    removable: int = 0
    """Bytes of files that no registered checkpoint uses."""


def add(
    zoo: Zoo,
    text: str,
    *,
    name: str | None = None,
    weights: bool = False,
    license: str | None = None,
    hub: Hub | None = None,
    progress: Progress = silent,
) -> Checkpoint:
    """Register a checkpoint of a hub, ``organization/name[@revision]``, pinned to its commit.

    Its weights are fetched now with ``weights``, else when they are wanted. Adding the same again changes nothing;
    offline it works from what is in the cache.

    Raises:
        HubError: the hub does not give it, each reason by its name.
        CheckpointError: it cannot be used, each reason by its name.
        AlreadyThere: the name belongs to something else.
        DiskFull: there is no room; nothing is left half fetched.
    """
    hub, (id, revision) = hub or Hub(), parse_hub_id(text)
    if hub.offline:
        return _known(zoo, id, hub, weights=weights, progress=progress)
    remote = hub.remote(id, revision)
    zoo.keep_downloads({remote.hub: remote.downloads})
    card = _judged(zoo, hub, remote, name or remote.hub.rpartition("/")[2], license, progress)
    known = next((one for one in zoo.checkpoints() if one.name == card.name and one.locator == card.locator), None)
    if known is not None and zoo.here(known):
        return known
    if weights:
        card = _with_weights(zoo, hub, card, progress)
    return zoo.adopt(card)


def fetch(zoo: Zoo, name: str, *, hub: Hub | None = None, progress: Progress = silent) -> Checkpoint:
    """Fetch the weights of a checkpoint that is known: registered, listed in the catalog, or by its hub id.

    Raises:
        UnknownName: there is none of that name.
        HubError, CheckpointError, DiskFull: as `add`.
    """
    hub = hub or Hub()
    card = _registered(zoo, name)
    if card is None:
        listing = zoo.listing(name)
        if listing is None and "/" not in name:
            zoo.checkpoint(name)  # raises, with what is spelled alike
        target, own = (name, None) if listing is None else (listing.hub, listing.name)
        return add(zoo, target, name=own, weights=True, hub=hub, progress=progress)
    if card.locator is None or zoo.here(card):
        return card
    return zoo.renew(_with_weights(zoo, hub, card, progress))


def sync(zoo: Zoo, *, hub: Hub | None = None, progress: Progress = silent) -> tuple[Change, ...]:
    """How the repository of every checkpoint of a hub stands by now; the states are kept, no commit is changed.

    Offline, or where the hub does not answer, the row says so and the state stays what it was when last asked.
    """
    hub = hub or Hub()
    rows: list[Change] = []
    for card in zoo.checkpoints():
        if card.locator is None:
            continue
        change = _change(hub, card, card.locator)
        if not change.unknown:
            zoo.renew(replace(card, locator=replace(card.locator, state=change.state, upstream=change.upstream)))
        rows.append(change)
    zoo.keep_downloads({row.hub: row.downloads for row in rows})
    del progress
    return tuple(rows)


def remove(zoo: Zoo, name: str, *, weights: bool = False, hub: Hub | None = None) -> int:
    """Forget a checkpoint, and with ``weights`` remove its files from the cache; gives the bytes that this frees.

    Files that another registered checkpoint uses stay, as does a folder that was added as such. With ``weights`` a
    repository of the cache may be named, too: what no checkpoint uses of it is removed, and nothing is forgotten.

    Raises:
        UnknownName: there is none of that name.
        UnusableRequest: it came with transferzoo.
    """
    hub = hub or Hub()
    if weights and name not in zoo:
        for usage in disk(zoo, hub=hub):
            if usage.hub == name:
                return _swept(usage.folder, _used(zoo, hub))
    card = zoo.forget(name)
    if card.locator is None or not weights:
        return 0
    if any(other.locator is not None and other.folder == card.folder for other in zoo.checkpoints()):
        return 0
    parts = hub.parts(card.locator.hub, card.locator.commit, card.locator.files)
    freed = sum(part.stat().st_size for part in parts)
    for part in parts:
        part.unlink(missing_ok=True)
    return freed + _freed(card.folder, _used(zoo, hub))


def disk(zoo: Zoo, *, hub: Hub | None = None) -> tuple[Usage, ...]:
    """What the hub's cache holds, the largest first, and what of it no registered checkpoint uses."""
    hub = hub or Hub()
    used = _used(zoo, hub)
    rows = []
    for folder in sorted(hub.cache.glob("models--*")):
        blobs = [path for path in (folder / "blobs").glob("*") if path.is_file()]
        free = sum(path.stat().st_size for path in blobs if path.resolve() not in used)
        names = tuple(card.name for card in zoo.checkpoints() if card.locator and folder in card.folder.parents)
        id = folder.name.removeprefix("models--").replace("--", "/")
        rows.append(Usage(id, sum(path.stat().st_size for path in blobs), names, folder, free))
    return tuple(sorted(rows, key=lambda row: -row.bytes))


def claims_in(card: Mapping[str, Plain]) -> tuple[Claim, ...]:
    """The results that a model card's ``model-index`` states; what is no finite number is none."""
    claims: list[Claim] = []
    for model in _dicts(card.get("model-index")):
        for result in _dicts(model.get("results")):
            data, task = _dict(result.get("dataset")), _dict(result.get("task"))
            for metric in _dicts(result.get("metrics")):
                value = metric.get("value")
                if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
                    continue
                named = _words(data.get("name")) or _words(data.get("type"))
                what = _words(metric.get("type")) or _words(metric.get("name"))
                claims.append(Claim(named, _words(task.get("type")), what, float(value), _words(data.get("split"))))
    return tuple(claims[:_MOST_CLAIMS])


def _judged(zoo: Zoo, hub: Hub, remote: Remote, name: str, license: str | None, progress: Progress) -> Checkpoint:
    """The card of a repository whose weights are not here, found usable as far as config and headers tell."""
    present = {file.name for file in remote.files}
    if SHARD_INDEX not in present:
        weight_files(remote)  # what is no model in safetensors is refused before anything is fetched
    aside = zoo.home.damaged
    small = small_files(remote)
    folder = hub.fetch(remote.hub, remote.commit, small, aside=aside, progress=progress)
    shards = _shards(folder, remote.hub) if "model.safetensors" not in present else ()
    large = weight_files(remote, shards)
    _require_usable(folder, remote)
    with TemporaryDirectory() as scratch:
        place = Path(scratch) / "checkpoint"
        dtypes = _skeleton(place, hub, remote, folder, small, large)
        try:
            opened = import_module("registry.encoders.loading").inspect(place, values=False)
        except CheckpointError as failure:
            raise _of_hub(failure, place, remote.hub) from None
    stated_card = _card(folder)
    declared = _names(stated_card.get("datasets"))
    bases = tuple(base for base in _names(stated_card.get("base_model")) if base != remote.hub)
    words = license or _license(stated_card.get("license"), stated_card.get("license_name"))
    card = Checkpoint(
        name=re.sub(r"[^\w.+-]+", "-", name).strip("-") or "checkpoint",
        modality=opened.modality,
        architecture=opened.architecture,
        folder=folder,
        digest=large[0].digest.removeprefix("sha256:") if len(large) == 1 and not shards else "",
        parameters=opened.parameters,
        input_size=opened.input_size,
        license=spdx(words),
        source=", ".join(declared),
        origin=Origin.HUB,
        claimed=_claimed(stated_card, remote, words, _dtype_stated(folder)),
        measured={"dtype": " + ".join(sorted(dtypes)), "bytes": sum(file.bytes for file in large)},
        locator=Locator(
            remote.hub,
            remote.revision,
            remote.commit,
            (*small, *large),
            HubState.GATED if remote.gated else HubState.OK,
        ),
        claims=claims_in(stated_card),
    )
    kind = _dtype_stated(folder)
    if kind and kind not in dtypes:
        zoo.remark(f"{card.name}: its config states {kind}, its weights are {card.measured['dtype']}")
    domain = zoo.declared_domains(card.modality).of(card)
    lineage = (*bases, *(() if domain is None else (domain.name,)))
    return replace(card, domain=None if domain is None else domain.name, lineage=lineage)


def _with_weights(zoo: Zoo, hub: Hub, card: Checkpoint, progress: Progress) -> Checkpoint:
    """The card with its weights here, each file as its locator says, and looked at as a folder is."""
    locator = card.locator
    if locator is None:
        return card
    folder = hub.fetch(locator.hub, locator.commit, locator.files, aside=zoo.home.damaged, progress=progress)
    inspected = inspect_folder(folder, card.name)
    return replace(
        card,
        folder=folder,
        digest=inspected.digest,
        architecture=inspected.architecture,
        parameters=inspected.parameters,
        input_size=inspected.input_size,
    )


def _known(zoo: Zoo, id: str, hub: Hub, *, weights: bool, progress: Progress) -> Checkpoint:
    """What is registered of a hub id, while no hub may be asked."""
    card = _registered(zoo, id)
    if card is None:
        raise HubOffline(id)
    return zoo.renew(_with_weights(zoo, hub, card, progress)) if weights and not zoo.here(card) else card


def _registered(zoo: Zoo, name: str) -> Checkpoint | None:
    """The checkpoint of that name, or of that hub id."""
    cards = zoo.checkpoints()
    named = next((card for card in cards if card.name == name), None)
    return named or next((card for card in cards if card.locator is not None and card.locator.hub == name), None)


def _change(hub: Hub, card: Checkpoint, pinned: Locator) -> Change:
    row = Change(card.name, pinned.hub, pinned.state, pinned.commit)
    before = replace(row, upstream=pinned.upstream)
    try:
        now = hub.remote(pinned.hub, pinned.revision)
    except HubGated:
        return replace(row, state=HubState.GATED)
    except HubMissing:
        return replace(row, state=HubState.DELETED)
    except HubError as why:
        return replace(before, unknown=_FORBIDDEN if isinstance(why, HubOffline) else str(why))
    row = replace(row, downloads=now.downloads)
    if now.hub != pinned.hub:
        return replace(row, state=HubState.RENAMED, upstream=now.hub)
    if now.commit != pinned.commit:
        there = {file.name: file.digest for file in now.files}
        own = {file.name: file.digest for file in pinned.files}
        names = {*own, *(file.name for file in small_files(now))}
        changed = tuple(sorted(name for name in names if there.get(name) != own.get(name)))
        return replace(row, state=HubState.MOVED, upstream=now.commit, changed=changed)
    return replace(row, state=HubState.GATED if now.gated else HubState.OK)


def _require_usable(folder: Path, remote: Remote) -> None:
    """Refuse what the small files already rule out, by the name of what it is."""
    present = {file.name for file in remote.files}
    if "config.json" not in present:
        raise NoWeights(remote.hub, "config.json")
    config = stated(folder, "config.json")
    refuse_code(Path(remote.hub), config)
    how = config.get("quantization_config")
    if how:
        raise QuantizedOnly(remote.hub, _words(_dict(how).get("quant_method")) or "quantization_config")
    if not any(name in present for name in _PROCESSORS):
        raise ProcessorMissing(remote.hub)


def _skeleton(
    place: Path, hub: Hub, remote: Remote, folder: Path, small: Sequence[HubFile], large: Sequence[HubFile]
) -> set[str]:
    """Lay small files, and headers of large ones in empty files of their size, into a folder; the kinds of number."""
    place.mkdir()
    for file in small:
        (place / file.name).parent.mkdir(exist_ok=True)
        shutil.copyfile(folder / file.name, place / file.name)
    dtypes: set[str] = set()
    owner: dict[str, str] = {}
    for file in large:
        header = hub.header(remote.hub, remote.commit, file)
        with (place / file.name).open("wb") as sparse:
            sparse.write(header)
            sparse.truncate(file.bytes)
        for tensor, kind in _tensors(f"{remote.hub}/{file.name}", header).items():
            if tensor in owner:
                raise BadWeights(remote.hub, tensor, f"is stored in {owner[tensor]} and in {file.name}")
            owner[tensor] = file.name
            if kind not in _COUNTS:
                dtypes.add(kind)
    return dtypes


def _tensors(path: str, header: bytes) -> dict[str, str]:
    try:
        header_json = json.loads(header[8:])
        return {str(name): str(entry["dtype"]) for name, entry in header_json.items() if name != "__metadata__"}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as cause:
        raise MalformedWeights(path, f"its header cannot be read ({type(cause).__name__})") from cause


def _shards(folder: Path, hub: str) -> tuple[str, ...]:
    """The files that an index names, once each; none where there is no index."""
    if not (folder / SHARD_INDEX).is_file():
        return ()
    try:
        return shard_names(folder)
    except MalformedWeights as cause:
        raise MalformedWeights(f"{hub}/{SHARD_INDEX}", cause.why) from cause
    except NotFetched as cause:
        raise MalformedWeights(f"{hub}/{SHARD_INDEX}", cause.message) from cause


def _card(folder: Path) -> Mapping[str, Plain]:
    """What the model card states; nothing where it is missing or unsound."""
    try:
        return front_matter(read_text(folder / "README.md"))
    except (UnreadableDocument, NotFetched):
        return {}


def _claimed(card: Mapping[str, Plain], remote: Remote, license: str, dtype: str) -> dict[str, object]:
    """What its maker and the hub state of it, in words."""
    claims: dict[str, object] = {
        "license": license or UNKNOWN_LICENSE,
        "datasets": list(_names(card.get("datasets"))),
        "base_model": list(_names(card.get("base_model"))),
        "language": list(_names(card.get("language"))),
        "task": _words(card.get("pipeline_tag")),
        "dtype": dtype,
        "gated": remote.gated,
        "downloads": remote.downloads,
    }
    return {key: value for key, value in claims.items() if value not in ("", [], None)}


def _dtype_stated(folder: Path) -> str:
    config = stated(folder, "config.json")
    words = _words(config.get("dtype") or config.get("torch_dtype"))
    return _WIDTHS.get(words, words)


def _license(license: Plain, named: Plain) -> str:
    """A license in words: of a list all hold; ``other`` has its name beside it."""
    if isinstance(license, list):
        return " AND ".join(_words(one) or UNKNOWN_LICENSE for one in license)
    words = _words(license)
    return _words(named) or words if words == "other" else words


def _of_hub(failure: CheckpointError, place: Path, hub: str) -> CheckpointError:
    """The same failure, of the repository and not of the folder in which it was looked at."""
    failure.message = failure.message.replace(str(place), hub)
    failure.args = (failure.message,)
    return failure


def _used(zoo: Zoo, hub: Hub) -> set[Path]:
    """Files of the cache that registered checkpoints use."""
    return {
        (card.folder / file.name).resolve()
        for card in zoo.checkpoints()
        if card.locator is not None and hub.cache in card.folder.parents
        for file in card.locator.files
    }


def _swept(repository: Path, used: set[Path]) -> int:
    """Remove what no checkpoint uses of a repository of the cache; the bytes of it."""
    freed = sum(_freed(snapshot, used) for snapshot in (repository / "snapshots").glob("*"))
    for content in (repository / "blobs").glob("*"):
        if content.is_file() and content.resolve() not in used:
            freed += content.stat().st_size
            content.unlink(missing_ok=True)
    return freed


def _freed(folder: Path, used: set[Path]) -> int:
    """Remove a snapshot's files and what they point at, but for what others use; the bytes of it."""
    freed = 0
    if not folder.is_dir():
        return 0
    for path in sorted(path for path in folder.rglob("*") if not path.is_dir()):
        content = path.resolve()
        if content in used:
            continue
        freed += content.stat().st_size if content.is_file() else 0
        path.unlink(missing_ok=True)
        content.unlink(missing_ok=True)
    for place in (*sorted(path for path in folder.rglob("*") if path.is_dir()), folder):
        if not any(place.iterdir()):
            place.rmdir()
    return freed


def _names(value: Plain) -> tuple[str, ...]:
    listed = value if isinstance(value, list) else [value]
    return tuple(dict.fromkeys(words for one in listed if (words := _words(one))))[:50]


def _words(value: object) -> str:
    return value.strip()[:_LONGEST] if isinstance(value, str) else ""


def _dict(value: object) -> Mapping[str, Plain]:
    return value if isinstance(value, dict) else {}


def _dicts(value: object) -> list[Mapping[str, Plain]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
