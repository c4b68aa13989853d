"""Which MLflow a run is sent to, a client of it, its store, and what it refuses, in words."""

import logging
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

from filelock import FileLock, Timeout

from recommender.runs.event_log import LogEntry
from registry.addresses import sqlite_path, sqlite_url
from registry.files import is_disk_full, replacing
from registry.home import Home

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = [
    "LOCKED",
    "PATIENCE",
    "address_of",
    "client_at",
    "damage",
    "environment_experiment",
    "environment_settings",
    "in_words",
    "only_one",
    "prepare",
    "public",
    "trouble_at",
]


LOCKED = 60.0
"""Seconds to wait for another process that opens the same store, or pushes the same run."""
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
}
"""Unless the user set them so: no telemetry, nothing on stdout, no long wait for a dead or busy server."""
PATIENCE = 20.0
"""Seconds that one exchange with a server may take in all, however steadily it drips."""


def environment_settings() -> dict[str, object]:
    """Where the environment wants runs to be tracked: address and experiment, None where it does not say."""
    address = _environment_address()
    return {"address": None if address is None else public(address), "experiment": environment_experiment()}


def public(address: str) -> str:
    """An address without user name and password."""
    parts = urlsplit(address)
    return address if "@" not in parts.netloc else parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def in_words(failure: Exception, address: str) -> str:
    """What went wrong, in one line that ends with what to do; without secrets."""
    where = f"MLflow at {public(address)}"
    if isinstance(failure, Timeout):
        return f"{where}: another process is writing there. Try again when it is done"
    if is_disk_full(failure):
        return f"{where}: the disk is full. Free some room there"
    if isinstance(failure, TimeoutError):
        return f"{where} did not answer in time ({failure}). Try again later, or set MLFLOW_TRACKING_URI"
    first = (str(failure).splitlines() or [""])[0].replace(address, public(address))
    status = re.search(r"(?:too many|error code|Error:?|^)\s(\d{3})\b|\b(40[13])\b", str(failure))
    if status is not None:
        return _refusal(where, int(status[1] or status[2]), address)
    if re.search("Max retries exceeded|Connection (refused|aborted|reset)|Failed to connect", str(failure)):
        return f"{where} did not answer. Start it, or set MLFLOW_TRACKING_URI"
    remedy = ". If it stays so: transferzoo doctor --repair" if sqlite_path(address) else ""
    return f"{where} failed ({type(failure).__name__}: {first[:300]}){remedy}"


def _refusal(where: str, status: int, address: str) -> str:
    """What a server's status says, and what to do about it."""
    if status == 401:
        credentials = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        return f"{where} refused (401). Set {credentials}"
    if status == 403:
        return f"{where} forbids it (403). Ask who runs it for the right to write, or use other credentials"
    if status == 429:
        wait = _retry_after(address)
        return f"{where} is asked too often (429). Try again {f'after {wait}' if wait else 'later'}"
    if status >= 500:
        return f"{where} has a fault of its own ({status}). Look into its log, then try again"
    return f"{where} answered with {status}. Look whether MLFLOW_TRACKING_URI is MLflow's address"


def _retry_after(address: str) -> str:
    """For how long a server wants to be left alone, where it says so."""
    page = public(address).rstrip("/") + "/api/2.0/mlflow/experiments/search?max_results=1"
    try:
        with urlopen(page, timeout=5):  # noqa: S310 - the address that the user named
            return ""
    except HTTPError as refusal:
        wait = (refusal.headers.get("Retry-After") or "").strip()
        return f"{wait} s" if wait.isdigit() else re.sub(r"[^\w :,+-]", "", wait)[:40]
    except (OSError, ValueError):
        return ""


def prepare(address: str) -> None:
    """Make the store at a SQLite address, where there is none yet: whole, or not at all.

    MLflow makes it by some sixty migrations; a process that is killed among them leaves a file that no MLflow opens.
    So they run on a file beside it, which takes its place when it is complete. The caller holds the store's lock.

    Raises:
        DiskFull: there is no room for it.
    """
    file = sqlite_path(address)
    if file is None or (file.is_file() and file.stat().st_size):
        return
    _quiet()
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: PLC0415 - a second to import

    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as partial:
        artifacts = str(file.with_name("mlartifacts"))
        store = SqlAlchemyStore(sqlite_url(partial), artifacts)  # type: ignore[no-untyped-call]  # MLflow has no type
        store.engine.dispose()


def damage(address: str) -> str:
    """What MLflow finds wrong with the store at a SQLite address; nothing where it is well, or not there yet."""
    file = sqlite_path(address)
    if file is None or not file.is_file():
        return ""
    try:
        client_at(address).search_experiments(max_results=1)
    except Exception as failure:  # whatever it is, MLflow cannot use it
        return (str(failure).splitlines() or [type(failure).__name__])[0][:200]
    return ""


def client_at(address: str) -> "MlflowClient":
    """A client that does not touch MLflow's global state."""
    _quiet()
    from mlflow import MlflowClient  # noqa: PLC0415 - a second to import, and only where it is used

    return MlflowClient(tracking_uri=address)


def _quiet() -> None:
    for key, value in _SETTINGS.items():
        os.environ.setdefault(key, value)
    import mlflow  # noqa: F401, PLC0415 - it sets its loggers up when it is imported

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)


def trouble_at(address: str) -> str | None:
    """Why a server cannot be used; one that drips is given up after a while."""
    if sqlite_path(address) is not None:
        return None
    troubles: list[str | None] = []

    def connect() -> None:
        try:
            client_at(address).search_experiments(max_results=1)
            troubles.append(None)
        except Exception as failure:
            troubles.append(in_words(failure, address))

    thread = threading.Thread(target=connect, name="is MLflow there", daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return troubles[0] if troubles else in_words(TimeoutError(f"{PATIENCE:.0f} s"), address)


@contextmanager
def only_one(address: str, home: Home) -> Iterator[None]:
    """One process at a time opens a store: two that migrate a fresh SQLite file break it, or make a parent each."""
    own = sqlite_path(address)
    lock = home.root / ".mlflow.lock" if own is None else own.with_name(f".{own.name}.lock")
    with FileLock(lock, timeout=LOCKED):
        yield


def address_of(home: Home, opening: LogEntry) -> str:
    """Where a run is tracked: where the environment says, else as at first, else in the home's own store."""
    return str(_environment_address() or opening.get("address") or sqlite_url(home.tracking_database))


def _environment_address() -> str | None:
    address = os.environ.get("MLFLOW_TRACKING_URI") or None
    file = None if address is None else sqlite_path(address)
    return address if file is None else sqlite_url(file.absolute())


def environment_experiment() -> dict[str, str] | None:
    """As MLflow reads its environment: the name goes before the id."""
    for kind in ("name", "id"):
        if value := os.environ.get(f"MLFLOW_EXPERIMENT_{kind.upper()}"):
            return {kind: value}
    return None
