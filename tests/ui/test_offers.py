from io import StringIO

import pytest
from rich.console import Console

from registry.catalog import write_listing
from registry.errors import NotHere, UnknownName
from registry.listings import Fact
from registry.zoo import Zoo
from tests.registry.fakes import a_catalog
from tests.registry.test_listings import a_listing
from tests.ui.test_cli import transferzoo
from ui import offers


@pytest.fixture
def zoo(tmp_path):
    catalog = a_catalog(tmp_path / "catalog")
    disputed = {"license": (Fact("mit", "a page"), Fact("apache-2.0", "another")), "width": (Fact(8, "a page"),)}
    write_listing(catalog, a_listing("big", data=("gray",), facts=disputed))
    with Zoo.open(tmp_path / "home", catalog=catalog) as opened:
        yield opened


def printed(report):
    console = Console(file=StringIO(), width=100)
    console.print(report)
    return console.file.getvalue()


def test_what_is_here_and_what_is_known_stand_apart(zoo):
    rows = [row for _, row in offers.listed(zoo)]
    assert [(row["name"], row["here"]) for row in rows] == [("mean-color", True), ("big", False)]
    report = printed(offers.offers_table(rows))
    assert report.index("mean-color") < report.index("Known, not fetched: 1") < report.index("big")
    assert "unknown" in report


def test_limits_that_leave_nothing_say_so():
    assert "leave out a filter" in printed(offers.offers_table([]))


def test_downloads_are_unknown_until_the_hub_is_asked(zoo):
    def report():
        return " ".join(printed(offers.facts_report(offers.listing_json(zoo, zoo.listing("big")), [])).split())

    assert "downloads unknown here; `zoo search` asks the hub" in report()
    zoo.keep_downloads({zoo.listing("big").hub: 1234})
    assert "downloads 1,234 (as the hub stated when it was asked last)" in report()


def test_a_checkpoint_whose_weights_are_gone_is_not_here(zoo):
    (zoo.checkpoint("mean-color").folder / "model.safetensors").unlink()
    assert [row["here"] for _, row in offers.listed(zoo)] == [False, False]


def test_sources_that_disagree_stand_side_by_side_and_three_licenses_apart(zoo):
    row = offers.listing_json(zoo, zoo.listing("big"))
    assert row["contradictions"] == ["license"]
    assert row["licenses"] == {"weights": ["MIT", "Apache-2.0"], "training_data": ["unknown"]}
    report = printed(offers.facts_report(row, []))
    assert "sources disagree" in report
    assert "mit  (a page" in report
    assert "apache-2.0  (another" in report
    assert "no witness" in report


def test_a_name_that_is_known_but_not_here_says_how_to_fetch_it(zoo):
    with pytest.raises(NotHere, match="someone/big"):
        zoo.checkpoint("big")
    with pytest.raises(UnknownName) as caught:
        zoo.checkpoint("bigg")
    assert "'big'" in caught.value.remedy


def test_an_unknown_task_is_named_with_the_known_ones(tmp_path):
    done = transferzoo("zoo", "list", "--task", "image-clasification", home=tmp_path)
    assert done.returncode == 2
    assert "Did you mean 'image-classification'?" in done.stderr


@pytest.mark.parametrize("width", [80, 100, 140])
def test_no_table_breaks_an_id_and_on_a_wide_screen_it_is_whole(zoo, width):
    name = "a_net_of_a_long_name_with_patch16_224.in21k"
    row = {**offers.listing_json(zoo, zoo.listing("big")), "name": name}
    unprobed = {"checkpoint": name, "parameters": 10**8, "bytes": 4 * 10**8, "distance": None, "published": []}
    for report in (offers.offers_table([row]), offers.unprobed_report({"not_probed": [unprobed]})):
        console = Console(file=StringIO(), width=width)
        console.print(report)
        lines = console.file.getvalue().splitlines()
        (line,) = [line for line in lines if line.startswith("a_net_of")]
        assert not any(line.startswith(("21k", "224")) for line in lines)
        assert name in line or (width == 80 and "…" in line)
