"""The room's README runs as it stands, and its tables name every distance and score."""

import re
from pathlib import Path

import pytest

import recommender

README = (Path(recommender.__file__).parent / "README.md").read_text()


def test_its_examples_run(capsys):
    names = {}
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(block, names)  # noqa: S102 - our own page
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.parametrize("plugins", ["distances", "scores"])
def test_it_names_every_plug_in_that_ships(plugins):
    assert [name for name in getattr(recommender, plugins) if f"`{name}`" not in README] == []
