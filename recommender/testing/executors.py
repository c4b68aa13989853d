"""What every executor promises. A plug-in subclasses `ExecutorContract` and gives the fixture `execute`."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from recommender.results import TuningRun
from recommender.runs.folder import RunFolder, RunState
from recommender.runs.job import Job
from recommender.runs.provider import FolderProvider
from recommender.runs.tracking import no_tracking
from recommender.testing.jobs import job, plan, sample, tiny_checkpoint, whole
from registry.cards import Origin, Outcome
from registry.encoders.encoder import load_encoder
from registry.errors import Diverged
from registry.progress import Cancelled, Event, Phase, silent


@dataclass
class _Recorder:
    """An observer that remembers what it hears, or wants no more from the start."""

    stopped: bool = False
    events: list[Event] = field(default_factory=list)

    def report(self, event: Event) -> None:
        self.events.append(event)

    def cancelled(self) -> bool:
        return self.stopped


@dataclass(frozen=True)
class _Finished:
    """A job that was carried out, what came of it, and what was reported meanwhile."""

    prepared: Job
    run: TuningRun
    outcome: Outcome
    events: list[Event]


_FINISHED: dict[tuple[object, str], _Finished] = {}
"""By executor and kind of job: each is carried out once for all laws that only look at what came of it."""


def _prepared(folder: Path, kind: str) -> Job:
    card = tiny_checkpoint(folder / "net")
    return job(folder, card, plan(card) if kind == "probe" else plan(card, whole(card)))


class ExecutorContract:
    """The laws; every test takes the executor under test."""

    @pytest.fixture(params=["probe", "training"])
    def prepared(self, request, tmp_path):
        return _prepared(tmp_path, request.param)

    @pytest.fixture(params=["probe", "training"])
    def finished(self, request, execute, tmp_path_factory):
        key = (execute, request.param)
        if key not in _FINISHED:
            prepared, recorder = _prepared(tmp_path_factory.mktemp("finished"), request.param), _Recorder()
            run, outcome = execute(prepared, no_tracking, recorder, FolderProvider())
            _FINISHED[key] = _Finished(prepared, run, outcome, recorder.events)
        return _FINISHED[key]

    def test_a_job_goes_in_and_a_run_with_its_outcome_comes_out(self, finished):
        prepared, run, outcome = finished.prepared, finished.run, finished.outcome
        assert isinstance(run, TuningRun)
        assert isinstance(outcome, Outcome)
        assert run.id == outcome.id == prepared.id
        assert outcome.origin is Origin.OURS
        assert outcome.sample_digest == prepared.sample.digest
        assert outcome.score == run.metrics["score"]
        assert (outcome.rows_train, outcome.rows_test) == (48, 24)
        assert outcome.conditions["probe"] == 0.75
        assert {
            "score",
            "accuracy",
            "standard_error",
            "seconds",
            "rows_train",
            "rows_test",
            "peak_memory_bytes",
            "expected_mean",
            "expected_low",
            "expected_high",
        } <= set(run.metrics)

    def test_a_finished_run_lies_in_its_folder(self, finished):
        prepared, run = finished.prepared, finished.run
        names = {path.name for path in Path(run.folder).iterdir()}
        assert names == {
            "config.json",
            "model.safetensors",
            "head.safetensors",
            "preprocessor_config.json",
            "journal.jsonl",
            "run.json",
            "job.json",
            "figures",
        }
        result = json.loads((Path(run.folder) / "run.json").read_text())
        assert result["id"] == prepared.id
        assert result["classes"] == list(prepared.sample.classes)

    def test_what_was_stored_predicts_what_was_scored(self, finished):
        prepared, run = finished.prepared, finished.run
        head = load_file(Path(run.folder) / "head.safetensors")
        encoded = load_encoder(Path(run.folder)).encode(prepared.sample.test.items)
        features = encoded.blocks[encoded.names.index(prepared.plan.read)].vectors
        predicted = (features @ head["weight"].T + head["bias"]).argmax(1)
        assert (predicted == prepared.sample.test.targets.values).mean() == pytest.approx(run.metrics["accuracy"])

    def test_the_same_seed_gives_the_same_run(self, execute, tmp_path):
        card = tiny_checkpoint(tmp_path / "net")
        planned = plan(card, whole(card))
        scores = []
        for name in ("first", "second"):
            run, _ = execute(job(tmp_path, card, planned, name=name), no_tracking, silent, FolderProvider())
            scores.append((run.metrics["score"], run.metrics["validation_best"], run.metrics["best_epoch"]))
        assert scores[0] == scores[1]

    def test_without_a_test_part_rows_are_held_out_and_groups_stay_whole(self, execute, tmp_path):
        card = tiny_checkpoint(tmp_path / "net")
        data = sample(48, 0, groups=[f"group {row // 6}" for row in range(48)])
        run, _ = execute(job(tmp_path, card, plan(card), data), no_tracking, silent, FolderProvider())
        assert run.metrics["rows_train"] + run.metrics["rows_test"] == 48
        assert run.metrics["rows_test"] % 6 == 0 < run.metrics["rows_test"]

    def test_a_failed_job_leaves_no_finished_run(self, execute, tmp_path):
        card = tiny_checkpoint(tmp_path / "net")
        prepared = job(tmp_path, card, plan(card, whole(card, rate=float("nan"))))
        with pytest.raises(Diverged):
            execute(prepared, no_tracking, silent, FolderProvider())
        assert not (prepared.folder / "run.json").exists()
        assert json.loads((prepared.folder / "journal.jsonl").read_text().splitlines()[-1])["status"] == "FAILED"

    def test_progress_hears_of_the_work(self, finished):
        assert Phase.HEAD in {event.phase for event in finished.events}
        assert all(0 <= done <= of for done, of in ((event.done, event.of) for event in finished.events))

    def test_a_cancelled_job_leaves_a_run_to_be_resumed(self, execute, prepared):
        with pytest.raises(Cancelled):
            execute(prepared, no_tracking, _Recorder(stopped=True), FolderProvider())
        assert RunFolder(prepared.folder).state is RunState.INTERRUPTED
        assert RunFolder(prepared.folder).job["id"] == prepared.id
        execute(prepared, no_tracking, silent, FolderProvider())
        assert RunFolder(prepared.folder).state is RunState.FINISHED

    def test_a_score_lies_between_nothing_and_all(self, finished):
        run = finished.run
        assert 0 <= run.metrics["score"] <= 1
        assert np.isfinite(list(run.metrics.values())).all()
