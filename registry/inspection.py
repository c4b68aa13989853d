"""A checkpoint's folder looked at: its card, and the files of its weights."""

import json
import re
from collections.abc import Mapping
from hashlib import sha256
from importlib import import_module
from pathlib import Path

from registry.cards import Checkpoint
from registry.documents import Plain, read_json
from registry.errors import MalformedWeights, NotFetched, PathMissing, UnreadableDocument, Unsupported
from registry.files import matching
from registry.licenses import spdx
from registry.modalities import modalities
from registry.statements import SHARD_INDEX, shard_names

__all__ = ["checkpoint_files", "has_weights", "inspect_folder", "plain_files", "weights_bytes", "weights_digest"]

_WEIGHTS = ("model.safetensors", SHARD_INDEX)
_CLAIMS = ("claimed_accuracy", "source_repo", "source_commit")
_LONGEST_CLAIM = 2000
_NEVER = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack", ".onnx", ".py")
"""Files of a checkpoint's folder that are never opened here."""


def inspect_folder(folder: Path, name: str) -> Checkpoint:
    """The card of a folder that was found sound and shown a few examples, with what it states of itself.

    Raises:
        CheckpointError: it cannot be used.
    """
    tidy = re.sub(r"[^\w.+-]+", "-", name).strip("-") or "checkpoint"
    opened = import_module("registry.encoders.examination").examine_checkpoint(folder, tidy)
    statements = _stated(folder)
    return Checkpoint(
        name=tidy,
        modality=opened.modality,
        architecture=opened.architecture,
        folder=folder,
        digest=opened.digest,
        parameters=opened.parameters,
        input_size=opened.input_size,
        license=spdx(opened.license),
        source=_claim(statements.get("source_domain", "")),
        claimed={**{key: _claim(statements[key]) for key in _CLAIMS if key in statements}, "license": opened.license},
    )


def weights_digest(folder: Path) -> str:
    """SHA-256 of model.safetensors, or of its index and shards.

    Raises:
        PathMissing: the folder or its weights are gone.
    """
    whole, listed = folder / _WEIGHTS[0], folder / _WEIGHTS[1]
    files = [listed, *_shards(folder)] if listed.is_file() and not whole.is_file() else [whole]
    total = sha256()
    for path in files:
        if not path.is_file():
            raise PathMissing(path)
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                total.update(part)
    return total.hexdigest()


def has_weights(folder: Path) -> bool:
    """Whether weights lie in a folder, whole or in shards."""
    return any((folder / file).is_file() for file in _WEIGHTS)


def weights_bytes(folder: Path) -> int | None:
    """Bytes of the weights in a folder, None where there are none."""
    whole = folder / _WEIGHTS[0]
    files = [whole] if whole.is_file() else _shards(folder)
    return sum(path.stat().st_size for path in files if path.is_file()) or None


def plain_files(folder: Path) -> tuple[str, ...]:
    """The plain files that lie in a checkpoint's folder and may be opened here, by name."""
    return tuple(
        sorted(
            path.name
            for path in folder.iterdir()
            if path.is_file() and not path.name.startswith(".") and path.suffix.casefold() not in _NEVER
        )
    )


def checkpoint_files(card: Checkpoint) -> tuple[str, ...]:
    """All files of a checkpoint's folder that whoever opens it needs, each as a path from there."""
    deeper = matching(modalities[card.modality].processor_files, card.folder)
    return tuple(sorted({*plain_files(card.folder), *deeper}))


def _shards(folder: Path) -> list[Path]:
    """The files that its index of shards names; a damaged index names none."""
    try:
        return [folder / name for name in shard_names(folder)]
    except (MalformedWeights, NotFetched):
        return []


def _stated(folder: Path) -> Mapping[str, Plain]:
    """What SOURCE.json or card.json says.

    Raises:
        Unsupported: it is no JSON, or beyond the limits.
    """
    for file in ("SOURCE.json", "card.json"):
        if (folder / file).is_file():
            try:
                content = read_json(folder / file)
            except UnreadableDocument as cause:
                raise Unsupported(folder, f"{file} cannot be read ({cause.why})", "Mend or remove it.") from cause
            return content if isinstance(content, dict) else {}
    return {}


def _claim(value: Plain) -> str:
    """A claim in words, no longer than anyone reads."""
    return (value if isinstance(value, str) else json.dumps(value))[:_LONGEST_CLAIM]
