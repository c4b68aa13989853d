"""Homes with any name, homes that cannot be written, homes on a full disk."""

import os
import shutil
import sqlite3
import subprocess
import sys

import pytest
import sqlalchemy as sa

from registry.addresses import sqlite_url
from registry.errors import DiskFull, HomeUnusable
from registry.features import Encoded
from registry.home import Home
from registry.store import Entries, Store, damaged_rows
from registry.zoo import Zoo
from tests.registry.fakes import Advice, MeanColor, a_catalog, a_domain, a_lens, an_outcome, cloud, shaded

ODD = [b"what?", b"a%41b", b"aAb", b"a#b", b"two words", b"q'\"uote", b"caf\xe9", b"uri=1;x&y", b"a%3Fb", b"back\\s"]


@pytest.fixture
def catalog(tmp_path):
    return a_catalog(tmp_path / "catalog")


@pytest.fixture
def read_only():
    """Mounts a folder again, read-only; skips where this user may mount nothing."""
    mounted = []

    def mount(folder):
        for command in (["--bind", str(folder), str(folder)], ["-o", "remount,ro,bind", str(folder)]):
            done = subprocess.run(["mount", *command], capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"nothing can be mounted read-only here: {done.stderr.strip()}")
            mounted.append(folder)

    yield mount
    for folder in dict.fromkeys(mounted):
        subprocess.run(["umount", "-l", str(folder)], check=True)


def odd(tmp_path, name):
    return tmp_path / os.fsdecode(name)


def names_in(folder):
    return sorted(os.fsencode(path.name) for path in folder.iterdir())


@pytest.mark.slow
def test_homes_of_any_name_have_files_of_their_own_and_share_nothing(tmp_path, catalog):
    for place, name in enumerate(ODD):
        zoo = Zoo.open(odd(tmp_path, name), catalog=catalog)
        zoo.store.write(Entries(domains=(a_domain(f"own-{place}"),)))
    for place, name in enumerate(ODD):
        domains = Zoo.open(odd(tmp_path, name), catalog=catalog).domains()
        assert [domain.name for domain in domains if domain.name.startswith("own")] == [f"own-{place}"]
        assert (odd(tmp_path, name) / "registry.db").is_file()
    assert names_in(tmp_path) == sorted([*ODD, b"catalog"])


def test_a_url_opens_the_file_that_it_was_made_of_and_makes_no_other(tmp_path):
    for place, name in enumerate(ODD):
        folder = odd(tmp_path, name)
        folder.mkdir()
        engine = sa.create_engine(sqlite_url(folder / "mlflow.db"), poolclass=sa.NullPool)
        with engine.begin() as connection:
            connection.execute(sa.text(f"CREATE TABLE t{place} (x)"))
        engine.dispose()
        assert names_in(folder) == [b"mlflow.db"]
        mine = sqlite3.connect(folder / "mlflow.db")
        assert mine.execute("SELECT name FROM sqlite_master").fetchall() == [(f"t{place}",)]
        mine.close()
    assert names_in(tmp_path) == sorted(ODD)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_mlflow_keeps_two_odd_homes_apart(tmp_path, monkeypatch):
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)
    for name in ("what?x", "a%41b"):
        folder = tmp_path / name
        (folder / "artifacts").mkdir(parents=True)
        client = MlflowClient(tracking_uri=sqlite_url(folder / "mlflow.db"))
        built = client.create_experiment(name, artifact_location=(folder / "artifacts").as_uri())
        run = client.create_run(built)
        (tmp_path / "note.txt").write_text(name)
        client.log_artifact(run.info.run_id, "note.txt")
        assert [e.name for e in client.search_experiments()] == [name, "Default"]
        assert [path.read_text() for path in (folder / "artifacts").rglob("note.txt")] == [name]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a%41b", "note.txt", "what?x"]


def filled(home, catalog):
    zoo = Zoo.open(home, catalog=catalog)
    zoo.record(an_outcome())
    zoo.keep(Advice())
    return zoo


def everything(zoo):
    return zoo.checkpoints(), zoo.domains(), zoo.history(), zoo.advice()


@pytest.mark.parametrize("where", ["argument", "environment"])
def test_a_home_of_blanks_is_refused_and_not_created(where, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRANSFERZOO_HOME", "  " if where == "environment" else str(tmp_path / "home"))
    with pytest.raises(HomeUnusable, match="'  ' cannot be used: its name is blank"):
        Home.find("  " if where == "argument" else None)
    assert not any(tmp_path.iterdir())


def test_a_read_only_home_is_read_and_says_so_in_one_line(tmp_path, catalog, read_only):
    home = tmp_path / "home"
    before = everything(filled(home, catalog))
    read_only(home)
    zoo = Zoo.open(home, catalog=catalog)
    zoo._encoders["mean-color"] = MeanColor()
    assert everything(zoo) == before
    assert [domain.name for domain, _ in zoo.near(zoo.lens_features(shaded(40)), 1)] == ["dark"]
    assert zoo.jobs.list() == ()
    assert zoo.notes == (f"{home} is read-only: it is read, and nothing is kept there",)
    with pytest.raises(HomeUnusable, match="it is read-only, and this must be written"):
        zoo.record(an_outcome("o2"))


def test_a_read_only_home_is_read_with_what_a_killed_writer_left_in_its_log(tmp_path, catalog, read_only):
    home = tmp_path / "home"
    filled(home, catalog)
    code = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('PRAGMA wal_autocheckpoint=0');"
        "c.execute(\"INSERT INTO notes VALUES ('late', 'word')\"); c.commit(); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(home / "registry.db")], check=True)
    assert (home / "registry.db-wal").stat().st_size > 0
    read_only(home)
    assert Zoo.open(home, catalog=catalog).store.note("late") == "word"


def test_a_read_only_folder_without_a_registry_is_refused(tmp_path, read_only):
    (tmp_path / "home").mkdir()
    read_only(tmp_path / "home")
    with pytest.raises(HomeUnusable):
        Home.find(tmp_path / "home")


@pytest.mark.slow
def test_commands_that_read_work_on_a_read_only_home_and_those_that_write_are_refused_at_once(tmp_path, read_only):
    from tests.reliability.product import Product
    from tests.reliability.stripes import draw

    home, data = tmp_path / "home", str(draw(tmp_path / "data"))
    words = ("--checkpoint", "resnet-photos", "--no-controls", "--strategy", "linear-probe", "--json")
    product = Product(tmp_path / "log", {"TRANSFERZOO_HOME": str(home)})
    run = product.run("tune", data, *words).json["id"]
    (home / "runs" / run / "run.json").rename(tmp_path / "run.json")
    unfinished = home / "runs" / f"{run}x"
    shutil.copytree(home / "runs" / run, unfinished)
    (tmp_path / "run.json").rename(home / "runs" / run / "run.json")
    read_only(home)
    for command in (
        "zoo list",
        "zoo show resnet-photos",
        "zoo disk",
        "domains list",
        f"domains near {data}",
        "runs list",
        "queue list",
        f"recommend {data} --keep 1",
        f"distance {data} bccd_cells",
        f"predict {run} {data}",
        f"export {run} {tmp_path}/out",
        "doctor",
        "doctor --repair",
    ):
        done = product.run(*command.split())
        assert done.code == 0 or (command.startswith("doctor") and done.code == 1), (command, done.err)
        assert command.startswith("doctor") or done.err.count("read-only") == 1
    for command in (
        f"zoo add {tmp_path}",
        f"tune {data} --no-transfer",
        f"benefit {data} --checkpoint resnet-photos",
        f"runs resume {unfinished.name}",
        "runs sync",
        f"runs register {run} mine",
        f"zoo promote {run} mine",
        f"queue add recommend {data}",
        "zoo fetch resnet-50",
    ):
        done = product.run(*command.split())
        assert done.code == 2, (command, done.err)
        assert "it is read-only, and this must be written" in " ".join(done.err.split()), command


def fill_up(disk, leave):
    """Leave so many bytes free on a small disk."""
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    (disk / "ballast").write_bytes(b"\0" * max(free - leave, 0))


@pytest.mark.slow
@pytest.mark.parametrize("leave", [0, 4096, 40_000, 80_000, 160_000])
def test_a_full_disk_is_named_with_what_is_free_and_nothing_is_half_written(small_disk, catalog, leave):
    disk = small_disk(3000)
    zoo = filled(disk / "home", catalog)
    fill_up(disk, leave)
    sketches = tuple(f"d{n}" for n in range(40))
    from registry.sketch import sketch_of

    entries = Entries(
        domains=tuple(map(a_domain, sketches)),
        sketches=tuple(sketch_of(name, cloud(40, rows=256), a_lens()) for name in sketches),
    )
    with pytest.raises(DiskFull, match=r"the disk is full: no room to write .*registry\.db \(.* are free") as caught:
        zoo.store.write(entries)
    assert caught.value.missing > 0
    assert "home" not in caught.value.remedy.casefold()
    (disk / "ballast").unlink()
    assert [domain.name for domain in zoo.domains()] == ["bright", "dark", "gray"]
    assert damaged_rows(zoo.store.database) == ()
    zoo.store.write(entries)
    assert len(zoo.domains()) == 43


def test_a_new_home_on_a_full_disk_is_named_as_such(small_disk, catalog):
    disk = small_disk(64)
    fill_up(disk, 0)
    with pytest.raises(DiskFull, match="the disk is full"):
        Zoo.open(disk / "home", catalog=catalog)


@pytest.mark.slow
def test_features_and_index_that_find_no_room_are_told_and_leave_nothing(small_disk, catalog):
    disk = small_disk(3000)
    zoo = filled(disk / "home", catalog)
    zoo._encoders["mean-color"] = MeanColor()
    fill_up(disk, 36_000)  # what SQLite needs to read, and no more
    zoo.encode("mean-color", shaded(40, rows=4000))
    (note,) = [one for one in zoo.notes if one.startswith("features are not kept: the disk is full")]
    assert "are missing" in note
    assert list(zoo.home.features.iterdir()) == []
    cold = Encoded((cloud(1),), ("last",))
    with pytest.raises(DiskFull):
        Encoded((type(cold.last)(cold.last.vectors.repeat(200, axis=0), "x"),), ("last",)).save(disk / "f.safetensors")
    assert not list(disk.glob("f.*"))


def test_a_store_that_cannot_be_written_is_read_by_whoever_may_read_it(tmp_path):
    Store.open(tmp_path / "registry.db").write(Entries(domains=(a_domain("dark"),)))
    store = Store.open(tmp_path / "registry.db", writable=False)
    assert [domain.name for domain in store.domains()] == ["dark"]
    with pytest.raises(HomeUnusable):
        store.write(Entries(domains=(a_domain("gray"),)))
