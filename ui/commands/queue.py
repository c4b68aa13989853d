"""Commands of the queue: add, list, show, cancel, work."""

from typing import Annotated, Any

import typer
from rich.text import Text

from recommender.checks import check_request
from recommender.requests import Request, place_of, request_of
from registry.cards import JobRecord
from registry.errors import TransferZooError, UnknownName
from ui import completion, job_queue, render
from ui.context import (
    CommandContext,
    HomeOption,
    JsonOption,
    ListOptions,
    command_context,
    parse_request,
    takes_list,
)
from ui.present import present
from ui.reproduce import as_command, options_of
from ui.terminal import print_next

__all__ = ["app"]

JobArgument = Annotated[
    str, typer.Argument(help="Id of a job, or the beginning of it.", autocompletion=completion.job_ids)
]
KINDS = ("recommend", "tune")

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
    request = _parsed(invocation, words)
    with command_context(home, json) as context:
        check_request(request, context.zoo)
        job = job_queue.enqueue(context.zoo, request)
        _report_start(context, [job])
        shown = [render.command("queue", word, job.id, home=home) for word in ("show", "cancel")]
        print_next(context.terminal, [render.command("queue", "list", home=home), *shown])
        context.print_json(_form_of(job))


@app.command("list")
@takes_list
def queue_list(
    options: ListOptions,
    every: Annotated[bool, typer.Option("--all", help="Those that are over, too.")] = False,
) -> None:
    """List the jobs, the next first; what waits without a worker gets one."""
    with command_context(options.home, options.for_programs) as context:
        job_queue.ensure_worker(context.zoo)
        jobs = [job for job in context.zoo.jobs.list() if every or job.state not in job_queue.OVER]
        ordered = sorted(jobs, key=lambda job: (job.state in job_queue.OVER, job.lane, job.created))
        context.print_rows([_form_of(job) for job in ordered], render.job_table, options)
        over = 0 if every else sum(job.state in job_queue.OVER for job in context.zoo.jobs.list())
        if over:
            shown = render.command("queue", "list", "--all", home=options.home)
            context.print(Text(f"{over} {'is' if over == 1 else 'are'} over and not listed: {shown}", "dim"))


@app.command("show")
def queue_show(name: JobArgument, home: HomeOption = None, json: JsonOption = False) -> None:
    """Show one job: its command, how far it is, what came of it, the last that it wrote."""
    with command_context(home, json) as context:
        job_queue.ensure_worker(context.zoo)
        job = _named(context, name)
        form = {
            **_form_of(job),
            "command": as_command(request_of(job.kind, job.spec)),
            "ahead": context.zoo.jobs.ahead(job.id),
            "said": job_queue.last_words(context.zoo.home, job.id),
        }
        context.print(render.job_report(form))
        context.print_json(form)


@app.command("cancel")
def queue_cancel(name: JobArgument, home: HomeOption = None, json: JsonOption = False) -> None:
    """Cancel a job; one that is under way is gone within five seconds."""
    with command_context(home, json) as context:
        before = _named(context, name)
        after, seconds = job_queue.stop(context.zoo, before.id), None
        if before.state == "running":
            seconds = job_queue.wait_until_gone(before)
        gone = "" if seconds is None else f"; its process was gone after {seconds:.1f} s"
        context.print(Text(f"{after.id} {'was' if before.state in job_queue.OVER else 'is'} {after.state}{gone}"))
        context.print_json(_form_of(after))


@app.command("work")
def queue_work(
    device: Annotated[
        str, typer.Option("--device", help="auto, cpu, cuda:0 ..., or a lane: `advice`, `uses`, `searches`.")
    ] = "auto",
    until_empty: Annotated[bool, typer.Option("--until-empty", help="End when there is nothing left to do.")] = False,
    home: HomeOption = None,
) -> None:
    """Carry out what is queued for a device, one job after the other; a second worker of a device ends at once."""
    with command_context(home, json=False) as context:
        lane = job_queue.lane_of(device)
        if not job_queue.work(
            context.zoo, lane, until_empty=until_empty, announce=lambda line: context.print(Text(line))
        ):
            context.print(Text(f"{lane} has a worker already"))


@app.command("perform", hidden=True)
def queue_perform(name: Annotated[str, typer.Argument(help="Id of a job.")], home: HomeOption = None) -> None:
    """Carry out a job, in this process: what a worker starts."""
    with command_context(home, json=False, job=name) as context:
        job = context.zoo.jobs.get(name)
        present(context, request_of(job.kind, job.spec))


def _parsed(invocation: typer.Context, words: list[str]) -> Request:
    """What a command line asks for, checked as that command itself would."""
    verb, *rest = words
    if verb not in KINDS:
        raise UnknownName("command to queue", verb, KINDS)
    command: Any = invocation.find_root().command
    with command.get_command(invocation, verb).make_context(verb, rest, parent=invocation.find_root()) as parsed:
        return parse_request(verb, parsed.params)


def _form_of(job: JobRecord) -> dict[str, object]:
    """The JSON form of a job: its request, and the same as the options of a command (``spec``)."""
    form = job.to_dict()
    try:
        spec: dict[str, object] = {"path": place_of(job.spec), **options_of(request_of(job.kind, job.spec))}
    except TransferZooError:  # of another version
        spec = {"path": place_of(job.spec)}
    return {**form, "spec": spec, "request": form["spec"]}


def _named(context: CommandContext, name: str) -> JobRecord:
    """The job of that id, or the only one whose id begins so."""
    matching = [job for job in context.zoo.jobs.list() if name and job.id.startswith(name)]
    return matching[0] if len(matching) == 1 else context.zoo.jobs.get(name)


def _report_start(context: CommandContext, jobs: list[JobRecord]) -> None:
    context.print(render.job_table([_form_of(job) for job in jobs]))
