"""Commands of the queue: add, list, show, cancel, work."""

from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from registry.errors import UnknownName
from ui import render
from ui.checks import require_request
from ui.context import CommandContext, HomeOption, JsonOption, command_context

if TYPE_CHECKING:
    from registry.store import JobRecord
    from ui.job_queue import Options

__all__ = ["app"]

JobArgument = Annotated[str, typer.Argument(help="Id of a job, or the beginning of it.")]
KINDS = ("recommend", "tune")
OUR_OWN = frozenset({"home", "json", "job", "queue"})

app = typer.Typer(no_args_is_help=True, help="Advice and tunings that wait their turn and outlive the terminal.")


@app.command("add", context_settings={"ignore_unknown_options": True})
def queue_add(
    invocation: typer.Context,
    words: Annotated[
        list[str], typer.Argument(metavar="recommend|tune PATH [OPTIONS]", help="What to do, as you would type it.")
    ],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Queue a command, and return at once; a worker for its device is started where there is none."""
    verb, path, options = _parsed(invocation, words)
    with command_context(home, json) as context:
        require_request(context.zoo, path, options)
        from ui import job_queue  # noqa: PLC0415 - loads psutil

        job = job_queue.ask(context.zoo, verb, path, options)
        _tell_of(context, [job])
        shown = [render.command("queue", word, job.id, home=home) for word in ("show", "cancel")]
        render.say_next(context.terminal, [render.command("queue", "list", home=home), *shown])
        context.say_json(job.to_dict())


@app.command("list")
def queue_list(
    every: Annotated[bool, typer.Option("--all", help="Those that are over, too.")] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """List the jobs, the next first; what waits without a worker gets one."""
    with command_context(home, json) as context:
        from ui import job_queue  # noqa: PLC0415 - loads psutil

        job_queue.ensure_worker(context.zoo)
        jobs = [job for job in context.zoo.jobs.list() if every or job.state not in job_queue.OVER]
        _tell_of(context, sorted(jobs, key=lambda job: (job.state in job_queue.OVER, job.lane, job.created)))
        context.say_json([job.to_dict() for job in jobs])


@app.command("show")
def queue_show(name: JobArgument, home: HomeOption = None, json: JsonOption = False) -> None:
    """Show one job: its command, how far it is, what came of it, the last that it wrote."""
    with command_context(home, json) as context:
        from ui import job_queue  # noqa: PLC0415 - loads psutil

        job_queue.ensure_worker(context.zoo)
        job = _named(context, name)
        told = {
            **job.to_dict(),
            "command": render.command(*job_queue.words_of(job.kind, job.spec)),
            "ahead": context.zoo.jobs.ahead(job.id),
            "said": job_queue.last_words(context.zoo.home, job.id),
        }
        context.say(render.job_report(told))
        context.say_json(told)


@app.command("cancel")
def queue_cancel(name: JobArgument, home: HomeOption = None, json: JsonOption = False) -> None:
    """Cancel a job; one that is under way is gone within five seconds."""
    with command_context(home, json) as context:
        from ui import job_queue  # noqa: PLC0415 - loads psutil

        before = _named(context, name)
        after, seconds = job_queue.stop(context.zoo, before.id), None
        if before.state == "running":
            seconds = job_queue.wait_until_gone(before)
        gone = "" if seconds is None else f"; its process was gone after {seconds:.1f} s"
        context.say(Text(f"{after.id} {'was' if before.state in job_queue.OVER else 'is'} {after.state}{gone}"))
        context.say_json(after.to_dict())


@app.command("work")
def queue_work(
    device: Annotated[
        str, typer.Option("--device", help="auto, cpu, cuda:0 ..., or `advice`, the lane of recommendations.")
    ] = "auto",
    until_empty: Annotated[bool, typer.Option("--until-empty", help="End when there is nothing left to do.")] = False,
    home: HomeOption = None,
) -> None:
    """Carry out what is queued for a device, one job after the other; a second worker of a device ends at once."""
    with command_context(home, json=False) as context:
        from ui import job_queue  # noqa: PLC0415 - loads psutil

        lane = job_queue.lane_of(device)
        if not job_queue.work(context.zoo, lane, until_empty=until_empty, say=lambda line: context.say(Text(line))):
            context.say(Text(f"{lane} has a worker already"))


def _parsed(invocation: typer.Context, words: list[str]) -> "tuple[str, str, Options]":
    """What a command line asks for, checked as that command itself would: its verb, its path, the options given."""
    verb, *rest = words
    if verb not in KINDS:
        raise UnknownName("command to queue", verb, KINDS)
    command: Any = invocation.find_root().command
    asked = command.get_command(invocation, verb)
    with asked.make_context(verb, rest, parent=invocation.find_root()) as parsed:
        return verb, _written(parsed.params["path"]), dict(_given(asked, parsed))


def _given(asked: Any, parsed: Any) -> Iterator[tuple[str, str | bool | list[str]]]:  # noqa: ANN401 - the parser's own
    """The options that were typed, under their long names."""
    for parameter in asked.params:
        typed = parsed.get_parameter_source(parameter.name).name == "COMMANDLINE"
        if not typed or parameter.name in OUR_OWN or not parameter.opts[0].startswith("--"):
            continue
        value = parsed.params[parameter.name]
        name = (parameter.secondary_opts if value is False else parameter.opts)[0].removeprefix("--")
        many = isinstance(value, list | tuple)
        yield name, True if isinstance(value, bool) else [_written(v) for v in value] if many else _written(value)


def _written(value: object) -> str:
    """A value as it is typed; a relative path would mean something else to the worker."""
    if isinstance(value, Path):
        return str(value.expanduser().absolute())
    return str(value.value if isinstance(value, Enum) else value)


def _named(context: CommandContext, name: str) -> "JobRecord":
    """The job of that id, or the only one whose id begins so."""
    found = [job for job in context.zoo.jobs.list() if name and job.id.startswith(name)]
    return found[0] if len(found) == 1 else context.zoo.jobs.get(name)


def _tell_of(context: CommandContext, jobs: list["JobRecord"]) -> None:
    context.say(render.job_table([job.to_dict() for job in jobs]))
