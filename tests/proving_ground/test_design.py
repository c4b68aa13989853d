"""The design is frozen: it only grows, it is balanced, and nobody meets its own kin."""

from collections import Counter
from dataclasses import replace

import pytest

from tests.benchmarks.proving_ground.cells import HERE, NO_TRANSFER, read_design
from tests.benchmarks.proving_ground.design import (
    BODIES,
    PRESCRIBED,
    PRESCRIBED_OF_TEXTS,
    SOURCE_FAMILIES,
    STRATEGIES,
    Weights,
    new_cells,
)
from tests.benchmarks.proving_ground.targets import FAMILIES, GROUNDS, IMAGES, TEXTS

LIGHT = [Weights(f"net{i}", f"{i:064d}", "resnet-0.50M@64", 500, 64, ("gtsrb",), probes_only=False) for i in range(6)]
HEAVY = Weights("big", "f" * 64, "mobilenet_v2-2.26M@224", 3000, 224, ("imagenet_sample",), probes_only=False)
DEEPLAB = replace(HEAVY, name="deeplab", digest="d" * 64, input_size=513, probes_only=True)


def test_asking_again_adds_nothing():
    cells = new_cells([], LIGHT)
    assert new_cells(cells, LIGHT) == []


def test_a_new_checkpoint_is_numbered_on_and_changes_no_cell():
    cells = new_cells([], LIGHT[:3])
    more = new_cells(cells, LIGHT)
    assert [c.cell for c in [*cells, *more]] == list(range(1, len(cells) + len(more) + 1))
    assert {c.checkpoint for c in more} == {"net3", "net4", "net5"}


def test_other_weights_of_the_same_name_are_another_checkpoint():
    cells = new_cells([], LIGHT)
    regrown = replace(LIGHT[0], digest="e" * 64)
    assert len([c for c in new_cells(cells, [regrown]) if c.strategy == "linear-probe" and c.rows == 800]) == 15


def test_every_allowed_pair_is_probed():
    probed = {(c.checkpoint, c.target) for c in new_cells([], LIGHT) if c.rows == 800 and c.digest}
    assert probed == {(one.name, target) for one in LIGHT for target in IMAGES.families if target != "gtsrb"}


def test_a_checkpoint_never_meets_its_family():
    fashion = replace(LIGHT[0], lineage=("fashion_mnist",))
    assert {"clothing", "fashion_mnist"}.isdisjoint(c.target for c in new_cells([], [fashion]) if c.digest)


def test_a_checkpoint_never_meets_its_teachers_family():
    taught = replace(LIGHT[0], lineage=("clothing", "cifar10"))
    assert {c.target for c in new_cells([], [taught]) if c.digest}.isdisjoint({"cifar10", "flowers5", "fashion_mnist"})


def test_tuning_is_balanced_over_checkpoints_and_targets():
    tuned = [c for c in new_cells([], LIGHT) if c.strategy == "lp-ft"]
    assert set(Counter(c.target for c in tuned).values()) == {3}
    assert set(Counter(c.checkpoint for c in tuned).values()) <= {7, 8}


def test_every_tuned_pair_has_a_probe_on_the_same_rows():
    cells = new_cells([], [*LIGHT, HEAVY])
    probed = {(c.weights, c.target) for c in cells if c.strategy == "block-probe" and c.rows == 600}
    assert probed == {(c.weights, c.target) for c in cells if c.strategy == "lp-ft"}


def test_scratch_runs_once_for_each_net_and_target():
    scratch = [c for c in new_cells([], LIGHT) if c.strategy == "scratch"]
    assert len({(c.group, c.target) for c in scratch}) == len(scratch) == 15


def test_the_heavy_ones_are_tuned_on_four_targets_and_deeplab_on_none():
    cells = new_cells([], [HEAVY, DEEPLAB])
    assert Counter(c.checkpoint for c in cells if c.strategy == "lp-ft") == {"big": 4}
    assert not any(c.strategy == "scratch" for c in cells)


@pytest.mark.parametrize("modality", GROUNDS)
@pytest.mark.parametrize("rule", ["numbers", "kin", "digests", "families"])
def test_the_committed_design_keeps_the_rules(rule, modality):
    cells = read_design(HERE / modality / "design.csv")
    judged = [c for c in cells if c.checkpoint != NO_TRANSFER]
    if rule == "numbers":
        assert [c.cell for c in cells] == list(range(1, len(cells) + 1))
    elif rule == "kin":
        assert not [
            c for c in judged if c.family in {SOURCE_FAMILIES[source] for source in c.lineage.split(";") if source}
        ]
    elif rule == "digests":
        assert all(len(c.digest) == 64 for c in judged)
    else:
        assert all(GROUNDS[modality].families[c.target] == c.family == FAMILIES[c.target] for c in cells)


def text(name, digest, parameters=1_500_000, lineage=()):
    return Weights(name, digest * 64, "bert-1.55M@256", parameters, 256, lineage, probes_only=False, modality="text")


def test_of_texts_the_light_are_tuned_alike_and_the_heavy_on_fewer():
    light = [text("pupil", "a"), text("tweets", "b", lineage=("tweets",))]
    cells = new_cells([], [*light, text("real", "c", 20_000_000)], TEXTS)
    tuned = {(c.checkpoint, c.target) for c in cells if c.strategy == "lp-ft"}
    own = {target for target, family in TEXTS.families.items() if family == "social media"}
    assert {target for name, target in tuned if name == "tweets"} == {t for name, t in tuned if name == "pupil"} - own
    assert {t for name, t in tuned if name == "real"} < {t for name, t in tuned if name == "pupil"}
    assert {c.target for c in cells} == set(TEXTS.families)


def test_every_strategy_stands_beside_lp_ft_on_the_bodies_chosen_for_it():
    body = replace(LIGHT[0], name=BODIES[0])
    cells = [c for c in new_cells([], [body, LIGHT[1]]) if c.wave == 5]
    tuned = {c.target for c in new_cells([], [body]) if c.strategy == "lp-ft" and c.wave == 2}
    assert {c.checkpoint for c in cells} == {body.name}
    assert {c.strategy: {d.target for d in cells if d.strategy == c.strategy} for c in cells} == {
        strategy: tuned for strategy in STRATEGIES if strategy != "lora"
    }


def test_lora_runs_where_there_are_linear_layers():
    transformer = replace(LIGHT[0], name=BODIES[0], group="vit-1.30M@64")
    assert [c for c in new_cells([], [transformer]) if c.strategy == "lora"]


def test_trainings_of_prescribed_length_stand_beside_probes_of_their_own_draw_and_come_family_by_family():
    nets = [replace(one, name=name) for one, name in zip(LIGHT, PRESCRIBED, strict=False)]
    cells = [c for c in new_cells([], [*nets, replace(LIGHT[0], name="another")]) if c.wave == 8]
    assert {c.checkpoint for c in cells} == {one.name for one in nets}
    tuned = [c for c in cells if c.strategy == "lp-ft"]
    assert {c.epochs for c in tuned} == {20}
    of = {
        s: {(c.weights, c.target, c.rows, c.seed) for c in cells if c.strategy == s} for s in ("lp-ft", "block-probe")
    }
    assert of["lp-ft"] == of["block-probe"]
    assert {rows for _, _, rows, _ in of["lp-ft"]} == {600, 150}
    assert not {c.seed for c in cells} & {c.seed for c in new_cells([], nets) if c.wave < 8}
    once = len(nets) * len(set(IMAGES.families.values()) - {"traffic signs"})
    assert len({(c.checkpoint, c.family) for c in tuned[:once]}) == once
    scratch = [c for c in cells if c.strategy == "scratch"]
    assert len(scratch) == len({(c.target, c.rows) for c in tuned})


def test_texts_are_trained_for_as_long_as_plans_say_beside_probes_of_their_own_draw():
    nets = [
        replace(one, name=name, modality=TEXTS.modality, lineage=("wikipedia",))
        for one, name in zip(LIGHT, (*PRESCRIBED_OF_TEXTS, "another"), strict=False)
    ]
    cells = [c for c in new_cells([], nets, TEXTS) if c.wave == 8]
    assert {c.checkpoint for c in cells} == {*PRESCRIBED_OF_TEXTS}
    of = {
        s: {(c.weights, c.target, c.rows, c.seed) for c in cells if c.strategy == s}
        for s in ("lp-ft", "full", "block-probe")
    }
    assert of["lp-ft"] == of["full"] == of["block-probe"]
    assert {c.epochs for c in cells if c.strategy != "block-probe"} == {20}
    assert len({FAMILIES[target] for _, target, _, _ in of["lp-ft"]}) >= 8
