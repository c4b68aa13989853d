"""How far one PostgreSQL and one index reach: pages of filtered checkpoint cards, and the nearest of many domains.

    python -m tests.benchmarks.growth [--checkpoints 10000000] [--domains 1000000] [--queries 200] [--database URL]
    python -m tests.benchmarks.growth --advice [--checkpoints 100000] [--domains 0]

A fresh database is filled by COPY with synthetic cards, each a bundled checkpoint's under another name, and with
domains whose embeddings are mixtures of the catalog's (`tests.benchmarks.domains`); every row has its seal, as it would
have by the registry's own door, through which all that is measured goes. A database that is named is kept, and filled
from where an earlier call ended. Prints a table.
"""

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from recommender.constraints import Constraints
from recommender.effort import Effort
from recommender.flow import recommend
from registry.cards import Checkpoint, Domain
from registry.catalog import read_catalog
from registry.features import Features
from registry.home import catalog_folder
from registry.sample import Sample
from registry.sketch import Sketch
from registry.store import schema
from registry.store.cards import card_row, sketch_row
from registry.zoo import Zoo
from tests.benchmarks.domains import KEPT, ROWS, Times, mixtures, print_row
from tests.postgres import fresh_database, run_server

AT_ONCE = 20_000
PAGE = 20
NEAREST = 10
FILTERED = 20
ADVISED = 120
"""Rows."""
LINES = 200
"""Lines that are sent at once."""


def main() -> None:
    """Fill, measure and print."""
    options = _arguments()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with ExitStack() as stack:
        url = options.database or stack.enter_context(fresh_database(stack.enter_context(run_server())))
        opened = partial(Zoo.open, Path(stack.enter_context(tempfile.TemporaryDirectory())), registry=url)
        plain = sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(plain, autocommit=True) as raw:
            report_cards(opened(), raw, options.checkpoints, options.queries)
            report_domains(opened, raw, options.domains, options.queries)
            if options.advice:
                report_advice(opened())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print_row("this process's largest memory", f"{peak:.1f} GiB; load {os.getloadavg()[0]:.1f}")


def report_cards(zoo: Zoo, raw: psycopg.Connection, count: int, queries: int) -> None:
    """Pages of cards of a modality, from anywhere in the list, and one card by its name."""
    patterns = [_Pattern.of(card) for card in read_catalog(catalog_folder()).checkpoints]
    began, there = time.perf_counter(), _filled(raw, schema.checkpoints, "synthetic-")
    for first in range(there, count, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, count))
        lines = (patterns[number % len(patterns)].line(_name(number)) for number in numbers)
        _copy(raw, schema.checkpoints, patterns[0].columns, lines)
    raw.execute("VACUUM ANALYZE checkpoints")
    size = _size(raw, "checkpoints")
    print_row(
        f"{count - there:,} checkpoint cards, COPY", f"{time.perf_counter() - began:.0f} s, {size:.1f} GiB of all"
    )
    random = np.random.default_rng(0)
    names = [_name(int(number)) for number in random.integers(count, size=queries)]
    for modality in ("image", "text", "none"):
        took = _timed([partial(zoo.store.checkpoints_after, name, PAGE, modality) for name in names])
        print_row(f"a page of {PAGE} of modality {modality}", took)
    print_row("one card by its name", _timed([partial(zoo.store.checkpoints, name=name) for name in names]))


def report_domains(opened: Callable[[], Zoo], raw: psycopg.Connection, count: int, queries: int) -> None:
    """The nearest domains by FAISS's index, made from SQL."""
    bundled = read_catalog(catalog_folder())
    lens = bundled.lenses["image"]
    sketches = [sketch for sketch in bundled.sketches if sketch.lens == lens.digest]
    began, there = time.perf_counter(), _filled(raw, schema.domains, "mixture-")
    for first in range(there, count, AT_ONCE):
        embeddings = mixtures(sketches, lens, min(AT_ONCE, count - first), seed=first)
        _copy_domains(raw, first, embeddings, sketches[0])
    raw.execute("VACUUM ANALYZE domains, sketches")
    took = f"{time.perf_counter() - began:.0f} s, {_size(raw, 'sketches'):.1f} GiB of all"
    print_row(f"{count - there:,} domains, COPY", took)
    clouds = [sketches[place % len(sketches)].rows for place in range(queries)]
    queried = [Features(rows.vectors, rows.encoder) for rows in clouds]
    for what in ("the index made from SQL, and the first search", "the index from its file, and the first search"):
        zoo = opened()
        began, own = time.perf_counter(), time.process_time()
        zoo.near(queried[0], NEAREST)
        took = f"{time.perf_counter() - began:.0f} s, {time.process_time() - own:.0f} of this process's own"
        print_row(what, took)
    print_row(f"zoo.near, {NEAREST} nearest", _timed([partial(zoo.near, one, NEAREST) for one in queried]))
    real = next(card for card in bundled.domains if card.name == sketches[0].domain)
    for family in ("mixtures", real.family):
        filtered = _timed([partial(zoo.near, one, NEAREST, family=family) for one in queried[:FILTERED]])
        print_row(f"the same of the family {family}", filtered)


def report_advice(zoo: Zoo) -> None:
    """Quick advice among all of these on few rows, whose nets are small: with what must be encoded, then again."""
    pixels = np.random.default_rng(0).integers(0, 256, (ADVISED, 24, 24, 3), dtype=np.uint8)
    labels = np.arange(ADVISED) % 2
    pixels[labels == 1, :, :8] //= 2
    sample = Sample.from_arrays(pixels, labels, name="noise")
    limits = {"": Constraints(), " of one license": Constraints(licenses=("MIT",))}
    for what, constraints in limits.items():
        for when in ("first", "again"):
            began, own = time.perf_counter(), time.process_time()
            advice = recommend(sample, zoo, constraints=constraints, effort=Effort.QUICK)
            took = f"{time.perf_counter() - began:.1f} s, {time.process_time() - own:.1f} of this process's own"
            print_row(f"advice{what}, {when}", f"{took}; {len(advice.skipped):,} skipped")


def _name(number: int) -> str:
    return f"synthetic-{number:08d}"


@dataclass(frozen=True)
class _Pattern:
    """A card's line of COPY and what its seal is of, both with a name in them that others can take the place of."""

    columns: tuple[str, ...]
    text: str
    content: bytes
    name: str

    @classmethod
    def of(cls, card: Checkpoint | Domain) -> "_Pattern":
        """A card's, whose name others of the same length take the place of."""
        table, name = (schema.checkpoints, _name(0)) if isinstance(card, Checkpoint) else (schema.domains, card.name)
        row = card_row(table, replace(card, name=name), bundled=False)
        sealed = set(row) - {"seal"} - (schema.CHOSEN_BY if table is schema.checkpoints else set())
        parts = [(column, str(row[column]).encode()) for column in sorted(row) if column in sealed]
        content = b"".join(f"{column}:{len(part)}:".encode() + part for column, part in parts)
        assert sha256(content).hexdigest() == row["seal"]
        texts = [_escaped(str(value)) for column, value in row.items() if column != "seal"]
        columns = (*(column for column in row if column != "seal"), "seal")
        return cls(columns, "\t".join(texts), content, name)

    def line(self, name: str) -> str:
        """The line of the same card under another name."""
        seal = sha256(self.content.replace(self.name.encode(), name.encode())).hexdigest()
        return f"{self.text.replace(self.name, name)}\t{seal}\n"


def _escaped(text: str) -> str:
    for plain, written in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(plain, written)
    return text


def _copy_domains(raw: psycopg.Connection, first: int, embeddings: np.ndarray, like: Sketch) -> None:
    """Domains with those embeddings; their few rows are another's."""
    names = [f"mixture-{first + place:07d}" for place in range(len(embeddings))]
    pattern = _Pattern.of(Domain(names[0], "image", "mixture", "mixtures", ROWS))
    rows = Features(like.rows.vectors[:KEPT], like.rows.encoder)
    built = (sketch_row(Sketch(name, like.lens, rows, one, ROWS)) for name, one in zip(names, embeddings, strict=True))
    with raw.transaction():
        _copy(raw, schema.domains, pattern.columns, map(pattern.line, names))
        _copy(raw, schema.sketches, ("domain", "lens", "embedding", "packed", "seal"), map(_sketch_line, built))


def _sketch_line(row: Mapping[str, object]) -> str:
    texts = [row[name] for name in ("domain", "lens", "embedding", "packed", "seal")]
    return "\t".join(rf"\\x{one.hex()}" if isinstance(one, bytes) else str(one) for one in texts) + "\n"


def _copy(raw: psycopg.Connection, table: sa.Table, columns: tuple[str, ...], lines: Iterable[str]) -> None:
    """Insert lines by COPY, all in one transaction."""
    with raw.cursor() as cursor, cursor.copy(f"COPY {table.name} ({', '.join(columns)}) FROM STDIN") as copying:
        for some in _joined(lines):
            copying.write(some)


def _joined(lines: Iterable[str]) -> Iterator[str]:
    several: list[str] = []
    for line in lines:
        several.append(line)
        if len(several) == LINES:
            yield "".join(several)
            several.clear()
    yield "".join(several)


def _filled(raw: psycopg.Connection, table: sa.Table, prefix: str) -> int:
    """How many an earlier call has put there."""
    latest = sa.select(sa.func.max(table.c.name)).where(table.c.name < prefix + "a")
    written = latest.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
    last = raw.execute(str(written)).fetchone()
    known = str(last[0]) if last and last[0] else ""
    return int(known.removeprefix(prefix)) + 1 if known.startswith(prefix) else 0


def _size(raw: psycopg.Connection, table: str) -> float:
    """GiB of a table with its indexes."""
    size = raw.execute("SELECT pg_total_relation_size(%s)", [table]).fetchone()
    return int(size[0]) / 2**30 if size else 0.0


def _timed(work: list[Callable[[], object]]) -> str:
    """Median, p95 and p99 of pieces of work, waiting and all, in ms."""
    median, p95, p99 = np.quantile(1e3 * Times(work).waited, [0.5, 0.95, 0.99])
    return f"median {median:.1f} ms, p95 {p95:.1f}, p99 {p99:.1f}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--checkpoints", type=int, default=10_000_000)
    parser.add_argument("--domains", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--advice", action="store_true", help="advise among them, too")
    parser.add_argument("--database", default="", help="URL of a database that is kept")
    return parser.parse_args()


if __name__ == "__main__":
    main()
