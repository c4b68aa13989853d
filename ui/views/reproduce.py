"""The command and the code that give a piece of advice again."""

from collections.abc import Mapping
from pathlib import Path

from registry.cards import METRICS, Task
from ui.render import Json, command

__all__ = ["as_command", "as_python", "raw_options", "tune_options"]


def as_command(advice: Json, home: Path, place: int = 0) -> str:
    """What to type for this advice, and then to tune the choice at that place of it."""
    sample, asked = advice["sample"], advice["settings"]
    read = {
        **_labels(sample),
        "groups": sample["groups_from"],
        "test": sample["test_from"],
        "metric": sample["metric"],
        "class_folder": sample.get("class_folder"),
    }
    kept = ["--keep-duplicates"] if _keeps_duplicates(sample) else []
    repeated = [("--license", one) for one in asked["licenses"]] + [("--exclude", one) for one in asked["exclude"]]
    links = ["--follow-links"] if sample.get("follow_links") else []
    first = command(
        "recommend",
        sample["origin"],
        *kept,
        *links,
        *(word for pair in repeated for word in pair),
        keep=asked["keep"],
        max_parameters=asked["max_parameters"],
        **read,
        seed=asked["seed"],
        home=home,
    )
    if not advice["choices"]:
        return first
    raw = ["--no-transfer"] if _fits_raw(advice, place) else []
    named = {} if raw else _chosen(advice, place)
    tuned = command(
        "tune",
        sample["origin"],
        *kept,
        *links,
        *raw,
        recommendation=advice["id"],
        **named,
        **read,
        seed=asked["seed"],
        home=home,
    )
    return f"{first}\n{tuned}"


def as_python(advice: Json, home: Path, place: int = 0) -> str:
    """The same in Python."""
    sample, asked = advice["sample"], advice["settings"]
    limits = _arguments(
        {
            "max_parameters": asked["max_parameters"],
            "licenses": tuple(asked["licenses"]) or None,
            "exclude": tuple(asked["exclude"]) or None,
        }
    )
    usual = METRICS[Task(sample["task"])][0]
    read = _arguments(
        {
            **_labels(sample),
            "groups": sample["groups_from"],
            "test": sample["test_from"],
            "metric": None if sample["metric"] == usual else sample["metric"],
            "class_folder": sample.get("class_folder"),
            "follow_links": sample.get("follow_links") or None,
            "keep_duplicates": True if _keeps_duplicates(sample) else None,
        }
    )
    constraints = f", constraints=Constraints({limits.removeprefix(', ')})" if limits else ""
    picked = "advice.best"
    if _fits_raw(advice, place):
        picked = "advice.baseline"
    elif place:
        named = advice["choices"][place]["checkpoint"]
        picked = f"next(choice for choice in advice.choices if choice.checkpoint.name == {named!r})"
    tuned = [
        f"choice = {picked}",
        f"run = transferzoo.tune(choice, sample, zoo, transferzoo.TuneOptions(seed={asked['seed']}))",
        "print(advice, run.metrics)",
    ]
    return "\n".join(
        [
            "import transferzoo",
            *(["from recommender.shortlist import Constraints"] if limits else []),
            "",
            f"zoo = transferzoo.Zoo.open({str(home)!r})",
            f"sample = transferzoo.Sample.from_folder({sample['origin']!r}{read})",
            f"advice = transferzoo.recommend(sample, zoo, keep={asked['keep']}, seed={asked['seed']}{constraints})",
            "zoo.keep(advice)",
            *(tuned if advice["choices"] else ["print(advice)"]),
        ]
    )


def _labels(sample: Json) -> dict[str, str | None]:
    """The table that the targets were read from, and what they were taken for."""
    table = sample.get("labels_from")
    return {"labels": table, "task": sample["task"] if table else None}


def _keeps_duplicates(sample: Json) -> bool:
    """Whether it was read so; before there was a choice, it was."""
    return bool(sample.get("keep_duplicates", True))


def _fits_raw(advice: Json, place: int) -> bool:
    """Whether what is advised is the model on raw pixels."""
    return place == 0 and not advice["verdict"]["transfer"]


def _chosen(advice: Json, place: int) -> dict[str, str]:
    choice = advice["choices"][place]
    return {"checkpoint": choice["checkpoint"], "strategy": choice["strategy"]}


def _arguments(given: Mapping[str, object]) -> str:
    return "".join(f", {name}={value!r}" for name, value in given.items() if value is not None)


def tune_options(advice: Json, place: int) -> dict[str, str | bool | None]:
    """Options of `transferzoo tune` for one row of the advice, which is named."""
    return {**_asked(advice), **_chosen(advice, place)}


def raw_options(advice: Json) -> dict[str, str | bool | None]:
    """Options of `transferzoo tune` that fit the model on raw pixels."""
    return {**_asked(advice), "no-transfer": True}


def _asked(advice: Json) -> dict[str, str | bool | None]:
    sample = advice["sample"]
    return {
        "recommendation": advice["id"],
        **_labels(sample),
        "groups": sample["groups_from"],
        "test": sample["test_from"],
        "metric": sample["metric"],
        "seed": str(advice["settings"]["seed"]),
        "keep-duplicates": _keeps_duplicates(sample),
    }
