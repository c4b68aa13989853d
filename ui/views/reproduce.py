"""The command and the code that give a piece of advice again."""

from collections.abc import Mapping
from pathlib import Path

from registry.cards import METRICS, Task
from ui.render import Json, command

__all__ = ["as_command", "as_python", "raw_options", "tune_options"]


def as_command(advice: Json, home: Path) -> str:
    """What to type for this advice, and then to tune as it says."""
    sample, asked = advice["sample"], advice["settings"]
    read = {**_labels(sample), "groups": sample["groups_from"], "test": sample["test_from"], "metric": sample["metric"]}
    kept = ["--keep-duplicates"] if _keeps_duplicates(sample) else []
    repeated = [("--license", one) for one in asked["licenses"]] + [("--exclude", one) for one in asked["exclude"]]
    first = command(
        "recommend", sample["origin"], *kept, *(word for pair in repeated for word in pair), keep=asked["keep"],
        max_parameters=asked["max_parameters"], **read, seed=asked["seed"], home=home,
    )  # fmt: skip
    tuned = command("tune", sample["origin"], *kept, recommendation=advice["id"], **read, seed=asked["seed"], home=home)
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
        "metric": None if sample["metric"] == usual else sample["metric"],
        "keep_duplicates": True if _keeps_duplicates(sample) else None,
    })  # fmt: skip
    constraints = f", constraints=Constraints({limits.removeprefix(', ')})" if limits else ""
    chosen = "best" if advice["verdict"]["transfer"] else "baseline"
    return "\n".join([
        "import recommender", "import registry",
        *(["from recommender.shortlist import Constraints"] if limits else []),
        "",
        f"zoo = registry.Zoo.open({str(home)!r})",
        f"sample = registry.Sample.from_folder({sample['origin']!r}{read})",
        f"advice = recommender.recommend(sample, zoo, keep={asked['keep']}, seed={asked['seed']}{constraints})",
        "zoo.keep(advice)",
        f"run = recommender.tune(advice.{chosen}, sample, zoo, recommender.Terms(seed={asked['seed']}))",
        "print(advice, run.metrics)",
    ])  # fmt: skip


def _labels(sample: Json) -> dict[str, str | None]:
    """The table that the targets were read from, and what they were taken for."""
    table = sample.get("labels_from")
    return {"labels": table, "task": sample["task"] if table else None}


def _keeps_duplicates(sample: Json) -> bool:
    """Whether it was read so; before there was a choice, it was."""
    return bool(sample.get("keep_duplicates", True))


def _arguments(given: Mapping[str, object]) -> str:
    return "".join(f", {name}={value!r}" for name, value in given.items() if value is not None)


def tune_options(advice: Json, place: int) -> dict[str, str | bool | None]:
    """Options of `transferzoo tune` for one row of the advice; the best row needs no name."""
    choice = advice["choices"][place]
    best = place == 0 and advice["verdict"]["transfer"]
    named = {} if best else {"checkpoint": choice["checkpoint"], "strategy": choice["strategy"]}
    return {**_asked(advice), **named}


def raw_options(advice: Json) -> dict[str, str | bool | None]:
    """Options of `transferzoo tune` that fit the model on raw pixels."""
    return {**_asked(advice), "no-transfer": True}


def _asked(advice: Json) -> dict[str, str | bool | None]:
    sample = advice["sample"]
    return {
        "recommendation": advice["id"], **_labels(sample), "groups": sample["groups_from"],
        "test": sample["test_from"], "metric": sample["metric"], "seed": str(advice["settings"]["seed"]),
        "keep-duplicates": _keeps_duplicates(sample),
    }  # fmt: skip
