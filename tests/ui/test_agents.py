"""Agents: the protocol's own client finds the tools, is answered in brief, and reads nothing outside the roots."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from mcp import Client, MCPError, StdioServerParameters

from recommender.requests import request_of
from recommender.serving.predict import AnswerForm, PredictedSpan, TaggedRow
from registry.cards import Task
from registry.forms import to_json
from registry.zoo import Zoo
from tests.recommender.tuning.test_words import sentences
from tests.ui.cases import advice, choice
from tests.ui.pictures import write_stripes
from ui import agents, job_queue
from ui.agents import create_server

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory):
    with Zoo.open(tmp_path_factory.mktemp("agents") / "home") as opened:
        yield opened


@pytest.fixture
def ask(zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Calls one tool of a server in this process; what is queued stays queued."""
    monkeypatch.setattr(job_queue, "_detach", lambda home, lane: None)
    server = create_server(zoo, [tmp_path], allow_tune=True)

    def call(tool: str, **fields: object) -> Any:
        async def once() -> Any:
            async with Client(server) as client:
                return await client.call_tool(tool, fields)

        return asyncio.run(once())

    return call


def tools_of(zoo: Zoo, *, allow_tune: bool) -> dict[str, Any]:
    async def once() -> Any:
        async with Client(create_server(zoo, [], allow_tune=allow_tune)) as client:
            return await client.list_tools()

    return {tool.name: tool for tool in asyncio.run(once()).tools}


def test_nothing_is_tuned_unless_that_is_allowed(zoo):
    reading, tuning = tools_of(zoo, allow_tune=False), tools_of(zoo, allow_tune=True)
    assert sorted(tuning.keys() - reading.keys()) == ["tune"]
    assert all(tool.description for tool in tuning.values())
    assert reading["explain"].annotations.read_only_hint
    assert not reading["recommend"].annotations.read_only_hint


def test_checkpoints_are_found_by_words_and_size(ask):
    answer = ask("search_checkpoints", words="resnet cifar", max_parameters=600_000).structured_content
    assert answer["matching"] >= 1
    assert all("resnet" in card["name"] for card in answer["checkpoints"])


def test_where_no_checkpoint_fits_it_is_said_what_to_ask_for(ask):
    assert ask("search_checkpoints", words="text minilm").structured_content["matching"] >= 1
    answer = ask("search_checkpoints", words="image minilm").structured_content
    assert (answer["matching"], "use fewer" in answer["hint"]) == (0, True)
    refused = ask("search_checkpoints", modality="video")
    assert refused.is_error
    assert "Known: image, text" in refused.content[0].text


def test_a_resource_that_is_not_there_is_named_with_the_known_ones(zoo, caplog):
    async def refused(uri: str) -> str:
        async with Client(create_server(zoo, [])) as client:
            with pytest.raises(MCPError) as error:
                await client.read_resource(uri)
        return str(error.value)

    assert "there is no recommendation named 'none'" in asyncio.run(refused("advice://none"))
    assert "there is no checkpoint named 'none'" in asyncio.run(refused("card://none"))
    assert "Traceback" not in caplog.text


def test_data_is_described_in_brief(ask, tmp_path):
    place = write_stripes(tmp_path)
    answer = ask("inspect_data", path=str(place)).structured_content
    assert (answer["modality"], answer["task"], len(answer["classes"])) == ("image", "classification", 3)
    assert len(json.dumps(answer)) < 2000


def test_advice_is_queued_and_its_job_can_be_asked_for(ask, tmp_path):
    place = write_stripes(tmp_path)
    job = ask("recommend", path=str(place), keep=1).structured_content
    assert job["state"] == "queued"
    assert ask("run_status", name=job["job"]).structured_content["kind"] == "recommend"


def kept_for(zoo: Zoo, place: Path, name: str, **more: object) -> str:
    """Advice of that id on a sample that is read as these fields say."""
    advised = advice(choice("pupil-minilm", 0.8, gain=0.2))
    sample = {**advised.sample, "origin": str(place), "modality": "text", "groups_from": None, **more}
    zoo.keep(replace(advised, id=name, sample=sample, settings={"seed": 0}))
    return name


def test_what_is_tuned_is_read_as_for_its_advice(ask, zoo, tmp_path):
    place, test = tmp_path / "pairs.csv", tmp_path / "test.csv"
    for path in (place, test):
        path.write_text("q,a,y\n" + "".join(f"what {row},that {row},{'ab'[row % 2]}\n" for row in range(20)))
    columns = {"text": "q", "text2": "a", "label": "y"}
    advised = kept_for(zoo, place, "a" * 16, columns=columns, test_from=str(test))
    job = ask("tune", recommendation=advised, path=str(place)).structured_content["job"]
    queued = request_of("tune", zoo.jobs.get(job).spec).sample
    assert (queued.text, queued.text2, queued.label, queued.test) == ("q", "a", "y", test)
    outside = kept_for(zoo, place, "b" * 16, columns=columns, test_from="/etc/passwd")
    assert "PathOutside" in ask("tune", recommendation=outside, path=str(place)).content[0].text


def test_of_pairs_the_second_text_is_named(ask, tmp_path):
    place = tmp_path / "pairs.csv"
    place.write_text("q,a,y\n" + "".join(f"what is {row},that {row} is,{'ab'[row % 2]}\n" for row in range(20)))
    answer = ask("inspect_data", path=str(place), text="q", text2="a", label="y").structured_content
    assert (answer["rows"], answer["task"]) == (20, "classification")


def test_of_labelled_words_an_agent_is_given_what_is_of_which_kind(ask, tmp_path, monkeypatch):
    words, tags = ("Ada", "Byron", "in", "Rome"), "B-PER I-PER O B-LOC"
    spans = (PredictedSpan("PER", 0, 2, "Ada Byron"), PredictedSpan("LOC", 3, 4, "Rome"))
    rows = (TaggedRow("a:1", tags, 0.7, (), words, spans), TaggedRow("a:2", "NOUN O", 0.6, (), ("dogs", "."), ()))
    form = AnswerForm("run", Task.TOKEN_CLASSIFICATION, ("O",), rows, None, (), ())
    monkeypatch.setattr(agents, "check_request", lambda *_: None)
    monkeypatch.setattr(agents, "perform", lambda *_: SimpleNamespace(to_dict=lambda: to_json(form)))
    answer = ask("predict", run="run", path=str(tmp_path)).structured_content
    assert answer["predictions"] == {"PER": 1, "LOC": 1, "NOUN": 1}
    assert [span["text"] for span in answer["first"][0]["spans"]] == ["Ada Byron", "Rome"]


@pytest.mark.parametrize(
    ("tool", "fields", "kind"),
    [
        ("inspect_data", {"path": "/etc"}, "PathOutside"),
        ("recommend", {"path": "/etc/../etc"}, "PathOutside"),
        ("explain", {"recommendation": "none"}, "UnknownName"),
        ("run_status", {"name": "none"}, "UnknownName"),
    ],
)
def test_what_is_refused_is_said_with_a_remedy(ask, tool, fields, kind):
    answer = ask(tool, **fields)
    assert answer.is_error
    assert kind in answer.content[0].text


def test_a_link_does_not_lead_out_of_the_roots(ask, tmp_path):
    (tmp_path / "way").symlink_to("/etc")
    assert "PathOutside" in ask("inspect_data", path=str(tmp_path / "way")).content[0].text


async def whole_path(client: Client, place: Path) -> dict[str, Any]:
    """From a folder to a tuned model and what it says."""

    async def call(tool: str, **fields: object) -> Any:
        answer = await client.call_tool(tool, fields)
        assert not answer.is_error, answer.content
        return answer.structured_content

    async def finished(job: str) -> Any:
        for _ in range(600):
            status = await call("run_status", name=job)
            if status["state"] in job_queue.OVER:
                assert status["state"] == "finished", status
                assert {"phase", "done"}.isdisjoint(status)
                return status
            await asyncio.sleep(0.5)
        raise AssertionError(job)

    assert (await call("inspect_data", path=str(place)))["rows"] > 0
    advised = await finished((await call("recommend", path=str(place), keep=1))["job"])
    explained = await call("explain", recommendation=advised["recommendation"])
    assert explained["choices"]
    assert explained["because"]
    assert explained["skipped"] + explained["not_here"] > 0
    assert len(json.dumps(explained)) < 6000
    resource = await client.read_resource(f"advice://{advised['recommendation']}")
    assert json.loads(resource.contents[0].text)["id"] == advised["recommendation"]
    tuned = await finished((await call("tune", recommendation=advised["recommendation"], path=str(place)))["job"])
    status = await call("run_status", name=tuned["run"])
    assert status["metrics"]["score"] > 0
    return await call("predict", run=tuned["run"], path=str(place))


def command_of(folder: Path, *more: str) -> list[str]:
    return ["-m", "ui.cli", "mcp", "--root", str(folder), "--allow-tune", "--home", str(folder / "home"), *more]


@contextmanager
def over_stdio(folder: Path) -> Iterator[StdioServerParameters]:
    env = dict(os.environ) | {"PYTHONPATH": str(ROOT)}
    yield StdioServerParameters(command=sys.executable, args=command_of(folder), cwd=ROOT, env=env)


@contextmanager
def over_http(folder: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = dict(os.environ) | {"PYTHONPATH": str(ROOT)}
    server = subprocess.Popen([sys.executable, *command_of(folder, "--http", str(port))], cwd=ROOT, env=env)
    try:
        deadline = time.monotonic() + 120
        while server.poll() is None and time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        server.terminate()
        server.wait(60)


@pytest.mark.parametrize("transport", [over_stdio, pytest.param(over_http, marks=pytest.mark.long)])
def test_an_agent_goes_from_a_folder_to_a_tuned_model(tmp_path, transport):
    place = write_stripes(tmp_path)

    async def once(server: Any) -> dict[str, Any]:
        async with Client(server) as client:
            return await whole_path(client, place)

    with transport(tmp_path) as server:
        predicted = asyncio.run(once(server))
    assert predicted["rows"] == len([*place.rglob("*.png")])


def test_an_agent_goes_from_labelled_words_to_what_a_tuned_model_marks(tmp_path):
    place, (words, tags) = tmp_path / "rows", sentences(80, 1)
    place.mkdir()
    for name, part in (("train", slice(60)), ("test", slice(60, 80))):
        rows = zip(words[part], tags[part], strict=True)
        (place / f"{name}.conll").write_text("".join("".join(map("{} {}\n".format, *row)) + "\n" for row in rows))

    async def once(server: Any) -> dict[str, Any]:
        async with Client(server) as client:
            return await whole_path(client, place)

    with over_stdio(tmp_path) as server:
        predicted = asyncio.run(once(server))
    assert {"PER", "LOC"} >= predicted["predictions"].keys()
    assert all({"kind", "start", "end", "text"} == span.keys() for row in predicted["first"] for span in row["spans"])


def test_over_http_a_page_of_another_site_is_not_let_in(tmp_path):
    with over_http(tmp_path) as address:
        for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
            answer = httpx2.post(address, json={"jsonrpc": "2.0", "id": 1, "method": "ping"}, headers=headers)
            assert answer.status_code in {400, 403, 421}, headers
