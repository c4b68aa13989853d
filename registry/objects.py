"""Objects: folders that several machines share, by the digests of their content, on a disk or at a server of S3.

::

    blobs/aa/<sha256>            the content of a file
    manifests/aa/<sha256>.json   a folder: paths, digests and sizes of its files; named by the digest of its own bytes
    names/<kind>/<name>.json     which folder a run, a sample or features are; only these are ever replaced

A blob is there whole or not at all, a manifest is written after all its blobs, a name after its manifest: an upload
that is cut leaves nothing that can be seen, and what it brought is not uploaded again. All that is fetched is checked.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import file_digest, sha256
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from registry.errors import (
    BucketMissing,
    ExtraMissing,
    ObjectDamaged,
    ObjectMissing,
    ObjectsAway,
    ObjectsFailed,
    ObjectsRefused,
    TransferZooError,
    UnsafeArchive,
    UnusableObjects,
)
from registry.files import chain_of, disk_full_named, is_disk_full, replacing, sha256_of
from registry.progress import Phase, Progress, advance, silent

__all__ = ["Manifest", "ManifestFile", "Objects"]

_SERVER = {
    "connect_timeout": 10,
    "read_timeout": 60,
    "retries": {"max_attempts": 2, "mode": "standard"},
}
"""Of botocore: seconds, and how often it tries."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][\w.+-]*", re.ASCII)
_MOST_MANIFEST = 64 << 20
_NO_ACCESS = frozenset(
    {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError"}
)
_NO_ACCESS_CODES = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "ExpiredToken", "403", "401"}
)
_AWAY = frozenset(
    {"ConnectionError", "HTTPClientError", "TimeoutError", "EndpointConnectionError", "ClientConnectionError"}
)
"""Names of errors of Python, botocore and aiohttp, none of which is loaded for who has no server."""
_POLL = 0.2
"""Seconds between two looks at a transfer."""
_BUSY_CODES = frozenset(
    {"ServiceUnavailable", "SlowDown", "InternalError", "RequestTimeout", "500", "502", "503", "504"}
)
_WRONG_URLS = frozenset({"ParamValidationError", "InvalidEndpointConfigurationError"})


@dataclass(frozen=True)
class ManifestFile:
    """One file of a folder."""

    path: str
    """From the folder, with ``/``."""
    digest: str
    """SHA-256 of its content."""
    size: int
    """Bytes."""


@dataclass(frozen=True)
class Manifest:
    """The files of a folder, by path."""

    files: tuple[ManifestFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.size for file in self.files)

    @property
    def content(self) -> bytes:
        """As it is kept: the same folder, the same bytes."""
        files = {file.path: [file.digest, file.size] for file in self.files}
        return json.dumps({"files": files}, sort_keys=True, separators=(",", ":")).encode()

    @property
    def digest(self) -> str:
        """What names it."""
        return sha256(self.content).hexdigest()

    @classmethod
    def of(cls, folder: Path, files: Sequence[str] | None = None) -> "Manifest":
        """The manifest of a folder, or of these files of it, as they lie now; links are followed."""
        places = [folder / name for name in files] if files is not None else list(folder.rglob("*"))
        named = {place.relative_to(folder).as_posix(): place for place in places if place.is_file()}
        read = (ManifestFile(name, sha256_of(named[name]), named[name].stat().st_size) for name in sorted(named))
        return cls(tuple(read))

    @classmethod
    def parse(cls, content: bytes, where: str) -> "Manifest":
        """What `content` was of; ``where`` names it in an error.

        Raises:
            ObjectDamaged: it is none.
            UnsafeArchive: a file of it would lie outside of the folder.
        """
        try:
            files = json.loads(content)["files"]
            listed = tuple(ManifestFile(path, digest, size) for path, (digest, size) in sorted(files.items()))
        except (KeyError, TypeError, ValueError, AttributeError) as cause:
            raise ObjectDamaged(where, "it is no manifest") from cause
        for file in listed:
            if not (isinstance(file.digest, str) and _DIGEST.fullmatch(file.digest) and type(file.size) is int):
                raise ObjectDamaged(where, "it is no manifest")
            if why := _unsafe(file.path):
                raise UnsafeArchive(where, file.path, why)
        return cls(listed)


class _Unwanted(Exception):
    """What ends a transfer that nobody wants any more, in the thread that it is in."""


@dataclass
class _Moved:
    """Bytes that a transfer has moved, as fsspec tells a callback of its own."""

    bytes: int = 0
    wanted: bool = True

    def set_size(self, size: int | None) -> None:
        """The manifest has it."""

    def relative_update(self, more: int = 1) -> None:
        """So many more bytes."""
        self.bytes += more
        if not self.wanted:
            raise _Unwanted


class Objects:
    """One place of objects. ``Objects.at`` opens it; nothing is asked of a server before something is needed."""

    def __init__(self, root: str, *, disk: bool) -> None:
        self._root, self._disk = root, disk

    @cached_property
    def _files(self) -> Any:  # noqa: ANN401 - an fsspec file system
        """It caches no listing: others write there, too."""
        import fsspec  # noqa: PLC0415 - only who shares objects waits for it

        options: Mapping[str, Any] = {} if self._disk else {"config_kwargs": _SERVER}
        kind = "file" if self._disk else "s3"
        return fsspec.filesystem(kind, skip_instance_cache=True, use_listings_cache=False, **options)

    @classmethod
    def at(cls, url: str) -> "Objects":
        """The objects at ``s3://bucket/prefix``, or in a folder by its path or ``file://`` URL.

        Region, endpoint and keys of a server of S3 come from the usual variables (``AWS_ENDPOINT_URL``,
        ``AWS_ACCESS_KEY_ID`` ...) and files, never from the URL.

        Raises:
            UnusableObjects: the URL is of no such place.
            ExtraMissing: what speaks S3 is not installed.
        """
        parts = urlsplit(url)
        if parts.scheme in {"", "file"}:
            if parts.netloc or not parts.path:
                raise UnusableObjects("it names no folder of this machine")
            return cls(str(Path(parts.path).expanduser().absolute()), disk=True)
        if parts.scheme != "s3":
            raise UnusableObjects(f"{parts.scheme}: is no place for objects")
        if not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment:
            raise UnusableObjects("it must be a bucket and a prefix, and no more: keys are never part of it")
        if find_spec("s3fs") is None:
            raise ExtraMissing("s3fs", "objects")
        return cls(f"{parts.netloc}{parts.path}".rstrip("/"), disk=False)

    def __repr__(self) -> str:
        return f"<Objects {self.url!r}>"

    @property
    def url(self) -> str:
        """Where it is; it holds no secret."""
        return f"{'file' if self._disk else 's3'}://{self._root}"

    def require_there(self) -> None:
        """See that it answers.

        Raises:
            ObjectsError: it does not, or there is no such bucket or folder.
        """
        self._size("manifests")
        if self._disk and not Path(self._root).is_dir():
            raise BucketMissing(self.url, f"mkdir -p {self._root}")

    def put(self, folder: Path, files: Sequence[str] | None = None, progress: Progress = silent) -> str:
        """Upload a folder, or these files of it, as far as its content is not there yet; gives its manifest's digest.

        Raises:
            Cancelled: the observer wants no more; files that were uploaded stay, and are not uploaded again.
            ObjectsError: it cannot be kept there.
            DiskFull: that is a disk, and there is no room.
            ObjectDamaged: a file changed while it was uploaded.
        """
        manifest = Manifest.of(folder, files)
        moved = partial(self._observed, progress, Phase.PUSH, folder.name, manifest)
        for file in manifest.files:
            if self._size(_blob(file.digest)) != file.size:
                moved(file, partial(self._upload, folder / file.path, file))
        advance(progress, Phase.PUSH, manifest.size, manifest.size, folder.name)
        self._write(_manifest(manifest.digest), manifest.content)
        return manifest.digest

    def manifest(self, digest: str) -> Manifest:
        """The manifest of that digest.

        Raises:
            ObjectMissing: there is none.
            ObjectDamaged: it is not what its digest says.
            UnsafeArchive: a file of it would lie outside of the folder.
            ObjectsError: it cannot be read.
        """
        key = _manifest(digest)
        return Manifest.parse(self._checked(key, self._read(key, _MOST_MANIFEST), digest), self._where(key))

    def read(self, file: ManifestFile) -> bytes:
        """The content of one small file.

        Raises:
            ObjectMissing, ObjectDamaged, ObjectsError: as `manifest`.
        """
        key = _blob(file.digest)
        return self._checked(key, self._read(key, file.size), file.digest)

    def fetch(self, digest: str, into: Path, progress: Progress = silent) -> Manifest:
        """Place the files of a manifest in a folder; those that lie there already and are sound stay.

        Raises:
            Cancelled: the observer wants no more; files that were placed stay.
            ObjectMissing: the manifest, or a file of it, is not there.
            ObjectDamaged: one of them is not what its digest says; it is not placed.
            UnsafeArchive: a file of it would lie outside of the folder.
            DiskFull: there is no room here.
            ObjectsError: it cannot be read.
        """
        manifest = self.manifest(digest)
        self.place(manifest, into, progress)
        return manifest

    def place(self, manifest: Manifest, into: Path, progress: Progress = silent, name: str = "") -> None:
        """As `fetch`, of a manifest that was read before, shown by that name if by any; raises what that does."""
        part = name or into.name
        moved = partial(self._observed, progress, Phase.FETCH, part, manifest)
        for file in manifest.files:
            place = into / file.path
            if place.is_file() and place.stat().st_size == file.size and sha256_of(place) == file.digest:
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            with replacing(place, file.size) as unchecked:
                moved(file, partial(self._download, file, unchecked))
        advance(progress, Phase.FETCH, manifest.size, manifest.size, part)

    def faults(self, digest: str) -> tuple[str, ...]:
        """What of a folder is missing or has another size there, one sentence each; contents are not read.

        Raises:
            ObjectsError: it cannot be looked at.
        """
        try:
            manifest = self.manifest(digest)
        except (ObjectMissing, ObjectDamaged, UnsafeArchive) as cause:
            return (str(cause),)
        sizes = ((file, self._size(_blob(file.digest))) for file in manifest.files)
        return tuple(
            f"{file.path} ({self._where(_blob(file.digest))}) is {'missing' if size is None else 'damaged'}"
            for file, size in sizes
            if size != file.size
        )

    def damaged(self) -> Iterator[str]:
        """Digests of the files that are kept and have another content now; each is read from end to end.

        Raises:
            ObjectsError: they cannot be listed or read.
        """
        with self._answering("blobs"):
            places = sorted(self._files.find(self._path("blobs")))
        for digest in filter(_DIGEST.fullmatch, (PurePosixPath(str(place)).name for place in places)):
            with suppress(ObjectMissing), self._answering(key := _blob(digest)):
                with self._files.open(self._path(key), "rb") as content:
                    same = file_digest(content, "sha256").hexdigest() == digest
                if not same:
                    yield digest

    def drop(self, digest: str) -> None:
        """Remove a file that is damaged: who has it uploads it again.

        Raises:
            ObjectsError: it cannot be removed there.
        """
        self._remove(_blob(digest))

    def name(self, kind: str, name: str, digest: str) -> None:
        """Let a name stand for a folder from now on.

        Raises:
            ObjectsError: it cannot be kept there.
        """
        self._write(_name(kind, name), json.dumps({"manifest": digest}).encode())

    def named(self, kind: str, name: str) -> str | None:
        """The digest of the folder that a name stands for; None where there is none.

        Raises:
            ObjectDamaged: what is kept of it cannot be read.
            ObjectsError: it cannot be looked up.
        """
        if _NAME.fullmatch(name) is None:
            return None
        try:
            kept = json.loads(self._read(_name(kind, name), _MOST_MANIFEST))
        except ObjectMissing:
            return None
        except ValueError as cause:
            if isinstance(cause, TransferZooError):
                raise
            kept = None
        digest = kept.get("manifest") if isinstance(kept, dict) else None
        if not isinstance(digest, str) or _DIGEST.fullmatch(digest) is None:
            raise ObjectDamaged(self._where(_name(kind, name)), "it names no manifest")
        return digest

    def forget(self, kind: str, name: str) -> None:
        """Let a name stand for nothing; what it stood for stays, for others may have it by another name.

        Raises:
            ObjectsError: it cannot be removed there.
        """
        self._remove(_name(kind, name))

    def names(self, kind: str) -> tuple[str, ...]:
        """All names of a kind, in order.

        Raises:
            ObjectsError: they cannot be listed.
        """
        folder = f"names/{kind}"
        try:
            with self._answering(folder):
                listed = self._files.ls(self._path(folder), detail=False)
        except ObjectMissing:
            return ()
        names = (PurePosixPath(str(place)).name for place in listed)
        return tuple(sorted(name.removesuffix(".json") for name in names if name.endswith(".json")))

    def _remove(self, key: str) -> None:
        with suppress(ObjectMissing), self._answering(key):
            self._files.rm_file(self._path(key))

    def _observed(
        self,
        progress: Progress,
        phase: Phase,
        part: str,
        manifest: Manifest,
        file: ManifestFile,
        transfer: Callable[[_Moved], None],
    ) -> None:
        """Move one file of a manifest in a thread of its own, and tell of the bytes that have moved of all, in order.

        On a disk the bytes of a file are known when it is there.
        """
        before = sum(other.size for other in manifest.files[: manifest.files.index(file)])
        moved = _Moved()
        advance(progress, phase, before, manifest.size, part)
        with ThreadPoolExecutor(1, "objects") as pool:
            moving = pool.submit(transfer, moved)
            try:
                while not wait([moving], _POLL).done:
                    advance(progress, phase, min(before + moved.bytes, manifest.size), manifest.size, part)
            finally:
                moved.wanted = moving.done()
        moving.result()

    def _upload(self, source: Path, file: ManifestFile, moved: _Moved) -> None:
        self._write(_blob(file.digest), source, moved)
        if source.stat().st_size != file.size or sha256_of(source) != file.digest:
            self._remove(_blob(file.digest))
            raise ObjectDamaged(str(source), "it changed while it was uploaded")

    def _write(self, key: str, content: Path | bytes, moved: _Moved | None = None) -> None:
        """Whole or not at all: S3 shows nothing before it is complete, on a disk it takes its place when it is."""
        with self._answering(key):
            if not self._disk:
                self._send(content, self._path(key), moved)
                return
            if not Path(self._root).is_dir():
                raise BucketMissing(self.url, f"mkdir -p {self._root}")
            place = Path(self._path(key))
            place.parent.mkdir(parents=True, exist_ok=True)
            with replacing(place, len(content) if isinstance(content, bytes) else content.stat().st_size) as unseen:
                self._send(content, str(unseen), moved)

    def _send(self, content: Path | bytes, place: str, moved: _Moved | None) -> None:
        if isinstance(content, bytes):
            self._files.pipe_file(place, content)
        else:
            self._files.put_file(str(content), place, callback=moved or _Moved())

    def _read(self, key: str, most: int) -> bytes:
        with self._answering(key):
            content: bytes = self._files.cat_file(self._path(key), start=0, end=most + 1)
        if len(content) > most:
            raise ObjectDamaged(self._where(key), "it is larger than it should be")
        return content

    def _download(self, file: ManifestFile, unchecked: Path, moved: _Moved) -> None:
        key = _blob(file.digest)
        with self._answering(key):
            self._files.get_file(self._path(key), str(unchecked), callback=moved)
        size = unchecked.stat().st_size
        if size != file.size:
            raise ObjectDamaged(self._where(key), f"it has {size} bytes, not {file.size}")
        if sha256_of(unchecked) != file.digest:
            raise ObjectDamaged(self._where(key), "its content does not match its digest")

    def _checked(self, key: str, content: bytes, digest: str) -> bytes:
        if sha256(content).hexdigest() != digest:
            raise ObjectDamaged(self._where(key), "its content does not match its digest")
        return content

    def _size(self, key: str) -> int | None:
        """Bytes of an object; None where there is none."""
        try:
            with self._answering(key):
                return int(self._files.info(self._path(key))["size"])
        except ObjectMissing:
            return None

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    def _where(self, key: str) -> str:
        return f"{self.url}/{key}"

    @contextmanager
    def _answering(self, key: str) -> Iterator[None]:
        """Whatever the place's library raises becomes one error of ours. Its own words stay out: they may hold keys."""
        try:
            yield
        except TransferZooError:
            raise
        except Exception as cause:
            if is_disk_full(cause):
                with disk_full_named(Path(self._root)):
                    raise
            raise self._error(key, cause) from cause

    def _error(self, key: str, cause: Exception) -> TransferZooError:
        links = list(chain_of(cause))
        kinds = {kind.__name__ for link in links for kind in type(link).__mro__}
        codes = {str(response["Error"].get("Code")) for link in links if (response := _response(link)) is not None}
        why = ", ".join(sorted(codes)) or type(cause).__name__
        if "NoSuchBucket" in codes:
            return BucketMissing(self.url, f"aws s3 mb s3://{self._root.partition('/')[0]}")
        if "FileNotFoundError" in kinds:
            there = not self._disk or Path(self._root).is_dir()
            return ObjectMissing(self._where(key)) if there else BucketMissing(self.url, f"mkdir -p {self._root}")
        if kinds & _WRONG_URLS:
            return UnusableObjects("its bucket has a name that no bucket can have")
        if kinds & _NO_ACCESS or codes & _NO_ACCESS_CODES or "PermissionError" in kinds:
            return ObjectsRefused(self.url, "there are no keys" if kinds & _NO_ACCESS else why)
        away = kinds & _AWAY or codes & _BUSY_CODES
        return (ObjectsAway if away else ObjectsFailed)(self.url, why)


def _response(link: BaseException) -> Mapping[str, Any] | None:
    """What a server answered, where botocore's error holds it."""
    response = getattr(link, "response", None)
    return response if isinstance(response, dict) and isinstance(response.get("Error"), dict) else None


def _unsafe(path: str) -> str:
    """Why a path of a manifest must not be written to; empty for one that may."""
    parts = path.split("/")
    if path.startswith("/") or "\\" in path or "\0" in path or ":" in parts[0]:
        return "is no plain relative path"
    if any(part in {"", ".", ".."} for part in parts):
        return "would lie outside of its folder"
    return ""


def _blob(digest: str) -> str:
    return f"blobs/{digest[:2]}/{digest}"


def _manifest(digest: str) -> str:
    return f"manifests/{digest[:2]}/{digest}.json"


def _name(kind: str, name: str) -> str:
    return f"names/{kind}/{name}.json"
