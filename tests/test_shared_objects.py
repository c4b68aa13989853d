"""Two homes, one registry of PostgreSQL, one bucket: what one has done the other goes on with."""

import os
import shutil
import signal

import pytest

from recommender.flow import evaluate, recommend, tune
from recommender.requests import ExportRequest, PredictRequest
from recommender.runs.folder import find_run, run_folders
from recommender.runs.job import TuneOptions
from recommender.runs.tracking import no_tracking
from recommender.service import perform
from registry import open_nets
from registry.errors import ObjectsAway, UnknownName
from registry.sample import Sample
from registry.zoo import Zoo
from tests.objects import BUCKET, SECRET
from tests.registry.test_zoo_add import catalog, mine, net  # noqa: F401 - fixtures
from tests.ui.pictures import write_stripes

pytestmark = pytest.mark.slow


@pytest.fixture
def opened(monkeypatch):
    """Names of the nets that are opened from now on."""
    names, open_encoder = [], open_nets.open_encoder

    def noted(folder, *, name, **settings):
        names.append(name)
        return open_encoder(folder, name=name, **settings)

    monkeypatch.setattr(open_nets, "open_encoder", noted)
    return names


@pytest.mark.postgres
def test_what_one_home_has_done_another_goes_on_with(s3, opened, postgres_url, catalog, mine, tmp_path):  # noqa: F811
    def home(name, objects=f"s3://{BUCKET}/zoo"):
        return Zoo.open(tmp_path / name, registry=postgres_url, objects=objects, catalog=catalog)

    stripes = write_stripes(tmp_path, rows=24)
    sample = Sample.from_folder(stripes)
    with home("first") as first:
        first.add(mine)
        advice = recommend(sample, first, keep=2)
        assert "mine" in opened
        choice = evaluate(sample, first, "mine", "full")
        run = tune(choice, sample, first, TuneOptions(epochs=1, controls=False), track=no_tracking)
        predicted = perform(PredictRequest(run=run.id, path=stripes), first).to_dict()
    shutil.rmtree(mine)
    shutil.move(tmp_path / "first" / "runs" / run.id, tmp_path / "gone")
    opened.clear()
    with home("second") as second:
        again = recommend(sample, second, keep=2)
        assert {one.checkpoint.name for one in again.choices} == {one.checkpoint.name for one in advice.choices}
        assert opened == []
        assert run_folders(second.home) == ()
        assert perform(PredictRequest(run=run.id, path=stripes), second).to_dict() == predicted
        perform(ExportRequest(run=run.id, folder=tmp_path / "exported"), second)
        assert (tmp_path / "exported" / "model.safetensors").is_file()
        resumed = tune(
            evaluate(sample, second, "mine", "linear-probe"),
            sample,
            second,
            TuneOptions(controls=False),
            track=no_tracking,
        )
        assert find_run(second.home, "latest").id == resumed.id
        assert second.notes == ()
    with home("third") as third:
        assert {find_run(third.home, one.id).id for one in (run, resumed)} == {run.id, resumed.id}
        third.encoder("mine")
        third.home.shared.release()
        os.kill(s3, signal.SIGKILL)
        with pytest.raises(ObjectsAway) as error:
            find_run(third.home, "2")
        assert SECRET not in repr(error.value)
        assert third.encoder("mine").name == "mine"
    with home("third") as third:  # what is in the cache needs no server
        assert third.encoder("mine").name == "mine"
        assert (third.encode("mine", sample.subsample(8)).last.vectors).any()
        assert "features are not shared" in third.notes[0]
    with home("fourth", objects=None) as fourth, pytest.raises(UnknownName):
        find_run(fourth.home, run.id)


def test_who_is_shared_and_cannot_be_fetched_is_skipped_and_all_others_are_advised(catalog, mine, tmp_path):  # noqa: F811
    (tmp_path / "shared").mkdir()
    with Zoo.open(tmp_path / "home", objects=str(tmp_path / "shared"), catalog=catalog) as zoo:
        zoo.add(mine)
    shutil.rmtree(mine)
    (tmp_path / "shared").rename(tmp_path / "away")
    with Zoo.open(tmp_path / "home", objects=str(tmp_path / "shared"), catalog=catalog) as zoo:
        advice = recommend(Sample.from_folder(write_stripes(tmp_path)), zoo, keep=2)
        assert [one.checkpoint.name for one in advice.choices] == ["lens-net"]
        ((name, why),) = [(one.checkpoint, one.reason) for one in advice.skipped]
        assert (name, "nothing to keep objects in" in why) == ("mine", True)
