"""The service beside bare FastAPI: throughput and p99 of reads at 50 clients, while advice is made beside them.

``python -m tests.benchmarks.service [--seconds 60] [--clients 50]`` serves a fresh home, queues advice on generated
pictures again and again, and asks for checkpoints, domains and jobs; then a FastAPI application that returns the very
same bytes is asked as often, beside the same advice. It prints both, their ratio, and what became of every job.
"""

import argparse
import asyncio
import io
import json
import random
import tempfile
import time
import zipfile
from pathlib import Path

import httpx2
import numpy as np

from tests.servers import PORT, serving
from tests.ui.pictures import write_stripes

ADDRESSES = ("/checkpoints?limit=20", "/domains?limit=20", "/jobs?limit=20", "/checkpoints/resnet-photos")
BARE = """
import json, sys, uvicorn
from fastapi import FastAPI, Request, Response
from pathlib import Path
kept = json.loads(Path(sys.argv[2]).read_text())
app = FastAPI()

@app.get("/{rest:path}")
def same(rest: str, request: Request) -> Response:
    return Response(kept[request.url.path], media_type="application/json")

uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", http="h11")
"""


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        ours = [
            "-m",
            "ui.cli",
            "serve",
            "--home",
            str(place / "home"),
            "--requests-a-minute",
            "100000000",
            "--port",
            PORT,
        ]
        with serving(ours, place / "ours.log", answering) as (address, _):
            jobs = Work(address, place)
            rows = [("transferzoo", *asyncio.run(measure(address, options, jobs)))]
            kept = place / "kept.json"
            kept.write_text(bodies(address))
            with serving(["-c", BARE, PORT, str(kept)], place / "bare.log", answering) as (bare, _):
                rows.append(("bare FastAPI", *asyncio.run(measure(bare, options, jobs))))
            lost = jobs.lost()
    print(f"{'':14}{'requests/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'failed':>8}")
    for name, rate, median, high, failed in rows:
        print(f"{name:14}{rate:12.1f}{median:9.1f}{high:9.1f}{failed:8d}")
    (_, rate, _, high, _), (_, bare_rate, _, bare_high, _) = rows
    print(f"throughput {rate / bare_rate:.2f} of bare FastAPI's, p99 {high / bare_high:.1f} times as long")
    print(f"advice asked for {jobs.sent} times beside it, {lost} lost")


class Work:
    """Advice that is made while reads are measured."""

    def __init__(self, address: str, place: Path) -> None:
        self._address, self.sent, self._jobs = address, 0, set[str]()
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for file in sorted(write_stripes(place).rglob("*.png")):
                archive.write(file, f"{file.parent.name}/{file.name}")
        answer = httpx2.post(f"{address}/samples", content=packed.getvalue(), timeout=60)
        self._sample = answer.json()["id"]

    async def keep_going(self, client: httpx2.AsyncClient) -> None:
        """One piece of advice after the other, each another."""
        while True:
            body = {"sample": self._sample, "seed": self.sent, "keep": 2}
            job = (await client.post(f"{self._address}/recommendations", json=body)).json()["id"]
            self._jobs.add(job)
            self.sent += 1
            while (await self._state(client, job)) in {"queued", "running"}:
                await asyncio.sleep(1)

    async def _state(self, client: httpx2.AsyncClient, job: str) -> str:
        return str((await client.get(f"{self._address}/jobs/{job}")).json()["state"])

    def lost(self) -> int:
        """Jobs that did not come to their end."""

        async def states() -> list[str]:
            async with httpx2.AsyncClient(timeout=60) as client:
                for _ in range(300):
                    states = [await self._state(client, job) for job in sorted(self._jobs)]
                    if not {"queued", "running"} & set(states):
                        break
                    await asyncio.sleep(1)
                return states

        return sum(state != "finished" for state in asyncio.run(states()))


async def measure(address: str, options: argparse.Namespace, work: Work) -> tuple[float, float, float, int]:
    """Requests a second, median and 99th percentile in ms, failures."""
    seconds: list[float] = []
    failed = 0
    draw = random.Random(0)  # noqa: S311 - which address comes next is no secret

    async def read(client: httpx2.AsyncClient, until: float) -> None:
        nonlocal failed
        while time.monotonic() < until:
            began = time.monotonic()
            answer = await client.get(address + draw.choice(ADDRESSES))
            seconds.append(time.monotonic() - began)
            failed += answer.status_code != 200

    async with httpx2.AsyncClient(timeout=60, limits=httpx2.Limits(max_connections=None)) as client:
        beside = asyncio.create_task(work.keep_going(client))
        until = time.monotonic() + options.seconds
        await asyncio.gather(*(read(client, until) for _ in range(options.clients)))
        beside.cancel()
    median, high = np.quantile(seconds, [0.5, 0.99]) * 1000
    return len(seconds) / options.seconds, float(median), float(high), failed


def bodies(address: str) -> str:
    """What the service answers, by path."""
    return json.dumps({path.partition("?")[0]: httpx2.get(address + path, timeout=60).text for path in ADDRESSES})


def answering(port: int) -> str | None:
    """The server's address, once it answers."""
    address = f"http://127.0.0.1:{port}"
    try:
        httpx2.get(f"{address}/domains", timeout=30)
    except httpx2.TransportError:
        return None
    return address


if __name__ == "__main__":
    main()
