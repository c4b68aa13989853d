"""Names of checkpoints, given by one process at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256

from filelock import FileLock, Timeout

from registry.errors import NameHeld
from registry.files import disk_full_named
from registry.home import Home

__all__ = ["naming"]

NAME_PATIENCE = 60.0
"""Seconds to wait for a name that another process holds: longer than a look at a large net takes."""


@contextmanager
def naming(home: Home, name: str) -> Iterator[None]:
    """The name of a checkpoint is this process's to give, and no other's, for as long as this lasts.

    The system drops the lock when the process dies. In a home that cannot be written there is nothing to hold.

    Raises:
        NameHeld: another process holds it.
        DiskFull: there is no room for the lock's file.
    """
    if not home.writable:
        yield
        return
    key = sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]  # whatever is in it, it names a file
    lock = FileLock(home.locks / f"{key}.lock")
    try:
        with disk_full_named(home.locks):
            home.locks.mkdir(exist_ok=True)
            lock.acquire(timeout=NAME_PATIENCE)
    except Timeout:
        raise NameHeld("checkpoint", name) from None
    try:
        yield
    finally:
        lock.release()
