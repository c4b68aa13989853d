"""What a training saves after each epoch, so that a killed one goes on: complete or not there at all.

A save is a folder; the marker that makes it count is written last and holds a digest of every file in it. The newest
folder whose digests are right is the one to resume from; half a save is passed over.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from registry.files import flush, sha256_of, write_atomic

__all__ = ["newest", "seal", "stage_folder"]

_MARKER = "COMPLETE.json"


def stage_folder(folder: Path, place: int) -> Path:
    """Where the saves of that stage lie."""
    return folder / "trainer" / f"stage-{place:02d}"


def seal(save: Path, told: Mapping[str, object]) -> None:
    """Mark a save as complete; ``told`` is what must be known to go on from it."""
    for file in save.iterdir():
        flush(file)
    write_atomic(save / _MARKER, json.dumps({"files": _digests(save), "told": told}).encode())


def newest(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest complete save of the newest stage, and what is to be known; None where there is none."""
    stages = sorted((folder / "trainer").glob("stage-*"), reverse=True)
    for stage in stages:
        for save in sorted(stage.glob("checkpoint-*"), key=lambda path: -int(path.name.rpartition("-")[2])):
            told = _told(save)
            if told is not None:
                return save, told
    return None


def _told(save: Path) -> dict[str, Any] | None:
    try:
        marker = json.loads((save / _MARKER).read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(marker, dict) or not isinstance(marker.get("told"), dict):
        return None
    found: dict[str, Any] = marker["told"]
    return found if found and marker.get("files") == _digests(save) else None


def _digests(save: Path) -> dict[str, str]:
    found = {}
    for file in sorted(save.iterdir()):
        if not file.name.startswith(_MARKER):
            found[file.name] = sha256_of(file)
    return found
