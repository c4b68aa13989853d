"""Agents: the typed requests as tools of the Model Context Protocol, with answers short enough for a model to read.

Long work is queued and gives a job; ids lead to more. Only what lies below the roots is read, and nothing is tuned
unless that was allowed when the server was started.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import MCPServerError, ResourceNotFoundError, ToolError
from mcp_types import ToolAnnotations

from recommender.checks import check_request, require_advice
from recommender.observer import Observer
from recommender.requests import PredictRequest, RecommendRequest, Request, SampleRequest, choice_request
from recommender.runs.folder import RunState, find_run
from recommender.service import perform, read_sample
from registry.cards import Checkpoint, JobRecord, JobState, Task, Wanted
from registry.errors import TransferZooError, UnknownName
from registry.forms import to_json
from registry.modalities import modalities
from registry.spans import OUTSIDE
from registry.zoo import Zoo
from ui import job_queue
from ui.access import locate

__all__ = ["create_server"]

_Plain = dict[str, Any]
_MOST = 20
"""Rows of a list that an answer holds."""
_SHOWN = 10
"""Rows of predictions."""
_JOB = re.compile(r"[0-9a-f]{12}")
_BESIDE = ("labels", "groups", "test", "unlabelled")
"""Other places that a sample is read from."""
_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_QUEUES = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
_INSTRUCTIONS = """\
Which pretrained checkpoint to fine-tune on some data, how much of it to freeze, and what it will score.
Call inspect_data on a folder or file first, then recommend, then run_status with the job's id until it is finished,
then explain. To tune, call tune with the advice's id and the same path, run_status with the job's id until it is
finished, run_status with the run's id for what it scores, and predict with that id on other data. Without the tool
tune, say that whoever started this server has to allow it (`--allow-tune`). An expected score has an interval that is
meant to hold 9 times of 10. Where the verdict is not to transfer, a model on raw inputs is as good. Scores are
fractions, times are seconds.
"""


def create_server(zoo: Zoo, roots: Sequence[Path], *, allow_tune: bool = False) -> MCPServer:
    """The server of tools and resources over one registry; only what lies below ``roots`` is read."""
    server = MCPServer("transferzoo", instructions=_INSTRUCTIONS, log_level="WARNING")
    tools = _Tools(zoo, roots)
    for tool in (tools.search_checkpoints, tools.inspect_data, tools.explain, tools.compare, tools.run_status):
        server.add_tool(_worded(tool), annotations=_READS)
    server.add_tool(_worded(tools.predict), annotations=_READS)
    server.add_tool(_worded(tools.recommend), annotations=_QUEUES)
    if allow_tune:
        server.add_tool(_worded(tools.tune), annotations=_QUEUES)
    for uri, resource in (("advice://{recommendation}", tools.advice), ("card://{checkpoint}", tools.card)):
        server.resource(uri, mime_type="application/json")(_worded(resource, ResourceNotFoundError))
    return server


def _worded(tool: Any, kind: type[MCPServerError] = ToolError) -> Any:  # noqa: ANN401 - its signature stays as it is
    """The same tool or resource; what it refuses is said with what to do about it."""

    @wraps(tool)
    def worded(*args: object, **fields: object) -> object:
        try:
            return tool(*args, **fields)
        except TransferZooError as cause:
            raise kind(f"{type(cause).__name__}: {cause}. {cause.remedy}".strip()) from cause

    return worded


class _Tools:
    """What an agent may call."""

    def __init__(self, zoo: Zoo, roots: Sequence[Path]) -> None:
        self._zoo, self._roots = zoo, tuple(roots)

    def search_checkpoints(
        self, words: str = "", modality: str | None = None, max_parameters: int | None = None, limit: int = 10
    ) -> _Plain:
        """Pretrained checkpoints that are here, smallest first; words of name, modality, architecture or source.

        ``modality`` is ``image``, ``text`` or what a plug-in reads.
        """
        if modality is not None and modality not in modalities:
            raise UnknownName("modality", modality, list(modalities))
        wanted = words.casefold().split()
        cards = self._zoo.checkpoints_where(Wanted(modality, most_parameters=max_parameters))
        matching = [card for card in cards if all(word in _text(card) for word in wanted)]
        shown = sorted(matching, key=lambda card: (card.parameters, card.name))[: max(1, min(limit, _MOST))]
        return {
            "matching": len(matching),
            "checkpoints": [_brief(card) for card in shown],
            **({} if matching else {"hint": "Every word must match: use fewer, or none to list all."}),
        }

    def inspect_data(
        self, path: str, text: str | None = None, label: str | None = None, text2: str | None = None
    ) -> _Plain:
        """What lies at a folder, zip or table: modality, task, rows, classes, and what is odd in it.

        ``text``, ``label`` and, of pairs, ``text2`` name columns.
        """
        form = read_sample(self._sample(path, text, label, text2), Observer()).to_dict()
        counts = Counter(form["counts"])
        names = ("name", "modality", "task", "metric", "rows", "test_rows", "groups")
        health = {name: value for name, value in form["health"].items() if name not in {"unreadable_items", "pairs"}}
        return {
            **{name: form[name] for name in names},
            "classes": dict(counts.most_common(_MOST)),
            "more_classes": max(0, len(counts) - _MOST),
            "health": {**health, "warnings": health["warnings"][:_MOST], "alike_pairs": len(form["health"]["pairs"])},
        }

    def recommend(
        self,
        path: str,
        keep: int = 5,
        max_parameters: int | None = None,
        text: str | None = None,
        label: str | None = None,
        text2: str | None = None,
    ) -> _Plain:
        """Queue advice on the data at a path: which checkpoint to start from, what to freeze. Gives a job."""
        sample = self._sample(path, text, label, text2)
        return self._queue(RecommendRequest(sample=sample, keep=keep, max_parameters=max_parameters))

    def explain(self, recommendation: str, place: int = 1) -> _Plain:
        """The verdict of advice, its choices in brief, and all reasons of the choice at a place (1 is the best).

        Choices of one tier cannot be told apart. What has seen the data before stands last, whatever it scores on them.
        """
        advice = require_advice(self._zoo, recommendation)
        choices = advice["choices"]
        return {
            "verdict": advice["verdict"]["sentence"],
            "no_transfer": _score(advice["baseline"]),
            "metric": advice["sample"]["metric"],
            "choices": [_choice(choice) for choice in choices[:5]],
            "because": _at(choices, place)["because"] if choices else [],
            "skipped": len(advice["skipped"]),
            "not_here": len(advice.get("not_probed", ())),
            **({"considered": advice["considered"]} if advice.get("considered") else {}),
            **({"undone": len(advice["undone"])} if advice.get("undone") else {}),
            **({"shift": advice["shift"]["sentence"]} if advice.get("shift") else {}),
        }

    def compare(self, recommendation: str, first: int = 1, second: int = 2) -> _Plain:
        """Two choices of one advice side by side, by their places: scores, costs, and reasons that only one has."""
        choices = require_advice(self._zoo, recommendation)["choices"]
        pair = [_at(choices, place) for place in (first, second)]
        shared = set(pair[0]["because"]) & set(pair[1]["because"])
        return {
            "choices": [
                {**_choice(one), "because": [reason for reason in one["because"] if reason not in shared]}
                for one in pair
            ]
        }

    def tune(self, recommendation: str, path: str, place: int = 1) -> _Plain:
        """Queue the fine-tuning of a choice of advice on the data that it was made for. Gives a job."""
        advice = require_advice(self._zoo, recommendation)
        _at(advice["choices"], place)
        request = choice_request(advice, place - 1)
        beside = {name: value for name in _BESIDE if (value := getattr(request.sample, name)) is not None}
        inside = {name: self._inside(str(value)) for name, value in {**beside, "path": path}.items()}
        return self._queue(request.model_copy(update={"sample": request.sample.model_copy(update=inside)}))

    def run_status(self, name: str) -> _Plain:
        """How a job or a run stands: how far it is, then the id of its advice or run, expected and realized score."""
        if _JOB.fullmatch(name):
            job_queue.ensure_worker(self._zoo)
            return _stand(self._zoo.jobs.get(name))
        run = find_run(self._zoo.home, name)
        if run.state is not RunState.FINISHED:
            return {"run": run.id, "state": str(run.state), "reason": run.reason}
        result = run.result
        return {
            "run": run.id,
            "state": "finished",
            "checkpoint": result["checkpoint"],
            "strategy": result["strategy"],
            "metrics": {name: round(value, 4) for name, value in result["metrics"].items()},
            "notes": [*result["notes"]][:5],
        }

    def predict(self, run: str, path: str) -> _Plain:
        """What a finished run says of the items at a path: how often each class, and the first rows.

        Where it labels words, how often each kind is there, and what is of one kind in the first rows.
        """
        request = PredictRequest(run=run, path=self._inside(path))
        check_request(request, self._zoo)
        answer = perform(request, self._zoo).to_dict()
        rows = answer["rows"]
        tagged = answer["task"] == Task.TOKEN_CLASSIFICATION
        counts = Counter(kind for row in rows for kind in (_kinds(row) if tagged else [str(row["prediction"])]))
        names = ("file", "spans" if tagged else "prediction", "confidence")
        return {
            "rows": len(rows),
            "predictions": dict(counts.most_common(_MOST)),
            "first": [{name: _rounded(row[name]) for name in names} for row in rows[:_SHOWN]],
            "judged": answer["judged"],
            "skipped": len(answer["skipped"]),
        }

    def advice(self, recommendation: str) -> _Plain:
        """Kept advice, whole."""
        return dict(require_advice(self._zoo, recommendation))

    def card(self, checkpoint: str) -> _Plain:
        """All that is known of a checkpoint."""
        return dict(to_json(self._zoo.checkpoint(checkpoint)))

    def _sample(self, path: str, text: str | None, label: str | None, text2: str | None) -> SampleRequest:
        return SampleRequest(path=self._inside(path), text=text, label=label, text2=text2)

    def _inside(self, path: str) -> Path:
        """The path, which must lie below one of the roots, links followed."""
        return locate(path, Path.cwd(), self._roots)

    def _queue(self, request: Request) -> _Plain:
        check_request(request, self._zoo)
        return _stand(job_queue.enqueue(self._zoo, request))


def _at(choices: Sequence[Mapping[str, Any]], place: int) -> Mapping[str, Any]:
    """The choice at a place, counted from 1."""
    if not 0 < place <= len(choices):
        raise UnknownName("place", str(place), [str(one) for one in range(1, len(choices) + 1)])
    return choices[place - 1]


def _kinds(row: Mapping[str, Any]) -> list[str]:
    """The kind of each span of a row; of plain tags each that is not outside."""
    return [span["kind"] for span in row["spans"]] or [tag for tag in row["prediction"].split() if tag != OUTSIDE]


def _text(card: Checkpoint) -> str:
    return f"{card.name} {card.modality} {card.architecture} {card.source} {card.domain}".casefold()


def _brief(card: Checkpoint) -> _Plain:
    names = ("name", "modality", "architecture", "parameters", "license", "domain")
    return {name: getattr(card, name) for name in names}


def _rounded(value: object) -> object:
    return round(value, 4) if isinstance(value, float) else value


def _score(expected: Mapping[str, Any]) -> _Plain:
    return {name: round(expected[name], 4) for name in ("mean", "low", "high")}


def _choice(choice: Mapping[str, Any]) -> _Plain:
    brief = {name: choice[name] for name in ("checkpoint", "strategy", "tier")}
    seen = {"has_seen": choice["exposure"]["because"]} if choice.get("exposure") else {}
    return {**brief, "expected": _score(choice["expected"]), "seconds": round(choice["cost"]["seconds"], 1), **seen}


def _stand(job: JobRecord) -> _Plain:
    moving = {
        "phase": f"{job.stage} {job.part}".strip(),
        "step": f"{job.step} of {job.steps}" if job.steps else "",
        "done": f"{job.done} of {job.of}" if job.of else "",
    }
    return {
        "job": job.id,
        "kind": job.kind,
        "state": str(job.state),
        **(moving if job.state is JobState.RUNNING else {}),
        **(job.result or {}),
        **({"error": job.error} if job.error else {}),
    }
