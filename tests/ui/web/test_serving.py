"""The service as it runs: a whole path by HTTP, hostile connections, requests that a machine makes up."""

import asyncio
import gzip
import io
import json
import re
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
import schemathesis
import uvicorn
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from registry.zoo import Zoo
from tests.servers import PORT, serving
from tests.ui.pictures import write_stripes
from ui import job_queue
from ui.web.app import create_app
from ui.web.server import _Punctual

pytestmark = pytest.mark.slow
HERE = {"Host": "127.0.0.1"}
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a service of its own."""
    home = tmp_path_factory.mktemp("served") / "home"
    command = ["-m", "ui.cli", "serve", "--port", PORT, "--home", str(home)]
    with serving(command, home.with_suffix(".log"), answering) as (address, _):
        yield address


def answering(port: int) -> str | None:
    """The service's address, once it is ready."""
    address = f"http://127.0.0.1:{port}"
    return address if answers(address) else None


def answers(address: str) -> bool:
    try:
        return requests.get(f"{address}/ready", timeout=30).ok
    except (requests.ConnectionError, requests.Timeout):
        return False


def finished(address: str, job: str) -> dict:
    """The job's last event."""
    events = requests.get(f"{address}/jobs/{job}/events", stream=True, timeout=300)
    lines = [line for line in events.iter_lines(decode_unicode=True) if line]
    assert lines[-2] == "event: finished", lines[-1]
    assert any(line == "event: progress" for line in lines)
    return json.loads(lines[-1].removeprefix("data: "))


def test_from_an_upload_to_a_prediction(served: str, tmp_path: Path):
    packed = io.BytesIO()
    place = write_stripes(tmp_path)
    with zipfile.ZipFile(packed, "w") as archive:
        for file in sorted(place.rglob("*.png")):
            archive.write(file, file.relative_to(place))
    sample = requests.post(f"{served}/samples?name=stripes.zip", data=packed.getvalue(), timeout=60).json()["id"]
    accepted = requests.post(f"{served}/recommendations", json={"sample": sample, "keep": 1}, timeout=60)
    done = finished(served, accepted.json()["id"])
    advice = requests.get(f"{served}/recommendations/{done['result']['recommendation']}", timeout=60).json()
    best = advice["choices"][0]
    body = {"sample": sample, "recommendation": advice["id"], "checkpoint": best["checkpoint"]}
    tuned = finished(served, requests.post(f"{served}/runs", json=body, timeout=60).json()["id"])
    run = requests.get(f"{served}/runs/{tuned['result']['run']}", timeout=60).json()
    assert run["checkpoint"] == best["checkpoint"]
    predicted = requests.post(f"{served}/runs/{run['id']}/predict", json={"sample": sample}, timeout=120).json()
    assert len(predicted["rows"]) == len([*place.rglob("*.png")])
    (row,) = requests.get(f"{served}/recommendations", timeout=60).json()
    assert row["id"] == advice["id"]


def declared(side: int) -> bytes:
    """A PNG of a few bytes that says it is so wide and high."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(100_000)))]
    chunks = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def packed(members: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", how) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return content.getvalue()


def nested(depth: int) -> bytes:
    inner = bytes(1 << 20)
    for _ in range(depth):
        inner = packed({f"cat/{number}.zip": inner for number in range(10)})
    return inner


def many_pixels() -> bytes:
    return packed({f"{n % 2}/{n}.png": declared(60_000) for n in range(24)})


def lying() -> bytes:
    """A zip of 256 MiB that says it holds 1000 bytes."""
    content = bytearray(packed({"cat/0.png": bytes(1 << 28)}))
    struct.pack_into("<I", content, content.rfind(b"PK\x01\x02") + 24, 1000)
    return bytes(content)


def crowded() -> bytes:
    """A zip whose directory names 1,000,000 members."""
    entries = b"".join(
        struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 3, 20, 0, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0)
        + b"cat/%08d" % n
        for n in range(1_000_000)
    )
    return b"PK\x03\x04" + bytes(26) + entries + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(entries), 30, 0)


def exploding(cells: int) -> bytes:
    """A Parquet of a few bytes whose only column has so many MiB."""
    content = io.BytesIO()
    pq.write_table(pa.table({"text": ["x" * (cells << 20)]}), content, compression="zstd", use_dictionary=False)
    return content.getvalue()


def largest_memory(served: str) -> int:
    """Bytes that the service's process has had at most."""
    port = int(served.rpartition(":")[2])
    (server,) = {one.pid for one in psutil.net_connections("tcp") if one.laddr.port == port and one.status == "LISTEN"}
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{server}/status").read_text())[1])


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.zip", lambda: packed({"cat/0.png": bytes(1 << 28)}), "unpacks 10"),
        ("a.zip", lambda: packed({"cat/0.png": b"x"}, zipfile.ZIP_BZIP2), "is packed by bzip2"),
        ("a.zip", lambda: nested(4), "holds no"),
        ("a.zip", crowded, "is one of 1000000"),
    ],
    ids=["zip bomb", "bzip2", "nested", "crowded"],
)
def test_a_bomb_is_refused_where_it_is_sent(served: str, name: str, content: Callable[[], bytes], says: str):
    before = largest_memory(served)
    answer = requests.post(f"{served}/samples?name={name}", data=content(), timeout=60)
    assert largest_memory(served) < before + 2**28
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert says in answer.json()["detail"]
    assert answer.json()["detail"].startswith("a.zip ")
    assert answer.json()["remedy"]
    assert answers(served)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("pixels.zip", many_pixels, "more than 50 megapixels"),
        ("lying.zip", lying, "cannot be read"),
        ("gzip.csv", lambda: gzip.compress(b"text,label\n" + b"a,b\n" * (1 << 24)), "it is no text but gzip"),
        ("column.parquet", lambda: exploding(300), "unpacks "),
        ("deep.jsonl", lambda: b'{"text":' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}\n", "line 1 is no JSON"),
    ],
    ids=["pixels", "lying", "gzip", "Parquet", "deep"],
)
def test_a_bomb_that_only_reading_shows_ends_its_job_with_a_remedy(
    served: str, name: str, content: Callable[[], bytes], says: str
):
    sent = requests.post(f"{served}/samples?name={name}", data=content(), timeout=60).json()
    job = requests.post(f"{served}/recommendations", json={"sample": sent["id"]}, timeout=60).json()["id"]
    events = requests.get(f"{served}/jobs/{job}/events", stream=True, timeout=300)
    last = [line for line in events.iter_lines(decode_unicode=True) if line][-1]
    over = json.loads(last.removeprefix("data: "))
    assert over["state"] == "failed"
    assert says in over["error"]
    assert over["error"].endswith(".")
    assert "/samples/" not in over["error"]
    assert answers(served)


def test_connections_that_never_end_and_headers_without_measure_are_survived(served: str):
    host, port = served.removeprefix("http://").split(":")
    with ExitStack() as halves:
        for _ in range(200):
            half = halves.enter_context(closing(socket.create_connection((host, int(port)), timeout=30)))
            half.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        assert answers(served)
        with closing(socket.create_connection((host, int(port)), timeout=30)) as long:
            received = b""
            with suppress(ConnectionError):  # it is cut off while it is still sent, or answered
                long.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: " + b"x" * 200_000 + b"\r\n\r\n")
                received = long.recv(100)
        assert b" 200 " not in received
    assert answers(served)


def test_a_connection_that_asks_for_nothing_in_time_is_closed_and_one_that_asked_is_answered(monkeypatch):
    monkeypatch.setattr("ui.web.server._HEADER_SECONDS", 0.3)

    async def app(_scope, receive, send) -> None:
        await receive()
        await asyncio.sleep(1)  # longer than headers may take
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async def answer_to(port: int, words: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(words)
        answer = await asyncio.wait_for(reader.read(15), 30)
        writer.close()
        await writer.wait_closed()
        return answer

    async def all_asked() -> list[bytes]:
        config = uvicorn.Config(app, lifespan="off")
        config.load()
        state = uvicorn.server.ServerState()
        server = await asyncio.get_running_loop().create_server(lambda: _Punctual(config, state, {}), "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            head = b"GET / HTTP/1.1\r\nHost: a\r\n"
            return [await answer_to(port, words) for words in (b"", head, head + b"\r\n")]

    assert asyncio.run(all_asked()) == [b"", b"", b"HTTP/1.1 200 OK"]


def test_nothing_that_a_machine_makes_up_breaks_it(new_home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(job_queue, "_detach", lambda home, lane: None)
    with Zoo.open(new_home) as zoo:
        schema = schemathesis.openapi.from_asgi("/openapi.json", create_app(zoo, keyless=True), headers=HERE)
        count = 0
        for operation in schema.get_all_operations():

            @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
            @given(operation.ok().as_strategy())
            def ask(case) -> None:
                nonlocal count
                case.call_and_validate(headers=HERE, checks=CHECKS)
                count += 1

            ask()
        assert count > 200
