"""kill -9 at a random moment, then all that a user would do: list, doctor, repair, resume, sync, the same again.

Nothing may be lost and nothing unrepairable, and a run that is resumed comes to the very weights that it would have
come to. `python -m tests.reliability.kills --kills 100 --seed 0` kills that often and prints the figures; with
``--folder`` it goes on where it was broken off.
"""

import argparse
import json
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import closing, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from recommender.runs.folder import RunFolder
from registry.files import sha256_of, write_atomic
from registry.zoo import Zoo
from tests.reliability.hanging import hanging
from tests.reliability.product import Done, Product
from tests.reliability.stripes import draw

__all__ = ["SHORT", "Bench", "Kill", "Scenario", "figures", "schedule", "survive", "untracked", "weights_of"]

_TUNE = ("--checkpoint", "resnet-photos", "--no-controls", "--seed", "3", "--strategy")
_OVER = {"finished", "failed", "cancelled", "lost"}
_QUEUED = 12.0
"""Seconds in which a queued tuning's worker and job, processes of their own, begin and end on a quiet machine."""


@dataclass(frozen=True)
class Scenario:
    """A command that is killed, and where."""

    name: str
    words: tuple[str, ...]
    """``{data}``, ``{net}``, ``{run}``, ``{begun}``: sample, checkpoint elsewhere, finished run, killed run."""
    home: str = "used"
    """In a copy of which home: ``used`` (advice, a finished run), ``begun`` (a killed run, too) or ``fresh``."""
    hanging: bool = False
    """While MLflow's server takes requests and never answers."""
    at_end: bool = False
    """From the moment when the run's result is written."""
    work: bool = False
    """The command only queues: what is killed is the worker or the job."""


SCENARIOS = (
    Scenario("recommend", ("recommend", "{data}", "--keep", "2")),
    Scenario("recommend, fresh home", ("recommend", "{data}", "--keep", "2"), home="fresh"),
    Scenario("probe", ("tune", "{data}", *_TUNE, "linear-probe")),
    Scenario("tune", ("tune", "{data}", *_TUNE, "scratch")),
    Scenario("tune, fresh home", ("tune", "{data}", *_TUNE, "scratch"), home="fresh"),
    Scenario("tune, hanging MLflow", ("tune", "{data}", *_TUNE, "scratch"), hanging=True),
    Scenario("resume", ("runs", "resume", "{begun}"), home="begun"),
    Scenario("record", ("tune", "{data}", *_TUNE, "linear-probe"), at_end=True),
    Scenario("record, hanging MLflow", ("tune", "{data}", *_TUNE, "linear-probe"), hanging=True, at_end=True),
    Scenario("add", ("zoo", "add", "{net}", "--name", "mine", "--source-data", "{data}", "--domain", "mine")),
    Scenario("promote", ("zoo", "promote", "{run}", "grown")),
    Scenario("queue, its command", ("queue", "add", "tune", "{data}", *_TUNE, "scratch", "--device", "cpu")),
    Scenario(
        "queue, its processes", ("queue", "add", "tune", "{data}", *_TUNE, "scratch", "--device", "cpu"), work=True
    ),
)
SHORT = ("recommend, fresh home", "tune, fresh home", "promote", "queue, its processes")
"""The scenarios of the short form: advice, a training, a registration and a job."""


@dataclass(frozen=True)
class Kill:
    """One kill, and what did not hold afterwards."""

    scenario: str
    after: float
    """Seconds from the command's start."""
    of: float
    """Seconds that it takes when nobody kills it."""
    lost: tuple[str, ...]
    unrepairable: tuple[str, ...]
    resumed: int
    """Runs that were unfinished and went on."""
    identical: int
    """Of these, whose weights and scores are those of a run that nobody killed."""


@dataclass(frozen=True)
class _Known:
    """What a home had before the kill."""

    runs: Mapping[str, float]
    advice: frozenset[str]
    checkpoints: frozenset[str]


@dataclass
class Bench:
    """A place to kill in: the data, homes to copy, how long each command takes, what each tuning comes to."""

    folder: Path
    product: Product
    names: dict[str, str] = field(default_factory=dict)
    seconds: dict[tuple[str, ...], float] = field(default_factory=dict)
    weights: dict[str, tuple[str, float]] = field(default_factory=dict)
    """Of each strategy, the digest of the weights and the score."""

    @classmethod
    def of(cls, folder: Path, checkout: Path) -> "Bench":
        """Set up, with data that an untrained net learns within seconds; or as it was left in that folder."""
        kept, product = folder / "bench.json", Product(folder / "log", {}, str(checkout))
        if kept.exists():
            bench = cls(folder, product)
            bench._take_up(json.loads(kept.read_bytes()))
            return bench
        data = draw(folder / "data")
        shutil.copytree(checkout / "catalog" / "seedlings" / "resnet-photos", folder / "net")
        bench = cls(folder, product, {"data": str(data), "net": str(folder / "net")})
        home = folder / "used"
        bench._well("recommend", str(data), "--keep", "1", home=home)
        tuned = bench._well("tune", str(data), *_TUNE[:3], "--seed", "4", "--strategy", "scratch", home=home)
        bench.names["run"] = tuned.json["id"]
        bench._learn_what_tuning_comes_to()
        bench.keep()
        return bench

    def keep(self) -> None:
        """Write down what has been learned so far."""
        seconds = [[list(words), taken] for words, taken in self.seconds.items()]
        kept = {"names": self.names, "seconds": seconds, "weights": self.weights}
        write_atomic(self.folder / "bench.json", json.dumps(kept).encode())

    def _take_up(self, kept: Mapping[str, Any]) -> None:
        self.names.update(kept["names"])
        self.seconds.update({tuple(words): taken for words, taken in kept["seconds"]})
        self.weights.update({strategy: (digest, score) for strategy, (digest, score) in kept["weights"].items()})
        if "begun" not in self.names:
            shutil.rmtree(self.folder / "begun", ignore_errors=True)
        shutil.rmtree(self.folder / "homes" / "reference", ignore_errors=True)

    def copy(self, scenario: Scenario, name: str) -> Path:
        """A home for one kill."""
        place = self.folder / "homes" / name
        place.parent.mkdir(exist_ok=True)
        if scenario.home == "fresh":
            place.mkdir()
        elif scenario.home == "used":
            shutil.copytree(self.folder / "used", place)
        else:
            shutil.copytree(self._begun(), place)
        return place

    def words(self, scenario: Scenario) -> tuple[str, ...]:
        """The command, spelled out."""
        return tuple(word.format(**self.names) for word in scenario.words)

    def length(self, scenario: Scenario) -> float:
        """Seconds that its command takes when nobody kills it."""
        if scenario.work:
            return _QUEUED
        key = (scenario.home, *scenario.words)
        if key not in self.seconds:
            home = self.copy(scenario, "reference")
            began = time.monotonic()
            self._well(*self.words(scenario), home=home)
            self.seconds[key] = time.monotonic() - began
            _end_workers(home)
            shutil.rmtree(home)
        return self.seconds[key]

    def env(self, home: Path, address: str | None = None) -> dict[str, str | None]:
        """The surroundings of a command in a home."""
        return {"TRANSFERZOO_HOME": str(home), "MLFLOW_TRACKING_URI": address, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}

    def _well(self, *words: str, home: Path) -> Done:
        done = self.product.run(*words, "--json", env=self.env(home))
        assert done.code == 0, done.sentence
        return done

    def _learn_what_tuning_comes_to(self) -> None:
        """Carry out each tuning, undisturbed: its seconds and weights."""
        for strategy in ("scratch", "linear-probe"):
            scenario = next(s for s in SCENARIOS if s.words[-1] == strategy and s.home == "used")
            home, began = self.copy(scenario, strategy), time.monotonic()
            report = self._well(*self.words(scenario), home=home).json
            self.seconds["used", *scenario.words] = time.monotonic() - began
            self.weights[strategy] = weights_of(home / "runs" / report["id"])
            shutil.rmtree(home)
        self.seconds["begun", *next(s for s in SCENARIOS if s.name == "resume").words] = self.seconds[
            "used", *next(s for s in SCENARIOS if s.name == "tune").words
        ]

    def _begun(self) -> Path:
        """A home with a run that was killed when it had saved something; made when it is first wanted."""
        home = self.folder / "begun"
        if not home.exists():
            shutil.copytree(self.folder / "used", home)
            tune = next(s for s in SCENARIOS if s.name == "tune")
            command = self.product.start(*self.words(tune), env=self.env(home))
            command.wait_until(lambda: list(home.glob("runs/*/trainer/*/*/COMPLETE.json")))
            command.kill()
            command.done()
            [self.names["begun"]] = {path.name for path in _run_folders(home)} - {self.names["run"]}
        return home


def survive(bench: Bench, scenario: Scenario, chance: random.Random, name: str) -> Kill:
    """Kill the scenario's command once; what it left stays in ``homes/<name>`` where something did not hold."""
    length = bench.length(scenario)
    home = bench.copy(scenario, name)
    before = _known(home) if scenario.home != "fresh" else _Known({}, frozenset(), frozenset())
    with hanging() if scenario.hanging else nullcontext() as address:
        after, printed = _killed(bench, scenario, home, address, chance, length)
        aftermath = _Aftermath(bench, scenario, home)
        aftermath.go(before, printed)
    if not aftermath.lost and not aftermath.unrepairable:
        shutil.rmtree(home)
    return Kill(
        scenario.name,
        round(after, 2),
        round(length, 2),
        tuple(aftermath.lost),
        tuple(aftermath.unrepairable),
        aftermath.resumed,
        aftermath.identical,
    )


def schedule(kills: int, seed: int, only: Iterable[str] = ()) -> list[tuple[Scenario, random.Random]]:
    """Which scenario is killed with which chance: each as often as the others, seeded."""
    chosen = [scenario for scenario in SCENARIOS if scenario.name in only or not only]
    return [(chosen[turn % len(chosen)], random.Random(f"{seed} {turn}")) for turn in range(kills)]  # noqa: S311 - no secret


def figures(kills: Iterable[Kill]) -> str:
    """A Markdown table of what came of them, by kind of command."""
    by_kind: dict[str, list[Kill]] = defaultdict(list)
    for kill in kills:
        by_kind[kill.scenario].append(kill)
    rows = [("killed", "kills", "with a loss", "not repaired", "runs resumed", "bit-identically")]
    everything = [kill for some in by_kind.values() for kill in some]
    for kind, some in (*sorted(by_kind.items()), ("all", everything)):
        counts = (
            len(some),
            sum(bool(kill.lost) for kill in some),
            sum(bool(kill.unrepairable) for kill in some),
            sum(kill.resumed for kill in some),
            sum(kill.identical for kill in some),
        )
        rows.append((kind, *map(str, counts)))
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def untracked(home: Path, runs: Iterable[str]) -> list[str]:
    """What MLflow's store in a home lacks of these runs' event logs: runs, points of curves, results, parameters."""
    if not (home / "mlflow.db").is_file():
        return [f"MLflow does not have run {run}" for run in runs]
    with closing(sqlite3.connect(f"file:{home / 'mlflow.db'}?mode=ro", uri=True)) as store:
        ids = dict(store.execute("SELECT value, run_uuid FROM tags WHERE key = 'transferzoo.job'").fetchall())
        points = set(store.execute("SELECT run_uuid, key, step FROM metrics").fetchall())
        params = set(store.execute("SELECT run_uuid, key FROM params").fetchall())
    lacking = []
    for run in runs:
        if run not in ids:
            lacking.append(f"MLflow does not have run {run}")
            continue
        for event in _events(home / "runs" / run):
            if "point" in event and (ids[run], event["point"], event["step"]) not in points:
                lacking.append(f"MLflow lacks step {event['step']} of {event['point']} of run {run}")
            if "opening" in event:
                missing = {key for key in event["opening"]["params"] if (ids[run], key) not in params}
                lacking += [f"MLflow lacks {key} of run {run}" for key in sorted(missing)]
    return lacking


def weights_of(run: Path) -> tuple[str, float]:
    """What a run has learned, as a digest, and its score."""
    digests = [sha256_of(run / file) for file in ("model.safetensors", "head.safetensors")]
    return " ".join(digests), RunFolder(run).result["metrics"]["score"]


def _events(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in run.glob("*.jsonl") for line in file.read_bytes().splitlines() if line]


def _killed(
    bench: Bench, scenario: Scenario, home: Path, address: str | None, chance: random.Random, length: float
) -> tuple[float, Done]:
    """Start the command and kill it: after how many seconds, and what it had printed."""
    env, began = bench.env(home, address), time.monotonic()
    if scenario.work:
        done = bench.product.run(*bench.words(scenario), "--json", env=env)
        time.sleep(chance.uniform(0, 1.02) * length)
        after = time.monotonic() - began
        for process in _processes_of(home):
            if chance.random() < 0.7:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGKILL)
        return after, done
    before = set(home.glob("runs/*/run.json"))
    command = bench.product.start(*bench.words(scenario), "--json", env=env)
    if scenario.at_end:
        while set(home.glob("runs/*/run.json")) == before and not command.wait(0):
            time.sleep(0.002)
        time.sleep(chance.choice([0.0, chance.uniform(0, 0.1), chance.uniform(0, 3)]))
    else:
        command.wait(chance.uniform(0, 1.02) * length)
    after = time.monotonic() - began
    with suppress(ProcessLookupError):
        command.kill()
    return after, command.done()


class _Aftermath:
    """All that a user does after a kill, and what does not hold meanwhile."""

    def __init__(self, bench: Bench, scenario: Scenario, home: Path) -> None:
        self._bench, self._scenario, self._home = bench, scenario, home
        self._env = bench.env(home, f"sqlite:///{home}/mlflow.db" if scenario.hanging else None)
        self.lost: list[str] = []
        self.unrepairable: list[str] = []
        self.resumed = self.identical = 0

    def go(self, before: _Known, printed: Done) -> None:
        """List, doctor, repair, ask again, resume, sync, doctor; then look whether all is there."""
        begun = {run.id for run in map(RunFolder, _run_folders(self._home)) if not run.result}
        self._run("runs", "list")
        self._run("zoo", "list")
        self._run("doctor", also=(1,))
        self._run("doctor", "--repair", also=(1,))
        words = self._bench.words(self._scenario)
        if words[0] == "queue" and self._run(*words) is not None:
            self.unrepairable += _worked_off(self._bench, self._home)
        self._resume(begun)
        self._run("runs", "sync")
        if words[0] in {"recommend", "zoo"} or (words[0] == "tune" and not begun):
            taken = self._scenario.name == "promote" and "already registered"
            self._run(*words, or_says=taken or None)
        healthy = self._bench.product.run("doctor", "--json", env=self._env)
        if healthy.code != 0:
            left = [
                f"{row['kind']} {row['subject']}: {row['what']}" for row in (healthy.json or {}).get("findings", [])
            ]
            self.unrepairable.append(f"doctor at the end: {'; '.join(left) or healthy.sentence}")
        self._require_kept(before, printed)

    def _run(self, *words: str, also: tuple[int, ...] = (), or_says: str | None = None) -> Any:
        done = self._bench.product.run(*words, "--json", env=self._env)
        if (done.code == 0 or done.code in also) and done.json is not None:
            return done.json
        if or_says is None or or_says not in " ".join(done.err.split()):
            rows = done.json if isinstance(done.json, list) else []
            why = "; ".join(str(row["trouble"]) for row in rows if row.get("trouble"))
            self.unrepairable.append(f"{done.sentence} {why}".strip())
        return None

    def _resume(self, begun: set[str]) -> None:
        """Resume what is unfinished, and compare everything that had been with what it comes to undisturbed."""
        for row in self._run("runs", "list") or []:
            if row["state"] in {"interrupted", "failed"}:
                self._run("runs", "resume", row["id"])
        for run in begun:
            folder = RunFolder(self._home / "runs" / run)
            if folder.result:
                self.resumed += 1
                wanted, comes_to = self._bench.weights[folder.job["plan"]["strategy"]], weights_of(folder.path)
                self.identical += comes_to == wanted
                if comes_to[1] != wanted[1]:
                    self.lost.append(f"run {run} comes to {comes_to[1]}, undisturbed to {wanted[1]}")

    def _require_kept(self, before: _Known, printed: Done) -> None:
        now, rows = _known(self._home), self._run("runs", "list") or []
        listed = {row["id"]: row for row in rows}
        self.lost += [f"run {run} was there" for run, score in before.runs.items() if now.runs.get(run) != score]
        self.lost += [f"advice {name} was there" for name in before.advice - now.advice]
        self.lost += [f"checkpoint {name} was there" for name in before.checkpoints - now.checkpoints]
        for folder in map(RunFolder, _run_folders(self._home)):
            if folder.result and listed.get(folder.id, {}).get("state") != "finished":
                self.lost.append(f"run {folder.id} is finished and in no list")
            elif folder.job and folder.id not in listed:
                self.lost.append(f"run {folder.id} was begun and is in no list")
        if printed.code == 0 and isinstance(printed.json, dict):
            self._require_printed(printed.json, now)
        self.lost += untracked(self._home, [run for run, row in listed.items() if row["state"] == "finished"])
        if self._scenario.work and len(listed) > 2:
            self.lost.append("the lost job began anew where it could have gone on")
        litter = [path for path in self._home.rglob("*.tmp*") if not _is_of_the_living(path)]
        if litter:
            self.unrepairable.append(f"litter: {', '.join(path.name for path in litter)}")

    def _require_printed(self, printed: Mapping[str, Any], now: _Known) -> None:
        """What a command has printed as done, before it was killed, is there."""
        verb = self._scenario.words[0]
        if verb == "recommend" and printed["id"] not in now.advice:
            self.lost.append(f"advice {printed['id']} was printed")
        elif verb in {"tune", "runs"} and printed["id"] not in now.runs:
            self.lost.append(f"run {printed['id']} was printed")
        elif verb == "queue":
            jobs = self._run("queue", "list", "--all") or []
            if printed["id"] not in {job["id"] for job in jobs}:
                self.lost.append(f"job {printed['id']} was printed")


def _known(home: Path) -> _Known:
    with Zoo.open(home) as zoo:
        runs = {outcome.id: outcome.score for outcome in zoo.history() if (home / "runs" / outcome.id).is_dir()}
        advice = frozenset(str(report["id"]) for _, report in zoo.store.kept(1000))
        return _Known(runs, advice, frozenset(zoo))


def _run_folders(home: Path) -> list[Path]:
    return [path for path in sorted((home / "runs").glob("*")) if path.is_dir()] if (home / "runs").is_dir() else []


def _worked_off(bench: Bench, home: Path, seconds: float = 240.0) -> list[str]:
    """Wait until all jobs are over, and end the workers; what did not finish."""
    deadline, jobs = time.monotonic() + seconds, []
    while time.monotonic() < deadline:
        jobs = bench.product.run("queue", "list", "--all", "--json", env=bench.env(home)).json or []
        if all(job["state"] in _OVER for job in jobs):
            break
        time.sleep(0.5)
    _end_workers(home)
    return [f"job {job['id']} is {job['state']}: {job['error']}" for job in jobs if job["state"] != "finished"]


def _end_workers(home: Path) -> None:
    for process in _processes_of(home):
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _processes_of(home: Path) -> list[psutil.Process]:
    """Workers and jobs at work in a home."""
    results = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            line = process.cmdline()
            if "ui.cli" in line and str(home) in line:
                results.append(process)
    return results


def _is_of_the_living(path: Path) -> bool:
    return any(part.isdigit() and psutil.pid_exists(int(part)) for part in path.name.split("."))


def main() -> None:
    """Kill many times and print what survived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", default=[], help="the name of a scenario")
    parser.add_argument("--checkout", type=Path, default=Path(__file__).parents[2])
    parser.add_argument("--folder", type=Path)
    requested = parser.parse_args()
    folder = Path(tempfile.mkdtemp()) if requested.folder is None else requested.folder
    folder.mkdir(parents=True, exist_ok=True)
    lines = folder / "kills.jsonl"
    kills = [Kill(**json.loads(line)) for line in lines.read_text().splitlines()] if lines.exists() else []
    bench = Bench.of(folder, requested.checkout.resolve())
    for turn, (scenario, chance) in enumerate(schedule(requested.kills, requested.seed, requested.only)):
        if turn < len(kills):
            continue
        shutil.rmtree(folder / "homes" / f"kill-{turn:03d}", ignore_errors=True)
        kills.append(survive(bench, scenario, chance, f"kill-{turn:03d}"))
        bench.keep()
        with lines.open("a") as file:
            file.write(json.dumps(asdict(kills[-1])) + "\n")
        print(json.dumps({"kill": turn, **asdict(kills[-1])}), flush=True)
    print(figures(kills))
    sys.exit(any(kill.lost or kill.unrepairable for kill in kills))


if __name__ == "__main__":
    main()
