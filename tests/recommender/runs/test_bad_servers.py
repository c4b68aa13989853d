"""MLflow servers that drip, hang or refuse, over real sockets: `runs sync` ends in time and says what to do."""

import time

import pytest

from recommender.runs import mlflow_server, mlflow_sync
from recommender.runs.folder import RunFolder
from recommender.runs.mlflow_sync import sync_runs
from recommender.runs.tracking import _LoggedRun
from tests.recommender.tuning.jobs import checkpoint, job, plan, whole
from tests.reliability.hanging import answering_with, dripping, hanging

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, of SQLAlchemy

PATIENCE = 2.0
REFUSALS = {
    "401 Unauthorized": "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
    "403 Forbidden": "Ask who runs it for the right to write",
    "429 Too Many Requests": "asked too often (429). Try again after 7 s",
    "500 Internal Server Error": "a fault of its own (500). Look into its log",
    "502 Bad Gateway": "a fault of its own (502). Look into its log",
}


@pytest.fixture
def unsent(tmp_path, monkeypatch):
    """A run whose event log nobody has carried yet."""

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    card = checkpoint(tmp_path / "net")
    prepared = job(tmp_path, card, plan(card, whole(card, epochs=1)))
    RunFolder(prepared.folder).start(prepared.to_dict())
    _LoggedRun(prepared, "mlflow").close("KILLED")
    return prepared


@pytest.mark.slow
@pytest.mark.parametrize("server", [dripping, hanging])
def test_a_server_that_does_not_get_on_is_given_up_in_time(unsent, monkeypatch, server):
    for room in (mlflow_server, mlflow_sync):
        monkeypatch.setattr(room, "PATIENCE", PATIENCE)
    with server() as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        began = time.monotonic()
        [synced] = sync_runs(unsent.home, unsent.id)
        took = time.monotonic() - began
    assert took < 30, "it would drip for 100,000 s"
    assert "did not answer in time" in synced.trouble
    assert "Try again later, or set MLFLOW_TRACKING_URI" in synced.trouble
    assert synced.left


@pytest.mark.parametrize("status", REFUSALS)
def test_what_a_server_answers_is_told_with_what_to_do(unsent, monkeypatch, status):
    with answering_with(status, {"Retry-After": "7"} if status.startswith("429") else None) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        [synced] = sync_runs(unsent.home, unsent.id)
    assert f"({status[:3]})" in synced.trouble
    assert REFUSALS[status] in synced.trouble
    assert synced.left
