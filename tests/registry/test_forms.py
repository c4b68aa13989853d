"""A record comes back from its JSON form as it was, and what is no form of it is named with the key."""

import json
from dataclasses import replace

import pytest

from recommender.results import Plan, RecommendationForm, TuningRun
from registry.errors import UnreadableForm
from registry.forms import from_json, to_json
from tests.ui.cases import advice, choice


def through_json(form):
    return from_json(type(form), json.loads(json.dumps(to_json(form))))


def test_a_plan_comes_back_as_it_was():
    plan = choice("a", 0.8, gain=0.3, tuned=True).plan
    assert through_json(plan) == plan


def test_advice_comes_back_as_it_was_kept():
    form = advice(choice("a", 0.8, gain=0.3, tuned=True), choice("b", 0.7, gain=0.2, distance=None)).to_form()
    assert through_json(form) == form


def test_a_run_knows_its_schema_and_comes_back_without_it():
    run = TuningRun("run", None, "net", "lp-ft", {"score": 0.9}, "/runs/run", ("a note",))
    assert run.to_dict()["schema"] == 1
    assert from_json(TuningRun, run.to_dict()) == run


def test_what_earlier_versions_did_not_keep_has_its_default():
    kept = to_json(advice(choice("a", 0.8, gain=0.3)).to_form())
    for key in ("shift", "rivals", "not_probed"):
        del kept[key]
    del kept["choices"][0]["realized"], kept["choices"][0]["plan"]["mixup"]
    form = from_json(RecommendationForm, {**kept, "of the future": 1})
    assert (form.shift, form.rivals, form.choices[0].realized, form.choices[0].plan.mixup) == (None, (), (), 0.0)


@pytest.mark.parametrize(("key", "value"), [("stages", [{"train": 1}]), ("batch_size", "many"), ("because", None)])
def test_what_is_no_form_of_a_record_is_named_with_its_key(key, value):
    kept = to_json(choice("a", 0.8, gain=0.3).plan)
    with pytest.raises(UnreadableForm) as caught:
        from_json(Plan, {**kept, key: value})
    assert caught.value.key.startswith(key)
    assert "no Plan" in str(caught.value)


def test_records_are_frozen_and_made_anew():
    plan = choice("a", 0.8, gain=0.3).plan
    assert to_json(replace(plan, batch_size=7))["batch_size"] == 7
