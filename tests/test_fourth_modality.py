"""A modality that a package brings goes the whole way, with none of our files changed for it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes import SHAPES, WAVES, save_net, write_catalog, write_series

KINDS = ("rising", "falling", "slow")
OPEN = """
import sys
from transferzoo_numbers.network import AutoModelForNumberClassification as Auto
model = Auto.from_pretrained(sys.argv[1])
print(type(model).__name__, sorted(model.config.id2label.values()))
"""


def _python(code, *arguments, on):
    path = os.pathsep.join([str(on), str(Path(__file__).parents[1])])
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        check=True,
    ).stdout


@pytest.fixture(scope="module")
def place(numbers_site, tmp_path_factory):
    """The installed package with its catalog; two checkpoints and their sources; a target that is neither."""
    root = tmp_path_factory.mktemp("fourth")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(numbers_site)
        write_catalog(numbers_site / "transferzoo_numbers" / "catalog", root / "lens-data")
        save_net(root / "shaped", forms=SHAPES, seed=1)
        save_net(root / "waved", forms=WAVES, seed=2)
    write_series(root / "forms", SHAPES, 20, 21)
    write_series(root / "target", KINDS, 30, 31, test_rows=12)
    return root


@pytest.fixture(scope="module")
def command(place, numbers_site):
    """The command line, in a process that has the package on its path: its JSON."""

    def run(*arguments, asks_json=True):
        done = subprocess.run(
            [sys.executable, "-m", "ui.cli", *map(str, arguments), *(["--json"] if asks_json else [])],
            check=False,
            capture_output=True,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(numbers_site), str(Path(__file__).parents[1])]),
                "TRANSFERZOO_HOME": str(place / "home"),
                "HF_HUB_OFFLINE": "1",
            },
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout) if asks_json else done.stdout + done.stderr

    return run


@pytest.mark.slow
def test_it_goes_the_whole_way_by_the_command_line_alone(place, command, numbers_site):
    command("zoo", "add", place / "shaped", "--name", "shaped", "--source-data", place / "forms")
    command("zoo", "add", place / "waved", "--name", "waved", "--domain", "forms")
    listed = command("zoo", "list", "--modality", "number")
    assert {row["name"] for row in listed} == {"numbers-lens", "shaped", "waved"}

    advice = command("recommend", place / "target")
    assert advice["sample"]["modality"] == "number"
    assert {row["checkpoint"] for row in advice["choices"]} == {"numbers-lens", "shaped", "waved"}
    assert advice["baseline"]["model"].startswith("moments")
    assert all(row["distance"] is not None for row in advice["choices"])

    probe = command("tune", place / "target", "--checkpoint", "shaped", "--strategy", "linear-probe")
    assert probe["metrics"]["score"] > advice["baseline"]["mean"]
    tuned = command("tune", place / "target", "--checkpoint", "shaped", "--strategy", "full", "--no-controls")
    assert tuned["metrics"]["best_epoch"] > 0

    predicted = command("predict", tuned["id"], place / "target" / "test")
    assert predicted["judged"]["score"] == pytest.approx(tuned["metrics"]["score"], abs=1e-6)
    exported = command("export", tuned["id"], place / "exported")
    assert exported["largest_difference"] < 1e-4
    opened = _python(OPEN, place / "exported", on=numbers_site)
    assert opened.split()[0] == "NumberForNumberClassification"
    assert all(kind in opened for kind in KINDS)

    command("zoo", "promote", tuned["id"], "grown")
    write_series(place / "next", KINDS, 30, 77, test_rows=12)
    assert "grown" in {row["checkpoint"] for row in command("recommend", place / "next")["choices"]}
