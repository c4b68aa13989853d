"""Help: every command has examples that it takes, every panel holds something, and lines fit 80 columns."""

import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from ui.manual import COMMAND_PANELS, EXAMPLES, OPTION_PANELS
from ui.program import app

ROOT: Any = typer.main.get_command(app)


def commands() -> Iterator[tuple[str, Any]]:
    """Every command that is not hidden, by what is typed."""
    for name in ROOT.commands:
        command = ROOT.commands[name]
        below = getattr(command, "commands", {})
        yield from ((f"{name} {each}", one) for each, one in below.items() if not one.hidden)
        if not below:
            yield name, command


def test_every_command_stands_in_a_panel_and_has_an_example():
    assert {name for names in COMMAND_PANELS.values() for name in names} == {*ROOT.places}
    assert {path for path, _ in commands()} == {*EXAMPLES}


def test_every_option_that_is_given_a_panel_is_an_option_of_some_command():
    there = {option.name for _, command in commands() for option in command.params}
    assert [name for names in OPTION_PANELS.values() for name in names if name not in there] == []


@pytest.mark.parametrize(("path", "command"), list(commands()), ids=[path for path, _ in commands()])
def test_examples_are_what_the_command_takes(path, command):
    for line in EXAMPLES[path]:
        words = shlex.split(line)
        assert words[: len(path.split())] == path.split()
        command.make_context(path, words[len(path.split()) :])


@pytest.mark.slow
@pytest.mark.parametrize("path", ["", *ROOT.places, *(path for path, _ in commands())])
def test_no_help_is_wider_than_eighty_columns(path):
    shown = CliRunner().invoke(app, [*path.split(), "--help"], env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"}).output
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize("words", [["--help"], ["recommend", "--help"], ["zoo", "list", "--help"]])
def test_help_fits_eighty_columns_and_shows_panels_and_examples(words):
    shown = CliRunner().invoke(app, words, env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"}).output
    assert max(map(len, shown.splitlines())) <= 80
    assert ("transferzoo recommend my-images" in shown) == (words[0] == "recommend")
    wanted = {"--help": "Look closer", "recommend": "Constraints", "zoo": "What is shown"}[words[0]]
    assert wanted in shown


def test_v_is_all_there_is_to_say():
    recommend = dict(commands())["recommend"]
    assert recommend.make_context("recommend", ["x", "-v"]).params["explain"] is True
