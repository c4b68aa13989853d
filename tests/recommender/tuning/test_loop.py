from dataclasses import replace

import numpy as np
import pytest
import torch

from recommender.tuning import loop
from recommender.tuning.classifier import Classifier, fresh_head
from recommender.tuning.data import open_pictures
from recommender.tuning.loop import Judged, Training, logits_of, train
from recommender.verdicts import Plan, Stage
from registry.cards import Metric
from registry.encoders.anatomy import anatomy_of
from registry.encoders.opening import load
from registry.encoders.preprocessing import read_preprocessing
from registry.errors import Diverged
from registry.progress import silent
from tests.recommender.tuning.jobs import sample
from tests.registry.encoders.nets import save_net

LAST = ("block 04",)
ALL = ("block 01", "block 02", "block 03", "block 04")


def made(folder, *stages, net="resnet", width=24, **changes):
    """A classifier on a tiny net and what it is to learn from."""
    save_net(folder / "net", net)
    body = load(folder / "net")
    data = sample(36, 18)
    preprocessing = read_preprocessing(folder / "net")
    rows, held_out = (
        open_pictures(part.items, part.targets, preprocessing, folder / "spill", silent, "open")
        for part in (data, data.test)
    )
    anatomy = anatomy_of(body)
    plan = Plan("by hand", anatomy.names[-1], "fresh", stages, (), False, False, 8, 0.01, 0.0, ("a test",))
    classifier = Classifier(body, anatomy, anatomy.names[-1], fresh_head(width, 3))
    training = Training(replace(plan, **changes), rows, held_out, Metric.ACCURACY, folder, 0, "cpu")
    return classifier, training


def run(classifier, training, progress=silent):
    curve = []
    told = train(classifier, training, lambda *point: curve.append(point), progress)
    return *told, curve


def copied(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


@pytest.mark.parametrize(("net", "width"), [("resnet", 24), ("vit", 16)])
def test_training_learns_and_ends_with_its_best_weights(net, width, tmp_path):
    stage = Stage(tuple(anatomy_of(load(save_net(tmp_path / "probe", net))).names), 4, 1e-2, 1e-3)
    classifier, training = made(tmp_path, stage, net=net, width=width)
    start, best, curve = run(classifier, training)
    assert best.score > start.score
    truth = training.held_out.targets
    assert (logits_of(classifier, training.held_out).argmax(1) == truth).mean() == pytest.approx(best.score)
    assert max(value for series, _, value in curve if series == "validation accuracy") == best.score
    assert not classifier.training


def test_what_is_frozen_is_bit_identical_after_statistics_included(tmp_path):
    classifier, training = made(tmp_path, Stage(LAST, 3, 1e-2, 1e-2))
    before = copied(classifier.body)
    run(classifier, training)
    prefixes = classifier.anatomy.block("block 04").prefixes
    changed = {name for name, value in classifier.body.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith(prefixes) for name in changed)
    frozen_statistics = [name for name in before if "running" in name and not name.startswith(prefixes)]
    assert frozen_statistics


def test_the_same_seed_gives_the_same_weights_and_another_does_not(tmp_path):
    def weights(place, seed):
        classifier, training = made(tmp_path / place, Stage(ALL, 2, 1e-2, 1e-3))
        run(classifier, replace(training, seed=seed))
        return copied(classifier)

    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir(), (tmp_path / "c").mkdir()
    first, again, other = weights("a", 0), weights("b", 0), weights("c", 1)
    assert all(torch.allclose(first[name].float(), again[name].float(), rtol=1e-4, atol=1e-6) for name in first)
    assert not torch.allclose(first["head.weight"], other["head.weight"], rtol=1e-2)


def test_a_loss_that_is_no_number_stops_and_the_best_weights_stay(tmp_path):
    classifier, training = made(tmp_path, Stage(ALL, 3, 1e-2, 1e-3))
    training.rows.preprocessing.slope[:] = np.nan
    before = copied(classifier)
    with pytest.raises(Diverged) as caught:
        run(classifier, replace(training, held_out=training.held_out))
    assert "learning rate" in caught.value.remedy
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())


def test_a_rate_far_too_high_never_costs_the_start(tmp_path):
    classifier, training = made(tmp_path, Stage(ALL, 2, 1e-2, 1e-3))
    learned = run(classifier, training)[1]
    wild = replace(training, plan=replace(training.plan, stages=(Stage(ALL, 2, 50.0, 50.0),)))
    try:
        start, best, _ = run(classifier, wild)
        assert best.score >= start.score
    except Diverged:
        pass
    truth = training.held_out.targets
    assert (logits_of(classifier, training.held_out).argmax(1) == truth).mean() >= learned.score


def test_training_stops_where_nothing_improves(tmp_path):
    classifier, training = made(tmp_path, Stage(LAST, 30, 0.0, 0.0))
    start, best, curve = run(classifier, training)
    epochs = [step for series, step, _ in curve if series == "validation loss"]
    assert epochs == [0, 1, 2, 3, 4]
    assert best == start


def test_stages_follow_one_another(tmp_path):
    classifier, training = made(tmp_path, Stage((), 1, 1e-2, 0.0), Stage(ALL, 1, 1e-3, 1e-3))
    heard = []
    _, _, curve = run(classifier, training, lambda *told: heard.append(told))
    assert [step for series, step, _ in curve if series == "validation loss"] == [0, 1, 2]
    assert [done for _, done, _ in heard] == list(range(1, 11))
    assert {(stage, of) for stage, _, of in heard} == {("tune by hand", 10)}


def test_a_last_batch_of_one_row_is_left_out(tmp_path):
    """Batch normalization refuses a batch of one row and one cell."""
    classifier, training = made(tmp_path, Stage(ALL, 1, 1e-2, 1e-3), batch_size=7)
    heard = []
    run(classifier, training, lambda *told: heard.append(told))
    assert heard[-1][1:] == (5, 5)


def test_label_smoothing_reaches_the_loss(tmp_path):
    seen = []

    class Spy(loop._Loop):
        def compute_loss(self, *args, **settings):
            seen.append(self.smoothing)
            return super().compute_loss(*args, **settings)

    classifier, training = made(tmp_path, Stage(LAST, 1, 1e-2, 1e-3), label_smoothing=0.2)
    trainer = loop._trainer(classifier, training, 0)
    trainer.__class__ = Spy
    trainer.train()
    assert set(seen) == {0.2}


def test_training_says_nothing(tmp_path, capfd):
    run(*made(tmp_path, Stage(LAST, 1, 1e-2, 1e-3)))
    told = capfd.readouterr()
    assert told.out == told.err == ""


def test_ties_in_the_metric_are_broken_by_the_loss():
    assert Judged(2, 0.5, 0.9).beats(Judged(1, 0.5, 1.0))
    assert Judged(2, 0.6, 9.0).beats(Judged(1, 0.5, 1.0))
    assert not Judged(2, 0.5, 1.0).beats(Judged(1, 0.5, 1.0))
