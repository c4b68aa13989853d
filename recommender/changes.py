"""Whether the rows that advice was given on, or a run learned from, still lie where they were read.

Nothing is read where no file is newer than the first advice on these rows. A change within the seconds between reading
and that advice is not seen.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from registry.errors import OtherRows, RowsInMemory, TransferZooError
from registry.forms import Json
from registry.sample import Sample
from registry.zoo import Zoo

__all__ = ["change_of", "last_change"]

_PLACES = ("origin", "labels_from", "groups_from", "test_from")


def last_change(sample: Json) -> float | None:
    """When anything at a sample's places changed last (POSIX seconds); None where one of them is gone.

    The status time (``ctime``) counts, for no copy can set it back; of folders too, whose files come and go.
    """
    places = [Path(place) for key in _PLACES if (place := sample.get(key))]
    try:
        return max((stamp for place in places for stamp in _stamps(place)), default=None)
    except OSError:
        return None


def change_of(zoo: Zoo, sample: Json, last: float | None, seed: int = 0) -> str | None:
    """What has changed of a kept sample, in a sentence; None where its rows are those that were read.

    ``last`` is the `last_change`; ``seed`` drew the rows where not all were read.
    """
    advised = zoo.first_advised(str(sample["digest"]))
    if last is not None and advised is not None and last < datetime.fromisoformat(advised).timestamp():
        return None
    try:
        Sample.again(sample, seed=seed)
    except RowsInMemory:
        return None
    except OtherRows as other:
        if sample["health"].get("sampled_from"):
            return f"Files at {other.where} are newer than this, and not all were read: the rows may be others now."
        digests = f"it holds sample {other.actual[:12]} now, and this is on {other.expected[:12]}"
        return f"What lies at {other.where} has changed since: {digests}."
    except (TransferZooError, OSError) as failure:
        return f"What lies at {sample['origin']} now cannot be read as it was: {failure}."
    return None


def _stamps(place: Path) -> Iterator[float]:
    """Of a file or folder and of all below it."""
    yield place.stat().st_ctime
    if place.is_dir():
        for one in place.rglob("*"):
            yield one.lstat().st_ctime
