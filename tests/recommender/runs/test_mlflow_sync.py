"""What MLflow missed is carried to it: by a store on this machine, and by real servers that are down, die or refuse."""

import json
import math
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from recommender.runs import tracking
from recommender.runs.event_log import EventLog
from recommender.runs.folder import RunFolder
from recommender.runs.mlflow_server import in_words
from recommender.runs.mlflow_sync import register, sync_runs
from recommender.runs.tracking import mlflow_runs, no_tracking
from recommender.tuning.recipe import run_local
from registry.addresses import public
from registry.errors import NotFinished, UnknownName
from registry.home import Home
from registry.progress import Phase
from tests.observers import Recorder
from tests.recommender.tuning.jobs import checkpoint, job, plan, whole
from tests.recommender.tuning.servers import TrackingServer, answering

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, of SQLAlchemy

ROOT = Path(__file__).parents[3]
CONSTANTS = {"rows_train", "rows_test", "trainable_parameters"}
"""Results that are one number for good: parameters in MLflow, and no curves."""
LARGEST = 1.7976931348623157e308


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    card = checkpoint(tmp_path / "net")
    prepared = job(tmp_path, card, plan(card, whole(card, epochs=4)))
    RunFolder(prepared.folder).start(prepared.to_dict())
    return prepared


@pytest.fixture
def server(tmp_path):
    serving = TrackingServer(tmp_path / "server")
    yield serving
    serving.kill()


def client(place):
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{place.tracking_database}" if isinstance(place, Home) else place)


def as_stored(value):
    value = float(value)
    return "nan" if math.isnan(value) else min(max(value, -LARGEST), LARGEST)


def points(folder):
    """Every point and result that the event log holds, by name, as MLflow stores them."""
    by_name = {}
    for _, event in EventLog(folder).read():
        if "point" in event:
            by_name.setdefault(event["point"], []).append((event["step"], event["at"], as_stored(event["value"])))
        for name, value in event.get("result", {}).items():
            if name.startswith(("expected_", "estimated_")) or name in CONSTANTS:
                continue
            by_name.setdefault(name, []).append((0, event["at"], as_stored(value)))
    return {name: sorted(row) for name, row in by_name.items()}


def assert_all_there(prepared, requested, status="FINISHED"):
    """MLflow has one run of the job, with every point of the event log once, and nothing else."""
    experiment = requested.get_experiment_by_name("transferzoo").experiment_id
    [run] = requested.search_runs([experiment], f"tags.`transferzoo.job` = '{prepared.id}'")
    assert run.info.status == status
    assert {name: run.data.params[name] for name in run.data.params if name not in CONSTANTS} == EventLog(
        prepared.folder
    ).opening["params"]
    assert len(run.inputs.dataset_inputs) == 1
    there = {
        name: sorted(
            (p.step, p.timestamp, as_stored(p.value)) for p in requested.get_metric_history(run.info.run_id, name)
        )
        for name in run.data.metrics
    }
    assert there == points(prepared.folder)
    return run


class Broken(Exception):
    """A server that broke off."""


def test_secrets_stay_out_of_what_is_told():
    assert public("https://me:secret@host:5000/x") == "https://host:5000/x"
    assert public("sqlite:////tmp/a.db") == "sqlite:////tmp/a.db"
    message = in_words(ValueError("cannot reach https://me:secret@host/x"), "https://me:secret@host/x")
    assert "secret" not in message
    assert "https://host/x" in message


def test_a_run_that_nobody_knows_gets_a_name_that_is_near(prepared):
    with pytest.raises(UnknownName):
        sync_runs(prepared.home, "runn")


def test_only_a_finished_run_can_be_registered(prepared):
    with pytest.raises(NotFinished):
        register(prepared.home, prepared.id, "flowers")


def test_runs_that_were_made_without_mlflow_are_left_alone_unless_named(prepared):
    with no_tracking(prepared):
        pass
    assert sync_runs(prepared.home) == ()


def test_a_run_without_a_journal_is_told_as_a_trouble(prepared):
    [synced] = sync_runs(prepared.home, prepared.id)
    assert "does not begin with what the run is" in synced.trouble
    assert synced.mlflow_run_id is None


def test_a_run_that_goes_on_is_not_carried_by_another(prepared):
    with RunFolder(prepared.folder).held(), no_tracking(prepared):
        [synced] = sync_runs(prepared.home, prepared.id)
    assert "still going on" in synced.trouble
    assert synced.left


@pytest.mark.slow
class TestAStoreOnThisMachine:
    def test_what_broke_off_anywhere_is_completed_and_nothing_is_told_twice(self, prepared, monkeypatch):
        """Every request fails once: before it was heard, and then (the answer is lost) after."""
        from mlflow import MlflowClient

        self.write(prepared)
        requests = ("create_run", "log_batch", "log_inputs", "set_terminated", "log_artifact")
        for name in requests:
            for recorder in (False, True):
                real = getattr(MlflowClient, name)

                def breaks(client, *passed, real=real, recorder=recorder, **named):
                    if recorder:
                        real(client, *passed, **named)
                    raise Broken

                monkeypatch.setattr(MlflowClient, name, breaks)
                [synced] = sync_runs(prepared.home, prepared.id)
                assert "Broken" in synced.trouble
                assert synced.left
                monkeypatch.setattr(MlflowClient, name, real)
        [synced] = sync_runs(prepared.home, prepared.id)
        assert (synced.trouble, synced.left) == (None, 0)
        run = assert_all_there(prepared, client(prepared.home), "KILLED")
        assert [file.path for file in client(prepared.home).list_artifacts(run.info.run_id, "figures")] == [
            "figures/a.png"
        ]

    def test_points_are_told_once_also_where_all_memory_of_it_is_lost(self, prepared):
        self.write(prepared)
        sync_runs(prepared.home, prepared.id)
        (prepared.folder / "carried.json").unlink()
        [synced] = sync_runs(prepared.home, prepared.id)
        assert synced.carried
        assert_all_there(prepared, client(prepared.home), "KILLED")
        assert sync_runs(prepared.home, prepared.id)[0].carried == 0

    def test_a_run_carried_to_another_home_is_told_there(self, prepared, tmp_path):
        self.write(prepared)
        sync_runs(prepared.home, prepared.id)
        other = Home.find(tmp_path / "other")
        shutil.copytree(prepared.folder, other.runs / prepared.id)
        [synced] = sync_runs(other, prepared.id)
        assert synced.trouble is None
        assert str(other.root) in synced.place
        assert_all_there(prepared, client(other), "KILLED")

    def test_a_home_that_was_moved_knows_its_runs(self, prepared, tmp_path):
        self.write(prepared)
        [first] = sync_runs(prepared.home, prepared.id)
        moved = Home(tmp_path / "moved")
        shutil.move(prepared.home.root, moved.root)
        [synced] = sync_runs(Home.find(moved.root), prepared.id)
        assert synced.trouble is None
        assert synced.mlflow_run_id == first.mlflow_run_id
        assert_all_there(replace(prepared, home=moved), client(moved), "KILLED")

    def test_a_store_that_was_wiped_gets_everything_again(self, prepared):
        self.write(prepared)
        sync_runs(prepared.home, prepared.id)
        store = client(prepared.home)
        experiment = store.get_experiment_by_name("transferzoo").experiment_id
        for run in store.search_runs([experiment]):
            store.delete_run(run.info.run_id)
        [synced] = sync_runs(prepared.home, prepared.id)
        assert "was deleted there" in synced.trouble, "what somebody deleted is not brought back"
        subprocess.run(
            [
                sys.executable,
                "-m",
                "mlflow",
                "gc",
                "--backend-store-uri",
                f"sqlite:///{prepared.home.tracking_database}",
            ],
            check=True,
            capture_output=True,
            env=os.environ | {"MLFLOW_TRACKING_URI": synced.place},
        )
        [synced] = sync_runs(prepared.home, prepared.id)
        assert (synced.trouble, synced.left) == (None, 0)
        assert_all_there(prepared, client(prepared.home), "KILLED")

    def test_a_run_killed_with_9_is_told_as_killed_with_all_it_had_told(self, prepared):
        self.in_a_process(
            prepared,
            "for epoch in range(3): tracker_run.point('validation loss', epoch, 1.0)\n    os.kill(os.getpid(), 9)",
        )
        assert "status" not in EventLog(prepared.folder).read()[-1][1]
        [synced] = sync_runs(prepared.home)
        assert synced.trouble is None
        assert_all_there(prepared, client(prepared.home), "KILLED")

    def test_processes_that_open_a_fresh_store_at_once_share_it(self, prepared):
        names = [f"run-{place}" for place in range(4)]
        started = [
            self.process(replace(prepared, id=name), "tracker_run.point('validation loss', 0, 1.0)") for name in names
        ]
        for one in started:
            output, _ = one.communicate(timeout=240)
            assert one.returncode == 0
            assert output.decode().strip() == "()"
        store = client(prepared.home)
        assert len(store.search_experiments(filter_string="name = 'transferzoo'")) == 1
        experiment = store.get_experiment_by_name("transferzoo").experiment_id
        assert len(store.search_runs([experiment], "tags.`transferzoo.kind` = 'job'")) == len(names)
        assert len(store.search_runs([experiment], "tags.`transferzoo.kind` = 'recommendation'")) == 1

    def write(self, prepared):
        """A journal that nobody has carried yet, of a run that was interrupted."""
        event_log = EventLog(prepared.folder)
        with pytest.raises(KeyboardInterrupt), no_tracking(prepared):
            raise KeyboardInterrupt
        event_log.open({})
        for step in range(1200):
            event_log.point("validation loss", step, 1 / (1 + step))
        for step, value in enumerate((float("inf"), float("-inf"), float("nan"))):
            event_log.point("training loss", step, value)
        event_log.result({"score": 0.5, "seconds": 2.0})
        (prepared.folder / "figures").mkdir()
        (prepared.folder / "figures" / "a.png").write_bytes(b"drawn")
        event_log.write({"artifact": "figures/a.png"})

    def in_a_process(self, prepared, body):
        return self.process(prepared, body).communicate(timeout=240)

    def process(self, prepared, body):
        place = prepared.home.root.parent
        code = (
            "import os\nfrom dataclasses import replace\nfrom pathlib import Path\n"
            "from recommender.runs.folder import RunFolder\nfrom recommender.runs.tracking import mlflow_runs\n"
            "from tests.recommender.tuning.jobs import checkpoint, job, plan\n"
            f"place = Path({str(place)!r})\n"
            f"card = checkpoint(place / {prepared.id!r} / 'net')\n"
            f"work = replace(job(place, card, plan(card), name={prepared.id!r}), recommendation='advice')\n"
            "RunFolder(work.folder).start(work.to_dict())\n"
            "with RunFolder(work.folder).beating(), mlflow_runs(work) as tracker_run:\n"
            f"    {body}\n"
            "print(tracker_run.troubles)\n"
        )
        return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)


@pytest.mark.slow
class TestAServer:
    def test_that_was_down_from_the_start(self, prepared, server, monkeypatch):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
        run, _ = run_local(prepared, mlflow_runs)
        assert run.mlflow_run_id is None
        assert any("did not answer" in note for note in run.notes)
        assert sync_runs(prepared.home)[0].left
        server.start()
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
        [synced] = sync_runs(prepared.home)
        assert (synced.trouble, synced.left, synced.place) == (None, 0, server.address)
        report = assert_all_there(prepared, client(server.address))
        assert json.loads((prepared.folder / "run.json").read_text())["mlflow_run_id"] == report.info.run_id
        assert [row.carried for row in sync_runs(prepared.home)] == [0]

    def test_that_dies_in_the_middle_of_a_run(self, prepared, server, monkeypatch):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
        server.start()
        died = []

        def kill_midway(event):
            if event.phase is Phase.TUNE and event.done * 2 >= event.of and not died:
                for _ in range(600):
                    if (prepared.folder / "carried.json").exists():
                        break
                    time.sleep(0.05)
                server.kill()
                died.append(event.done)
            return False

        run, _ = run_local(prepared, mlflow_runs, Recorder(kill_midway))
        assert died
        assert any("did not answer" in note for note in run.notes)
        assert run.mlflow_run_id is not None, "the server knew the run before it died"
        plain, _ = run_local(
            job(prepared.home.root.parent, prepared.checkpoint, prepared.plan, name="plain"), no_tracking
        )
        assert run.metrics["score"] == plain.metrics["score"]
        server.start()
        assert client(server.address).get_run(run.mlflow_run_id).info.status == "RUNNING"
        [synced] = sync_runs(prepared.home)
        assert (synced.trouble, synced.left, synced.mlflow_run_id) == (None, 0, run.mlflow_run_id)
        assert_all_there(prepared, client(server.address))

    def test_that_refuses(self, prepared, server, monkeypatch):
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
        with answering(401) as (address, requested):
            monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
            run, _ = run_local(prepared, mlflow_runs)
        assert set(requested) == {"Basic bWU6c2VjcmV0"}
        [note] = [note for note in run.notes if "MLflow" in note]
        assert "refused (401). Set MLFLOW_TRACKING_USERNAME" in note
        server.start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
        assert sync_runs(prepared.home)[0].trouble is None
        assert_all_there(prepared, client(server.address))

    def test_that_is_slow(self, prepared, server, monkeypatch):
        monkeypatch.setattr(tracking, "_PATIENCE", 1.0)
        with answering(200, after=30) as (address, requested):
            monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
            began = time.monotonic()
            run, _ = run_local(prepared, mlflow_runs)
            assert time.monotonic() - began < 25
        assert requested
        assert any("did not answer in time" in note for note in run.notes)
        server.start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
        assert sync_runs(prepared.home)[0].trouble is None
        assert_all_there(prepared, client(server.address))

    def test_keeps_model_figures_and_version(self, prepared, server, monkeypatch):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
        server.start()
        run_local(prepared, no_tracking)
        figure = prepared.folder / "figures" / "a.png"
        figure.parent.mkdir(exist_ok=True)
        figure.write_bytes(b"drawn")
        with partial(mlflow_runs, register="flowers", alias="champion")(prepared) as tracker_run:
            tracker_run.artifact(figure)
            tracker_run.model(prepared.folder)
        assert tracker_run.troubles == ()
        requested = client(server.address)
        drawn = {file.path for file in requested.list_artifacts(tracker_run.run_id, "figures")}
        assert drawn >= {"figures/a.png", "figures/transferred-and-learned.png"}
        version = requested.get_model_version_by_alias("flowers", "champion")
        assert version.run_id == tracker_run.run_id
        assert version.tags["transferzoo.checkpoint_digest"] == prepared.checkpoint.digest
        assert version.tags["transferzoo.sample"] == prepared.sample.digest
        [output] = requested.get_run(tracker_run.run_id).outputs.model_outputs
        model = requested.get_logged_model(output.model_id)
        assert str(model.status) == "READY"
        assert {metric.key for metric in model.metrics} >= {"score", "accuracy"}
        assert_all_there(prepared, requested)
        (prepared.folder / "carried.json").unlink()
        register(prepared.home, prepared.id, "flowers", "champion")
        assert [v.version for v in requested.search_model_versions("name = 'flowers'")] == [version.version]
        assert len(requested.get_run(tracker_run.run_id).outputs.model_outputs) == 1
