"""The command and the code that give a piece of advice again."""

from pathlib import Path

from ui.render import Json, command

__all__ = ["as_command", "as_python", "tune_options"]


def as_command(advice: Json, home: Path) -> str:
    """What to type for this advice, and then to tune as it says."""
    sample, asked = advice["sample"], advice["settings"]
    read = {"groups": sample["groups_from"], "test": sample["test_from"], "metric": sample["metric"]}
    licenses = [word for one in asked["licenses"] for word in ("--license", one)]
    first = command(
        "recommend", sample["origin"], *licenses, keep=asked["keep"], max_parameters=asked["max_parameters"],
        **read, seed=asked["seed"], home=home,
    )  # fmt: skip
    return first + "\n" + command("tune", sample["origin"], recommendation=advice["id"], **read, home=home)


def as_python(advice: Json, home: Path) -> str:
    """The same in Python."""
    sample, asked = advice["sample"], advice["settings"]
    limited = asked["max_parameters"] is not None or asked["licenses"]
    limits = f"Constraints(max_parameters={asked['max_parameters']}, licenses={tuple(asked['licenses'])!r})"
    read = "".join(
        f", {name}={value!r}"
        for name, value in (
            ("groups", sample["groups_from"]), ("test", sample["test_from"]),
            ("metric", None if sample["metric"] == "accuracy" else sample["metric"]),
        )
        if value is not None
    )  # fmt: skip
    lines = [
        "import recommender", "import registry",
        *(["from recommender.shortlist import Constraints"] if limited else []),
        "",
        f"zoo = registry.Zoo.open({str(home)!r})",
        f"sample = registry.Sample.from_folder({sample['origin']!r}{read})",
        f"advice = recommender.recommend(sample, zoo, keep={asked['keep']}, seed={asked['seed']}"
        + (f", constraints={limits})" if limited else ")"),
        "zoo.keep(advice)",
        "run = recommender.tune(advice.best, sample, zoo)",
        "print(advice, run.metrics)",
    ]  # fmt: skip
    return "\n".join(lines)


def tune_options(advice: Json, place: int) -> dict[str, str | None]:
    """Options of `transferzoo tune` for one row of the advice; the best row needs no name."""
    sample, choice = advice["sample"], advice["choices"][place]
    named = {"checkpoint": choice["checkpoint"], "strategy": choice["strategy"]} if place else {}
    return {
        "recommendation": advice["id"], **named, "groups": sample["groups_from"], "test": sample["test_from"],
        "metric": sample["metric"], "seed": str(advice["settings"]["seed"]),
    }  # fmt: skip
