import io
import json
import os
import re
import subprocess
import sys

import pytest
from rich.table import Table
from rich.text import Text

from registry.errors import UnknownName
from registry.escapes import shown
from registry.forms import to_json
from registry.progress import Phase, advance
from registry.zoo import Zoo
from tests.registry.fakes import a_domain
from ui import render
from ui.strangers import StrangersConsole, cell, markdown, safe_json, unbroken
from ui.terminal import print_error

HOSTILE = "\x1b[2J\x1b]0;owned\x07 [/nope] [red]x[/red] \u202egnp.exe \x9b31m"
UNSAFE = ("\x1b", "\x07", "\x9b", "\u202e", "\udcff")


def printed(renderable):
    out = io.StringIO()
    StrangersConsole(out).print(renderable)
    return out.getvalue()


@pytest.mark.parametrize("form", [str, Text, lambda text: Text.assemble(("a ", "bold"), (text, "red"))])
def test_nothing_that_a_terminal_acts_on_passes_a_console(form):
    table = Table("[bold]head")
    table.add_row(form(HOSTILE + "\udcff"))
    for one in (form(HOSTILE + "\udcff"), table):
        out = printed(one)
        assert not any(sign in out for sign in UNSAFE)
        assert "[/nope]" in out.replace("\n", "")
        assert "\\x1b" in out.replace("\n", "").replace(" ", "")


def test_styles_stay_with_their_words_when_something_between_is_escaped():
    text = Text.assemble(("ab\x1b", "red"), ("cd", "bold"))
    out = io.StringIO()
    terminal = StrangersConsole(out)
    (line,) = terminal.render_lines(text, pad=False)
    assert [(part.text, str(part.style)) for part in line if part.text.strip()] == [
        ("ab", "red"),
        ("\\x1b", "red"),
        ("cd", "bold"),
    ]


def test_a_stage_of_progress_is_no_markup():
    out = io.StringIO()
    with render.Bars(StrangersConsole(out)) as progress:
        advance(progress, Phase.ENCODE, 0, 2, "[/nope] \x1b")
    assert "[/nope] \\x1b" in out.getvalue()


def test_a_name_with_a_line_end_forges_no_row():
    assert shown("a\nb\tc\r") == "a\\nb\\tc\\r"
    assert printed(render.domain_table([to_json(a_domain("x\ny"))])).count("\n") == 3


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "  =1", "\r=1"])
def test_no_cell_is_a_formula(text):
    assert cell(text).startswith("'")


def test_a_page_shows_names_and_carries_out_none():
    assert markdown("[x](y) <b>") == r"\[x\]\(y\) \<b\>"
    assert "\x1b" not in markdown("\x1b[0m")


def test_json_says_the_same_in_escapes():
    record = {"name": HOSTILE + "\udcff"}
    written = safe_json(json.dumps(record, ensure_ascii=False))
    assert json.loads(written) == record
    assert not any(sign in written for sign in UNSAFE)


def test_an_error_with_a_name_in_it_is_shown(capsys):
    failure = UnknownName("domain", "[/nope] \x1b[2J", ())
    print_error(str(failure), failure.remedy)
    report = capsys.readouterr().err
    assert "[/nope]" in report
    assert "\x1b[2J" not in report


def test_an_error_is_wrapped_between_words_on_a_terminal_and_one_line_elsewhere(capsys, monkeypatch):
    path = "/a/" + "long" * 20
    monkeypatch.setenv("COLUMNS", "40")
    print_error(f"{path} does not exist", "Check the spelling of it, or give another place.")
    assert capsys.readouterr().err.count("\n") == 2
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    print_error(f"{path} does not exist", "Check the spelling of it, or give another place.")
    lines = re.sub("\x1b\\[[0-9;]*m", "", capsys.readouterr().err).splitlines()
    assert any(path in line for line in lines)
    assert all(len(line) <= 40 for line in lines if path not in line)
    assert " ".join(" ".join(lines).split()).endswith("Check the spelling of it, or give another place.")


def hostile_home(tmp_path):
    home = tmp_path / "home"
    zoo = Zoo.open(home)
    from registry.store import Entries

    zoo.store.write(Entries(domains=(a_domain("[/nope]", title="caf\u00e9 \u96ea \x1b[2J", family="\u202egnp"),)))
    return home


def run(*words, home, **environment):
    return subprocess.run(
        [sys.executable, "-m", "ui.cli", *words, "--home", str(home)],
        capture_output=True,
        check=False,
        env=os.environ | {"COLUMNS": "120"} | environment,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "encoding", ["cp1252", *(pytest.param(e, marks=pytest.mark.slow) for e in ("utf-8", "ascii", "latin-1"))]
)
def test_a_list_with_strange_names_is_printed_in_every_encoding(tmp_path, encoding):
    done = run("domains", "list", home=hostile_home(tmp_path), PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    decoded = done.stdout.decode(encoding)
    assert "[/nope]" in decoded
    assert not any(sign in decoded for sign in UNSAFE)
    assert done.stderr == b"" or b"Traceback" not in done.stderr


@pytest.mark.slow
def test_a_closed_pipe_is_no_fault(tmp_path):
    home = hostile_home(tmp_path)
    for words in ("domains list", "zoo list --json", "zoo show resnet-cifar10"):
        command = f"{sys.executable} -m ui.cli {words} --home {home} 2>{tmp_path}/errors | true"
        subprocess.run(["bash", "-c", command], check=True)
        text = (tmp_path / "errors").read_text()
        assert not any(word in text for word in ("Traceback", "BrokenPipe", "fault")), text


def test_an_address_in_a_name_is_no_link_on_a_page():
    written = markdown("WWW.evil.example eve@evil.example https://evil.example org/net@main 10:30")
    for address in ("WWW\\.", "@evil", "://", "\\:/"):
        assert address not in written
    assert written.replace("\u2060", "").replace("\\", "") == (
        "WWW.evil.example eve@evil.example https://evil.example org/net@main 10:30"
    )
    assert written.count("\u2060") == 3


def test_no_line_of_a_page_ends_between_a_figure_and_its_unit_or_within_a_power_of_ten():
    assert unbroken("61.8 % at 1e-03 in 12 s") == "61.8\xa0% at 1e\u201103 in 12\xa0s"
    for name in ("net-1e-05", "v1e-05", "3 sets", "5 Models", "2 s.png"):
        assert unbroken(name) == name
