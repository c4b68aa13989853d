"""Terminal: consoles, other libraries kept quiet, errors, JSON."""

import json
import logging
import os
import shlex
import sys
import warnings
from collections.abc import Iterable
from textwrap import fill

from rich.console import Console
from rich.text import Text

from registry.errors import PluginWarning
from ui.strangers import StrangersConsole, safe_json

__all__ = ["DEBUG", "console", "folded_command", "print_error", "print_json", "print_next", "silence_libraries"]

DEBUG = "TRANSFERZOO_DEBUG"
"""Set where a fault is being looked for."""
_PROMPT = 4
CHATTY = ("alembic", "huggingface_hub", "mlflow", "sqlalchemy", "transformers")


def print_json(content: object) -> None:
    """Write JSON, and nothing but JSON, to stdout; NaN is an error and never silently printed."""
    sys.stdout.write(safe_json(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)) + "\n")


def console(*, stderr: bool = False) -> Console:
    """A console on today's stdout or stderr; plain text where it is not a terminal; see `ui.strangers`."""
    return StrangersConsole(sys.stderr if stderr else sys.stdout)


def silence_libraries() -> None:
    """Keep other libraries' logs, bars and warnings off the command line, unless a fault is being looked for."""
    if os.environ.get(DEBUG):
        return
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("TQDM_DISABLE", "1")
    warnings.simplefilter("ignore")
    warnings.simplefilter("default", PluginWarning)
    warnings.showwarning = _print_warning
    for library in CHATTY:
        logging.getLogger(library).setLevel(logging.ERROR)


def _print_warning(message: Warning | str, *_where: object, **_file: object) -> None:
    """One yellow line on stderr; where in the code it was met helps nobody who asks for advice."""
    console(stderr=True).print(Text(str(message), "yellow"), soft_wrap=True)


def print_error(what: str, remedy: str) -> None:
    """One red line on stderr, and what to do; on a terminal wrapped between words, and a long word left whole."""
    terminal = console(stderr=True)
    for mark, style, text, color in (("error: ", "bold red", what, "red"), ("  → ", "dim", remedy, "")):
        lines = _wrapped(text, len(mark), terminal.width) if terminal.is_terminal else text
        terminal.print(Text.assemble((mark, style), (lines, color)), soft_wrap=True)


def _wrapped(text: str, indent: int, width: int) -> str:
    """Lines of at most that many characters, those after the first indented."""
    margin = " " * indent
    lines = fill(
        text, width, initial_indent=margin, subsequent_indent=margin, break_long_words=False, break_on_hyphens=False
    )
    return lines[indent:]


def print_next(terminal: Console, lines: Iterable[str]) -> None:
    """What to type next, one command after the other.

    On a terminal one that is longer than a line goes on behind a backslash, so that it can be copied all the same;
    elsewhere each is left whole.
    """
    terminal.print(Text("Next", "dim"))
    for line in lines:
        rows = folded_command(line, terminal.width - _PROMPT) if terminal.is_terminal else [line]
        for place, row in enumerate(rows):
            prompt = " " * _PROMPT if place else "  $ "
            terminal.print(Text.assemble((prompt, "dim"), (row, "cyan")), soft_wrap=True)


def folded_command(line: str, width: int) -> list[str]:
    """A command in lines of that width, each but the last with a backslash behind it; no word of it is parted."""
    rows: list[str] = []
    for word in (shlex.quote(word) for word in shlex.split(line)):
        if rows and len(f"{rows[-1]} {word} \\") <= width:
            rows[-1] += f" {word}"
        else:
            rows.append(word)
    return [line] if len(line) <= width else [*(f"{row} \\" for row in rows[:-1]), rows[-1]]
