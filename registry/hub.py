"""Hub: what a hub of checkpoints says and holds, through huggingface_hub, which nothing else imports.

The client reads ``HF_*`` when it is imported, follows redirects wherever they lead, takes minutes over a hub that
hangs, throws away what a cut or killed download had, and checks no sum. So: the variables are read when a `Hub` is
made; every call has a deadline of its own, in a thread that is left behind when it passes; a host that is not allowed
is never asked; a large file that is there in part goes on by a range; and what was fetched is held against the hub's
checksums, fetched again once, and set aside. Xet's transport is off: it obeys neither deadline nor allowed hosts, and
keeps no part that another process could go on with.
"""

import hashlib
import importlib
import json
import os
import re
import shutil
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from registry.cards import HubFile
from registry.documents import Plain, yaml_of
from registry.errors import (
    AdapterOnly,
    DiskFull,
    GgufOnly,
    HubDamaged,
    HubError,
    HubGated,
    HubMissing,
    HubOffline,
    HubRedirected,
    HubRefused,
    HubTooLarge,
    HubUnreachable,
    MalformedWeights,
    NameHeld,
    NotAHub,
    NoWeights,
    PickleRefused,
    TransferZooError,
    UnusableHubId,
)
from registry.files import disk_full_named
from registry.modalities import modalities
from registry.progress import Phase, Progress, advance, require_wanted, silent
from registry.statements import FOREIGN_WEIGHTS, MOST_HEADER, SHARD_INDEX

__all__ = ["Hub", "HubModel", "Remote", "front_matter", "parse_hub_id", "small_files", "weight_files"]

Returned = TypeVar("Returned")
RepositoryKind = Literal["model", "dataset"]

_ENDPOINT = "https://huggingface.co"
_OWN_HOSTS = (".huggingface.co", ".hf.co")
"""Where huggingface.co keeps large files."""
_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9][\w./-]{0,199}", re.ASCII)
_NAME = re.compile(r"[\w+-][\w.+ -]*", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_TAG = re.compile(r"[\w-]{1,200}", re.ASCII)
_SMALL = ("README.md", "config.json", "feature_extractor_config.json", SHARD_INDEX)
"""Files of a repository that are fetched at once, where they are there, beside those of each modality's processors."""
_MOST_SMALL = 64 << 20
_MOST_FILES = 20_000
_MOST_FETCHED = 50 * 10**9
"""Bytes of one file that the client fetches without its other transport."""
_LARGE = 1 << 20
"""Bytes from which a file that was fetched in part is gone on with; a smaller one is fetched anew."""
_PIECE = 1 << 20
"""Bytes that a killed download may lose."""
_PATIENCE, _STALL = 30.0, 90.0
_TRIES = 4
_POLL = 0.05
_SHARE = 0.9
"""Of the time without a byte that ends a download: so long another process's is waited for."""
_FRONT = re.compile(r"^---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|$)", re.DOTALL)
_NO_NUMBER = re.compile(r"(?<=[:,\[-] )[-+]?\.(?:nan|inf)(?=[ \t]*(?:[,\]}\r\n]|$))", re.IGNORECASE)
"""NaN and infinity as a value in YAML: trainers write them as results."""
_BUSY = frozenset({408, 429, 500, 502, 503, 504})
_ASKED = threading.Lock()
"""The client has one connection pool a process: one call at a time sets it up."""


@dataclass(frozen=True)
class Remote:
    """A repository at a commit."""

    hub: str
    """Its id today, which is another than the one asked for where it was renamed."""
    revision: str
    commit: str
    files: tuple[HubFile, ...]
    gated: bool = False
    downloads: int | None = None
    tags: tuple[str, ...] = ()

    def file(self, name: str) -> HubFile | None:
        """The file of that name."""
        return next((file for file in self.files if file.name == name), None)


@dataclass(frozen=True)
class HubModel:
    """A row of a search: what can be seen before anything is fetched."""

    hub: str
    task: str
    license: str
    """As the hub states it; empty where it does not."""
    parameters: int | None
    downloads: int
    safetensors: bool
    gated: bool
    objection: str
    """Why it cannot be used here, as far as that is seen; empty where nothing speaks against it."""
    in_zoo: bool = False
    """Whether a registered checkpoint comes from it, where that was looked up."""
    counted: bool = False
    """Whether the parameters were counted by its config; else they are the hub's count of all numbers in its files,
    with those that never learn (the statistics of normalization) among them."""


@dataclass
class _Call:
    """One call of the client, as its connections see it."""

    endpoint: str
    hosts: frozenset[str]
    deadline: float | None
    moved: int = 0
    """Bytes of bodies that came or went."""
    active: float = field(default_factory=time.monotonic)
    abandoned: bool = False

    def require_allowed(self, host: str) -> None:
        if self.abandoned:
            raise HubUnreachable(self.endpoint, "it took too long")
        if host in self.hosts or (self.endpoint == _ENDPOINT and host.endswith(_OWN_HOSTS)):
            return
        raise HubRedirected(self.endpoint, host)


class Hub:
    """Models or data sets of a hub, as ``HF_ENDPOINT``, ``HF_TOKEN``, ``HF_HOME`` and ``HF_HUB_OFFLINE`` have it now.

    ``TRANSFERZOO_HUB_HOSTS`` names more hosts (``host`` or ``host:port``, with commas) that it may lead to,
    ``TRANSFERZOO_HUB_SECONDS`` how long an answer may take.
    """

    def __init__(self, *, kind: RepositoryKind = "model", patience: float | None = None, stall: float = _STALL) -> None:
        self.kind = kind
        self.endpoint = (os.environ.get("HF_ENDPOINT") or _ENDPOINT).rstrip("/")
        self.offline = any(_is_true(os.environ.get(name)) for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
        own = urlsplit(self.endpoint).netloc.rpartition("@")[2]
        if urlsplit(self.endpoint).scheme not in {"http", "https"} or not own:
            raise NotAHub(_bare(self.endpoint), "it is no http address")
        more = os.environ.get("TRANSFERZOO_HUB_HOSTS", "").split(",")
        self._hosts = frozenset({own, *(host.strip() for host in more if host.strip())})
        self._patience = patience or _seconds(os.environ.get("TRANSFERZOO_HUB_SECONDS")) or _PATIENCE
        self._stall = stall

    @property
    def cache(self) -> Path:
        """Where the client keeps what it fetched."""
        home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "huggingface"
        named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or Path(home) / "hub"
        return Path(os.path.expandvars(named)).expanduser()

    def remote(self, hub: str, revision: str = "main") -> Remote:
        """What a repository is at this moment.

        Raises:
            HubError: it cannot be had, each reason by its name.
        """
        _require_id(hub, revision)
        self._require_online(f"{hub}@{revision}")
        info = self._request(
            lambda api: api.repo_info(hub, revision=revision, repo_type=self.kind),
            f"repository {hub}@{revision}",
            self._titled(hub),
        )
        commit = str(info.sha or "")
        if not _COMMIT.fullmatch(commit):
            raise NotAHub(_bare(self.endpoint), f"it names no commit of {hub}")
        now = info.id if isinstance(info.id, str) and _ID.fullmatch(info.id) else hub
        listed = self._request(
            lambda api: list(
                _at_most(api.list_repo_tree(now, recursive=True, revision=commit, repo_type=self.kind), _MOST_FILES)
            ),
            f"repository {now}@{commit[:12]}",
            hub,
        )
        files = tuple(_file(entry) for entry in listed if hasattr(entry, "blob_id"))
        for file in files:
            _require_inside(now, file.name)
        return Remote(
            now, revision, commit, files, bool(info.gated), _whole(info.downloads), tuple(map(str, info.tags or ()))
        )

    def fetch(
        self, hub: str, commit: str, files: Sequence[HubFile], *, aside: Path, progress: Progress = silent
    ) -> Path:
        """A folder with these files of a repository, fetched where they are not in the cache, each as it should be.

        What is there already is not fetched again, and a large file that was cut goes on where it was cut, in whichever
        process. A file whose checksum is another is fetched once more, from its beginning; then it is moved to
        ``aside``.

        Raises:
            HubError: they cannot be had, each reason by its name.
            HubTooLarge: one is larger than can be fetched; nothing was.
            NameHeld: another process fetches one of them at this moment.
            DiskFull: there is no room; nothing of them is left.
            Cancelled: the observer wants no more; what has come is kept, and gone on with.
        """
        _require_fetchable(hub, files)
        folder = self.snapshot(hub, commit)
        lacking = [file for file in files if not (folder / file.name).is_file()]
        if lacking and self.offline:
            raise HubOffline(f"{hub}: {', '.join(file.name for file in lacking)}")
        if lacking:
            self._download(hub, commit, lacking, progress)
        if wrong := _differing(folder, files):
            if self.offline:
                raise HubDamaged(hub, [file.name for file in wrong], _quarantine(folder, wrong, aside))
            for file in wrong:
                (folder / file.name).resolve().unlink(missing_ok=True)
                (folder / file.name).unlink(missing_ok=True)
            self._download(hub, commit, wrong, progress)
            if wrong := _differing(folder, wrong):
                raise HubDamaged(hub, [file.name for file in wrong], _quarantine(folder, wrong, aside))
        return folder

    def _titled(self, hub: str) -> str:
        """A repository's id as its page has it."""
        return hub if self.kind == "model" else f"{self.kind}s/{hub}"

    def snapshot(self, hub: str, commit: str) -> Path:
        """The folder of the cache in which a repository's files at a commit lie, there or not."""
        return self.cache / f"{self.kind}s--{hub.replace('/', '--')}" / "snapshots" / commit

    def fetched(self) -> tuple[str, ...]:
        """Ids of the repositories of which the cache holds something."""
        folders = self.cache.glob(f"{self.kind}s--*--*")
        return tuple(sorted(folder.name.split("--", 1)[1].replace("--", "/", 1) for folder in folders))

    def parts(self, hub: str, commit: str, files: Sequence[HubFile]) -> tuple[Path, ...]:
        """What is there of files that were not fetched to their end."""
        blobs = self.snapshot(hub, commit).parents[1] / "blobs"
        parts = (_part(blobs, file.digest.partition(":")[2]) for file in files)
        return tuple(part for part in parts if part.is_file())

    def header(self, hub: str, commit: str, file: HubFile) -> bytes:
        """The first bytes of a safetensors file, to the end of its header, and no more than these are fetched.

        Raises:
            MalformedWeights: its header has no plausible length.
            HubTooLarge: the file is larger than can be fetched.
            HubError: it cannot be had.
        """
        _require_fetchable(hub, [file])
        start = self._range(hub, commit, file, 0, 7)
        length = int.from_bytes(start, "little") if len(start) == 8 else 0
        if not 0 < length <= min(MOST_HEADER, file.bytes - 8):
            raise MalformedWeights(f"{hub}/{file.name}", f"its header has no plausible length ({length} bytes)")
        return start + self._range(hub, commit, file, 8, 7 + length)

    def search(
        self,
        words: str,
        *,
        task: str | None = None,
        license: str | None = None,
        max_parameters: int | None = None,
        sort: str = "downloads",
        limit: int = 20,
    ) -> tuple[HubModel, ...]:
        """Models whose id holds the words, best first.

        Raises:
            HubError: the hub does not answer.
        """
        self._require_online(f"a search for {words!r}")
        wanted = [f"license:{license.casefold()}"] if license else []
        listed = self._request(
            lambda api: [
                *api.list_models(
                    search=words or None,
                    pipeline_tag=task,
                    filter=wanted or None,
                    num_parameters=None if max_parameters is None else f"min:0,max:{max_parameters}",
                    sort=sort,
                    limit=limit,
                    expand=[
                        "cardData",
                        "config",
                        "downloads",
                        "gated",
                        "pipeline_tag",
                        "safetensors",
                        "siblings",
                        "tags",
                    ],
                )
            ],
            f"model for {words!r}",
        )
        rows = [_hub_model(info) for info in listed if isinstance(info.id, str) and _ID.fullmatch(info.id)]
        return tuple(
            row
            for row in rows
            if max_parameters is None or (row.parameters is not None and row.parameters <= max_parameters)
        )

    def require_upload(self, hub: str) -> None:
        """Refuse what can be known to fail before anything is written.

        Raises:
            UnusableHubId: it is no id.
            HubOffline: no hub may be asked.
            HubRefused: there is no token.
        """
        _require_id(hub, "main")
        self._require_online(hub)
        if self._token() is None:
            raise HubRefused(_bare(self.endpoint), 401)

    def push(self, folder: Path, hub: str, *, private: bool = True, progress: Progress = silent) -> str:
        """Upload a folder to a repository, which is made if need be; gives its address.

        Raises:
            HubError: it cannot be done.
            Cancelled: the observer wants no more.
        """
        self.require_upload(hub)
        message = "Upload with transferzoo"

        def upload(api: Any) -> str:  # noqa: ANN401 - an HfApi
            api.create_repo(hub, private=private, exist_ok=True)
            api.upload_folder(repo_id=hub, folder_path=folder, commit_message=message)
            return f"{_bare(self.endpoint)}/{hub}"

        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        return self._request(
            upload, f"repository {hub}", hub, stalling=True, progress=progress, size=size, phase=Phase.PUSH
        )

    def _download(self, hub: str, commit: str, files: Sequence[HubFile], progress: Progress) -> None:
        """Fetch files that are not there, the large ones so that they can be gone on with."""
        size = sum(file.bytes for file in files)
        blobs = self.snapshot(hub, commit).parents[1] / "blobs"
        before = {*blobs.glob("*.incomplete"), *(_part(blobs, file.digest.partition(":")[2]) for file in files)}

        def have() -> int:
            return sum(part.stat().st_size for part in self.parts(hub, commit, files))

        with disk_full_named(self.cache):
            blobs.mkdir(parents=True, exist_ok=True)
        if (free := shutil.disk_usage(self.cache).free) < size - have():
            raise DiskFull(self.cache, free, size - have())

        def work(api: Any) -> str:  # noqa: ANN401 - an HfApi
            for file in files:
                if file.bytes >= _LARGE:
                    self._go_on(api, hub, commit, file, blobs)
            names = [file.name for file in files]
            return str(
                api.snapshot_download(
                    hub,
                    repo_type=self.kind,
                    revision=commit,
                    cache_dir=self.cache,
                    allow_patterns=names,
                    max_workers=4,
                )
            )

        try:
            with disk_full_named(self.cache, size - have()):
                self._request(
                    work,
                    f"repository {hub}@{commit[:12]}",
                    self._titled(hub),
                    stalling=True,
                    progress=progress,
                    size=size,
                    have=have,
                )
        except BaseException as failure:
            for left in blobs.glob("*.incomplete"):
                if left not in before or isinstance(failure, DiskFull):
                    with suppress(OSError):
                        left.unlink()
            raise
        lacking = [file.name for file in files if not (self.snapshot(hub, commit) / file.name).is_file()]
        if lacking:
            raise HubMissing(_bare(self.endpoint), f"file {', '.join(lacking)} in {hub}")

    def _go_on(self, api: Any, hub: str, commit: str, file: HubFile, blobs: Path) -> None:  # noqa: ANN401 - an HfApi
        """Have a file's content where the client looks for it, from where an earlier try of any process left it.

        It goes by the ETag that the hub gives it now: of a file that is another since, nothing is gone on with.
        """
        client = _client()
        address = client.hf_hub_url(hub, file.name, repo_type=self.kind, revision=commit, endpoint=self.endpoint)
        tag = str(api.get_hf_file_metadata(url=address).etag)
        if not _TAG.fullmatch(tag):
            raise NotAHub(_bare(self.endpoint), f"it gives {file.name} of {hub} no ETag")
        whole, part = blobs / tag, _part(blobs, tag)
        held = self.cache / ".locks" / blobs.parent.name / f"{tag}.lock"
        held.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock = FileLock(held).acquire(timeout=_SHARE * self._stall)  # the client's own lock
        except Timeout:
            raise NameHeld("file", f"{hub}/{file.name}") from None
        with lock:
            if whole.is_file():
                return
            if part.is_file() and part.stat().st_size > file.bytes:
                part.unlink()
            with part.open("ab", buffering=0) as content:
                importlib.import_module("huggingface_hub.file_download").http_get(
                    address,
                    content,
                    resume_size=content.tell(),
                    headers={**api._build_hf_headers(), "Accept-Encoding": "identity"},
                    expected_size=file.bytes,
                )
                os.fsync(content.fileno())
            part.replace(whole)

    def _range(self, hub: str, commit: str, file: HubFile, first: int, last: int) -> bytes:
        self._require_online(f"{hub}/{file.name}")

        def read(api: Any) -> bytes:  # noqa: ANN401 - an HfApi
            client = importlib.import_module("huggingface_hub.utils")
            address = _client().hf_hub_url(hub, file.name, revision=commit, endpoint=self.endpoint)
            headers = {**api._build_hf_headers(), "Range": f"bytes={first}-{last}"}
            with client.get_session().stream("GET", address, headers=headers, timeout=self._patience) as response:
                client.hf_raise_for_status(response)
                content = b""
                for part in response.iter_bytes():
                    content += part
                    if len(content) > last:  # a server that knows no ranges sends all: no more is taken than was wanted
                        break
            return content[: last - first + 1] if response.status_code == 206 else content[first : last + 1]

        return self._request(read, f"file {file.name} in {hub}", hub)

    def _require_online(self, what: str) -> None:
        if self.offline:
            raise HubOffline(what)

    def _request(
        self,
        work: Callable[[Any], Returned],
        what: str,
        hub: str = "",
        *,
        stalling: bool = False,
        progress: Progress = silent,
        size: int = 0,
        have: Callable[[], int] = lambda: 0,
        phase: Phase = Phase.FETCH,
    ) -> Returned:
        """What the client gives, tried again where the hub was busy, within the deadline; its errors by our names.

        ``stalling`` calls have no deadline, but end when for too long nothing comes. Of ``size`` bytes that are to move
        it tells how many have, with those that were there (``have``) at the beginning of each try.
        """
        deadline = time.monotonic() + self._patience
        for tried in range(1, _TRIES + 1):
            try:
                return self._watched(work, None if stalling else deadline, progress, (have(), size), phase, hub)
            except (TransferZooError, MemoryError):
                raise
            except Exception as cause:
                wait = _wait(cause, tried)
                late = not stalling and wait is not None and time.monotonic() + wait > deadline
                if wait is None or late or tried == _TRIES:
                    raise self._named(cause, what, hub) from None  # the client's own may quote headers
                time.sleep(wait)
        raise AssertionError("unreachable")

    def _watched(
        self,
        work: Callable[[Any], Returned],
        deadline: float | None,
        progress: Progress,
        sizes: tuple[int, int],
        phase: Phase,
        hub: str,
    ) -> Returned:
        """Do the work in a thread of its own, which is left behind when it takes too long."""
        require_wanted(progress)
        have, size = sizes
        call = _Call(_bare(self.endpoint), self._hosts, deadline)
        box: list[tuple[Returned | None, BaseException | None]] = []
        done = threading.Event()

        def carry_out() -> None:
            try:
                box.append((work(self._api()), None))
            except BaseException as failure:
                box.append((None, failure))
            finally:
                done.set()

        with _ASKED:
            _client().set_client_factory(lambda: _watching(call))
            threading.Thread(target=carry_out, name="hub", daemon=True).start()
            try:
                while not done.wait(_POLL):
                    if size:
                        advance(progress, phase, min(have + call.moved, size), size, hub)
                    require_wanted(progress)
                    moment = time.monotonic()
                    if deadline is not None and moment > deadline:
                        raise HubUnreachable(call.endpoint, f"no answer within {self._patience:g} s")
                    if deadline is None and moment - call.active > self._stall:
                        raise HubUnreachable(call.endpoint, f"nothing came for {self._stall:g} s")
            finally:
                call.abandoned = not done.is_set()
                _client().close_session()
        result, failure = box[0]
        if failure is not None:
            raise failure
        return result  # type: ignore[return-value] # it is the work's own

    def _api(self) -> Any:  # noqa: ANN401 - an HfApi
        return _client().HfApi(endpoint=self.endpoint, token=self._token() or False)

    def _token(self) -> str | None:
        """``HF_TOKEN``, else the one that a log-in left in ``HF_HOME``; never sent to another host, nor shown."""
        token = (os.environ.get("HF_TOKEN") or "").strip()
        if not token:
            with suppress(OSError, UnicodeDecodeError):
                token = (Path(os.environ.get("HF_TOKEN_PATH") or self.cache.parent / "token")).read_text().strip()
        return token or None

    def _named(self, cause: Exception, what: str, hub: str) -> Exception:  # noqa: PLR0911 - one for each of its errors
        """The client's error as one of `registry.errors`."""
        for link in _causes(cause):
            if isinstance(link, HubError):
                return link
        errors, endpoint = importlib.import_module("huggingface_hub.errors"), _bare(self.endpoint)
        for link in _causes(cause):
            status = getattr(getattr(link, "response", None), "status_code", None)
            match link:
                case errors.GatedRepoError():
                    return HubGated(endpoint, hub)
                case errors.RepositoryNotFoundError() | errors.RevisionNotFoundError() | errors.EntryNotFoundError():
                    if status is not None:
                        return HubMissing(endpoint, what)
                case errors.HFValidationError():
                    return UnusableHubId(hub, "it has a form that no id has")
                case errors.FileMetadataError() | json.JSONDecodeError():
                    return NotAHub(endpoint, f"its answer about {what} is none")
            if status in {401, 403}:
                return HubRefused(endpoint, status)
            if status is not None:
                return HubUnreachable(endpoint, f"it answers {status}", how="fails")
        if isinstance(cause, (KeyError, TypeError, ValueError, AttributeError)) and not isinstance(cause, OSError):
            return NotAHub(endpoint, f"its answer about {what} is none ({type(cause).__name__})")
        if isinstance(cause, OSError) and cause.errno is not None:
            return cause
        broke_off = _kinds(cause) & {"RemoteProtocolError", "ReadError"}
        return HubUnreachable(endpoint, _first_line(cause), how="broke off" if broke_off else "cannot be reached")


def parse_hub_id(text: str) -> tuple[str, str]:
    """``organization/name[@revision]`` as id and revision.

    Raises:
        UnusableHubId: it is none.
    """
    hub, at, revision = text.partition("@")
    _require_id(hub, revision if at else "main")
    return hub, revision if at else "main"


def small_files(remote: Remote) -> tuple[HubFile, ...]:
    """What is fetched at once: config, processor, tokenizer, pooling, card, index."""
    patterns = {*_SMALL, *(pattern for modality in modalities.each() for pattern in modality.processor_files)}
    return tuple(
        file
        for file in remote.files
        if file.bytes <= _MOST_SMALL
        and any(fnmatchcase(file.name, one) and file.name.count("/") == one.count("/") for one in patterns)
    )


def weight_files(remote: Remote, shards: Sequence[str] = ()) -> tuple[HubFile, ...]:
    """The safetensors files of a repository: the whole model, else the ``shards`` that its index names.

    Raises:
        GgufOnly, AdapterOnly, PickleRefused, NoWeights: there are none, but others.
        MalformedWeights: the index names a file twice, outside, or that is not there.
    """
    names = {file.name for file in remote.files}
    if "model.safetensors" in names:
        return tuple(file for file in remote.files if file.name == "model.safetensors")
    if SHARD_INDEX in names:
        for name in shards:
            if not _NAME.fullmatch(name) or not name.endswith(".safetensors"):
                raise MalformedWeights(remote.hub, f"its index names {name!r}, which is no safetensors file beside it")
            if name not in names:
                raise NoWeights(remote.hub, name)
        return tuple(file for file in remote.files if file.name in shards)
    if "adapter_config.json" in names or "adapter_model.safetensors" in names:
        raise AdapterOnly(remote.hub)
    for ending, error in ((".gguf", GgufOnly), *((ending, PickleRefused) for ending in FOREIGN_WEIGHTS)):
        for name in sorted(names):
            if name.endswith(ending):
                raise error(remote.hub, name)
    raise NoWeights(remote.hub)


def front_matter(text: str) -> Mapping[str, Plain]:
    """The YAML that a model card begins with, its NaN and infinities left out; nothing where that is not sound."""
    match = _FRONT.match(text)
    if match is None:
        return {}
    try:
        stated = yaml_of(_NO_NUMBER.sub("null", match[1]))
    except ValueError:
        return {}
    return stated if isinstance(stated, dict) else {}


def _client() -> Any:  # noqa: ANN401 - the module huggingface_hub
    """The client, imported when a hub is asked and not before; its other transport obeys no deadline and no host."""
    os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import huggingface_hub  # noqa: PLC0415 - half a second
    from huggingface_hub import constants  # noqa: PLC0415 - likewise

    constants.HF_HUB_DISABLE_XET = True  # where somebody imported it before
    constants.DOWNLOAD_CHUNK_SIZE = _PIECE
    importlib.import_module("huggingface_hub.utils").disable_progress_bars()
    warnings.filterwarnings("ignore", "Not enough free disk space", UserWarning)  # a full disk is an error of ours
    warnings.filterwarnings("ignore", "Use 'content=", DeprecationWarning)  # the client's own, when it uploads
    importlib.import_module("huggingface_hub.utils.logging").set_verbosity_error()
    return huggingface_hub


def _watching(call: _Call) -> Any:  # noqa: ANN401 - a Client of httpx2
    """A client whose every request, also one that a redirect leads to, is allowed, in time, and counted."""
    httpx = importlib.import_module("httpx2")

    class Body(httpx.SyncByteStream):  # type: ignore[name-defined,misc]
        def __init__(self, inner: Any) -> None:  # noqa: ANN401
            self._inner = inner

        def __iter__(self) -> Iterator[bytes]:
            for part in self._inner:
                if call.abandoned:
                    raise HubUnreachable(call.endpoint, "it took too long")
                call.moved, call.active = call.moved + len(part), time.monotonic()
                yield part

        def close(self) -> None:
            if hasattr(self._inner, "close"):
                self._inner.close()

    class Transport(httpx.HTTPTransport):  # type: ignore[name-defined,misc]
        def handle_request(self, request: Any) -> Any:  # noqa: ANN401
            call.require_allowed(request.url.netloc.decode("ascii", "replace").rpartition("@")[2])
            call.active = time.monotonic()
            if request.method in {"POST", "PUT"}:
                request.stream = Body(request.stream)
            response = super().handle_request(request)
            kind = response.headers.get("Content-Type", "")
            if response.status_code == 200 and kind.startswith("text/html"):
                response.close()
                raise NotAHub(call.endpoint, "it sends a web page")
            response.stream = Body(response.stream)
            return response

    return httpx.Client(transport=Transport(), follow_redirects=True, timeout=None)


def _file(entry: Any) -> HubFile:  # noqa: ANN401 - a RepoFile
    large = entry.lfs
    digest = f"sha256:{large.sha256}" if large is not None else f"git:{entry.blob_id}"
    return HubFile(str(entry.path), int(large.size if large is not None else entry.size), digest)


def _hub_model(info: Any) -> HubModel:  # noqa: ANN401 - a ModelInfo
    names = [str(sibling.rfilename) for sibling in info.siblings or ()]
    tags = [str(tag) for tag in info.tags or ()]
    config = info.config if isinstance(info.config, dict) else {}
    counted = None if info.safetensors is None else _whole(info.safetensors.total)
    license = next((tag.partition(":")[2] for tag in tags if tag.startswith("license:")), "")
    plain = any(name.endswith(".safetensors") and "/" not in name for name in names)
    return HubModel(
        info.id,
        str(info.pipeline_tag or ""),
        license,
        counted,
        _whole(info.downloads) or 0,
        plain,
        bool(info.gated),
        _objection(info.id, names, config, tags),
    )


def _objection(hub: str, names: Sequence[str], config: Mapping[str, Any], tags: Sequence[str]) -> str:
    try:
        weight_files(Remote(hub, "main", "", tuple(HubFile(name, 0, "") for name in names)))
    except TransferZooError as why:
        return why.message.removeprefix(f"{hub} ")
    if config.get("quantization_config"):
        return "quantized weights only"
    if config.get("auto_map") or "custom_code" in tags:
        return "asks for remote code"
    if "config.json" not in names:
        return "no config.json"
    if not any(
        name in names
        for name in ("preprocessor_config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json")
    ):
        return "no processor"
    return ""


def _require_fetchable(hub: str, files: Sequence[HubFile]) -> None:
    for file in files:
        if file.bytes > _MOST_FETCHED:
            raise HubTooLarge(hub, file.name, file.bytes, _MOST_FETCHED)


def _part(blobs: Path, tag: str) -> Path:
    """Where the content of that ETag grows, under the name by which the client's own tools know and remove it."""
    return blobs / f"{tag}.incomplete"


def _differing(folder: Path, files: Sequence[HubFile]) -> list[HubFile]:
    """Those that are there, and not as they should be."""
    return [
        file for file in files if (folder / file.name).is_file() and _digest(folder / file.name, file) != file.digest
    ]


def _digest(path: Path, file: HubFile) -> str:
    kind = file.digest.partition(":")[0]
    total = (
        hashlib.sha256()
        if kind == "sha256"
        else hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    )
    with path.open("rb") as content:
        while part := content.read(1 << 20):
            total.update(part)
    return f"{kind}:{total.hexdigest()}"


def _quarantine(folder: Path, files: Sequence[HubFile], aside: Path) -> Path:
    """Move damaged files out of the cache, so that nobody takes them for what they should be."""
    aside.mkdir(parents=True, exist_ok=True)
    for file in files:
        path = folder / file.name
        content = path.resolve()
        target = aside / f"{folder.parent.parent.name}-{folder.name[:12]}-{file.name.replace('/', '-')}"
        with suppress(OSError):
            target.write_bytes(b"") if content.stat().st_size == 0 else os.replace(content, target)  # noqa: PTH105
        path.unlink(missing_ok=True)
        with suppress(OSError):
            content.unlink(missing_ok=True)
    return aside


def _require_id(hub: str, revision: str) -> None:
    if not _ID.fullmatch(hub) or ".." in hub or "--" in hub or hub.endswith((".git", ".", "-")):
        raise UnusableHubId(hub, "an id is organization/name, of letters, digits, '-', '_' and '.'")
    if not _REVISION.fullmatch(revision) or ".." in revision or "//" in revision:
        raise UnusableHubId(f"{hub}@{revision}", "its revision is no branch, tag or commit")


def _require_inside(hub: str, name: str) -> None:
    parts = name.split("/")
    if not name or name.startswith("/") or "\\" in name or ".." in parts or "." in parts or not name.isprintable():
        raise UnusableHubId(f"{hub}/{name}", "a file of it leads out of its folder")


def _at_most(items: Any, most: int) -> Iterator[Any]:  # noqa: ANN401 - an iterable of the client's
    for count, item in enumerate(items):
        if count == most:
            raise ValueError(f"more than {most:,} files")
        yield item


def _wait(cause: Exception, tried: int) -> float | None:
    """Seconds after which another try may do better; None where none will."""
    for link in _causes(cause):
        response = getattr(link, "response", None)
        status = getattr(response, "status_code", None)
        if status is not None:
            if status not in _BUSY:
                return None
            stated = _seconds(response.headers.get("Retry-After")) if response is not None else None
            return stated if stated is not None else 0.5 * 2 ** (tried - 1)
    return 0.5 * 2 ** (tried - 1) if _kinds(cause) & {"TransportError", "ConnectionError"} else None


def _kinds(cause: BaseException) -> set[str]:
    """Names of the classes of an error and of what it came from."""
    return {kind.__name__ for link in _causes(cause) for kind in type(link).__mro__}


def _causes(cause: BaseException) -> Iterator[BaseException]:
    visited: set[int] = set()
    link: BaseException | None = cause
    while link is not None and id(link) not in visited:
        visited.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _seconds(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 < number < 1e6 else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62 else None


def _bare(address: str) -> str:
    """An address without what it may hold of a name and password."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _first_line(cause: Exception) -> str:
    """What went wrong, without addresses (a signed one holds a secret)."""
    line = (str(cause).strip().splitlines() or [""])[0][:200]
    return re.sub(r"https?://\S+", "…", line) or type(cause).__name__


def _is_true(value: str | None) -> bool:
    return (value or "").upper() in {"1", "ON", "YES", "TRUE"}
