"""The command and the code that give a piece of advice again."""

from collections.abc import Mapping
from pathlib import Path

from registry.cards import METRICS, Task
from ui.render import Json, command

__all__ = ["as_command", "as_python", "tune_options"]


def as_command(advice: Json, home: Path) -> str:
    """What to type for this advice, and then to tune as it says."""
    sample, asked = advice["sample"], advice["settings"]
    read = {**_labels(sample), "groups": sample["groups_from"], "test": sample["test_from"], "metric": sample["metric"],
            "class_folder": sample.get("class_folder")}
    repeated = [("--license", one) for one in asked["licenses"]] + [("--exclude", one) for one in asked["exclude"]]
    links = ["--follow-links"] if sample.get("follow_links") else []
    first = command(
        "recommend", sample["origin"], *links, *(word for pair in repeated for word in pair), keep=asked["keep"],
        max_parameters=asked["max_parameters"], **read, seed=asked["seed"], home=home,
    )  # fmt: skip
    tuned = command(
        "tune", sample["origin"], *links, recommendation=advice["id"], **read, seed=asked["seed"], home=home
    )  # fmt: skip
    return f"{first}\n{tuned}"


def as_python(advice: Json, home: Path) -> str:
    """The same in Python."""
    sample, asked = advice["sample"], advice["settings"]
    limits = _arguments({
        "max_parameters": asked["max_parameters"], "licenses": tuple(asked["licenses"]) or None,
        "exclude": tuple(asked["exclude"]) or None,
    })  # fmt: skip
    usual = METRICS[Task(sample["task"])][0]
    read = _arguments({
        **_labels(sample), "groups": sample["groups_from"], "test": sample["test_from"],
        "metric": None if sample["metric"] == usual else sample["metric"], "class_folder": sample.get("class_folder"),
        "follow_links": sample.get("follow_links") or None,
    })  # fmt: skip
    constraints = f", constraints=Constraints({limits.removeprefix(', ')})" if limits else ""
    return "\n".join([
        "import recommender", "import registry",
        *(["from recommender.shortlist import Constraints"] if limits else []),
        "",
        f"zoo = registry.Zoo.open({str(home)!r})",
        f"sample = registry.Sample.from_folder({sample['origin']!r}{read})",
        f"advice = recommender.recommend(sample, zoo, keep={asked['keep']}, seed={asked['seed']}{constraints})",
        "zoo.keep(advice)",
        f"run = recommender.tune(advice.best, sample, zoo, recommender.Terms(seed={asked['seed']}))",
        "print(advice, run.metrics)",
    ])  # fmt: skip


def _labels(sample: Json) -> dict[str, str | None]:
    """The table that the targets were read from, and what they were taken for."""
    table = sample.get("labels_from")
    return {"labels": table, "task": sample["task"] if table else None}


def _arguments(given: Mapping[str, object]) -> str:
    return "".join(f", {name}={value!r}" for name, value in given.items() if value is not None)


def tune_options(advice: Json, place: int) -> dict[str, str | None]:
    """Options of `transferzoo tune` for one row of the advice; the best row needs no name."""
    sample, choice = advice["sample"], advice["choices"][place]
    named = {"checkpoint": choice["checkpoint"], "strategy": choice["strategy"]} if place else {}
    return {
        "recommendation": advice["id"], **named, **_labels(sample), "groups": sample["groups_from"],
        "test": sample["test_from"], "metric": sample["metric"], "seed": str(advice["settings"]["seed"]),
    }  # fmt: skip
