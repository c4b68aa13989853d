from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch

from recommender.runs.event_log import EventLog
from recommender.runs.tracking import no_tracking
from recommender.tuning.activation_cache import ActivationCache
from recommender.tuning.classifier import Classifier, fresh_head
from recommender.tuning.data import keep, prepare_rows
from recommender.tuning.feature_drift import (
    RECOGNIZED,
    BlockChange,
    FeatureDrift,
    Forgetting,
    SourceProbe,
    linear_cka,
    probe_source,
)
from recommender.tuning.recipe import run_local
from registry.cards import Metric
from registry.encoders.layers import layers_of
from registry.encoders.loading import load_network
from registry.progress import Cancelled, Phase, silent
from tests.observers import stopping
from tests.recommender.tuning.jobs import checkpoint, job, plan, sample, whole


def cloud(rows, columns, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)


def inputs(rows, chosen):
    return {name: tensor for name, tensor in rows.batch(chosen).items() if name != "labels"}


def untouched(place, net="resnet"):
    """A checkpoint, a classifier that begins as it, and held-out rows."""
    card = checkpoint(place / "net", net)
    network = load_network(card.folder)
    layers = layers_of(network)
    data = sample(30, 0)
    rows = prepare_rows(data.items, data.positions, network, place / "spill", silent, "open")
    with torch.inference_mode():
        width = Classifier(network, layers, layers.names[-1], fresh_head(1, 1)).blocks(**inputs(rows, [0]))
    return card, Classifier(network, layers, layers.names[-1], fresh_head(width[-1].shape[1], 3)).eval(), rows


def shaken(classifier, block, by=1.0):
    """Move the weights of one block by a multiple of their length."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in classifier.body.named_parameters():
            if name.startswith(classifier.layers.block(block).prefixes):
                noise = torch.randn_like(parameter)
                parameter.add_(by * noise * parameter.norm() / noise.norm())


def test_alikeness_is_that_of_its_definition():
    """The unbiased HSIC, over all quadruples of rows (Song et al. 2012, eq. 4)."""
    x, y = cloud(7, 3), cloud(7, 2, seed=1)

    def slow(k, m):
        return np.mean([k[a, b] * (m[a, b] + m[c, d] - 2 * m[a, c]) for a, b, c, d in permutations(range(len(k)), 4)])

    one, other = x.astype(float) @ x.T, y.astype(float) @ y.T
    wanted = slow(one, other) / np.sqrt(slow(one, one) * slow(other, other))
    assert linear_cka(x, y) == pytest.approx(wanted, abs=1e-5)


def test_alikeness_is_blind_to_rotation_scale_and_shift_and_nothing_else():
    x = cloud(40, 8)
    turned = np.linalg.qr(cloud(8, 8, seed=2))[0].astype(np.float32)
    assert linear_cka(x, 3 * x @ turned + 5) == pytest.approx(1, abs=1e-4)
    assert linear_cka(x, x * np.array([9, *[1] * 7], np.float32)) < 0.9


def test_unrelated_features_are_not_alike_even_where_they_are_wider_than_there_are_rows():
    results = [linear_cka(cloud(30, 500, seed), cloud(30, 500, seed + 50)) for seed in range(10)]
    assert abs(np.mean(results)) < 0.05
    assert max(map(abs, results)) < 0.3


@pytest.mark.parametrize("x", [cloud(3, 4), np.ones((9, 4), np.float32), np.full((9, 4), np.nan, np.float32)])
def test_alikeness_that_has_no_value_is_not_made_up(x):
    assert linear_cka(x, cloud(len(x), 4)) is None


def test_a_net_as_it_began_has_forgotten_nothing(tmp_path):
    card, classifier, rows = untouched(tmp_path)
    result = FeatureDrift(classifier, card, rows).forgetting(rows)
    assert {(block.cka, block.weights) for block in result.blocks} == {(1.0, 0.0)}
    assert result.metrics == {"weight_change": 0.0, "cka_lowest": 1.0}
    assert result.notes == ()


@pytest.mark.parametrize("net", ["resnet", "vit", "swin", "mobilenet_v1"])
def test_the_block_that_changed_is_named_and_those_below_it_are_as_they_were(net, tmp_path):
    card, classifier, rows = untouched(tmp_path, net)
    watch = FeatureDrift(classifier, card, rows)
    changed = classifier.layers.names[-1]
    shaken(classifier, changed)
    *below, last = watch.changes(rows)
    assert {(block.cka, block.weights) for block in below} == {(1.0, 0.0)}
    assert last.block == changed
    assert 0.3 < last.weights < 3
    assert last.cka < 0.999
    assert set(watch.drift(rows)) == {
        f"{what} {name}" for what in ("CKA", "weight change") for name in classifier.layers.names
    }


def test_statistics_that_moved_count_as_change_though_no_weight_did(tmp_path):
    card, classifier, rows = untouched(tmp_path)
    watch = FeatureDrift(classifier, card, rows)
    classifier.learn(classifier.layers.names)
    classifier.train()
    classifier(**{name: 3 * tensor for name, tensor in inputs(rows, range(12)).items()})
    first, *_ = watch.changes(rows)
    assert first.weights == 0
    assert first.cka < 1


def test_looking_disturbs_neither_mode_nor_chance_nor_weights(tmp_path):
    card, classifier, rows = untouched(tmp_path)
    watch = FeatureDrift(classifier, card, rows)
    classifier.learn(classifier.layers.names[-1:])
    classifier.train()
    shaken(classifier, classifier.layers.names[-1])
    modes = {name: module.training for name, module in classifier.named_modules()}
    weights, chance = {n: t.clone() for n, t in classifier.state_dict().items()}, torch.get_rng_state()
    watch.drift(rows)
    assert {name: module.training for name, module in classifier.named_modules()} == modes
    assert torch.equal(torch.get_rng_state(), chance)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in classifier.state_dict().items())


@pytest.mark.parametrize("net", ["resnet", "vit"])
def test_behind_a_frozen_prefix_the_same_is_seen_from_kept_activations(net, tmp_path):
    card, classifier, rows = untouched(tmp_path, net)
    watch = FeatureDrift(classifier, card, rows)
    shaken(classifier, classifier.layers.names[-1], by=0.5)
    whole_net = watch.drift(rows)
    classifier.cache = ActivationCache(classifier, classifier.layers.names[-2], inputs(rows, range(4)))
    kept = keep(classifier.cache, rows, tmp_path / "kept.npy", silent, "keep")
    boundary = classifier.cache
    assert watch.drift(kept) == pytest.approx(whole_net, abs=1e-4)
    assert classifier.cache is boundary


def test_what_adapters_learned_counts_as_if_it_were_merged(tmp_path):
    card, classifier, rows = untouched(tmp_path, "vit")
    classifier.adapt(classifier.layers.names, 2)
    watch = FeatureDrift(classifier, card, rows)
    assert watch.forgetting(rows).weights == 0
    with torch.no_grad():
        for name, parameter in classifier.body.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    beside = watch.drift(rows)
    classifier.merge()
    assert watch.drift(rows) == pytest.approx(beside, abs=1e-4)
    assert max(beside.values()) > 0.1


def test_a_run_that_goes_on_is_held_against_the_checkpoint_and_not_against_where_it_was_resumed(tmp_path):
    card, classifier, rows = untouched(tmp_path)
    shaken(classifier, classifier.layers.names[0])
    assert FeatureDrift(classifier, card, rows).changes(rows)[0].weights > 0.3


@pytest.mark.slow
def test_an_epoch_tells_of_every_block_and_a_resumed_training_tells_the_same(tmp_path):
    card = checkpoint(tmp_path / "net")
    straight = job(tmp_path, card, plan(card, whole(card, epochs=3, rate=5e-3), head="fresh"), name="straight")
    run, _ = run_local(straight, no_tracking)

    broken = replace(straight, id="broken")
    with pytest.raises(Cancelled):
        run_local(broken, no_tracking, stopping(Phase.TUNE, 5))
    again, _ = run_local(broken, no_tracking)
    report, curves = (EventLog(built.folder).curves for built in (straight, broken))
    for block in ("block 01", "block 04"):
        for series in (f"CKA {block}", f"weight change {block}"):
            assert sorted(report[series]) == [1, 2, 3]
            assert curves[series] == pytest.approx(report[series])
    assert {name: again.metrics[name] for name in ("weight_change", "cka_lowest")} == pytest.approx(
        {name: run.metrics[name] for name in ("weight_change", "cka_lowest")}
    )
    assert run.metrics["weight_change"] > 0
    assert "source_before" not in run.metrics


@pytest.mark.slow
def test_a_run_with_source_rows_tells_what_is_read_of_them_before_and_after(tmp_path):
    card = checkpoint(tmp_path / "net")
    work = replace(job(tmp_path, card, plan(card, whole(card))), source=sample(60, 0))
    run, _ = run_local(work, no_tracking)
    assert {"source_before", "source_after", "source_standard_error"} <= set(run.metrics)
    assert run.metrics["source_before"] > 0.5
    assert not (work.folder / "source.npy").exists()


def test_a_plan_that_trains_no_backbone_cannot_forget(tmp_path):
    card = checkpoint(tmp_path / "net")
    run, _ = run_local(replace(job(tmp_path, card, plan(card)), source=sample(60, 0)), no_tracking)
    assert run.metrics["weight_change"] == 0
    assert run.metrics["source_before"] == run.metrics["source_after"]
    assert run.metrics["source_standard_error"] == 0


def test_source_rows_that_allow_no_probe_cost_the_run_nothing_but_a_note(tmp_path):
    card = checkpoint(tmp_path / "net")
    run, _ = run_local(replace(job(tmp_path, card, plan(card)), source=sample(3, 0)), no_tracking)
    assert "source_before" not in run.metrics
    assert "could not be measured" in run.notes[0]


@pytest.mark.slow
def test_a_net_from_random_weights_has_nothing_to_forget(tmp_path):
    card = checkpoint(tmp_path / "net")
    run, _ = run_local(job(tmp_path, card, plan(card, whole(card), from_scratch=True, head="fresh")), no_tracking)
    assert "weight_change" not in run.metrics


def test_the_source_is_probed_on_its_own_test_part(tmp_path):
    card = checkpoint(tmp_path / "net")
    work = job(tmp_path, card, plan(card))
    work.folder.mkdir()
    result = probe_source(work, sample(90, 30), None, silent)
    assert result.rows == 30


def test_a_source_that_can_no_longer_be_read_is_told_and_one_that_can_is_not(tmp_path):
    card, classifier, _ = untouched(tmp_path)
    work = job(tmp_path, card, plan(card))
    work.folder.mkdir()
    first = next(module for module in classifier.body.modules() if isinstance(module, torch.nn.Conv2d))
    with torch.no_grad():  # blind to color, which is what the classes are
        first.weight.copy_(first.weight.mean(1, keepdim=True).expand_as(first.weight))
    result = probe_source(work, sample(90, 0), classifier, silent)
    assert result.before > 0.6 > result.after
    assert result.fell
    [note] = Forgetting((BlockChange("block 01", 0.9, 0.1),), 0.1, result).notes
    assert note.startswith("the source was partly forgotten: a linear head's accuracy on it was ")
    assert note.count("%") == 2
    assert not SourceProbe(0.80, 0.79, 0.02, 90, Metric.ACCURACY).fell


def test_what_a_source_of_quantities_lost_is_told_as_r_squared():
    [note] = Forgetting(source=SourceProbe(0.8, 0.2, 0.02, 90, Metric.R2)).notes
    assert "a linear head's r2 on it was 0.800 before and is 0.200 after (± 0.020, paired)" in note


def test_a_block_changed_beyond_recognition_is_named_with_a_remedy():
    blocks = (BlockChange("block 01", 0.9, 0.1), BlockChange("block 02", RECOGNIZED - 0.1, 0.4))
    [note] = Forgetting(blocks, 0.3).notes
    assert "block 02 (CKA 0.40" in note
    assert "block 01" not in note
    assert "lower backbone rate" in note
