"""Addresses: without their secrets; the URL of a SQLite file, as SQLAlchemy (and MLflow) reads it, and back."""

import os
import re
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes, urlsplit

import sqlalchemy as sa

__all__ = ["public", "sqlite_path", "sqlite_url"]


def public(address: str) -> str:
    """An address without user name and password."""
    parts = urlsplit(address)
    return address if "@" not in parts.netloc else parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file that SQLAlchemy, and MLflow by way of it, open as that file, whatever its name.

    A plain path is written as everybody writes it. Any other is a SQLite URI, whose percent-encoding holds any byte;
    MLflow makes folders of what follows ``sqlite:///`` before it is decoded, therefore the driver is named, too.
    """
    if re.fullmatch(r"[\w./ :\\+@,=~-]+", str(path)) and str(path).isprintable():
        return f"sqlite:///{path}"
    database = f"file:{quote(os.fsencode(path.absolute()))}"
    return sa.URL.create("sqlite+pysqlite", database=database, query={"uri": "true"}).render_as_string()


def sqlite_path(address: str) -> Path | None:
    """The file that a URL as `sqlite_url` makes it, or a plain one, stands for; None of another database."""
    if not address.startswith(("sqlite:///", "sqlite+pysqlite:///")):
        return None
    database = sa.make_url(address).database or ""
    encoded = database.removeprefix("file:")
    return Path(database if encoded == database else os.fsdecode(unquote_to_bytes(encoded)))
