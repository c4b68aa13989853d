"""What the user will not go beyond, what of a checkpoint or a plan is, and what would have to be relaxed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

from recommender.latency import DEVICE
from recommender.results import Cost
from registry.cards import Checkpoint, Wanted
from registry.licenses import Licenses, permits, require_license
from registry.listings import Listing
from registry.zoo import Zoo

__all__ = ["Constraints", "Objection", "relaxation"]

_BYTES_A_WEIGHT = 4
_MIB = 1 << 20
_IN_BYTES, _BY_CLOCK = {"--max-bytes", "--max-memory"}, {"--max-latency", "--tuning-budget"}
_WHOLE = 100
"""From here on a value is read without decimals."""
_ROOM_OF_CLOCKS = 1.1


@dataclass(frozen=True)
class Objection:
    """Which constraint a checkpoint or a plan is beyond, and how far it would have to be relaxed."""

    option: str
    """As it is typed: ``--max-memory``."""
    reason: str
    needed: float | int | None = None
    """The least value that would do; None where no value does, for what is limited is unknown."""
    license: str | None = None
    """The license that would have to be taken."""

    @property
    def relaxed(self) -> str | None:
        """What to type instead; None where nothing helps."""
        if self.license is not None:
            return f"--license {self.license!r}"
        return None if self.needed is None else f"{self.option} {_typed(self.option, self.needed)}"


@dataclass(frozen=True)
class Constraints:
    """What the user will not go beyond. What is not known is within no limit.

    Licenses are names, as people write them or as SPDX does (`registry.licenses`).

    Raises:
        UnknownName: a license that is none.
    """

    max_parameters: int | None = None
    licenses: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    """Names of checkpoints that are not to be considered."""
    max_bytes: int | None = None
    """Of the weights, on the disk or to be fetched."""
    max_latency: float | int | None = None
    """Milliseconds for one item alone, measured here."""
    max_memory: int | None = None
    """Bytes that carrying out the plan may take."""
    tuning_budget: float | int | None = None
    """Seconds that carrying out the plan may take."""

    def __post_init__(self) -> None:
        for license in self.licenses:
            require_license(license)

    @property
    def of_cost(self) -> dict[str, float | int]:
        """The limits on bytes, latency, memory and time that were given, by name."""
        limits = {
            "max_bytes": self.max_bytes,
            "max_latency": self.max_latency,
            "max_memory": self.max_memory,
            "tuning_budget": self.tuning_budget,
        }
        return {name: value for name, value in limits.items() if value is not None}

    def wanted(self, zoo: Zoo, modality: str) -> Wanted:
        """What the database can tell of them: size, names, and licenses of the weights alone."""
        sizes = [None if self.max_memory is None else self.max_memory // _BYTES_A_WEIGHT, self.max_parameters]
        stated = zoo.stated_licenses(modality) if self.licenses else ()
        return Wanted(
            modality,
            most_parameters=min((size for size in sizes if size is not None), default=None),
            licenses=tuple(one for one in stated if permits(one, self.licenses)) if self.licenses else None,
            exclude=self.exclude,
        )

    def objections(
        self,
        checkpoint: Checkpoint | Listing,
        zoo: Zoo,
        licenses: Callable[[Checkpoint | Listing], Licenses] | None = None,
    ) -> tuple[Objection, ...]:
        """Every constraint that a checkpoint violates, as far as that is known before it is opened.

        The strictest license of weights, base model and training data counts. ``licenses`` are the zoo's, or for many
        checkpoints `Zoo.licenses_once`.
        """
        objections: list[Objection] = []
        if checkpoint.name in self.exclude:
            objections.append(Objection("--exclude", "excluded by name"))
        if self.max_parameters is not None:
            objections += _above("--max-parameters", "parameters", checkpoint.parameters, self.max_parameters)
        if self.max_bytes is not None:
            objections += _above("--max-bytes", "of weights", zoo.weights_bytes(checkpoint), self.max_bytes)
        if self.max_memory is not None and checkpoint.parameters is not None:
            least = _BYTES_A_WEIGHT * checkpoint.parameters
            objections += _above("--max-memory", "for its weights alone", least, self.max_memory)
        if self.licenses:
            stated = (licenses or zoo.licenses)(checkpoint)
            if (why := stated.objection(self.licenses)) is not None:
                objections.append(Objection("--license", why, license=stated.lacking(self.licenses)))
        return tuple(objections)

    def objection(
        self,
        checkpoint: Checkpoint | Listing,
        zoo: Zoo,
        licenses: Callable[[Checkpoint | Listing], Licenses] | None = None,
    ) -> str | None:
        """The first of these in words, or None."""
        return next((one.reason for one in self.objections(checkpoint, zoo, licenses)), None)

    def objections_to(self, cost: Cost) -> tuple[Objection, ...]:
        """The limits that a plan of that cost exceeds."""
        objections: list[Objection] = []
        if self.max_memory is not None:
            objections += _above("--max-memory", "of memory", cost.peak_memory_bytes, self.max_memory)
        if self.tuning_budget is not None:
            objections += _above("--tuning-budget", "seconds", cost.seconds, self.tuning_budget)
        return tuple(objections)

    def too_slow(self, seconds: float) -> tuple[Objection, ...]:
        """The objection to a checkpoint that takes so long for one item alone."""
        if self.max_latency is None:
            return ()
        return tuple(_above("--max-latency", f"ms an item alone on {DEVICE}", 1000 * seconds, self.max_latency))


def relaxation(objections: Sequence[tuple[str, Sequence[Objection]]]) -> str:
    """What to relax so that one of these checkpoints (by name) is left; empty where no value would help.

    Of those that one constraint alone leaves out, each constraint's nearest is named; where every one is beyond
    several, the one that is beyond the fewest.
    """
    fewest = min((len(of) for _, of in objections if of and all(o.relaxed for o in of)), default=0)
    nearest: dict[tuple[str, ...], tuple[float, str, str]] = {}
    for name, of in objections:
        if fewest and len(of) == fewest and all(one.relaxed for one in of):
            key = tuple(one.option for one in of)
            row = (sum(one.needed or 0.0 for one in of), name, " ".join(str(one.relaxed) for one in of))
            nearest[key] = min(nearest.get(key, row), row)
    hints = [f"{typed} admits {name}" for _, name, typed in nearest.values()]
    return f"Relax: {'; or '.join(hints)}." if hints else ""


def _above(option: str, what: str, value: float | int | None, limit: float | int) -> list[Objection]:
    """An objection where a value is above its limit, or unknown."""
    if value is None:
        return [Objection(option, f"its {what} are unknown, at most {_words(option, limit)} allowed")]
    if value <= limit:
        return []
    return [Objection(option, f"{_words(option, value)} {what}, more than {_words(option, limit)}", value)]


def _words(option: str, value: float | int) -> str:
    """A value as it is read."""
    if option not in _IN_BYTES:
        return f"{value:,.0f}" if value >= _WHOLE else f"{value:.3g}"
    return (
        f"{value / _MIB:,.0f} MiB" if value >= _MIB else f"{value / 1024:,.0f} KiB" if value >= 1024 else f"{value} B"
    )


def _typed(option: str, value: float | int) -> str:
    """A limit that admits a value, as it is typed; what a clock measured has some room."""
    if option in _IN_BYTES:
        return f"{ceil(value / _MIB)}MiB"
    return f"{ceil(value * _ROOM_OF_CLOCKS)}" if option in _BY_CLOCK else f"{ceil(value)}"
