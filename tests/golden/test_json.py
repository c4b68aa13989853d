"""The JSON forms, schema 1, as they were recorded: keys may be added, nothing else may change.

    python -m tests.golden.test_json      # records what is not recorded yet

Every record is written down here, so that no figure depends on the processor.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recommender.results import (
    Exposure,
    Published,
    Realized,
    Rival,
    Shift,
    Skipped,
    TuningRun,
    Unprobed,
)
from recommender.runs.job import Job
from recommender.runs.mlflow_sync import Synced
from recommender.serving.export import Exported
from recommender.serving.predict import Answer, Judged, Predictions
from recommender.tuning.controls import Control
from recommender.tuning.feature_drift import BlockChange, Forgetting, SourceProbe
from registry.cards import Checkpoint, Domain, JobRecord, JobState, Metric, Origin, Outcome, Task
from registry.doctor import Finding, FindingKind, Report
from registry.forms import to_json
from registry.home import Home
from registry.sample import Health, Sample
from tests.recommender.test_benefit import planted
from tests.ui.cases import advice, choice

KEPT = Path(__file__).parent / "json"


def an_advice() -> object:
    first, second = choice("a", 0.8, gain=0.3, tuned=True), choice("b", 0.7, gain=0.2, distance=None)
    seen = Exposure(frozenset({"x" * 64}), ("colors",), copies=False, because="it learned from them")
    result = first.ranked.transferability
    marked = replace(
        result, candidate=replace(result.candidate, exposure=seen), judged=np.array([True, False, True, True])
    )
    first = replace(
        first,
        ranked=replace(first.ranked, transferability=marked),
        realized=(Realized("run", "lp-ft", 0.81, 0.02), Realized("old", "full", 0.5, None)),
    )
    drops = {"a": {"atc": 0.1}, "no transfer": {"doc": 0.05}}
    near = first.ranked.transferability.candidate.distance
    return replace(
        advice(first, second, skipped=(Skipped("c", "its weights are broken"),)),
        shift=Shift(0.01, 0.9, 100, 50, drops),
        unprobed=(
            Unprobed(
                "far",
                "org/far",
                10,
                None,
                ("MIT",),
                ("imagenet",),
                near,
                (Published("cars", "full", Metric.ACCURACY, 0.9, "a paper"),),
            ),
        ),
        beyond=(Skipped("huge", "too large"),),
        rivals=(
            Rival("most downloaded", None, False, None, "nobody counts"),
            Rival("preset", "a", True, first.expected, "x"),
        ),
    )


def a_sample() -> Sample:
    images = np.arange(6 * 8 * 8, dtype=np.uint8).reshape(6, 8, 8) * 7
    return Sample.from_arrays(images, [0.5, 1.5, 2.25, 3.0, 4.5, 8.75], name="sizes", groups=list("aabbcc"))


def a_health() -> Health:
    bad = tuple((f"{number}.png", "cut off") for number in range(25))
    return Health(9, 25, {"gray": 3}, 1, 2, 3, 4, 100, 0.5, ("look out",), bad, 1, 2, 3)


def a_job() -> Job:
    picked = choice("a", 0.8, gain=0.3, tuned=True)
    return Job(
        "run",
        picked.checkpoint,
        picked.plan,
        a_sample(),
        Home(Path("/none"), True),
        seed=3,
        expected=picked.expected,
        known={"probe": 0.5},
        recommendation="0123",
        estimated=picked.cost,
        exposure=Exposure(frozenset({"0" * 64}), ("colors",), True, "copies"),
        queue_job="job",
    )


def an_answer() -> Answer:
    predicted = Predictions(Task.CLASSIFICATION, ("x", "y"), ("1.png", "2.png"), np.zeros((2, 2)))
    judged = Judged(Metric.ACCURACY, 0.5, 0.25, 0.5, 2, 1, {"x": (1, 2)}, (("x", "y", 1),))
    return Answer("run", predicted, judged, (("3.png", "cut off"),), ("a note",))


def a_quantity() -> Answer:
    return Answer("run", Predictions(Task.REGRESSION, (), ("1.png",), np.array([[2.5]])), None, (), ())


def an_outcome() -> Outcome:
    return Outcome(
        "run",
        "net",
        "lp-ft",
        "ab" * 32,
        "colors",
        Task.CLASSIFICATION,
        Metric.ACCURACY,
        0.9,
        0.02,
        48,
        24,
        12.5,
        Origin.OURS,
        "2026-11-28T06:00:00+00:00",
        mlflow_run_id="m",
        conditions={"seed": 0, "expected": {"mean": 0.8}},
    )


RECORDS: Mapping[str, Callable[[], object]] = {
    "recommendation": an_advice,
    "distances_only": lambda: advice(transfer=False),
    "choice": lambda: choice("a", 0.8, gain=0.3, tuned=True),
    "distance": lambda: choice("a", 0.8, gain=0.3).ranked.transferability.candidate.distance.distance,
    "tuning_run": lambda: TuningRun(
        "run", None, "net", "lp-ft", {"score": 0.9, "rows_test": 24.0}, "/runs/run", ("a note",)
    ),
    "benefit": lambda: planted((0.5, 0.7, 0.8, 0.9)),
    "sample": a_sample,
    "health": a_health,
    "job": a_job,
    "answer": an_answer,
    "quantity": a_quantity,
    "exported": lambda: Exported("run", Path("/out"), "onnx", "ResNet", ("x", "y"), 1e-6, ("a note",), "AutoModel"),
    "synced": lambda: Synced("run", "http://here", "m", 3, 0, None),
    "control": lambda: Control("scratch", "the same net", 0.5, 0.25, 0.1, Metric.ACCURACY),
    "forgetting": lambda: Forgetting(
        (BlockChange("block 1", 0.25, 0.5), BlockChange("block 2", None, 0.5)),
        0.125,
        SourceProbe(0.9, 0.8, 0.05, 100, Metric.ACCURACY),
    ),
    "doctor": lambda: Report(
        (
            Finding(FindingKind.DATABASE, "row", "is wrong", "Mend it."),
            Finding(FindingKind.RUN, "run", "odd", "Go on.", "done"),
        ),
        ("/aside",),
    ),
    "queue_job": lambda: JobRecord(
        "id",
        "tune",
        {"sample": {"path": "/data"}},
        JobState.RUNNING,
        "key",
        "2026-11-28",
        "2026-11-28",
        "tune",
        1,
        2,
        "host",
        7,
        {"run": "r"},
        None,
        "cpu",
        {"loss": ((0, 1.0), (1, 0.5))},
        "lp-ft",
        1,
        4,
    ),
    "checkpoint": lambda: Checkpoint(
        "net",
        "image",
        "ResNet",
        Path("/net"),
        "ab" * 32,
        10,
        64,
        lineage=("cifar10",),
        claimed={"license": "mit"},
        measured={"rows": 3},
    ),
    "domain": lambda: Domain("dark", "image", "Dark", "shades", 10, aliases=("night",)),
    "outcome": an_outcome,
}


def form(record: object) -> Any:
    """What is printed, and read back."""
    result = to_json(record) if isinstance(record, Checkpoint | Domain | Outcome) else record.to_dict()
    return json.loads(json.dumps(result, allow_nan=False))


def recorded(name: str) -> Any:
    return json.loads((KEPT / f"{name}.json").read_text())


def lacks(now: Any, then: Any, where: str) -> list[str]:
    """What was recorded and is no more, or is something else."""
    if isinstance(then, dict) and isinstance(now, dict):
        gone = [f"{where}.{key} is gone" for key in then if key not in now]
        return gone + [line for key in then if key in now for line in lacks(now[key], then[key], f"{where}.{key}")]
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        return [
            line
            for place, (one, other) in enumerate(zip(now, then, strict=True))
            for line in lacks(one, other, f"{where}[{place}]")
        ]
    return [] if now == then and type(now) is type(then) else [f"{where} was {then!r} and is {now!r}"]


@pytest.mark.parametrize("name", RECORDS)
def test_the_json_form_is_as_it_was_recorded(name: str) -> None:
    assert lacks(form(RECORDS[name]()), recorded(name), name) == []


def record() -> None:
    """Write down what is not recorded yet."""
    KEPT.mkdir(exist_ok=True)
    for name, built in RECORDS.items():
        if not (KEPT / f"{name}.json").exists():
            (KEPT / f"{name}.json").write_text(json.dumps(form(built()), indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    record()
