"""Commands to type next, quoted for a shell."""

import shlex
import shutil
import sys
from pathlib import Path


def command(verb: str, *words: object, **options: object) -> str:
    """A `transferzoo` command to type, quoted for a shell; options that are None are left out."""
    flags = [
        part
        for name, value in options.items()
        if value is not None
        for part in (f"--{name.replace('_', '-')}", str(value))
    ]
    return shlex.join([program("transferzoo"), *verb.split(), *map(str, words), *flags])


def program(name: str) -> str:
    """How a program of this environment is typed: its name where the shell finds it, else where it lies."""
    beside = Path(sys.executable).with_name(name)
    if shutil.which(name) is not None or not beside.exists():
        return name
    return str(beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside)
