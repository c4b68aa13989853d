"""`transferzoo benefit`, as it is typed and as it is drawn."""

import json
from pathlib import Path

import pytest

from recommender.service import _exposure_notes
from tests.recommender.test_benefit import planted
from tests.ui.cases import choice
from tests.ui.pictures import write_stripes
from tests.ui.test_cli import transferzoo
from tests.ui.test_render import printed
from ui.render import benefit_report


def test_a_report_has_a_row_and_a_scale_for_each_number_of_labels() -> None:
    report = printed(benefit_report(planted((0.5, 0.7, 0.8, 0.9)).to_dict()))
    lines = report.splitlines()
    assert "10.0 % to 90.0 %" in lines[0]
    rows = [line for line in lines if line.strip().startswith(("16 ", "64 ", "256 ", "1,024 "))]
    assert len(rows) == 4
    assert "50.0 % ± 2.0" in rows[0]
    assert rows[0].index("○") < rows[0].index("◇") < rows[0].index("●")
    assert rows[-1].rstrip().endswith("●")


def test_a_picture_that_cannot_be_written_is_named_before_any_work(tmp_path: Path) -> None:
    done = transferzoo("benefit", str(tmp_path), "--picture", str(tmp_path / "no" / "p.png"), home=tmp_path / "home")
    assert done.returncode == 2
    assert "p.png cannot be written" in done.stderr


def test_a_checkpoint_whose_source_the_sample_may_be_is_warned_of() -> None:
    own, other = choice("own", 0.9, gain=0.2).to_dict(), choice("other", 0.8, gain=0.2).to_dict()
    own["distance"] |= {"p_same": 0.87}
    kept = {"choices": [own, other]}
    (warning,) = _exposure_notes(kept, "own")
    assert "own was trained on own-source, from which this sample cannot be told (p = 0.87)" in warning
    assert [*_exposure_notes(kept, "other"), *_exposure_notes(None, "own")] == []


@pytest.mark.slow
def test_the_benefit_is_measured_drawn_and_told(tmp_path: Path) -> None:
    place = write_stripes(tmp_path, rows=16)
    words = (
        "benefit",
        str(place),
        "--checkpoint",
        "resnet-cifar10",
        "--strategy",
        "linear-probe",
        "--budgets",
        "2",
        "--epochs",
        "2",
        "--json",
    )
    done = transferzoo(*words, home=tmp_path / "home")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["strategy"] == "linear-probe"
    assert len(record["points"]) == 2
    assert Path(record["picture"]).read_bytes().startswith(b"\x89PNG")
    assert Path(record["picture"]).parent == tmp_path / "home"
    assert "measure the benefit" in done.stderr
    assert json.loads(transferzoo("runs", "list", "--json", home=tmp_path / "home").stdout) == []
