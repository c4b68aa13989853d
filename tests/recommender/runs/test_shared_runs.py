"""What is said of runs that are shared: by the doctor, and of the cache by `zoo disk`."""

import shutil

import pytest

from recommender.requests import DiskRequest
from recommender.runs.folder import RUNS, RunFolder, find_run, share_run
from recommender.runs.recovery import findings
from recommender.service import perform
from registry.doctor import repair
from registry.zoo import Zoo
from tests.registry.fakes import a_catalog
from tests.ui.test_offers import printed
from ui.remotes import fetches_report


@pytest.fixture
def homes(tmp_path):
    (tmp_path / "shared").mkdir()
    catalog = a_catalog(tmp_path / "catalog")
    names = ("first", "second")
    zoos = [Zoo.open(tmp_path / name, catalog=catalog, objects=str(tmp_path / "shared")) for name in names]
    yield zoos
    for zoo in zoos:
        zoo.__exit__(None, None, None)


def finished(zoo, name="20260101-000000-abc"):
    run = RunFolder(zoo.home.runs / name)
    run.start({"id": name})
    run.finish({"id": name})
    return run


def of_objects(zoo):
    rows = repair(zoo, also=(lambda zoo: (row for row in findings(zoo) if row[0].kind == "object"),)).findings
    return [(row.subject, row.what.partition(": ")[2], row.done) for row in rows if row.kind == "object"]


def test_a_run_that_was_not_shared_is_found_and_uploaded(homes):
    first, second = homes
    run = finished(first)
    assert of_objects(second) == []
    assert of_objects(first) == [(run.id, "no other machine has it", "uploaded")]
    assert of_objects(first) == []
    assert find_run(second.home, run.id).result == {"id": run.id}


def test_what_is_missing_of_a_shared_run_is_named_and_uploaded_where_it_was_made(homes, tmp_path):
    first, second = homes
    run = finished(first)
    share_run(run, first.home)
    shutil.rmtree(tmp_path / "shared" / "blobs")
    ((subject, what, done),) = of_objects(second)
    assert (subject, "is missing" in what, done) == (run.id, True, "")
    assert [done for *_, done in of_objects(first)] == ["uploaded"]
    assert of_objects(second) == []
    assert second.home.shared.objects.names(RUNS) == (run.id,)


def test_the_cache_is_shown_with_its_bound(homes, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    first, second = homes
    run = finished(first)
    share_run(run, first.home)
    find_run(second.home, run.id)
    record = perform(DiskRequest(), second).to_dict()["objects"]
    assert record["bound"] == 20_000_000_000
    assert [(row["name"], row["bytes"]) for row in record["folders"]] == [(run.id, record["bytes"])]
    lines = printed(fetches_report(record))
    assert run.id in lines
    assert "of 20,000,000,000 bytes" in " ".join(lines.split())
