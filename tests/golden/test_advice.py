"""Advice on three sets of images and a run that follows it, against what an earlier edition printed.

    python -m tests.golden.test_advice ../shared      # records tests/golden/advice/*.json anew

Names, digests, counts and the JSON's structure must be the same, keys may be added; figures may move by what another
processor's arithmetic explains. Sentences hold figures and are not compared.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recommender import recommend, tune
from recommender.flow import evaluate
from registry import Sample, Zoo
from tests.archives import unpack

SHARED = Path(__file__).parents[3] / "shared"
KEPT = Path(__file__).parent / "advice"
SETS = ("fundus_cataract", "quickdraw3", "rsscn7")
ROWS = 240
MEASURED_HERE = {"seconds", "peak_memory_bytes", "id", "origin", "created", "versions", "device", "data", "pairs"}
"""Keys whose values differ from machine to machine, and from run to run."""
IN_WORDS = {"because", "sentence", "reason", "warnings", "notes", "controls"}
TOLERANCE = 0.02


def advise(archive: Path, work: Path) -> dict[str, Any]:
    """Advice on one set and, where it says to transfer, the outcome of a run that follows it."""
    unpack(archive, work)
    sample = Sample.from_folder(work / archive.name.removesuffix(".tar.gz"), limit=ROWS)
    zoo = Zoo.open(work / "home")
    advice = recommend(sample, zoo)
    probe = evaluate(sample, zoo, advice.best.checkpoint.name, "linear-probe")
    run = tune(probe, sample, zoo)
    form = advice.to_dict()
    return {
        "advice": {key: value for key, value in form.items() if key != "skipped"},
        "skipped": sorted(row["checkpoint"] for row in form["skipped"]),
        "run": {"checkpoint": probe.checkpoint.name, "score": run.metrics["score"]},
    }


def comparable(value: Any) -> Any:
    """The record without what differs from machine to machine, and without sentences."""
    match value:
        case dict():
            return {key: comparable(value[key]) for key in value if key not in MEASURED_HERE | IN_WORDS}
        case list():
            return [comparable(row) for row in value]
        case _:
            return value


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value below, with the keys that lead to it; rows are known by their checkpoint, domain or block."""
    match value:
        case dict():
            for key in value:
                yield from leaves(value[key], (*path, key))
        case list() if value and isinstance(value[0], dict):
            for row in value:
                yield from leaves(row, (*path, str(next(iter(row.values())))))
        case list():
            yield path, value
        case _:
            yield path, value


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is not here")
@pytest.mark.parametrize("name", SETS)
def test_advice_is_what_it_was(name: str, tmp_path: Path) -> None:
    before = json.loads((KEPT / f"{name}.json").read_text())
    record = advise(SHARED / "data" / "image" / f"{name}.tar.gz", tmp_path)
    now = dict(leaves(comparable(json.loads(json.dumps(record)))))
    for path, value in leaves(before):
        if isinstance(value, float):
            assert now[path] == pytest.approx(value, rel=TOLERANCE, abs=TOLERANCE), path
        elif path[-1] not in {"tier", "percentile", "frozen", "read"}:
            assert now[path] == value, path


if __name__ == "__main__":
    KEPT.mkdir(exist_ok=True)
    for each in SETS:
        with tempfile.TemporaryDirectory() as folder:
            record = advise(Path(sys.argv[1]) / "data" / "image" / f"{each}.tar.gz", Path(folder))
        (KEPT / f"{each}.json").write_text(json.dumps(comparable(record), indent=1) + "\n")
