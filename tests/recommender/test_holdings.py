"""What the registry holds, changed by requests: against a double of a hub on 127.0.0.1, through the real client."""

import subprocess
import sys

import pytest

from recommender.requests import (
    AddRequest,
    DiskRequest,
    FetchRequest,
    LockRequest,
    RemoveRequest,
    SearchRequest,
    SyncRequest,
)
from recommender.service import perform
from registry.cards import HubState
from registry.errors import UnusableHubId, UnusableRequest
from registry.zoo import Zoo
from tests.fakes.hub import the_only_hub
from tests.fakes.repositories import a_net
from tests.registry.fakes import a_catalog


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with the_only_hub(monkeypatch, tmp_path / "hf") as running:
        running.add("org/net", a_net(), downloads=3)
        yield running


@pytest.fixture
def zoo(tmp_path):
    with Zoo.open(tmp_path / "home", catalog=a_catalog(tmp_path / "catalog")) as opened:
        yield opened


def test_everything_about_a_hub_is_done_by_requests_in_the_one_place_that_performs_them(hub, zoo, tmp_path):
    searched = perform(SearchRequest(words="net", add=(1,)), zoo)
    assert [(row.hub, row.in_zoo) for row in searched.models] == [("org/net", False)]
    assert [card.name for card in searched.added] == ["net"]
    assert perform(SearchRequest(words="net"), zoo).models[0].in_zoo
    assert zoo.downloads() == {"org/net": 3}
    assert perform(AddRequest(hub="org/net"), zoo) == searched.added[0]
    fetched = perform(FetchRequest(names=("net", "org/gone")), zoo)
    assert [card.name for card in fetched.fetched] == ["net"]
    assert [(row.checkpoint, bool(row.remedy)) for row in fetched.failed] == [("org/gone", True)]
    locked = perform(LockRequest(file=tmp_path / "zoo.lock"), zoo)
    assert [(row.checkpoint, row.digest) for row in locked.checkpoints] == [("net", searched.added[0].digest)]
    assert perform(SyncRequest(locked=locked.file), zoo).sound
    assert [row.state for row in perform(SyncRequest(), zoo).changes] == [HubState.OK]
    (usage,) = perform(DiskRequest(), zoo).repositories
    assert (usage.checkpoints, usage.removable) == (("net",), 0)
    assert perform(RemoveRequest(name="net", weights=True), zoo).freed == usage.bytes
    assert "net" not in zoo


def test_a_row_that_the_search_has_not_is_named_before_anything_is_added(hub, zoo):
    with pytest.raises(UnusableRequest, match="names no rows of 1"):
        perform(SearchRequest(words="net", add="1,4"), zoo)
    assert "net" not in zoo


def test_an_odd_id_is_refused_before_the_hub_is_asked(hub, zoo):
    with pytest.raises(UnusableHubId):
        perform(AddRequest(hub="org/../net"), zoo)
    assert hub.requests == []


def test_what_learns_is_not_loaded_for_a_look_at_the_disk():
    code = "import sys, ui.held; sys.exit(any(name in sys.modules for name in ('torch', 'sklearn', 'mlflow')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
