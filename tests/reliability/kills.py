"""kill -9 at a random moment, then all that a user would do: list, doctor, resume, sync, and the same command again.

Nothing may be lost and nothing unrepairable. `python -m tests.reliability.kills --kills 100 --seed 0` tries many and
prints what survived; ``--checkout`` names another version of the code to try the same on.
"""

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from tests.reliability.hanging import hanging
from tests.reliability.product import Product

__all__ = ["SCENARIOS", "Bench", "Scenario", "survive"]

_TUNE = ("--checkpoint", "resnet-photos", "--no-controls", "--seed", "3")


@dataclass(frozen=True)
class Scenario:
    """A command that is killed, and where."""

    name: str
    words: tuple[str, ...]
    """``{data}`` and ``{net}`` stand for the sample and for a checkpoint outside of the home."""
    fresh: bool = False
    """In a home that nobody has used; else in a copy of one with advice and finished runs."""
    hanging: bool = False
    """While MLflow's server takes requests and never answers."""
    at_end: bool = False
    """From the moment when the run's result is written."""
    queued: bool = False
    """The command only queues: its worker or its job is what is killed."""


SCENARIOS = (
    Scenario("recommend", ("recommend", "{data}", "--keep", "2")),
    Scenario("recommend, fresh home", ("recommend", "{data}", "--keep", "2"), fresh=True),
    Scenario("probe", ("tune", "{data}", *_TUNE, "--strategy", "linear-probe")),
    Scenario("tune", ("tune", "{data}", *_TUNE, "--strategy", "scratch")),
    Scenario("tune, fresh home", ("tune", "{data}", *_TUNE, "--strategy", "scratch"), fresh=True),
    Scenario("tune, hanging MLflow", ("tune", "{data}", *_TUNE, "--strategy", "scratch"), hanging=True),
    Scenario("record", ("tune", "{data}", *_TUNE, "--strategy", "linear-probe"), at_end=True),
    Scenario(
        "record, hanging MLflow", ("tune", "{data}", *_TUNE, "--strategy", "linear-probe"), hanging=True, at_end=True
    ),
    Scenario("add", ("zoo", "add", "{net}", "--name", "mine", "--source-data", "{data}", "--domain", "mine")),
    Scenario("promote", ("zoo", "{promote}", "{run}", "grown")),
    Scenario(
        "queue", ("queue", "add", "tune", "{data}", *_TUNE, "--strategy", "scratch", "--device", "cpu"), queued=True
    ),
)


@dataclass
class Bench:
    """A place to kill in: the data, a home that was used, how long each command takes, what each run comes to."""

    folder: Path
    product: Product
    promote: str = "promote"
    seconds: dict[str, float] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def of(cls, folder: Path, checkout: Path) -> Iterator["Bench"]:
        """Set up, with data that an untrained net learns within seconds."""
        draw(folder / "data")
        env = {"MLFLOW_TRACKING_URI": None, "TRANSFERZOO_HOME": str(folder / "used")}
        with Product(folder / "log", checkout, env) as product:
            bench = cls(folder, product)
            if product.run("zoo", "promote", "--help").code:
                bench.promote = "plant"
            shutil.copytree(checkout / "catalog" / "seedlings" / "resnet-photos", folder / "net")
            done = product.run("recommend", str(folder / "data"), "--keep", "1")
            assert done.code == 0, done.sentence
            done = product.run("tune", str(folder / "data"), *_TUNE[:3], "--seed", "4", "--strategy", "scratch")
            assert done.code == 0, done.sentence
            yield bench

    def home(self, scenario: Scenario, name: str) -> Path:
        """A home for one kill."""
        place = self.folder / "homes" / name
        place.parent.mkdir(exist_ok=True)
        if scenario.fresh:
            place.mkdir()
        else:
            shutil.copytree(self.folder / "used", place)
        return place

    def words(self, scenario: Scenario) -> tuple[str, ...]:
        """The command, spelled out."""
        names = {"data": self.folder / "data", "net": self.folder / "net", "run": "latest", "promote": self.promote}
        return tuple(word.format(**names) for word in scenario.words)

    def length(self, scenario: Scenario) -> float:
        """Seconds that its command takes when nobody kills it; its score is remembered."""
        if scenario.name not in self.seconds:
            home = self.home(scenario, f"reference {scenario.name}")
            began = time.monotonic()
            done = self.product.run(*self.words(scenario), "--json", env=self.env(home))
            if scenario.queued:
                _wait_for_queue(self, home)
            self.seconds[scenario.name] = time.monotonic() - began
            assert done.code == 0, done.sentence
            self.scores[scenario.name] = _scores(self, home).get("score", 0.0)
            shutil.rmtree(home)
        return self.seconds[scenario.name]

    def env(self, home: Path, address: str | None = None) -> dict[str, str | None]:
        """The surroundings of a command in a home."""
        return {"TRANSFERZOO_HOME": str(home), "MLFLOW_TRACKING_URI": address, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}


def survive(bench: Bench, scenario: Scenario, chance: random.Random, name: str) -> tuple[float, tuple[str, ...]]:
    """Kill the scenario's command once: when that was, and what did not hold afterwards."""
    length = bench.length(scenario)
    home = bench.home(scenario, name)
    with hanging() if scenario.hanging else _nobody() as address:
        after = _killed(bench, scenario, home, address, chance, length)
        troubles = tuple(_troubles(bench, scenario, home))
    if not troubles:
        shutil.rmtree(home)
    return after, troubles


def _killed(
    bench: Bench, scenario: Scenario, home: Path, address: str | None, chance: random.Random, length: float
) -> float:
    """Start the command and kill it."""
    if scenario.queued:
        return _killed_in_queue(bench, scenario, home, chance, length)
    before = set(home.glob("runs/*/run.json"))
    began = time.monotonic()
    command = bench.product.start(*bench.words(scenario), env=bench.env(home, address))
    if scenario.at_end:
        while set(home.glob("runs/*/run.json")) == before and not command.wait(0):
            time.sleep(0.002)
        time.sleep(chance.choice([0.0, chance.uniform(0, 0.1), chance.uniform(0, 3)]))
    else:
        command.wait(chance.uniform(0, 1.02) * length)
    after = time.monotonic() - began
    with suppress(ProcessLookupError):
        command.kill()
    command.done()
    return after


def _killed_in_queue(bench: Bench, scenario: Scenario, home: Path, chance: random.Random, length: float) -> float:
    """Queue it, then kill its worker, its job, or both."""
    began = time.monotonic()
    bench.product.run(*bench.words(scenario), env=bench.env(home))
    time.sleep(chance.uniform(0, 1.02) * length)
    victims = [process for process in _processes_of(home) if chance.random() < 0.7]
    after = time.monotonic() - began
    for process in victims:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    return after


def _troubles(bench: Bench, scenario: Scenario, home: Path) -> Iterator[str]:
    """All that does not hold in a home after a kill."""
    run, env = bench.product.run, bench.env(home, f"sqlite:///{home}/mlflow.db" if scenario.hanging else None)
    for words in (("runs", "list"), ("zoo", "list")):
        done = run(*words, "--json", env=env)
        if done.code != 0 or done.json is None:
            yield done.sentence
    report = run("doctor", "--repair", "--json", env=env)
    if report.code not in (0, 1) or report.json is None:
        yield report.sentence
    if scenario.queued:
        again = run(*bench.words(scenario), env=env)
        if again.code != 0:
            yield again.sentence
        yield from _wait_for_queue(bench, home)
    yield from _unresumed(bench, home, env)
    synced = run("runs", "sync", "--json", env=env)
    if synced.code != 0:
        yield synced.sentence + "; " + "; ".join(str(row.get("trouble")) for row in synced.json or [])
    again = run(*bench.words(scenario), "--json", env=env) if not scenario.queued else synced
    if again.code != 0 and not (scenario.name == "promote" and "already registered" in again.err):
        yield "again: " + again.sentence
    yield from _lost(bench, scenario, home, env)
    healthy = run("doctor", "--json", env=env)
    if healthy.code != 0:
        found = [f"{row['kind']} {row['subject']}: {row['what']}" for row in (healthy.json or {}).get("findings", [])]
        yield f"doctor at the end: {'; '.join(found) or healthy.sentence}"


def _unresumed(bench: Bench, home: Path, env: dict[str, str | None]) -> Iterator[str]:
    """Runs that are unfinished and cannot be resumed to what they would have come to."""
    for row in bench.product.run("runs", "list", "--json", env=env).json or []:
        if row["state"] in {"interrupted", "failed"}:
            done = bench.product.run("runs", "resume", row["id"], "--json", env=env)
            if done.code != 0:
                yield done.sentence


def _lost(bench: Bench, scenario: Scenario, home: Path, env: dict[str, str | None]) -> Iterator[str]:
    """Finished runs in no list, runs begun that are neither, scores that differ, half-written files."""
    rows = bench.product.run("runs", "list", "--json", env=env).json or []
    listed = {row["id"] for row in rows if row["state"] == "finished"}
    for folder in (home / "runs").iterdir():
        if (folder / "run.json").is_file() and folder.name not in listed:
            yield f"run {folder.name} is finished and in no list"
        elif (folder / "job.json").is_file() and folder.name not in {row["id"] for row in rows}:
            yield f"run {folder.name} was begun and is in no list"
    wanted = bench.scores[scenario.name]
    if "tune" in scenario.words:
        for row in rows:
            told = json.loads((home / "runs" / row["id"] / "job.json").read_text())
            if told["seed"] == 3 and row["state"] == "finished" and row["score"] != wanted:
                yield f"run {row['id']} came to {row['score']}, unkilled it comes to {wanted}"
    if scenario.queued and len(listed) > 2:
        yield "the lost job began anew where it could have gone on"
    litter = [path.relative_to(home) for path in home.rglob("*.tmp*") if not _alive(path)]
    if litter:
        yield f"litter: {', '.join(map(str, litter))}"


def _scores(bench: Bench, home: Path) -> dict[str, float]:
    rows = bench.product.run("runs", "list", "--json", env=bench.env(home)).json or []
    return {"score": rows[0]["score"]} if rows else {}


def _wait_for_queue(bench: Bench, home: Path, seconds: float = 240.0) -> list[str]:
    """Wait until all jobs are over; what did not finish."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        jobs = bench.product.run("queue", "list", "--all", "--json", env=bench.env(home)).json or []
        if all(job["state"] in {"finished", "failed", "cancelled", "lost"} for job in jobs):
            break
        time.sleep(0.5)
    for process in _processes_of(home):
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGTERM)
    return [f"job {job['id']} is {job['state']}: {job['error']}" for job in jobs if job["state"] != "finished"]


def _processes_of(home: Path) -> list[psutil.Process]:
    """Workers and jobs at work in a home."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            line = process.cmdline()
            if "ui.cli" in line and str(home) in line:
                found.append(process)
    return found


def _alive(path: Path) -> bool:
    parts = path.name.split(".")
    return any(part.isdigit() and psutil.pid_exists(int(part)) for part in parts)


@contextmanager
def _nobody() -> Iterator[None]:
    yield None


def draw(folder: Path, rows: int = 40, side: int = 24) -> Path:
    """Three classes of stripes, some of them under too much noise to be told."""
    rng = np.random.default_rng(0)
    for turn, name in enumerate(("level", "upright", "slanted")):
        (folder / name).mkdir(parents=True)
        for row in range(rows):
            y, x = np.mgrid[:side, :side] + rng.integers(0, 8)
            wave = (y, x, x + y)[turn] % 8 < 4
            pixels = np.clip(wave[..., None] * 60 + rng.normal(90, 70, (side, side, 3)), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{row}.png")
    return folder


def schedule(kills: int, seed: int, only: str | None = None) -> list[tuple[Scenario, random.Random]]:
    """Which scenario is killed with which chance: each as often as the others, seeded."""
    chosen = [scenario for scenario in SCENARIOS if only is None or scenario.name.startswith(only)]
    return [(chosen[turn % len(chosen)], random.Random(f"{seed} {turn}")) for turn in range(kills)]  # noqa: S311 - no secret


def main() -> None:
    """Kill many times and print what survived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="scenarios whose name begins so")
    parser.add_argument("--checkout", type=Path, default=Path(__file__).parents[2])
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp()) if asked.folder is None else asked.folder
    tally: Counter[str] = Counter()
    with Bench.of(folder, asked.checkout.resolve()) as bench:
        for turn, (scenario, chance) in enumerate(schedule(asked.kills, asked.seed, asked.only)):
            after, troubles = survive(bench, scenario, chance, f"kill-{turn:03d}")
            tally[f"{scenario.name}: {'lost' if troubles else 'survived'}"] += 1
            print(
                json.dumps(
                    {
                        "kill": turn,
                        "scenario": scenario.name,
                        "after": round(after, 2),
                        "of": round(bench.length(scenario), 2),
                        "troubles": troubles,
                    }
                ),
                flush=True,
            )
    print(json.dumps(tally, indent=1, sort_keys=True))
    sys.exit(any(name.endswith("lost") for name in tally))


if __name__ == "__main__":
    main()
