"""A request holds what it may hold, names what is wrong otherwise, and is the same in every process."""

import json
import pickle
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from recommender.requests import (
    LIMITS,
    REQUESTS,
    AddRequest,
    BenefitRequest,
    DiskRequest,
    FetchRequest,
    LockRequest,
    RecommendRequest,
    RemoveRequest,
    SampleRequest,
    SearchRequest,
    SyncRequest,
    TuneRequest,
    choice_request,
    recommend_request,
    request_of,
)
from registry.errors import UnknownName, UnusableRequest
from registry.store import Store
from registry.store.schema import now
from tests.ui.cases import advice, choice
from ui.render.commands import program
from ui.reproduce import as_command

SAMPLE = SampleRequest(path="/data/a b", labels="t.csv", task="regression", limit=10, seed=3)


@pytest.mark.parametrize(
    "request_",
    [
        RecommendRequest(sample=SAMPLE, keep=2, licenses=("mit",), exclude=("x",)),
        TuneRequest(sample=SAMPLE, checkpoint="net", controls=False, source_data="~/source"),
        *(REQUESTS[kind](run="latest", path="x") for kind in ("predict",)),
        REQUESTS["export"](run="latest", folder="out", onnx=True),
    ],
)
def test_a_request_comes_back_from_json_and_from_another_process_as_it_was(request_):
    assert request_of(request_.kind, json.loads(json.dumps(request_.to_json()))) == request_
    assert pickle.loads(pickle.dumps(request_)) == request_  # noqa: S301 - written in the same line


def test_every_path_is_absolute_and_a_name_that_is_no_text_is_kept():
    sample = SampleRequest(path="data", test="/odd-\udce9")
    assert (sample.path, sample.labels) == (Path.cwd() / "data", None)
    back = request_of("recommend", json.loads(json.dumps(RecommendRequest(sample=sample).to_json())))
    assert back.sample.test == Path("/odd-\udce9")


@pytest.mark.parametrize(
    ("form", "fields", "field", "remedy"),
    [
        (RecommendRequest, {"sample": {"path": "x"}, "keep": 0}, "keep", "Correct it"),
        (RecommendRequest, {"sample": {"path": "x"}, "kep": 3}, "kep", "Did you mean 'keep'?"),
        (RecommendRequest, {}, "sample", "Correct it"),
        (RecommendRequest, {"sample": {"path": "x", "metric": "acuracy"}}, "metric", "Did you mean 'accuracy'?"),
        (RecommendRequest, {"sample": {"path": "x", "seed": -1}}, "seed", "Correct it"),
        (SampleRequest, {"path": "x", "task": "clustering"}, "task", "Known: classification"),
        (SampleRequest, {"path": "x", "limit": 0}, "limit", "Correct it"),
        (BenefitRequest, {"sample": {"path": "x"}, "budgets": 13}, "budgets", "Correct it"),
        (TuneRequest, {"sample": {"path": "x"}, "device": ""}, "device", "Correct it"),
    ],
)
def test_a_field_that_does_not_fit_is_named_with_a_remedy(form, fields, field, remedy):
    with pytest.raises(UnusableRequest) as caught:
        form(**fields)
    assert caught.value.field == field
    assert remedy in caught.value.remedy


def test_no_transfer_and_a_checkpoint_at_once_is_refused():
    with pytest.raises(UnusableRequest, match="goes with neither"):
        TuneRequest(sample=SAMPLE, no_transfer=True, checkpoint="net")


def test_a_request_of_an_unknown_kind_gets_a_hint():
    with pytest.raises(UnknownName) as caught:
        request_of("tunes", {})
    assert "Did you mean 'tune'?" in caught.value.remedy


def test_kept_advice_tells_what_gives_it_again_and_what_carries_it_out():
    kept = advice(choice("a", 0.8, gain=0.3), choice("b", 0.7, gain=0.2)).to_dict()
    again = recommend_request(kept)
    assert (again.sample.path, again.sample.groups) == (Path("/data/surfaces"), Path("/data/groups.csv"))
    carried_out = choice_request(kept, 1)
    assert (carried_out.checkpoint, carried_out.recommendation) == ("b", kept["id"])
    assert choice_request(kept, None).no_transfer
    assert choice_request({**kept, "sample": {**kept["sample"], "limit": 400}}).sample.limit == 400


def test_a_job_that_was_kept_as_a_typed_command_is_a_request_after_the_migration(tmp_path):
    engine = sa.create_engine(f"sqlite:///{tmp_path}/registry.db")
    config = Config()
    config.set_main_option("script_location", "registry.store:migrations")
    spec = {"path": "/data", "keep": "3", "license": ["mit"], "keep-duplicates": True, "max-parameters": "5"}
    row = dict.fromkeys(("stage", "host"), "") | dict.fromkeys(("done", "of", "pid"), 0)
    row |= {"id": "a", "key": "k", "kind": "recommend", "spec": json.dumps(spec), "state": "queued"}
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        old = sa.Table("jobs", sa.MetaData(), autoload_with=connection)
        connection.execute(sa.insert(old).values({**row, "created": now(), "heartbeat": now()}))
    engine.dispose()
    (kept,) = Store.open(tmp_path / "registry.db").jobs.list()
    sample = SampleRequest(path="/data", keep_duplicates=True)
    expected = RecommendRequest(sample=sample, keep=3, max_parameters=5, licenses=("mit",))
    assert request_of(kept.kind, kept.spec) == expected


@pytest.mark.parametrize(
    ("typed", "size"), [("100", 100), ("1kB", 1000), ("2 GiB", 2 << 30), ("1.5MiB", 3 << 19), ("700M", 700_000_000)]
)
def test_a_size_is_read_in_the_units_that_people_type(tmp_path, typed, size):
    assert RecommendRequest(sample=SampleRequest(path=tmp_path), max_memory=typed).max_memory == size


@pytest.mark.parametrize(("typed", "seconds"), [("90", 90), ("90s", 90), ("10min", 600), ("1.5 h", 5400)])
def test_a_time_is_read_in_the_units_that_people_type(tmp_path, typed, seconds):
    assert RecommendRequest(sample=SampleRequest(path=tmp_path), tuning_budget=typed).tuning_budget == seconds


@pytest.mark.parametrize("field", [*LIMITS, "disk_budget"])
@pytest.mark.parametrize("wrong", ["banana", "10parsecs", "2x", "", -1, 0, float("nan"), float("inf"), [1]])
def test_a_limit_that_is_none_is_named_with_its_option_and_how_it_is_written(tmp_path, field, wrong):
    with pytest.raises(UnusableRequest, match=field) as caught:
        RecommendRequest(sample=SampleRequest(path=tmp_path), **{field: wrong})
    option = f"--{field.replace('_', '-')}"
    assert caught.value.remedy.startswith("Write a number of ")
    assert option in caught.value.remedy


@pytest.mark.parametrize(
    ("request_", "typed"),
    [
        (AddRequest(hub="org/net@v1", name="mine", weights="now"), "zoo add org/net@v1 --name mine --weights now"),
        (SearchRequest(words="net", add="1,3", sort="likes"), "zoo search net --sort likes --add 1,3"),
        (FetchRequest(names=("a", "b")), "zoo fetch a b"),
        (SyncRequest(locked="/a.lock", source=("/x", "/y")), "zoo sync --locked /a.lock --from /x --from /y"),
        (RemoveRequest(name="net", weights=True), "zoo remove net --weights"),
        (DiskRequest(), "zoo disk"),
        (LockRequest(file="/a.lock"), "zoo lock /a.lock"),
    ],
)
def test_what_is_asked_of_a_hub_is_a_request_like_any_other(request_, typed):
    assert request_of(request_.kind, json.loads(json.dumps(request_.to_json()))) == request_
    assert as_command(request_) == f"{program('transferzoo')} {typed}"


@pytest.mark.parametrize(
    ("form", "fields", "words"),
    [
        (AddRequest, {}, "give a folder"),
        (AddRequest, {"hub": "org/net", "folder": "x"}, "give a folder"),
        (AddRequest, {"hub": "org/net", "source_data": "x"}, "--source-data goes with a folder"),
        (AddRequest, {"hub": "org/net", "weights": "nwo"}, "there is no 'nwo'"),
        (SearchRequest, {"add": "1,x"}, "'x' does not do"),
        (SearchRequest, {"add": "0"}, "'0' does not do"),
        (SearchRequest, {"sort": "download"}, "there is no 'download'"),
        (FetchRequest, {"names": ()}, "does not do"),
        (SyncRequest, {"source": ("x",)}, "--from goes with --locked"),
    ],
)
def test_what_does_not_go_together_about_a_hub_is_named(form, fields, words):
    with pytest.raises(UnusableRequest, match=words):
        form(**fields)
