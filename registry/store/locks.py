"""Locks by name that a process holds until it lets go of them or dies: of files, for what lies on this machine."""

from pathlib import Path
from typing import Protocol, runtime_checkable

from filelock import FileLock, Timeout

from registry.files import is_locked

__all__ = ["FileLocks", "Locks"]

_LOOKED = 1.0
"""Seconds to wait for a lock: long enough for one who only looks whether it is taken."""


@runtime_checkable
class Locks(Protocol):
    """Locks by name; no clock is asked whether their holder lives."""

    def hold(self, name: str) -> bool:
        """Hold a lock from now on; False where another process holds it."""

    def release(self, name: str) -> None:
        """Let go of a lock; one that is not held is nobody's affair."""

    def taken(self, name: str) -> bool:
        """Whether a process holds it."""


class FileLocks:
    """A folder with a file for each lock; the system drops the lock of a process that dies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, FileLock] = {}

    def hold(self, name: str) -> bool:
        """Hold a lock from now on; False where another process holds it."""
        if name not in self._held:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self._file(name), thread_local=False)
            try:
                lock.acquire(timeout=_LOOKED)
            except Timeout:
                return False
            self._held[name] = lock
        return True

    def release(self, name: str) -> None:
        """Let go of a lock; one that is not held is nobody's affair."""
        lock = self._held.pop(name, None)
        if lock is not None:
            lock.release()

    def taken(self, name: str) -> bool:
        """Whether a process of this machine holds it."""
        return is_locked(self._file(name))

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.lock"
