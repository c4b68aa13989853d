"""Which MLflow a run is sent to, and what it refuses, in words; MLflow itself is not loaded for that."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import HTTPError
from urllib.request import urlopen

from filelock import FileLock, Timeout

from recommender.runs.event_log import LogEntry
from registry.addresses import public, sqlite_path, sqlite_url
from registry.errors import UnusableName
from registry.files import is_disk_full
from registry.home import Home

__all__ = [
    "LOCKED",
    "PATIENCE",
    "address_of",
    "check_names",
    "environment_experiment",
    "environment_settings",
    "in_words",
    "only_one",
    "quiet_environment",
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


def quiet_environment() -> None:
    """Set what MLflow reads of the environment when it is loaded, where the user did not."""
    for key, value in _SETTINGS.items():
        os.environ.setdefault(key, value)


def environment_settings() -> dict[str, object]:
    """Where the environment wants runs to be tracked: address and experiment, None where it does not say."""
    address = _environment_address()
    return {"address": None if address is None else public(address), "experiment": environment_experiment()}


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


def check_names(name: str | None, alias: str | None) -> None:
    """Refuse, before anything is trained, names that MLflow's registry would refuse after.

    Raises:
        UnusableName: a name with ``/``, ``:`` or a quote; an alias that is a version or has other characters.
    """
    if name is not None and (not name.strip() or re.search("[/:'\"]", name) or name in {".", ".."}):
        raise UnusableName("registered model", name)
    refused = alias is not None and (re.fullmatch(r"[\w-]{1,255}", alias) is None or _is_version(alias))
    if alias is not None and (refused or name is None):
        raise UnusableName("model alias", alias)


def _is_version(alias: str) -> bool:
    return alias.lower() == "latest" or re.fullmatch(r"[vV]\d+", alias) is not None


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
