"""Several labels a row, and a quantity, from a table to a prediction, as it is typed."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.ui.test_cli import transferzoo

ROWS = 48


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def shapes(place: Path, target: Callable[[float, bool], object]) -> tuple[Path, Path]:
    """A bright square of some size, in some rows crossed by a dark bar; and the table that tells of them."""
    random, folder = np.random.default_rng(0), place / "shapes"
    folder.mkdir()
    table = [("file", "target")]
    for row in range(ROWS):
        size, crossed = int(random.integers(4, 28)), bool(row % 2)
        pixels = random.normal(60, 15, (32, 32, 3))
        pixels[2 : 2 + size, 2 : 2 + size] += 130
        if crossed:
            pixels[14:18] = 20
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / f"{row:02}.png")
        table.append((f"{row:02}.png", target(size, crossed)))
    with (place / "targets.csv").open("w", newline="") as file:
        csv.writer(file).writerows(table)
    return folder, place / "targets.csv"


def marks(size: float, crossed: bool) -> str:
    return "|".join([*(["large"] if size > 15 else []), *(["crossed"] if crossed else [])])


@pytest.mark.slow
def test_several_labels_go_all_the_way(home: Path, tmp_path: Path) -> None:
    folder, table = shapes(tmp_path, marks)
    advice = transferzoo("recommend", str(folder), "--labels", str(table), "--keep", "1", home=home)
    assert advice.returncode == 0, advice.stderr
    assert f"{ROWS} rows, 2 labels on" in advice.stdout
    assert "judged by macro-f1" in advice.stdout
    assert f"--labels {table} --home" in advice.stdout
    tuned = transferzoo("tune", str(folder), "--labels", str(table), "--json", home=home)
    assert tuned.returncode == 0, tuned.stderr
    run = json.loads(tuned.stdout)
    assert run["metrics"]["score"] > 0.5
    assert 0 < run["metrics"]["expected_mean"] <= 1
    finished = transferzoo("predict", "latest", str(folder), "--csv", home=home)
    rows = list(csv.DictReader(io.StringIO(finished.stdout)))
    assert [name for name in rows[0] if name not in {"file", "prediction", "confidence"}] == ["crossed", "large"]
    record = {row[0]: row[1] for row in csv.reader(table.read_text().splitlines())}
    right = [("large" in record[row["file"]]) == (float(row["large"]) > 0.5) for row in rows]
    assert np.mean(right) > 0.8


@pytest.mark.slow
def test_a_quantity_goes_all_the_way(home: Path, tmp_path: Path) -> None:
    folder, table = shapes(tmp_path, lambda size, _: 1000 + 10.5 * size)
    advice = transferzoo("recommend", str(folder), "--labels", str(table), "--keep", "1", home=home)
    assert advice.returncode == 0, advice.stderr
    assert "a quantity of 1042 to " in advice.stdout
    assert "judged by r2" in advice.stdout
    assert "0 classes" not in advice.stdout
    tuned = transferzoo("tune", str(folder), "--labels", str(table), home=home)
    assert tuned.returncode == 0, tuned.stderr
    assert "realized r2 0." in " ".join(tuned.stdout.split())
    assert "off by" in tuned.stdout
    listed = json.loads(transferzoo("runs", "list", "--json", home=home).stdout)
    assert (listed[0]["task"], listed[0]["metric"]) == ("regression", "r2")
    record = json.loads(transferzoo("predict", "latest", str(folder), "--json", home=home).stdout)
    report = {row[0]: row[1] for row in csv.reader(table.read_text().splitlines())}
    pairs = np.array([(float(report[row["file"]]), float(row["prediction"])) for row in record["rows"]])
    assert np.corrcoef(pairs.T)[0, 1] > 0.7
    assert np.abs(pairs[:, 1] - pairs[:, 0]).mean() < 60


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "report"),
    [
        (("--task", "regression"), "--labels FILE.csv"),
        (("--labels", "TABLE", "--metric", "balanced-accuracy"), "balanced-accuracy does not judge multi-label"),
        (("--labels", "TABLE", "--task", "regression"), "is no finite number"),
        (("--labels", "TABLE", "--task", "classification"), "the cell 'target' is empty"),
        (("--metric", "r2", "--labels", "TABLE"), "Choose macro-f1 or accuracy"),
    ],
)
def test_what_does_not_fit_is_one_line_with_a_remedy(
    home: Path, tmp_path: Path, words: tuple[str, ...], report: str
) -> None:
    folder, table = shapes(tmp_path, marks)
    done = transferzoo("recommend", str(folder), *(str(table) if w == "TABLE" else w for w in words), home=home)
    assert done.returncode == 2
    assert report in done.stderr
    assert "Traceback" not in done.stderr
