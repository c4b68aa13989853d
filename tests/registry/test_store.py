import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from registry.cards import Claim, HubFile, HubState, Locator, Scope, Wanted
from registry.errors import AlreadyThere, DiskFull, HomeUnusable, RegistryBusy, RegistryCorrupt, RegistryNewer
from registry.sketch import RowKeys, sketch_of
from registry.store import Database, Entries, Store, damaged_rows, migrations, quarantine, schema
from registry.store.cards import card_row
from tests.registry.fakes import Advice, a_checkpoint, a_domain, a_lens, an_outcome, cloud


@pytest.fixture
def store(place):
    return Store.open(place)


@pytest.fixture
def card(tmp_path):
    return a_checkpoint(tmp_path / "net")


@pytest.fixture
def file(tmp_path):
    """A store whose file can be looked into and changed by hand."""
    return Store.open(tmp_path / "registry.db")


def edit(path, statement, *values):
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement, values)
    connection.close()


def edit_anywhere(store, statement):
    """Change a database behind the store's back."""
    store.database.run(lambda c: c.execute(sa.text(statement)), write=True)


def test_cards_come_back_as_they_were(store, card):
    cards = Entries(
        (replace(card, lineage=("a", "b"), claimed={"accuracy": 0.5}),), (a_domain("dark"),), (), (an_outcome(),)
    )
    store.write(cards)
    assert store.checkpoints() == cards.checkpoints
    assert store.domains() == cards.domains
    assert store.outcomes() == cards.outcomes


def test_where_on_a_hub_a_checkpoint_comes_from_and_what_is_claimed_of_it_comes_back(store, card):
    files = (HubFile("model.safetensors", 12, "sha256:" + "0" * 64), HubFile("config.json", 2, "git:" + "1" * 40))
    locator = Locator("org/net", "main", "ab" * 20, files, HubState.RENAMED, "org/new")
    remote = replace(card, locator=locator, claims=(Claim("imagenet-1k", "image-classification", "accuracy", 0.8),))
    store.write(Entries((remote,)))
    assert store.checkpoints() == (remote,)
    assert [file.name for file in locator.weights] == ["model.safetensors"]


def test_a_card_is_renewed_and_forgotten_while_its_outcomes_stay(store, card):
    store.write(Entries((card,), outcomes=(an_outcome("o1", checkpoint=card.name),)))
    store.renew(replace(card, digest="f" * 64, license="MIT"))
    assert store.checkpoints(name=card.name)[0].digest == "f" * 64
    store.forget(card.name)
    assert store.checkpoints() == ()
    assert [outcome.id for outcome in store.outcomes()] == ["o1"]


def test_cards_are_found_by_modality_name_checkpoint_and_sample(store, card):
    outcomes = an_outcome("o1"), an_outcome("o2", checkpoint="x")
    store.write(Entries((card,), (a_domain("dark"), a_domain("gray")), (), outcomes))
    assert store.checkpoints("text") == ()
    assert [d.name for d in store.domains("image")] == ["dark", "gray"]
    assert [d.name for d in store.domains(names=["gray", "none"])] == ["gray"]
    assert [o.id for o in store.outcomes(checkpoint="x")] == ["o2"]
    assert [o.id for o in store.outcomes(sample_digest="abc")] == ["o1", "o2"]
    assert store.outcomes(sample_digest="none") == ()


def test_writing_the_same_again_changes_nothing(store, card):
    for _ in range(2):
        store.write(Entries((card,), (a_domain("dark"),), (), (an_outcome(),)))
    assert len(store.checkpoints() + store.domains() + store.outcomes()) == 3


def test_a_taken_name_is_refused_and_nothing_of_the_entry_is_written(store, card):
    store.write(Entries(checkpoints=(card,)))
    with pytest.raises(AlreadyThere, match="a different checkpoint named 'mean-color'"):
        store.write(Entries((replace(card, digest="f" * 64),), (a_domain("dark"),)))
    assert store.domains() == ()
    assert store.checkpoints() == (card,)


def test_of_two_of_one_name_in_one_entry_the_same_counts_once_and_a_different_one_is_refused(store):
    one, other = an_outcome("one"), replace(an_outcome("one"), score=0.125)
    store.write(Entries(outcomes=(one, an_outcome("two"), one)))
    assert {outcome.id for outcome in store.outcomes()} == {"one", "two"}
    with pytest.raises(AlreadyThere, match="a different outcome named 'three'"):
        store.write(Entries(outcomes=(replace(one, id="three"), replace(other, id="three"))))
    assert len(store.outcomes()) == 2


def test_many_cards_are_written_by_few_statements(store, request):
    statements = []

    def heard(connection, cursor, statement, *_):
        statements.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", heard)
    request.addfinalizer(lambda: sa.event.remove(sa.Engine, "before_cursor_execute", heard))
    store.write(Entries(outcomes=tuple(an_outcome(f"o{number}") for number in range(1200))))
    assert 0 < len([one for one in statements if "outcomes" in one]) < 10
    assert len(store.outcomes()) == 1200


def test_a_checkpoint_of_the_same_weights_takes_the_new_card(store, card):
    store.write(Entries(checkpoints=(card,)))
    store.write(Entries(checkpoints=(replace(card, license="MIT"),)))
    assert store.checkpoints()[0].license == "MIT"


def test_a_sketch_comes_back_with_its_lens_only(store):
    sketch = sketch_of("dark", cloud(40), a_lens())
    store.write(Entries(domains=(a_domain("dark"),), sketches=(sketch,)))
    back = store.sketch("dark", sketch.lens)
    np.testing.assert_array_equal(back.embedding, sketch.embedding)
    np.testing.assert_array_equal(back.rows.vectors, sketch.rows.vectors)
    assert store.sketch("dark", "another lens") is None


def test_a_new_sketch_takes_the_place_of_the_old_under_a_number_never_used_before(store):
    lens = a_lens()
    store.write(Entries(domains=(a_domain("dark"),), sketches=(sketch_of("dark", cloud(40), lens),)))
    first = store.sketch_numbers(lens.digest).tolist()
    store.write(Entries(sketches=(sketch_of("dark", cloud(40), lens),)))
    assert store.sketch_numbers(lens.digest).tolist() == first
    store.write(Entries(sketches=(sketch_of("dark", cloud(60), lens),)))
    (second,) = store.sketch_numbers(lens.digest).tolist()
    assert second > first[0]
    assert store.sketch_count(lens.digest) == (1, second)
    assert store.sketch_domains([second]) == {second: "dark"}
    np.testing.assert_array_equal(store.embeddings([second])[second], lens.embed(cloud(60).vectors))


def test_a_sketch_of_an_unknown_domain_is_refused(store):
    with pytest.raises(sa.exc.IntegrityError):
        store.write(Entries(sketches=(sketch_of("nowhere", cloud(40), a_lens()),)))


def test_what_came_with_the_catalog_is_replaced_and_the_users_stays(store, card):
    lens = a_lens()
    dark, gray = a_domain("dark"), a_domain("gray")
    store.write(Entries(checkpoints=(replace(card, name="mine"),), outcomes=(an_outcome("mine"),)))
    store.write_bundled(
        Entries((card,), (dark, gray), (sketch_of("dark", cloud(40), lens),), (an_outcome("theirs"),)), {"catalog": "1"}
    )
    before = store.sketch_numbers(lens.digest).tolist()
    later = Entries((), (replace(dark, title="Night"),), (sketch_of("dark", cloud(40), lens),))
    store.write_bundled(later, {"catalog": "2"})
    assert [c.name for c in store.checkpoints()] == ["mine"]
    assert [d.title for d in store.domains()] == ["Night"]
    assert [o.id for o in store.outcomes()] == ["mine"]
    assert store.sketch_numbers(lens.digest).tolist() == before
    assert store.note("catalog") == "2"


def test_a_users_entry_keeps_its_name_when_the_catalog_brings_another(store, card):
    store.write(Entries(checkpoints=(card,)))
    store.write_bundled(Entries(checkpoints=(replace(card, digest="f" * 64),)), {})
    assert store.checkpoints() == (card,)


def test_advice_is_kept_once_and_found_by_id_sample_or_newest(store):
    for advice in (Advice("a"), Advice("b", sample="other"), Advice("a")):
        store.keep(advice)
    assert store.advice("a") == Advice("a").to_dict()
    assert store.advice()["id"] == "b"
    assert store.advice(sample_digest="abc")["id"] == "a"
    assert store.advice("none") is None
    assert [body["id"] for _, body in store.kept(5)] == ["b", "a"]


def test_advice_that_was_gone_on_with_takes_the_place_of_what_left_more_undone(store):
    class Cut(Advice):
        def to_dict(self):
            return {**super().to_dict(), "undone": [{"checkpoint": "a", "reason": "time was over"}]}

    store.keep(Cut("a"))
    store.keep(Advice("b"))
    store.keep(Advice("a"))
    assert store.advice("a") == Advice("a").to_dict()
    store.keep(Cut("a"))
    assert store.advice("a") == Advice("a").to_dict()
    assert [body["id"] for _, body in store.kept(5)] == ["a", "b"]


def test_advice_with_a_nan_in_it_is_not_kept(store):
    class Bad(Advice):
        def to_dict(self):
            return {"score": float("nan")}

    with pytest.raises(ValueError, match="JSON"):
        store.keep(Bad())


@pytest.mark.parametrize(
    ("statement", "table"),
    [
        ("UPDATE checkpoints SET card = replace(card, '\"parameters\": 3', '\"parameters\": 4')", "checkpoints"),
        ("UPDATE outcomes SET card = replace(card, '0.75', '0.95')", "outcomes"),
        ("UPDATE outcomes SET sample_digest = 'other'", "outcomes"),
        ("UPDATE recommendations SET body = '{}'", "recommendations"),
        ("UPDATE sketches SET packed = embedding", "sketches"),
        ("UPDATE sketches SET embedding = packed", "sketches"),
    ],
)
def test_a_row_changed_from_outside_is_noticed(store, card, statement, table):
    lens = a_lens()
    store.write(Entries((card,), (a_domain("dark"),), (sketch_of("dark", cloud(40), lens),), (an_outcome(),)))
    store.keep(Advice())
    assert damaged_rows(store.database) == ()
    edit_anywhere(store, statement)
    (damage,) = damaged_rows(store.database)
    assert (damage.table, damage.why) == (table, "does not match its seal")
    read = {
        "checkpoints": store.checkpoints(),
        "outcomes": store.outcomes(),
        "recommendations": store.kept(1),
        "sketches": store.sketch("dark", lens.digest),
    }
    assert not read[table]
    assert all(read[other] for other in read if other != table)
    assert [(one.table, one.key) for one in store.database.left_out] == [(table, damage.key)]
    kept = []
    quarantine(store.database, damage, kept.extend)
    assert [name for name, _ in kept] == [table]
    assert damaged_rows(store.database) == store.database.left_out == ()


@pytest.mark.parametrize("content", [b"whatever its name says " * 40, b"SQLite format 3\x00" + b"\x07" * 5000])
def test_a_file_that_is_no_database_is_refused(tmp_path, content):
    path = tmp_path / "registry.db"
    path.write_bytes(content)
    with pytest.raises(RegistryCorrupt, match="damaged") as caught:
        Store.open(path)
    assert "doctor" in caught.value.remedy
    assert path.read_bytes() == content


def test_a_database_of_something_else_is_refused(tmp_path):
    edit(tmp_path / "registry.db", "CREATE TABLE songs (title TEXT)")
    with pytest.raises(RegistryCorrupt, match="not a registry"):
        Store.open(tmp_path / "registry.db")


def test_a_database_of_a_later_version_is_refused(store, place):
    edit_anywhere(store, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(RegistryNewer, match="9999") as caught:
        Store.open(place)
    assert "Upgrade" in caught.value.remedy


def test_an_empty_file_becomes_a_registry(tmp_path):
    (tmp_path / "registry.db").touch()
    assert Store.open(tmp_path / "registry.db").note("registry")


def test_the_migrations_make_exactly_the_tables_that_the_store_uses(store):
    differences = store.database.run(lambda c: compare_metadata(MigrationContext.configure(c), schema.metadata))
    assert differences == []


def test_jobs_of_the_first_version_are_still_there_after_the_migration(place):
    engine = sa.create_engine(place if isinstance(place, str) else f"sqlite:///{place}")
    config = Config()
    config.set_main_option("script_location", "registry.store:migrations")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        row = {
            "id": "a",
            "key": "k",
            "kind": "tune",
            "spec": "{}",
            "state": "failed",
            "created": schema.now(),
            "heartbeat": schema.now(),
            "stage": "",
            "host": "h",
            "done": 0,
            "of": 0,
            "pid": 1,
        }
        old = sa.Table("jobs", sa.MetaData(), autoload_with=connection)
        connection.execute(sa.insert(old).values(row))
    engine.dispose()
    (kept,) = Store.open(place).jobs.list()
    assert (kept.id, kept.state, kept.lane, kept.owner) == ("a", "failed", "cpu", "")


@pytest.mark.parametrize("revision", migrations.REVISIONS[:-1])
def test_a_database_of_every_earlier_version_is_brought_to_the_newest(place, revision):
    engine = sa.create_engine(place if isinstance(place, str) else f"sqlite:///{place}")
    config = Config()
    config.set_main_option("script_location", "registry.store:migrations")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    store = Store.open(place)
    with engine.connect() as connection:
        assert MigrationContext.configure(connection).get_current_revision() == migrations.HEAD
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
    engine.dispose()
    keys = RowKeys.of("dark", [f"{number:064x}" for number in range(3)])
    store.write(Entries(domains=(a_domain("dark"),), rows=(keys,)))
    assert store.rows("dark") == keys
    assert Store.open(place).rows("dark") == keys


def test_cards_that_were_there_before_are_chosen_by_what_they_say(place, card):
    engine = sa.create_engine(place if isinstance(place, str) else f"sqlite:///{place}")
    config = Config()
    config.set_main_option("script_location", "registry.store:migrations")
    remote = replace(card, name="remote", locator=Locator("org/net", "main", "ab" * 20), license="MIT", parameters=7)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0009_pages")
        old = sa.Table("checkpoints", sa.MetaData(), autoload_with=connection)
        for one in (replace(card, domain="dark"), remote, replace(card, name="torn")):
            row = card_row(schema.checkpoints, one, bundled=False)
            kept = {name: value for name, value in row.items() if name in old.c}
            kept |= {"card": "{"} if one.name == "torn" else {}
            connection.execute(sa.insert(old).values(kept))
    engine.dispose()
    store = Store.open(place)
    assert [one.name for one in store.checkpoints()] == [card.name, "remote"]
    assert store.checkpoints_where(Wanted(hubs=("org/net",), licenses=("MIT",), most_parameters=7)) == (remote,)
    assert [one.name for one in store.checkpoints_where(Wanted(domains=("dark",)))] == [card.name]


def test_checkpoints_are_chosen_in_the_database(store, card):
    lens = a_lens()
    long = "see " + "x" * 300
    cards = (
        replace(card, name="a", parameters=10, domain="dark", license="MIT"),
        replace(card, name="b", parameters=30, domain="dark", license="GPL-3.0"),
        replace(card, name="c", parameters=20, license=long),
        replace(card, name="d", parameters=20, domain="gray", locator=Locator("org/net", "main", "ab" * 20)),
        replace(card, name="e", modality="text", domain="dark"),
    )
    domains = (a_domain("dark"), a_domain("gray"))
    store.write(Entries(cards, domains, (sketch_of("dark", cloud(40), lens),)))

    def names(most=None, each=None, **wanted):
        wanted = Wanted("image", **wanted)
        chosen = [one.name for one in store.checkpoints_where(wanted, most=most, each=each)]
        if most is each is None:
            assert store.checkpoint_count(wanted) == len(chosen)
        return "".join(chosen)

    assert names() == "bcda"
    assert names(most=2) == "bc"
    assert names(each=1) == "bcd"
    assert names(most_parameters=20) == "cda"
    assert names(licenses=("MIT",)) == "ca"
    assert names(exclude=("b", "d")) == "ca"
    assert names(names=("a", "e")) == "a"
    assert names(domains=("dark",)) == "ba"
    assert (names(from_hub=True), names(from_hub=False), names(hubs=("org/net",))) == ("d", "bca", "d")
    assert names(unsketched_in=lens.digest) == "cd"
    assert store.stated_licenses("image") == ("", "GPL-3.0", "MIT", "unknown")
    assert store.sketched_domains(lens.digest) == ("dark",)
    store.renew(replace(cards[0], license="Apache-2.0", parameters=99))
    assert names(licenses=("Apache-2.0",), domains=("dark",)) == "a"
    assert names() == "abcd"


def test_a_column_to_choose_by_that_is_not_what_the_card_says_is_damage(store, card):
    store.write(Entries(checkpoints=(card,)))
    edit_anywhere(store, "UPDATE checkpoints SET parameters = 1")
    assert store.checkpoints() == ()
    assert [damage.why for damage in damaged_rows(store.database)] == ["is chosen by what its card does not say"]


def test_the_newest_migration_is_the_one_that_opening_looks_for():
    config = Config()
    config.set_main_option("script_location", "registry.store:migrations")
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_current_head() == migrations.HEAD
    assert [script.revision for script in scripts.walk_revisions()][::-1] == list(migrations.REVISIONS)


def test_opening_an_up_to_date_registry_loads_no_alembic_and_is_quick(file):
    code = (
        "import sys, time; from registry.store import Store\nfrom pathlib import Path\n"
        f"began = time.process_time(); Store.open(Path({file.database.where!r}))\n"
        "print(time.process_time() - began, 'alembic' in sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    seconds, loaded = output.split()
    assert loaded == "False"
    assert float(seconds) < 0.6


def test_a_locked_database_is_waited_for_and_then_named(tmp_path):
    Store.open(tmp_path / "registry.db")
    holder = sqlite3.connect(tmp_path / "registry.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    impatient = Store.open(tmp_path / "registry.db", patience=0.4)
    assert impatient.domains() == ()
    with pytest.raises(RegistryBusy, match="stayed locked"):
        impatient.write(Entries(domains=(a_domain("dark"),)))
    holder.execute("COMMIT")
    holder.close()
    impatient.write(Entries(domains=(a_domain("dark"),)))
    assert len(impatient.domains()) == 1


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(table, id=table.name, marks=[] if table is schema.checkpoints else pytest.mark.slow)
        for table in schema.CONTENT
    ],
)
def test_whatever_lies_in_a_column_the_row_is_named_and_all_others_are_read(file, card, table):
    lens = a_lens()
    two = tuple(sketch_of(name, cloud(40), lens) for name in ("dark", "gray"))
    other = replace(card, name="other")
    keys = tuple(RowKeys.of(name, [f"{place:064x}" for place in range(9)]) for name in ("dark", "gray"))
    outcomes = (an_outcome("o1"), an_outcome("o2"))
    file.write(Entries((card, other), (a_domain("dark"), a_domain("gray")), two, outcomes, keys))
    file.keep(Advice("a", sample="1"))
    file.keep(Advice("b", sample="2"))
    jobs = file.jobs
    for key in ("k1", "k2"):
        jobs.point(jobs.start("tune", {"path": "x"}, key).id, "loss", 1, 0.5)
        file.access.revoke(file.access.create(key, Scope.READ)[0].id)
        file.access.note(key, "POST /samples", 201)
        file.access.keep_answer(key, key, "digest", 202, {"job": key})
    sound = Path(file.database.where).read_bytes()
    vouched = schema.LASTING if table is schema.jobs else set() if table is schema.points else {c.name for c in table.c}
    for column in {c.name for c in table.c} - schema.counted_columns(table):
        for value in (b"caf\xe9 \xff", None, 7, b"\x00\x01", "{", "[]"):
            Path(file.database.where).write_bytes(sound)
            content = "CAST(? AS TEXT)" if value == b"caf\xe9 \xff" else "?"
            try:
                edit(file.database.where, f"UPDATE {table.name} SET {column} = {content} WHERE rowid = 1", value)  # noqa: S608
            except sqlite3.IntegrityError:  # the database itself refuses it
                continue
            damaged = Store(Database(file.database._engine, file.database.where, 1.0))
            cards = damaged.checkpoints() + damaged.domains() + damaged.outcomes() + damaged.jobs.list()
            assert len(cards) >= 7
            assert damaged.kept(5)
            assert len([name for name in ("dark", "gray") if damaged.sketch(name, lens.digest)]) >= 1
            if column in vouched and not (column == "bundled" and value in (7, b"\x00\x01", "{", "[]")):
                (damage,) = damaged_rows(damaged.database)
                assert (damage.table, damage.row) == (table.name, 1), (column, value)


def test_a_full_disk_is_named_and_nothing_is_half_written(file):
    @sa.event.listens_for(file.database._engine, "connect")
    def limited(raw, record):
        pages = raw.execute("PRAGMA page_count").fetchone()[0]
        raw.execute(f"PRAGMA max_page_count={pages + 8}")

    file.write(Entries(domains=(a_domain("dark"),)))
    big = tuple(an_outcome(f"o{n}", conditions={"text": "x" * 3000}) for n in range(60))
    with pytest.raises(DiskFull, match="the disk is full: no room to write"):
        file.write(Entries(domains=(a_domain("gray"),), outcomes=big))
    assert [d.name for d in file.domains()] == ["dark"]
    assert file.outcomes() == ()
    assert damaged_rows(file.database) == ()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_database_that_may_not_be_written_is_named(file):
    Path(file.database.where).chmod(0o444)
    Path(file.database.where).parent.chmod(0o555)
    try:
        with pytest.raises(HomeUnusable):
            file.write(Entries(domains=(a_domain("dark"),)))
    finally:
        Path(file.database.where).parent.chmod(0o755)


def _register(path, number):
    opened = Store.open(path, patience=60)
    for round_ in range(5):
        opened.write(Entries(domains=tuple(a_domain(f"d{n}") for n in range(5)), outcomes=(an_outcome(f"o{round_}"),)))
        opened.write(Entries(domains=(a_domain(f"own-{number}-{round_}"),)))
        opened.keep(Advice())


@pytest.mark.slow
def test_concurrent_registration_is_idempotent_from_an_empty_home_on(place):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_register, args=(place, number)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    opened = Store.open(place)
    assert len(opened.domains()) == 5 + 3 * 5
    assert len(opened.outcomes()) == 5
    assert len(opened.kept(10)) == 1
    assert damaged_rows(opened.database) == ()


WRITER = """
import sys
from pathlib import Path
from registry.store import Entries, Store
from registry.sketch import sketch_of
from tests.registry.fakes import a_domain, a_lens, an_outcome, cloud
place = sys.argv[1] if "://" in sys.argv[1] else Path(sys.argv[1])
store, lens, n = Store.open(place), a_lens(), int(sys.argv[2])
while True:
    n += 1
    store.write(Entries((), (a_domain(f"d{n}"),), (sketch_of(f"d{n}", cloud(n), lens),), (an_outcome(f"d{n}"),)))
    print(n, flush=True)
"""


@pytest.mark.slow
def test_kill_9_during_writes_leaves_no_half_entry_and_loses_none_that_was_confirmed(place):
    confirmed = 0
    for attempt in range(8):
        command = [sys.executable, "-c", WRITER, str(place), str(1000 * attempt)]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(0.05 + 0.013 * attempt)
        writer.send_signal(signal.SIGKILL)
        confirmed += 1 + len([line for line in writer.stdout.read().split(b"\n") if line])
        writer.stdout.close()
        writer.wait()
    store = Store.open(place)
    domains = {d.name for d in store.domains()}
    assert domains == {o.id for o in store.outcomes()} == {domain for _, domain, _ in store.sketched()}
    assert len(domains) >= confirmed
    assert damaged_rows(store.database) == ()
