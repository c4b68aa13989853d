"""Lists: ordered, cut short, as CSV; and the shells and pages that know the commands."""

import csv
import io
import json

import pytest
from typer.testing import CliRunner

from registry.errors import UnknownName
from registry.zoo import Zoo
from tests.ui.cases import advice, choice
from ui import serving
from ui.cli import app
from ui.context import ListOptions
from ui.strangers import table_csv

ROWS = [
    {"name": "b", "parameters": 20, "facts": {"x": 1}},
    {"name": "A", "parameters": None, "facts": {}},
    {"name": "c", "parameters": 3, "facts": {}},
]


def names(sort: str | None, limit: int | None = None) -> str:
    return "".join(row["name"] for row in ListOptions(sort, limit, False, False).arranged(ROWS))


def test_rows_are_ordered_by_any_single_value_and_what_lacks_it_comes_last() -> None:
    assert names(None) == "bAc"
    assert names("name") == "Abc"
    assert names("parameters") == "cbA"
    assert names("parameters-") == "bcA"
    assert names("parameters-", 1) == "b"
    with pytest.raises(UnknownName, match="parametres"):
        names("parametres")
    with pytest.raises(UnknownName):
        names("facts")


def test_a_table_as_csv_holds_no_formula() -> None:
    written = table_csv(("name", "score", "rows"), [{"name": "=1+1", "score": 0.5}, {"name": "b", "rows": -3}])
    assert [*csv.reader(io.StringIO(written))] == [
        ["name", "score", "rows"],
        ["'=1+1", "0.500000", ""],
        ["b", "", "-3"],
    ]


@pytest.mark.slow
def test_the_zoo_is_listed_as_csv_in_the_order_that_is_asked_for(tmp_path) -> None:
    runner = CliRunner()
    done = runner.invoke(
        app, ["zoo", "list", "--here", "--sort", "parameters-", "--limit", "3", "--csv", "--home", str(tmp_path)]
    )
    rows = [*csv.DictReader(io.StringIO(done.stdout))]
    sizes = [int(row["parameters"]) for row in rows]
    assert len(rows) == 3
    assert sizes == sorted(sizes, reverse=True)
    listed = runner.invoke(app, ["domains", "list", "--limit", "2", "--json", "--home", str(tmp_path)])
    assert len(json.loads(listed.stdout)) == 2
    both = runner.invoke(app, ["domains", "list", "--csv", "--json", "--home", str(tmp_path)])
    assert both.exit_code == 2


@pytest.mark.slow
def test_one_thing_is_opened_in_the_picker_that_runs(tmp_path, monkeypatch) -> None:
    with Zoo.open(tmp_path) as zoo:
        kept = advice(choice("a", 0.8, gain=0.3))
        zoo.keep(kept)
        assert serving.running(zoo.home) is None
    monkeypatch.setattr(serving, "running", lambda _: "http://127.0.0.1:1/?token=t")
    runner = CliRunner()

    def opened(name: str) -> str:
        return runner.invoke(app, ["open", name, "--no-browser", "--home", str(tmp_path)], terminal_width=200).output

    assert "?token=t&advice=0123456789abcdef" in opened("0123")
    assert "&card=resnet-photos" in opened("resnet-photos")
    assert "&domain=mnist" in opened("mnist")
    with pytest.raises(UnknownName, match="nothing-like-it"):
        runner.invoke(app, ["open", "nothing-like-it", "--home", str(tmp_path)], catch_exceptions=False)
