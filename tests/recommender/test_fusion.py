"""Expectations are fused from all that is known, and what is not known makes them wider and no worse."""

import time
from dataclasses import replace

import numpy as np
import pytest

import recommender.fusion as fusion_module
from recommender.contributions import contribution_words
from recommender.fusion import (
    Candidates,
    Case,
    Course,
    Fusion,
    Kind,
    Standing,
    case_of,
    covered_range,
    features_of,
    kind_of,
    log_odds,
)
from registry.cards import Metric, Origin, Outcome, Task
from registry.catalog import read_catalog
from registry.home import catalog_folder

ROWS = 600


def score_of(odds):
    return float(1 / (1 + np.exp(-odds)))


def world(samples, *, seed=0, pull=0.3, noise=0.1, modality="image"):
    """Cases of four checkpoints of one body on many samples: what is near gains, what is ahead falls back."""
    random = np.random.default_rng(seed)
    world_cases = []
    for sample in range(samples):
        easy = random.normal(1, 0.7)
        standings = [
            Standing(f"c{at}", "net", score_of(easy + random.normal(0, 0.3)), nearer=float(random.random()))
            for at in range(4)
        ]
        features = features_of(standings, 0.4, 5)
        for standing, beside in zip(standings, features, strict=True):
            course = Course("lp-ft", Kind.TRAINING, standing.probe, ROWS, 20)
            odds = log_odds(standing.probe) + 0.2 + pull * beside["domain"] - 0.5 * beside["probe"]
            score = score_of(float(odds) + random.normal(0, noise))
            case = case_of(standing, beside, course, sample=f"s{sample}", modality=modality, score=score)
            world_cases.append(case)
    return world_cases


def missed(fusion, cases):
    return np.array([fusion.expect(case).score(case.anchor) - case.score for case in cases])


def test_what_is_near_is_expected_to_gain_and_says_so():
    fusion, case = Fusion(world(40)), world(1, seed=9)[0]
    near, far = (replace(case, features={**case.features, "domain": of}) for of in (0.4, -0.4))
    gains = [fusion.expect(one).gain for one in (near, far)]
    assert gains[0] > gains[1] + 0.1
    points = fusion.expect(near).points(near.anchor)
    assert points["domain"] > 0.01


def test_twelve_samples_are_enough_to_learn_what_orders_candidates_strongly():
    def gains(pull):
        fusion, case = Fusion(world(12, pull=pull, noise=0.02)), world(1, seed=9)[0]
        return [fusion.expect(replace(case, features={**case.features, "domain": of})).gain for of in (0.3, -0.3)]

    near, far = gains(2.0)
    assert near - far == pytest.approx(2.0 * 0.6, rel=0.1)


def test_what_lies_beyond_all_that_was_measured_moves_an_expectation_no_further():
    fusion, case = Fusion(world(12, pull=2.0, noise=0.02)), world(1, seed=9)[0]
    gains = [fusion.expect(replace(case, features={**case.features, "domain": of})).gain for of in (0.3, 2.0, 9.0)]
    assert gains[0] < gains[1] == gains[2] < gains[0] + 2.0 * 0.7


def test_contributions_add_up_to_what_the_expectation_moves_by():
    fusion, case = Fusion(world(40)), world(1, seed=9)[0]
    fused = fusion.expect(case)
    assert sum(fused.points(case.anchor).values()) == pytest.approx(fused.score(case.anchor) - case.anchor)


def test_what_a_feature_is_in_words_hangs_on_what_it_usually_is():
    usual = Fusion(world(40)).expect(world(1, seed=9)[0]).usual
    assert usual["no transfer"] < 0
    near, far = ({"no transfer": share * usual["no transfer"]} for share in (0.5, 1.5))
    words = [contribution_words({"no transfer": 0.1}, one, usual) for one in (near, far)]
    assert words == [[f"no transfer scores {it} beside the probes (+10.0)"] for it in ("high", "low")]


def test_it_is_better_than_the_probe_alone_and_the_better_the_more_is_known():
    unknown = world(60, seed=5)
    probe = np.array([case.anchor - case.score for case in unknown])
    errors = [np.mean(missed(Fusion(world(many)), unknown) ** 2) for many in (5, 60)]
    assert errors[1] <= errors[0] < np.mean(probe**2)


def test_where_nothing_but_the_probe_speaks_it_is_hardly_worse_than_the_probe():
    def blank(cases, seed):
        random = np.random.default_rng(seed)
        return [replace(one, score=score_of(float(log_odds(one.anchor)) + random.normal(0, 0.3))) for one in cases]

    known, unknown = blank(world(30), 1), blank(world(60, seed=5), 2)
    ours = np.mean(missed(Fusion(known), unknown) ** 2)
    assert ours < 1.05 * np.mean([(case.anchor - case.score) ** 2 for case in unknown])


def paired(cases, gains):
    """The cases with heads that score as their probes do, each training its body's gain and luck more or less."""
    random = np.random.default_rng(3)
    heads = [replace(one, kind=Kind.HEAD, strategy="linear-probe", score=one.anchor) for one in cases]
    trained = [
        replace(one, body=body, head=one.anchor, score=one.anchor + gain + random.normal(0, 0.01))
        for one, (body, gain) in zip(cases, [*gains.items()] * len(cases), strict=False)
    ]
    return [*heads, *trained]


def test_what_a_training_adds_to_its_head_is_what_it_added_to_heads_of_the_same_body():
    cases, new = world(30), replace(world(1, seed=9)[0], checkpoint="new")
    fusion = Fusion(paired(cases, {"learns": 0.05, "forgets": -0.05}))
    learns, forgets, strange = (fusion.added(replace(new, body=body)) for body in ("learns", "forgets", "strange"))
    assert learns > 0.01
    assert forgets < -0.01
    assert forgets < strange < learns


def test_what_full_loses_with_few_rows_is_not_expected_of_trainings_that_keep_their_head():
    def on(cases, strategy, rows):
        share = rows / (rows + ROWS)
        return [replace(one, strategy=strategy, features={**one.features, "rows": share}) for one in cases]

    cases, new = world(30), world(1, seed=9)[:1]
    gains = {("lp-ft", 150): 0.01, ("lp-ft", 600): 0.03, ("full", 150): -0.2, ("full", 600): 0.02}
    known = {of: paired(on(cases, *of), {"net": gain}) for of, gain in gains.items()}
    kept = known["lp-ft", 150] + known["lp-ft", 600]
    alone, all_of_it = Fusion(kept), Fusion(kept + known["full", 150] + known["full", 600])
    few = on(new, "lp-ft", 150)[0]
    assert all_of_it.added(few) == pytest.approx(alone.added(few), abs=0.002)
    assert all_of_it.added(on(new, "full", 150)[0]) < -0.1


def test_where_no_head_was_carried_out_the_expected_one_stands_for_it():
    known = paired(world(30), {"learns": 0.05, "forgets": -0.05})
    fusion, new = Fusion([replace(one, head=None) for one in known]), replace(world(1, seed=9)[0], checkpoint="new")
    assert fusion.added(replace(new, body="learns")) > 0.01 > -0.01 > fusion.added(replace(new, body="forgets"))


def test_what_is_added_is_unknown_of_heads_and_where_nothing_was_trained():
    fusion, new = Fusion(paired(world(30), {"learns": 0.05})), world(1, seed=9)[0]
    assert fusion.added(replace(new, kind=Kind.HEAD)) is None
    assert fusion.added(replace(new, modality="smell")) is None
    assert Fusion(world(30)).added(new) is None


def test_nine_of_ten_scores_lie_in_their_interval():
    fusion, inside = Fusion(world(60, noise=0.25)), []
    for case in world(200, seed=7, noise=0.25):
        fused = fusion.expect(case)
        mean = fused.score(case.anchor)
        low, high = covered_range(mean, fused.deviation(mean, 0.0)[0])
        inside.append(low <= case.score <= high)
    assert 0.85 < np.mean(inside) < 0.95


def test_an_interval_has_more_room_below_a_high_score_than_above_it_and_none_beyond_its_ends():
    low, high = covered_range(0.95, 0.02)
    assert 0.95 - low > high - 0.95 > 0
    assert covered_range(0.5, 0.05) == pytest.approx((0.5 - 0.081, 0.5 + 0.081), abs=0.003)
    assert covered_range(1.0, 0.4)[1] == 1.0
    assert covered_range(0.0, 0.4)[0] == 0.0


@pytest.mark.parametrize("deviation", [0.01, 0.03, 0.05, 0.1])
def test_the_interval_of_a_perfect_score_of_few_rows_does_not_reach_across(deviation):
    for low, high in (covered_range(1.0, deviation), tuple(1 - end for end in covered_range(0.0, deviation)[::-1])):
        assert 1.0 == high > low >= 1 - 4.4 * deviation


def test_an_unknown_checkpoint_is_less_sure_than_a_known_one():
    fusion, case = Fusion(world(40)), world(1, seed=9)[0]
    assert fusion.expect(replace(case, checkpoint="stranger", body="strange")).own > fusion.expect(case).own


def test_what_learns_longer_or_from_more_than_was_ever_measured_is_less_sure_the_farther_it_lies():
    """All of the known have the same rows and epochs, so that no regression could tell what more of either does."""
    fusion, case = Fusion(world(40)), world(1, seed=9)[0]
    assert {(one.features["rows"], one.features["epochs"]) for one in fusion.cases} == {
        (case.features["rows"], case.features["epochs"])
    }

    def deviation(**beyond):
        return fusion.expect(replace(case, features={**case.features, **beyond})).own

    here, more, most = (deviation(epochs=float(np.log(epochs))) for epochs in (20, 80, 320))
    assert here < more < most
    assert here < deviation(rows=0.7) < deviation(rows=0.9)


def test_rows_that_more_families_were_measured_on_widen_less():
    def wider(samples):
        cases = world(samples)
        few = [replace(one, features={**one.features, "rows": 0.2}) for one in cases]
        fusion, case = Fusion([*cases, *few]), world(1, seed=9)[0]
        far, near = (fusion.expect(replace(case, features={**case.features, "rows": at})).own for at in (0.9, 0.35))
        return far - near

    assert 0 < wider(40) < wider(10)


def test_few_families_make_an_interval_as_much_wider_as_student_has_it():
    """With eight families no quantile of theirs covers nine of ten; with nine there is one."""
    ratio = [
        _calibration_of(world(families)) / _calibration_of(world(families), fewest=0) for families in (6, 8, 9, 20)
    ]
    assert ratio == pytest.approx([1.943 / 1.645, 1.860 / 1.645, 1, 1], rel=1e-3)


def _calibration_of(cases, fewest=fusion_module.FEWEST_FAMILIES):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(fusion_module, "FEWEST_FAMILIES", fewest)
        return Fusion(cases).expect(cases[0]).calibration


def test_a_modality_without_outcomes_gets_scale_free_features_a_wider_interval_and_is_told():
    fusion, case = Fusion(world(40)), world(1, seed=9)[0]
    elsewhere, here = fusion.expect(replace(case, modality="smell")), fusion.expect(case)
    assert elsewhere.elsewhere
    assert not here.elsewhere
    assert elsewhere.own > here.own
    assert not {"domain", "hscore", "probe", "checkpoint", "architecture"} & set(elsewhere.contributions)


def test_without_outcomes_it_says_nothing():
    assert Fusion(()).expect(world(1)[0]) is None
    assert Fusion(world(2)).expect(world(1)[0]) is None


def test_no_outcome_of_the_same_family_teaches_where_it_is_left_out():
    """Chance planted in a family's outcomes changes nothing for what was fitted without it."""
    cases = world(12)
    planted = [replace(case, score=0.5) if case.family == "s3" else case for case in cases]
    left_out = next(case for case in cases if case.family == "s3")
    fits = [Fusion([case for case in of if case.family != "s3"]) for of in (cases, planted)]
    assert fits[0].expect(left_out) == fits[1].expect(left_out)


def test_candidates_stand_beside_one_another_within_their_body_and_between_bodies():
    standings = {
        "a": Standing("a", "small", 0.5, nearer=0.9),
        "b": Standing("b", "small", 0.7, nearer=0.1),
        "c": Standing("c", "large", 0.8),
    }
    candidates = Candidates.beside(Fusion(()), standings, 0.4, 3, "image")
    a, b, c = (candidates.features[name] for name in "abc")
    assert a["probe"] == pytest.approx(-b["probe"])
    assert a["probe"] < 0
    assert a["domain"] == pytest.approx(0.4)
    assert c["probe"] == pytest.approx(0)
    assert "domain" not in c
    assert c["body"] > 0 > a["body"] == pytest.approx(b["body"])
    assert candidates.case("nobody", "lp-ft", Kind.TRAINING, 100, 5) is None


def test_rows_of_another_draw_have_their_own_probes_heads_and_rivals():
    known = {"family": "f", "classes": 4.0, "no_transfer": 0.4}
    first, second = ({**known, "probe": probe, "head": probe} for probe in (0.5, 0.7))
    outcomes = [
        published("a", {**first, "body": "small", "neighbors": 0.4}),
        published("b", {**first, "body": "small", "neighbors": 0.6}),
        published("a", {**second, "draw": 1.0, "epochs": 20.0}),
    ]
    a, b, again = Fusion.of(outcomes).cases
    assert [(case.anchor, case.head) for case in (a, b, again)] == [(0.5, 0.5), (0.5, 0.5), (0.7, 0.7)]
    assert a.features["neighbors"] == pytest.approx(-b.features["neighbors"])
    assert a.features["neighbors"] < 0 == again.features["neighbors"]
    assert again.body == "small"


def test_a_training_that_kept_its_head_adds_nothing_to_it():
    known = {"family": "f", "classes": 4.0, "no_transfer": 0.4, "probe": 0.7, "head": 0.75}
    outcomes = [published("a", {**known, "body": "small"}), published("b", {**known, "body": "small", "kept": 1.0})]
    heads = {case.checkpoint: (case.score, case.head) for case in Fusion.of(outcomes).cases}
    assert heads == {"a": (0.8, 0.75), "b": (0.8, 0.8)}


def test_from_scratch_an_expectation_starts_from_what_probes_of_the_body_come_to():
    standings = {"a": Standing("a", "one", 0.6), "b": Standing("b", "one", 0.8), "c": Standing("c", "other", 0.9)}
    candidates = Candidates.beside(Fusion(()), standings, 0.4, 4, "image")
    few, many = (candidates.case("a", "scratch", Kind.SCRATCH, 100, epochs) for epochs in (5, 20))
    assert few.anchor == many.anchor == candidates.case("b", "scratch", Kind.SCRATCH, 100, 5).anchor
    assert float(log_odds(few.anchor)) == pytest.approx(np.mean(log_odds(np.array([0.6, 0.8]))))
    assert candidates.case("c", "scratch", Kind.SCRATCH, 100, 5).anchor == pytest.approx(0.9)
    assert many.features["shown"] - few.features["shown"] == pytest.approx(np.log(4))


def test_a_scratch_run_of_a_draw_that_no_net_was_probed_on_starts_from_the_probes_of_another():
    known = {"body": "small", "family": "f", "classes": 4.0, "no_transfer": 0.4}
    probed = published("a", {**known, "probe": 0.7})
    bare = replace(
        published("random", {"body": "small", "draw": 1.0, "epochs": 20.0, "no_transfer": 0.5}), strategy="scratch"
    )
    stranger = replace(published("random", {"body": "other", "draw": 1.0, "epochs": 20.0}), strategy="scratch")
    _, case = Fusion.of([probed, bare, stranger]).cases
    assert (case.kind, case.anchor) == (Kind.SCRATCH, pytest.approx(0.7))


def test_of_a_run_from_scratch_that_was_expected_from_other_figures_nothing_is_learned():
    plan = {"from_scratch": True, "stages": ("one",)}
    features = {"level": 0.5, "classes": 1.0, "shown": 9.0}

    def ours(features):
        conditions = {"plan": plan, "basis": {"features": features, "anchor": 0.6, "body": "net"}}
        return replace(published("a", {}), strategy="scratch", origin=Origin.OURS, conditions=conditions)

    assert len(Fusion.of([ours(features)]).cases) == 1
    assert not Fusion.of([ours({"level": 0.5, "classes": 1.0})]).cases


def published(name, conditions):
    of = ("lp-ft", "digest", "sample", Task.CLASSIFICATION, Metric.ACCURACY, 0.8, None, 600, 1000, 1.0)
    return Outcome(str(conditions), name, *of, Origin.PUBLISHED, "", conditions={"weights": name, **conditions})


@pytest.mark.slow
def test_ten_thousand_outcomes_are_fitted_in_about_a_second_of_one_thread():
    cases = world(2500)
    began = time.process_time()
    assert Fusion(cases).expect(cases[0]) is not None
    assert time.process_time() - began < 4, "a second on a quiet machine; this one has neighbors"


def test_the_bundled_outcomes_tell_of_heads_trainings_and_scratch():
    fusion = Fusion.of(read_catalog(catalog_folder()).outcomes)
    kinds = {case.kind for case in fusion.cases}
    assert kinds == set(Kind)
    assert {case.kind for case in fusion.cases if case.strategy == "lp-ft"} == {Kind.TRAINING}
    assert all(np.isfinite([*case.features.values()]).all() for case in fusion.cases)
    own = next(case for case in fusion.cases if case.strategy == "lp-ft")
    assert isinstance(own, Case)
    assert 0 < fusion.expect(own).score(own.anchor) < 1
    assert fusion.measured("scratch", own.body, "image")


@pytest.mark.parametrize(
    ("strategy", "plan", "kind"),
    [
        ("linear-probe", None, Kind.HEAD),
        ("scratch", None, Kind.SCRATCH),
        ("anything", None, Kind.TRAINING),
        ("anything", {"stages": (), "from_scratch": False}, Kind.HEAD),
        ("anything", {"stages": ("one",), "from_scratch": True}, Kind.SCRATCH),
    ],
)
def test_what_a_strategy_does_is_read_off_its_plan(strategy, plan, kind):
    assert kind_of(strategy, plan) is kind
