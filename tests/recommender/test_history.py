"""What earlier outcomes teach, shrunk by their number."""

import pytest

from recommender.history import PROBE_SPREAD, SHARE, SHARE_SPREAD, History
from registry.cards import Metric, Origin, Outcome, Task

HALF = 50


def outcome(score: float, probe: float, *, digest: str = "other", strategy: str = "lp-ft", name: str = "a") -> Outcome:
    return Outcome(
        f"{score}-{probe}-{digest}",
        name,
        strategy,
        digest,
        "set",
        Task.CLASSIFICATION,
        Metric.ACCURACY,
        score,
        0.01,
        100,
        100,
        1.0,
        Origin.OURS,
        "2026-01-01T00:00:00Z",
        conditions={"probe": probe},
    )


def test_without_outcomes_the_prior_speaks() -> None:
    learned = History(()).error_removed("lp-ft", "mine", HALF)
    assert (learned.mean, learned.spread, learned.outcomes) == (SHARE, SHARE_SPREAD, 0)
    assert History(()).probe_error("mine").spread == PROBE_SPREAD


def test_ten_outcomes_are_trusted_half() -> None:
    learned = History(tuple(outcome(0.9, 0.8) for _ in range(10))).error_removed("lp-ft", "mine", HALF)
    assert learned.mean == pytest.approx(0.5 * SHARE + 0.5 * 0.5 * (100 + HALF) / 100)
    assert learned.spread < SHARE_SPREAD


def test_what_few_rows_removed_is_what_ample_rows_would_have_removed_within_their_reach() -> None:
    few = History(tuple(outcome(0.9, 0.8) for _ in range(1000))).error_removed("lp-ft", "mine", HALF)
    assert few.mean * 100 / (100 + HALF) == pytest.approx(0.5, abs=0.01)


def test_outcomes_of_the_same_sample_do_not_correct_but_are_found() -> None:
    history = History((outcome(0.9, 0.1, digest="mine"),))
    assert history.error_removed("lp-ft", "mine", HALF).outcomes == 0
    assert [o.score for o in history.on("mine", "a", Metric.ACCURACY)] == [0.9]
    assert history.on("mine", "b", Metric.ACCURACY) == ()
    assert history.on("mine", "a", Metric.MACRO_F1) == ()


def test_a_probe_that_promised_too_much_lowers_the_next() -> None:
    history = History(tuple(outcome(0.5, 0.7, strategy="linear-probe") for _ in range(30)))
    assert history.probe_error("mine").mean == pytest.approx(-0.2 * 30 / 40)


def test_a_perfect_probe_leaves_no_error_to_remove() -> None:
    assert History((outcome(1.0, 1.0),)).error_removed("lp-ft", "mine", HALF).outcomes == 0


def test_a_checkpoint_is_not_the_better_for_having_been_tried_on_easier_samples() -> None:
    easy = [outcome(0.95, 0.9, digest="easy", name="a"), outcome(0.97, 0.9, digest="easy", name="b")]
    hard = [outcome(0.60, 0.5, digest="hard", name="b"), outcome(0.50, 0.5, digest="hard", name="c")]
    history = History((*easy, *hard))
    assert history.advantage("a") < 0 < history.advantage("b")
    assert history.advantage("never tried") == 0
