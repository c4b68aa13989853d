from dataclasses import replace

import numpy as np
import pytest

from recommender.baseline import no_transfer
from recommender.runs.provider import FolderProvider
from recommender.runs.tracking import no_tracking
from recommender.tuning import controls
from recommender.tuning.controls import Control, against, from_scratch
from recommender.tuning.recipe import run_local
from registry.cards import Metric
from registry.errors import Diverged
from registry.progress import silent
from tests.recommender.tuning.jobs import checkpoint, job, plan, sample, whole


@pytest.fixture
def card(tmp_path):
    return checkpoint(tmp_path / "net")


@pytest.mark.parametrize(
    ("gain", "beginning"),
    [
        (-0.1, "negative transfer: no transfer scores 70.0 %, the run 10.0 points less"),
        (0.1, "transfer was worth it: no transfer scores 70.0 %, the run 10.0 points more (± 2.0 points, paired)"),
        (0.03, "transfer cannot be told from none"),
        (-0.03, "transfer cannot be told from none"),
    ],
)
def test_what_follows_is_said_in_words(gain, beginning):
    assert Control("no-transfer", "no transfer", 0.7, gain, 0.02, Metric.ACCURACY).sentence.startswith(beginning)


def test_a_quantity_is_told_as_r_squared_which_is_no_percentage():
    sentence = Control("no-transfer", "no transfer", -0.2, 0.9, 0.05, Metric.R2).sentence
    assert "no transfer scores -0.200, the run 0.900 more (± 0.050, paired)" in sentence
    assert "%" not in sentence
    assert "points" not in sentence


def test_the_difference_is_paired(card, tmp_path):
    """Two that err on the same rows differ by nothing, surely; two that err on others do not."""
    work, test = job(tmp_path, card, plan(card)), sample(60, 0)
    right = test.targets.values
    wrong, other = right.copy(), right.copy()
    wrong[:20], other[20:40] = (right[:20] + 1) % 3, (right[20:40] + 1) % 3
    same = against(work, test, wrong, "scratch", "it", wrong)
    assert (same.gain, same.standard_error) == (0, 0)
    unlike = against(work, test, wrong, "scratch", "it", other)
    assert unlike.gain == 0
    assert unlike.standard_error > 0.05
    assert against(work, test, right, "scratch", "it", wrong).gain == pytest.approx(1 / 3)


def test_no_transfer_is_chosen_on_training_rows_and_judged_on_others():
    train, test = sample(90, 0), sample(60, 30).test
    model, predicted = no_transfer(train, test)
    assert model in {"raw pixels + linear", "raw pixels + 5 nearest neighbors"}
    assert (predicted == test.targets.values).mean() > 0.6
    blind = replace(test, labels=tuple(reversed(test.labels)))
    assert no_transfer(train, blind)[0] == model
    np.testing.assert_array_equal(no_transfer(train, blind)[1], predicted)


def test_the_same_net_from_scratch_learns_all_of_it_for_as_many_epochs(card, tmp_path):
    blocks = ("block 01", "block 02", "block 03", "block 04")
    stages = (whole(card, train=("block 03",), epochs=2), whole(card, train=("block 02", "block 03"), epochs=3))
    planned = plan(card, *stages, read="block 03", anchor=0.1, adapter_rank=2, controls=("scratch",))
    fresh = from_scratch(job(tmp_path, card, planned))
    [stage] = fresh.plan.stages
    assert (stage.train, stage.epochs, stage.only) == (blocks[:3], 5, "all")
    assert fresh.plan.from_scratch
    assert (fresh.plan.read, fresh.plan.anchor, fresh.plan.adapter_rank, fresh.plan.controls) == ("block 03", 0, 0, ())
    assert fresh.folder.parent.name == "run"


@pytest.mark.slow
def test_a_run_is_held_against_what_the_plan_asks_for(card, tmp_path):
    work = job(tmp_path, card, plan(card, whole(card, epochs=1), controls=("no-transfer", "scratch")))
    run, _ = run_local(work, no_tracking)
    assert 0 <= run.metrics["scratch_score"] <= 1
    assert run.metrics["no_transfer_score"] > 0.5
    records = [note for note in run.notes if "transfer" in note]
    assert len(records) == 2
    assert "no transfer (raw pixels" in records[0]
    assert "the same net from random weights" in records[1]
    assert not (work.folder / "scratch").exists()


def test_what_is_not_asked_for_is_not_done(card, tmp_path):
    run, _ = run_local(job(tmp_path, card, plan(card)), no_tracking)
    assert not {"no_transfer_score", "scratch_score"} & set(run.metrics)


def test_a_control_that_fails_costs_the_run_nothing_but_a_note(card, tmp_path, monkeypatch):
    def fail(*_):
        raise Diverged(3, float("nan"), 0.1)

    monkeypatch.setattr(controls, "from_scratch", fail)
    run, _ = run_local(job(tmp_path, card, plan(card, controls=("scratch", "scrath"))), no_tracking)
    assert "the control scratch could not be measured: the loss became nan at step 3" in run.notes[0]
    assert "there is no control named 'scrath'" in run.notes[1]
    assert "scratch_score" not in run.metrics


def test_negative_transfer_is_found_where_the_net_sees_nothing(card, tmp_path):
    """A head on features that are noise is no match for the raw colors."""
    work = job(tmp_path, card, plan(card, controls=("no-transfer",)), sample(90, 60))

    class Blind(FolderProvider):
        def features(self, job, part, progress):
            result = super().features(job, part, progress)
            blocks = tuple(
                replace(block, vectors=np.random.default_rng(0).normal(size=block.vectors.shape).astype("f4"))
                for block in result.blocks
            )
            return replace(result, blocks=blocks)

    run, _ = run_local(work, no_tracking, silent, Blind())
    assert run.notes[0].startswith("negative transfer: no transfer (raw pixels")
    assert "another checkpoint" in run.notes[0]
