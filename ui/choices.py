"""What a command that carries out a choice begins with: kept advice or advice made now, and the choice from it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.text import Text

from registry.cards import Metric, Task
from registry.errors import NoVariation, OtherSample, SingleClass
from ui.checks import require_advice
from ui.context import CommandContext

if TYPE_CHECKING:
    from recommender.results import Baseline, Choice
    from registry.sample import Sample

__all__ = ["no_transfer_of", "resolve_advice", "resolve_choice"]


def resolve_advice(
    context: CommandContext, sample: "Sample", name: str | None, *, needed: bool, seed: int
) -> Mapping[str, Any] | None:
    """Kept advice: the one named, else the newest for this sample, else (where needed) made now."""
    kept = context.zoo.advice(sample_digest=sample.digest) if name is None else require_advice(context.zoo, name)
    if kept is not None and kept["sample"]["digest"] != sample.digest:
        raise OtherSample(str(kept["id"]), kept["sample"]["digest"], sample.digest)
    if kept is None and needed:
        from recommender import flow  # noqa: PLC0415 - loads scikit-learn and torch

        context.bars.foresee(1)
        with context.bars as progress:
            made = flow.recommend(sample, context.zoo, seed=seed, progress=progress)
        context.zoo.keep(made)
        kept = made.to_dict()
    return kept


def no_transfer_of(kept: Mapping[str, Any]) -> "Baseline":
    """The model of no transfer, as kept advice has it."""
    import numpy as np  # noqa: PLC0415 - as below

    from recommender.results import Baseline, Expected  # noqa: PLC0415 - loads NumPy

    told, metric = kept["baseline"], Metric(kept["sample"]["metric"])
    return Baseline(told["model"], Expected(metric, told["mean"], told["low"], told["high"]), np.empty(0))


def resolve_choice(
    context: CommandContext,
    sample: "Sample",
    kept: Mapping[str, Any] | None,
    checkpoint: str | None,
    strategy: str | None,
    seed: int,
) -> "Choice":
    """What the user named, as the advice has it where it has that; a warning where the advice was not to transfer."""
    from recommender import flow  # noqa: PLC0415 - loads scikit-learn and torch

    if checkpoint is None and kept is not None:
        if not kept["choices"]:
            raise SingleClass("tuning") if sample.task is Task.CLASSIFICATION else NoVariation("targets")
        if not kept["verdict"]["transfer"]:
            context.say(Text(f"Warning: {kept['verdict']['sentence']}", "yellow"))
        checkpoint = str(kept["choices"][0]["checkpoint"])
    for place, row in enumerate([] if kept is None else kept["choices"]):
        if row["checkpoint"] == checkpoint and strategy in {None, row["strategy"]}:
            return flow.carried(kept or {}, place, sample, context.zoo)
    with context.bars as progress:
        return flow.consider(sample, context.zoo, str(checkpoint), strategy, seed=seed, progress=progress)
