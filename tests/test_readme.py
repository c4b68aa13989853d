"""README's Python runs as it stands."""

import re
from pathlib import Path

import pytest

from tests.ui.pictures import write_stripes

README = Path(__file__).parents[1] / "README.md"


def python_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def test_there_is_python_and_it_takes_eight_lines() -> None:
    first = python_blocks()[0]
    assert len([line for line in first.splitlines() if line.strip()]) == 8


@pytest.mark.slow
def test_every_python_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_stripes(tmp_path).rename(tmp_path / "my-images")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRANSFERZOO_HOME", str(tmp_path / "home"))
    for block in python_blocks():
        report: dict[str, object] = {}
        exec(compile(block, "README.md", "exec"), report)  # noqa: S102 - it is our own README
        assert 0 <= report["run"].metrics["score"] <= 1
