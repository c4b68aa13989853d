"""The report, from three tables to words and pictures."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from recommender.fusion import Case, Kind
from tests.benchmarks.proving_ground.cells import (
    GONE,
    LAYER_MEAN,
    Figure,
    Setting,
    read_design,
    read_never,
    read_outcomes,
    read_scores,
)
from tests.benchmarks.proving_ground.findings import report
from tests.benchmarks.proving_ground.fused import Expectation
from tests.benchmarks.proving_ground.judge import Judged, judge_chosen, wins
from tests.benchmarks.proving_ground.pictures import draw
from tests.benchmarks.proving_ground.strategies import judge_strategies
from tests.benchmarks.proving_ground.truth import figures_of, kept_now, truth_of
from tests.benchmarks.proving_ground.words import report_in_words
from tests.benchmarks.retrained import of_best
from tests.proving_ground.planted import drawn, lines_of, tables, world
from tests.proving_ground.planted import result as line

BLOCKS = {"block 01": "2.0", "block 02": "0.1", LAYER_MEAN: "3.0"}


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder, true = tmp_path_factory.mktemp("planted"), world()
    noise = 0.03 * np.random.default_rng(0).standard_normal(true.shape)
    product = "product.linear-probe"
    figures = {"effort.seconds": np.full(true.shape, 0.8)}
    figures |= {"score.logme": true + noise, "distance.mmd": np.abs(noise), f"{product}.mean": true + noise}
    figures |= {f"{product}.low": true + noise - 0.06, f"{product}.high": true + noise + 0.06}
    tables(folder, true, figures, skip={(0, 0)})
    design, outcomes, scores = (folder / f"{name}.csv" for name in ("design", "outcomes", "scores"))
    began = time.perf_counter()
    built = report(read_design(design), read_outcomes(outcomes), read_scores(scores))
    return built, time.perf_counter() - began


def test_every_row_that_must_be_there_is_there(result):
    words = report_in_words(result[0])
    rows = [
        "product",
        "static",
        "largest",
        "nearest domain (mmd)",
        "logme ",
        "logme + static",
        "random",
        "best generalist + linear head",
        "no transfer",
    ]
    for scope in words.split("\n-- ")[1:]:
        assert all(f"\n{row}" in scope for row in rows), scope


def test_the_gate_comes_first_in_every_scope(result):
    for scope in report_in_words(result[0]).split("\n-- ")[1:]:
        assert scope.splitlines()[1].startswith("gate ")


def test_missing_cells_are_told(result):
    assert "1 missing" in report_in_words(result[0])


def test_no_transfer_has_regret_and_no_order(result):
    line = next(line for line in report_in_words(result[0]).splitlines() if line.startswith("no transfer"))
    relative, once, thrice, _ = line.split()[2:]
    assert float(once) == float(thrice) > 0.1
    assert 0 < float(relative) < 1


def test_a_method_that_probes_pays_for_every_forward_pass(result):
    rows = {row.judged.name: row.judged for row in result[0].truths[0].scopes[1].rows}
    assert np.nanmean(rows["logme"].cost) == pytest.approx((10 * 0.8 + 0.2) / 10, rel=0.02)
    assert np.nanmean(rows["static"].cost) == pytest.approx(1 / 10, rel=0.02)


def test_both_pictures_are_drawn(result, tmp_path):
    paths = draw(result[0], tmp_path)
    assert [path.name for path in paths] == ["skill.png", "predicted.png"]
    assert all(np.asarray(Image.open(path)).std() > 10 for path in paths)


def test_the_score_to_compare_with_is_chosen_where_it_is_not_judged(result):
    ones = np.ones(3)
    first, second = (
        Judged(name, np.array(tau), ones, *[ones * at] * 3)
        for at, (name, tau) in enumerate([("first", [0.9, 0.1, 0.3]), ("second", [0.2, 0.5, 0.4])])
    )
    chosen = judge_chosen("chosen", [first, second], ("a", "b", "c"))
    assert chosen.tau.tolist() == [0.2, 0.1, 0.3]
    assert chosen.regret_1.tolist() == [1, 0, 0]
    scope = result[0].truths[0].scopes[1]
    by_name = {row.judged.name: row.judged.tau for row in scope.rows}
    assert scope.beyond[0] == pytest.approx(
        np.nanmean(by_name["product"] - by_name["score chosen on others"]), abs=0.05
    )


def test_the_report_takes_seconds(result):
    assert result[1] < 30


@pytest.mark.slow
def test_of_two_draws_of_as_many_rows_the_first_is_judged():
    true = world()
    design, results, scores = lines_of(true, {"score.logme": true})
    again = replace(design[0], cell=len(design) + 1, seed=1)
    known = {(one.cell, one.block, one.figure): one for one in scores}
    second = line(again, drawn(np.full((1, 1), 0.5))[0, 0])
    judged = report([*design, again], {one.cell: one for one in [*results, second]}, known)
    assert len(judged.truths[0].truth.checkpoints) == len(true)
    assert judged.truths[0].truth.missing == 0


def test_a_checkpoint_whose_scores_cannot_be_computed_anew_is_ranked_by_none_and_named():
    true = world()
    design, results, scores = lines_of(true, {"score.logme": true, "score.knn": true})
    first = design[0]
    scores.append(Figure(first.cell, "", "score.logme", GONE, "abc"))
    known = {(one.cell, one.block, one.figure): one for one in scores}
    result = report(design, {one.cell: one for one in results}, known)
    assert result.gone == (first.checkpoint,)
    assert "not ranked, for their scores cannot be computed anew without weights: net0" in report_in_words(result)
    assert result.truths[0].truth.checkpoints == tuple(dict.fromkeys(c.weights for c in design[: true.size]))[1:]


def test_a_family_has_one_vote_whatever_of_it_is_measured():
    true = world()
    design, results, _ = lines_of(true, {}, skip={(k, 1) for k in range(len(true))})
    truth = truth_of(
        design, {one.cell: one for one in results}, {}, strategy="linear-probe", setting=Setting(800, 0, 0)
    )
    assert wins(truth).votes.sum() == pytest.approx(len(set(truth.families)))


def test_beside_the_last_block_stand_the_best_one_and_the_mean_of_all():
    design, _, scores = lines_of(world(), {"score.logme": world()})
    first = design[0]
    scores += [Figure(first.cell, block, "score.logme", value, "abc") for block, value in BLOCKS.items()]
    by_name = figures_of(design, {(one.cell, one.block, one.figure): one for one in scores})
    pair = first.weights, first.target
    assert by_name["score.logme"][pair] == pytest.approx(world()[0, 0])
    assert by_name["score.logme (layer mean)"] == {pair: 3.0}
    assert by_name["score.logme (best block)"][pair] == 2.0


def test_what_can_never_be_measured_is_told_apart_from_what_is_missing():
    design, results, scores = lines_of(world(), {"score.logme": world()})
    known = {(one.cell, one.block, one.figure): one for one in scores}
    first, second, third, *rest = results
    never = {first.cell: "weights replaced", second.cell: "weights replaced", rest[0].cell: "weights replaced"}
    result = report(design, {one.cell: one for one in rest}, known, never=never)
    assert result.never == {"weights replaced": 2}
    assert sum(result.missing.values()) == 1
    assert result.measured + 3 == result.cells == len(results)
    assert "can never be measured: 2 (weights replaced 2)" in report_in_words(result)
    assert third.cell not in never


def test_every_image_cell_of_the_earlier_waves_is_measured_or_says_why_it_never_can_be():
    cells, results, never = read_design(), read_outcomes(), read_never()
    assert {cell.cell for cell in cells if cell.wave < 8} - {*results} <= {*never}
    assert not {*never} & {*results}
    assert set(never.values()) == {"weights replaced", "strategy not offered"}


def test_empty_tables_say_so():
    assert "Nothing to rank yet" in report_in_words(report([], {}, {}))


@pytest.mark.slow
def test_trainings_of_other_rows_epochs_and_draws_are_judged_apart():
    true = world()
    design, results, _ = lines_of(true, {})
    settings = Setting(600, 5, 0), Setting(600, 20, 1)
    probes = design[: true.size]
    for setting, right in zip(settings, (drawn(true), drawn(1 - true, seed=2)), strict=True):
        for strategy, epochs, rows in (("block-probe", 0, drawn(np.full(true.shape, 0.5))), ("lp-ft", None, right)):
            for at, cell in enumerate(probes):
                of = {
                    "epochs": setting.epochs if epochs is None else epochs,
                    "rows": setting.rows,
                    "seed": setting.seed,
                }
                design.append(replace(cell, cell=len(design) + 1, strategy=strategy, **of))
                results.append(line(design[-1], rows.reshape(true.size, -1)[at]))
    judged = report(design, {one.cell: one for one in results}, {})
    tuned = {one.title: one.truth.whole for one in judged.truths if one.title.startswith("lp-ft")}
    assert list(tuned) == [f"lp-ft, {setting}" for setting in settings]
    earlier, later = tuned.values()
    assert np.abs(earlier - true).max() < 0.1
    assert np.abs(later - (1 - true)).max() < 0.1
    assert {name: figures.pairs for name, figures in judged.strategies.items()} == {
        str(settings[0]): true.size,
        str(settings[1]): true.size,
        "all settings": 2 * true.size,
    }
    first, second = (judged.strategies[str(setting)].best["lp-ft"] / true.size for setting in settings)
    assert first > 0.8
    assert second < 0.2


@pytest.mark.parametrize(("best", "seed", "score"), [(0.0, 0, 0.7), (3.0, 0, 0.6), (0.0, 1, 0.6)])
def test_a_training_that_never_beat_its_head_scores_what_the_head_of_all_its_rows_does(best, seed, score):
    cell = replace(lines_of(world(), {})[0][0], rows=600)
    head, tuned = replace(cell, strategy="block-probe"), replace(cell, cell=2, strategy="lp-ft", epochs=5, seed=seed)
    results = {1: line(head, np.arange(1000) < 700), 2: line(tuned, np.arange(1000) < 600)}
    results[2] = replace(results[2], conditions=json.dumps({"best_epoch": best}))
    kept = kept_now([head, tuned], results)
    assert kept[1] == results[1]
    assert kept[2].accuracy == pytest.approx(score)
    assert kept[2].right == results[1 if score == 0.7 else 2].right
    assert kept[2].conditions == results[2].conditions
    assert kept_now([head, replace(tuned, strategy="scratch")], results) == results


def test_what_is_recommended_loses_what_it_scores_less_than_the_best():
    cell, setting = replace(lines_of(world(), {})[0][0], rows=600), Setting(600, 20, 0)
    reached = {"block-probe": 600, "lp-ft": 700, "scratch": 800}
    cells = [
        replace(cell, cell=at, strategy=name, epochs=0 if name == "block-probe" else 20)
        for at, name in enumerate(reached)
    ]
    results = {one.cell: line(one, np.arange(1000) < reached[one.strategy]) for one in cells}
    now = {setting: {(cell.weights, cell.target): "lp-ft"}}
    judged = judge_strategies(cells, results, {}, [setting], now, reached)
    assert judged.lost == pytest.approx(0.1)
    assert judged.good[0] == 0
    without = {one.cell: results[one.cell] for one in cells[:2]}
    assert judge_strategies(cells, without, {}, [setting], now, reached) is None
    assert judge_strategies(cells, without, {}, [setting], now).lost == 0


def test_the_best_of_a_first_training_is_held_against_a_second_where_all_were_trained_twice():
    true = world()
    design, _, _ = lines_of(true, {})
    setting = Setting(150, 20, 1)
    epochs, reached = {"block-probe": 0, "lp-ft": 20, "scratch": 20}, (600, 700, 500)
    cells = [
        replace(design[0], cell=place, target=target, strategy=way, rows=150, seed=1, epochs=epochs[way])
        for place, (target, way) in enumerate(((target, way) for target in ("one", "two") for way in epochs), start=1)
    ]
    first = {one.cell: line(one, np.arange(1000) < right) for one, right in zip(cells, 2 * reached, strict=True)}
    again = {1: first[1], 2: line(cells[1], np.arange(1000) < 500), 3: first[3], 4: first[4], 5: first[5]}
    same, other = (of_best(cells, first, results, setting) for results in (first, again))
    assert (same.pairs, same.lost, same.recommended) == (2, 0, {"lp-ft": 2})
    assert (other.pairs, other.recommended, other.good[0]) == (1, {"lp-ft": 1}, 0)
    assert other.lost == pytest.approx(0.1)


def test_what_is_expected_from_scratch_is_held_against_what_it_scored():
    true = world()
    design, results, _ = lines_of(true, {})
    bare = replace(design[0], cell=len(design) + 1, strategy="scratch", rows=600, epochs=20)
    of = "", "a body", bare.target, bare.family, "scratch", Kind.SCRATCH, 0.4, {"rows": 0.5, "epochs": np.log(20)}
    expected = [Expectation(Case(*of, score=score), 0.5, 0.3, 0.7) for score in (0.6, 0.9)]
    judged = report([*design, bare], {one.cell: one for one in results}, {}, expected)
    figures = judged.scratch[str(bare.setting)]
    assert figures.bias == pytest.approx(0.25)
    assert figures.covered[0] == 0.5
    assert "2 cells; +0.250 more than expected" in report_in_words(judged)
