"""`transferzoo runs sync` on homes whose runs were interrupted, and where no server answers."""

import json
from pathlib import Path

import pytest

from recommender.runs.folder import RunFolder
from recommender.runs.tracking import mlflow_runs
from registry.home import Home
from tests.recommender.tuning.jobs import checkpoint, job, plan
from tests.ui.test_cli import transferzoo
from ui import reproduce

NOWHERE = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with one run, of which MLflow knows nothing."""
    for name, value in NOWHERE.items():
        monkeypatch.setenv(name, value)
    card = checkpoint(tmp_path / "net")
    prepared = job(tmp_path, card, plan(card))
    RunFolder(prepared.folder).start(prepared.to_dict())
    with mlflow_runs(prepared) as tracker_run:
        tracker_run.point("validation loss", 0, 1.0)
    assert "did not answer" in tracker_run.troubles[0]
    return prepared.home.root


@pytest.mark.slow
def test_a_run_that_mlflow_lacks_is_listed_with_the_trouble_and_then_carried(home: Path) -> None:
    done = transferzoo("runs", "sync", home=home, **NOWHERE)
    assert done.returncode == 1
    assert "did not answer" in " ".join(done.stdout.split())
    assert "Traceback" not in done.stderr
    finished = transferzoo("runs", "sync", "--json", home=home, MLFLOW_TRACKING_URI=f"sqlite:///{home}/mine.db")
    assert finished.returncode == 0, finished.stderr
    [row] = json.loads(finished.stdout)
    assert (row["run"], row["left"], row["trouble"]) == ("run", 0, None)
    assert row["carried"] > 5
    assert row["mlflow_run_id"]
    again = transferzoo("runs", "sync", "--json", home=home, MLFLOW_TRACKING_URI=f"sqlite:///{home}/mine.db")
    assert json.loads(again.stdout)[0]["carried"] == 0


@pytest.mark.slow
def test_a_home_without_runs_has_nothing_to_carry(tmp_path: Path) -> None:
    done = transferzoo("runs", "sync", home=tmp_path)
    assert done.returncode == 0
    assert "No run was made under MLflow here." in done.stdout


@pytest.mark.slow
def test_a_run_of_no_such_id_is_bad_input(tmp_path: Path) -> None:
    done = transferzoo("runs", "sync", "nothing", home=tmp_path)
    assert done.returncode == 2
    assert "there is no run named 'nothing'" in done.stderr


@pytest.mark.parametrize(
    ("address", "typed"),
    [
        (None, "ui --workers 1 --backend-store-uri sqlite:////home/mlflow.db"),
        ("postgresql://host/runs", "ui --workers 1 --backend-store-uri postgresql://host/runs"),
        ("postgresql://me:secret@host/runs", "ui --workers 1 --backend-store-uri postgresql://host/runs"),
        ("https://me:secret@host:5000/ml", "-m webbrowser https://host:5000/ml"),
    ],
)
def test_mlflows_page_is_where_the_runs_were_told(
    monkeypatch: pytest.MonkeyPatch, address: str | None, typed: str
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if address is not None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert reproduce.mlflow_command(Home(Path("/home"))).endswith(typed)
