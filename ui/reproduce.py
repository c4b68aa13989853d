"""What to type for a request, and the Python that does the same: both are derived from the request, here alone."""

import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from recommender.effort import Effort
from recommender.requests import (
    LIMITS,
    RecommendRequest,
    Request,
    SampleRequest,
    TuneRequest,
    choice_request,
    recommend_request,
)
from registry.addresses import public, sqlite_url
from registry.home import Home
from ui.render import Json, command, program

__all__ = ["advice_commands", "advice_python", "as_command", "as_python", "mlflow_command", "options_of"]

ARGUMENTS = ("run", "path", "other", "origin", "folder", "hub", "name", "names", "words", "file")
"""Fields that are typed without their name, in this order, where the kind has them so."""
NAMED = {("zoo add", "name"), ("domains add", "name")}
"""Fields of these names that are options all the same."""
REPEATED = {
    "licenses": "license",
    "exclude": "exclude",
    "source": "from",
    "experiments": "experiment",
    "continues": "continue",
}
"""Fields that are typed under another name; of those with several values, the option that gives each of them."""


def mlflow_command(home: Home) -> str:
    """The command that opens MLflow's page: of ``MLFLOW_TRACKING_URI``, else on a registry's tracking store."""
    place = public(os.environ.get("MLFLOW_TRACKING_URI") or sqlite_url(home.tracking_database))
    if place.startswith("http"):
        return shlex.join([program("python"), "-m", "webbrowser", place])
    return shlex.join([program("mlflow"), "ui", "--workers", "1", "--backend-store-uri", place])


def as_command(request: Request, home: Path | None = None) -> str:
    """The command that asks for the same."""
    words = [word for name, value in options_of(request).items() for word in _words(name, value)]
    return command(request.kind, *_arguments(request), *words, home=home)


def options_of(request: Request) -> dict[str, str | bool | list[str]]:
    """The options that ask for the same, by their long names, without those that are as they would be anyway."""
    return {name: value for name, value in _options(request) if value is not None}


def advice_commands(advice: Json, home: Path, place: int = 0) -> str:
    """What to type for this advice, and then to tune the choice at that place of it."""
    lines = [as_command(recommend_request(advice), home)]
    if advice["choices"]:
        lines.append(as_command(_request_of(advice, place), home))
    return "\n".join(lines)


def advice_python(advice: Json, home: Path, place: int = 0) -> str:
    """The same in Python."""
    choice = _request_of(advice, place) if advice["choices"] else None
    return as_python(recommend_request(advice), choice, home, best=place == 0)


def as_python(request: RecommendRequest, choice: TuneRequest | None, home: Path, *, best: bool = True) -> str:
    """Code that asks for advice and carries out a choice of it, its best or one by name."""
    limits = _call(
        {
            "max_parameters": request.max_parameters,
            "licenses": request.licenses or None,
            "exclude": request.exclude or None,
            **{name: getattr(request, name) for name in LIMITS},
        }
    )
    constraints = f", constraints=Constraints({limits.removeprefix(', ')})" if limits else ""
    picked = "advice.best"
    if choice is not None and choice.no_transfer:
        picked = "advice.baseline"
    elif choice is not None and not best:
        picked = f"next(choice for choice in advice.choices if choice.checkpoint.name == {choice.checkpoint!r})"
    tuned = [
        f"choice = {picked}",
        f"run = transferzoo.tune(choice, sample, zoo, transferzoo.TuneOptions(seed={request.sample.seed}))",
        "print(advice, run.metrics)",
    ]
    seed = request.sample.seed
    effort = "" if request.effort is Effort.NORMAL else f", effort=transferzoo.Effort.{request.effort.name}"
    deadline = "" if request.time_budget is None else f", deadline=transferzoo.Deadline({request.time_budget!r})"
    more = f"{constraints}{effort}{deadline}"
    return "\n".join(
        [
            "import transferzoo",
            *(["from recommender.constraints import Constraints"] if limits else []),
            "",
            f"zoo = transferzoo.Zoo.open({str(home)!r})",
            f"sample = transferzoo.Sample.from_folder({_reading(request.sample)})",
            f"advice = transferzoo.recommend(sample, zoo, keep={request.keep}, seed={seed}{more})",
            "zoo.keep(advice)",
            *(tuned if choice is not None else ["print(advice)"]),
        ]
    )


def _request_of(advice: Json, place: int) -> TuneRequest:
    """What is advised at a place: where that is not to transfer, the first is the model of no transfer."""
    return choice_request(advice, None if place == 0 and not advice["verdict"]["transfer"] else place)


def _reading(sample: SampleRequest) -> str:
    options = sample.model_dump(mode="json", exclude_defaults=True, exclude={"path"})
    return f"{str(sample.path)!r}{_call(options)}"


def _call(options: Mapping[str, object]) -> str:
    return "".join(f", {name}={value!r}" for name, value in options.items() if value is not None)


def _arguments(request: Request) -> list[str]:
    fields = {"path": request.place, **_own(request)}
    typed = [fields[name] for name in ARGUMENTS if fields.get(name) and (request.kind, name) not in NAMED]
    return [str(one) for value in typed for one in (value if isinstance(value, tuple) else (value,))]


def _own(request: Request) -> dict[str, object]:
    """Its fields, without those of the sample."""
    return {name: getattr(request, name) for name in type(request).model_fields if name != "sample"}


def _options(request: Request) -> Iterator[tuple[str, str | bool | list[str] | None]]:
    sample = getattr(request, "sample", None)
    read = isinstance(sample, SampleRequest)
    for part in (request, *([sample] if isinstance(sample, SampleRequest) else [])):
        fields = part.model_dump(mode="json", exclude_defaults=True, exclude={"sample"} if read else None)
        for name, value in fields.items():
            if name not in ARGUMENTS or (request.kind, name) in NAMED:
                yield _option(name, value)


def _option(name: str, value: object) -> tuple[str, str | bool | list[str] | None]:
    if isinstance(value, dict):
        return "set", [f"{key}={text}" for key, text in value.items()]
    long = REPEATED.get(name, name).replace("_", "-")
    if value is False:
        return f"no-{long}", True
    if name == "add" and isinstance(value, list):
        return long, ",".join(map(str, value))
    if isinstance(value, list):
        return long, [str(one) for one in value]
    return long, True if value is True else None if value is None else str(value)


def _words(name: str, value: str | bool | list[str]) -> list[str]:
    return [
        word
        for one in (value if isinstance(value, list) else [value])
        for word in ([f"--{name}"] if one is True else [f"--{name}", str(one)])
    ]
