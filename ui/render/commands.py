"""Commands to type next, quoted for a shell."""

import os
import shlex
import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit

from registry.home import Home


def command(verb: str, *words: object, **options: object) -> str:
    """A command of ours to type, quoted for a shell; options that are None are left out."""
    flags = [
        part
        for name, value in options.items()
        if value is not None
        for part in (f"--{name.replace('_', '-')}", str(value))
    ]
    return shlex.join([program("transferzoo"), *verb.split(), *map(str, words), *flags])


def mlflow_command(home: Home) -> str:
    """The command that opens MLflow's page: of ``MLFLOW_TRACKING_URI``, else on a registry's tracking store."""
    from registry.addresses import sqlite_url  # noqa: PLC0415 - loads SQLAlchemy

    place = os.environ.get("MLFLOW_TRACKING_URI") or sqlite_url(home.tracking_database)
    if place.startswith("http"):
        parts = urlsplit(place)
        page = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()  # without user name and password
        return shlex.join([program("python"), "-m", "webbrowser", page])
    return shlex.join([program("mlflow"), "ui", "--workers", "1", "--backend-store-uri", place])


def program(name: str) -> str:
    """How a program of this environment is typed: its name where the shell finds it, else where it lies."""
    beside = Path(sys.executable).with_name(name)
    if shutil.which(name) is not None or not beside.exists():
        return name
    return str(beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside)
