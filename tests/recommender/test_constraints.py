import pytest

from recommender import recommend
from recommender.constraints import Constraints, Objection, relaxation
from recommender.results import Cost
from registry.errors import NoCandidates
from registry.listings import Fact
from tests.recommender.planted import Reader, planted_sample, planted_zoo
from tests.registry.test_listings import a_listing

MIB = 1 << 20


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    return planted_zoo(tmp_path_factory.mktemp("zoo"), {"reader": (Reader("reader", (0, 1)), "gray")})


def advise(zoo, **limits):
    return recommend(planted_sample(60, (0.95, 0.9)), zoo, constraints=Constraints(**limits))


def refused(zoo, **limits):
    with pytest.raises(NoCandidates) as caught:
        advise(zoo, **limits)
    return caught.value.remedy


def test_limits_that_all_are_within_leave_nothing_out(zoo):
    wide = advise(zoo, max_bytes=10**9, max_latency=10**6, max_memory=10**12, tuning_budget=10**6)
    assert {c.checkpoint.name for c in wide.choices} == {"reader", "mean-color"}
    assert wide.settings["tuning_budget"] == 10**6
    assert Constraints().of_cost == {}


def test_bytes_of_the_weights_are_those_of_the_file(zoo):
    card = zoo.checkpoint("reader")
    stored = (card.folder / "model.safetensors").stat().st_size
    assert zoo.weights_bytes(card) == stored
    assert Constraints(max_bytes=stored).objection(card, zoo) is None
    assert "of weights, more than" in Constraints(max_bytes=stored - 1).objection(card, zoo)


def test_where_nothing_is_left_the_remedy_names_the_limit_and_the_value_that_would_do(zoo):
    assert refused(zoo, max_bytes=1).startswith("Relax: --max-bytes 1MiB admits ")
    assert refused(zoo, max_parameters=1).startswith("Relax: --max-parameters 3 admits ")
    assert refused(zoo, max_memory=MIB).startswith("Relax: --max-memory ")
    assert refused(zoo, tuning_budget=1e-6).startswith("Relax: --tuning-budget 1 admits ")
    assert refused(zoo, max_latency=1e-6).startswith("Relax: --max-latency ")


def test_a_remedy_that_was_typed_admits_what_it_names(zoo):
    _, option, value, *_, name = refused(zoo, max_memory=MIB).rstrip(".").split()
    assert option == "--max-memory"
    advice = advise(zoo, max_memory=int(value.removesuffix("MiB")) * MIB)
    assert name in {choice.checkpoint.name for choice in advice.choices}


def test_the_limit_nearest_to_admitting_something_is_named_for_each_kind():
    memory, near = Objection("--max-memory", "", 900 * MIB), Objection("--max-memory", "", 700 * MIB)
    license = Objection("--license", "", license="MIT")
    report = relaxation([("far", [memory]), ("near", [near]), ("other", [license]), ("both", [memory, license])])
    assert report == "Relax: --max-memory 700MiB admits near; or --license 'MIT' admits other."


def test_where_no_value_would_help_nothing_is_promised():
    assert relaxation([("one", [Objection("--license", "license unknown")])]) == ""
    assert relaxation([]) == ""


@pytest.mark.slow
def test_a_plan_that_costs_too_much_gives_way_to_a_cheaper_one_of_the_same_checkpoint(tmp_path):
    zoo = planted_zoo(tmp_path, {"overgrown": (Reader("overgrown", (0, 1)), None)})
    sample = planted_sample(2000, (0.9, 0.55))
    free = next(c for c in recommend(sample, zoo, keep=1).choices if c.checkpoint.name == "overgrown")
    assert free.plan.strategy == "lp-ft"
    limit = free.cost.peak_memory_bytes - 1
    bound = recommend(sample, zoo, keep=1, constraints=Constraints(max_memory=limit))
    within = next(c for c in bound.choices if c.checkpoint.name == "overgrown")
    assert within.plan.strategy == "linear-probe"
    assert within.cost.peak_memory_bytes <= limit
    assert within.because[0].startswith("lp-ft is out")


def test_what_is_unknown_is_within_no_limit(zoo):
    bare = a_listing(facts={"license": (Fact("mit", "a page"),)})
    assert "unknown" in Constraints(max_parameters=10).objection(bare, zoo)
    assert "unknown" in Constraints(max_bytes=10).objection(bare, zoo)
    assert "unknown" in Constraints(licenses=("mit",)).objection(bare, zoo)


def test_a_cost_says_where_it_runs_and_what_is_to_be_fetched():
    assert Cost(1.0, 2, 3).to_dict() == {
        "seconds": 1.0,
        "peak_memory_bytes": 2,
        "trainable_parameters": 3,
        "device": "cpu",
        "bytes_to_fetch": 0,
    }
