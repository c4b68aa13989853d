"""A model card for what a run made: what it learned from, how good it is, from what it started, how it is loaded.

Hugging Face's format (front matter in YAML, then Markdown). Names of strangers are written as text; no path of this
machine is in it.
"""

import html
import re
from collections.abc import Mapping
from typing import Any

import yaml

from recommender.baseline import NOTHING
from recommender.runs.folder import RunFolder
from recommender.serving.export import Exported
from recommender.serving.predict import finished
from registry.cards import UNKNOWN_LICENSE, Checkpoint, Metric, Task
from registry.escapes import shown
from registry.files import write_atomic
from registry.metrics import LEVEL, Z
from registry.modalities import modalities

__all__ = ["model_card", "write_card"]

_HUB_LICENSE = re.compile(r"[a-z0-9.+-]+")


def write_card(run: RunFolder, exported: Exported, start: Checkpoint | None) -> None:
    """Write README.md into the folder that was exported; what it said of how to use it stays below.

    Raises:
        NotFinished: the run has not come to its end.
        DiskFull: there is no room.
    """
    place = exported.folder / "README.md"
    usage = place.read_text() if place.is_file() else ""
    write_atomic(place, (model_card(run, exported, start) + (f"\n{usage}" if usage else "")).encode())


_OWN = "It started from no weights of others. The data it was fitted on may have a license of their own."


def model_card(run: RunFolder, exported: Exported, start: Checkpoint | None) -> str:
    """The card; ``start`` is the checkpoint that the run started from, None where nobody knows it any more.

    Raises:
        NotFinished: the run has not come to its end.
    """
    result = finished(run)
    license = UNKNOWN_LICENSE if start is None else start.license
    front = yaml.safe_dump(_front(run, result, start, license, exported), sort_keys=False, allow_unicode=True)
    parts = [
        f"# {_text(_title(result))}",
        _origin(result, start),
        "## Data\n\n" + _table(_data(result)),
        "## Scores\n\n" + _table(_scores(result)),
        "## Training\n\n" + _table(_training(run, result)),
        "## License\n\n" + (_OWN if result.get("checkpoint") == NOTHING else _license(license, start)),
        "## How to load it\n\n" + _loading(exported),
    ]
    if result.get("notes"):
        parts.insert(4, "## Notes\n\n" + "\n".join(f"- {_text(note)}" for note in result["notes"]))
    return f"---\n{front}---\n\n" + "\n\n".join(parts) + "\n"


def _front(
    run: RunFolder, result: Mapping[str, Any], start: Checkpoint | None, license: str, exported: Exported
) -> dict[str, Any]:
    sample, metric = result["sample"], str(result["sample"].get("metric", "score"))
    name = license.removeprefix("LicenseRef-").casefold()
    body: dict[str, Any] = {"library_name": exported.form, "tags": ["transferzoo"]}
    if license == UNKNOWN_LICENSE:
        body["license"] = UNKNOWN_LICENSE
    elif _HUB_LICENSE.fullmatch(name):
        body["license"] = name
    else:
        body |= {"license": "other", "license_name": shown(license)}
    if start is not None and start.locator is not None:
        body["base_model"] = start.locator.hub
    task = _hub_task(str(sample.get("modality")), str(result["task"]))
    if task and exported.form == "transformers" and exported.script is None:
        body["pipeline_tag"] = task
    if "score" in result.get("metrics", {}):
        entry = {
            "task": {"type": task or str(result["task"])},
            "dataset": {
                "name": shown(sample.get("name", "")),
                "type": "private",
                "revision": str(sample.get("digest", "")),
            },
            "metrics": [{"type": metric, "value": float(result["metrics"]["score"])}],
        }
        body["model-index"] = [{"name": run.id, "results": [entry]}]
    return body


def _hub_task(modality: str, task: str) -> str:
    if modality not in modalities:
        return ""
    positions = modalities[modality].positions if task == Task.TOKEN_CLASSIFICATION else None
    return (modalities[modality] if positions is None else positions).hub_task


def _title(result: Mapping[str, Any]) -> str:
    if result.get("checkpoint") == NOTHING:
        return f"A model without transfer, fitted on {result['sample'].get('name', 'a sample')}"
    return f"{result.get('checkpoint', 'a checkpoint')} tuned on {result['sample'].get('name', 'a sample')}"


def _origin(result: Mapping[str, Any], start: Checkpoint | None) -> str:
    if result.get("checkpoint") == NOTHING:
        return "Made with transferzoo from no checkpoint: it reads raw features."
    words = f"Made with transferzoo from **{_text(str(result.get('checkpoint', '')))}**"
    if start is None:
        return f"{words}, of which nothing more is known any longer."
    if start.locator is not None:
        words += f" (`{_text(start.locator.hub)}` at commit `{start.locator.commit}`)"
    names = dict.fromkeys([*start.lineage, *([start.domain] if start.domain else [])])
    lineage = ", ".join(map(_text, names)) or "unknown data"
    return f"{words}, weights `sha256:{start.digest}`. It had learned from: {lineage}."


def _data(result: Mapping[str, Any]) -> dict[str, object]:
    sample = result["sample"]
    classes = ", ".join(map(str, result.get("classes", ())[:50]))
    return {
        "sample": sample.get("name", ""),
        "digest": sample.get("digest", ""),
        "modality": sample.get("modality", ""),
        "task": result["task"],
        "rows to learn from": sample.get("rows", ""),
        "rows to test on": sample.get("test_rows", ""),
        "classes": classes,
    }


def _scores(result: Mapping[str, Any]) -> dict[str, object]:
    metrics = result.get("metrics", {})
    if "score" not in metrics:
        return {"score": "not measured"}
    metric, score = Metric(result["sample"]["metric"]), float(metrics["score"])
    rows: dict[str, object] = {}
    error = metrics.get("standard_error")
    within = ""
    if error is not None:
        low = max(metric.lowest, score - Z * error)
        within = f" (90 % interval {metric.interval(low, min(1.0, score + Z * error))})"
    rows[f"{metric} on the test rows"] = f"{metric.words(score)}{within}"
    if "expected_mean" in metrics:
        bounds = metric.interval(metrics["expected_low"], metrics["expected_high"])
        rows["expected before"] = f"{metric.words(metrics['expected_mean'])} ({LEVEL}: {bounds})"
    return rows


def _training(run: RunFolder, result: Mapping[str, Any]) -> dict[str, object]:
    plan = result.get("plan", {})
    stages = [
        f"{stage['epochs']} epochs of {', '.join(stage['train']) or 'the head'}" for stage in plan.get("stages", ())
    ]
    versions = ", ".join(f"{name} {number}" for name, number in result.get("versions", {}).items())
    return {
        "strategy": result.get("strategy", plan.get("strategy", "")),
        "head reads": plan.get("read", ""),
        "frozen": ", ".join(plan.get("frozen", ())) or "nothing",
        "stages": "; ".join(stages) or ("none" if result.get("checkpoint") == NOTHING else "the head alone"),
        "seed": run.job.get("seed", result.get("conditions", {}).get("seed", "unknown")),
        "run": run.id,
        "versions": versions,
    }


def _license(license: str, start: Checkpoint | None) -> str:
    if license == UNKNOWN_LICENSE:
        return "The license of what it started from is unknown; nobody is thereby permitted anything."
    name = "" if start is None else f" of {_text(start.name)}, from which it started"
    return f"`{_text(license)}`, the license{name}. The data it was tuned on may have one of their own."


def _loading(exported: Exported) -> str:
    match exported.form:
        case "transformers" if exported.script is not None:
            code = f'import runpy\n\nlogits = runpy.run_path("FOLDER/{exported.script}")["logits"]'
        case "transformers" if exported.opener is not None:
            module, _, opener = exported.opener.rpartition(".")
            where = module or "transformers"
            code = f"from {where} import {opener}\n\nmodel = {opener}.from_pretrained(FOLDER)"
        case "onnx":
            code = 'import onnxruntime\n\nmodel = onnxruntime.InferenceSession("FOLDER/model.onnx")'
        case "scikit-learn":
            return "As it is said below."
        case _:
            code = f"transferzoo predict {exported.run} FOLDER"
    return f"```python\n{code}\n```"


def _table(rows: Mapping[str, object]) -> str:
    body = "\n".join(f"| {_text(str(name))} | {_text(str(value))} |" for name, value in rows.items() if value != "")
    return f"| | |\n|---|---|\n{body}"


def _text(words: str) -> str:
    """A stranger's words, shown and never acted on."""
    line = shown(" ".join(words.split()))
    return re.sub(r"([\\`*_{}\[\]()#!|~])", r"\\\1", html.escape(line, quote=False))
