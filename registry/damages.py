"""Damaged rows and databases: moved out of the way into files of the home, and named."""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from registry.files import write_atomic
from registry.home import Home
from registry.store import Damage, Store, quarantine

__all__ = ["quarantine_row", "quarantined", "what_is_lost"]


def quarantine_row(store: Store, home: Home, damage: Damage) -> Path:
    """Move a damaged row, and what cannot be without it, out of the database into a file, which is given.

    Raises:
        HomeUnusable: nothing can be written.
        DiskFull: there is no room for that file; nothing was moved.
    """
    place = home.damaged / f"{damage.table}-{_unlike(damage.key)}.json"

    def keep(rows: Sequence[tuple[str, Mapping[Any, Any]]]) -> None:
        quarantined = [{"table": table, "row": {name: _plain(row[name]) for name in row}} for table, row in rows]
        home.damaged.mkdir(exist_ok=True)
        content = json.dumps({"why": damage.why, "kept": quarantined}, indent=1)
        write_atomic(place, content.encode())

    quarantine(store.database, damage, keep)
    return place


def quarantined(home: Home) -> tuple[Path, ...]:
    """Rows and databases that were found damaged and are kept aside."""
    databases = home.root.glob(f"{home.database.stem}.damaged-*.db")
    return (*sorted(databases), *sorted(home.damaged.glob("*")))


def what_is_lost(home: Home) -> str:
    """What there is to say of a home whose registry is gone, though more than that was made there; else nothing."""
    if home.registry is not None or (home.database.exists() and home.database.stat().st_size):
        return ""
    left = [place.name for place in (home.features, home.runs, home.checkpoints) if any(place.glob("*"))]
    was = "is empty" if home.database.exists() else "is gone"
    return f"it {was}, though not {', '.join(left)}" if left else ""


def _plain(value: object) -> object:
    """A value as JSON can hold it."""
    return bytes(value).hex() if isinstance(value, bytes | memoryview) else value


def _unlike(key: str) -> str:
    """A name for a file that no other key has."""
    return sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:12]
