import pytest

from recommender.runs.tracking import no_tracking, trackers
from recommender.testing.trackers import TrackerContract


class TestNoTracking(TrackerContract):
    @pytest.fixture
    def track(self):
        return no_tracking


class TestMlflowWithoutAServer(TrackerContract):
    """The promise holds there too: nothing is lost and nothing raised."""

    @pytest.fixture
    def track(self, monkeypatch):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        return trackers["mlflow"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, of SQLAlchemy
class TestMlflow(TrackerContract):
    @pytest.fixture
    def track(self):
        return trackers["mlflow"]
