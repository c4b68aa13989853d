"""PostgreSQL: how a server is reached, what its errors mean, and locks that it drops when a process dies.

Writes are serializable, so that two of them never see half of each other; the one that must give way is told by
SQLSTATE 40001 or 40P01 and tries again. Reads see one snapshot. Connections are pooled, for one costs milliseconds.
"""

import os
import time
import weakref
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from threading import RLock

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from registry.errors import ExtraMissing, RegistryAway, RegistryRefused, UnusableRegistry

__all__ = [
    "ServerLocks",
    "alone",
    "displayed",
    "is_away",
    "is_conflict",
    "make_server_engine",
    "name_server_error",
    "server_url",
]

_CONFLICTS = frozenset({"40001", "40P01", "55P03", "53300", "57P03"})
"""A serialization failure, a deadlock, a lock that did not come, no free connection, a server that is starting."""
_REFUSALS = ("28", "42501", "25006")
"""Authentication, missing rights, a server that may only be read."""
_SETTINGS = (
    "-c lock_timeout=10s -c idle_in_transaction_session_timeout=10min "
    "-c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"
)
"""Of a session; keepalives, so that a machine that has vanished loses its locks after a minute."""
_MIGRATING = 0x7472616E73666572
_LOOK_EVERY = 0.1
"""Seconds between two looks whether a server is there again."""
_ENGINES = 4
_CONNECTIONS = 32


def server_url(address: str) -> sa.URL:
    """The URL of a registry, with the driver that is used here.

    Raises:
        UnusableRegistry: it is no URL of a SQLite file or of a PostgreSQL database.
    """
    try:
        url = sa.make_url(address)
    except (sa.exc.ArgumentError, ValueError) as cause:
        raise UnusableRegistry("it is no URL") from cause
    if url.get_backend_name() == "sqlite":
        return url
    if url.get_backend_name() not in {"postgresql", "postgres"}:
        raise UnusableRegistry(f"{url.get_backend_name()} is not spoken here")
    if not url.database:
        raise UnusableRegistry("it names no database")
    return url.set(drivername="postgresql+psycopg")


def displayed(url: sa.URL) -> str:
    """The URL as it may be shown: without a password, wherever that stands."""
    return sa.URL.create("postgresql", url.username, None, url.host, url.port, url.database).render_as_string()


def make_server_engine(url: sa.URL) -> sa.Engine:
    """An engine of pooled connections; a process that is forked begins with none.

    Raises:
        ExtraMissing: the driver is not installed.
    """
    stated = url.query.get("options", "")
    options = f"{_SETTINGS} {stated if isinstance(stated, str) else ' '.join(stated)}".strip()
    settings = {
        "connect_timeout": 10,
        "application_name": "transferzoo",
        "client_encoding": "utf8",
        "options": options,
    }
    try:
        engine = sa.create_engine(
            url.difference_update_query(["options"]),
            pool_size=_ENGINES,
            max_overflow=_CONNECTIONS - _ENGINES,
            pool_pre_ping=True,
            connect_args=settings,
        )
    except ModuleNotFoundError as cause:
        raise ExtraMissing(str(cause.name), "postgres") from cause
    known = weakref.ref(engine)

    def forked() -> None:
        inherited = known()
        if inherited is not None:
            inherited.dispose(close=False)

    os.register_at_fork(after_in_child=forked)
    return engine


def is_conflict(cause: DBAPIError) -> bool:
    """Whether the same will do if it is tried again."""
    starting = "the database system is starting up" in str(cause.orig)
    return starting or getattr(cause.orig, "sqlstate", None) in _CONFLICTS


def is_away(cause: DBAPIError) -> bool:
    """Whether the server does not answer, as while it is started anew; not where it refuses or lacks something."""
    return isinstance(name_server_error(cause, ""), RegistryAway) and "does not exist" not in str(cause.orig)


def name_server_error(cause: DBAPIError, where: str) -> Exception:
    """A server's error as one of `registry.errors`; what is a fault of ours stays as it is."""
    state = getattr(cause.orig, "sqlstate", None) or ""
    lines = str(cause.orig).strip().splitlines() or [""]
    why = lines[0].rpartition("FATAL:")[2].strip()
    refused = "authentication failed" in why or "no password supplied" in why or "pg_hba.conf" in why
    if refused or state.startswith(_REFUSALS):
        return RegistryRefused(where, why)
    if cause.connection_invalidated or (isinstance(cause, sa.exc.OperationalError) and not state):
        return RegistryAway(where, why)
    return RegistryAway(where, why) if state[:2] in {"08", "3D", "53", "57", "58"} else cause


def alone(connection: sa.Connection) -> None:
    """Let nobody else migrate the same database until this transaction is over."""
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATING)))


class ServerLocks:
    """Locks by name that one connection holds; a server drops them when the process, or its machine, is gone."""

    def __init__(self, engine: sa.Engine, patience: float) -> None:
        self._engine, self._patience = engine, patience
        self._sessions: list[sa.Connection] = []
        self._held: set[str] = set()
        self._using = RLock()
        weakref.finalize(self, _end_sessions, self._sessions, os.getpid())

    def hold(self, name: str) -> bool:
        """Hold a lock from now on; False where another process holds it.

        Where the connection was cut, what was held is taken again, if nobody has it by now.

        Raises:
            RegistryAway: the server does not answer.
        """
        return self._patiently(partial(self._hold, name))

    def release(self, name: str) -> None:
        """Let go of a lock; one that is not held is nobody's affair."""
        with self._using:
            if name not in self._held:
                return
            self._held.discard(name)
            if self._is_connected():
                self._run(sa.select(sa.func.pg_advisory_unlock(_number(name))))

    def taken(self, name: str) -> bool:
        """Whether a process holds it, on any machine."""
        number = _number(name) & 0xFFFFFFFFFFFFFFFF
        held = sa.text(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            " AND classid::bigint = :high AND objid::bigint = :low"
        )

        def look() -> bool:
            with self._engine.connect() as connection:
                return bool(connection.scalar(held, {"high": number >> 32, "low": number & 0xFFFFFFFF}))

        return self._patiently(look)

    def _patiently(self, work: Callable[[], bool]) -> bool:
        """What that gives; a server that is started anew is waited for."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                with self._using:
                    return work()
            except DBAPIError as cause:
                if not is_away(cause) or time.monotonic() > deadline:
                    raise name_server_error(cause, displayed(self._engine.url)) from cause
                time.sleep(_LOOK_EVERY)

    def _hold(self, name: str) -> bool:
        if self._held and not self._is_connected():
            held, self._held = self._held, set()
            self._held = {one for one in sorted(held) if self._take(one)}
        if name in self._held or self._take(name):
            self._held.add(name)
            return True
        return False

    def _take(self, name: str) -> bool:
        return bool(self._run(sa.select(sa.func.pg_try_advisory_lock(_number(name)))))

    def _is_connected(self) -> bool:
        try:
            return bool(self._sessions) and self._run(sa.select(1)) == 1
        except DBAPIError:
            return False

    def _run(self, order: sa.Select[tuple[int]]) -> object:
        if not self._sessions:
            session = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            session.detach()  # what the pool took back would keep its locks
            self._sessions.append(session)
        try:
            return self._sessions[0].scalar(order)
        except DBAPIError:  # cut off: the next order begins another
            _end_sessions(self._sessions, os.getpid())
            raise


def _end_sessions(sessions: list[sa.Connection], process: int) -> None:
    """Close what this process opened; a forked one must not speak where its parent does."""
    if os.getpid() == process:
        while sessions:
            sessions.pop().close()


def _number(name: str) -> int:
    """The 64 bits that stand for a name."""
    return int.from_bytes(sha256(f"transferzoo {name}".encode()).digest()[:8], signed=True)
