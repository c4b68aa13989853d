"""What is done with a finished run, as it is typed."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recommender.tuning.heads import LinearHead
from registry.home import Home
from tests.conftest import drawn
from tests.recommender.tuning.runs import CLASSES, finished_run
from tests.ui.test_cli import transferzoo


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two finished runs."""
    folder = tmp_path_factory.mktemp("home")
    finished_run(Home.find(folder).runs / "20260101-one")
    head = LinearHead(np.zeros((1, 24), np.float32), np.array([-1.5], np.float32))
    finished_run(Home.find(folder).runs / "20260102-two", task="regression", classes=(), head=head)
    return folder


@pytest.fixture(scope="module")
def inbox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inbox")
    (folder / "red").mkdir()
    for seed, name in enumerate(("=cmd.png", "red/b.png")):
        Image.fromarray(drawn(seed)).save(folder / name)
    (folder / "broken.png").write_text("no image")
    return folder


def table(done: "subprocess.CompletedProcess[str]") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(done.stdout)))


def test_csv_alone_goes_to_stdout_and_no_cell_is_a_formula(home: Path, inbox: Path) -> None:
    done = transferzoo("predict", "20260101", str(inbox), "--csv", home=home)
    assert done.returncode == 0
    rows = table(done)
    assert list(rows[0]) == ["file", "prediction", "confidence", "blue", "green", "red", "'=sum"]
    assert [row["file"] for row in rows] == ["'=cmd.png", "red/b.png"]
    for row in rows:
        shares = {name: float(row["'=sum" if name == "=sum" else name]) for name in CLASSES}
        assert sum(shares.values()) == pytest.approx(1, abs=1e-4)
        assert row["prediction"].removeprefix("'") == max(shares, key=lambda name: shares[name])
        assert float(row["confidence"]) == pytest.approx(max(shares.values()), abs=1e-4)
    assert "skipped broken.png: not an image" in done.stderr
    assert "on 1 images" in done.stderr


@pytest.mark.slow
def test_a_negative_value_is_a_number_and_no_formula(home: Path, inbox: Path) -> None:
    rows = table(transferzoo("predict", "latest", str(inbox), "--csv", home=home))
    assert list(rows[0]) == ["file", "prediction", "confidence"]
    assert [(row["prediction"], row["confidence"]) for row in rows] == [("-1.5", "")] * 2


@pytest.mark.slow
def test_json_alone_goes_to_stdout(home: Path, inbox: Path) -> None:
    done = transferzoo("predict", "20260101", str(inbox), "--json", home=home)
    record = json.loads(done.stdout)
    assert record["run"] == "20260101-one"
    assert record["judged"]["rows"] == 1
    assert [row["file"] for row in record["skipped"]] == ["broken.png"]


@pytest.mark.slow
def test_a_table_is_for_people(home: Path, inbox: Path) -> None:
    done = transferzoo("predict", "20260101", str(inbox), home=home)
    assert "confidence" in done.stdout
    assert "accuracy" in done.stdout
    assert "skipped broken.png" in done.stdout


@pytest.mark.parametrize(
    ("words", "predicted"),
    [
        (("predict", "20261231", "."), "there is no run named '20261231'"),
        (("predict", "latest", "/nowhere"), "/nowhere does not exist"),
        (("predict", "latest", ".", "--csv", "--json"), "not both"),
        pytest.param(("export", "20260101", "/proc/out"), "/proc/out cannot be written", marks=pytest.mark.slow),
        pytest.param(("zoo", "promote", "20260101", "../x"), "cannot be named '../x'", marks=pytest.mark.slow),
    ],
)
def test_what_cannot_be_done_is_named_with_exit_code_2(words: tuple[str, ...], predicted: str, home: Path) -> None:
    done = transferzoo(*words, home=home)
    assert done.returncode == 2
    assert predicted in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.slow
def test_an_export_says_how_it_is_opened(home: Path, tmp_path: Path) -> None:
    done = transferzoo("export", "20260101", str(tmp_path / "out"), "--json", home=home)
    record = json.loads(done.stdout)
    assert record["largest_difference"] < 1e-4
    assert "AutoModelForImageClassification" in done.stderr
    message = (
        f"from transformers import AutoModelForImageClassification as M; m = M.from_pretrained({record['folder']!r})"
    )
    command = [sys.executable, "-c", f"{message}; print(m.num_labels)"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "4\n"
