"""Samples that were uploaded: streamed to the disk, named by their content, each key's own, removed after a while.

Where objects are shared, so are they: what one machine has taken another's service has, too.
"""

import hashlib
import re
from asyncio import to_thread, wait_for
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory

from recommender.checks import require_places
from registry.errors import LimitReached, PathMissing, UploadRefused
from registry.files import disk_full_named, flush
from registry.object_cache import ObjectCache
from registry.objects import Manifest, Objects
from registry.zoo import Zoo
from ui.uploads import clear_folders, file_stem
from ui.web.bodies import SampleView
from ui.web.problems import Absent

__all__ = ["KEPT_SECONDS", "Samples"]

KEPT_SECONDS = 30 * 24 * 3600.0
_SUFFIXES = (".zip", ".csv", ".tsv", ".jsonl", ".json", ".parquet")
_SILENCE = 30.0
"""Seconds within which something more of an upload must come."""
_ID = 32
_SAMPLES = "samples"
"""What shared uploads are named under, as ``<owner>-<id>``."""


class Samples:
    """The uploads of all keys, in a folder of the home."""

    def __init__(self, zoo: Zoo, *, most_bytes: int, most_bytes_a_key: int) -> None:
        self._zoo, self._root = zoo, zoo.home.root / "samples"
        self._most_bytes, self._most_bytes_a_key = most_bytes, most_bytes_a_key

    def folder(self, owner: str) -> Path:
        """Where the uploads of one key lie."""
        return self._root / owner

    def without_places(self, text: str) -> str:
        """A text that calls uploads as they were sent, and does not say where they lie here."""
        place = rf"{re.escape(str(self._root))}/[^/\s]+/(?:\.\w+/|[0-9a-f]{{{_ID}}}/)?"
        return re.sub(place, "", text)

    def is_owned(self, place: str, owner: str) -> bool:
        """Whether that path is of one of the key's uploads, to this machine or to another one that shares them."""
        path = Path(place)
        elsewhere = self._shared is not None and path.parts[-4:-2] == (self._root.name, owner)
        return path.is_relative_to(self.folder(owner)) or elsewhere

    def list(self, owner: str) -> list[SampleView]:
        """All uploads of a key.

        Raises:
            ObjectsError: those of other machines cannot be listed.
        """
        places = sorted(self.folder(owner).glob(f"{'?' * _ID}/*.*"))
        here = {place.parent.name: _view(place, created=False) for place in places}
        if self._shared is not None:
            for name in self._shared.objects.names(_SAMPLES):
                whose, _, sample = name.rpartition("-")
                if whose == owner and sample not in here and (view := self._elsewhere(name, sample)) is not None:
                    here[sample] = view
        return [here[sample] for sample in sorted(here)]

    def place(self, owner: str, name: str) -> Path:
        """Where an upload lies.

        Raises:
            Absent: the key has none of that id.
            ObjectsError: it is not here, and cannot be fetched from where another machine put it.
            DiskFull: there is no room for it here.
        """
        files: Sequence[Path] = sorted((self.folder(owner) / name).glob("*.*")) if name.isalnum() else []
        if not files and name.isalnum() and len(name) == _ID:
            files = self._fetched(owner, name)
        if not files:
            raise Absent(PathMissing(f"sample {name}"))
        files[0].parent.touch()
        return files[0]

    async def store(self, owner: str, name: str, chunks: AsyncIterator[bytes]) -> SampleView:
        """Write an upload as it comes, under the digest of its content.

        Raises:
            UploadRefused: it is too large, too slow, empty or of no kind that is read.
            LimitReached: the key has too many bytes here.
            SampleError: a zip that must not be opened.
            DiskFull: there is no room.
            ObjectsError: objects are shared, and it cannot be uploaded there; here it is.
        """
        suffix = Path(name).suffix.lower()
        if suffix not in _SUFFIXES:
            raise UploadRefused(f"{suffix or 'no ending'} is no kind that is read", _kinds(), status=415)
        mine, name = self.folder(owner), f"{file_stem(name)}{suffix}"
        mine.mkdir(parents=True, exist_ok=True)
        room = self._most_bytes_a_key - sum(file.stat().st_size for file in mine.rglob("*") if file.is_file())
        digest, size = hashlib.sha256(), 0
        with TemporaryDirectory(prefix=".", dir=mine) as folder:
            partial = Path(folder) / name
            with disk_full_named(partial), partial.open("wb") as out:
                async for chunk in _timely(chunks):
                    size += len(chunk)
                    if size > self._most_bytes:
                        raise UploadRefused(f"it has more than {self._most_bytes} bytes", "Send less.", status=413)
                    if size > room:
                        raise LimitReached("bytes", f"{self._most_bytes_a_key} a key", 60.0)
                    digest.update(chunk)
                    out.write(chunk)
            if size == 0:
                raise UploadRefused("it is empty", _kinds(), status=422)
            await to_thread(require_places, partial)
            flush(partial)
            view = _settle(partial, mine / digest.hexdigest()[:_ID])
        await to_thread(self._share, owner, view)
        return view

    def remove(self, owner: str, name: str) -> None:
        """Remove an upload.

        Raises:
            Absent: the key has none of that id.
            ObjectsError: other machines cannot be told so; here it is gone.
        """
        rmtree(self.place(owner, name).parent, ignore_errors=True)
        if self._shared is not None:
            self._shared.objects.forget(_SAMPLES, f"{owner}-{name}")

    def clear(self, *, older: float = KEPT_SECONDS) -> int:
        """Remove what nobody has used for so many seconds, but for what a job still needs; how many these were."""
        return clear_folders(self._zoo, self._root.glob("*/*"), older=older)

    @property
    def _shared(self) -> ObjectCache | None:
        return self._zoo.home.shared

    def _share(self, owner: str, view: SampleView) -> None:
        if self._shared is not None:
            digest = self._shared.objects.put(self.folder(owner) / view.id, [view.name])
            self._shared.objects.name(_SAMPLES, f"{owner}-{view.id}", digest)

    def _named(self, name: str) -> tuple[Objects, Manifest] | None:
        """What is shared under a name, and where; None where nothing is."""
        digest = None if self._shared is None else self._shared.objects.named(_SAMPLES, name)
        if self._shared is None or digest is None:
            return None
        return self._shared.objects, self._shared.manifest(digest)

    def _elsewhere(self, name: str, sample: str) -> SampleView | None:
        """An upload to another machine, without fetching it; None where it is forgotten at this moment."""
        shared = self._named(name)
        if shared is None:
            return None
        (file,) = shared[1].files
        return SampleView(id=sample, name=file.path, bytes=file.size, created=False)

    def _fetched(self, owner: str, name: str) -> Sequence[Path]:
        """Where an upload to another machine lies now; nothing where there is none."""
        shared = self._named(f"{owner}-{name}")
        if shared is None:
            return []
        objects, manifest = shared
        folder = self.folder(owner) / name
        folder.parent.mkdir(parents=True, exist_ok=True)
        with disk_full_named(folder, manifest.size), TemporaryDirectory(prefix=".", dir=folder.parent) as partial:
            objects.place(manifest, Path(partial) / name)
            with suppress(OSError):  # another request may have brought it meanwhile
                (Path(partial) / name).rename(folder)
        return sorted(folder.glob("*.*"))


def _settle(partial: Path, folder: Path) -> SampleView:
    """Let a whole upload take its place; where the same bytes lie there already, these stay."""
    if there := sorted(folder.glob("*.*")):
        folder.touch()
        return _view(there[0], created=False)
    folder.mkdir(exist_ok=True)
    partial.rename(folder / partial.name)
    return _view(folder / partial.name, created=True)


def _view(place: Path, *, created: bool) -> SampleView:
    return SampleView(id=place.parent.name, name=place.name, bytes=place.stat().st_size, created=created)


def _kinds() -> str:
    return f"Send a file that ends in {', '.join(_SUFFIXES)}, its name as `?name=`."


async def _timely(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same chunks; an end to them where too little comes."""
    while True:
        try:
            yield await wait_for(anext(chunks), _SILENCE)
        except StopAsyncIteration:
            return
        except TimeoutError as cause:
            raise UploadRefused(f"nothing came for {_SILENCE:.0f} s", "Send it again.", status=408) from cause
