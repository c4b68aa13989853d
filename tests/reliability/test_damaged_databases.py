"""111 damaged databases: whatever is asked of one gives the right answer or an error by name, and a repair heals it."""

import collections
import json
import os
import random
import sqlite3

import pytest

from registry.doctor import check
from registry.errors import RegistryError, TransferZooError
from registry.sketch import sketch_of
from registry.store import Entries
from registry.zoo import Zoo
from tests.registry.fakes import Advice, MeanColor, a_catalog, a_checkpoint, a_domain, a_lens, an_outcome, cloud, shaded

pytestmark = pytest.mark.slow

SEED = 20_261
COUNTS = {
    "flipped byte": 40,
    "flipped bit of a text": 14,
    "zeroed page": 10,
    "truncated": 10,
    "no UTF-8": 14,
    "swapped rows": 8,
    "missing table": 8,
    "newer": 2,
    "foreign": 3,
    "empty": 2,
}
TABLES = ("alembic_version", "notes", "checkpoints", "domains", "sketches", "outcomes", "recommendations", "jobs")
SWAPPED = (
    ("outcomes", "card"),
    ("domains", "card"),
    ("sketches", "packed"),
    ("sketches", "embedding"),
    ("recommendations", "body"),
    ("jobs", "spec"),
)
QUERY = shaded(40)


def test_they_are_as_many_as_was_said():
    assert sum(COUNTS.values()) == 111


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    """A home with rows of the catalog and of a user in every table, and what is read of it."""
    root = tmp_path_factory.mktemp("ground")
    catalog = a_catalog(root / "catalog")
    zoo = Zoo.open(root / "home", catalog=catalog)
    mine = tuple(a_domain(f"mine-{n}") for n in range(6))
    nets = tuple(a_checkpoint(root / f"net-{n}", f"net-{n}", domain=f"mine-{n}") for n in range(4))
    sketches = tuple(sketch_of(card.name, cloud(20 * n), a_lens()) for n, card in enumerate(mine))
    zoo.store.write(Entries(nets, mine, sketches, tuple(an_outcome(f"o{n:02}") for n in range(30))))
    for n in range(6):
        zoo.keep(Advice(f"advice-{n}", sample=f"s{n}"))
        job = zoo.jobs.start("tune", {"path": f"/data/{n}"}, f"key-{n}")
        zoo.jobs.finish(job.id, {"run": f"r{n}"})
    return root, catalog, (root / "home/registry.db").read_bytes(), answers(zoo)


def answers(zoo):
    """What a list, an advice, a history, a queue and a search for near domains read."""
    zoo._encoders["mean-color"] = MeanColor()
    near = zoo.near(zoo.lens_features(QUERY))
    return {
        "checkpoints": {card.name: (card.digest, card.license, str(card.folder)) for card in zoo.checkpoints()},
        "domains": {card.name: (card.title, card.family, card.rows) for card in zoo.domains()},
        "outcomes": {card.id: (card.score, card.checkpoint, card.sample_digest) for card in zoo.history()},
        "advice": {body["id"]: json.dumps(body, sort_keys=True) for _, body in zoo.kept(100)},
        "jobs": {job.id: (job.kind, json.dumps(dict(job.spec)), job.created) for job in zoo.jobs.list()},
        "near": {card.name: round(square, 4) for card, square in near},
    }


def edit(path, statement, *values):
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA foreign_keys=OFF")
    with connection:
        connection.execute(statement, values)
    connection.close()


def texts(path):
    """Every text of every row: table, number of the row, column, content."""
    connection = sqlite3.connect(path)
    results = []
    for table in ("checkpoints", "domains", "outcomes", "sketches", "recommendations", "jobs"):
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[2] == "TEXT"]
        for number, *values in connection.execute(f"SELECT rowid, {', '.join(columns)} FROM {table}"):  # noqa: S608
            pairs = zip(columns, values, strict=True)
            results += [(table, number, name, value.encode()) for name, value in pairs if value]
    connection.close()
    lasting = {"id", "key", "kind", "spec", "created", "lane", "seal"}
    return [one for one in results if one[0] != "jobs" or one[2] in lasting]


def rewrite(path, one, content):
    table, number, column, _ = one
    try:
        edit(path, f"UPDATE {table} SET {column} = CAST(? AS TEXT) WHERE rowid = ?", content, number)  # noqa: S608
    except sqlite3.IntegrityError:  # a name that is taken: damage the JSON instead
        card = "body" if table == "recommendations" else "spec" if table == "jobs" else "card"
        edit(path, f"UPDATE {table} SET {card} = '{{' WHERE rowid = ?", number)  # noqa: S608


def damage(kind, path, draw):
    """Do one damage of a kind to a database."""
    content = bytearray(path.read_bytes())
    pages = len(content) // 4096
    if kind == "flipped byte":
        for _ in range(draw.choice((1, 1, 1, 4, 32))):
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
    elif kind == "zeroed page":
        at = 4096 * draw.randrange(pages)
        content[at : at + 4096] = bytes(4096)
        path.write_bytes(content)
    elif kind == "truncated":
        path.write_bytes(content[: draw.choice((draw.randrange(1, len(content)), 4096 * draw.randrange(1, pages)))])
    elif kind in ("flipped bit of a text", "no UTF-8"):
        one = draw.choice(texts(path))
        spoiled = bytearray(one[3])
        spoiled[draw.randrange(len(spoiled))] = draw.choice((0x80, 0xC3, 0xFF, 0xED)) if kind == "no UTF-8" else 0x01
        rewrite(path, one, bytes(spoiled))
    elif kind == "swapped rows":
        table, column = draw.choice(SWAPPED)
        one, other = (f"(SELECT {column} FROM {table} WHERE rowid = {n})" for n in (1, 2))  # noqa: S608
        edit(path, f"UPDATE {table} SET {column} = CASE rowid WHEN 1 THEN {other} ELSE {one} END WHERE rowid < 3")  # noqa: S608
    elif kind == "missing table":
        edit(path, f"DROP TABLE {draw.choice(TABLES)}")
    elif kind == "newer":
        edit(path, "UPDATE alembic_version SET version_num = ?", draw.choice(("0999", "9999_later")))
    elif kind == "foreign":
        path.unlink()
        if draw.random() < 0.5:
            path.write_bytes(draw.randbytes(20_000))
        else:
            edit(path, "CREATE TABLE songs (title TEXT)")
    else:
        path.write_bytes(b"")


CASES = [(kind, number) for kind, count in COUNTS.items() for number in range(count)]
FIGURES: collections.Counter = collections.Counter()


def compared(read, truth, words):
    """What is wrong with what was read: a false value never passes, a lost one only where words name its table."""
    wrong = []
    for table, values in read.items():
        right = truth[table]
        wrong += [f"{table}: {key!r} is {value!r}" for key, value in values.items() if right.get(key) != value]
        lost = set(right) - set(values)
        source = {"advice": "recommendations", "near": "sketches"}.get(table, table)
        named = any(word in words for word in (f" of {source}", "new registry", "domains", "new database"))
        wrong += [f"{table}: {sorted(lost)} vanished without a word: {words!r}"] if lost and not named else []
    return wrong


def read_or_named(home, catalog):
    """Answers and notes, or the name of the error that stood in their place."""
    try:
        zoo = Zoo.open(home, catalog=catalog)
        read = answers(zoo)
    except TransferZooError as failure:
        if not (isinstance(failure, RegistryError) and failure.remedy):
            raise
        return None, type(failure).__name__, str(failure)
    return read, "answered", " ".join(zoo.notes)


@pytest.mark.parametrize(("kind", "number"), CASES, ids=lambda part: str(part).replace(" ", "-"))
def test_no_damage_gives_a_wrong_answer_or_cannot_be_repaired(ground, tmp_path, kind, number):
    _, catalog, sound, truth = ground
    home = tmp_path / "home"
    (home / "runs/r1").mkdir(parents=True)  # what was made here is not all in the database
    (home / "registry.db").write_bytes(sound)
    damage(kind, home / "registry.db", random.Random(f"{SEED} {kind} {number}"))  # noqa: S311
    hurt = (home / "registry.db").read_bytes()

    examined = None
    if number % 2:  # doctor comes first, or a reader
        try:
            examined = check(home, catalog=catalog)
        except RegistryError as failure:
            assert failure.remedy  # noqa: PT017 - a report is as good
    read, how, words = read_or_named(home, catalog)
    FIGURES[kind, how + (" with a word" if words and how == "answered" else "")] += 1
    if read is not None:
        assert not compared(read, truth, words)
        if words and examined is not None:
            assert examined.findings
        if examined is not None and not words:
            assert read == truth
    if kind == "newer":
        assert how == "RegistryNewer"
        assert (home / "registry.db").read_bytes() == hurt
        return
    if number % 4 < 2:
        (home / "registry.db").write_bytes(hurt)  # as if the repair were the first to see it
        for log in home.glob("registry.db-*"):
            log.unlink()
    try:
        report = check(home, mend=True, catalog=catalog)
    except RegistryError as failure:
        assert how == type(failure).__name__ == "RegistryNewer"  # noqa: PT017 - a flipped digit of the schema's number
        return
    findings = (f"{one.subject} {one.what} {one.done}" for one in report.findings)
    predicted = " ".join([*findings, *report.quarantined, words])
    left = [one for one in report.findings if not one.done and one.kind != "leftover"]
    assert not left, "\n".join(map(str, report.findings))
    healed, how, later = read_or_named(home, catalog)
    assert how == "answered", (how, later)
    assert not compared(healed, truth, predicted.replace(": ", " ") + " of sketches" * ("domains" in predicted))
    assert {"mean-color"} <= set(healed["checkpoints"])
    assert {"bright", "dark", "gray"} <= set(healed["domains"])


def test_the_figures(capsys):
    """What came of them, by kind; printed for whoever wants to know."""
    with capsys.disabled():
        for (kind, how), count in sorted(FIGURES.items()):
            os.write(1, f"\n{kind:24} {how:24} {count}".encode())
    assert not FIGURES or sum(FIGURES.values()) <= 111
