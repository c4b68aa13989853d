"""The demo's targets are what they say, and the whole way is walked."""

import importlib.util
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from registry.errors import ExtraMissing, UnknownName
from registry.home import Home
from tests.ui.test_cli import transferzoo
from ui import sample_data


def test_surfaces_are_fourteen_photographs_in_gray_patches() -> None:
    patches = list(sample_data.surfaces())
    counts = Counter((patch.part, patch.label) for patch in patches)
    assert len(counts) == 28
    assert max(counts.values()) == 40
    assert {patch.pixels.shape for patch in patches} == {(48, 48)}
    assert min(patch.pixels.std() for patch in patches) >= sample_data.FLAT


def test_no_patch_straddles_two_strips() -> None:
    strips = np.arange(300) // sample_data.STRIP
    noise = np.random.default_rng(0).integers(0, 40, (200, 300))
    cut = sample_data._cut((strips * 60 + noise).astype(np.uint8), 24)
    assert {strip for _, strip in cut} == {0, 1, 2}
    assert all((pixels // 60 == strip).all() for pixels, strip in cut)


def test_training_patches_lie_left_of_test_patches() -> None:
    groups = {patch.group.split()[1] for patch in sample_data.surfaces()}
    assert groups == {"train", "test"}


@pytest.mark.slow
def test_a_target_is_laid_down_once_and_read_as_any_folder(tmp_path: Path) -> None:
    home = Home.find(tmp_path)
    first = sample_data.demo_sample("digits", home)
    assert len(first.classes) == 10
    assert len(first) + len(first.test.items if first.test else ()) > 1700
    assert sample_data.demo_sample("digits", home).digest == first.digest
    assert not list((tmp_path / "samples").glob(".*"))


def test_surfaces_come_with_groups(tmp_path: Path) -> None:
    result = sample_data.demo_sample("surfaces", Home.find(tmp_path))
    assert result.groups is not None
    assert 28 <= len(set(result.groups)) <= 60


def test_texts_are_what_scipy_says_of_its_functions_without_their_signatures() -> None:
    passages = list(sample_data.subjects())
    counts = Counter((passage.part, passage.label) for passage in passages)
    assert len(counts) == 24
    assert min(counts.values()) >= 3
    assert len(passages) > 1000
    assert not any(passage.text.startswith(("eig(", "gamma(")) for passage in passages)
    assert "Solve an ordinary or generalized eigenvalue problem" in " ".join(passage.text for passage in passages)


def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sample_data, "find_spec", {}.get)
    with pytest.raises(ExtraMissing, match="scikit-image") as report:
        sample_data.demo_sample("surfaces", Home.find(tmp_path))
    assert report.value.remedy == 'Run: pip install "transferzoo[demo]"'
    assert importlib.util.find_spec("skimage") is not None


def test_an_unknown_target_gets_a_hint(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="surface"):
        sample_data.demo_sample("surface", Home.find(tmp_path))


@pytest.mark.slow
def test_the_demo_advises_tunes_and_remembers(tmp_path: Path) -> None:
    first = transferzoo("demo", "--json", home=tmp_path)
    assert first.returncode == 0, first.stderr
    advice = json.loads(first.stdout)
    assert advice["verdict"]["transfer"] is True
    assert "realized" in first.stderr
    assert "mlflow ui" in first.stderr
    runs = json.loads(transferzoo("runs", "list", "--json", home=tmp_path).stdout)
    assert [run["checkpoint"] for run in runs] == [advice["choices"][0]["checkpoint"]]
    again = transferzoo("demo", home=tmp_path).stdout
    assert "You have run this before" in again
    printed = {line.split()[0] for line in again.splitlines() if line.strip()}
    assert {"tier", "tuned", "expected", "realized"} <= headings_in_readme() <= printed


def headings_in_readme() -> set[str]:
    """The words that begin a line of what README shows of the demo."""
    page = (Path(__file__).parents[2] / "README.md").read_text()
    (block,) = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    return {line.split()[0] for line in block.splitlines() if line[:1].isalpha()}


@pytest.mark.slow
def test_digits_are_refused_and_nothing_is_tuned(tmp_path: Path) -> None:
    finished = transferzoo("demo", "digits", home=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert "Do not transfer" in finished.stdout
    assert "Nothing is tuned" in finished.stdout
    assert json.loads(transferzoo("runs", "list", "--json", home=tmp_path).stdout) == []
