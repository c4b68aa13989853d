"""Words: numbers, samples and plans as people read them, for every surface."""

from registry.cards import Metric, Task
from registry.forms import Json
from registry.modalities import modalities
from registry.progress import Phase

_UNITS = {
    Phase.FIND: "files",
    Phase.READ: "items",
    Phase.EXAMINE: "checks",
    Phase.ENCODE: "items",
    Phase.BASELINE: "items",
    Phase.LOOK: "checkpoints",
    Phase.PROBE: "parts of the work",
    Phase.DISTANCES: "domains",
    Phase.TRIAL: "checkpoints",
    Phase.PREPARE: "items",
    Phase.CACHE: "batches",
    Phase.PRETRAIN: "training steps",
    Phase.TUNE: "training steps",
    Phase.SOURCE: "nets",
    Phase.BENEFIT: "trainings",
    Phase.EXPORT: "steps",
    Phase.SYNC: "runs",
}
"""Of what a phase that takes one after the other counts; what is not named is done at once, or moves bytes."""
_RELIABLE, _UNRELIABLE = 0.95, 0.8
"""Shares of labels that heads give, from which all and below which few of the doubts are worth a look."""
_MOVED = (Phase.FETCH, Phase.PUSH)


def percent(share: float) -> str:
    """A score of 0 to 1 as people read it: ``84.2 %``."""
    return f"{100 * share:.1f} %"


def interval(low: float, high: float) -> str:
    """The bounds of a score: ``80.1 to 88.4 %``."""
    return f"{100 * low:.1f} to {100 * high:.1f} %"


def percentage_points(difference: float) -> str:
    """A difference of two scores in percentage points, with its sign: ``+16.0``."""
    return f"{100 * difference:+.1f}"


def scored_difference(difference: float, metric: str) -> str:
    """A difference of two scores as their metric is read, with its sign."""
    return f"{difference:+.3f}" if metric == Metric.R2 else percentage_points(difference)


def scored(value: float, metric: str) -> str:
    """A score as its metric is read: R squared as a number, all else in percent."""
    return f"{value:.3f}" if metric == Metric.R2 else percent(value)


def scored_interval(low: float, high: float, metric: str) -> str:
    """The bounds of a score as its metric is read."""
    return f"{low:.2f} to {high:.2f}" if metric == Metric.R2 else interval(low, high)


def gained(gain: Json, metric: str) -> tuple[str, str]:
    """A gain and its bounds as its metric is read: R squared as numbers, all else in points."""
    if metric == Metric.R2:
        return scored_difference(gain["mean"], metric), f"{gain['low']:+.2f} to {gain['high']:+.2f}"
    return percentage_points(gain["mean"]), f"{percentage_points(gain['low'])} to {percentage_points(gain['high'])}"


def give_or_take(error: float, metric: str) -> str:
    """A standard error as its metric is read."""
    return f" ± {error:.3f}" if metric == Metric.R2 else f" ± {100 * error:.1f}"


def doubt_words(suspects: Json) -> str:
    """How far labels in doubt are to be believed: the share of labels that the heads give; empty where that is high."""
    agreement = suspects.get("agreement")
    if agreement is None or agreement >= _RELIABLE:
        return ""
    share = "many" if agreement < _UNRELIABLE else "some"
    return f"the heads give {percent(agreement)} of all labels, so {share} of these are mistakes of the heads"


def amount(number: float) -> str:
    """A count in the shortest form: ``1.3 M``."""
    for unit, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= unit:
            return f"{number / unit:.1f}{letter}"
    return f"{number:.0f}"


def progressed(stage: str, done: int, of: int) -> str:
    """How much of a phase is done, with its unit: ``12 of 40 items``; nothing of what is done at once."""
    if stage in _MOVED:
        return f"{size(done)} of {size(of)}" if of else ""
    unit = _UNITS.get(Phase(stage)) if stage in set(Phase) else None
    if unit is None:
        return ""
    return f"{done:,} of {of:,} {unit}" if of else f"{done:,} {unit}" if done else ""


def size(bytes_: float) -> str:
    """Memory in the shortest form: ``310 MiB``."""
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if bytes_ >= 2**power:
            return f"{bytes_ / 2**power:.{int(power == 30)}f} {unit}"
    return f"{bytes_:.0f} B"


def duration(seconds: float) -> str:
    """A time span: ``12 s``, ``3 min``, ``1.5 h``."""
    if seconds < 1:
        return "under 1 s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def about(seconds: float) -> str:
    """A time span that is estimated: ``about 12 s``, ``under 1 s``."""
    return duration(seconds) if seconds < 1 else f"about {duration(seconds)}"


def converted_words(sample: Json) -> str | None:
    """What items were converted from as they were read, where any were: ``converted to RGB: 3 gray``."""
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sample["health"]["converted"].items())
    return f"{modalities[sample['modality']].words.converted}: {kinds}" if kinds else None


def sample_words(sample: Json) -> str:
    """Rows, classes (or labels, or the quantity), balance, test part, groups, metric in one line."""
    parts = [f"{sample['rows']:,} rows", _target_words(sample)]
    if sample["groups"] is not None:
        parts.append(f"{sample['groups']} groups")
    if sample["test_rows"] is not None:
        parts.append(f"{sample['test_rows']:,} test rows")
    return ", ".join([*parts, f"judged by {sample['metric']}"])


def _target_words(sample: Json) -> str:
    if sample["task"] == Task.REGRESSION:
        values = sample["values"]
        return f"a quantity of {values['lowest']:.4g} to {values['highest']:.4g} (median {values['median']:.4g})"
    counts = sample["counts"].values()
    spread = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    if sample["task"] == Task.MULTI_LABEL:
        labels = f"{sample['classes']} labels" if sample["classes"] != 1 else "1 label"
        return f"{labels} on {spread} rows each" if len(counts) > 1 else f"{labels} on {spread} rows"
    if sample["task"] == Task.TOKEN_CLASSIFICATION:
        return f"{sample['classes']} tags on {spread} positions each" if len(counts) > 1 else "1 tag"
    classes = f"{sample['classes']} classes" if sample["classes"] != 1 else "1 class"
    return f"{classes} of {spread}"
