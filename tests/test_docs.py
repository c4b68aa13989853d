"""The pages name every command, and no command or option that does not exist."""

import re
import shlex
from pathlib import Path

import typer.main

from ui.program import app

ROOT = Path(__file__).parents[1]
MANUAL = (ROOT / "ui" / "README.md").read_text()
PAGES = [(ROOT / room / "README.md").read_text() for room in (".", "registry", "recommender", "ui")]


def commands() -> dict[str, set[str]]:
    """Every command that is not hidden, with its options."""
    by_name = {}

    def walk(command: object, name: str) -> None:
        inner = getattr(command, "commands", None)
        if getattr(command, "hidden", False):
            return
        if inner is None:
            by_name[name] = {option for passed in command.params for option in (*passed.opts, *passed.secondary_opts)}
            return
        for word, below in inner.items():
            walk(below, f"{name} {word}".strip())

    walk(typer.main.get_command(app), "")
    return by_name


def lines() -> list[list[str]]:
    """What the pages tell to type: in blocks, and in README's table of tasks."""
    blocks = "\n".join(block for page in PAGES for block in re.findall(r"```bash\n(.*?)```", page, re.DOTALL))
    typed = [part.strip() for line in blocks.splitlines() for part in line.split("&&")]
    typed += [name for row in PAGES[0].splitlines() if row.startswith("|") for name in re.findall(r"`([^`]+)`", row)]
    return [shlex.split(line)[1:] for line in typed if line.startswith("transferzoo ")]


def test_every_command_is_documented() -> None:
    assert [name for name in commands() if f"`transferzoo {name}" not in MANUAL] == []


def test_help_says_of_each_command_what_it_says_of_itself_before_it_is_loaded() -> None:
    group = typer.main.get_command(app)
    for name, (_, line) in group.places.items():
        assert group.commands[name].help.splitlines()[0] == line


def test_every_command_that_a_page_tells_to_type_exists_with_its_options() -> None:
    known = commands()
    assert ["recommend", "conll2003/", "--group", "document"] in lines()
    for words in lines():
        name = " ".join(words[:2]) if " ".join(words[:2]) in known else words[0]
        assert name in known
        assert {word for word in words if word.startswith("--")} <= known[name]


def test_every_option_of_recommend_tells_what_it_is_for() -> None:
    command = typer.main.get_command(app).commands["recommend"]
    assert [passed.name for passed in command.params if not passed.help] == []
