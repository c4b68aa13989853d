"""Read the labelled sources that seedlings are grown on: parquet files and tars of class folders."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

CROPS = 12


def read_sources(shared: Path, sources: str | list[str], size: int) -> tuple[NDArray[np.uint8], list[str]]:
    """One source, or several one after the other; unlabeled photos are cut into `CROPS` seeded crops each."""
    if isinstance(sources, str):
        return read_source(shared, sources, size)
    parts = [
        read_crops(shared, source, size) if source.startswith("domains/") else read_source(shared, source, size)
        for source in sources
    ]
    return np.concatenate([images for images, _ in parts]), [label for _, labels in parts for label in labels]


def read_crops(shared: Path, source: str, size: int) -> tuple[NDArray[np.uint8], list[str]]:
    """Seeded square crops of large photos, half to whole of the shorter side."""
    random = np.random.default_rng(0)
    cut = []
    for blob, _ in _parquet_rows(shared / "data" / f"{source}.parquet"):
        with Image.open(io.BytesIO(blob)) as photo:
            whole = photo.convert("RGB")
        for _ in range(CROPS):
            side = int(min(whole.size) * random.uniform(0.5, 1))
            left, top = (int(random.integers(0, room - side + 1)) for room in whole.size)
            piece = whole.crop((left, top, left + side, top + side))
            cut.append(np.asarray(piece.resize((size, size), Image.Resampling.BILINEAR)))
    return np.stack(cut), [""] * len(cut)


def read_source(shared: Path, source: str, size: int, part: str = "train") -> tuple[NDArray[np.uint8], list[str]]:
    """The images (n, size, size, 3) and labels (n,) of ``pretrain/NAME``, ``domains/NAME`` or ``image/NAME``."""
    rows = read_labeled(shared, source, part)
    images = np.empty((len(rows), size, size, 3), np.uint8)
    for place, (blob, _) in enumerate(rows):
        images[place] = decode(blob, size)
    return images, [label for _, label in rows]


def read_labeled(shared: Path, source: str, part: str = "train") -> list[tuple[bytes, str]]:
    """The encoded images of a source with their labels (empty where it has none)."""
    kind, name = source.split("/")
    if kind == "image":
        return _tar_rows(shared / "data" / kind / f"{name}.tar.gz", part)
    return _parquet_rows(shared / "data" / kind / f"{name}.parquet")


def decode(blob: bytes, size: int) -> NDArray[np.uint8]:
    """One encoded image as (size, size, 3) bytes, squashed to a square as the seedlings' preprocessing does."""
    with Image.open(io.BytesIO(blob)) as picture:
        square = picture.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
        return np.asarray(square)


def hold_out(labels: list[str], share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers (train, held out): `share` of every class, at least one row, is held out."""
    random = np.random.default_rng(seed)
    kept, held = [], []
    names = np.asarray(labels)
    for name in sorted(set(labels)):
        rows = random.permutation(np.flatnonzero(names == name))
        cut = max(1, round(share * len(rows)))
        held.append(rows[:cut])
        kept.append(rows[cut:])
    return np.sort(np.concatenate(kept)), np.sort(np.concatenate(held))


def _parquet_rows(path: Path) -> list[tuple[bytes, str]]:
    table = pq.read_table(path)
    blobs = table.column("image").to_pylist()
    labels = table.column("label").to_pylist() if "label" in table.column_names else [""] * len(blobs)
    return [(b["bytes"] if isinstance(b, dict) else b, str(label)) for b, label in zip(blobs, labels, strict=True)]


def _tar_rows(path: Path, part: str) -> list[tuple[bytes, str]]:
    rows = []
    with tarfile.open(path) as tar:
        for member in tar:
            pieces = Path(member.name).parts
            if member.isfile() and part in pieces[:-2] and not pieces[-1].startswith("."):
                stream = tar.extractfile(member)
                if stream is not None:
                    rows.append((member.name, stream.read(), pieces[-2]))
    return [(blob, label) for _, blob, label in sorted(rows, key=lambda row: row[0])]
