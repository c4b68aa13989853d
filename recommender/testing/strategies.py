"""What every strategy promises. A plug-in subclasses `StrategyContract` and gives its `strategy` and its `name`."""

import json
from typing import Any

import pytest

from recommender.results import Plan
from recommender.strategies import EvidencedStrategy
from recommender.testing.evidence import evidence
from registry.errors import NotOffered
from registry.forms import from_json

CASES: dict[str, dict[str, Any]] = {
    "ordinary": {},
    "two blocks": {"curve": (0.4, 0.5)},
    "one block": {"curve": (0.4,)},
    "early best": {"curve": (0.5, 0.9, 0.7, 0.4)},
    "a handful of rows": {"rows": 20, "classes": 5},
    "two rows": {"rows": 2, "classes": 2},
    "many rows": {"rows": 50_000, "classes": 100},
    "eight blocks": {"curve": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)},
}


class StrategyContract:
    """The laws; every test takes the strategy under test and its name."""

    @pytest.fixture
    def modality(self):
        """What the items are; another one for a strategy that images have nothing for."""
        return "image"

    @pytest.fixture(params=sorted(CASES))
    def offer(self, request, strategy, modality):
        """What is seen and the plan made of it; cases that are not offered must say why."""
        known = evidence(**CASES[request.param], modality=modality)
        try:
            return known, strategy(known)
        except NotOffered as refusal:
            pytest.skip(f"not offered: {refusal.why}")

    @pytest.mark.parametrize("case", sorted(CASES))
    def test_a_refusal_says_why(self, strategy, case, modality):
        try:
            strategy(evidence(**CASES[case], modality=modality))
        except NotOffered as refusal:
            assert len(refusal.why.split()) > 2  # noqa: PT017 - most cases are offered

    def test_it_is_offered_in_an_ordinary_case(self, strategy, name, modality):
        assert strategy(evidence(modality=modality)).strategy == name

    def test_what_it_states_of_its_gain_can_be(self, strategy):
        if not isinstance(strategy, EvidencedStrategy):
            pytest.skip("it states nothing of its gain")
        stated = strategy.gain(evidence())
        assert -1 <= stated.share <= 1
        assert stated.spread >= 0
        assert stated.cases >= 0
        assert stated.source.strip()

    def test_it_never_freezes_more_than_there_is(self, offer):
        known, planned = offer
        assert set(planned.frozen) <= set(known.blocks)
        assert planned.read in known.blocks

    def test_what_is_frozen_is_never_trained(self, offer):
        _, planned = offer
        assert not set(planned.frozen) & {block for stage in planned.stages for block in stage.train}

    def test_every_block_that_is_read_through_is_either_frozen_or_trained(self, offer):
        known, planned = offer
        trained = {block for stage in planned.stages for block in stage.train}
        through = known.blocks[: known.blocks.index(planned.read) + 1]
        assert set(through) <= trained | set(planned.frozen) or planned.pretraining
        assert trained <= set(through)

    def test_it_says_why(self, offer):
        _, planned = offer
        assert planned.because
        assert all(reason.strip() for reason in planned.because)

    def test_rates_and_lengths_are_positive(self, offer):
        _, planned = offer
        assert planned.batch_size > 0
        for stage in planned.stages:
            assert stage.epochs > 0
            assert stage.head_rate > 0
            assert stage.backbone_rate >= 0
            assert 0 < stage.layer_decay <= 1

    def test_the_head_starts_in_a_known_way(self, offer):
        _, planned = offer
        assert planned.head in {"logistic", "fresh", "prototype", "neighbors"}
        assert planned.head in {"logistic", "fresh"} if planned.stages else planned.head != "fresh"

    def test_blocks_learn_together_from_the_top_of_what_is_read_or_say_which_part_does(self, offer):
        known, planned = offer
        for stage in planned.stages:
            places = [known.blocks.index(block) for block in stage.train]
            assert places == list(range(places[0], places[0] + len(places)))

    def test_the_plan_comes_back_from_its_json(self, offer):
        _, planned = offer
        assert from_json(Plan, json.loads(json.dumps(planned.to_dict()))) == planned

    def test_the_same_evidence_gives_the_same_plan(self, strategy, modality):
        plans = [strategy(evidence(modality=modality)) for _ in range(2)]
        assert isinstance(plans[0], Plan)
        assert plans[0] == plans[1]

    def test_the_plan_can_be_told_as_json(self, offer):
        _, planned = offer
        assert json.loads(json.dumps(planned.to_dict()))["strategy"] == planned.strategy
