from dataclasses import replace

import numpy as np
import pytest
import torch

from recommender.results import Plan, Stage
from recommender.tuning import keeper
from recommender.tuning.classifier import Classifier, fresh_head, logistic_head
from recommender.tuning.data import block_features, prepare_rows
from recommender.tuning.keeper import EpochScore, Training, logits_of
from recommender.tuning.loop import train
from recommender.tuning.normalization import why_own_statistics
from registry.cards import Metric
from registry.encoders.layers import layers_of
from registry.encoders.loading import load_network
from registry.errors import Diverged
from registry.progress import Cancelled, Phase, silent
from registry.targets import Targets
from tests.observers import Recorder, stopping
from tests.recommender.tuning.jobs import sample
from tests.registry.encoders.nets import save_net

LAST = ("block 04",)
ALL = ("block 01", "block 02", "block 03", "block 04")


def learner(folder, *stages, net="resnet", width=24, **changes):
    """A classifier on a tiny net and what it is to learn from."""
    save_net(folder / "net", net)
    network = load_network(folder / "net")
    data = sample(36, 18)
    rows, held_out = (
        prepare_rows(part.items, part.positions, network, folder / "spill", silent, "open")
        for part in (data, data.test)
    )
    layers = layers_of(network)
    plan = Plan("by hand", layers.names[-1], "fresh", stages, (), False, False, 8, 0.01, 0.0, ("a test",))
    classifier = Classifier(network, layers, layers.names[-1], fresh_head(width, 3))
    training = Training(replace(plan, **changes), rows, held_out, Metric.ACCURACY, folder, 0, "cpu")
    return classifier, training


def run(classifier, training, progress=silent):
    curve = []
    report = train(classifier, training, lambda *point: curve.append(point), progress)
    return report.start, report.best, curve


def copied(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


@pytest.mark.parametrize(("net", "width"), [("resnet", 24), pytest.param("vit", 16, marks=pytest.mark.slow)])
def test_training_learns_and_ends_with_its_best_weights(net, width, tmp_path):
    stage = Stage(tuple(layers_of(load_network(save_net(tmp_path / "probe", net))).names), 4, 1e-2, 1e-3)
    classifier, training = learner(tmp_path, stage, net=net, width=width)
    start, best, curve = run(classifier, training)
    assert best.score > start.score
    truth = training.held_out.targets
    assert (logits_of(classifier, training.held_out).argmax(1) == truth).mean() == pytest.approx(best.score)
    assert max(value for series, _, value in curve if series == "validation accuracy") == best.score
    assert not classifier.training


def test_what_is_frozen_is_bit_identical_after_statistics_included(tmp_path):
    classifier, training = learner(tmp_path, Stage(LAST, 3, 1e-2, 1e-2))
    before = copied(classifier.body)
    run(classifier, training)
    prefixes = classifier.layers.block("block 04").prefixes
    changed = {name for name, value in classifier.body.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith(prefixes) for name in changed)
    frozen_statistics = [name for name in before if "running" in name and not name.startswith(prefixes)]
    assert frozen_statistics


def test_the_same_seed_gives_the_same_weights_and_another_does_not(tmp_path):
    def weights(place, seed):
        classifier, training = learner(tmp_path / place, Stage(ALL, 2, 1e-2, 1e-3))
        run(classifier, replace(training, seed=seed))
        return copied(classifier)

    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir(), (tmp_path / "c").mkdir()
    first, again, other = weights("a", 0), weights("b", 0), weights("c", 1)
    assert all(torch.allclose(first[name].float(), again[name].float(), rtol=1e-4, atol=1e-6) for name in first)
    assert not torch.allclose(first["head.weight"], other["head.weight"], rtol=1e-2)


def test_a_loss_that_is_no_number_stops_and_the_best_weights_stay(tmp_path):
    classifier, training = learner(tmp_path, Stage(ALL, 3, 1e-2, 1e-3))
    training.rows.network.preprocessing.slope[:] = np.nan
    before = copied(classifier)
    with pytest.raises(Diverged) as caught:
        run(classifier, replace(training, held_out=training.held_out))
    assert "broken items or preprocessing" in caught.value.remedy
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())


@pytest.mark.parametrize(
    ("net", "width"),
    [
        ("vit", 16),
        pytest.param("mobilenet_v1", 102, marks=pytest.mark.slow),
        pytest.param("regnet", 24, marks=pytest.mark.slow),
    ],
)
def test_pictures_that_are_no_numbers_are_not_trained_on_whatever_the_net(net, width, tmp_path):
    names = layers_of(load_network(save_net(tmp_path / "probe", net))).names
    classifier, training = learner(tmp_path, Stage(names, 2, 1e-2, 1e-3), net=net, width=width)
    training.rows.network.preprocessing.slope[:] = np.nan
    with pytest.raises(Diverged, match="nan at step 0"):
        run(classifier, training)


def test_weights_that_become_no_numbers_name_the_rate_that_did_it(tmp_path):
    classifier, training = learner(tmp_path, Stage(ALL, 3, 1e-2, 1e30))
    with pytest.raises(Diverged) as caught:
        run(classifier, training)
    assert caught.value.remedy == "Lower the learning rate from 1e+30 to 1e+29."


def dictate(monkeypatch, training, validation=None):
    """Losses of each epoch are what the test says, the last for all that follow; what a diverging training does is not
    the same to the last digit on every processor. ``validation`` is told from the start on, and its score is 0.5."""

    def losses(keeper, _losses, seconds):
        epoch = keeper.course.epoch
        return judge(keeper, [float(training[min(epoch, len(training) - 1)])] * len(_losses), seconds)

    def judged(_, epoch):
        return EpochScore(epoch, 0.5, validation[min(epoch, len(validation) - 1)])

    judge = keeper.Keeper.judge
    monkeypatch.setattr(keeper.Keeper, "judge", losses)
    if validation:
        monkeypatch.setattr(keeper.Keeper, "_judged", judged)


@pytest.mark.parametrize(
    ("losses", "ends", "why"),
    [
        ([0.9, 0.8, 3, 2.5], 4, "grew to 2.5; a head that says nothing has 1.1"),
        pytest.param([0.9, 20], 2, "grew to 20; a head that says nothing has 1.1", marks=pytest.mark.slow),
        ([0.5, 0.4, 0.6, 0.8, 1.0, 1.2], 5, "rose 3 epochs in a row, to 1 from 0.4"),
    ],
    ids=["far above twice", "very far above once", "rising"],
)
def test_too_high_a_rate_is_stopped_and_told_with_one_to_try(losses, ends, why, tmp_path, monkeypatch):
    dictate(monkeypatch, losses)
    classifier, training = learner(tmp_path, Stage(ALL, 12, 1e-2, 1e-3))
    report = train(classifier, training, lambda *_: None, silent)
    assert max(report.curves["training loss"]) == ends
    [note] = report.notes
    assert note.startswith(f"the learning rate is too high: the training loss {why}")
    assert "0.001 for the head, 0.0001 for the backbone" in note
    assert (
        f"the weights of epoch {report.best.epoch} are kept" if report.best.epoch else "of the start are kept"
    ) in note
    truth = training.held_out.targets
    assert (logits_of(classifier, training.held_out).argmax(1) == truth).mean() == pytest.approx(report.best.score)


@pytest.mark.parametrize(
    "losses",
    [
        pytest.param([0.9, 3, 0.8], id="one epoch"),
        pytest.param([0.5, 0.52, 0.54, 0.56], id="hardly rising", marks=pytest.mark.slow),
        pytest.param([30, 20, 12, 5], id="falling", marks=pytest.mark.slow),
    ],
)
def test_a_loss_that_recovers_is_not_called_too_fast(losses, tmp_path, monkeypatch):
    dictate(monkeypatch, losses)
    classifier, training = learner(tmp_path, Stage(ALL, len(losses), 1e-2, 1e-3))
    assert train(classifier, training, lambda *_: None, silent).notes == ()


def test_a_stage_after_one_that_was_too_fast_is_carried_out_from_the_best_weights(tmp_path, monkeypatch):
    dictate(monkeypatch, [0.9, 0.8, 20, 0.9])
    classifier, training = learner(tmp_path, Stage(ALL, 6, 1e-2, 1e-3), Stage((), 2, 0.0, 0.0))
    report = train(classifier, training, lambda *_: None, silent)
    assert "too high" in report.notes[0]
    assert len(report.notes) == 1
    losses = report.curves["validation loss"]
    assert max(losses) == 5
    assert losses[4] == pytest.approx(report.best.loss) == losses[5]


def test_what_is_learned_of_these_rows_alone_is_called_overfitting(tmp_path, monkeypatch):
    dictate(monkeypatch, [1.0, 0.8, 0.5, 0.3, 0.2, 0.1], validation=[1.1, 1.0, 0.9, 1.0, 1.2, 1.4])
    classifier, training = learner(tmp_path, Stage(ALL, 8, 1e-2, 1e-3))
    report = train(classifier, training, lambda *_: None, silent)
    [note] = report.notes
    assert note.startswith(
        "overfitting: from epoch 2 to 6 the validation loss rose from 0.9 to 1.4 while the training loss fell to 0.1."
    )
    assert "More rows, augmentation, or fewer blocks that learn help" in note


@pytest.mark.parametrize(
    ("training_loss", "validation"),
    [
        ([1.0, 0.8, 0.5, 0.3, 0.2, 0.1], [1.1, 1.0, 0.9, 0.91, 0.92, 0.93]),
        ([1.0, 0.8, 0.5], [1.1, 1.0, 0.9, 1.4]),
    ],
    ids=["the validation loss hardly rises", "the training loss falls no more"],
)
def test_a_training_that_comes_to_a_stand_is_not_called_overfitting(training_loss, validation, tmp_path, monkeypatch):
    dictate(monkeypatch, training_loss, validation=validation)
    classifier, training = learner(tmp_path, Stage(ALL, 8, 1e-2, 1e-3))
    assert train(classifier, training, lambda *_: None, silent).notes == ()


@pytest.mark.slow
def test_what_goes_well_is_not_called_overfitting_or_too_fast(tmp_path):
    for place, rate in enumerate((1e-4, 1e-3, 5e-3)):
        (tmp_path / str(place)).mkdir()
        classifier, training = learner(tmp_path / str(place), Stage(ALL, 6, 1e-2, rate), mixup=0.2 * place)
        assert train(classifier, training, lambda *_: None, silent).notes == ()


def test_a_rate_far_too_high_never_costs_the_start(tmp_path):
    classifier, training = learner(tmp_path, Stage(ALL, 2, 1e-2, 1e-3))
    learned = run(classifier, training)[1]
    wild = replace(training, plan=replace(training.plan, stages=(Stage(ALL, 2, 50.0, 50.0),)))
    try:
        start, best, _ = run(classifier, wild)
        assert best.score >= start.score
    except Diverged:
        pass
    truth = training.held_out.targets
    assert (logits_of(classifier, training.held_out).argmax(1) == truth).mean() >= learned.score


@pytest.mark.parametrize(("passed", "ends"), [(6, 4), pytest.param(20, 10, marks=pytest.mark.slow)])
def test_training_stops_where_nothing_improves(passed, ends, tmp_path):
    classifier, training = learner(tmp_path, Stage(LAST, passed, 0.0, 0.0))
    start, best, curve = run(classifier, training)
    epochs = [step for series, step, _ in curve if series == "validation loss"]
    assert epochs == [*range(ends + 1)]
    assert best == start


def test_stages_follow_one_another(tmp_path):
    classifier, training = learner(tmp_path, Stage((), 1, 1e-2, 0.0), Stage(ALL, 1, 1e-3, 1e-3))
    recorder = Recorder()
    _, _, curve = run(classifier, training, recorder)
    assert [step for series, step, _ in curve if series == "validation loss"] == [0, 1, 2]
    steps = [(event.done, event.of) for event in recorder.events if event.phase is Phase.TUNE]
    assert steps == [(step, 10) for step in range(1, 11)]


def test_a_last_batch_of_one_row_is_left_out(tmp_path):
    """Batch normalization refuses a batch of one row and one cell."""
    classifier, training = learner(tmp_path, Stage(ALL, 1, 1e-2, 1e-3), batch_size=7)
    recorder = Recorder()
    run(classifier, training, recorder)
    assert recorder.counts[-1] == (5, 5)


def shifted_statistics(classifier):
    """The same function of every row, with statistics that are not those of the rows."""
    with torch.no_grad():
        for norm in classifier.body.modules():
            if isinstance(norm, torch.nn.BatchNorm2d):
                deviation = (norm.running_var + norm.eps).sqrt()
                norm.bias += norm.weight * (-60 - norm.running_mean) / deviation
                norm.running_mean.fill_(-60)
                norm.weight *= 20 / deviation
                norm.running_var.fill_(400 - norm.eps)


def fitted(classifier, training):
    """The classifier with a head that is fitted to the training rows, whose classes are what it sees most of."""
    with torch.inference_mode():
        features = classifier.blocks(**without_labels(training.rows.batch(range(len(training.rows)))))[-1].numpy()
    along = np.linalg.svd(features - features.mean(0), full_matrices=False)[0][:, 0]
    training.rows.targets = np.searchsorted(np.quantile(along, [1 / 3, 2 / 3]), along)
    classifier.head = logistic_head(features, Targets(training.task, training.rows.targets), 3, None)
    return classifier


def without_labels(batch):
    return {name: tensor for name, tensor in batch.items() if name != "labels"}


def test_statistics_that_are_not_those_of_the_rows_stay_and_the_net_learns(tmp_path):
    classifier, training = learner(tmp_path, Stage(ALL, 1, 1e-3, 1e-4), head="logistic")
    classifier, before = fitted(classifier, training), logits_of(classifier, training.rows)
    shifted_statistics(classifier)
    np.testing.assert_allclose(logits_of(classifier, training.rows), before, rtol=0.05, atol=0.05)
    start = copied(classifier.body)
    report = train(classifier, training, lambda *_: None, silent)
    assert any(note.startswith("the checkpoint's normalization statistics stay") for note in report.notes)
    after = classifier.body.state_dict()
    assert all(torch.equal(start[name], after[name]) for name in start if "running" in name or "num_batches" in name)
    assert not classifier.training


def test_statistics_of_batches_are_taken_where_they_do_as_well_and_are_not_touched_by_asking(tmp_path):
    classifier, training = learner(tmp_path, Stage(ALL, 1, 1e-3, 1e-4), head="logistic")
    classifier.learn(ALL)
    classifier.train()
    with torch.inference_mode():
        for _ in range(60):
            classifier(**without_labels(training.rows.batch(range(len(training.rows)))))
    classifier.eval()
    classifier, before = fitted(classifier, training), copied(classifier.body)
    rows, of = training.rows, (training.metric, training.task, 18, 0)
    assert why_own_statistics(classifier, training.plan.stages, rows, *of) == ""
    assert all(torch.equal(before[name], value) for name, value in classifier.body.state_dict().items())


def test_label_smoothing_reaches_the_loss(tmp_path):
    """With labels smoothed all the way no class is better than another, so a head that says nothing stays so."""
    classifier, training = learner(tmp_path, Stage((), 1, 1e-2, 0.0), label_smoothing=1.0)
    _, _, curve = run(classifier, training)
    assert {round(value, 4) for series, _, value in curve if series == "training loss"} == {round(np.log(3), 4)}


def test_training_says_nothing(tmp_path, capfd):
    run(*learner(tmp_path, Stage(LAST, 1, 1e-2, 1e-3)))
    printed = capfd.readouterr()
    assert printed.out == printed.err == ""


def test_ties_in_the_metric_are_broken_by_the_loss():
    assert EpochScore(2, 0.5, 0.9).beats(EpochScore(1, 0.5, 1.0))
    assert EpochScore(2, 0.6, 9.0).beats(EpochScore(1, 0.5, 1.0))
    assert not EpochScore(2, 0.5, 1.0).beats(EpochScore(1, 0.5, 1.0))


def interrupted(folder, *stages, at, **changes):
    """A training that is stopped in the middle of an epoch, and the same one started again from its folder."""
    with pytest.raises(Cancelled):
        run(*learner(folder, *stages, **changes), stopping(Phase.TUNE, at))
    classifier, training = learner(folder, *stages, **changes)
    report = train(classifier, training, lambda *_: None, silent)
    return classifier, report


RESUMED = [
    ("resnet", 24),
    pytest.param("vit", 16, marks=pytest.mark.slow),
    pytest.param("swin", 16, marks=pytest.mark.slow),
    pytest.param("dinov2", 16, marks=pytest.mark.slow),
]


@pytest.mark.slow
@pytest.mark.parametrize(("net", "width"), RESUMED)
def test_a_training_interrupted_within_an_epoch_comes_to_the_result_it_would_have_come_to(net, width, tmp_path):
    names = layers_of(load_network(save_net(tmp_path / "probe", net))).names
    stages = (Stage(names[-1:], 2, 1e-2, 1e-3), Stage(names, 3, 1e-2, 3e-3))
    settings = {"net": net, "width": width, "dropout": 0.3, "mixup": 0.2}
    (tmp_path / "whole").mkdir()
    classifier, training = learner(tmp_path / "whole", *stages, **settings)
    whole = train(classifier, training, lambda *_: None, silent)
    for at in (3, 18):
        (tmp_path / str(at)).mkdir()
        again, report = interrupted(tmp_path / str(at), *stages, at=at, **settings)
        assert (report.start, report.best) == (whole.start, whole.best)
        assert {s: v for s, v in report.curves.items() if "second" not in s} == {
            s: v for s, v in whole.curves.items() if "second" not in s
        }
        for name, tensor in classifier.state_dict().items():
            assert torch.equal(again.state_dict()[name], tensor), name


def bold(folder, *stages, **changes):
    """A net with a head fitted to the rows that judge it, at a rate that its first epoch loses all of that with."""
    folder.mkdir()
    classifier, training = learner(folder, *(stages or (Stage(ALL, 3, 1e-2, 1.0),)), head="logistic", **changes)
    fitted(classifier, training)
    return classifier, replace(training, held_out=training.rows)


def test_where_a_first_epoch_loses_beyond_chance_and_none_comes_back_it_is_begun_again_at_a_third(tmp_path):
    classifier, training = bold(tmp_path / "bold")
    curve = []
    report = train(classifier, training, lambda *point: curve.append(point), silent)
    assert report.slowed == 1
    note = next(note for note in report.notes if "begun again" in note)
    assert note.startswith(f"epoch 1 took validation accuracy from {100 * report.start.score:.1f} % to ")
    assert "no later one came back: it was begun again at a third of the rate, 0.003 for the head, 0.3 for" in note
    assert report.best.score >= report.start.score
    epochs = [epoch for series, epoch, _ in curve if series == "validation accuracy"]
    assert epochs == [*range(len(epochs))]


def test_what_loses_and_comes_back_or_loses_nothing_goes_on(tmp_path, monkeypatch):
    steady, unhurried = bold(tmp_path / "steady", Stage(ALL, 1, 1e-2, 1e-4))
    assert train(steady, unhurried, lambda *_: None, silent).slowed == 0
    scores = iter([0.5, 0.2, 0.6])
    monkeypatch.setattr(keeper.Keeper, "_judged", lambda _, epoch: EpochScore(epoch, next(scores), 1.0))
    monkeypatch.setattr(keeper.Keeper, "_lost", lambda *_: "it lost")
    back, training = bold(tmp_path / "back", Stage(ALL, 2, 1e-2, 1e-4))
    report = train(back, training, lambda *_: None, silent)
    assert (report.slowed, report.best.epoch) == (0, 2)


@pytest.mark.slow
@pytest.mark.parametrize("time", [1, 2], ids=["before it is judged", "as it is begun again"])
def test_a_training_that_was_slowed_and_interrupted_comes_to_the_result_it_would_have_come_to(time, tmp_path):
    whole, training = bold(tmp_path / "whole")
    report = train(whole, training, lambda *_: None, silent)
    begun = iter(range(time - 1))

    def stop(event):
        return event.phase is Phase.TUNE and event.done == 2 and next(begun, None) is None

    with pytest.raises(Cancelled):
        run(*bold(tmp_path / "cut"), Recorder(stop))
    (tmp_path / "cut").rename(tmp_path / "kept")
    again, training = bold(tmp_path / "cut")
    resumed = train(again, replace(training, folder=tmp_path / "kept"), lambda *_: None, silent)
    assert (resumed.start, resumed.best, resumed.slowed) == (report.start, report.best, 1)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


@pytest.mark.slow
def test_what_is_slowed_reads_its_kept_activations_again(tmp_path):
    stage = Stage(LAST, 3, 1e-2, 1.0)
    done = {}
    for cache in (True, False):
        classifier, training = bold(tmp_path / str(cache), stage, cache=cache)
        report = train(classifier, training, lambda *_: None, silent)
        assert report.slowed == 1
        assert bool(list(training.folder.glob("kept-*.npy"))) == cache
        done[cache] = classifier.state_dict()
    for name, tensor in done[True].items():
        torch.testing.assert_close(tensor, done[False][name], atol=1e-3, rtol=1e-2)


def test_half_a_save_is_passed_over(tmp_path):
    stage = Stage(ALL, 4, 1e-2, 1e-3)
    (tmp_path / "whole").mkdir()
    classifier, training = learner(tmp_path / "whole", stage)
    whole = train(classifier, training, lambda *_: None, silent)
    folder = tmp_path / "broken"
    folder.mkdir()
    with pytest.raises(Cancelled):
        run(*learner(folder, stage), stopping(Phase.TUNE, 17))
    newest = max((folder / "trainer" / "stage-00").iterdir(), key=lambda path: int(path.name.split("-")[1]))
    weights = newest / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"oops")
    again, training = learner(folder, stage)
    assert train(again, training, lambda *_: None, silent).best == whole.best


@pytest.mark.slow
@pytest.mark.parametrize(("net", "width"), [("resnet", 24), ("vit", 16)])
def test_kept_activations_change_nothing_but_the_time(net, width, tmp_path):
    names = layers_of(load_network(save_net(tmp_path / "probe", net))).names
    stages = (Stage(names[-1:], 2, 1e-2, 1e-3), Stage(names[-2:], 2, 1e-2, 1e-3))
    done = {}
    for cache in (True, False):
        folder = tmp_path / str(cache)
        folder.mkdir()
        classifier, training = learner(folder, *stages, net=net, width=width, cache=cache)
        report = train(classifier, training, lambda *_: None, silent)
        done[cache] = classifier.state_dict(), report
        assert bool(list(folder.glob("kept-*.npy"))) == cache
        assert report.notes == ()
    assert done[True][1].best.score == done[False][1].best.score
    for name, tensor in done[True][0].items():
        torch.testing.assert_close(tensor, done[False][0][name], atol=1e-3, rtol=1e-2)


def test_after_the_activations_are_kept_the_first_block_is_never_called_again(tmp_path):
    classifier, training = learner(tmp_path, Stage(LAST, 3, 1e-2, 1e-3))
    called = {"first": 0, "last": 0}
    for place, where in ((0, "first"), (-1, "last")):
        prefixes = classifier.layers.blocks[place].prefixes
        for path, module in classifier.body.named_modules():
            if isinstance(module, torch.nn.Conv2d) and path.startswith(prefixes):
                module.register_forward_hook(lambda *_, where=where: called.__setitem__(where, called[where] + 1))
    at_epochs = []
    training = replace(training, drift=lambda _: at_epochs.append(dict(called)) or {})
    run(classifier, training)
    assert at_epochs[0]["first"] == at_epochs[-1]["first"]
    assert at_epochs[0]["last"] < at_epochs[1]["last"] < at_epochs[-1]["last"]


def test_adapters_learn_are_merged_and_leave_all_else_as_it_was(tmp_path):
    classifier, training = learner(
        tmp_path, Stage(("block 01", "block 02"), 3, 1e-2, 1e-2, only="adapters"), net="vit", width=16, adapter_rank=2
    )
    before = copied(classifier.body)
    classifier.adapt(["block 01", "block 02"], 2)
    run(classifier, training)
    spoken = logits_of(classifier, training.held_out)
    classifier.merge()
    np.testing.assert_allclose(logits_of(classifier, training.held_out), spoken, atol=1e-4)
    after = classifier.body.state_dict()
    assert set(after) == set(before)
    moved = {name for name in before if not torch.equal(after[name], before[name])}
    assert moved
    linear = [path for path, module in classifier.body.named_modules() if isinstance(module, torch.nn.Linear)]
    assert moved <= {f"{path}.weight" for path in linear}


@pytest.mark.parametrize(("net", "width"), [("resnet", 24), ("vit", 16)])
def test_only_norms_learn_where_only_norms_are_to_learn(net, width, tmp_path):
    names = layers_of(load_network(save_net(tmp_path / "probe", net))).names
    classifier, training = learner(tmp_path, Stage(names, 8, 1e-2, 3e-2, only="norms"), net=net, width=width)
    before = copied(classifier.body)
    run(classifier, training)
    norms = {path for path, module in classifier.body.named_modules() if "Norm" in type(module).__name__}
    moved = {name for name, value in classifier.body.state_dict().items() if not torch.equal(value, before[name])}
    assert moved
    assert {name.rpartition(".")[0] for name in moved} <= norms


def test_where_memory_runs_out_the_batch_is_halved_and_the_step_stays_the_same(tmp_path, monkeypatch):
    classifier, training = learner(tmp_path, Stage(ALL, 2, 1e-2, 1e-3))
    sizes, forward = [], Classifier.forward

    def small(self, **inputs):
        rows = len(inputs["pixel_values"])
        if self.training and rows > 4:
            raise torch.OutOfMemoryError
        sizes.append((self.training, rows))
        return forward(self, **inputs)

    monkeypatch.setattr(Classifier, "forward", small)
    report = train(classifier, training, lambda *_: None, silent)
    assert report.notes == ("memory ran out: batches of 4, 2 of them a step",)
    assert max(size for learning, size in sizes if learning) == 4
    assert max(report.curves["validation loss"]) == 2


@pytest.mark.slow
def test_where_not_even_one_row_fits_it_is_said(tmp_path, monkeypatch):
    classifier, training = learner(tmp_path, Stage(ALL, 2, 1e-2, 1e-3))
    forward = Classifier.forward

    def never(self, **inputs):
        if self.training:
            raise torch.OutOfMemoryError
        return forward(self, **inputs)

    monkeypatch.setattr(Classifier, "forward", never)
    with pytest.raises(torch.OutOfMemoryError):
        train(classifier, training, lambda *_: None, silent)


def ranged(folder, rate):
    """A fitted head, and a stage of one epoch whose rates a range test may lower."""
    classifier, training = learner(folder, Stage(ALL, 1, rate, rate), head="logistic", find_rate=True)
    features = block_features(classifier, training.rows, np.arange(len(training.rows)))[-1]
    targets = Targets(training.task, training.rows.targets)
    classifier.head.load_state_dict(logistic_head(features, targets, 3, None).state_dict())
    before, curve = copied(classifier), []
    trained = train(classifier, replace(training, rows=training.rows), lambda *point: curve.append(point), silent)
    return before, trained, curve


def test_a_range_test_lowers_rates_that_do_harm(tmp_path):
    _, trained, curve = ranged(tmp_path, 0.1)
    rates = [value for series, _, value in curve if series == "range test/rate"]
    losses = [value for series, _, value in curve if series == "range test/held out"]
    assert rates == [0.1 * 2.0**power for power in range(-3, len(rates) - 3)]
    assert losses[-1] > trained.start.loss
    note = next(note for note in trained.notes if note.startswith("range test"))
    assert f"0.1 is replaced by {rates[-1] / 4:.1g}" in note


def test_a_range_test_leaves_rates_that_do_no_harm_and_weights_as_they_were(tmp_path):
    _, trained, curve = ranged(tmp_path, 1e-7)
    assert [note for note in trained.notes if note.startswith("range test")] == [
        "range test: rates up to 8e-07 do no harm, 1e-07 stays"
    ]
    start = next(value for series, step, value in curve if series == "validation loss" and step == 0)
    assert trained.curves["validation loss"][1] == pytest.approx(start, rel=1e-3)
    assert trained.start.loss == start
