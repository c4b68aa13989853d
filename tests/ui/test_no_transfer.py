"""Where nothing is worth transferring, the command line fits the model on raw pixels and uses it like any other."""

import json
from pathlib import Path

import pytest

from recommender.requests import choice_request
from recommender.service import _no_transfer
from tests.ui.cases import advice, choice
from tests.ui.pictures import write_stripes
from tests.ui.test_cli import transferzoo
from ui import reproduce


def test_no_transfer_and_a_checkpoint_at_once_is_a_usage_error(tmp_path: Path) -> None:
    done = transferzoo("tune", str(tmp_path), "--no-transfer", "--checkpoint", "a", home=tmp_path)
    assert done.returncode == 2
    assert "--no-transfer" in done.stderr


def test_kept_advice_names_the_model_and_what_is_expected_of_it() -> None:
    kept = advice(choice("a", 0.2, gain=-0.1), transfer=False).to_dict()
    model = _no_transfer(kept)
    assert (model.model, model.expected.mean) == ("raw pixels + linear", 0.22)


def test_the_page_asks_for_the_raw_model_or_for_a_checkpoint_by_name() -> None:
    kept = advice(choice("a", 0.2, gain=-0.1), transfer=False).to_dict()
    assert choice_request(kept, None).no_transfer
    assert choice_request(kept, 0).checkpoint == "a"
    assert "--no-transfer" in reproduce.advice_commands(kept, Path("/home"))
    assert "choice = advice.baseline" in reproduce.advice_python(kept, Path("/home"))


@pytest.mark.slow
def test_the_raw_model_is_fitted_listed_asked_and_exported(tmp_path: Path) -> None:
    pictures, home = write_stripes(tmp_path), tmp_path / "home"
    done = transferzoo("tune", str(pictures), "--no-transfer", "--json", home=home)
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    assert run["checkpoint"] == "no transfer"
    listed = json.loads(transferzoo("runs", "list", "--json", home=home).stdout)
    assert [row["id"] for row in listed] == [run["id"]]
    shown = transferzoo("runs", "show", "latest", "--json", home=home)
    assert json.loads(shown.stdout)["metrics"]["score"] == run["metrics"]["score"]
    assert "realized" in shown.stderr
    record = json.loads(transferzoo("predict", "latest", str(pictures), "--json", home=home).stdout)
    assert len(record["rows"]) == 72
    assert transferzoo("export", "latest", str(tmp_path / "out"), home=home).returncode == 0
    assert (tmp_path / "out" / "model.skops").is_file()
