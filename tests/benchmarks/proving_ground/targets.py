"""The targets: image sets and text sets, their families, and the rows that every cell trains and is judged on.

Rows are chosen by their content and a seed, here and not by the product, so that no later change of the product moves
them; which copies were left out then, a table says (``left_out.csv``). `Part.digest` tells whether they still are what
earlier cells saw.
"""

import hashlib
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from registry.sample import Sample
from tests.benchmarks.proving_ground.cells import HERE, read_rows

__all__ = ["FAMILIES", "GROUNDS", "IMAGES", "TEXTS", "Ground", "Part", "part_of", "sets_of", "unpacked"]

_IMAGE_SETS = {
    "bccd_cells": "microscopy",
    "chest_xray_covid": "medical imaging",
    "cifar10": "small photos",
    "clothing": "fashion",
    "fashion_mnist": "fashion",
    "fer2013": "faces",
    "flowers5": "small photos",
    "fundus_cataract": "medical imaging",
    "gtsrb": "traffic signs",
    "magnetic_tile": "industrial surfaces",
    "mnist": "handwriting",
    "omniglot_alphabets": "handwriting",
    "plankton30": "microscopy",
    "quickdraw3": "handwriting",
    "rsscn7": "aerial",
    "sign_digits": "hand gestures",
}
_TEXT_SETS = {
    "ag_news": "news",
    "amazon_reviews": "reviews",
    "banking77": "dialogue",
    "chemprot": "biomedicine",
    "clinc150": "dialogue",
    "clinical_notes_small": "biomedicine",
    "code_language": "source code",
    "dialogue_service": "dialogue",
    "financial_phrasebank": "finance",
    "germeval18": "social media",
    "hate_offensive": "social media",
    "indonesian_emotion": "indonesian",
    "indonesian_sentiment": "indonesian",
    "novel_author": "fiction",
    "paper_field": "science",
    "scicite": "science",
    "sst2": "film",
    "subj": "film",
    "trec": "questions",
    "trial_abstract_roles": "biomedicine",
    "tweet_emotion": "social media",
    "tweet_hate": "social media",
    "tweet_offensive": "social media",
    "tweet_stance": "social media",
}


_DIGITS = 16
"""Of a row's digest that a record has."""


@dataclass(frozen=True)
class Ground:
    """The targets of one modality."""

    modality: str
    families: Mapping[str, str]
    """Of each target; sets of one origin or kind are left out together."""
    probe_rows: int
    """Rows set aside for training, of which a cell of fewer rows takes a part: all of a target share a test part."""
    test_rows: int
    """Test parts have this many: of more a draw, to fewer unused training rows are added, where they exist."""

    def __hash__(self) -> int:
        return hash(self.modality)


IMAGES = Ground("image", _IMAGE_SETS, probe_rows=800, test_rows=1000)
TEXTS = Ground("text", _TEXT_SETS, probe_rows=600, test_rows=500)
GROUNDS = {ground.modality: ground for ground in (IMAGES, TEXTS)}
FAMILIES = {**_IMAGE_SETS, **_TEXT_SETS}


@dataclass(frozen=True, eq=False)
class Part:
    """One target's rows for a cell: what is trained on, and what is judged, in order of (label, digest)."""

    train: Sample
    test: Sample

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the rows of both."""
        return hashlib.sha256(f"{self.train.order} {self.test.order}".encode()).hexdigest()[:16]

    @property
    def half_a(self) -> Bool[np.ndarray, " n"]:
        """Rows of the test part's first half; halves take turns, so both have every class."""
        return np.arange(len(self.test)) % 2 == 0


@lru_cache(maxsize=64)
def part_of(data: Path, target: str, rows: int, seed: int, ground: Ground = IMAGES) -> Part:
    """The rows of a target for cells of at most ``rows`` training rows.

    The test part is the same whatever ``rows``; fewer rows are among the more.
    """
    train, test = _pools(data, target, seed, ground)
    chosen = train.take(_in_proportion(train, rows, seed))
    return Part(replace(chosen, test=test), test)


def sets_of(ground: Ground, data: Path, shared: Path) -> Path:
    """The folder of a ground's sets: images are extracted from ``shared``, the others lie there as they are."""
    return unpacked(data, shared) if ground is IMAGES else shared / "data" / ground.modality


def unpacked(data: Path, shared: Path) -> Path:
    """The folder of image sets, extracted from ``shared`` where it is not there yet."""
    if not (data / "image").is_dir():
        subprocess.run([shared / "unpack", data], check=True)
    return data / "image"


@lru_cache(maxsize=16)
def _pools(data: Path, target: str, seed: int, ground: Ground) -> tuple[Sample, Sample]:
    read = _as_drawn(data, target, seed, ground)
    if read.test is None:
        raise ValueError(f"{data / target} has no test part")
    pool = replace(read, test=None)
    train = _in_proportion(pool, ground.probe_rows, seed)
    unused = np.setdiff1d(np.arange(len(pool)), train)
    added = unused[_in_proportion(pool.take(unused), max(0, ground.test_rows - len(read.test)), seed)]
    kept = _in_proportion(read.test, ground.test_rows, seed)
    everything = replace(
        pool, items=(*pool.items, *read.test.items), labels=(*pool.labels, *read.test.labels), groups=None
    )
    held = np.concatenate([added, len(pool) + kept])
    return pool.take(train), everything.take(_by_content(everything, held))


def _as_drawn(data: Path, target: str, seed: int, ground: Ground) -> Sample:
    """The set with the rows that it had when it was drawn from, whatever near duplicates are thought to be since.

    Groups are what is thought now; a row that is left out now is one of its own.
    """
    now = Sample.from_folder(data / target)
    if (seed, target) not in (left_out := _left_out(ground)):
        return now
    every = Sample.from_folder(data / target, keep_duplicates=True)
    gone = left_out[seed, target]
    read = every.take(np.array([item.digest[:_DIGITS] not in gone for item in every.items]))
    if now.groups is None:
        return read
    groups = {item.digest: group for item, group in zip(now.items, now.groups, strict=True)}
    return replace(read, groups=tuple(groups.get(item.digest, item.digest) for item in read.items))


@cache
def _left_out(ground: Ground) -> Mapping[tuple[int, str], frozenset[str]]:
    """By draw and target the training rows that were left out as copies; nothing of draws that have no such record."""
    rows = read_rows(HERE / ground.modality / "left_out.csv", _LeftOut)
    return {
        of: frozenset(row.digest for row in rows if (row.seed, row.target) == of)
        for of in {(row.seed, row.target) for row in rows}
    }


@dataclass(frozen=True)
class _LeftOut:
    """A line of such a record: a training row, or none, where none was left out."""

    seed: int
    target: str
    digest: str


def _in_proportion(sample: Sample, most: int, seed: int) -> Int[np.ndarray, " r"]:
    """At most so many rows, each class in proportion (largest remainder, at least one), first by hash of content."""
    if len(sample) <= most:
        return np.arange(len(sample))
    shares = _shares(Counter(sample.labels), most)
    kept: list[int] = []
    for row in sorted(range(len(sample)), key=lambda row: _ticket(sample.items[row].digest, seed)):
        if shares[sample.labels[row]]:
            shares[sample.labels[row]] -= 1
            kept.append(row)
    return np.array(sorted(kept), dtype=np.int64)


def _shares(counts: Counter[str], most: int) -> dict[str, int]:
    exact = {label: most * count / counts.total() for label, count in counts.items()}
    shares = {label: max(int(share), min(1, most)) for label, share in exact.items()}
    for label in sorted(exact, key=lambda label: (int(exact[label]) - exact[label], label)):
        if sum(shares.values()) < most:
            shares[label] += 1
    return shares


def _by_content(sample: Sample, rows: Sequence[int] | Int[np.ndarray, " r"]) -> Int[np.ndarray, " r"]:
    return np.array(sorted(rows, key=lambda row: (sample.labels[row], sample.items[row].digest)), dtype=np.int64)


def _ticket(digest: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed} {digest}".encode()).digest()
