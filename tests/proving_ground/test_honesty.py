"""Honesty: a leak is caught, chance earns nothing, an oracle earns all, and wide intervals cost."""

from dataclasses import fields, replace

import numpy as np
import pytest

from tests.benchmarks.proving_ground.cells import Setting, append, read_design, read_outcomes, read_scores
from tests.benchmarks.proving_ground.findings import CHOSEN, WITHIN, report
from tests.benchmarks.proving_ground.intervals import coverage, static_intervals, winkler
from tests.benchmarks.proving_ground.judge import Method, judge
from tests.benchmarks.proving_ground.rankers import by_figure, by_random, generalist, leaks, plus_static, static
from tests.benchmarks.proving_ground.skill import room, skill
from tests.benchmarks.proving_ground.truth import Truth, figures_of, truth_of
from tests.proving_ground.planted import CHECKPOINTS, TARGETS, drawn, families, lines_of, tables, world

ORACLES = [f"oracle{i}" for i in range(5)]


def judged(folder):
    design, outcomes, scores = (folder / f"{name}.csv" for name in ("design", "outcomes", "scores"))
    return report(read_design(design), read_outcomes(outcomes), read_scores(scores))


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder, true = tmp_path_factory.mktemp("planted"), world()
    right, noise = drawn(true), np.random.default_rng(5)
    figures = {
        **{f"score.{name}": drawn(true, seed=10 + i)[..., ::2].mean(axis=-1) for i, name in enumerate(ORACLES)},
        "score.leak": right.mean(axis=-1),
        "score.chance": noise.random(true.shape),
        "score.logme": true + 0.04 * noise.standard_normal(true.shape),
        "product.linear-probe.mean": true,
        "product.linear-probe.low": true - 0.03,
        "product.linear-probe.high": true + 0.03,
    }
    tables(folder, true, figures)
    return judged(folder).truths[0]


def row(result, name, scope=WITHIN):
    rows = next(s for s in result.scopes if s.name == scope).rows
    return next(r for r in rows if r.judged.name == name)


@pytest.mark.parametrize("scope", [WITHIN, "all checkpoints"])
def test_an_oracle_with_its_own_test_rows_has_skill_one_within_its_error(result, scope):
    oracles = [row(result, name, scope) for name in ORACLES]
    errors = [oracle.skill.high - oracle.skill.low for oracle in oracles]
    assert max(errors) < 1
    assert abs(np.mean([oracle.skill.value for oracle in oracles]) - 1) < np.mean(errors) / 2
    assert sum(oracle.skill.low <= 1 <= oracle.skill.high for oracle in oracles) >= len(ORACLES) - 1
    assert not any(oracle.suspicious for oracle in oracles)


@pytest.mark.parametrize("name", ["random", "chance"])
def test_a_random_ranker_has_no_skill(result, name):
    assert row(result, name).skill.value <= 0


def test_the_static_list_has_skill_zero_by_definition(result):
    assert row(result, "static").skill.value == 0


def test_a_score_made_of_the_test_rows_stands_above_the_ceiling_and_is_called_out(result):
    assert row(result, "leak").suspicious
    honest = [r for s in result.scopes[:2] for r in s.rows if r.judged.name not in {"leak", CHOSEN}]
    assert not any(r.suspicious for r in honest)


def test_a_ranker_that_sees_the_target_is_caught_by_a_planted_truth():
    truth = planted_truth()
    careless = Careless(**{field.name: getattr(truth, field.name) for field in fields(truth)})
    assert leaks(static, careless, 0)
    assert judge(careless, Method("static", static), [np.ones(CHECKPOINTS, dtype=bool)]).leaks


HONEST = [static, generalist, by_figure("score.logme"), plus_static("score.logme"), by_random(3)]


@pytest.mark.parametrize("ranker", HONEST)
def test_honest_rankers_never_move_with_the_targets_own_truth(ranker):
    truth = planted_truth()
    assert not any(leaks(ranker, truth, t) for t in range(TARGETS))


def test_a_case_shows_no_truth_of_the_targets_family():
    truth = planted_truth()
    assert truth.case(0).history.shape == (CHECKPOINTS, TARGETS - families().count("family0"))


def test_missing_cells_are_counted_and_never_imputed(tmp_path):
    skip = {(k, 0) for k in range(4)}
    tables(tmp_path, world(), {"score.logme": world()}, skip=skip)
    one = judged(tmp_path)
    assert one.missing == {"linear-probe": 4}
    assert one.truths[0].truth.missing == 4
    assert np.isnan(one.truths[0].truth.whole[:4, 0]).all()


def test_a_checkpoint_without_a_distance_comes_last_and_is_counted(tmp_path):
    far = np.random.default_rng(0).random((CHECKPOINTS, TARGETS))
    far[3] = np.nan
    tables(tmp_path, world(), {"distance.mmd": far})
    assert row(judged(tmp_path).truths[0], "nearest domain (mmd)", "all checkpoints").judged.blind == TARGETS


def test_targets_of_the_lens_own_family_are_left_out_and_named(tmp_path):
    tables(tmp_path, world(), {"score.logme": world()})
    path = tmp_path / "design.csv"
    path.write_text(path.read_text().replace(",source2,", ",target0,"))
    scores = read_scores(tmp_path / "scores.csv")
    first = next(iter(scores.values()))
    append(tmp_path / "scores.csv", [type(first)(first.cell, "", "lens", "net2", "abc")])
    result = judged(tmp_path)
    assert result.left_out == ("target0", "target1")
    assert "family0" not in result.truths[0].truth.families


def test_nothing_is_decided_where_static_is_as_good_as_the_ceiling():
    names = tuple(f"f{i}" for i in range(12))
    static_tau, noise = np.full(12, 0.8), np.random.default_rng(0).normal(0, 0.1, 12)
    assert not room(static_tau, 0.79 + noise, names).decidable
    assert not skill(static_tau, static_tau, 0.79 + noise, names).room.decidable


def test_a_families_sets_count_once():
    static_tau, top = np.zeros(6), np.ones(6)
    method = np.array([1.0, 1, 1, 1, 0, 0])
    assert skill(method, static_tau, top, ("a", "a", "a", "a", "b", "c")).value == pytest.approx(1 / 3)


def test_widening_every_interval_worsens_the_winkler_score_once_they_cover():
    truth = np.random.default_rng(0).normal(0, 1, 4000)
    scores = [winkler(np.full(4000, -z), np.full(4000, z), truth).mean() for z in (1.645, 2, 3, 4)]
    assert scores == sorted(scores)


def test_narrow_intervals_are_punished_for_what_they_miss():
    truth = np.random.default_rng(0).normal(0, 1, 4000)
    right, narrow = (winkler(np.full(4000, -z), np.full(4000, z), truth).mean() for z in (1.645, 0.5))
    assert narrow > right


def test_sixteen_targets_cannot_tell_75_from_85_percent():
    inside = np.tile(np.array([True] * 13 + [False] * 3), (20, 1)).T.ravel()
    share, low, high = coverage(inside, tuple(f"t{i}" for i in range(16) for _ in range(20)))
    assert low < 0.75 < share < 0.85 < high


def test_static_intervals_know_nothing_of_their_own_family():
    table = world()
    other = table.copy()
    other[:, 0] = 0.01
    assert np.array_equal(static_intervals(table, families())[:, :, :2], static_intervals(other, families())[:, :, :2])


def test_promised_intervals_are_held_against_static_with_residuals(result):
    share, low, high = result.intervals.covered
    assert low <= share <= high
    assert share > 0.85
    assert result.intervals.better[1] > 0


class Careless(Truth):
    """A truth that forgets to hide the target's own family."""

    def case(self, target):
        return replace(super().case(target), history=self.whole[self.rows(target)])


def planted_truth():
    design, results, scores = lines_of(world(), {"score.logme": world()})
    figures = figures_of(design, {(s.cell, s.block, s.figure): s for s in scores})
    return truth_of(design, {r.cell: r for r in results}, figures, strategy="linear-probe", setting=Setting(800, 0, 0))
