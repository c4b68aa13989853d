"""Advice that may fetch: from a hub on 127.0.0.1, through the real client."""

import pytest

from recommender.observer import Observer
from recommender.requests import RecommendRequest, SampleRequest
from recommender.service import perform
from registry.catalog import write_listing
from registry.listings import Fact
from registry.zoo import Zoo
from tests.conftest import draw_folder
from tests.fakes.hub import the_only_hub
from tests.fakes.repositories import a_net
from tests.recommender.planted import Reader, planted_zoo
from tests.registry.test_listings import a_listing


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with the_only_hub(monkeypatch, tmp_path / "hf") as running:
        running.add("someone/net", a_net())
        yield running


@pytest.fixture
def zoo(tmp_path):
    built = planted_zoo(tmp_path, {"reader": (Reader("reader", (0, 1)), "gray")})
    small, large = (Fact(1000, "a page"),), (Fact("1 GB", "a page"),)
    write_listing(built.catalog, a_listing("net", data=("gray",), facts={"parameters": small}))
    write_listing(built.catalog, a_listing("huge", data=("gray",), facts={"bytes": large}))
    opened = Zoo.open(built.home.root, catalog=built.catalog)
    opened._encoders.update(built._encoders)
    return opened


class Listener(Observer):
    """Answers whether it may be fetched, and keeps what it was told."""

    def __init__(self, answer=False):
        self.answer, self.questions, self.notes = answer, [], []

    def may_fetch(self, rows):
        self.questions += [row.checkpoint for row in rows]
        return self.answer

    def on_note(self, note, *, warning):
        self.notes.append(note)


@pytest.fixture
def request_of(tmp_path):
    folder = draw_folder(tmp_path / "pets", {"cat": 20, "dog": 20})
    return lambda **options: RecommendRequest(sample=SampleRequest(path=folder), **options)


def probed(advice):
    return {choice.checkpoint.name for choice in advice.choices} | {row.checkpoint for row in advice.skipped}


def absent(advice):
    return {row.checkpoint for row in advice.unprobed}


def test_advice_fetches_nothing_unless_it_is_told_to(hub, zoo, request_of):
    assert absent(perform(request_of(), zoo)) == {"net", "huge"}
    assert hub.requests == []


def test_what_fits_into_the_disk_budget_is_fetched_and_probed(hub, zoo, request_of):
    advice = perform(request_of(fetch="auto", disk_budget="10MB"), zoo, Listener())
    assert "net" in probed(advice)
    assert absent(advice) == {"huge"}
    assert zoo.here(zoo.checkpoint("net"))
    assert zoo.listing_of(zoo.checkpoint("net")).contradictions == ("parameters",)


@pytest.mark.slow
def test_where_it_is_left_open_the_observer_is_asked_and_a_no_fetches_nothing(hub, zoo, request_of):
    listener = Listener(answer=False)
    assert absent(perform(request_of(fetch="ask", disk_budget="10MB"), zoo, listener)) == {"net", "huge"}
    assert listener.questions == ["net"]
    assert hub.requests == []
    assert "net" in probed(perform(request_of(fetch="ask", disk_budget="10MB"), zoo, Listener(answer=True)))


def test_what_cannot_be_fetched_is_noted_and_the_advice_goes_on(hub, zoo, request_of):
    hub.repositories.clear()
    listener = Listener()
    advice = perform(request_of(fetch="auto", disk_budget="10MB"), zoo, listener)
    assert absent(advice) == {"net", "huge"}
    assert any(note.startswith("net was not fetched: ") for note in listener.notes)


def test_a_budget_into_which_nothing_fits_is_said(hub, zoo, request_of):
    listener = Listener()
    perform(request_of(fetch="auto", disk_budget=1), zoo, listener)
    assert listener.notes[-1] == "Nothing that is known and not here fits into the disk budget."
    assert hub.requests == []
