"""A finished run's net as a checkpoint of the registry, whose domain is the sample that it was tuned on.

Promoted is the classifier that `exporting` writes: a source head whose classes are the sample's. Where there is none
(a head on an earlier block, a vote of neighbors), the backbone is promoted, its old head without names of classes.
"""

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from recommender.baseline import NOTHING
from recommender.results import Pretext
from recommender.runs.folder import RunFolder
from recommender.serving.export import save_classifier
from recommender.serving.predict import finished
from registry.cards import UNKNOWN_LICENSE, Checkpoint, Domain, Origin
from registry.encoders.loading import modality_at
from registry.errors import (
    AlreadyThere,
    HomeUnusable,
    NotExportable,
    NotPromotable,
    SampleError,
    TransferZooError,
    UnusableName,
)
from registry.files import copy_files
from registry.naming import naming
from registry.progress import Progress, silent
from registry.sample import Sample
from registry.zoo import Zoo

__all__ = ["Promoted", "promote"]

_NAME = re.compile(r"[A-Za-z0-9][\w.+-]*", re.ASCII)


@dataclass(frozen=True)
class Promoted:
    """The new checkpoint, and what is to be said of it."""

    checkpoint: Checkpoint
    domain: Domain
    notes: tuple[str, ...]


def promote(run: RunFolder, name: str, zoo: Zoo, *, progress: Progress = silent) -> Promoted:
    """Copy what a run tuned into the home and register it: all of it or nothing.

    Its license is that of the checkpoint it started from, its lineage that one's and the sample. The sample is looked
    at through the lens once more if it still lies where it lay; if not, the domain has no sketch.

    Raises:
        NotFinished: the run has not come to its end.
        NotPromotable: its backbone is still the one that it started from, or that has other weights now.
        UnusableName: no folder can have that name.
        AlreadyThere: the name belongs to another checkpoint.
        NameHeld: another process gives that name at this moment.
        UnknownName: the registry does not know the checkpoint that the run started from.
        HomeUnusable: the home cannot be written.
    """
    result = finished(run)
    if _NAME.fullmatch(name) is None:
        raise UnusableName("checkpoint", name)
    with naming(zoo.home, name):
        return _promoted(run, result, name, zoo, progress)


def _promoted(run: RunFolder, result: Mapping[str, Any], name: str, zoo: Zoo, progress: Progress) -> Promoted:
    """The name is held."""
    if name in zoo:
        raise AlreadyThere("checkpoint", name)
    _require_learned(run, result)
    domain = _domain(result, zoo)
    card = _card(run, result, name, domain, zoo)
    source, notes = _source(result, domain, zoo, progress)
    try:
        with TemporaryDirectory(dir=zoo.home.checkpoints, prefix=f"{name}.", suffix=f".{os.getpid()}.tmp") as place:
            folder = Path(place) / name
            folder.mkdir()
            notes = (*_filled(run, folder, progress), *notes)
            also = source.unlabelled if source is not None and _is_adapted(result) else ()
            promoted = zoo.promote(replace(card, folder=folder), domain, source, also=also, progress=progress)
    except OSError as cause:
        if isinstance(cause, TransferZooError):
            raise
        raise HomeUnusable(zoo.home.root, cause.strerror or str(cause)) from cause
    return Promoted(promoted, domain, notes)


def _require_learned(run: RunFolder, result: Mapping[str, Any]) -> None:
    """A copy of the starting backbone under another name, with another domain, would mislead every later advice."""
    start = result["checkpoint"]
    if start == NOTHING:
        why = f"nothing was transferred and no net was trained: it is a model on {result['plan']['read']}"
        raise NotPromotable(run.id, why, "`transferzoo predict` and `export` use it as it is.")
    remedy = f"Use {start} itself; `transferzoo export` gives the classifier."
    if not any(stage["train"] for stage in result["plan"]["stages"]) and not result["plan"].get("pretraining"):
        raise NotPromotable(run.id, f"only a head was fitted, its backbone is that of {start} still", remedy)
    adapted = _is_adapted(result) and result["metrics"].get("weight_change")
    if result["metrics"].get("best_epoch") == 0 and not adapted:
        raise NotPromotable(run.id, f"training never improved on its start, so its backbone is that of {start}", remedy)


def _is_adapted(result: Mapping[str, Any]) -> bool:
    """Whether it has learned from items without labels, too."""
    first = result["plan"].get("pretraining")
    return first is not None and first["pretext"] == Pretext.ITEMS


def _card(run: RunFolder, result: Mapping[str, Any], name: str, domain: Domain, zoo: Zoo) -> Checkpoint:
    """What is known of the new checkpoint beside what its folder tells; weights from scratch inherit nothing."""
    start = zoo.checkpoint(result["checkpoint"])
    if start.digest != result["conditions"]["checkpoint_digest"]:
        why = f"{start.name} has other weights now, and nothing is known of those that it started from"
        raise NotPromotable(run.id, why, f"Register the ones that it started from as {start.name} again.")
    scratch = bool(result["plan"]["from_scratch"])
    lineage = () if scratch else start.lineage or ((start.domain,) if start.domain else ())
    words = f"{result['sample']['name']} (run {run.id}: {start.name}, {result['plan']['strategy']})"
    return replace(
        start,
        name=name,
        license=UNKNOWN_LICENSE if scratch else start.license,
        source=words,
        claimed={},
        lineage=tuple(dict.fromkeys((*lineage, domain.name))),
        origin=Origin.OURS,
        measured=_measured(run, result),
    )


def _measured(run: RunFolder, result: Mapping[str, Any]) -> dict[str, object]:
    metrics = result["metrics"]
    known = {
        "score": "score",
        "standard_error": "standard_error",
        "held_out_accuracy": "accuracy",
        "held_out_rows": "rows_test",
        "rows": "rows_train",
    }
    scores = {ours: metrics[name] for ours, name in known.items() if name in metrics}
    rows: dict[str, object] = {name: int(scores[name]) for name in ("held_out_rows", "rows") if name in scores}
    return {"metric": result["sample"]["metric"], **scores, **rows, "run": run.id, "date": result["created"][:10]}


def _domain(result: Mapping[str, Any], zoo: Zoo) -> Domain:
    """The domain that the sample is already, else a new one; where the sample's name is taken, with its digest."""
    sample, known = result["sample"], zoo.domains()
    for domain in known:
        if domain.digest == sample["digest"]:
            return domain
    taken = {domain.name for domain in known}
    name = sample["name"] if sample["name"] not in taken else f"{sample['name']}-{sample['digest'][:8]}"
    return Domain(
        name,
        sample["modality"],
        sample["name"],
        sample["name"],
        sample["rows"],
        data=sample["origin"],
        digest=sample["digest"],
        origin=Origin.OURS,
    )


def _source(
    result: Mapping[str, Any], domain: Domain, zoo: Zoo, progress: Progress
) -> tuple[Sample | None, tuple[str, ...]]:
    """The sample, read again, unless the domain has its sketch; a note where it is not at hand."""
    if not _is_adapted(result) and domain in zoo.domains() and zoo.sketch(domain.name) is not None:
        return None, ()
    try:
        return Sample.again(result["sample"], seed=result["conditions"]["seed"], progress=progress), ()
    except SampleError as cause:
        note = f"its domain {domain.name} has no sketch, so that distance cannot be told: {cause}"
        return None, (note,)


def _filled(run: RunFolder, folder: Path, progress: Progress) -> tuple[str, ...]:
    """Write the net; where no classifier can be made, the backbone with what was its head, the classes' names gone."""
    try:
        return save_classifier(run, folder, progress=progress)
    except NotExportable as cause:
        shutil.rmtree(folder)
        folder.mkdir()
        note = f"promoted without the run's head: {cause.why}"
    for file in run.path.glob("*.safetensors*"):
        if file.name != "head.safetensors":
            shutil.copyfile(file, folder / file.name)
    copy_files(modality_at(run.path).processor_files, run.path, folder)
    config = json.loads((run.path / "config.json").read_text())
    if "id2label" in config:
        config["id2label"] = {place: f"LABEL_{place}" for place in config["id2label"]}
        config["label2id"] = {name: int(place) for place, name in config["id2label"].items()}
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    return (note,)
