"""Lists: ordered, cut short, as CSV; and the shells and pages that know the commands."""

import csv
import io
import json

import pytest
from typer.testing import CliRunner

from registry.cards import Metric, Origin, Outcome, Scope, Task
from registry.errors import UnknownName
from registry.zoo import Zoo
from tests.ui.cases import advice, choice
from tests.ui.test_manual import commands
from ui import serving
from ui.context import ListOptions
from ui.program import app
from ui.strangers import table_csv


def _options(command) -> set[str]:
    return {option.name for option in command.params}


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


LISTS = [path for path, command in commands() if path.endswith(" list") or {"sort", "csv"} <= _options(command)]


def test_every_list_takes_what_every_list_takes():
    known = dict(commands())
    assert {"zoo list", "domains list", "runs list", "history list", "queue list", "keys list"} <= {*LISTS}
    assert [path for path in LISTS if not {"json", "csv", "limit", "sort", "home"} <= _options(known[path])] == []


@pytest.mark.slow
def test_every_list_fits_eighty_columns_and_is_ordered_cut_short_and_read_by_programs(tmp_path):
    home = str(tmp_path / "home")
    with Zoo.open(tmp_path / "home") as zoo:
        zoo.access.create("ci with a name that is long enough to need a second line", Scope.READ)
        zoo.access.create("other", Scope.READ)
        for name in ("a", "b"):
            job = zoo.jobs.start("tune", {"path": f"/data/{name * 90}"}, name, lane="cpu")
            zoo.jobs.cancel(job.id)
        for run in ("one", "two"):
            judged = "ab" * 32, "sample" * 9, Task.CLASSIFICATION, Metric.ACCURACY, 0.5, 0.01, 100, 50, 9.0
            zoo.record(Outcome(run, "net" * 20, "lp-ft", *judged, Origin.OURS, "2026-11-28T06:00:00+00:00"))
    runner = CliRunner(env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"})
    arguments = {"queue list": ["--all"], "history show": ["measured"]}
    for path in LISTS:
        words = [*path.split(), *arguments.get(path, []), "--home", home]
        shown = runner.invoke(app, words, catch_exceptions=False)
        assert shown.exit_code == 0, path
        assert max(map(len, shown.stdout.splitlines())) <= 80, path
        rows = json.loads(runner.invoke(app, [*words, "--json"], catch_exceptions=False).stdout)
        assert len(rows) >= 2, path
        key = next(key for key, value in rows[0].items() if isinstance(value, str))
        ordered = json.loads(runner.invoke(app, [*words, "--json", "--sort", f"{key}-", "--limit", "2"]).stdout)
        assert [row[key] for row in ordered] == sorted((row[key] for row in rows), key=str.casefold, reverse=True)[:2]
        table = [*csv.DictReader(io.StringIO(runner.invoke(app, [*words, "--csv", "--limit", "1"]).stdout))]
        assert len(table) == 1, path
        assert key in table[0], path


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
