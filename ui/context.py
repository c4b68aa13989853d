"""Command context: options, the opened registry, the terminal, and the request that was typed."""

import inspect
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.text import Text

from recommender.requests import REQUESTS, Request, SampleRequest
from registry.cards import ClassFolder, Metric, Task
from registry.errors import TransferZooError, UnknownName
from registry.forms import Json
from registry.progress import Event, silent
from ui import completion, render
from ui.interrupts import ExitAtOnce
from ui.strangers import table_csv
from ui.terminal import console, print_json, silence_libraries

if TYPE_CHECKING:
    from registry.zoo import Zoo

__all__ = [
    "CheckpointOption",
    "ClassFolderOption",
    "CommandContext",
    "DeviceOption",
    "FollowLinksOption",
    "GroupsOption",
    "HomeOption",
    "JsonOption",
    "KeepDuplicatesOption",
    "LabelsOption",
    "ListOptions",
    "MetricOption",
    "PathArgument",
    "SeedOption",
    "StrategyOption",
    "TaskOption",
    "TestOption",
    "command_context",
    "parse_request",
    "takes_list",
    "takes_sample",
]

PathArgument = Annotated[
    Path,
    typer.Argument(
        help="Items as <class>/*.jpg|png|txt ..., or train/ and test/ above; a zip; a CSV, TSV, JSONL or Parquet file."
    ),
]
HomeOption = Annotated[Path | None, typer.Option("--home", help="The registry's folder; else TRANSFERZOO_HOME.")]
CheckpointOption = Annotated[
    str | None,
    typer.Option("--checkpoint", help="This one instead of the advised.", autocompletion=completion.checkpoint_names),
]
StrategyOption = Annotated[
    str | None,
    typer.Option("--strategy", help="This one instead of the advised.", autocompletion=completion.strategy_names),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, to stdout.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Everything random follows it.")]
MetricOption = Annotated[
    Metric | None,
    typer.Option(
        "--metric",
        metavar="<metric>",
        help=f"What a prediction is judged by: {', '.join(Metric)}; else what is usual for the task.",
    ),
]
LabelsOption = Annotated[
    Path | None,
    typer.Option("--labels", help="CSV with columns file, target (several joined by |); PATH then has any layout."),
]
TaskOption = Annotated[
    Task | None,
    typer.Option(
        "--task",
        metavar="<task>",
        help=f"What the targets are: {', '.join(Task)}; else it is read off them.",
    ),
]
GroupsOption = Annotated[
    Path | None, typer.Option("--groups", help="CSV with columns file, group: rows of a group stay together.")
]
TestOption = Annotated[Path | None, typer.Option("--test", help="Your own test part, laid out like PATH.")]
KeepDuplicatesOption = Annotated[
    bool,
    typer.Option(
        "--keep-duplicates",
        help="Take items that look alike for independent; else one group, left out of training if in the test.",
    ),
]
DeviceOption = Annotated[
    str, typer.Option("--device", help="auto (the fastest), cpu, cuda:N or mps: where it is computed.")
]
ClassFolderOption = Annotated[
    ClassFolder | None, typer.Option("--class-folder", help="Which of two folders above an item is its class.")
]
FollowLinksOption = Annotated[
    bool, typer.Option("--follow-links", help="Follow links that lead out of the folder that is read.")
]
ModalityOption = Annotated[
    str | None, typer.Option("--modality", help="What the items are, where files of several modalities lie there.")
]
TextOption = Annotated[str | None, typer.Option("--text", help="Of records, the column of texts; else recognized.")]
LabelOption = Annotated[str | None, typer.Option("--label", help="Of records, the column of labels; else recognized.")]
Text2Option = Annotated[str | None, typer.Option("--text2", help="Of records, the column of a pair's second text.")]
GroupOption = Annotated[
    str | None, typer.Option("--group", help="Of records, a column: rows with the same value stay together.")
]
TimeOption = Annotated[
    str | None, typer.Option("--time", help="Of records, a column of times: the latest quarter is the test part.")
]
UnlabelledOption = Annotated[
    Path | None,
    typer.Option("--unlabelled", help="More items of the same kind, without labels: a net may learn from them first."),
]
LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, help="Rows of a part that are read at most; more are sampled.")
]

SAMPLE_OPTIONS: Mapping[str, tuple[object, object]] = {
    "path": (PathArgument, inspect.Parameter.empty),
    "metric": (MetricOption, None),
    "labels": (LabelsOption, None),
    "task": (TaskOption, None),
    "groups": (GroupsOption, None),
    "test": (TestOption, None),
    "keep_duplicates": (KeepDuplicatesOption, False),
    "class_folder": (ClassFolderOption, None),
    "follow_links": (FollowLinksOption, False),
    "modality": (ModalityOption, None),
    "text": (TextOption, None),
    "label": (LabelOption, None),
    "text2": (Text2Option, None),
    "group": (GroupOption, None),
    "time": (TimeOption, None),
    "unlabelled": (UnlabelledOption, None),
    "limit": (LimitOption, None),
    "seed": (SeedOption, 0),
}
"""The fields of a `SampleRequest` as they are typed, with their defaults."""
LIST_OPTIONS: Mapping[str, tuple[object, object]] = {
    "sort": (
        Annotated[
            str | None, typer.Option("--sort", help="Order by this key of the JSON; KEY- for the greatest first.")
        ],
        None,
    ),
    "limit": (Annotated[int | None, typer.Option("--limit", min=1, help="Rows at most.")], None),
    "csv": (Annotated[bool, typer.Option("--csv", help="Print CSV, and nothing else, to stdout.")], False),
    "home": (HomeOption, None),
    "json": (JsonOption, False),
}
"""The fields of `ListOptions` as they are typed, with their defaults."""
TELL_EVERY = 0.25
_KEYWORD = inspect.Parameter.KEYWORD_ONLY


@dataclass(frozen=True)
class ListOptions:
    """Of which registry a list is, how it is ordered, cut short and printed."""

    sort: str | None
    limit: int | None
    csv: bool
    json: bool
    home: Path | None = None

    def __post_init__(self) -> None:
        if self.csv and self.json:
            raise typer.BadParameter("give --csv or --json, not both")

    @property
    def for_programs(self) -> bool:
        """Whether stdout is for JSON or CSV alone."""
        return self.csv or self.json

    def arranged(self, rows: Sequence[Json]) -> list[Json]:
        """The rows in the order that was asked for, as many as were; what lacks the key comes last.

        Raises:
            UnknownName: there is no such key.
        """
        kept = list(rows)
        if self.sort is not None and kept:
            key, columns = self.sort.removesuffix("-"), value_keys(rows)
            if key not in columns:
                raise UnknownName("key to sort by", key, columns)
            known = sorted((row for row in kept if row.get(key) is not None), key=lambda row: _rank(row[key]))
            lacking = [row for row in kept if row.get(key) is None]
            kept = [*(reversed(known) if self.sort.endswith("-") else known), *lacking]
        return kept[: self.limit]


@dataclass(frozen=True)
class CommandContext:
    """What every command works with: the registry, and where to speak."""

    zoo: "Zoo"
    terminal: Console
    bars: render.Bars
    json: bool
    job: str | None
    began: float
    """When the command began, by the monotonic clock."""
    home: Path | None = None
    """The registry's folder as it was typed."""

    def print(self, report: RenderableType) -> None:
        """Print for a person: to stdout, or to stderr where stdout is for JSON."""
        self.terminal.print(report, "")

    def print_json(self, form: object) -> None:
        """Print for a program, where that was asked for."""
        if self.json:
            print_json(form)

    def print_rows(
        self, rows: Sequence[Json], draw: Callable[[Sequence[Json]], RenderableType], options: ListOptions
    ) -> None:
        """Print a list as a table, as JSON or, as far as its rows hold single values, as CSV.

        Raises:
            UnknownName: there is no such key to sort by.
        """
        kept = options.arranged(rows)
        self.print(draw(kept))
        if options.csv:
            sys.stdout.write(table_csv(value_keys(rows), kept))
        else:
            self.print_json(kept)

    def finish(self, result: Mapping[str, object]) -> None:
        """Tell the job, where there is one, what came of it."""
        if self.job is not None:
            self.zoo.jobs.finish(self.job, result)


def value_keys(rows: Sequence[Json]) -> list[str]:
    """The keys of rows that hold a single value wherever they are, in reading order."""
    keys = dict.fromkeys(key for row in rows for key in row)
    return [key for key in keys if not any(isinstance(row.get(key), (Mapping, list, tuple)) for row in rows)]


def _rank(value: object) -> tuple[bool, float, str]:
    """Numbers before texts, texts without regard to case."""
    number = isinstance(value, int | float)
    return not number, float(value) if isinstance(value, int | float) else 0.0, "" if number else str(value).casefold()


def takes_sample(*left_out: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command whose parameter ``sample`` stands for the options that name a sample and how it is read.

    The command is handed them as a mapping of the fields of a `SampleRequest`; ``left_out`` are not on offer.
    """
    offered = {name: option for name, option in SAMPLE_OPTIONS.items() if name not in left_out}
    return lambda command: _standing_for("sample", offered, dict, command, first="path")


def takes_list(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose parameter ``options`` stands for those that every list has; it is handed `ListOptions`."""
    return _standing_for("options", LIST_OPTIONS, ListOptions, command)


def _standing_for(
    parameter: str,
    offered: Mapping[str, tuple[object, object]],
    made_of: Callable[..., object],
    command: Callable[..., None],
    *,
    first: str | None = None,
) -> Callable[..., None]:
    """The command with these options in the place of one parameter; its own come before them, ``first`` excepted."""
    own = inspect.signature(command).parameters
    options = {name: inspect.Parameter(name, _KEYWORD, annotation=a, default=d) for name, (a, d) in offered.items()}
    rest = [each.replace(kind=_KEYWORD) for name, each in own.items() if name != parameter]

    def run(**typed: object) -> None:
        value = made_of(**{name: typed.pop(name) for name in options})
        command(**{parameter: value}, **typed)

    run.__name__, run.__doc__, run.__module__ = command.__name__, command.__doc__, command.__module__
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # what typer reads
        [*(options[name] for name in options if name == first), *rest]
        + [each for name, each in options.items() if name != first]
    )
    run.__annotations__ = {each.name: each.annotation for each in (*options.values(), *rest)}
    return run


def parse_request(kind: str, typed: Mapping[str, Any]) -> Request:
    """The request that options of a command make: they are named as its fields are, a reserved word with a ``_``.

    Raises:
        UnusableRequest: they do not go together.
    """
    form = REQUESTS[kind]
    fields: dict[str, Any] = _chosen(form.model_fields, typed)
    if "sample" in form.model_fields and form.model_fields["sample"].annotation is SampleRequest:
        fields["sample"] = SampleRequest(**_chosen(SampleRequest.model_fields, typed.get("sample", typed)))
    return form(**fields)


def _chosen(fields: Iterable[str], options: Mapping[str, Any]) -> dict[str, Any]:
    values = {name: options.get(name, options.get(f"{name}_")) for name in fields if name != "sample"}
    return {name: value for name, value in values.items() if value is not None}


@contextmanager
def command_context(home: Path | None, json: bool, job: str | None = None) -> Iterator[CommandContext]:
    """Open the registry; a job, where there is one, hears of progress and of failure."""
    began = time.monotonic()
    silence_libraries()
    with ExitAtOnce():
        from recommender.runs.recovery import recover  # noqa: PLC0415 - NumPy and SQLAlchemy: no help waits for them
        from registry.zoo import Zoo  # noqa: PLC0415 - likewise

    errors = console(stderr=True)
    with render.Bars(errors) as progress:
        opened = Zoo.open(home, progress=progress)
    with opened as zoo:
        if job is not None and not zoo.jobs.claim(job):
            raise typer.Exit
        recovered = recover(zoo)
        for run in recovered.interrupted:
            errors.print(Text(f"Run {run.id} was interrupted: {run.reason}", "yellow"))
        for outcome in recovered.recorded:
            errors.print(Text(f"Run {outcome.id} was finished; its outcome is recorded now", "yellow"))
        bars = render.Bars(errors, also=silent if job is None else _JobObserver(zoo, job))
        noted = _print_notes(errors, zoo, 0)
        try:
            yield CommandContext(zoo, errors if json else console(), bars, json, job, began, home)
        except BaseException as failure:
            if job is not None:
                zoo.jobs.fail(job, _in_words(failure))
            raise
        finally:
            _print_notes(errors, zoo, noted)


def _print_notes(terminal: Console, zoo: "Zoo", known: int) -> int:
    """Say what the registry has met since that is not as it should be; how much that is by now."""
    for note in zoo.notes[known:]:
        terminal.print(Text(f"Note: {note}", "yellow"), soft_wrap=True)
    return len(zoo.notes)


def _in_words(failure: BaseException) -> str:
    if isinstance(failure, TransferZooError):
        return f"{failure}. {failure.remedy}"
    return f"{type(failure).__name__}: {failure}"


class _JobObserver:
    """A job of the registry as observer: it hears of the work a few times a second, and is asked as often."""

    def __init__(self, zoo: "Zoo", job: str) -> None:
        self._zoo, self._job = zoo, job
        self._reported, self._polled, self._cancelled = 0.0, 0.0, False

    def report(self, event: Event) -> None:
        if event.finished or time.monotonic() - self._reported >= TELL_EVERY:
            self._reported = time.monotonic()
            self._zoo.jobs.report(self._job, event)

    def cancelled(self) -> bool:
        if not self._cancelled and time.monotonic() - self._polled >= TELL_EVERY:
            self._polled = time.monotonic()
            jobs = self._zoo.jobs
            self._cancelled = jobs.get(self._job).state == "cancelled" or not jobs.holds(self._job)
        return self._cancelled
