import errno
import json
import sys
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch

from recommender.results import Exposure
from recommender.runs.event_log import EventLog
from recommender.runs.folder import RunFolder, RunState
from recommender.runs.provider import FolderProvider
from recommender.runs.tracking import NullTrackerRun, no_tracking
from recommender.tuning import feature_drift, figures, fitting, recipe
from recommender.tuning.heads import read_head
from recommender.tuning.recipe import run_local
from registry.encoders.loading import load, load_network
from registry.errors import DiskFull, Diverged, OutOfRoom
from registry.progress import silent
from tests.recommender.tuning.jobs import checkpoint, job, plan, sample, whole


@pytest.fixture
def card(tmp_path):
    return checkpoint(tmp_path / "net")


@pytest.mark.slow
@pytest.mark.parametrize(
    "net", ["vit", *(pytest.param(net, marks=pytest.mark.slow) for net in ("resnet", "swin", "dinov2"))]
)
def test_the_stored_backbone_is_the_tuned_one_whatever_its_keys_are_called(net, tmp_path):
    """Trainer's own reloading skips most tensors of nets whose keys are renamed at load (transformers 43701)."""
    card = checkpoint(tmp_path / "net", net)
    prepared = job(tmp_path, card, plan(card, whole(card, epochs=1), head="fresh"))
    run_local(prepared, no_tracking)
    stored, source = load(prepared.folder).state_dict(), load(card.folder).state_dict()
    moved = {name for name in source if not torch.equal(stored[name], source[name])}
    assert len(moved) > len(source) / 2


def test_a_probe_leaves_the_backbone_as_it_was(card, tmp_path):
    prepared = job(tmp_path, card, plan(card))
    run_local(prepared, no_tracking)
    assert (prepared.folder / "model.safetensors").read_bytes() == (card.folder / "model.safetensors").read_bytes()


def test_a_probe_of_an_easy_sample_is_good(card, tmp_path):
    run, _ = run_local(job(tmp_path, card, plan(card)), no_tracking)
    assert run.metrics["score"] > 0.6


def test_an_earlier_block_can_be_read(card, tmp_path):
    blocks = ("block 01", "block 02")
    stage = whole(card, train=blocks)
    prepared = job(tmp_path, card, plan(card, stage, read="block 02", frozen=("block 03", "block 04")))
    before = load(card.folder).state_dict()
    run, _ = run_local(prepared, no_tracking)
    after = load(prepared.folder).state_dict()
    assert run.metrics["trainable_parameters"] < card.parameters
    assert all(torch.equal(after[n], before[n]) for n in before if ".stages.2." in n or ".stages.3." in n)


def test_from_scratch_forgets_the_source(card, tmp_path):
    prepared = job(tmp_path, card, plan(card, whole(card, epochs=1), from_scratch=True, head="fresh"), seed=1)
    run_local(prepared, no_tracking)
    stored, source = load(prepared.folder), load(card.folder)
    assert not torch.allclose(next(stored.parameters()), next(source.parameters()), atol=0.02)


def test_training_that_never_helps_is_told_and_comes_to_a_linear_probe(card, tmp_path):
    prepared = job(tmp_path, card, plan(card, whole(card, rate=0.0, head_rate=0.0)))
    run, _ = run_local(prepared, no_tracking)
    assert run.metrics["best_epoch"] == 0
    assert any("did not improve" in note for note in run.notes)
    probed = job(tmp_path, card, plan(card), name="probe")
    plain, _ = run_local(probed, no_tracking)
    assert run.metrics["score"] == plain.metrics["score"]
    np.testing.assert_allclose(read_head(prepared.folder).weight, read_head(probed.folder).weight, rtol=1e-5)


def test_weights_that_score_no_better_by_chance_are_not_kept(card, tmp_path, monkeypatch):
    """The best of many epochs on few rows is no reason to learn from a fifth of the rows less; no file is read anew."""
    monkeypatch.setattr(fitting, "_BEYOND", 1e6)
    opened = []
    for room in (fitting, feature_drift):
        monkeypatch.setattr(room, "load_network", lambda *a, **k: opened.append(a) or load_network(*a, **k))
    prepared = job(tmp_path, card, plan(card, whole(card, rate=1e-3)))
    run, _ = run_local(prepared, no_tracking)
    assert len(opened) == 1
    assert run.metrics["best_epoch"] == 0
    before, after = load(card.folder).state_dict(), load(prepared.folder).state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_a_class_with_one_row_can_still_be_learned_from(card, tmp_path):
    data = sample(48, 24)
    rows = [row for row, label in enumerate(data.labels) if label != "red" or row == 0]
    run, _ = run_local(job(tmp_path, card, plan(card, whole(card)), data.take(np.array(rows))), no_tracking)
    assert run.metrics["rows_train"] == len(rows)


def test_features_of_the_whole_sample_are_asked_for_once_so_that_the_probes_are_reused(card, tmp_path):
    data = sample(48, 0)
    prepared = job(tmp_path, card, plan(card), data)
    requests = []

    class Recording(FolderProvider):
        def features(self, job, part, progress):
            requests.append(part.digest)
            return super().features(job, part, progress)

    run_local(prepared, no_tracking, silent, Recording())
    assert set(requests) == {data.digest}


def test_the_folder_is_left_without_what_only_the_making_needed(card, tmp_path):
    prepared = job(tmp_path, card, plan(card, whole(card)))
    run_local(prepared, no_tracking)
    names = {path.name for path in prepared.folder.iterdir()}
    assert not {name for name in names if name.startswith(("trainer", "best", "kept", "training"))}


@pytest.mark.parametrize("cause", [MemoryError(), torch.OutOfMemoryError()])
def test_running_out_of_memory_is_named(card, tmp_path, monkeypatch, cause):
    def fail(*_):
        raise cause

    monkeypatch.setattr(recipe, "store", fail)
    with pytest.raises(OutOfRoom, match="out of memory"):
        run_local(job(tmp_path, card, plan(card)), no_tracking)
    assert RunFolder(tmp_path / "home" / "runs" / "run").state is RunState.FAILED


@pytest.mark.slow
def test_a_full_disk_is_named_and_the_run_goes_on_where_there_is_room_again(card, tmp_path, small_disk):
    disk = small_disk(1500)
    (tmp_path / "home").symlink_to(disk)
    prepared = job(tmp_path, card, plan(card, whole(card)))
    (disk / "filler").write_bytes(bytes(1_350_000))
    with pytest.raises(DiskFull, match="no room to write"):
        run_local(prepared, no_tracking)
    assert not (prepared.folder / "run.json").exists()
    (disk / "filler").unlink()
    run, outcome = run_local(prepared, no_tracking)
    plain, _ = run_local(job(tmp_path / "elsewhere", card, prepared.plan, name="plain"), no_tracking)
    assert (run.metrics["score"], outcome.score) == (plain.metrics["score"],) * 2
    assert not list(disk.rglob("*.tmp"))


def test_the_outcome_is_recorded_before_anybody_waits_for_the_diary(card, tmp_path):
    recorded = []

    class Slow(NullTrackerRun):
        def close(self, status):
            report = json.loads((tmp_path / "home" / "runs" / "run" / "run.json").read_text())
            assert [outcome.id for outcome in recorded] == [report["outcome"]["id"]] == ["run"]

        @contextmanager
        def track(self, built):
            yield self
            self.close("FINISHED")

    class Recording(FolderProvider):
        def record(self, job, outcome):
            recorded.append(outcome)

    run_local(job(tmp_path, card, plan(card)), Slow().track, silent, Recording())
    assert len(recorded) == 2


def test_another_failure_of_the_disk_is_told_as_it_is(card, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, "broken disk")

    monkeypatch.setattr(recipe, "store", fail)
    with pytest.raises(OSError, match="broken disk"):
        run_local(job(tmp_path, card, plan(card)), no_tracking)


def test_a_run_that_diverged_keeps_its_best_weights_and_says_why_and_what_to_do(card, tmp_path):
    prepared = job(tmp_path, card, plan(card, whole(card, epochs=3, rate=1e30)))
    with pytest.raises(Diverged):
        run_local(prepared, no_tracking)
    folder = RunFolder(prepared.folder)
    assert folder.state is RunState.FAILED
    assert "the loss became nan" in folder.reason
    assert "Lower the learning rate from 1e+30 to 1e+29" in folder.reason
    assert all(torch.isfinite(tensor.float()).all() for tensor in load(prepared.folder).state_dict().values())
    assert (prepared.folder / "head.safetensors").exists()


@pytest.mark.slow
def test_pictures_are_drawn_and_told_to_the_diary_with_the_model(card, tmp_path):
    prepared = job(tmp_path, card, plan(card, whole(card)))
    run, _ = run_local(prepared, no_tracking)
    events = [event for _, event in EventLog(prepared.folder).read()]
    figures = [event["artifact"] for event in events if "artifact" in event]
    names = ("learning-curve", "confusion-matrix", "expected-and-realized", "transferred-and-learned")
    assert figures == [f"figures/{name}.png" for name in names]
    assert all((prepared.folder / figure).stat().st_size > 1000 for figure in figures)
    assert [event["model"] for event in events if "model" in event] == ["."]
    result = RunFolder(prepared.folder).result
    assert [block["block"] for block in result["forgetting"]["blocks"]] == list(prepared.plan.stages[0].train)
    assert result["controls"] == []
    assert result["metrics"] == run.metrics


def test_a_picture_that_cannot_be_drawn_costs_a_note(card, tmp_path, monkeypatch):
    def fail(*_):
        raise ValueError("no font")

    monkeypatch.setattr(figures, "draw", fail)
    run, _ = run_local(job(tmp_path, card, plan(card)), no_tracking)
    assert run.notes == ("the figures could not be drawn: ValueError: no font",)


def test_a_matplotlib_that_cannot_be_imported_costs_a_note(card, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "recommender.tuning.figures", None)
    run, _ = run_local(job(tmp_path, card, plan(card)), no_tracking)
    assert [note.partition(": ")[0] for note in run.notes] == ["the figures could not be drawn"]


def test_a_run_that_is_over_is_not_lost_by_giving_up_on_its_diary(card, tmp_path):
    prepared = job(tmp_path, card, plan(card))

    @contextmanager
    def slow(work):
        with no_tracking(work) as tracker_run:
            yield tracker_run
        raise KeyboardInterrupt

    run, outcome = run_local(prepared, slow)
    assert outcome.score == run.metrics["score"]
    assert run.notes == ("telling MLflow was interrupted: `transferzoo runs sync run`",)
    assert RunFolder(prepared.folder).state is RunState.FINISHED
    assert RunFolder(prepared.folder).result["notes"] == list(run.notes)


def exposed(work, rows, *, copies=False):
    """The job of a checkpoint that has seen these rows."""
    return replace(work, exposure=Exposure(frozenset(item.digest for item in rows), ("colors",), copies, "it learned"))


def test_what_is_held_out_are_rows_that_the_checkpoint_has_not_seen(card, tmp_path):
    data = sample(240, 0)
    work = exposed(job(tmp_path, card, plan(card), data), data.items[:160])
    run, outcome = run_local(work, no_tracking)
    assert run.metrics["rows_test"] == 60
    assert run.metrics["rows_train"] == 180
    assert any("60 rows that resnet has not seen before" in note for note in run.notes)
    assert "flattered" not in outcome.conditions


def test_of_a_test_part_the_rows_that_it_has_not_seen_judge_it(card, tmp_path):
    data = sample(60, 120)
    work = exposed(job(tmp_path, card, plan(card), data), data.test.items[:50])
    run, outcome = run_local(work, no_tracking)
    assert run.metrics["rows_test"] == 70
    assert any("70 of 120 test rows" in note for note in run.notes)
    assert "flattered" not in outcome.conditions


@pytest.mark.parametrize("copies", [False, True])
def test_a_score_on_rows_that_it_has_seen_is_said_and_kept_to_be_flattered(card, tmp_path, copies):
    data = sample(60, 60)
    seen = () if copies else data.test.items
    run, outcome = run_local(exposed(job(tmp_path, card, plan(card), data), seen, copies=copies), no_tracking)
    assert run.metrics["rows_test"] == 60
    assert outcome.conditions["flattered"] is True
    assert any(note.startswith("the score is flattered: resnet ") for note in run.notes)


def test_random_weights_have_seen_nothing(card, tmp_path):
    data = sample(48, 60)
    planned = plan(card, whole(card, epochs=1), from_scratch=True, head="fresh")
    _, outcome = run_local(exposed(job(tmp_path, card, planned, data), data.test.items), no_tracking)
    assert "flattered" not in outcome.conditions
