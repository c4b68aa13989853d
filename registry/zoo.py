"""Zoo: the one door of the registry. Open it, add to it, ask what is near, keep advice, record outcomes.

What writes to the registry's database is this list, and nothing else:

- the schema, made or migrated when a zoo is opened: `Zoo.open`;
- checkpoints, and the domains that come with them: `Zoo.add`, `Zoo.adopt` (of a hub), `Zoo.restore` (of a lock),
  `Zoo.promote` (of a run), `Zoo.renew`, `Zoo.use_inputs_up_to`, `Zoo.share`, `Zoo.forget`; a domain by itself:
  `Zoo.add_domain`; its sketch: `Zoo.sketch_anew`;
- outcomes: `Zoo.record`, `Zoo.record_all`, `Zoo.forget_outcomes`;
- advice: `Zoo.keep`;
- what hubs state of downloads: `Zoo.keep_downloads`;
- the bundled catalog and those of plug-ins, when a zoo is opened: `Zoo.load_catalog`;
- jobs by way of `Zoo.jobs`, the service's keys and audit by way of `Zoo.access`;
- rows that are damaged: `Zoo.quarantine` (`registry.damages`), and the doctor, who rescues a file
  that cannot be read (`registry.doctor.check`) and repairs (`registry.doctor.repair`).

Beside the database a home holds features and what encoding took (`registry.encodings`), the index of the sketches
(`registry.domain_search`) and the folders of runs (`recommender.runs.folder`). No module but the doctor and what a zoo
is made of (`registry.catalogs`, `registry.damages`, `registry.domain_search`) may import `registry.store`.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from shutil import rmtree
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import Float32

from registry.cards import Checkpoint, DeclaredDomains, Domain, Keepable, Origin, Outcome, Wanted
from registry.catalogs import Catalogs
from registry.damages import quarantine_row, what_is_lost
from registry.domain_search import DomainSearch
from registry.encoders import Encoder
from registry.encodings import Encodings
from registry.errors import (
    AlreadyThere,
    BadWeights,
    DiskFull,
    EncoderMismatch,
    HomeUnusable,
    NotHere,
    ObjectsError,
    RegistryBusy,
    RegistryCorrupt,
    UnknownName,
    UnsafeArchive,
    UnusableRequest,
)
from registry.features import Encoded, Features
from registry.files import disk_full_named
from registry.home import Home, catalog_folder
from registry.inspection import checkpoint_files, has_weights, inspect_folder, weights_bytes
from registry.licenses import Licenses, require_license
from registry.licensing import Licensing
from registry.listings import Listing, find_listing
from registry.modalities import Item
from registry.naming import naming
from registry.open_nets import OpenNets
from registry.progress import Progress, silent
from registry.sample import Sample
from registry.sketch import Lens, RowKeys, Sketch, sketch_of
from registry.store import Damage, Entries, Store, damaged_rows

__all__ = ["Zoo", "labelled_digests"]

_SKETCHED_ROWS = 2000
_MOST_DECLARED = 1000
"""Domains among which cards are searched for what they declare in words."""


class Zoo:
    """A registry in a home folder. Usable in a ``with`` statement; it holds no file open between calls."""

    def __init__(self, home: Home, store: Store, catalog: Path) -> None:
        self.home = home
        self.store = store
        self.jobs = store.jobs
        self.access = store.access
        self._notes: dict[str, None] = {}
        self._catalogs = Catalogs(catalog, store, self._note)
        self._encoders = OpenNets()
        self._domains = DomainSearch(store, home, self._note)
        self.encodings = Encodings(home, self.checkpoint, self.encoder, self._note)
        self._licensing = Licensing(self.listing, store.checkpoints, store.domains, self.declared_domains)

    @classmethod
    def open(
        cls,
        home: Path | str | None = None,
        *,
        registry: str | None = None,
        objects: str | None = None,
        catalog: Path | None = None,
        mend: bool = True,
        progress: Progress = silent,
    ) -> "Zoo":
        """The registry in that home (see `Home.find`), made if need be, with the bundled catalog in it.

        ``registry`` is the URL of a PostgreSQL database that several homes share; else ``TRANSFERZOO_REGISTRY``, else
        a file in the home. ``objects`` is where files are shared with other homes (see `registry.objects`); else
        ``TRANSFERZOO_OBJECTS``, else they stay in the home.

        Rows that are not as they were written are quarantined (see `quarantine`), and a registry that is lost is made
        anew, where ``mend`` allows; `notes` says so. A home that cannot be written is read only.

        Raises:
            HomeUnusable: the home cannot be made or read.
            DiskFull: there is no room.
            RegistryCorrupt: the database is damaged.
            RegistryNewer: a later transferzoo wrote it.
            RegistryBusy: another process held it too long.
            BadCard: the catalog has a bad file.
            RegistryAway: the registry's server does not answer.
            RegistryRefused: it lets nobody in.
            UnusableRegistry: the registry's URL is none.
            ExtraMissing: the server's driver, or what speaks S3, is not installed.
            UnusableObjects: the URL of shared objects is none.
        """
        place = Home.find(home, registry, objects)
        lost = what_is_lost(place)
        if lost and not mend:
            raise RegistryCorrupt(place.database, lost)
        store = Store.open(place.registry or place.database, writable=place.writable, mend=mend, beside=place.root)
        zoo = cls(place, store, catalog or catalog_folder())
        if lost:
            zoo._note(f"{place.database}: {lost}; a new registry was made")
        if not place.writable:
            zoo._note(f"{place.root} is read-only: it is read, and nothing is kept there")
        if mend and place.writable and store.database.checked_when_opened:
            zoo._set_damaged_aside()
        zoo.load_catalog(progress=progress)
        return zoo

    @property
    def catalog(self) -> Path:
        """The bundled catalog's folder."""
        return self._catalogs.bundled

    @property
    def notes(self) -> tuple[str, ...]:
        """What was met that is not as it should be, and what was done about it: one sentence each, the oldest first."""
        damages = self.store.database.left_out
        left_out = (f"{damage}: it is left out; run `transferzoo doctor --repair`" for damage in damages)
        return (*self._notes, *left_out)

    def __enter__(self) -> "Zoo":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._encoders.clear()
        self._domains.close()

    def __repr__(self) -> str:
        known = f"{_count(len(self), 'checkpoint')}, {_count(len(self.domains()), 'domain')}"
        return f"<Zoo {str(self.home.root)!r}: {known}>"

    def __len__(self) -> int:
        """How many checkpoints there are."""
        return len(self.checkpoints())

    def __bool__(self) -> bool:
        """A registry is one, empty or not."""
        return True

    def __iter__(self) -> Iterator[str]:
        """The checkpoints' names, in order."""
        return iter([card.name for card in self.checkpoints()])

    def __contains__(self, name: object) -> bool:
        return any(card.name == name for card in self.store.checkpoints(name=str(name)))

    def __getitem__(self, name: str) -> Checkpoint:
        """The checkpoint of that name.

        Raises:
            UnknownName: there is none.
        """
        return self.checkpoint(name)

    def checkpoints(self, modality: str | None = None) -> tuple[Checkpoint, ...]:
        """All checkpoints, or one modality's, by name."""
        return self._placed(self.store.checkpoints(modality))

    def checkpoint_count(self, wanted: Wanted) -> int:
        """How many checkpoints there are of which that is true; no card is read."""
        return self.store.checkpoint_count(wanted)

    def checkpoints_where(
        self, wanted: Wanted, *, most: int | None = None, each: int | None = None
    ) -> tuple[Checkpoint, ...]:
        """The checkpoints of which that is true, the largest first; of a domain at most ``each``.

        No card is read but those that are given.
        """
        return self._placed(self.store.checkpoints_where(wanted, most=most, each=each))

    def stated_licenses(self, modality: str | None = None) -> tuple[str, ...]:
        """Every license that a checkpoint here states for its weights, as it is written; no card is read."""
        return self.store.stated_licenses(modality)

    def state(self, modality: str) -> dict[str, object]:
        """What advice on a modality depends on, but outcomes: checkpoints, domains that have a sketch, and the lens."""
        lens = self.lens(modality)
        return {
            "checkpoints": sorted(self.store.checkpoint_digests(modality)),
            "domains": sorted(self.store.sketched_domains(lens.digest)),
            "lens": lens.digest,
        }

    def checkpoints_after(self, name: str, most: int, *, modality: str | None = None) -> tuple[Checkpoint, ...]:
        """The first checkpoints whose names come after one, by name: no more is read than is given."""
        return self._placed(self.store.checkpoints_after(name, most, modality))

    def domains_after(self, name: str, most: int, *, modality: str | None = None) -> tuple[Domain, ...]:
        """The first domains whose names come after one, by name: no more is read than is given."""
        return self.store.domains_after(name, most, modality)

    def history_after(self, name: str, most: int, *, checkpoint: str | None = None) -> tuple[Outcome, ...]:
        """The first outcomes whose ids come after one, by id: no more is read than is given."""
        return self.store.outcomes_after(name, most, checkpoint)

    def checkpoint(self, name: str) -> Checkpoint:
        """The checkpoint of that name.

        Raises:
            UnknownName: there is none.
            NotHere: it is known from a hub, and not fetched.
            RegistryCorrupt: it is damaged.
        """
        for card in self._placed(self.store.checkpoints(name=name)):
            return card
        if (listing := self.listing(name)) is not None:
            raise NotHere(listing.name, listing.hub)
        names = [card.name for card in self.checkpoints()] + [card.name for card in self.listings()]
        raise UnknownName("checkpoint", name, names)

    def domains(self, modality: str | None = None) -> tuple[Domain, ...]:
        """All domains, or one modality's, by name."""
        return self.store.domains(modality)

    def domains_named(self, names: Sequence[str]) -> tuple[Domain, ...]:
        """The domains of these names, as far as there are such, by name."""
        return self.store.domains(names=names)

    def declared_domains(self, modality: str) -> DeclaredDomains:
        """The domains that cards of a modality may declare in words: all, or of very many the catalog's alone."""
        many = self.store.domain_count(modality) > _MOST_DECLARED
        return DeclaredDomains(self.store.domains(modality, bundled=True if many else None))

    def domain(self, name: str) -> Domain:
        """The domain of that name.

        Raises:
            UnknownName: there is none.
        """
        for card in self.store.domains(names=[name]):
            return card
        raise UnknownName("domain", name, [card.name for card in self.domains()])

    def listings(self, modality: str | None = None) -> tuple[Listing, ...]:
        """All checkpoints of hubs that the catalog describes, or one modality's, by name, whether here or not."""
        return tuple(one for one in self._catalogs.listings if modality in {None, one.modality})

    def listing(self, name: str) -> Listing | None:
        """The listing of that name, hub id or earlier hub id; None where there is none."""
        return find_listing(self.listings(), name)

    def downloads(self) -> Mapping[str, int]:
        """How often checkpoints of hubs were downloaded, by hub id, as their hub stated when it was asked last."""
        try:
            kept = json.loads(self.store.note("downloads") or "{}")
        except ValueError:
            return {}
        known = kept.items() if isinstance(kept, dict) else ()
        return {hub: count for hub, count in known if isinstance(count, int) and not isinstance(count, bool)}

    def keep_downloads(self, counts: Mapping[str, int | None]) -> None:
        """Remember what a hub states of downloads, by hub id; None is not known, and changes nothing."""
        known = self.downloads()
        stated = {**known, **{hub: count for hub, count in counts.items() if count is not None}}
        if stated != known and self.home.writable:
            self.store.write_notes({"downloads": json.dumps(stated, sort_keys=True)})

    def unregistered(self, modality: str | None = None) -> tuple[Listing, ...]:
        """Listings that no registered checkpoint comes from, nor has the name of."""
        listings = self.listings(modality)
        known = tuple({name for one in listings for name in (one.name, one.hub, *one.aliases)})
        wanted = (Wanted(modality, names=known), Wanted(modality, hubs=known))
        cards = [card for one in wanted for card in self.store.checkpoints_where(one)]
        taken = {card.name for card in cards} | {card.locator.hub for card in cards if card.locator is not None}
        return tuple(one for one in listings if taken.isdisjoint({one.name, one.hub, *one.aliases}))

    def listing_of(self, card: Checkpoint) -> Listing | None:
        """What public sources say of a checkpoint that came from a hub, with what was counted on it; else None."""
        listing = None if card.locator is None else self.listing(card.locator.hub)
        return None if listing is None else listing.counted(card.parameters)

    def here(self, card: Checkpoint) -> bool:
        """Whether its weights lie where its card says, or are shared and so are fetched when it is opened."""
        if card.locator is not None:
            return all((card.folder / file.name).is_file() for file in card.locator.weights)
        return has_weights(card.folder) or self._is_shared(card)

    def at_hand(self, card: Checkpoint, user: object | None = None, progress: Progress = silent) -> Checkpoint:
        """The card with a folder in which its files lie: where they are shared and not here, they are fetched.

        What was fetched stays for as long as ``user`` lives.

        Raises:
            ObjectsError: its files are shared, and cannot be fetched.
            DiskFull: there is no room for them.
        """
        shared = self.home.shared
        if shared is None or not self._is_shared(card) or card.folder != shared.place(card.objects, card.name):
            return card
        return replace(card, folder=shared.fetch(card.objects, card.name, user, progress))

    def require_here(self, card: Checkpoint) -> None:
        """Its weights can be opened, as far as that is seen.

        Raises:
            NotHere: it comes from a hub, and its weights are not fetched.
        """
        if card.locator is not None and not self.here(card):
            raise NotHere(card.name, card.locator.hub, sum(file.bytes for file in card.locator.weights))

    def weights_bytes(self, card: Checkpoint | Listing) -> int | None:
        """Bytes of its weights: of the files here, else about what there is to fetch; None where that is unknown."""
        if isinstance(card, Listing):
            return card.bytes
        if card.locator is not None and not self.here(card):
            return sum(file.bytes for file in card.locator.weights)
        if self.home.shared is not None and card.objects and not has_weights(card.folder):
            try:
                files = self.home.shared.manifest(card.objects).files
            except (ObjectsError, UnsafeArchive):
                return None
            return sum(file.size for file in files if file.path.endswith(".safetensors"))
        return weights_bytes(card.folder)

    def licenses(self, card: Checkpoint | Listing) -> Licenses:
        """The licenses of its weights, of what it was trained from and of what it was trained on, kept apart."""
        return self._licensing.of(card)

    def licenses_once(self) -> Callable[[Checkpoint | Listing], Licenses]:
        """`licenses` for many cards: what they refer to is read once."""
        return self._licensing.once().of

    def lens(self, modality: str) -> Lens:
        """What all samples and domains of a modality are seen through.

        Raises:
            UnknownName: the catalog names none for it.
        """
        return self._catalogs.lens(modality)

    def sketch(self, domain: str) -> Sketch | None:
        """What is kept of a domain as seen through today's lens; None where there is nothing, or only of another lens.

        Raises:
            UnknownName: there is no such domain.
        """
        try:
            lens = self.lens(self.domain(domain).modality)
        except UnknownName as cause:
            if cause.what == "lens":
                return None
            raise
        return self.store.sketch(domain, lens.digest)

    def embeddings(self, modality: str, most: int) -> tuple[Float32[np.ndarray, " e"], ...]:
        """The embeddings of a modality's domains; of more than ``most`` the oldest, the newest, and evenly between."""
        numbers = self.store.sketch_numbers(self.lens(modality).digest)
        if len(numbers) > most:
            numbers = numbers[np.linspace(0, len(numbers) - 1, most).round().astype(int)]
        return tuple(self.store.embeddings(numbers.tolist()).values())

    def encoder(self, checkpoint: str, *, progress: Progress = silent) -> Encoder:
        """A checkpoint, opened.

        Raises:
            UnknownName: there is none of that name.
            CheckpointError: it cannot be used.
        """
        card = self.checkpoint(checkpoint)
        if checkpoint in self._encoders:
            return self._encoders.encoder(card)
        self.require_here(card)
        encoder = self._encoders.encoder(self.at_hand(card, progress=progress))
        self.at_hand(card, encoder)
        return encoder

    def encode(
        self,
        checkpoint: str,
        sample: Sample,
        *,
        whole: bool = False,
        known: Sample | None = None,
        progress: Progress = silent,
    ) -> Encoded:
        """Every block's features of a sample, kept in the home for the next time; see `Encodings.encode`.

        Raises:
            UnknownName: there is no such checkpoint.
            CheckpointError: it cannot be used.
        """
        return self.encodings.encode(checkpoint, sample, whole=whole, known=known, progress=progress)

    @property
    def opened(self) -> tuple[str, ...]:
        """Checkpoints that are held open, the most recently used last."""
        return tuple(self._encoders)

    def lens_features(self, sample: Sample, *, progress: Progress = silent) -> Features:
        """A sample's raw features through the lens of its modality.

        Raises:
            UnknownName: there is no lens, or its checkpoint is not registered.
            EncoderMismatch: the lens's checkpoint is not the one that the lens was fitted on.
        """
        lens = self.lens(sample.modality)
        encoded = self.encode(lens.checkpoint, sample, whole=True, progress=progress)
        read = next((block for block in encoded.blocks if block.encoder == lens.space), encoded.last)
        read.require_space(lens.space)
        return read

    def near(
        self, features: Features, k: int | None = None, *, family: str | None = None
    ) -> list[tuple[Domain, float]]:
        """The ``k`` nearest domains, or all, to a cloud seen through a lens, with their squared distances (MMD^2).

        With ``family`` the nearest of those of that family, however many of others are nearer.

        Raises:
            EncoderMismatch: the features lie in no lens's space.
        """
        lens = self._lens_of(features)
        search = partial(self._domains.nearest, lens, lens.embed(features.vectors), k, family=family)
        nearest = search()
        names = self.store.sketch_domains([number for number, _ in nearest])
        if len(names) < len(nearest):  # some were removed meanwhile
            nearest = search(anew=True)
            names = self.store.sketch_domains([number for number, _ in nearest])
        cards = {card.name: card for card in self.store.domains(names=list(names.values()))}
        ordered = [(names.get(number), square) for number, square in nearest]
        return [(cards[name], square) for name, square in ordered if name in cards]

    def add(
        self,
        folder: Path | str,
        *,
        name: str | None = None,
        source: Sample | None = None,
        license: str | None = None,
        domain: str | None = None,
        family: str | None = None,
        progress: Progress = silent,
    ) -> Checkpoint:
        """Register the checkpoint in a folder. It is not copied: the registry remembers where it lies.

        But where objects are shared: then its files are uploaded, and it can be opened from all other homes.

        It is opened and shown a few synthetic items, as advice will open it and show it the user's.

        ``source`` is a sample of what it was pretrained on: it is sketched and becomes the domain ``domain`` (else
        named as the sample is) of the family ``family`` (else the domain's own name). Without it, ``domain`` names a
        domain that is known already. Adding the same again changes nothing.

        Raises:
            PathMissing: no such folder.
            CheckpointError: the folder cannot be used.
            AlreadyThere: the name, or the domain's, belongs to something else.
            NameHeld: another process registers a checkpoint of that name at this moment.
            UnknownName: ``license`` is none; or ``domain`` is not known and no source was given.
            ObjectsError: objects are shared, and its files cannot be uploaded; nothing is registered.
        """
        place = Path(folder).expanduser().resolve()
        named = None if license is None else (require_license(license), license)
        if domain is not None and source is None:
            self.domain(domain)
        with naming(self.home, name or place.name):
            card = self._uploaded(self._known(inspect_folder(place, name or place.name), named), progress)
            if source is not None:
                known = self._with_source(card, source, domain or source.name, family, progress)
            else:
                known = Entries(checkpoints=(replace(card, domain=self.domain(domain).name) if domain else card,))
            self.store.write(known)
        if twins := self.same_weights(card):
            self._note(f"{card.name} holds the same weights, byte for byte, as {', '.join(twins)}")
        return self.checkpoint(card.name)

    def share(self, name: str, *, progress: Progress = silent) -> Checkpoint:
        """Upload a registered checkpoint's files, those too that are missing or damaged where objects are shared.

        Raises:
            UnknownName: there is none of that name.
            ObjectsError: its files cannot be uploaded.
        """
        card = self._uploaded(self.checkpoint(name), progress)
        return self.renew(card)

    def add_domain(
        self, source: Sample, *, name: str | None = None, family: str | None = None, progress: Progress = silent
    ) -> Domain:
        """Register a sample as a domain that things may have been trained on: its sketch and which rows it has.

        It is named as the sample is, and of a family of its own, where nothing else is said. Adding the same again
        changes nothing.

        Raises:
            AlreadyThere: the name belongs to another domain.
            UnknownName: there is no lens for the modality.
        """
        named = name or source.name
        known = next((one for one in self.domains() if one.name == named), None)
        if known is not None and known.digest != source.digest:
            raise AlreadyThere("domain", named)
        if known is None:
            described, sketch, rows = self._domain_of(source, named, family, progress)
            self.store.write(Entries((), (described,), (sketch,), rows=rows))
        return self.domain(named)

    def restore(self, card: Checkpoint) -> Checkpoint:
        """Take over a card as it is, of a folder whose weights are those that it names; looked at as `add` does.

        One of a hub whose weights are not here becomes known, and no more.

        Raises:
            CheckpointError: the folder cannot be used, or its weights are others.
            AlreadyThere: the name belongs to something else.
            NameHeld: another process registers a checkpoint of that name at this moment.
        """
        with naming(self.home, card.name):
            known_only = card.locator is not None and not self.here(card)
            if not known_only and inspect_folder(card.folder, card.name).digest != card.digest:
                raise BadWeights(card.folder, "all", "are not those that the card names")
            domain = card.domain if any(one.name == card.domain for one in self.domains(card.modality)) else None
            self.store.write(Entries(checkpoints=(replace(card, domain=domain),)))
        return self.checkpoint(card.name)

    def same_weights(self, card: Checkpoint) -> tuple[str, ...]:
        """Names of other checkpoints that hold the same weights, byte for byte."""
        others = self.store.checkpoints(card.modality)
        return tuple(one.name for one in others if one.digest == card.digest and one.name != card.name)

    def promote(
        self,
        card: Checkpoint,
        domain: Domain,
        source: Sample | None = None,
        *,
        also: Sequence[Item] = (),
        progress: Progress = silent,
    ) -> Checkpoint:
        """Take over a checkpoint that was made here: its folder moves into the home, all or nothing.

        ``card`` says what is known of it, its folder the rest. ``domain`` is what it was tuned on, sketched from
        ``source`` where that is given; which rows it consists of is kept, if need be from when it was tuned on, and
        ``also`` those without labels that were learned from beside them.

        Raises:
            CheckpointError: the folder cannot be used.
            AlreadyThere: the name, or the domain's, belongs to something else.
            HomeUnusable: the folder cannot be moved there.
            DiskFull: there is no room for it.
            ObjectsError: objects are shared, and its files cannot be uploaded.
        """
        inspected = inspect_folder(card.folder, card.name)
        place = self.home.checkpoints / card.name
        promoted = replace(
            card,
            folder=place,
            architecture=inspected.architecture,
            digest=inspected.digest,
            parameters=inspected.parameters,
            input_size=inspected.input_size,
            domain=domain.name,
        )
        sketches = () if source is None else (self._sketched(domain.name, source, progress),)
        if place.exists() or any(known.name == card.name for known in self.checkpoints()):
            raise AlreadyThere("checkpoint", card.name)
        try:
            with disk_full_named(place):
                card.folder.rename(place)
        except DiskFull:
            raise
        except OSError as cause:
            raise HomeUnusable(self.home.root, cause.strerror or str(cause)) from cause
        try:
            promoted = self._uploaded(promoted, progress)
            self.store.write(Entries((promoted,), (domain,), sketches, rows=self._rows_of(domain, source, also)))
        except BaseException:
            rmtree(place, ignore_errors=True)
            raise
        return self.checkpoint(card.name)

    def keep(self, advice: Keepable) -> None:
        """Keep advice; keeping it again changes nothing."""
        self.store.keep(advice)

    def advice(self, name: str | None = None, *, sample_digest: str | None = None) -> dict[str, Any] | None:
        """The advice of that id, or the newest (for a sample), as it was kept; None where there is none."""
        return self.store.advice(name, sample_digest=sample_digest)

    def first_advised(self, sample_digest: str) -> str | None:
        """When advice on a sample was first kept, in ISO 8601; None where none is."""
        return self.store.first_advised(sample_digest)

    def kept(self, most: int = 50) -> tuple[tuple[str, dict[str, Any]], ...]:
        """The newest advice, newest first, each with the time when it was kept."""
        return self.store.kept(most)

    def record(self, outcome: Outcome, sample: Sample | None = None) -> None:
        """Remember what became of a fine-tuning, and which rows it learned from; again, it changes nothing.

        Raises:
            AlreadyThere: a different outcome has that id.
        """
        rows = (
            ()
            if sample is None
            else (
                RowKeys.of(f"sample:{sample.digest}", (item.digest for item in sample.items)),
                RowKeys.of(f"targets:{sample.digest}", labelled_digests(sample)),
            )
        )
        self.store.write(Entries(outcomes=(outcome,), rows=rows))

    def record_all(self, outcomes: Sequence[Outcome]) -> None:
        """Remember outcomes of others, all or none.

        Raises:
            AlreadyThere: a different outcome has one of these ids.
        """
        self.store.write(Entries(outcomes=tuple(outcomes)))

    def forget_outcomes(self, ids: Sequence[str]) -> None:
        """Remove outcomes; the catalog's stay."""
        self.store.forget_outcomes(ids)

    def rows(self, owner: str) -> RowKeys | None:
        """Which rows a domain (by name), or a sample that was tuned on (``sample:`` and its digest), consists of.

        Under ``targets:`` and that digest are its rows with their targets, keyed by `labelled_digests`.
        """
        return self.store.rows(owner)

    def history(self, *, checkpoint: str | None = None, sample_digest: str | None = None) -> tuple[Outcome, ...]:
        """All outcomes, or those of a checkpoint or a sample."""
        return self.store.outcomes(checkpoint=checkpoint, sample_digest=sample_digest)

    def adopt(self, card: Checkpoint) -> Checkpoint:
        """Take over a card of a hub as it is; one of the same hub id and commit takes the place of an earlier one.

        Raises:
            AlreadyThere: the name belongs to something else.
            NameHeld: another process registers a checkpoint of that name at this moment.
        """
        with naming(self.home, card.name):
            for before in self.store.checkpoints(name=card.name):
                if before.locator is None or card.locator is None or before.locator.hub != card.locator.hub:
                    raise AlreadyThere("checkpoint", card.name)
                if before.locator.commit != card.locator.commit:
                    raise AlreadyThere("checkpoint", card.name)
                self.store.renew(card)
                break
            else:
                self.store.write(Entries(checkpoints=(card,)))
        return self.checkpoint(card.name)

    def use_inputs_up_to(self, name: str, cap: int) -> Checkpoint:
        """Make inputs of a checkpoint smaller only beyond that size from now on, whatever its modality does else.

        Raises:
            UnknownName: there is none of that name.
            CheckpointError: it cannot be used at that size.
        """
        card = replace(self.checkpoint(name), cap=cap)
        if self.here(card):
            folder = self.at_hand(card).folder
            import_module("registry.encoders.examination").examine_checkpoint(folder, name, cap)
        self._encoders.pop(name, None)
        return self.renew(card)

    def renew(self, card: Checkpoint) -> Checkpoint:
        """Keep what is newly known of a checkpoint: where it lies, how its repository stands.

        Raises:
            UnknownName: there is none of that name.
        """
        before = self.checkpoint(card.name)
        if card.folder == before.folder:  # which may be where its files are fetched to, of this home alone
            card = replace(card, folder=next(iter(self.store.checkpoints(name=card.name)), card).folder)
        self.store.renew(card)
        return self.checkpoint(card.name)

    def forget(self, name: str) -> Checkpoint:
        """Remove a checkpoint from the registry, and nothing from the disk; what became of it stays history.

        Raises:
            UnknownName: there is none of that name.
            UnusableRequest: it came with transferzoo.
        """
        card = self.checkpoint(name)
        if card.origin is Origin.SEEDLING:
            raise UnusableRequest(
                "zoo remove",
                "name",
                f"{name} came with transferzoo",
                f"Leave it out of advice: recommend PATH --exclude {name}.",
            )
        self.store.forget(name)
        return card

    def sketch_anew(self, domain: str, source: Sample, *, progress: Progress = silent) -> Sketch:
        """Look at a registered domain's data through today's lens and keep the sketch."""
        sketch = self._sketched(domain, source, progress)
        self.store.write(Entries(sketches=(sketch,)))
        return sketch

    def index_path(self, lens: Lens) -> Path:
        """Where the index of a lens is kept; always rebuildable from the database."""
        return self._domains.path(lens)

    def index_stamp(self, lens: Lens) -> str:
        """What an index file must say it was made of: this registry, that lens."""
        return self._domains.stamp(lens)

    def load_catalog(self, *, again: bool = False, progress: Progress = silent) -> None:
        """Take in the bundled catalog, and those of plug-ins, if they are not the ones taken in last.

        Raises:
            BadCard: the catalog has a bad file.
        """
        self._catalogs.load(progress, again=again, writable=self.home.writable)

    def quarantine(self, damage: Damage) -> Path:
        """Move a damaged row, and what cannot be without it, out of the database into a file, which is given.

        Raises:
            HomeUnusable: nothing can be written.
            DiskFull: there is no room for that file; nothing was moved.
        """
        return quarantine_row(self.store, self.home, damage)

    def _set_damaged_aside(self) -> None:
        """Set every damaged row aside; where that cannot be done, it is left out of what is read."""
        damaged = [one for one in damaged_rows(self.store.database) if one.table != "file"]
        for damage in damaged:
            try:
                place = self.quarantine(damage)
            except (HomeUnusable, DiskFull, RegistryBusy) as cause:
                self._note(f"{damage}, and could not be set aside: {cause}")
            else:
                self._note(f"{damage}: it is set aside in {place}")
        if damaged:
            self.load_catalog(again=True)

    def remark(self, line: str) -> None:
        """Have `notes` say it, too."""
        self._note(line)

    def _note(self, line: str) -> None:
        self._notes[line] = None

    def _placed(self, cards: Sequence[Checkpoint]) -> tuple[Checkpoint, ...]:
        """With their folders where their files lie, or would be fetched to; without domains that were lost.

        What came with the catalog lies there, and what is shared and lies nowhere here in the cache.
        """
        named = sorted({card.domain for card in cards if card.domain is not None})
        there = {domain.name for domain in self.store.domains(names=named)}
        return tuple(
            replace(
                card,
                folder=self._folder_of(card),
                domain=card.domain if card.domain in there else None,
            )
            for card in cards
        )

    def _folder_of(self, card: Checkpoint) -> Path:
        folder = self._catalogs.of(card.modality) / card.folder
        if self.home.shared is None or not card.objects or has_weights(folder):
            return folder
        return self.home.shared.place(card.objects, card.name)

    def _is_shared(self, card: Checkpoint) -> bool:
        return self.home.shared is not None and bool(card.objects)

    def _uploaded(self, card: Checkpoint, progress: Progress) -> Checkpoint:
        """The card with where its files are shared, uploaded where they are not yet."""
        shared = self.home.shared
        if shared is None:
            return card
        return replace(card, objects=shared.objects.put(card.folder, checkpoint_files(card), progress))

    def _known(self, card: Checkpoint, license: tuple[str, str] | None) -> Checkpoint:
        """The card with what was known of it before and what is said of it now: a license, by name and as stated."""
        for before in self.store.checkpoints(name=card.name):
            if before.digest != card.digest:
                raise AlreadyThere("checkpoint", card.name)
            card = replace(before, folder=card.folder)
        if license is None:
            return card
        name, words = license
        return replace(card, license=name, claimed={**card.claimed, "license": words})

    def _with_source(
        self, card: Checkpoint, source: Sample, domain: str, family: str | None, progress: Progress
    ) -> Entries:
        """The checkpoint with the domain that its source becomes, and the sketch of that."""
        described, sketch, rows = self._domain_of(source, domain, family, progress)
        return Entries((replace(card, domain=domain, lineage=(domain,)),), (described,), (sketch,), rows=rows)

    def _domain_of(
        self, source: Sample, domain: str, family: str | None, progress: Progress
    ) -> tuple[Domain, Sketch, tuple[RowKeys, ...]]:
        """The domain that a sample becomes, its sketch, and the keys of its rows."""
        sketch = self._sketched(domain, source, progress)
        described = Domain(
            domain,
            source.modality,
            source.name,
            family or domain,
            len(source.items),
            data=source.origin,
            digest=source.digest,
        )
        return described, sketch, (RowKeys.of(domain, (item.digest for item in source.items)),)

    def _sketched(self, domain: str, source: Sample, progress: Progress) -> Sketch:
        """What a domain's data look like through today's lens."""
        features = self.lens_features(source.subsample(_SKETCHED_ROWS), progress=progress)
        return sketch_of(domain, features, self.lens(source.modality))

    def _rows_of(self, domain: Domain, source: Sample | None, also: Sequence[Item] = ()) -> tuple[RowKeys, ...]:
        """The keys of a domain's rows: of the sample it is, else as kept when that was tuned on."""
        if source is not None:
            return (RowKeys.of(domain.name, (item.digest for item in (*source.items, *also))),)
        known = self.store.rows(f"sample:{domain.digest}")
        return () if known is None else (RowKeys(domain.name, known.keys),)

    def _lens_of(self, features: Features) -> Lens:
        """The lens in whose space the features lie."""
        for lens in self._catalogs.lenses:
            if lens.space == features.encoder:
                return lens
        known = ", ".join(lens.space for lens in self._catalogs.lenses)
        raise EncoderMismatch(features.encoder, known or "no lens")


def labelled_digests(sample: Sample) -> Iterator[str]:
    """A digest of each row's content with its target."""
    return (
        sha256(f"{item.digest} {label}".encode()).hexdigest()
        for item, label in zip(sample.items, sample.labels, strict=True)
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
