"""What comes with transferzoo and with modalities that packages bring: their catalogs, taken into the database once."""

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import lru_cache
from hashlib import sha256
from importlib import import_module
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

from registry.errors import UnknownName
from registry.forms import from_json
from registry.listings import Listing
from registry.modalities import modalities
from registry.progress import Phase, Progress, advance
from registry.sketch import Lens
from registry.store import Entries, Store

__all__ = ["Catalogs"]

_READ = ("checkpoints/**/*", "domains/**/*", "lenses*", "lenses/**/*", "outcomes/*")


class Catalogs:
    """The bundled catalog and those of plug-ins; ``note`` hears of one that could not be taken in."""

    def __init__(self, bundled: Path, store: Store, note: Callable[[str], None]) -> None:
        self.bundled, self._store, self._note = bundled, store, note
        self._lenses: dict[str, Lens] = {}
        self._listings: tuple[str | None, tuple[Listing, ...]] = (None, ())

    def load(self, progress: Progress, *, again: bool = False, writable: bool = True) -> None:
        """Take in what they hold, if that is not what was taken in last.

        Raises:
            BadCard: a catalog has a bad file.
        """
        folders = self._folders()
        digests = [_folder_digest(folder) for folder in folders]
        digest = digests[0] if len(digests) == 1 else sha256(" ".join(digests).encode()).hexdigest()
        if self._store.note("catalog") == digest and not again:
            return
        if not writable:
            self._note("the bundled catalog has changed since this home was last written; what it held then is shown")
            return
        advance(progress, Phase.CATALOG, 0, 1)
        catalogs = [_catalog_as(folder, digest) for folder, digest in zip(folders, digests, strict=True)]
        parts = [(one.checkpoints, one.domains, one.sketches, one.outcomes, one.rows) for one in catalogs]
        entries = Entries(*(tuple(chain.from_iterable(part)) for part in zip(*parts, strict=True)))
        listings = json.dumps([asdict(listing) for one in catalogs for listing in one.listings])
        self._store.write_bundled(entries, {"catalog": digest, "listings": listings})
        advance(progress, Phase.CATALOG, 1, 1)

    @property
    def listings(self) -> tuple[Listing, ...]:
        """All checkpoints of hubs that they describe, by name."""
        digest = self._store.note("catalog")
        if digest != self._listings[0]:
            self._listings = digest, self._read_listings()
        return self._listings[1]

    @property
    def lenses(self) -> tuple[Lens, ...]:
        """The lens of each modality that has one."""
        return tuple(lens for one in modalities.each() if (lens := self._lens_or_none(one.name)) is not None)

    def lens(self, modality: str) -> Lens:
        """What all samples and domains of a modality are seen through.

        Raises:
            UnknownName: there is none for it.
        """
        if modality not in self._lenses:
            self._lenses[modality] = _catalog().read_lens(self.of(modality), modality)
        return self._lenses[modality]

    def of(self, modality: str) -> Path:
        """The catalog that holds what is bundled of a modality."""
        own = modalities[modality].catalog if modality in modalities else None
        return own or self.bundled

    def _lens_or_none(self, modality: str) -> Lens | None:
        try:
            return self.lens(modality)
        except UnknownName:
            return None

    def _folders(self) -> list[Path]:
        """The bundled catalog, then those of plug-ins."""
        return [self.bundled, *(known.catalog for known in modalities.each() if known.catalog is not None)]

    def _read_listings(self) -> tuple[Listing, ...]:
        """As they were taken in with the catalog; where that is damaged, as the catalog has them."""
        try:
            listings = [from_json(Listing, kept) for kept in json.loads(self._store.note("listings") or "[]")]
        except (KeyError, TypeError, ValueError, AttributeError):
            listings = [one for folder in self._folders() for one in _catalog().read_catalog(folder).listings]
        return tuple(sorted(listings, key=lambda listing: listing.name.casefold()))


@lru_cache(maxsize=2)
def _catalog_as(folder: Path, digest: str) -> Any:  # noqa: ANN401, ARG001 - a Catalog; the digest tells whether it is still the same
    """What a catalog folder of that digest holds; the second home that a process opens need not read it again."""
    return _catalog().read_catalog(folder)


def _catalog() -> ModuleType:
    """The room that reads cards; pydantic is loaded only when one is read."""
    return import_module("registry.catalog")


def _folder_digest(catalog: Path) -> str:
    """SHA-256 over a catalog's cards, sketches, lenses and outcomes; cards vouch for the weights."""
    total = sha256()
    for path in sorted(path for part in _READ for path in catalog.glob(part) if path.is_file()):
        total.update(f"{path.relative_to(catalog).as_posix()} {path.stat().st_size}\n".encode())
        total.update(path.read_bytes())
    return total.hexdigest()
