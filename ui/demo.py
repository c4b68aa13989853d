"""A real case on a bare machine: a target that ships inside a library, all the way from sample to outcome."""

from rich.console import Console
from rich.text import Text

from recommender import flow
from recommender.effort import Deadline
from recommender.results import Recommendation
from recommender.runs.job import TuneOptions
from registry.cards import Outcome
from registry.zoo import Zoo
from ui import render
from ui.reproduce import mlflow_command
from ui.sample_data import demo_sample
from ui.terminal import print_next

__all__ = ["run"]

KEEP = 2
"""One checkpoint fewer than are bundled, so that the sketches really prune one."""


def run(target: str, zoo: Zoo, terminal: Console, bars: render.Bars, *, seed: int = 0) -> Recommendation:
    """Sample, advice, tuning, outcome, each told as it comes; no tuning where the advice is not to transfer."""
    with bars as progress:
        shifted = demo_sample(target, zoo.home, progress=progress)
    terminal.print(render.sample_report(shifted.to_dict()), "")
    for outcome in zoo.history(sample_digest=shifted.digest):
        terminal.print(_memory(outcome), "")
    with bars as progress:
        until = Deadline()
        advice = flow.recommend(shifted, zoo, keep=KEEP, deadline=until, seed=seed, progress=progress)
    zoo.keep(advice)
    until.require_uninterrupted()
    terminal.print(render.advice_report(advice.to_dict()), "")
    if advice.verdict.transfer:
        with bars as progress:
            tuned = flow.tune(advice.best, shifted, zoo, TuneOptions(seed, recommendation=advice.id), progress=progress)
        terminal.print(render.run_report(tuned.to_dict()), "")
    else:
        terminal.print(Text("Nothing is tuned: the advice is not to transfer.", "bold"), "")
    picker = render.command("picker", home=zoo.home.root)
    print_next(terminal, [picker, mlflow_command(zoo.home)])
    return advice


def _memory(outcome: Outcome) -> Text:
    reached = f"{outcome.checkpoint}, {outcome.strategy}: {render.percent(outcome.score)}"
    return Text(f"You have run this before, on {outcome.created[:10]}: {reached}", "cyan")
