"""Recovery of a home's runs after kills, full disks and damage: taken up, marked, or quarantined.

`recover` is cheap and runs at every start: a finished run whose outcome the registry lacks is given to it, and a run
whose process is gone is marked as interrupted. `findings` is doctor's, and reads everything.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from recommender.runs.folder import RUNS, RunFolder, RunState, reap, run_folders, share_run
from recommender.runs.mlflow_sync import store_damage
from recommender.runs.training_checkpoints import damaged, quarantine_damaged
from registry.addresses import sqlite_url
from registry.cards import Origin, Outcome
from registry.doctor import Diagnosis, Finding, FindingKind
from registry.errors import TransferZooError, UnreadableForm
from registry.files import is_locked
from registry.forms import from_json
from registry.home import Home
from registry.zoo import Zoo

__all__ = ["Recovered", "findings", "outcome_of", "record_again", "recover", "tracking_findings"]

_WRITTEN_BY_PROCESS = ("*.tmp", "*/*.tmp", "*/trainer/*/*/*.tmp")


@dataclass(frozen=True)
class Recovered:
    """What a start has found."""

    interrupted: tuple[RunFolder, ...]
    """Runs whose process was gone, now marked so."""
    recorded: tuple[Outcome, ...]
    """Outcomes of finished runs that the registry lacked and now has."""


def recover(zoo: Zoo) -> Recovered:
    """Take up what was left behind; what cannot be taken up is left to doctor, and never ends a command."""
    if not zoo.home.writable:
        return Recovered((), ())
    interrupted = reap(zoo.home)
    known, recorded = zoo.store.outcome_ids(), []
    for file in sorted(zoo.home.runs.glob("*/run.json")):
        run = RunFolder(file.parent)
        if run.id not in known:
            with suppress(TransferZooError, OSError, ValueError):
                recorded.append(_taken_up(zoo, run))
        _clear(run)
    return Recovered(interrupted, tuple(recorded))


def record_again(zoo: Zoo, runs: Iterable[str]) -> None:
    """Give the registry the outcomes of finished runs once more: MLflow's ids of them have been learned."""
    for name in runs:
        run = RunFolder(zoo.home.runs / name)
        if run.result:
            with suppress(TransferZooError, ValueError):
                zoo.record(outcome_of(run.result))


def outcome_of(result: Mapping[str, Any]) -> Outcome:
    """The outcome in a run.json; of one that was written before outcomes were part of it, from its parts.

    Raises:
        ValueError: it does not say what is needed.
    """
    try:
        known = dict(result["outcome"] if "outcome" in result else _from_parts(result))
        return from_json(Outcome, {**known, "mlflow_run_id": result.get("mlflow_run_id")})
    except (KeyError, TypeError, UnreadableForm) as cause:
        raise ValueError(f"run.json lacks what an outcome needs: {cause!r}") from cause


def findings(zoo: Zoo) -> Iterator[Diagnosis]:
    """Runs that are not what they should be, each with its repair."""
    known = zoo.store.outcome_ids()
    for folder in sorted(path for path in zoo.home.runs.iterdir() if path.is_dir()):
        run = RunFolder(folder)
        if run.state is RunState.RUNNING:
            continue
        yield from _damaged(zoo.home, run)
        if run.result and run.id not in known:
            yield from _unrecorded(zoo, run)
        elif run.result and (gone := _missing_model(run)):
            what = f"it is finished, but {gone} is gone: it can neither predict nor be exported"
            remedy = "The repair sets the folder aside, its outcome stays known; tune anew for the model."
            yield Finding(FindingKind.RUN, run.id, what, remedy), partial(_quarantine, zoo.home, run.path)
    yield from _litter(zoo.home)
    yield from _unshared(zoo.home)


def _unshared(home: Home) -> Iterator[Diagnosis]:
    """Finished runs that are to be shared and are not, or not whole."""
    shared = home.shared
    if shared is None:
        return
    runs = {run.id: run for run in run_folders(home) if run.state is RunState.FINISHED}
    there = {*shared.objects.names(RUNS)}
    for name in sorted({*runs, *there}):
        digest = shared.objects.named(RUNS, name) if name in there else None
        faults = ("no other machine has it",) if digest is None else shared.objects.faults(digest)
        if faults and name in runs:
            finding = Finding(FindingKind.OBJECT, name, f"the run is not shared: {faults[0]}", "Upload it.")
            yield finding, partial(_shared_again, runs[name], home)
        elif faults:
            remedy = "Run `transferzoo doctor --repair` on the machine where it was made."
            yield Finding(FindingKind.OBJECT, name, f"the run is not shared: {faults[0]}", remedy), None


def _shared_again(run: RunFolder, home: Home) -> str:
    return "uploaded" if share_run(run, home) else ""


def tracking_findings(zoo: Zoo) -> Iterator[Diagnosis]:
    """A tracking store of the home's own that MLflow cannot open."""
    file = zoo.home.tracking_database
    why = store_damage(sqlite_url(file))
    if why:
        remedy = "The repair sets it aside; the runs' event logs hold everything: transferzoo runs sync"
        yield (
            Finding(FindingKind.TRACKING, str(file), f"MLflow cannot open it: {why}", remedy),
            partial(_store_aside, file),
        )


def _store_aside(file: Path) -> str:
    """Keep a tracking store under another name, with what SQLite keeps beside it."""
    number = 1
    while (aside := file.with_name(f"{file.stem}.damaged-{number}{file.suffix}")).exists():
        number += 1
    for suffix in ("-journal", "-wal", "-shm", ""):
        part = file.with_name(file.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return f"set aside as {aside}; `transferzoo runs sync` tells the next one everything"


def _damaged(home: Home, run: RunFolder) -> Iterator[Diagnosis]:
    """A folder that says neither what was to be done nor what came of it; a file of it that is none."""
    state, result = run.path / "state.json", run.path / "run.json"
    if not run.job and not run.result:
        begun = any(file.is_file() and file.suffix != ".tmp" for file in run.path.rglob("*"))
        what = "its job.json is damaged, so nobody can say what was to be done" if begun else "it never began"
        remedy = "The repair sets the folder aside; tune anew." if begun else "Remove it."
        mend = partial(_quarantine, home, run.path) if begun else partial(_removed, run.path)
        yield Finding(FindingKind.RUN, run.id, what, remedy), mend
        return
    if result.is_file() and not run.result:
        what = "its run.json is damaged, so it counts as interrupted"
        remedy = f"The repair sets the file aside; then: transferzoo runs resume {run.id}"
        yield Finding(FindingKind.RUN, run.id, what, remedy), partial(_quarantine, home, result)
    if state.is_file() and not run.result and not _sound_state(state):
        what = "its state.json is damaged, so it counts as interrupted"
        yield Finding(FindingKind.RUN, run.id, what, "The repair sets it aside."), partial(_quarantine, home, state)
    if not run.result and (bad := damaged(run.path)):
        names = ", ".join(f"{save.parent.name}/{save.name}" for save in bad)
        remedy = f"The repair sets them aside; it goes on from a sound one: transferzoo runs resume {run.id}"
        yield (
            Finding(FindingKind.RUN, run.id, f"saves of its training are damaged: {names}", remedy),
            partial(_quarantine_saves, run.path),
        )


def _unrecorded(zoo: Zoo, run: RunFolder) -> Iterator[Diagnosis]:
    what = "it is finished, but the registry does not have its outcome"
    try:
        outcome_of(run.result)
    except ValueError as cause:
        remedy = "The repair sets the folder aside; tune anew."
        yield Finding(FindingKind.RUN, run.id, f"{what}: {cause}", remedy), partial(_quarantine, zoo.home, run.path)
    else:
        yield Finding(FindingKind.RUN, run.id, what, "Record it."), partial(_recorded, zoo, run)


def _missing_model(run: RunFolder) -> str:
    """The file that a finished run's model lacks; nothing where all is there."""
    if not (run.path / "head.safetensors").is_file():
        return "head.safetensors"
    from recommender.baseline import is_raw  # noqa: PLC0415 - loads SciPy

    plan = run.job.get("plan")
    raw = isinstance(plan, dict) and is_raw(str(plan.get("strategy")))
    return "" if raw or any(run.path.glob("model*.safetensors")) else "model.safetensors"


def _litter(home: Home) -> Iterator[Diagnosis]:
    """Files that processes have begun to write and that died."""
    beside = sorted(home.root.glob("*.tmp-*"))  # what SQLite keeps beside a file that it was writing
    for path in (*beside, *(path for pattern in _WRITTEN_BY_PROCESS for path in sorted(home.runs.glob(pattern)))):
        if path.exists():
            process = path.suffixes[-2][1:] if len(path.suffixes) > 1 else ""
            if not (process.isdigit() and psutil.pid_exists(int(process))):
                what = "a killed process left it half written"
                yield Finding(FindingKind.LEFTOVER, str(path), what, "Remove it."), partial(_removed, path)


def _sound_state(file: Path) -> bool:
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
        return state["state"] in set(RunState) and isinstance(state["pid"], int)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _taken_up(zoo: Zoo, run: RunFolder) -> Outcome:
    outcome = outcome_of(run.result)
    zoo.record(outcome)
    return outcome


def _clear(run: RunFolder) -> None:
    """Take away what a finished run's process had no time to take away."""
    if (run.path / "state.json").is_file() and run.result and not is_locked(run.lock):
        with suppress(OSError):
            run.tidy()


def _recorded(zoo: Zoo, run: RunFolder) -> str:
    _taken_up(zoo, run)
    return "recorded"


def _quarantine(home: Home, path: Path) -> str:
    """Move a file or folder out of the runs, under a name that is free."""
    place = home.root / "damaged" / "-".join(path.relative_to(home.runs).parts)
    place.parent.mkdir(exist_ok=True)
    number = 1
    while (free := place if number == 1 else place.with_name(f"{place.name}-{number}")).exists():
        number += 1
    path.rename(free)
    return f"set aside as {free}"


def _quarantine_saves(folder: Path) -> str:
    return "; ".join(quarantine_damaged(folder))


def _removed(path: Path) -> str:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
    return "removed"


def _from_parts(result: Mapping[str, Any]) -> dict[str, object]:
    sample, metrics = result["sample"], result["metrics"]
    return {
        "id": result["id"],
        "checkpoint": result["checkpoint"],
        "strategy": result["strategy"],
        "sample_digest": sample["digest"],
        "sample_name": sample["name"],
        "task": sample["task"],
        "metric": sample["metric"],
        "score": metrics["score"],
        "standard_error": metrics["standard_error"],
        "rows_train": int(metrics["rows_train"]),
        "rows_test": int(metrics["rows_test"]),
        "seconds": metrics["seconds"],
        "origin": Origin.OURS,
        "created": result["created"],
        "conditions": result["conditions"],
    }
