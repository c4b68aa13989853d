"""The service over HTTP: who is admitted, what is taken, what is answered."""

import asyncio
import io
import json
import logging
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from starlette.exceptions import HTTPException

from recommender.requests import RecommendRequest, SampleRequest, place_of
from recommender.runs.folder import RunFolder
from registry.cards import Scope
from registry.errors import RequestRefused
from registry.zoo import Zoo
from tests.ui.pictures import write_stripes
from ui import job_queue
from ui.uploads import clear_folders
from ui.web import gate
from ui.web.app import create_app
from ui.web.bodies import PredictBody, RecommendBody, TuneBody
from ui.web.gate import Limits
from ui.web.samples import Samples

HERE = "http://127.0.0.1:8600"


@pytest.fixture
def zoo(new_home: Path) -> Iterator[Zoo]:
    with Zoo.open(new_home) as opened:
        yield opened


@pytest.fixture(autouse=True)
def nobody_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is queued stays queued."""
    monkeypatch.setattr(job_queue, "_detach", lambda home, lane: None)


@pytest.fixture
def client(zoo: Zoo) -> TestClient:
    return TestClient(create_app(zoo, keyless=True), HERE, raise_server_exceptions=False)


def guarded(zoo: Zoo, limits: Limits | None = None) -> TestClient:
    return TestClient(
        create_app(zoo, keyless=False, limits=limits), "http://zoo.example", raise_server_exceptions=False
    )


def bearer(zoo: Zoo, scope: Scope, *, days: float | None = None) -> dict[str, str]:
    return {"Authorization": f"Bearer {zoo.access.create('somebody', scope, days=days)[1]}"}


@pytest.fixture(scope="module")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    place, packed = write_stripes(tmp_path_factory.mktemp("data")), io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file in sorted(place.rglob("*.png")):
            archive.write(file, file.relative_to(place))
    return packed.getvalue()


def test_every_request_that_the_manual_shows_has_its_route(client: TestClient) -> None:
    section = (Path(gate.__file__).parents[1] / "README.md").read_text().split("## Over HTTP\n")[1].split("\n## ")[0]
    shown = re.findall(r"^curl (--\S+)?.*?http://127\.0\.0\.1:8600(/[\w/]+)", section, re.MULTILINE)
    assert len(shown) == 6
    paths = client.get("/openapi.json").json()["paths"]
    for option, path in shown:
        routes = [route for route in paths if re.fullmatch(re.sub(r"{\w+}", r"\\w+", route), path)]
        assert "post" in paths[routes[0]] if option else "get" in paths[routes[0]], path


def test_an_upload_is_one_sample_however_often_it_is_sent(client, stripes):
    first = client.post("/samples", params={"name": "my stripes.zip"}, content=stripes)
    again = client.post("/samples", params={"name": "other.zip"}, content=stripes)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert first.json()["name"] == "my_stripes.zip"
    assert [one["id"] for one in client.get("/samples").json()] == [first.json()["id"]]
    assert client.delete(f"/samples/{first.json()['id']}").status_code == 204
    assert client.get("/samples").json() == []


@pytest.mark.parametrize(
    ("name", "content", "status", "kind"),
    [
        ("a.exe", b"MZ", 415, "UploadRefused"),
        ("a.zip", b"", 422, "UploadRefused"),
        ("a.zip", b"PK and then nothing", 422, "NoItems"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name_and_leaves_nothing(client, zoo, name, content, status, kind):
    answer = client.post("/samples", params={"name": name}, content=content)
    problem = answer.json()
    assert (answer.status_code, problem["status"], problem["type"]) == (status, status, f"urn:transferzoo:{kind}")
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["remedy"]
    assert str(zoo.home.root) not in answer.text
    assert [file for file in (zoo.home.root / "samples").rglob("*") if file.is_file()] == []


def test_an_upload_to_one_machine_is_taken_by_another_and_removed_from_each(tmp_path, opened_home, stripes):
    (tmp_path / "shared").mkdir()
    clients = []
    for name in ("first", "second"):
        shutil.copytree(opened_home, tmp_path / name)
        zoo = Zoo.open(tmp_path / name, objects=str(tmp_path / "shared"))
        clients.append(TestClient(create_app(zoo, keyless=True), HERE, raise_server_exceptions=False))
    first, second = clients
    sent = first.post("/samples", params={"name": "my stripes.zip"}, content=stripes).json()
    assert second.get("/samples").json() == first.get("/samples").json() == [{**sent, "created": False}]
    assert second.post("/recommendations", json={"sample": sent["id"]}).status_code == 202
    (fetched,) = (tmp_path / "second" / "samples").rglob("my_stripes.zip")
    assert fetched.read_bytes() == stripes
    assert second.post("/recommendations", json={"sample": "0" * 32}).status_code == 404
    assert second.delete(f"/samples/{sent['id']}").status_code == 204
    assert second.get("/samples").json() == []
    assert first.delete(f"/samples/{sent['id']}").status_code == 204
    assert first.get("/samples").json() == []


def test_an_upload_that_cannot_be_shared_is_named_and_can_be_sent_again(tmp_path, new_home, stripes):
    with Zoo.open(new_home, objects=str(tmp_path / "shared")) as zoo:
        client = TestClient(create_app(zoo, keyless=True), HERE, raise_server_exceptions=False)
        answer = client.post("/samples", content=stripes)
        assert (answer.status_code, answer.json()["type"]) == (502, "urn:transferzoo:BucketMissing")
        (tmp_path / "shared").mkdir()
        assert client.post("/samples", content=stripes).status_code == 200
        assert len(zoo.home.shared.objects.names("samples")) == 1


def test_a_zip_that_climbs_out_is_refused(client):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("../../evil.png", b"x")
    answer = client.post("/samples", content=packed.getvalue())
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:transferzoo:UnsafeArchive")


def test_a_bomb_is_refused_before_it_is_unpacked(client, zoo):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cat/bomb.png", bytes(20 << 20))
    answer = client.post("/samples", content=packed.getvalue())
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:transferzoo:UnsafeArchive")
    assert answer.json()["remedy"]
    assert [file for file in (zoo.home.root / "samples").rglob("*") if file.is_file()] == []


def test_no_problem_and_no_job_says_where_an_upload_lies(client, zoo):
    answer = client.post("/samples?name=mine.zip", content=b"PK\x03\x04 and no more")
    assert answer.json()["detail"].startswith("mine.zip holds no zip that can be opened")
    place = zoo.home.root / "samples" / "local" / ("ab" * 16) / "mine.csv"
    samples = Samples(zoo, most_bytes=1, most_bytes_a_key=1)
    assert samples.without_places(f"{place}: line 1 has no text") == "mine.csv: line 1 has no text"


def test_what_is_asked_has_a_bound_and_whoever_falls_silent_is_not_waited_for(client, monkeypatch):
    def pieces() -> Iterator[bytes]:
        yield from [b" " * (1 << 18)] * 5

    answer = client.post("/recommendations", content=pieces(), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:transferzoo:RequestRefused")
    assert "POST /samples" in answer.json()["remedy"]

    async def silence() -> dict[str, object]:
        await asyncio.sleep(60)
        return {"type": "http.request"}

    monkeypatch.setattr(gate, "_SILENCE", 0.01)
    with pytest.raises(HTTPException) as silent:
        asyncio.run(gate._bounded(silence)())
    assert (silent.value.status_code, type(silent.value.__cause__)) == (408, RequestRefused)


@pytest.mark.parametrize(
    "address",
    [
        "/jobs/..%2f..%2fetc%2fpasswd",
        "/runs/%2e%2e",
        "/recommendations/..%5C..%5Cwindows",
        "/checkpoints/%2Fetc%2Fpasswd",
        "/checkpoints/a%00b",
        "/checkpoints?after=%00",
        "/runs/C:%5Cwindows",
        "/samples/..",
    ],
)
def test_no_address_leads_out(client, zoo, address):
    answer = client.get(address)
    assert 400 <= answer.status_code < 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["remedy"]
    assert str(zoo.home.root) not in answer.text


@pytest.mark.parametrize(
    "name", ["../../../evil.csv", "/etc/cron.d/evil.csv", "C:\\evil.csv", "a\u202eb.csv", ".csv.csv"]
)
def test_an_upload_lies_in_its_own_folder_whatever_it_is_called(client, zoo, name):
    sent = client.post("/samples", params={"name": name}, content=b"file,target\n")
    assert sent.status_code == 201
    (place,) = [file for file in zoo.home.root.rglob("*.csv") if file.is_file()]
    assert place.parent == zoo.home.root / "samples" / "local" / sent.json()["id"]


def test_every_route_that_writes_is_audited_and_every_refusal_has_a_remedy(zoo):
    client, admin = guarded(zoo), bearer(zoo, Scope.ADMIN)
    described = client.get("/openapi.json", headers=admin).json()["paths"]
    writes = set()
    for path, methods in described.items():
        for method in sorted({"post", "put", "patch", "delete"} & {*methods}):
            address = re.sub(r"{\w+}", "0" * 32, path)
            answer = client.request(method.upper(), address, headers=admin)
            assert 400 <= answer.status_code < 500
            assert answer.json()["remedy"]
            assert "transferzoo " not in answer.json()["remedy"]
            writes.add((f"{method.upper()} {address}", answer.status_code))
    assert {(row.action, row.status) for row in zoo.access.writes(100)} == writes
    assert len(writes) == 6


def test_no_body_names_a_hub_or_a_server(client):
    fields = {name for body in (RecommendBody, TuneBody, PredictBody) for name in body.model_fields}
    assert not [name for name in fields if re.search(r"hub|url|uri|endpoint|host|registry|objects|tracking|path", name)]


def test_advice_is_queued_once_and_followed_to_its_end(client, zoo, stripes):
    sample = client.post("/samples", content=stripes).json()["id"]
    answers = [client.post("/recommendations", json={"sample": sample, "keep": 2}) for _ in range(2)]
    assert [one.status_code for one in answers] == [202, 202]
    (job,) = {one.json()["id"] for one in answers}
    assert answers[0].headers["location"] == f"/jobs/{job}"
    assert client.get(f"/jobs/{job}").json()["state"] == "queued"
    stored = zoo.jobs.get(job)
    assert stored.spec["keep"] == 2
    zoo.jobs.fail(job, "no room")
    events = client.get(f"/jobs/{job}/events").text
    assert events.startswith("event: failed\ndata: ")
    assert json.loads(events.split("data: ")[1])["error"] == "no room"


def test_an_idempotency_key_gives_the_same_job_and_refuses_another_request(client, zoo, stripes):
    sample = client.post("/samples", content=stripes).json()["id"]
    once = {"Idempotency-Key": "k1"}
    first = client.post("/recommendations", json={"sample": sample}, headers=once).json()
    zoo.jobs.claim(first["id"])
    zoo.jobs.finish(first["id"], {"recommendation": "r"})
    again = client.post("/recommendations", json={"sample": sample}, headers=once).json()
    assert (again["id"], again["state"]) == (first["id"], "finished")
    other = client.post("/recommendations", json={"sample": sample, "keep": 1}, headers=once)
    assert (other.status_code, other.json()["type"]) == (422, "urn:transferzoo:KeyReused")


def test_a_cancelled_job_is_cancelled(client, stripes):
    sample = client.post("/samples", content=stripes).json()["id"]
    job = client.post("/recommendations", json={"sample": sample}).json()["id"]
    assert client.delete(f"/jobs/{job}").json()["state"] == "cancelled"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"sample": "../../etc/passwd"},
        {"sample": "0" * 32, "path": "/etc"},
        {"sample": "0" * 32, "keep": 0},
        {"sample": "0" * 32, "picture": "x.png"},
    ],
)
def test_a_body_names_no_place_on_the_server(client, body):
    answer = client.post("/recommendations", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "address", ["/jobs/none", "/runs/none", "/recommendations/none", "/checkpoints/none", "/jobs/none/events", "/none"]
)
def test_what_is_not_there_is_a_problem(client, address):
    answer = client.get(address)
    assert (answer.status_code, answer.json()["status"]) == (404, 404)
    assert answer.headers["content-type"] == "application/problem+json"


def test_pages_follow_one_another_to_the_end(client, zoo):
    names, after = [], ""
    while after is not None:
        page = client.get("/checkpoints", params={"after": after, "limit": 7}).json()
        names += [card["name"] for card in page["items"]]
        after = page["next"]
    assert names == sorted(card.name for card in zoo.checkpoints())


def test_pages_of_jobs_and_runs_are_read_no_further_than_they_go(client, zoo, monkeypatch):
    jobs = sorted(zoo.jobs.start("recommend", {}, f"key {number}").id for number in range(5))
    runs = [f"2026010{day}-000000-abc" for day in range(1, 6)]
    for run in runs:
        (zoo.home.runs / run).mkdir(parents=True)
        (zoo.home.runs / run / "job.json").write_text("{}")
    read, form = [], RunFolder.to_dict
    monkeypatch.setattr(RunFolder, "to_dict", lambda run: read.append(run.id) or form(run))
    monkeypatch.setattr(type(zoo.jobs), "list", lambda *_, **__: pytest.fail("all are read"))
    for address, names in (("/jobs", jobs), ("/runs", runs)):
        page = client.get(address, params={"limit": 2}).json()
        assert (len(page["items"]), page["next"]) == (2, names[1])
        rest = client.get(address, params={"limit": 9, "after": names[1]}).json()
        assert [one["id"] for one in page["items"] + rest["items"]] == names
        assert rest["next"] is None
    assert read == runs


def test_without_a_key_nobody_is_admitted_elsewhere(zoo):
    client = guarded(zoo)
    answer = client.get("/checkpoints")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert client.get("/checkpoints", headers={"Authorization": "Bearer tz_none_none"}).status_code == 401
    assert client.get("/checkpoints", headers=bearer(zoo, Scope.READ, days=-1.0)).status_code == 401
    assert client.get("/health").status_code == 200


def test_a_key_permits_its_scope_and_what_comes_before_it(zoo, stripes):
    client, reads, advises = guarded(zoo), bearer(zoo, Scope.READ), bearer(zoo, Scope.ADVISE)
    assert client.post("/samples", content=stripes, headers=reads).json()["type"] == "urn:transferzoo:ScopeMissing"
    sample = client.post("/samples", content=stripes, headers=advises).json()["id"]
    assert client.post("/runs", json={"sample": sample}, headers=advises).status_code == 403
    assert client.get("/audit", headers=advises).status_code == 403


def test_a_revoked_key_is_admitted_no_more(zoo):
    key, secret = zoo.access.create("somebody", Scope.READ)
    zoo.access.revoke(key.id)
    assert guarded(zoo).get("/checkpoints", headers={"Authorization": f"Bearer {secret}"}).status_code == 401


def test_a_key_sees_its_own(zoo, stripes):
    client, one, other = guarded(zoo), bearer(zoo, Scope.ADVISE), bearer(zoo, Scope.ADVISE)
    sample = client.post("/samples", content=stripes, headers=one).json()["id"]
    job = client.post("/recommendations", json={"sample": sample}, headers=one).json()["id"]
    assert client.get(f"/jobs/{job}", headers=one).status_code == 200
    for address in (f"/jobs/{job}", f"/jobs/{job}/events"):
        assert client.get(address, headers=other).status_code == 404
    assert client.delete(f"/jobs/{job}", headers=other).status_code == 404
    assert client.get("/jobs", headers=other).json()["items"] == []
    assert client.get("/samples", headers=other).json() == []
    assert client.post("/recommendations", json={"sample": sample}, headers=other).status_code == 404
    assert client.get(f"/jobs/{job}", headers=bearer(zoo, Scope.ADMIN)).status_code == 200


def test_a_job_belongs_to_the_key_that_asked_wherever_its_data_lie(zoo, stripes):
    client, one = guarded(zoo), bearer(zoo, Scope.ADVISE)
    sample = client.post("/samples", content=stripes, headers=one).json()["id"]
    job = client.post("/recommendations", json={"sample": sample}, headers=one).json()["id"]
    (owner,) = {key.id for key in zoo.access.list()}
    assert zoo.jobs.get(job).owner == owner
    place = Path(place_of(zoo.jobs.get(job).spec))
    here = job_queue.enqueue(zoo, RecommendRequest(sample=SampleRequest(path=place)))
    assert here.owner == ""
    assert here.id != job
    assert client.get(f"/jobs/{here.id}", headers=one).status_code == 404
    assert [row["id"] for row in client.get("/jobs", headers=one).json()["items"]] == [job]


@pytest.mark.parametrize("field", ["labels", "groups", "test", "sample"])
def test_an_upload_stays_while_a_job_needs_it_whatever_for(client, zoo, stripes, field):
    sample = client.post("/samples", content=stripes).json()["id"]
    other = client.post("/samples", params={"name": "other.csv"}, content=b"file,target,group\n").json()["id"]
    folders = {folder.name: folder for folder in (zoo.home.root / "samples").glob("*/*")}
    samples = SampleRequest(path=folders[sample] / "sample.zip")
    if field == "sample":
        needed = RecommendRequest(sample=SampleRequest(path=folders[other] / "other.csv"))
    else:
        needed = RecommendRequest(sample=samples.model_copy(update={field: folders[other] / "other.csv"}))
    job = job_queue.enqueue(zoo, needed)
    left = {sample, other} if field != "sample" else {other}
    assert clear_folders(zoo, folders.values()) == 2 - len(left)
    assert {name for name, folder in folders.items() if folder.exists()} == left
    zoo.jobs.cancel(job.id)
    assert clear_folders(zoo, [folders[name] for name in left]) == len(left)


def test_what_is_of_others_is_answered_like_what_is_not_there(zoo, stripes):
    client, one, other = guarded(zoo), bearer(zoo, Scope.ADVISE), bearer(zoo, Scope.ADVISE)
    sample = client.post("/samples", content=stripes, headers=one).json()["id"]
    job = client.post("/recommendations", json={"sample": sample}, headers=one).json()["id"]
    hidden, missing = (client.get(f"/jobs/{name}", headers=other).json() for name in (job, "0" * len(job)))
    for problem in (hidden, missing):
        assert problem.pop("instance")
        assert problem["facts"].pop("name") in problem.pop("detail")
    assert hidden == missing
    assert job not in str(missing)


def test_limits_say_when_to_come_again(zoo, stripes):
    client = guarded(zoo, Limits(requests_a_minute=4, open_jobs=1, upload_bytes=len(stripes)))
    key = bearer(zoo, Scope.ADVISE)
    sample = client.post("/samples", content=stripes, headers=key).json()["id"]
    assert client.post("/samples", content=stripes + b"x", headers=key).status_code == 413
    assert client.post("/recommendations", json={"sample": sample}, headers=key).status_code == 202
    busy = client.post("/recommendations", json={"sample": sample, "keep": 1}, headers=key)
    assert (busy.status_code, int(busy.headers["retry-after"]) > 0) == (429, True)
    many = client.get("/samples", headers=key)
    assert (many.status_code, many.json()["type"]) == (429, "urn:transferzoo:LimitReached")


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Host": "127.0.0.1.evil.example:8600"}]
)
def test_a_browser_cannot_be_led_here(client, headers):
    answer = client.get("/checkpoints", headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:transferzoo:OriginRefused")


def test_what_is_written_is_audited_and_no_secret_is_logged(zoo, stripes, caplog):
    caplog.set_level(logging.DEBUG)
    client, admin = guarded(zoo), bearer(zoo, Scope.ADMIN)
    sample = client.post("/samples", content=stripes, headers=admin)
    (row,) = client.get("/audit", headers=admin).json()
    assert (row["action"], row["status"]) == ("POST /samples", 201)
    assert row["id"] == sample.headers["x-request-id"]
    secret = admin["Authorization"].split()[1]
    client.get("/checkpoints", headers={"Authorization": f"Bearer {secret}x"})
    assert secret not in caplog.text
    assert secret.encode() not in zoo.home.database.read_bytes()
    written = [json.loads(record.getMessage()) for record in caplog.records if record.name == "transferzoo.service"]
    assert [line["status"] for line in written] == [201, 200, 401]


def test_figures_are_shown(client):
    client.get("/checkpoints/none")
    figures = client.get("/metrics").text
    assert 'transferzoo_requests_total{method="GET",path="/checkpoints/{name}",status="404"} 1.0' in figures


def test_a_fault_of_ours_tells_nothing_of_the_inside(zoo, client, monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError("the inside")

    monkeypatch.setattr(Zoo, "domains_after", broken)
    answer = client.get("/domains")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "inside" not in answer.text


def test_a_page_of_which_few_fit_is_read_in_bounds_and_goes_on(zoo, client, monkeypatch):
    monkeypatch.setattr("ui.web.app._MOST_READ", 4)
    names, after, pages = [], "", 0
    while after is not None:
        page = client.get("/checkpoints", params={"max_parameters": 1_000_000, "limit": 2, "after": after}).json()
        names += [card["name"] for card in page["items"]]
        after, pages = page["next"], pages + 1
    fitting = [card.name for card in zoo.checkpoints() if card.parameters is None or card.parameters <= 1_000_000]
    assert names == sorted(fitting)
    assert pages > len(names) / 2
