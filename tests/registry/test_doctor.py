import sqlite3
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from registry.catalog import write_domain, write_lens
from registry.doctor import FindingKind, check, examine, repair
from registry.errors import RegistryNewer
from registry.index import DomainIndex
from registry.sample import Sample
from registry.sketch import fit_lens, sketch_of
from registry.store import Entries
from registry.zoo import Zoo
from tests.observers import Recorder
from tests.registry.fakes import SHADES, Advice, MeanColor, a_catalog, a_domain, a_lens, an_outcome, cloud, shaded


@pytest.fixture
def catalog(tmp_path):
    return a_catalog(tmp_path / "catalog")


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def zoo(home, catalog):
    opened = Zoo.open(home, catalog=catalog)
    opened._encoders["mean-color"] = MeanColor()
    opened.record(an_outcome())
    opened.keep(Advice())
    opened.near(opened.lens_features(shaded(40)))
    return opened


def edit(zoo, statement):
    connection = sqlite3.connect(zoo.home.database)
    with connection:
        connection.execute(statement)
    connection.close()


def kinds(report):
    return [finding.kind for finding in report.findings]


def test_a_healthy_registry_has_no_findings_and_a_repair_changes_nothing(zoo):
    assert examine(zoo).findings == ()
    assert examine(zoo).healthy
    before = {path: path.read_bytes() for path in zoo.home.root.rglob("*") if path.is_file()}
    assert repair(zoo).to_dict() == {"schema": 1, "healthy": True, "findings": [], "quarantined": []}
    assert {path: path.read_bytes() for path in zoo.home.root.rglob("*") if path.is_file()} == before


def test_an_examination_tells_how_far_it_is(zoo):
    recorder = Recorder()
    examine(zoo, progress=recorder)
    assert recorder.words == ["examine the registry"]
    assert recorder.counts[0][0] == 0
    assert recorder.events[-1].finished


def test_a_row_of_the_catalog_that_was_changed_comes_back(zoo):
    edit(zoo, "UPDATE domains SET card = replace(card, 'Dark', 'Bark') WHERE name = 'dark'")
    assert [domain.name for domain in zoo.domains()] == ["bright", "gray"]
    assert "row 'dark' of domains does not match its seal" in zoo.notes[0]
    assert kinds(examine(zoo))[0] is FindingKind.ROW
    assert not examine(zoo).healthy
    report = repair(zoo)
    assert report.healthy
    assert "set aside" in report.findings[0].done
    assert examine(zoo).findings == ()
    assert zoo.domain("dark").title == "Dark"
    assert zoo.sketch("dark") is not None
    (kept,) = (zoo.home.root / "damaged").iterdir()
    assert "Bark" in kept.read_text()


def test_a_sketch_that_was_changed_comes_back(zoo):
    edit(zoo, "UPDATE sketches SET packed = zeroblob(length(packed)) WHERE domain = 'gray'")
    assert kinds(examine(zoo)) == [FindingKind.ROW]
    assert repair(zoo).healthy
    assert zoo.sketch("gray").seen == 60
    assert examine(zoo).findings == ()


def test_an_outcome_that_was_changed_is_set_aside_and_the_others_stay(zoo):
    zoo.record(an_outcome("o2"))
    edit(zoo, "UPDATE outcomes SET card = replace(card, '0.75', '0.99') WHERE id = 'o1'")
    assert examine(zoo).mendable == 1
    assert repair(zoo).healthy
    assert [outcome.id for outcome in zoo.history()] == ["o2"]


def test_a_file_that_is_no_database_is_kept_aside_and_a_new_registry_made(zoo, home, catalog):
    zoo.home.database.write_bytes(b"garbage" * 1000)
    for suffix in ("-wal", "-shm"):
        zoo.home.database.with_name(f"registry.db{suffix}").unlink(missing_ok=True)
    report = check(home, catalog=catalog)
    assert kinds(report) == [FindingKind.DATABASE]
    assert not report.healthy
    report = check(home, mend=True, catalog=catalog)
    assert report.healthy
    assert "registry.damaged-1.db" in report.findings[0].done
    assert (home / "registry.damaged-1.db").read_bytes() == b"garbage" * 1000
    assert len(Zoo.open(home, catalog=catalog).domains()) == 3


def test_what_can_be_read_of_a_torn_database_is_taken_over(zoo, home, catalog):
    many = tuple(an_outcome(f"o{number:03}", conditions={"note": "x" * 400}) for number in range(200))
    zoo.store.write(Entries(outcomes=many))
    content = bytearray(zoo.home.database.read_bytes())
    page = 4096
    torn = next(at for at in range(page, len(content), page) if b'"o150"' in content[at : at + page])
    content[torn : torn + page] = b"\xa5" * page
    zoo.home.database.write_bytes(content)
    assert FindingKind.DATABASE in kinds(check(home, catalog=catalog))
    report = check(home, mend=True, catalog=catalog)
    assert report.healthy
    again = Zoo.open(home, catalog=catalog)
    saved = {outcome.id for outcome in again.history()}
    assert 100 < len(saved) < 200
    assert "o150" not in saved
    assert again.advice() == Advice().to_dict()
    assert examine(again).findings == ()


def test_a_registry_of_a_later_version_is_left_alone(zoo, home, catalog):
    edit(zoo, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(RegistryNewer):
        check(home, mend=True, catalog=catalog)


def test_a_damaged_index_file_is_removed_and_made_anew(zoo):
    path = zoo.index_path(a_lens())
    path.write_bytes(path.read_bytes()[:-3])
    assert kinds(examine(zoo)) == [FindingKind.INDEX]
    assert repair(zoo).healthy
    assert not path.exists()
    assert [domain.name for domain, _ in zoo.near(cloud(40), 1)] == ["dark"]


def test_an_index_that_differs_from_the_database_is_found(zoo):
    index = DomainIndex(1024)
    index.add(zoo.store.sketch_numbers(a_lens().digest), np.zeros((3, 1024)))
    index.save(zoo.index_path(a_lens()), zoo.index_stamp(a_lens()))
    assert "differs from the database" in examine(zoo).findings[0].what
    assert repair(zoo).healthy


def test_a_checkpoint_that_moved_or_changed_is_named_and_left_alone(zoo, catalog):
    weights = catalog / "seedlings/mean-color/model.safetensors"
    good = weights.read_bytes()
    weights.write_bytes(good[:-1] + b"\x01")
    (finding,) = repair(zoo).findings
    assert (finding.kind, finding.subject, finding.done) == (FindingKind.CHECKPOINT, "mean-color", "")
    assert "not those that were registered" in finding.what
    assert examine(zoo).mendable == 0
    weights.unlink()
    assert "cannot be read" in examine(zoo).findings[0].what or "does not exist" in examine(zoo).findings[0].what
    (catalog / "seedlings/mean-color").rename(catalog / "seedlings/elsewhere")
    assert "is gone" in examine(zoo).findings[0].what
    assert "zoo add" in examine(zoo).findings[0].remedy


def another_lens(catalog):
    """Change the catalog's lens, and its sketches with it."""
    lens = fit_lens("other", "image", [cloud(30), cloud(130), cloud(230)])
    write_lens(catalog, lens)
    for name, shade in SHADES.items():
        write_domain(catalog, a_domain(name), sketch_of(name, cloud(shade), lens))
    return lens


def test_sketches_of_an_old_lens_are_dropped_made_anew_or_listed(zoo, home, catalog, tmp_path):
    folder = tmp_path / "photos"
    for row, item in enumerate(shaded(215, rows=12).items):
        place = folder / f"c{row % 2}" / f"{row}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        item.open().save(place)
    source = Sample.from_folder(folder)
    there = a_domain("photos", data=str(folder), digest=source.digest, rows=12)
    gone = a_domain("gone", data=str(tmp_path / "gone"), digest="x")
    built = tuple(sketch_of(name, cloud(200), a_lens()) for name in ("photos", "gone"))
    zoo.store.write(Entries(domains=(there, gone), sketches=built))
    lens = another_lens(catalog)
    again = Zoo.open(home, catalog=catalog)
    again._encoders["mean-color"] = MeanColor()
    assert again.sketch("photos") is None
    by_name = {finding.subject: finding for finding in examine(again).findings if finding.kind is FindingKind.SKETCH}
    assert sorted(by_name) == ["bright", "dark", "gone", "gray", "photos"]
    done = {finding.subject: finding.done for finding in repair(again).findings if finding.kind is FindingKind.SKETCH}
    assert done["dark"] == "dropped"
    assert "12 rows" in done["photos"]
    assert done["gone"] == ""
    np.testing.assert_allclose(
        again.sketch("photos").embedding, lens.embed(again.lens_features(source).vectors), atol=1e-6
    )
    assert [finding.subject for finding in examine(again).findings] == ["gone"]


def test_data_that_changed_are_not_sketched_in_the_place_of_the_old(zoo, home, catalog, tmp_path):
    folder = tmp_path / "photos/c0"
    folder.mkdir(parents=True)
    shaded(215).items[0].open().save(folder / "0.png")
    shaded(215).items[1].open().save(folder / "1.png")
    there = a_domain("photos", data=str(folder.parent), digest="of what lay there before")
    zoo.store.write(Entries(domains=(there,), sketches=(sketch_of("photos", cloud(200), a_lens()),)))
    another_lens(catalog)
    again = Zoo.open(home, catalog=catalog)
    finding = next(finding for finding in repair(again).findings if finding.subject == "photos")
    assert finding.done == ""
    assert again.sketch("photos") is None


def test_features_that_nobody_can_use_are_removed(zoo, catalog):
    (kept,) = zoo.home.features.glob("*.safetensors")
    broken = kept.with_name(kept.name[:33] + "0" * 32 + ".safetensors")
    broken.write_bytes(b"no features")
    assert kinds(examine(zoo)) == [FindingKind.FEATURES]
    (catalog / "seedlings/mean-color/config.json").write_text('{"architectures": ["Other"]}')
    assert kinds(examine(zoo)) == [FindingKind.FEATURES] * 2
    assert repair(zoo).healthy
    assert list(zoo.home.features.iterdir()) == []


def test_a_job_whose_process_died_is_queued_again(zoo):
    job = zoo.jobs.start("tune", {}, "key")
    claim = (
        "import sys; from pathlib import Path; from registry.store import Store\n"
        "jobs = Store.open(Path(sys.argv[1])).jobs\nassert jobs.claim(sys.argv[2])"
    )
    subprocess.run([sys.executable, "-c", claim, str(zoo.home.database), job.id], check=True)
    assert kinds(examine(zoo)) == [FindingKind.JOB]
    assert zoo.jobs.get(job.id).state == "running"
    assert repair(zoo).healthy
    assert (zoo.jobs.get(job.id).state, zoo.jobs.get(job.id).tries) == ("queued", 1)


def test_half_written_files_of_dead_processes_are_removed_and_of_living_ones_kept(zoo):
    dead = zoo.home.root / "domains.image.faiss.999999999.tmp"
    living = zoo.home.features / f"features.{subprocess.os.getpid()}.tmp"
    dead.write_bytes(b"half")
    living.write_bytes(b"half")
    assert [finding.subject for finding in examine(zoo).findings] == [str(dead)]
    assert repair(zoo).healthy
    assert living.exists()
    assert not dead.exists()


def test_a_report_can_be_printed_as_json(zoo):
    edit(zoo, "UPDATE outcomes SET created = 'never'")
    (finding,) = examine(zoo).to_dict()["findings"]
    assert finding["kind"] == "row"
    assert finding["subject"] == "outcomes: o1"
    assert finding["done"] == ""
    assert replace(examine(zoo).findings[0], done="x").to_dict()["done"] == "x"
