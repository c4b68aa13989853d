"""Cards: checkpoints, domains with their sketches and rows, outcomes and advice, written and read."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from jaxtyping import Float32, Int64

from registry.cards import (
    FIRST_MODALITY,
    Checkpoint,
    Claim,
    Domain,
    Keepable,
    Locator,
    Metric,
    Origin,
    Outcome,
    Task,
    Wanted,
)
from registry.errors import AlreadyThere, RegistryCorrupt, UnusableName
from registry.forms import from_json
from registry.sketch import RowKeys, Sketch
from registry.store import schema
from registry.store.access import Access
from registry.store.database import Database
from registry.store.integrity import damage_of, sealed
from registry.store.jobs import Jobs
from registry.store.schema import Card, Row, chosen_by, equal_to, is_utf8, json_text, key_of, mappings, now, raw

_AT_ONCE = 500
"""Keys that one query names."""


@dataclass(frozen=True)
class Entries:
    """What is written together or not at all."""

    checkpoints: tuple[Checkpoint, ...] = ()
    domains: tuple[Domain, ...] = ()
    sketches: tuple[Sketch, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    rows: tuple[RowKeys, ...] = ()


class Store:
    """What the registry remembers, in one database. ``Store.open`` makes or migrates it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.jobs = Jobs(database)
        self.access = Access(database)

    @classmethod
    def open(
        cls,
        place: Path | str,
        *,
        patience: float = 15.0,
        writable: bool = True,
        mend: bool = True,
        beside: Path | None = None,
    ) -> "Store":
        """The store in the database at that path or URL; see `Database.open`, whose errors it raises."""
        return cls(Database.open(place, patience=patience, writable=writable, mend=mend, beside=beside))

    def note(self, key: str) -> str | None:
        """What was noted under that key."""
        return self.database.run(lambda c: c.scalar(sa.select(schema.notes.c.value).where(schema.notes.c.key == key)))

    def checkpoints(self, modality: str | None = None, *, name: str | None = None) -> tuple[Checkpoint, ...]:
        """All checkpoints, or one modality's, or the one of that name, by name; damaged ones are left out.

        Raises:
            RegistryCorrupt: the one of that name is damaged.
        """
        cards = self._cards(schema.checkpoints, equal_to(schema.checkpoints, modality=modality, name=name))
        if name is not None and not cards:
            self.database.require_no_damage(schema.checkpoints, name)
        return tuple(from_json(Checkpoint, card) for card in cards)

    def checkpoint_count(self, wanted: Wanted) -> int:
        """How many checkpoints there are of which that is true."""
        counted = sa.select(sa.func.count()).select_from(schema.checkpoints).where(*_conditions(wanted))
        return int(self.database.run(lambda c: c.scalar(counted)) or 0)

    def checkpoints_where(
        self, wanted: Wanted, *, most: int | None = None, each: int | None = None
    ) -> tuple[Checkpoint, ...]:
        """The checkpoints of which that is true, the largest first; of a domain at most ``each``; no damaged ones."""
        table = schema.checkpoints
        largest = (table.c.parameters.desc(), table.c.name)
        chosen = raw(table).where(*_conditions(wanted)).order_by(*largest).limit(most)
        if each is not None:
            place = sa.func.row_number().over(partition_by=table.c.domain, order_by=largest).label("place")
            placed = sa.select(table.c.name, place).where(*_conditions(wanted)).subquery()
            first = sa.select(placed.c.name).where(placed.c.place <= each)
            chosen = raw(table).where(table.c.name.in_(first)).order_by(*largest).limit(most)
        rows = self.database.run(partial(mappings, wanted=chosen))
        sound = (json.loads(row["card"]) for row in rows if self.database.sound(table, row) is not None)
        return tuple(from_json(Checkpoint, card) for card in sound)

    def checkpoint_digests(self, modality: str) -> tuple[tuple[str, str], ...]:
        """Name and digest of every checkpoint of a modality."""
        wanted = raw(schema.checkpoints, "name", "digest").where(*equal_to(schema.checkpoints, modality=modality))
        return self.database.run(lambda c: tuple((str(name), str(digest)) for name, digest in c.execute(wanted)))

    def stated_licenses(self, modality: str | None = None) -> tuple[str, ...]:
        """Every license that a checkpoint states for its weights; one that is too long to be chosen by is empty."""
        wanted = equal_to(schema.checkpoints, modality=modality)
        stated = raw(schema.checkpoints, "license").where(*wanted).distinct()
        return tuple(sorted(str(license) for license in self.database.run(lambda c: c.scalars(stated).all())))

    def domain_count(self, modality: str | None = None) -> int:
        """How many domains there are."""
        counted = sa.select(sa.func.count()).select_from(schema.domains)
        return int(
            self.database.run(lambda c: c.scalar(counted.where(*equal_to(schema.domains, modality=modality)))) or 0
        )

    def domains(
        self,
        modality: str | None = None,
        *,
        names: Sequence[str] | None = None,
        bundled: bool | None = None,
    ) -> tuple[Domain, ...]:
        """All domains, or one modality's, the catalog's, or those of these names, by name; no damaged ones."""
        if names is not None and len(names) > _AT_ONCE:
            parts = (names[start : start + _AT_ONCE] for start in range(0, len(names), _AT_ONCE))
            read = (one for part in parts for one in self.domains(modality, names=part, bundled=bundled))
            return tuple(sorted(read, key=lambda domain: domain.name))
        named = [] if names is None else [schema.domains.c.name.in_(names)]
        wanted = equal_to(schema.domains, modality=modality, bundled=bundled) + named
        return tuple(_domain(card) for card in self._cards(schema.domains, wanted))

    def sketched_domains(self, lens: str) -> tuple[str, ...]:
        """Names of the domains that have a sketch in that lens."""
        wanted = raw(schema.sketches, "domain").where(schema.sketches.c.lens == lens)
        return tuple(str(name) for name in self.database.run(lambda c: c.scalars(wanted).all()))

    def outcomes(self, *, checkpoint: str | None = None, sample_digest: str | None = None) -> tuple[Outcome, ...]:
        """All outcomes, or those of a checkpoint or a sample, by id; damaged ones are left out."""
        wanted = equal_to(schema.outcomes, checkpoint=checkpoint, sample_digest=sample_digest)
        return tuple(_outcome(card) for card in self._cards(schema.outcomes, wanted))

    def checkpoints_after(self, name: str, most: int, modality: str | None = None) -> tuple[Checkpoint, ...]:
        """The first so many sound checkpoints whose names come after one."""
        wanted = equal_to(schema.checkpoints, modality=modality)
        return tuple(from_json(Checkpoint, card) for card in self._cards_after(schema.checkpoints, wanted, name, most))

    def domains_after(self, name: str, most: int, modality: str | None = None) -> tuple[Domain, ...]:
        """The first so many sound domains whose names come after one."""
        wanted = equal_to(schema.domains, modality=modality)
        return tuple(_domain(card) for card in self._cards_after(schema.domains, wanted, name, most))

    def outcomes_after(self, name: str, most: int, checkpoint: str | None = None) -> tuple[Outcome, ...]:
        """The first so many sound outcomes whose ids come after one."""
        wanted = equal_to(schema.outcomes, checkpoint=checkpoint)
        return tuple(_outcome(card) for card in self._cards_after(schema.outcomes, wanted, name, most))

    def outcome_ids(self) -> frozenset[str]:
        """The ids of all outcomes."""
        wanted = sa.select(schema.outcomes.c.id)
        return frozenset(str(name) for name in self.database.run(lambda c: c.scalars(wanted).all()))

    def sketch(self, domain: str, lens: str) -> Sketch | None:
        """What is kept of a domain as seen through that lens; None where there is nothing, or it is damaged."""
        wanted = raw(schema.sketches).where(schema.sketches.c.domain == domain, schema.sketches.c.lens == lens)
        row = self.database.run(lambda c: c.execute(wanted).mappings().first())
        sound = None if row is None else self.database.sound(schema.sketches, row)
        return None if sound is None else Sketch.unpack(sound["packed"], f"sketch of {domain}")

    def rows(self, owner: str) -> RowKeys | None:
        """Which rows a domain, or a sample, consists of; None where that was never kept, or is damaged."""
        wanted = raw(schema.rows).where(schema.rows.c.name == owner)
        row = self.database.run(lambda c: c.execute(wanted).mappings().first())
        sound = None if row is None else self.database.sound(schema.rows, row)
        return None if sound is None else RowKeys.unpack(sound["packed"], owner)

    def sketched(self) -> tuple[tuple[int, str, str], ...]:
        """Number, domain and lens of every sketch; a number is never used again."""
        wanted = raw(schema.sketches, "id", "domain", "lens").order_by(schema.sketches.c.id)
        return self.database.run(lambda c: tuple((int(i), str(d), str(s)) for i, d, s in c.execute(wanted)))

    def sketch_count(self, lens: str) -> tuple[int, int]:
        """How many sketches there are in that lens, and the newest's number: while both stay, so do the sketches."""
        counted = sa.select(sa.func.count(), sa.func.max(schema.sketches.c.id)).where(schema.sketches.c.lens == lens)
        count, newest = self.database.run(lambda c: c.execute(counted).one())
        return int(count), int(newest or 0)

    def newest_sketch(self, lens: str) -> int:
        """The number of the newest sketch in that lens; 0 where there is none."""
        number = schema.sketches.c.id
        newest = sa.select(number).where(schema.sketches.c.lens == lens).order_by(number.desc()).limit(1)
        return int(self.database.run(lambda c: c.scalar(newest)) or 0)

    def sketch_numbers(self, lens: str, *, after: int = 0, family: str | None = None) -> Int64[np.ndarray, " n"]:
        """Numbers of the sketches in that lens that came after a number, or of the domains of a family among them."""
        number = schema.sketches.c.id
        wanted = sa.select(number).where(schema.sketches.c.lens == lens, number > after).order_by(number)
        if family is not None:
            wanted = wanted.join(schema.domains).where(schema.domains.c.family == family)
        return np.array(self.database.run(lambda c: c.scalars(wanted).all()), dtype=np.int64)

    def sketch_domains(self, numbers: Sequence[int]) -> dict[int, str]:
        """Whose the sketches of those numbers are; damaged ones are left out."""
        return {number: str(row["domain"]) for number, row in self._sound_sketches(numbers)}

    def embeddings(self, numbers: Sequence[int]) -> dict[int, Float32[np.ndarray, " e"]]:
        """The embeddings of the sketches of those numbers, in that order; damaged ones are left out."""
        read = {number: np.frombuffer(row["embedding"], "<f4") for number, row in self._sound_sketches(numbers)}
        return {number: read[number] for number in numbers if number in read}

    def write(self, entries: Entries) -> None:
        """Add what is new, all or nothing; what is there already and the same is left alone.

        Raises:
            AlreadyThere: a name belongs to something else.
        """
        rows = _rows_of(entries, bundled=False)
        self.database.write(lambda c: _write(c, rows, bundled=False), _size(rows))

    def write_bundled(self, entries: Entries, notes: Mapping[str, str]) -> None:
        """Replace all that came with the catalog; a user's own entry of the same name stays."""
        rows = _rows_of(entries, bundled=True)

        def work(connection: sa.Connection) -> None:
            _forget_bundled(connection, rows[schema.domains])
            _write(connection, rows, bundled=True)
            _note(connection, notes)

        self.database.write(work, _size(rows))

    def write_notes(self, notes: Mapping[str, str]) -> None:
        """Keep these notes in the place of those of their keys."""
        self.database.write(lambda c: _note(c, notes), sum(len(value) for value in notes.values()))

    def renew(self, card: Checkpoint) -> None:
        """Put a user's checkpoint in the place of the one of its name: what is known of it has changed."""

        def work(connection: sa.Connection) -> None:
            same_name = (schema.checkpoints.c.name == card.name, sa.not_(schema.checkpoints.c.bundled))
            row = card_row(schema.checkpoints, card, bundled=False)
            connection.execute(sa.update(schema.checkpoints).where(*same_name).values(row))

        self.database.run(work, write=True)

    def forget(self, checkpoint: str) -> None:
        """Remove a user's checkpoint; what became of it stays history."""
        ours = (schema.checkpoints.c.name == checkpoint, sa.not_(schema.checkpoints.c.bundled))
        self.database.run(lambda c: c.execute(sa.delete(schema.checkpoints).where(*ours)), write=True)

    def forget_outcomes(self, ids: Sequence[str]) -> None:
        """Remove outcomes that did not come with the catalog."""

        def work(connection: sa.Connection) -> None:
            for start in range(0, len(ids), _AT_ONCE):
                some = schema.outcomes.c.id.in_(ids[start : start + _AT_ONCE])
                connection.execute(sa.delete(schema.outcomes).where(some, sa.not_(schema.outcomes.c.bundled)))

        self.database.run(work, write=True)

    def keep(self, advice: Keepable) -> None:
        """Keep advice under its id; once is enough, unless what is kept left more undone than this does."""
        form = advice.to_dict()
        same = schema.recommendations.c.id == advice.id
        there = self._bodies(raw(schema.recommendations).where(same), 1)
        if there and len(_undone(there[0][1])) <= len(_undone(form)):
            return
        sample = form.get("sample")
        digest = str(sample.get("digest", "")) if isinstance(sample, Mapping) else ""
        content = {"id": advice.id, "created": now(), "sample_digest": digest, "body": json_text(form)}

        def work(connection: sa.Connection) -> None:
            connection.execute(sa.delete(schema.recommendations).where(same))
            connection.execute(sa.insert(schema.recommendations).values(sealed(schema.recommendations, content)))

        self.database.write(work, len(content["body"]))

    def advice(self, name: str | None = None, *, sample_digest: str | None = None) -> dict[str, Any] | None:
        """The advice of that id, or the newest sound one (for a sample); None where there is none.

        Raises:
            RegistryCorrupt: the advice of that id is damaged.
        """
        same = equal_to(schema.recommendations, id=name, sample_digest=sample_digest)
        wanted = raw(schema.recommendations).where(*same)
        bodies = self._bodies(wanted, 1)
        if not bodies and name is not None:
            self.database.require_no_damage(schema.recommendations, name)
        return bodies[0][1] if bodies else None

    def first_advised(self, sample_digest: str) -> str | None:
        """When advice on a sample was first kept, in ISO 8601; None where none is."""
        table = schema.recommendations
        first = sa.select(sa.func.min(table.c.created)).where(table.c.sample_digest == sample_digest)
        stamp: str | None = self.database.run(lambda c: c.scalar(first))
        return stamp

    def kept(self, most: int) -> tuple[tuple[str, dict[str, Any]], ...]:
        """The newest advice, newest first, each with the time when it was kept."""
        return tuple(self._bodies(raw(schema.recommendations), most))

    def drop_sketch(self, number: int) -> None:
        """Forget the sketch of that number."""
        order = sa.delete(schema.sketches).where(schema.sketches.c.id == number)
        self.database.run(lambda c: c.execute(order), write=True)

    def _sound_sketches(self, numbers: Sequence[int]) -> Iterator[tuple[int, Row]]:
        for start in range(0, len(numbers), _AT_ONCE):
            some = raw(schema.sketches).where(schema.sketches.c.id.in_(numbers[start : start + _AT_ONCE]))
            for row in self.database.run(partial(mappings, wanted=some)):
                if self.database.sound(schema.sketches, row) is not None:
                    yield int(row["id"]), row

    def _cards(self, table: sa.Table, wanted: Sequence[sa.ColumnElement[bool]]) -> list[dict[str, Any]]:
        """The cards of the sound rows, by key."""
        ordered = raw(table).where(*wanted).order_by(table.c[key_of(table)])
        rows = self.database.run(lambda c: c.execute(ordered).mappings().all())
        return [json.loads(row["card"]) for row in rows if self.database.sound(table, row) is not None]

    def _cards_after(
        self, table: sa.Table, wanted: Sequence[sa.ColumnElement[bool]], after: str, most: int
    ) -> list[dict[str, Any]]:
        """The cards of the first sound rows whose keys come after one."""
        key, cards = table.c[key_of(table)], list[dict[str, Any]]()
        while len(cards) < most:
            some = raw(table).where(*wanted, key > after).order_by(key).limit(most - len(cards))
            rows = self.database.run(partial(mappings, wanted=some))
            cards += [json.loads(row["card"]) for row in rows if self.database.sound(table, row) is not None]
            if not rows:
                break
            after = str(rows[-1][key.name])
        return cards

    def _bodies(self, wanted: sa.Select[Any], most: int) -> list[tuple[str, dict[str, Any]]]:
        """The newest sound advice of a selection, with its time."""
        newest = wanted.order_by(schema.recommendations.c.number.desc())

        def read(connection: sa.Connection) -> list[tuple[str, dict[str, Any]]]:
            bodies: list[tuple[str, dict[str, Any]]] = []
            with connection.execution_options(yield_per=20).execute(newest) as result:
                for row in result.mappings():
                    if self.database.sound(schema.recommendations, row) is not None:
                        bodies.append((row["created"], json.loads(row["body"])))
                    if len(bodies) == most:
                        break
            return bodies

        return self.database.run(read)


def _conditions(wanted: Wanted) -> list[sa.ColumnElement[bool]]:
    """What is wanted as conditions of SQL; a license that is too long to be chosen by is never refused."""
    c = schema.checkpoints.c
    conditions = equal_to(schema.checkpoints, modality=wanted.modality)
    if wanted.most_parameters is not None:
        conditions.append(c.parameters <= wanted.most_parameters)
    if wanted.licenses is not None:
        conditions.append(c.license.in_(["", *wanted.licenses]))
    if wanted.exclude:
        conditions.append(c.name.not_in(wanted.exclude))
    for column, among in ((c.name, wanted.names), (c.domain, wanted.domains), (c.hub, wanted.hubs)):
        if among is not None:
            conditions.append(column.in_(among))
    if wanted.from_hub is not None:
        conditions.append(c.hub != "" if wanted.from_hub else c.hub == "")
    if wanted.unsketched_in is not None:
        sketch = schema.sketches.c
        conditions.append(~sa.exists().where(sketch.domain == c.domain, sketch.lens == wanted.unsketched_in))
    return conditions


def _undone(form: Mapping[str, object]) -> Sequence[object]:
    undone = form.get("undone")
    return undone if isinstance(undone, Sequence) else ()


def _rows_of(entries: Entries, *, bundled: bool) -> dict[sa.Table, list[dict[str, object]]]:
    """Entries as rows of their tables, with their seals: ready before a connection is taken."""
    cards: dict[sa.Table, Sequence[Card]] = {
        schema.domains: entries.domains,
        schema.checkpoints: entries.checkpoints,
        schema.outcomes: entries.outcomes,
    }
    return {table: [card_row(table, card, bundled) for card in of] for table, of in cards.items()} | {
        schema.sketches: [*map(sketch_row, entries.sketches)],
        schema.rows: [sealed(schema.rows, {"name": one.owner, "packed": one.pack()}) for one in entries.rows],
    }


def _size(rows: Mapping[sa.Table, Sequence[Row]]) -> int:
    """About how many bytes they take, without the database's own."""
    values = (value for of in rows.values() for row in of for value in row.values())
    return sum(len(value) for value in values if isinstance(value, str | bytes))


def _note(connection: sa.Connection, notes: Mapping[str, str]) -> None:
    for key, value in notes.items():
        connection.execute(sa.delete(schema.notes).where(schema.notes.c.key == key))
        connection.execute(sa.insert(schema.notes).values(key=key, value=value))


def _write(connection: sa.Connection, rows: Mapping[sa.Table, Sequence[Row]], *, bundled: bool) -> None:
    for table in (schema.domains, schema.checkpoints, schema.outcomes):
        _add(connection, table, rows[table], bundled)
    for row in rows[schema.sketches]:
        _add_in_place(connection, schema.sketches, row, ("domain", "lens"))
    for row in rows[schema.rows]:
        _add_in_place(connection, schema.rows, row, ("name",))


def _add(connection: sa.Connection, table: sa.Table, cards: Sequence[Row], bundled: bool) -> None:
    """Insert rows of cards, or replace those of the same content; the catalog's give way to a user's of that name.

    Raises:
        AlreadyThere: a name belongs to something else.
        UnusableName: a name is no text.
        RegistryCorrupt: what is there under a name is damaged.
    """
    key, kind = key_of(table), table.name.removesuffix("s")
    for start in range(0, len(cards), _AT_ONCE):
        rows = cards[start : start + _AT_ONCE]
        names = [str(row[key]) for row in rows]
        for name in names:
            if not is_utf8(name):
                raise UnusableName(kind, name)
        there: dict[object, sa.RowMapping] = {}
        for one in connection.execute(raw(table).where(table.c[key].in_(names))).mappings():
            if (damage := damage_of(table, one)) is not None:
                raise RegistryCorrupt(str(connection.engine.url.database), str(damage))
            there[one[key]] = one
        fresh: dict[object, Row] = {}
        for row in rows:
            known = there.get(row[key]) or fresh.get(row[key])
            if known is not None and not bundled and not _same(_card_of(known), _card_of(row)):
                raise AlreadyThere(kind, str(row[key]))
            if row[key] not in there:
                if not bundled or known is None:
                    fresh[row[key]] = row
            elif not bundled and not there[row[key]]["bundled"]:
                connection.execute(sa.update(table).where(table.c[key] == row[key]).values(row))
        if fresh:
            connection.execute(sa.insert(table), [*fresh.values()])


def _card_of(row: Mapping[Any, Any]) -> dict[str, object]:
    card: dict[str, object] = json.loads(str(row["card"]))
    return card


def _same(left: Mapping[str, object], right: Mapping[str, object]) -> bool:
    """Whether two cards of one name mean the same content; where an outcome lies in MLflow is learned afterwards."""
    one, other = ({**card, "mlflow_run_id": None} for card in (left, right))
    return one == other or (bool(left.get("digest")) and left["digest"] == right.get("digest"))


def card_row(table: sa.Table, card: Card, bundled: bool) -> dict[str, object]:
    """A card as a row of its table, with its seal."""
    body = _plain(card)
    row = {c.name: body.get(c.name) for c in table.c} | {"bundled": bundled, "card": json_text(body)}
    return sealed(table, row | (chosen_by(body) if table is schema.checkpoints else {}))


def sketch_row(sketch: Sketch) -> dict[str, object]:
    """A sketch as a row of its table, with its seal."""
    packed, embedding = sketch.pack(), sketch.embedding.astype("<f4").tobytes()
    content = {"domain": sketch.domain, "lens": sketch.lens, "embedding": embedding, "packed": packed}
    return sealed(schema.sketches, content)


def _add_in_place(connection: sa.Connection, table: sa.Table, row: Row, of: Sequence[str]) -> None:
    """Insert a row, in the place of a different one of which these columns are the same."""
    same_place = [table.c[name] == row[name] for name in of]
    if connection.scalar(raw(table, "seal").where(*same_place)) != row["seal"]:
        connection.execute(sa.delete(table).where(*same_place))
        connection.execute(sa.insert(table).values(row))


def _forget_bundled(connection: sa.Connection, domains: Sequence[Row]) -> None:
    """Remove the catalog's cards; its sketches stay where their domains do, so that their numbers do too."""
    kept = [row["name"] for row in domains]
    connection.execute(sa.delete(schema.domains).where(schema.domains.c.bundled, schema.domains.c.name.not_in(kept)))
    for table in (schema.checkpoints, schema.outcomes):
        connection.execute(sa.delete(table).where(table.c.bundled))
    for row in domains:
        ours = (schema.domains.c.bundled, schema.domains.c.name == row["name"])
        connection.execute(sa.update(schema.domains).where(*ours).values(row))


def _plain(card: Card) -> dict[str, object]:
    return {one.name: _plain_value(getattr(card, one.name)) for one in fields(card)}


def _plain_value(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Locator | Claim):
        return asdict(value)
    return [*map(_plain_value, value)] if isinstance(value, tuple) else value


def _domain(card: dict) -> Domain:  # type: ignore[type-arg]
    fixed = {"modality": card["modality"], "origin": Origin(card["origin"])}
    return Domain(**{**card, **fixed, "aliases": tuple(card.get("aliases", ()))})


def _outcome(card: dict) -> Outcome:  # type: ignore[type-arg]
    fixed = {"task": Task(card["task"]), "metric": Metric(card["metric"]), "origin": Origin(card["origin"])}
    return Outcome(**{**card, **fixed, "modality": card.get("modality", FIRST_MODALITY)})
