"""The page's command and code give the advice that they stand beside."""

import ast
import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

from recommender.requests import RecommendRequest, SampleRequest, TuneRequest, choice_request
from recommender.results import Skipped
from registry.errors import NoItems
from registry.home import Home
from tests.ui.cases import advice, choice
from ui import reproduce
from ui.context import parse_request
from ui.program import app
from ui.strangers import markdown as literal
from ui.uploads import clear_own_uploads, clear_uploads, is_of, save_upload, save_uploads
from ui.work import _next_commands

HOME = Path("/homes/mine")


def kept_advice(**settings: object) -> dict[str, Any]:
    built: dict[str, Any] = advice(choice("a", 0.8, gain=0.3), choice("b", 0.7, gain=0.2)).to_dict()
    return {**built, "settings": {**built["settings"], **settings}}


def test_the_command_carries_every_setting() -> None:
    line = reproduce.advice_commands(
        kept_advice(keep=2, max_parameters=5, licenses=["mit"], exclude=["x y"]), HOME
    ).splitlines()[0]
    words = shlex.split(line)[1:]
    assert words[:2] == ["recommend", "/data/surfaces"]
    pairs = set(zip(words[2::2], words[3::2], strict=True))
    assert pairs == {
        ("--license", "mit"),
        ("--exclude", "x y"),
        ("--keep", "2"),
        ("--max-parameters", "5"),
        ("--groups", "/data/groups.csv"),
        ("--home", "/homes/mine"),
    }


def test_limits_on_cost_are_carried_where_they_were_given() -> None:
    limited = kept_advice(max_memory=1 << 30, tuning_budget=90.0)
    line = reproduce.advice_commands(limited, HOME).splitlines()[0]
    assert "--max-memory 1073741824" in line
    assert "--tuning-budget 90.0" in line
    assert "max_memory=1073741824, tuning_budget=90.0" in reproduce.advice_python(limited, HOME)
    assert "memory" not in reproduce.advice_commands(kept_advice(), HOME)
    hurried = kept_advice(effort="quick", time_budget=90.0)
    assert "--effort quick --time-budget 90.0" in reproduce.advice_commands(hurried, HOME)
    assert "effort=transferzoo.Effort.QUICK, deadline=transferzoo.Deadline(90.0))" in reproduce.advice_python(
        hurried, HOME
    )


def test_whoever_keeps_duplicates_keeps_them_again() -> None:
    kept = kept_advice()
    kept["sample"] = {**kept["sample"], "keep_duplicates": True}
    assert all("--keep-duplicates" in line for line in reproduce.advice_commands(kept, HOME).splitlines())
    assert "keep_duplicates=True" in reproduce.advice_python(kept, HOME)
    assert choice_request(kept).sample.keep_duplicates
    assert "duplicates" not in reproduce.advice_commands(kept_advice(), HOME) + reproduce.advice_python(
        kept_advice(), HOME
    )


def test_the_python_is_python_and_names_limits_only_where_there_are_some() -> None:
    plain, limited = (reproduce.advice_python(kept_advice(licenses=licenses), HOME) for licenses in ([], ["mit"]))
    ast.parse(plain)
    ast.parse(limited)
    assert "Constraints" not in plain
    assert "constraints=Constraints(licenses=('mit',))" in limited


def test_the_row_that_is_looked_at_is_the_one_that_is_tuned() -> None:
    for place, name in enumerate("ab"):
        assert choice_request(kept_advice(), place).checkpoint == name
        typed = reproduce.advice_commands(kept_advice(), HOME, place).splitlines()[1]
        assert f"--checkpoint {name} --strategy linear-probe" in typed
    assert "choice = advice.best" in reproduce.advice_python(kept_advice(), HOME)
    assert "choice.checkpoint.name == 'b'" in reproduce.advice_python(kept_advice(), HOME, 1)


def test_a_request_and_its_command_are_one_and_the_same(tmp_path: Path) -> None:
    sample = SampleRequest(path=tmp_path / "a b", metric="macro-f1", follow_links=True, limit=9, seed=3)
    for request in (
        RecommendRequest(sample=sample, keep=2, licenses=("mit", "apache")),
        RecommendRequest(sample=sample, effort="quick", time_budget="90s", continues="abc"),
        TuneRequest(sample=sample, checkpoint="net", controls=False, device="cpu", epochs=3, rate=1e-4, batch_size=8),
    ):
        words = shlex.split(reproduce.as_command(request))[1:]
        command: Any = typer.main.get_command(app).commands[words[0]]
        with command.make_context(words[0], words[1:]) as parsed:
            assert parse_request(words[0], parsed.params) == request


def test_advice_without_choices_has_nothing_to_tune() -> None:
    distances_only = {**kept_advice(), "choices": []}
    assert "tune" not in reproduce.advice_commands(distances_only, HOME)
    assert "tune" not in reproduce.advice_python(distances_only, HOME)


@pytest.mark.slow
def test_an_upload_goes_when_nothing_needs_it_any_more(tmp_path: Path) -> None:
    from registry.zoo import Zoo

    zoo = Zoo.open(tmp_path / "home")
    waited_for, old, young = (save_upload(zoo.home, f"{name}.zip", name.encode()) for name in ("a", "b", "c"))
    zoo.jobs.start("recommend", {"sample": {"path": str(waited_for)}}, "key")
    for place in (waited_for, old):
        os.utime(place.parent, (0, 0))
    assert clear_uploads(zoo, older=60) == 1
    assert [place.exists() for place in (waited_for, old, young)] == [True, False, True]
    clear_own_uploads(zoo)
    assert [place.exists() for place in (waited_for, young)] == [True, False]


def test_names_are_shown_as_they_are() -> None:
    assert literal("<b>*a*</b> :red[x] $1$") == r"\<b\>\*a\*\</b\> \:red\[x\] \$1\$"


def test_an_upload_is_kept_once_under_a_harmless_name(tmp_path: Path) -> None:
    home = Home.find(tmp_path / "home")
    first = save_upload(home, "../../etc/pass wd.zip", b"content")
    assert first == save_upload(home, "../../etc/pass wd.zip", b"content")
    assert first.name == "pass_wd.zip"
    assert first.is_relative_to(home.root / "uploads")
    assert save_upload(home, "x.zip", b"other").parent != first.parent


def test_of_two_who_drop_the_same_each_has_a_file_of_their_own(tmp_path: Path) -> None:
    home = Home.find(tmp_path / "home")
    one, other = (save_upload(home, "x.zip", b"content", owner) for owner in ("a1", "a12"))
    assert one != other
    assert [is_of(one, home, owner) for owner in ("a1", "a12", "a")] == [True, False, False]
    assert is_of(tmp_path / "elsewhere", home, "a1")
    of_another_home = tmp_path / "other" / one.relative_to(home.root)
    assert [is_of(of_another_home, home, owner) for owner in ("a1", "a12", "a")] == [True, False, False]


def test_loose_files_lie_together_beside_the_table_of_their_targets(tmp_path: Path) -> None:
    home = Home.find(tmp_path / "home")
    files = [("b 1.png", b"1"), ("../a.png", b"2"), (".hidden.png", b"3"), ("targets.csv", b"file,target\n")]
    kept = save_uploads(home, files, "me")
    assert {file.name for file in kept.path.iterdir()} == {"b 1.png", "a.png", "hidden.png"}
    assert kept.labels == kept.path.parent / "targets.csv"
    assert kept.labels.read_bytes() == b"file,target\n"
    assert is_of(kept.path, home, "me")
    tables = save_uploads(home, [("train.csv", b"text,label\n"), ("test.csv", b"text,label\n")], "me")
    assert {file.name for file in tables.path.iterdir()} == {"train.csv", "test.csv"}
    assert tables.labels is None
    with pytest.raises(NoItems, match="no table that says"):
        save_uploads(home, [("a.png", b"1"), ("b.png", b"2")], "me")
    new = save_uploads(home, [("a.png", b"1"), ("../b.png", b"2")], "me", labelled=False)  # to be predicted
    assert sorted(file.name for file in new.path.iterdir()) == ["a.png", "b.png"]
    assert new.labels is None
    assert is_of(new.path, home, "me")


def test_a_table_of_targets_is_named_with_what_it_was_taken_for() -> None:
    advice = kept_advice()
    advice["sample"] = {**advice["sample"], "task": "regression", "metric": "r2", "labels_from": "/data/sizes.csv"}
    for line in reproduce.advice_commands(advice, HOME).splitlines():
        assert "--labels /data/sizes.csv --task regression" in line
    read = "labels='/data/sizes.csv', task='regression', groups='/data/groups.csv')"
    assert read in reproduce.advice_python(advice, HOME)
    sample = choice_request(advice).sample
    assert (sample.labels, sample.task) == (Path("/data/sizes.csv"), "regression")


def test_after_advice_that_was_cut_short_the_first_command_goes_on_with_it(tmp_path):
    request = RecommendRequest(sample=SampleRequest(path=tmp_path), time_budget="90s")
    whole = advice(choice("a", 0.8, gain=0.3))
    cut = replace(whole, undone=(Skipped("b", "it was not probed on 80 rows"),))
    of_whole, of_cut = (_next_commands(one, request, tmp_path) for one in (whole, cut))
    assert of_cut[1:] == of_whole
    assert f"recommend {tmp_path} --continue {cut.id}" in of_cut[0]
    assert "--time-budget" not in of_cut[0]
