"""The model card of what a run made."""

import json
from dataclasses import replace

import pytest

from recommender.requests import ExportRequest
from recommender.runs.folder import RunFolder
from recommender.service import perform
from recommender.serving.card import model_card, write_card
from recommender.serving.export import Exported
from registry.cards import Locator
from registry.errors import HubRefused, NotFinished
from registry.hub import front_matter
from registry.zoo import Zoo
from tests.fakes.hub import served
from tests.recommender.tuning.runs import finished_run
from tests.registry.encoders.nets import change
from tests.registry.fakes import a_catalog, a_checkpoint

DIGEST = "ab" * 32
RUN = {
    "id": "r1",
    "checkpoint": "net",
    "strategy": "lp-ft",
    "metrics": {
        "score": 0.75,
        "standard_error": 0.02,
        "expected_mean": 0.7,
        "expected_low": 0.6,
        "expected_high": 0.8,
    },
    "notes": ["<b>bold</b> | and `code`"],
    "task": "classification",
    "sample": {
        "name": "cells",
        "digest": DIGEST,
        "modality": "image",
        "metric": "accuracy",
        "rows": 80,
        "test_rows": 20,
        "origin": "/home/somebody/cells",
    },
    "classes": ["a|b", "# c"],
    "plan": {
        "strategy": "lp-ft",
        "read": "block 02",
        "frozen": ["block 01"],
        "stages": [{"train": ["block 02"], "epochs": 6}],
    },
    "conditions": {},
    "versions": {"transferzoo": "0.1.0"},
}


@pytest.fixture
def run(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps(RUN))
    (tmp_path / "job.json").write_text(json.dumps({"seed": 7}))
    return RunFolder(tmp_path)


@pytest.fixture
def exported(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return Exported("r1", folder, "transformers", "ResNet", ("a", "b"), 0.0, (), "AutoModelForImageClassification")


@pytest.fixture
def start(tmp_path):
    locator = Locator("org/net", "main", "cd" * 20)
    card = a_checkpoint(tmp_path / "start")
    return replace(card, name="net", license="MIT", lineage=("photos",), locator=locator)


def test_it_says_data_score_with_interval_strategy_lineage_license_seed_and_how_to_load(run, exported, start):
    write_card(run, exported, start)
    card = (exported.folder / "README.md").read_text()
    front = front_matter(card)
    assert (front["license"], front["base_model"], front["pipeline_tag"]) == ("mit", "org/net", "image-classification")
    (result,) = front["model-index"][0]["results"]
    assert result["dataset"]["revision"] == DIGEST
    assert result["metrics"] == [{"type": "accuracy", "value": 0.75}]
    for words in (DIGEST, "75.0 %", "71.7 to 78.3 %", "lp-ft", "photos", "seed | 7", "cd" * 20, "6 epochs of block 02"):
        assert words in card
    assert "AutoModelForImageClassification.from_pretrained(FOLDER)" in card


def test_no_path_of_this_machine_and_no_markup_of_strangers_is_in_it(run, exported, start):
    card = model_card(run, exported, start)
    assert "/home" not in card
    assert "<b>" not in card
    assert "a\\|b, \\# c" in card


def test_no_control_and_no_override_of_a_stranger_is_in_it(run, exported, start, tmp_path):
    acts = "\x1b[2J\u202egnp"
    record = {**RUN, "classes": [acts, "b"], "notes": [acts], "sample": {**RUN["sample"], "name": acts}}
    (tmp_path / "run.json").write_text(json.dumps(record))
    card = model_card(run, exported, replace(start, name=acts, license=f"MIT {acts}", lineage=(acts,)))
    assert "\x1b" not in card
    assert "\u202e" not in card
    assert "\\\\x1b" in card


def test_an_unknown_license_is_said_and_an_odd_one_named(run, exported, start):
    assert front_matter(model_card(run, exported, None))["license"] == "unknown"
    odd = front_matter(model_card(run, exported, replace(start, license="MIT AND Apache-2.0")))
    assert (odd["license"], odd["license_name"]) == ("other", "MIT AND Apache-2.0")


def test_a_model_without_transfer_is_said_to_come_from_no_checkpoint(run, exported, tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({**RUN, "checkpoint": "no transfer"}))
    card = model_card(run, exported, None)
    assert "from no checkpoint" in card
    assert "no weights of others" in card
    assert "known any longer" not in card
    assert front_matter(card)["license"] == "unknown"


def test_a_run_that_has_not_finished_has_none(tmp_path, exported):
    with pytest.raises(NotFinished):
        model_card(RunFolder(tmp_path / "none"), exported, None)


@pytest.mark.slow
def test_what_is_exported_is_uploaded_with_its_card_as_a_private_repository(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    with served() as hub, Zoo.open(tmp_path / "home", catalog=a_catalog(tmp_path / "catalog")) as zoo:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        request = ExportRequest(run="latest", folder=tmp_path / "out", push="me/mine")
        change(finished_run(zoo.home.runs / "r1").path, "run.json", checkpoint="net", strategy="linear-probe")
        monkeypatch.delenv("HF_TOKEN", raising=False)
        with pytest.raises(HubRefused):
            perform(request, zoo)
        assert not (tmp_path / "out").exists()
        hub.token = "hf_" + "secret"
        monkeypatch.setenv("HF_TOKEN", hub.token)
        exported = perform(request, zoo)
        assert exported.pushed == f"{hub.address}/me/mine"
        repository = hub.repositories["me/mine"]
        assert repository.private
        assert {"README.md", "config.json", "model.safetensors"} <= set(repository.files)
        assert b"transferzoo" in repository.files["README.md"]
        assert not any(hub.token.encode() in content for content in repository.files.values())
