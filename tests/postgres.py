"""A PostgreSQL server for the tests: private, on a socket of its own, gone when they are over.

``TRANSFERZOO_TEST_POSTGRES`` names a server instead (a URL whose user may create databases).
"""

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

__all__ = ["PASSWORD", "binaries", "fresh_database", "restart_server", "run_server", "why_no_server"]

PASSWORD = "never-printed-7f3a"  # noqa: S105 - of a server that is gone with the test
"""The password of every user of the private server."""
_USER = "postgres"


def binaries() -> Path | None:
    """Where PostgreSQL's own programs lie."""
    beside = shutil.which("initdb")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return Path(beside).parent if beside else debian[-1].parent if debian else None


def why_no_server() -> str:
    """Why there is none to test with; empty where there is one."""
    if os.environ.get("TRANSFERZOO_TEST_POSTGRES"):
        return ""
    if binaries() is None:
        return "there is no PostgreSQL here: apt-get install postgresql, or set TRANSFERZOO_TEST_POSTGRES"
    if os.geteuid() == 0 and _USER not in {user.pw_name for user in pwd.getpwall()}:
        return f"PostgreSQL does not run as root, and there is no user {_USER}"
    return ""


@contextmanager
def run_server() -> Iterator[str]:
    """The URL of a server's database ``postgres``, with a password."""
    named = os.environ.get("TRANSFERZOO_TEST_POSTGRES")
    if named:
        yield named
        return
    programs = binaries()
    assert programs is not None
    as_user = ["runuser", "-u", _USER, "--"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory(prefix="tz-pg-", dir="/tmp") as folder:
        place = Path(folder)
        secret = place / "password"
        secret.write_text(PASSWORD)
        if as_user:
            for path in (place, secret):
                shutil.chown(path, _USER)
        data, log = place / "data", place / "log"
        make = [programs / "initdb", "-D", data, "-U", _USER, "--pwfile", secret, "-A", "scram-sha-256", "-E", "UTF8"]
        begin = [programs / "pg_ctl", "-D", data, "-l", log, "-w", "-o"]
        settings = f"-k {place} -c listen_addresses='' -c fsync=off -c max_connections=200 -c shared_buffers=32MB"
        _run([*as_user, *make, "--no-sync", "--locale", "C.UTF-8"])
        _run([*as_user, *begin, settings, "start"], log)
        try:
            yield f"postgresql+psycopg://{_USER}:{PASSWORD}@/postgres?host={place}"
        finally:
            _run([*as_user, programs / "pg_ctl", "-D", data, "-m", "immediate", "stop"], log)


def restart_server(server: str) -> None:
    """End a private server as a crash would, and start it again."""
    programs, place = binaries(), Path(str(sa.make_url(server).query["host"]))
    assert programs is not None
    as_user = ["runuser", "-u", _USER, "--"] if os.geteuid() == 0 else []
    _run([*as_user, programs / "pg_ctl", "-D", place / "data", "-l", place / "log", "-m", "immediate", "-w", "restart"])


@contextmanager
def fresh_database(server: str) -> Iterator[str]:
    """The URL of an empty database of a server, gone afterwards."""
    name = f"tz_{uuid.uuid4().hex[:12]}"
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
    try:
        yield sa.make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


def _run(command: list[str | Path], log: Path | None = None) -> None:
    """Run a command; a server inherits what its starter writes to, so that only a file ends with the starter."""
    with tempfile.TemporaryFile() as out:
        done = subprocess.run(command, stdout=out, stderr=out, check=False, cwd="/", stdin=subprocess.DEVNULL)
        out.seek(0)
        report = out.read().decode()
    assert done.returncode == 0, report + (log.read_text() if log is not None and log.exists() else "")
