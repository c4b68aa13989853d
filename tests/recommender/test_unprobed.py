import json
import socket
from dataclasses import replace

import pytest

from recommender import recommend
from recommender.constraints import Constraints
from recommender.history import History
from recommender.results import Unprobed
from recommender.unprobed import rivals, unprobed, within_budget
from registry.cards import Claim, HubFile, Locator
from registry.catalog import write_listing
from registry.listings import Fact
from registry.store import Entries
from registry.zoo import Zoo
from tests.recommender.planted import Reader, planted_sample, planted_zoo
from tests.registry.test_listings import a_listing

SIZES = {"small": 1_000, "large": 9_000_000, "sizeless": None}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """A zoo with one reader here and three listings: one near, one that others praise, one of unknown size."""
    built = planted_zoo(tmp_path_factory.mktemp("zoo"), {"reader": (Reader("reader", (0, 1)), "gray")})
    for name, parameters in SIZES.items():
        facts = {"license": (Fact("mit", "a page"),)}
        if parameters is not None:
            facts["parameters"] = (Fact(parameters, "a page"),)
        if name == "small":
            facts["preset"] = (Fact("Some Tool 2", "its source"),)
        write_listing(built.catalog, a_listing(name, facts=facts, data=("gray",) if name == "small" else ("bright",)))
    published = built.catalog / "outcomes" / "published.csv"
    published.parent.mkdir(exist_ok=True)
    published.write_text("checkpoint,sample_name,strategy,score\nlarge,birds,full,0.9\nother,birds,full,0.5\n")
    opened = Zoo.open(built.home.root, catalog=built.catalog)
    opened._encoders.update(built._encoders)
    return opened


def advise(zoo, **limits):
    return recommend(planted_sample(60, (0.95, 0.9)), zoo, constraints=Constraints(**limits))


@pytest.fixture(scope="module")
def advice(zoo):
    """Without any limit, made while no network may be asked."""

    def refused(*_):
        raise AssertionError("the network was asked")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(socket.socket, "connect", refused)
        return advise(zoo)


def test_what_is_not_here_stands_beside_the_choices_with_what_is_known_of_it(advice):
    assert "reader" in {choice.checkpoint.name for choice in advice.choices}
    assert {row.checkpoint for row in advice.unprobed} == set(SIZES)
    praised = advice.unprobed[0]
    assert (praised.checkpoint, praised.published[0].score) == ("large", 0.9)
    small = next(row for row in advice.unprobed if row.checkpoint == "small")
    assert (small.distance.domain, small.bytes, small.licenses) == ("gray", 4_000, ("MIT",))


def test_published_results_come_before_distance_and_distance_before_size(advice):
    assert [row.checkpoint for row in advice.unprobed] == ["large", "small", "sizeless"]


def test_what_is_not_here_never_joins_the_choices_nor_what_was_skipped(advice):
    assert not {choice.checkpoint.name for choice in advice.choices} & set(SIZES)
    assert not {row.checkpoint for row in advice.skipped} & set(SIZES)


def test_constraints_hold_for_what_is_not_here_and_unknown_sizes_are_within_no_limit(zoo):
    advice = advise(zoo, max_parameters=1_000_000)
    assert [row.checkpoint for row in advice.unprobed] == ["small"]
    assert {row.checkpoint: row.reason for row in advice.beyond}["sizeless"].startswith("its parameters are unknown")


def test_the_strictest_license_counts_for_what_is_not_here(zoo):
    """The weights are MIT, their data are of unknown license."""
    rows, left = unprobed(zoo, "image", {}, History(()), Constraints(licenses=("mit",)))
    assert rows == ()
    assert {row.reason for row in left} == {"license of its training data unknown, asked for mit"}


def test_a_preset_is_a_rival_and_unknown_downloads_are_not_guessed(advice):
    preset, downloaded = advice.rivals
    assert (preset.of, preset.checkpoint, preset.here, preset.expected) == (
        "preset of Some Tool 2",
        "small",
        False,
        None,
    )
    assert downloaded.checkpoint is None
    assert "not known" in downloaded.because


def test_of_what_a_hub_stated_when_it_was_asked_the_most_downloaded_that_fits_is_a_rival(zoo):
    zoo.keep_downloads({"someone/small": 7, "someone/large": 900, "someone/sizeless": None})
    taken = [rivals(zoo, "image", Constraints(max_parameters=most), ())[-1] for most in (None, 5000)]
    assert [row.checkpoint for row in taken] == ["large", "small"]
    assert taken[0].because.startswith("900 downloads; of ")
    assert taken[0].because.endswith("others they are not known here")


def test_the_json_form_marks_each_as_not_probed_and_says_how_to_fetch_it(advice):
    record = json.loads(json.dumps(advice.to_dict()))
    assert {row["status"] for row in record["not_probed"]} == {"not probed"}
    assert record["not_probed"][1]["fetch"] == "transferzoo zoo fetch small"
    assert record["not_probed"][1]["distance"]["domain"] == "gray"
    assert [row["of"] for row in record["rivals"]] == ["preset of Some Tool 2", "most downloaded"]


def test_a_disk_budget_takes_the_best_that_fit_together():
    rows = [Unprobed(str(size), "x/y", 1, size, (), (), None) for size in (50, 80, None, 40, 10)]
    assert [row.bytes for row in within_budget(rows, 100, 5)] == [50, 40, 10]
    assert [row.bytes for row in within_budget(rows, 100, 2)] == [50, 40]
    assert [row.bytes for row in within_budget(rows, None, 3)] == [50, 80, None]


def test_a_registered_checkpoint_of_a_hub_that_was_not_fetched_is_not_probed_either(zoo, tmp_path):
    files = (HubFile("model.safetensors", 700, "sha256:" + "0" * 64),)
    claims = (Claim("birds", "image-classification", "accuracy", 0.7),)
    locator = Locator("someone/small", "main", "ab" * 20, files)
    far = replace(
        zoo.checkpoint("reader"), name="far", folder=tmp_path / "gone", digest="", locator=locator, claims=claims
    )
    zoo.store.write(Entries((far,)))
    advice = advise(zoo)
    assert "far" not in {row.checkpoint for row in advice.skipped}
    row = next(row for row in advice.unprobed if row.checkpoint == "far")
    assert (row.hub, row.bytes, row.distance.domain) == ("someone/small", 700, "gray")
    assert (row.published[0].sample, row.published[0].strategy) == ("birds", "claimed")
    assert "small" not in {row.checkpoint for row in advice.unprobed}  # the listing of the same repository
