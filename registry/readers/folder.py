"""Items in class folders on disk.

Links are followed as long as they stay inside the folder; those that lead out of it only where that was said. What is
neither file nor folder (pipes, devices, sockets) is never opened.
"""

import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from registry.errors import NoItems
from registry.home import is_home
from registry.modalities import Modality, Reading
from registry.progress import Phase, Progress, advance, silent
from registry.readers.layout import (
    LayoutPart,
    LayoutRule,
    counted,
    infer_layout,
    is_by_folders,
    is_hidden_item,
    is_item,
    is_litter,
    not_items,
    other_files,
    plain_name,
    read_parts,
    sampled,
    unread,
    without_labels,
)
from registry.readers.other_tasks import ANNOTATIONS, HEAD_BYTES, refuse_other_tasks
from registry.readers.rows import MAX_BYTES, TOLERATED, Rows, known_suffixes, prevailing, read_items

__all__ = ["content", "read_folder"]

_TELL_EVERY = 5_000
_MOST_ENTRIES = 5_000_000
_MOST_LINKS = 10_000
_MOST_BESIDE = 100_000
_LISTED = 3
_OURS = frozenset({".git", ".hg", ".svn"})
"""Hidden folders of tools, in which nobody keeps data."""


def read_folder(
    path: Path,
    *,
    limit: int,
    modality: Modality | None = None,
    seed: int = 0,
    rule: LayoutRule | None = infer_layout,
    follow_links: bool = False,
    reading: Reading | None = None,
    progress: Progress = silent,
) -> Rows:
    """Scan, label (``rule``), sample to ``limit`` rows a part, then decode. Hidden files and folders are passed over.

    Without ``modality`` it is that of most files there. Without ``rule`` every item counts, wherever it lies, and any
    number of them may be unreadable. Items are settled by ``reading``, and else as they are measured themselves. Links
    that lead out of ``path`` need ``follow_links``.

    Raises:
        NoItems: no item lies there, or none in a class folder.
        AmbiguousLayout: folders that may be read one way or another.
        TooManyUnreadable: more than one in five cannot be read.
    """
    listing = _Listing(path, follow_links)
    every = listing.scan(progress)
    if rule is not None and is_by_folders(rule):
        refuse_other_tasks(path, (*every, *listing.beside), listing.head)
    kind, mixed = prevailing(every, modality)
    names = [name for name in every if is_item(name, kind.suffixes)]
    listing.others.update(PurePosixPath(name).suffix.lower() for name in every if not is_item(name, kind.suffixes))
    if not names:
        raise NoItems(
            path,
            kind.words.many if rule is None else f"{kind.words.many} in class folders",
            len(listing.closed),
            there=listing.instead,
            remedy=listing.remedy(kind),
        )
    layout, tolerated = (without_labels(names), 1.0) if rule is None else (rule(path, names, kind.words), TOLERATED)

    def read(part: LayoutPart, reading: Reading | None) -> Rows:
        drawn = sampled(part, limit, seed)
        rows = read_items(
            path,
            drawn.names,
            drawn.labels,
            listing.fetch,
            modality=kind,
            progress=progress,
            tolerated=tolerated,
            reading=reading,
        )
        return replace(rows, total=len(part.names))

    return read_parts(layout, read, reading, (*listing.notes(kind), *mixed))


def content(path: Path) -> tuple[bytes, Path]:
    """A file's bytes, and its path.

    Raises:
        OSError: it cannot be read, holds too much, or is no regular file.
    """
    try:
        status = path.stat()
    except FileNotFoundError as cause:
        raise OSError(_astray(path) if path.is_symlink() else cause.strerror) from cause
    if not stat.S_ISREG(status.st_mode):
        raise OSError("a pipe, a device or a socket, no file")
    if status.st_size > MAX_BYTES:
        raise OSError(f"{status.st_size >> 20} MiB, more than {MAX_BYTES >> 20}")
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1), path


@dataclass
class _Listing:
    """What lies below a folder, and what was passed over there."""

    root: Path
    follow_links: bool
    others: Counter[str] = field(default_factory=Counter)
    """Files that hold no item of any modality by their endings, and later those of others than the one that is read."""
    beside: list[str] = field(default_factory=list)
    """Files that hold no item and may say what is in one; of many the first."""
    closed: list[tuple[str, str]] = field(default_factory=list)
    """Folders that cannot be opened, and why."""
    outward: list[str] = field(default_factory=list)
    """Links to folders outside, not followed."""
    outside: set[str] = field(default_factory=set)
    """Links to items outside, not followed."""
    passed: list[str] = field(default_factory=list)
    """Hidden folders."""
    hidden: list[str] = field(default_factory=list)
    """Hidden items."""
    circles: list[str] = field(default_factory=list)
    """Links to a folder that they lie in, not followed."""
    litter: Counter[str] = field(default_factory=Counter)
    homes: list[str] = field(default_factory=list)
    """Folders of registries."""
    empty: list[str] = field(default_factory=list)
    """Folders with nothing in them."""
    links: int = 0
    entries: int = 0
    suffixes: frozenset[str] = field(default_factory=known_suffixes)

    def scan(self, progress: Progress) -> list[str]:
        """Names of all items below the root, of whatever modality."""
        names: list[str] = []
        for name in self._files():
            if is_item(name, self.suffixes):
                names.append(name)
                if len(names) % _TELL_EVERY == 0:
                    advance(progress, Phase.FIND, len(names), 0, "files")
            else:
                suffix = PurePosixPath(name).suffix.lower()
                self.others[suffix] += 1
                if suffix in ANNOTATIONS and len(self.beside) < _MOST_BESIDE:
                    self.beside.append(name)
        return names

    def head(self, name: str) -> bytes:
        """The first bytes of a named file; of an item all; nothing where it cannot be read."""
        try:
            if is_item(name, self.suffixes):
                return self.fetch(name)[0]
            if not (self.root / name).is_file():
                return b""
            with (self.root / name).open("rb") as file:
                return file.read(HEAD_BYTES)
        except OSError:
            return b""

    def fetch(self, name: str) -> tuple[bytes, Path]:
        """A named item's bytes, and its path.

        Raises:
            OSError: it cannot be read, or lies outside.
        """
        if name in self.outside:
            raise OSError("a link out of the folder; --follow-links follows it")
        return content(self.root / name)

    def notes(self, modality: Modality) -> tuple[str, ...]:
        """What was passed over, in words."""
        notes = [f"folder {name} cannot be opened: {why}" for name, why in self.closed]
        if self.outward:
            notes.append(
                f"{counted(len(self.outward), 'link')} out of the folder not followed ({self._some(self.outward)}): "
                "--follow-links follows them"
            )
        if self.circles:
            links = counted(len(self.circles), "link")
            notes.append(f"{links} back to a folder around it not followed ({self._some(self.circles)})")
        if self.links > _MOST_LINKS:
            notes.append(f"{self.links - _MOST_LINKS} links to folders not followed: more than {_MOST_LINKS:,}")
        if self.passed:
            notes.append(f"{counted(len(self.passed), 'hidden folder')} passed over ({self._some(self.passed)})")
        hidden = [name for name in self.hidden if is_hidden_item(name, modality.suffixes)]
        if hidden:
            notes.append(f"{modality.words.count(len(hidden), 'hidden')} passed over ({self._some(hidden)})")
        for name, count in self.litter.items():
            notes.append(f"{counted(count, 'folder')} {name}/ passed over: a system's own")
        if self.homes:
            notes.append(f"{counted(len(self.homes), 'folder')} of a registry passed over ({self._some(self.homes)})")
        if self.empty:
            notes.append(f"{counted(len(self.empty), 'empty folder')} passed over ({self._some(self.empty)})")
        if self.others:
            notes.append(not_items(self.others, modality.words))
        return tuple(notes)

    @property
    def instead(self) -> str:
        """What lies there where no item does."""
        links = counted(len(self.outward), "link") + f" out of it ({self._some(self.outward)})" if self.outward else ""
        return " and ".join(part for part in (other_files(self.others), links) if part)

    def remedy(self, modality: Modality) -> str:
        """What to do where no item lies there."""
        if self.outward:
            return "Pass --follow-links (follow_links=True) to read what they lead to, or give that folder itself."
        if self.others and set(self.others) <= {".zip"}:
            return "Give one of the zips, or unpack them: a zip is read by itself, never within another place."
        return unread(self.others, modality)

    def _some(self, names: list[str]) -> str:
        shown = [plain_name(name) for name in sorted(names)[:_LISTED]]
        return ", ".join(shown) + (", ..." if len(names) > _LISTED else "")

    def _files(self) -> Iterator[str]:
        home = os.path.realpath(self.root)
        waiting: list[tuple[str, tuple[str, ...]]] = [("", (home,))]
        while waiting:
            below, chain = waiting.pop()
            try:
                with os.scandir(os.path.join(self.root, below)) as entries:  # noqa: PTH118 - Path is slow for 100,000
                    hollow = bool(below)
                    for entry in entries:
                        self.entries += 1
                        hollow = hollow and entry.name.startswith(".")
                        if self.entries > _MOST_ENTRIES:
                            raise NoItems(
                                self.root,
                                f"sample: more than {_MOST_ENTRIES:,} files lie there",
                                remedy="Give the folder of the items themselves.",
                            )
                        name = f"{below}{entry.name}"
                        if not self._goes_deeper(entry, name, home, chain, waiting):
                            yield name
                    if hollow:
                        self.empty.append(below)
            except OSError as cause:
                self.closed.append((plain_name(below) or ".", cause.strerror or str(cause)))

    def _goes_deeper(
        self,
        entry: os.DirEntry[str],
        name: str,
        home: str,
        chain: tuple[str, ...],
        waiting: list[tuple[str, tuple[str, ...]]],
    ) -> bool:
        """Whether there is nothing to see in an entry itself: it is hidden, or a folder (which waits, then)."""
        linked = entry.is_symlink()
        try:
            folder = entry.is_dir()
        except OSError:  # a link to itself
            folder = False
        if self._passes_over(entry.name, name, folder=folder):
            return True
        if not linked:
            if folder:
                waiting.append((f"{name}/", chain))
            return folder
        target = os.path.realpath(entry.path)
        inside = _within(target, home) or self.follow_links
        if not folder:
            if not inside and os.path.exists(target):  # noqa: PTH110 - as above
                self.outside.add(name)
            return False
        here = os.path.realpath(os.path.dirname(entry.path))  # noqa: PTH120 - as above
        if not inside:
            self.outward.append(f"{name}/")
        elif any(_within(place, target) for place in (here, *chain)):
            self.circles.append(f"{name}/")
        else:
            self.links += 1
            if self.links <= _MOST_LINKS:
                waiting.append((f"{name}/", (*chain, target)))
        return True

    def _passes_over(self, own: str, name: str, *, folder: bool) -> bool:
        """Whether an entry is hidden or a system's litter; which is counted, then."""
        if own.startswith("."):
            if folder and own not in _OURS:
                self.passed.append(f"{name}/")
            elif not folder and is_hidden_item(own, self.suffixes):
                self.hidden.append(name)
            return True
        if folder and is_litter(own):
            self.litter[own] += 1
            return True
        if folder and is_home(self.root / name):
            self.homes.append(f"{name}/")
            return True
        return False


def _within(place: str, folder: str) -> bool:
    """Whether a real path is a folder or lies below it."""
    return f"{place.rstrip('/')}/".startswith(f"{folder.rstrip('/')}/")


def _astray(link: Path) -> str:
    annexed = "annex" in link.readlink().parts
    return f"a link that leads nowhere{'; fetch what it stands for: git annex get' if annexed else ''}"
