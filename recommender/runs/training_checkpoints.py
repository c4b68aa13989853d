"""Training checkpoints: saved after each epoch so that a killed run resumes; complete or not there at all.

A save is a folder; the marker that makes it count is written last and holds a digest of every file in it. The newest
folder whose digests are right is the one to resume from. A folder without a marker is half a save and passed over; one
whose marker does not agree with it was damaged, which is told, and is set aside before the training goes on.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from registry.files import flush, sha256_of, write_atomic

__all__ = ["damaged", "mark_complete", "newest", "quarantine_damaged", "stage_folder"]

_MARKER = "COMPLETE.json"
_ASIDE = "damaged-saves"


def stage_folder(folder: Path, place: int) -> Path:
    """Where the saves of that stage lie."""
    return folder / "trainer" / f"stage-{place:02d}"


def mark_complete(save: Path, state: Mapping[str, object]) -> None:
    """Mark a save as complete; ``state`` is what must be known to go on from it."""
    for file in save.iterdir():
        flush(file)
    write_atomic(save / _MARKER, json.dumps({"files": _digests(save), "told": state}).encode())


def newest(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest complete save of the newest stage, and what is to be known; None where there is none."""
    for save in _saves(folder):
        state = _read_state(save)
        if state is not None:
            return save, state
    return None


def damaged(folder: Path) -> tuple[Path, ...]:
    """The saves in a run's folder that were complete and are not any more, newest first."""
    return tuple(save for save in _saves(folder) if (save / _MARKER).exists() and _read_state(save) is None)


def quarantine_damaged(folder: Path) -> tuple[str, ...]:
    """Move what `damaged` gives out of the way, to a folder beside the saves; a sentence for each."""
    notes = []
    for save in damaged(folder):
        name, number = f"{save.parent.name}-{save.name}", 1
        (folder / _ASIDE).mkdir(exist_ok=True)
        while (place := folder / _ASIDE / (name if number == 1 else f"{name}.{number}")).exists():
            number += 1
        save.rename(place)
        aside = place.relative_to(folder)
        notes.append(f"the save {save.parent.name}/{save.name} of an earlier attempt was damaged: set aside as {aside}")
    return tuple(notes)


def _saves(folder: Path) -> list[Path]:
    """All saves, complete or not, newest first."""
    checkpoints = []
    for stage in sorted((folder / "trainer").glob("stage-*"), reverse=True):
        numbered = [save for save in stage.glob("checkpoint-*") if save.name.rpartition("-")[2].isdecimal()]
        checkpoints += sorted(numbered, key=lambda save: -int(save.name.rpartition("-")[2]))
    return checkpoints


def _read_state(save: Path) -> dict[str, Any] | None:
    try:
        marker = json.loads((save / _MARKER).read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(marker, dict) or not isinstance(marker.get("told"), dict):
        return None
    state: dict[str, Any] = marker["told"]
    return state if state and marker.get("files") == _digests(save) else None


def _digests(save: Path) -> dict[str, str]:
    digests = {}
    for file in sorted(save.iterdir()):
        if not file.name.startswith(_MARKER):
            digests[file.name] = sha256_of(file)
    return digests
