"""The local cache of shared objects: folders that were fetched, until others need their room.

Each lies in a folder of its own, ``<key>/<name>``, and appears there when it is whole. What a process has fetched or
asked for lately it holds by a lock, which the system drops when the process dies; of what nobody holds, the least
recently used goes first.
"""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from shutil import rmtree
from weakref import WeakSet

from registry.errors import ObjectDamaged, ObjectMissing, ObjectsError, UnsafeArchive, UnusableObjects
from registry.files import disk_full_named, sha256_of, write_atomic
from registry.objects import Manifest, ManifestFile, Objects
from registry.progress import Progress, silent

__all__ = ["CACHE_GB", "CachedFolder", "ObjectCache", "cache_bound", "shared_objects"]

CACHE_GB = 20.0
"""Of the cache, where ``TRANSFERZOO_CACHE_GB`` says nothing else."""
_HELD_SECONDS = 3600.0
"""How long a folder is held after it was asked for, though nobody has it open."""
_LARGEST_GB = 1e6
_KEY = 32
_PARTIAL = ".partial"
_DIGEST = ".digest"
"""The file beside a folder that says which manifest it is of."""


@dataclass(frozen=True)
class CachedFolder:
    """What lies in the cache under one key."""

    path: Path
    name: str
    """Empty where it did not come to its end."""
    bytes: int
    used: float
    """When it was used last, in seconds since 1970."""


@dataclass
class _Hold:
    """A lock on a folder of the cache, and who has it open."""

    handle: int
    used: float
    users: "WeakSet[object]" = field(default_factory=WeakSet)


class ObjectCache:
    """Shared objects, and the folders of them that lie here. What is asked for is there, whatever the bound is."""

    def __init__(self, objects: Objects, folder: Path, bound: int) -> None:
        """At most ``bound`` bytes are kept in that folder of what nobody holds."""
        self.objects, self.folder, self.bound = objects, folder, bound
        self._holds: dict[str, _Hold] = {}
        self._manifests: dict[str, Manifest] = {}
        self._guard = threading.Lock()

    def place(self, digest: str, name: str) -> Path:
        """Where a folder lies, or is to lie; that is what it is called there."""
        return self.folder / _key(digest, name) / name

    def manifest(self, digest: str) -> Manifest:
        """The manifest of that digest; asked for once.

        Raises:
            ObjectsError: it is not there, or cannot be read.
        """
        if digest not in self._manifests:
            self._manifests[digest] = self._kept_manifest(digest) or self._keep(self.objects.manifest(digest))
        return self._manifests[digest]

    def fetch_file(self, kind: str, place: Path) -> bool:
        """Place the one file that is shared under its own name without ending; gives whether there is one.

        Raises:
            ObjectDamaged: it is not what its digest says, or something else is shared under that name.
            DiskFull: there is no room here.
            ObjectsError: it cannot be read.
        """
        digest = self.objects.named(kind, place.stem)
        if digest is None:
            return False
        manifest = self.objects.manifest(digest)
        if [file.path for file in manifest.files] != [place.name]:
            raise ObjectDamaged(f"{self.objects.url}/names/{kind}/{place.stem}.json", f"it is not of {place.name}")
        self.objects.place(manifest, place.parent)
        return True

    def share_file(self, kind: str, place: Path) -> None:
        """Share one file under its own name without ending.

        Raises:
            ObjectsError: it cannot be kept there.
        """
        self.objects.name(kind, place.stem, self.objects.put(place.parent, [place.name]))

    def fetch(self, digest: str, name: str, user: object | None = None, progress: Progress = silent) -> Path:
        """The folder of a manifest, fetched where it is not here; it stays while ``user`` lives, and for a while.

        Raises:
            Cancelled: the observer wants no more; files that came whole stay, for the next time.
            ObjectMissing: it, or a file of it, is not there.
            ObjectDamaged: a file of it is not what its digest says.
            DiskFull: there is no room here.
            ObjectsError: it cannot be read.
        """
        key, place = _key(digest, name), self.place(digest, name)
        with disk_full_named(place):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._hold(key, user)
        if not place.is_dir():
            with self._locked(f"{key}.fetching"):  # one process at a time; the others find it here
                if not place.is_dir():
                    self._bring(digest, place, progress)
        os.utime(place.parent)
        return place

    def release(self) -> None:
        """Hold nothing any more."""
        with self._guard:
            for key in [*self._holds]:
                os.close(self._holds.pop(key).handle)

    def folders(self) -> tuple[CachedFolder, ...]:
        """What lies in the cache, the least recently used first."""
        keyed = [place for place in self.folder.glob("?" * _KEY) if place.is_dir()]
        return tuple(sorted(filter(None, map(_cached, keyed)), key=lambda cached: (cached.used, cached.path)))

    def make_room(self, size: int = 0) -> int:
        """Remove the least recently used that nobody holds, until ``size`` more bytes are within the bound; how many.

        What is freed are bytes.
        """
        folders = self.folders()
        over, freed = sum(one.bytes for one in folders) + size - self.bound, 0
        for one in folders:
            if freed >= over:
                break
            if self._remove(one.path):
                freed += one.bytes
        return freed

    def _kept_manifest(self, digest: str) -> Manifest | None:
        """As it was kept beside the folders; None where it is not, or damaged."""
        try:
            manifest = Manifest.parse((self.folder / "manifests" / digest).read_bytes(), digest)
        except (OSError, UnsafeArchive):
            return None
        return manifest if manifest.digest == digest else None

    def _keep(self, manifest: Manifest) -> Manifest:
        place = self.folder / "manifests" / manifest.digest
        with disk_full_named(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(place, manifest.content, durable=False)
        return manifest

    def damage(self, cached: CachedFolder) -> str:
        """What is wrong with what lies under a key: read from end to end; empty where nothing is.

        Raises:
            ObjectsError: its manifest is neither here nor can be read there.
        """
        if not cached.name:
            return "" if self._is_held(cached.path) else "a process that was killed has left it half fetched"
        try:
            files = self.manifest((cached.path / _DIGEST).read_text()).files
        except OSError as cause:
            if isinstance(cause, ObjectsError) and not isinstance(cause, ObjectMissing):
                raise
            return "nothing says what it is to be"
        folder = cached.path / cached.name
        return next((f"{file.path} is not what was fetched" for file in files if not _is_sound(folder, file)), "")

    def remove(self, cached: CachedFolder) -> bool:
        """Remove what lies under a key, unless somebody holds it; gives whether it is gone."""
        return self._remove(cached.path)

    def _is_held(self, folder: Path) -> bool:
        with self._locked(f"{folder.name}.lock", wait=False) as is_locked:
            return not is_locked

    def _bring(self, digest: str, place: Path, progress: Progress) -> None:
        partial = place.with_name(f".{place.name}{_PARTIAL}")
        manifest = self.manifest(digest)
        self.make_room(manifest.size)
        with disk_full_named(partial, manifest.size):
            partial.mkdir(parents=True, exist_ok=True)
            self.objects.place(manifest, partial, progress, place.name)
            write_atomic(place.with_name(_DIGEST), digest.encode(), durable=False)
            partial.rename(place)

    def _remove(self, folder: Path) -> bool:
        """Remove what lies under one key, unless somebody holds it."""
        with self._locked(f"{folder.name}.lock", wait=False) as is_locked:
            if is_locked:
                for place in [one for one in folder.iterdir() if one.is_dir() and not one.name.endswith(_PARTIAL)]:
                    place.rename(place.with_name(f".{place.name}{_PARTIAL}"))  # in one go: no half of it is seen
                rmtree(folder, ignore_errors=True)
        return is_locked

    def _hold(self, key: str, user: object | None) -> None:
        with self._guard:
            now = time.monotonic()
            for idle in [name for name, hold in self._holds.items() if _is_idle(hold, now)]:
                os.close(self._holds.pop(idle).handle)
            if key not in self._holds:
                handle = os.open(self.folder / f"{key}.lock", os.O_RDWR | os.O_CREAT, 0o644)
                fcntl.flock(handle, fcntl.LOCK_SH)
                self._holds[key] = _Hold(handle, now)
            self._holds[key].used = now
            if user is not None:
                self._holds[key].users.add(user)

    @contextmanager
    def _locked(self, file: str, *, wait: bool = True) -> Iterator[bool]:
        """Alone with that file's lock for as long as this lasts; gives whether it is so, where it is not waited for."""
        handle = os.open(self.folder / file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(handle)


def shared_objects(url: str, folder: Path, bound: int) -> ObjectCache:
    """The objects at a URL with their cache in that folder: of one process, and so of one set of locks.

    Raises:
        UnusableObjects: the URL is of no place of objects.
        ExtraMissing: what speaks S3 is not installed.
    """
    return _of_process(url, folder, bound, os.getpid())


@lru_cache(maxsize=8)
def _of_process(url: str, folder: Path, bound: int, _process: int) -> ObjectCache:
    return ObjectCache(Objects.at(url), folder, bound)


def cache_bound(gigabytes: str | None) -> int:
    """The bound of the cache in bytes, from gigabytes as they are written in a setting.

    Raises:
        UnusableObjects: it is no number of gigabytes.
    """
    try:
        bound = CACHE_GB if not gigabytes else float(gigabytes)
    except ValueError:
        bound = -1.0
    if not 0 <= bound <= _LARGEST_GB:
        remedy = f"Set TRANSFERZOO_CACHE_GB to gigabytes, as {CACHE_GB:.0f}, or unset it."
        raise UnusableObjects(f"{gigabytes!r} is no number of gigabytes", "the bound of the cache", remedy)
    return int(bound * 1e9)


def _cached(folder: Path) -> CachedFolder | None:
    """What lies under a key; None where it is removed at this moment."""
    try:
        files = [one.stat().st_size for one in folder.rglob("*") if one.is_file() and one.name != _DIGEST]
        names = [one.name for one in folder.iterdir() if one.is_dir() and not one.name.endswith(_PARTIAL)]
        return CachedFolder(folder, names[0] if names else "", sum(files), folder.stat().st_mtime)
    except FileNotFoundError:
        return None


def _is_sound(folder: Path, file: ManifestFile) -> bool:
    place = folder / file.path
    return place.is_file() and place.stat().st_size == file.size and sha256_of(place) == file.digest


def _is_idle(hold: _Hold, now: float) -> bool:
    return not hold.users and now - hold.used > _HELD_SECONDS


def _key(digest: str, name: str) -> str:
    return sha256(f"{digest} {name}".encode()).hexdigest()[:_KEY]
