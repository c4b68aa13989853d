"""How far one PostgreSQL and one index reach: pages of filtered checkpoint cards, and the nearest of many domains.

    python -m tests.benchmarks.growth [--checkpoints 10000000] [--domains 1000000] [--queries 200]

A fresh database is filled by COPY with synthetic cards, each a bundled checkpoint's under another name, and with
domains whose embeddings are mixtures of the catalog's (`tests.benchmarks.domains`); every row has its seal, as it would
have by the registry's own door, through which all that is measured goes. Prints a table.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import psycopg
import sqlalchemy as sa

from registry.cards import Checkpoint
from registry.catalog import read_catalog
from registry.features import Features
from registry.home import catalog_folder
from registry.store import schema
from registry.store.cards import card_row, sketch_row
from registry.zoo import Zoo
from tests.benchmarks.domains import Times, entries, mixtures, print_row
from tests.postgres import fresh_database, run_server

AT_ONCE = 20_000
PAGE = 20
NEAREST = 10


def main() -> None:
    """Fill, measure and print."""
    options = _arguments()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with run_server() as server, fresh_database(server) as url, tempfile.TemporaryDirectory() as folder:
        zoo = Zoo.open(Path(folder), registry=url)
        plain = sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(plain, autocommit=True) as raw:
            report_cards(zoo, raw, options.checkpoints, options.queries)
            report_domains(zoo, raw, options.domains, options.queries)


def report_cards(zoo: Zoo, raw: psycopg.Connection, count: int, queries: int) -> None:
    """Pages of cards of a modality, from anywhere in the list, and one card by its name."""
    began = time.perf_counter()
    _copy(raw, schema.checkpoints, _cards(zoo.checkpoints(), count))
    raw.execute("ANALYZE checkpoints")
    size = _size(raw, "checkpoints")
    print_row(f"{count:,} checkpoint cards, COPY", f"{time.perf_counter() - began:.0f} s, {size:.1f} GiB")
    random = np.random.default_rng(0)
    names = [_name(int(number)) for number in random.integers(count, size=queries)]
    for modality in ("image", "text", "none"):
        took = _timed([partial(zoo.store.checkpoints_after, name, PAGE, modality) for name in names])
        print_row(f"a page of {PAGE} of modality {modality}", took)
    print_row("one card by its name", _timed([partial(zoo.store.checkpoints, name=name) for name in names]))


def report_domains(zoo: Zoo, raw: psycopg.Connection, count: int, queries: int) -> None:
    """The nearest domains by FAISS's index, made from SQL."""
    bundled = read_catalog(catalog_folder())
    lens = bundled.lenses["image"]
    sketches = [sketch for sketch in bundled.sketches if sketch.lens == lens.digest]
    began = time.perf_counter()
    for first in range(0, count, AT_ONCE):
        embeddings = mixtures(sketches, lens, min(AT_ONCE, count - first), seed=first)
        built = entries(first, embeddings, sketches[0])
        _copy(raw, schema.domains, (card_row(schema.domains, card, bundled=False) for card in built.domains))
        _copy(raw, schema.sketches, map(sketch_row, built.sketches))
    print_row(f"{count:,} domains, COPY", f"{time.perf_counter() - began:.0f} s, {_size(raw, 'sketches'):.1f} GiB")
    clouds = [sketches[place % len(sketches)].rows for place in range(queries)]
    queried = [Features(rows.vectors, rows.encoder) for rows in clouds]
    began = time.perf_counter()
    zoo.near(queried[0], NEAREST)
    print_row("the index made from SQL, and the first search", f"{time.perf_counter() - began:.0f} s")
    print_row(f"zoo.near, {NEAREST} nearest", _timed([partial(zoo.near, one, NEAREST) for one in queried]))


def _cards(bundled: tuple[Checkpoint, ...], count: int) -> Iterator[Mapping[str, object]]:
    for number in range(count):
        card = replace(bundled[number % len(bundled)], name=_name(number))
        yield card_row(schema.checkpoints, card, bundled=False)


def _name(number: int) -> str:
    return f"synthetic-{number:08d}"


def _copy(raw: psycopg.Connection, table: sa.Table, rows: Iterable[Mapping[str, object]]) -> None:
    """Insert rows by COPY, all in one transaction."""
    rows = iter(rows)
    first = next(rows)
    columns = [*first]
    with raw.cursor() as cursor, cursor.copy(f"COPY {table.name} ({', '.join(columns)}) FROM STDIN") as copying:
        for row in chain([first], rows):
            copying.write_row([row[column] for column in columns])


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
    return parser.parse_args()


if __name__ == "__main__":
    main()
