import pytest

from recommender.strategies import strategies
from registry.errors import NotOffered
from tests.recommender.evidence import evidence

EARLY = {"curve": (0.5, 0.9, 0.7, 0.6)}


@pytest.mark.parametrize("name", ["linear-probe", "lp-ft"])
def test_the_last_block_is_read_unless_an_earlier_one_is_better_beyond_chance(name):
    strategy = strategies[name]
    assert strategy(evidence()).read == "block 04"
    assert strategy(evidence(**EARLY)).read == "block 02"
    assert strategy(evidence(curve=(0.5, 0.61, 0.6), error=0.02)).read == "block 03"


@pytest.mark.parametrize("name", ["linear-probe", "lp-ft"])
def test_the_reason_names_both_blocks_and_their_scores(name):
    told = " ".join(strategies[name](evidence(**EARLY)).because)
    assert all(word in told for word in ("block 02", "0.900", "block 04", "0.600"))


def test_a_linear_probe_trains_no_block():
    plan = strategies["linear-probe"](evidence())
    assert plan.stages == ()
    assert plan.frozen == evidence().blocks
    assert plan.head == "logistic"


def test_lp_ft_starts_from_the_fitted_head():
    assert strategies["lp-ft"](evidence()).head == "logistic"


def test_a_larger_backbone_learns_more_slowly():
    rates = [strategies["lp-ft"](evidence(parameters=n)).stages[0].backbone_rate for n in (400_000, 10**6, 10**8)]
    assert rates == [pytest.approx(rate) for rate in (1e-3, 1e-3, 1e-4)]


def test_lp_ft_leaves_blocks_above_the_one_that_is_read_alone():
    plan = strategies["lp-ft"](evidence(**EARLY))
    assert plan.stages[0].train == ("block 01", "block 02")
    assert plan.frozen == ("block 03", "block 04")


def test_scratch_forgets_the_source():
    plan = strategies["scratch"](evidence(**EARLY))
    assert plan.from_scratch
    assert plan.head == "fresh"
    assert plan.read == "block 04"


@pytest.mark.parametrize("name", ["lp-ft", "scratch"])
def test_a_handful_of_rows_is_not_trained_on(name):
    with pytest.raises(NotOffered, match="20 rows for 5 classes are too few"):
        strategies[name](evidence(rows=20, classes=5))
    assert strategies[name](evidence(rows=25, classes=5)).stages


def test_few_rows_are_shown_more_often():
    epochs = [strategies["lp-ft"](evidence(rows=rows)).stages[0].epochs for rows in (50, 200, 600, 5000)]
    assert epochs == [20, 15, 5, 5]
    assert strategies["scratch"](evidence(rows=200)).stages[0].epochs == 15
