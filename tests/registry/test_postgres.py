"""A registry on a PostgreSQL server: what its errors are called, what is never printed, and what doctor can do."""

import multiprocessing
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from registry import doctor
from registry.errors import (
    ExtraMissing,
    RegistryAway,
    RegistryBusy,
    RegistryCorrupt,
    RegistryRefused,
    UnusableRegistry,
)
from registry.sketch import sketch_of
from registry.store import Entries, Store, damaged_rows, postgres, quarantine
from registry.zoo import Zoo
from tests.postgres import PASSWORD, fresh_database, restart_server, run_server
from tests.registry.fakes import Advice, a_domain, a_lens, an_outcome, cloud

SECRET = "hunter2-never-shown"  # noqa: S105 - looked for in what is printed


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"mysql://me:{SECRET}@host/zoo", "mysql is not spoken"),
        (f"postgresql://me:{SECRET}@host", "no database"),
        (f"{SECRET}", "no URL"),
        (f"postgresql://me:{SECRET}@host:port/zoo", "no URL"),
    ],
)
def test_what_is_no_url_of_a_registry_is_refused_without_being_repeated(url, words):
    with pytest.raises(UnusableRegistry, match=words) as caught:
        Store.open(url)
    assert SECRET not in f"{caught.value} {caught.value.remedy} {caught.value!r}"
    assert "postgresql+psycopg://" in caught.value.remedy


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2"])
def test_a_registry_is_spoken_to_by_one_driver_and_shown_without_its_password(scheme):
    url = postgres.server_url(f"{scheme}://me:{SECRET}@host:5433/zoo?password={SECRET}&options=-csearch_path%3Dx")
    assert url.drivername == "postgresql+psycopg"
    assert postgres.displayed(url) == "postgresql://me@host:5433/zoo"


def test_a_server_that_is_away_is_named(tmp_path):
    url = f"postgresql://me:{SECRET}@/zoo?host={tmp_path}"
    with pytest.raises(RegistryAway, match="cannot be reached") as caught:
        Store.open(url)
    assert SECRET not in f"{caught.value} {caught.value.remedy}"
    assert "TRANSFERZOO_REGISTRY" in caught.value.remedy


def test_a_missing_driver_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ExtraMissing, match="psycopg") as caught:
        Store.open("postgresql://host/zoo")
    assert "transferzoo[postgres]" in caught.value.remedy


@pytest.mark.postgres
def test_a_wrong_password_is_named_and_printed_nowhere(postgres_url, tmp_path):
    wrong = sa.make_url(postgres_url).set(password=SECRET).render_as_string(hide_password=False)
    with pytest.raises(RegistryRefused, match="password authentication failed") as caught:
        Store.open(wrong)
    assert SECRET not in f"{caught.value} {caught.value.remedy}"
    env = os.environ | {"TRANSFERZOO_REGISTRY": wrong, "PYTHONPATH": str(Path(__file__).parents[2])}
    for debug in ([], ["--debug"]):
        command = [sys.executable, "-m", "ui.cli", *debug, "zoo", "list", "--home", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
        assert done.returncode == 2
        assert "refuses" in done.stderr
        assert SECRET not in done.stdout + done.stderr


@pytest.mark.postgres
def test_a_database_that_is_not_there_and_one_of_something_else_are_named(postgres_url):
    gone = sa.make_url(postgres_url).set(database="nowhere").render_as_string(hide_password=False)
    with pytest.raises(RegistryAway, match="does not exist"):
        Store.open(gone)
    engine = sa.create_engine(postgres_url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE songs (title TEXT)")
    with pytest.raises(RegistryCorrupt, match="not a registry") as caught:
        Store.open(postgres_url)
    assert "pg_restore" in caught.value.remedy


@pytest.mark.postgres
def test_a_user_who_may_not_write_is_named(postgres_url):
    Store.open(postgres_url)
    engine = sa.create_engine(postgres_url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    name = f"reader_{random.getrandbits(32):x}"
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
        connection.exec_driver_sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}")
    try:
        reader = sa.make_url(postgres_url).set(username=name, password=PASSWORD)
        store = Store.open(reader.render_as_string(hide_password=False))
        assert store.domains() == ()
        with pytest.raises(RegistryRefused, match="permission denied"):
            store.write(Entries(domains=(a_domain("dark"),)))
    finally:
        del store
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP OWNED BY {name}")
            connection.exec_driver_sql(f"DROP ROLE {name}")


@pytest.mark.postgres
@pytest.mark.parametrize("state", ["40001", "40P01"])
def test_a_write_that_must_give_way_is_tried_again_and_named_when_it_never_comes_through(postgres_url, state):
    store, tries = Store.open(postgres_url, patience=0.5), []

    def gives_way(connection, until):
        tries.append(1)
        if len(tries) < until:
            connection.exec_driver_sql(f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{state}'; END $$")
        return len(tries)

    assert store.database.run(lambda c: gives_way(c, 3), write=True) == 3
    with pytest.raises(RegistryBusy, match="stayed locked"):
        store.database.run(lambda c: gives_way(c, 10_000), write=True)


@pytest.mark.postgres
def test_two_writes_that_would_see_half_of_each_other_are_one_after_the_other(postgres_url):
    store = Store.open(postgres_url)
    insert = "INSERT INTO notes (key, value) SELECT :key, count(*)::text FROM notes WHERE key LIKE 'k%'"
    started = []

    def count(connection, key):
        connection.execute(sa.text("SELECT count(*) FROM notes"))
        if not started:
            started.append(key)
            store.database.run(lambda c: count(c, "k-inner"), write=True)
        connection.execute(sa.text(insert), {"key": key})

    store.database.run(lambda c: count(c, "k-outer"), write=True)
    assert (store.note("k-inner"), store.note("k-outer")) == ("0", "1")


@pytest.mark.postgres
def test_a_zoo_on_a_server_has_the_catalog_is_healthy_and_its_home_has_no_file_of_it(
    postgres_url, tmp_path, monkeypatch
):
    monkeypatch.setenv("TRANSFERZOO_REGISTRY", postgres_url)
    with Zoo.open(tmp_path / "one") as one, Zoo.open(tmp_path / "two") as two:
        assert len(one) > 5
        assert one.checkpoints() == two.checkpoints()
        lens = one.lens("image")
        near = [zoo._domains.nearest(lens, one.sketch("cifar10").embedding, 5) for zoo in (one, two)]
        assert near[0] == near[1]
        assert one.store.sketch_domains([near[0][0][0]]) == {near[0][0][0]: "cifar10"}
        assert PASSWORD not in f"{one!r} {one.home!r} {one.store.database.where}"
        damaged = one.store.database
        damaged.run(lambda c: c.execute(sa.text("UPDATE domains SET family = 'x' WHERE name = 'cifar10'")), write=True)
    assert not (tmp_path / "one" / "registry.db").exists()
    report = doctor.check(tmp_path / "two", mend=True)
    assert [(one.kind, one.subject) for one in report.findings] == [("row", "domains: cifar10")]
    assert report.healthy
    assert doctor.check(tmp_path / "one").findings == ()


@pytest.mark.postgres
def test_doctor_does_not_put_a_file_in_the_place_of_a_broken_server(postgres_url, tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFERZOO_REGISTRY", postgres_url)
    store = Store.open(postgres_url)
    store.database.run(lambda c: c.execute(sa.text("DROP TABLE audit")), write=True)
    (finding,) = doctor.check(tmp_path, mend=True).findings
    assert (finding.what, finding.done) == ("it lacks the table audit", "")
    assert "pg_restore" in finding.remedy
    assert not (tmp_path / "registry.db").exists()


@pytest.mark.postgres
def test_a_row_that_was_mended_since_it_was_looked_at_stays(postgres_url):
    store = Store.open(postgres_url)
    store.write(Entries(domains=(a_domain("dark"),)))
    store.database.run(lambda c: c.execute(sa.text("UPDATE domains SET family = 'x'")), write=True)
    (damage,) = damaged_rows(store.database)
    store.database.run(lambda c: c.execute(sa.text("UPDATE domains SET family = 'family'")), write=True)
    kept = []
    quarantine(store.database, damage, kept.extend)
    assert kept == []
    assert len(store.database.run(lambda c: c.execute(sa.text("SELECT name FROM domains")).all())) == 1


@pytest.mark.postgres
@pytest.mark.slow
def test_a_server_that_is_started_anew_is_waited_for_and_nothing_is_lost_of_what_it_confirmed():
    with run_server() as server, fresh_database(server) as url:
        store, other = Store.open(url), Store.open(url)
        job = store.jobs.start("tune", {}, "key")
        assert store.jobs.claim(job.id)
        done, stop = [], threading.Event()

        def write():
            while not stop.is_set():
                store.write(Entries(domains=(a_domain(f"d{len(done)}"),)))
                done.append(len(done))

        writer = threading.Thread(target=write)
        writer.start()
        for _ in range(2):
            time.sleep(0.5)
            restart_server(server)
            assert store.jobs.holds(job.id)
            assert not other.jobs.claim(job.id)
        before = len(done)
        while len(done) < before + 5:
            time.sleep(0.05)
        stop.set()
        writer.join()
        assert {domain.name for domain in store.domains()} >= {f"d{number}" for number in done}
        assert store.jobs.finish(job.id, {"score": 1.0}).state == "finished"


WRITES = 200
PROCESSES = 8


def _write_mixed(place, number, confirmed):
    """So many writes of all kinds, each noted as soon as it is confirmed; killed ones begin where they were."""
    store, lens, draw = Store.open(place, patience=120.0), a_lens(), random.Random(number)  # noqa: S311 - no secret
    with confirmed.open("a+") as diary:
        diary.seek(0)
        done = len(diary.read().split())
        for turn in range(done, WRITES):
            name = f"{number}-{turn}"
            kind = ("domain", "outcome", "advice", "job", "audit")[turn % 5]
            if kind == "domain":
                store.write(Entries((), (a_domain(name), a_domain("common")), (sketch_of(name, cloud(20), lens),)))
            elif kind == "outcome":
                store.write(Entries(outcomes=(an_outcome(name), an_outcome("common"))))
            elif kind == "advice":
                store.keep(Advice(name))
            elif kind == "job":
                job = store.jobs.start("tune", {"path": name}, name)
                if store.jobs.claim(job.id):
                    store.jobs.point(job.id, "loss", 1, draw.random())
                    store.jobs.finish(job.id, {"name": name})
            else:
                store.access.note(name, "POST /samples", 201, name) if name not in _audited(store) else None
            diary.write(f"{name}\n")
            diary.flush()
            os.fsync(diary.fileno())


def _audited(store):
    return {row.key for row in store.access.writes(10_000)}


@pytest.mark.slow
@pytest.mark.parametrize("killed", [pytest.param(0, marks=pytest.mark.long), 20])
def test_eight_processes_write_two_hundred_times_each_and_nothing_is_lost(place, tmp_path, killed):
    context, draw = multiprocessing.get_context("spawn"), random.Random(0)  # noqa: S311 - no secret
    Store.open(place)
    diaries = [tmp_path / f"diary-{number}" for number in range(PROCESSES)]

    def begin(number):
        worker = context.Process(target=_write_mixed, args=(place, number, diaries[number]))
        worker.start()
        return worker

    workers = [begin(number) for number in range(PROCESSES)]
    for _ in range(killed):
        workers[0].join(draw.uniform(0.05, 1.5))
        number = draw.randrange(PROCESSES)
        workers[number].kill()
        workers[number].join()
        workers[number] = begin(number)
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * PROCESSES
    store = Store.open(place)
    names = {kind: set() for kind in range(5)}
    for diary in diaries:
        written = diary.read_text().split()
        assert len(written) == WRITES
        for name in written:
            names[int(name.partition("-")[2]) % 5].add(name)
    assert {domain.name for domain in store.domains()} == names[0] | {"common"}
    assert {domain for _, domain, _ in store.sketched()} == names[0]
    assert {outcome.id for outcome in store.outcomes()} == names[1] | {"common"}
    assert {body["id"] for _, body in store.kept(10_000)} == names[2]
    jobs = store.jobs.list()
    assert {job.key for job in jobs} == names[3]
    assert {job.state for job in jobs} <= {"finished", "running"}
    assert len(_audited(store)) == len(store.access.writes(10_000)) == len(names[4])
    assert _audited(store) == names[4]
    assert damaged_rows(store.database) == ()
