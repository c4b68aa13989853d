"""The plug-in of the README is installed as it stands there: it is found, it counts, and it keeps the laws."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from recommender.transfer import ComparableScore, scores
from tests.packages import install
from tests.recommender.test_plugins import two_tied

README = Path(__file__).parents[2] / "recommender" / "README.md"


def block(file):
    return re.search(rf"```python\n(# {file}.*?)```", README.read_text(), re.DOTALL).group(1)


@pytest.fixture
def package(monkeypatch, tmp_path):
    point = re.search(r'entry-points."transferzoo.scores"\]\nmargin = "(.*?)"', README.read_text()).group(1)
    install(monkeypatch, tmp_path / "package", {"scores:margin": point}, block("margin.py"), name="margin")
    return tmp_path / "package"


@pytest.mark.usefixtures("package")
def test_it_is_found_and_reported(tmp_path):
    from recommender.flow import recommend

    zoo, sample = two_tied(tmp_path)
    assert isinstance(scores["margin"], ComparableScore)
    assert "margin" in recommend(sample, zoo, keep=3).best.to_dict()["scores"]


@pytest.mark.slow
def test_it_keeps_the_laws_of_the_suite_that_is_shipped(package):
    (package / "test_margin.py").write_text(block("test_margin.py"))
    path = os.pathsep.join([str(package), *sys.path])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "test_margin.py"]
    environment = {**os.environ, "PYTHONPATH": path}
    ran = subprocess.run(command, cwd=package, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout
