"""Skill: where a method stands between the static list and the noise ceiling, by paired bootstrap over families.

``skill = (method - static) / (ceiling - static)``: 0 for a list that never looks at the data, 1 for all that the test
rows can tell apart. Where the room between the two is not above its own standard error nothing can be decided.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

__all__ = ["Room", "Skill", "above_ceiling", "family_means", "room", "skill"]

DRAWS = 2000
TAIL = 0.05


@dataclass(frozen=True)
class Room:
    """What lies between the static list and the ceiling, with its standard error over families."""

    value: float
    standard_error: float
    families: int

    @property
    def decidable(self) -> bool:
        """Whether there is room to show skill in."""
        return self.families > 1 and self.value > self.standard_error


@dataclass(frozen=True)
class Skill:
    """A method's skill with its 90 % interval; only worth reading where its room is decidable."""

    value: float
    low: float
    high: float
    room: Room


def family_means(figures: Float[np.ndarray, " t"], families: tuple[str, ...]) -> Float[np.ndarray, " f"]:
    """One mean for each family, in sorted order; sets of one family count once. NaN figures are left out."""
    names = np.array(families)
    means = []
    for family in sorted(set(families)):
        own = figures[(names == family) & np.isfinite(figures)]
        means.append(own.mean() if len(own) else np.nan)
    return np.array(means)


def room(static: Float[np.ndarray, " t"], ceiling: Float[np.ndarray, " t"], families: tuple[str, ...]) -> Room:
    """Ceiling minus static: mean over families and the bootstrap's standard error."""
    gap = family_means(np.asarray(ceiling - static), families)
    gap = gap[np.isfinite(gap)]
    if len(gap) == 0:
        return Room(np.nan, np.nan, 0)
    return Room(float(gap.mean()), float(_resampled(gap[None])[0].std()), len(gap))


def skill(
    method: Float[np.ndarray, " t"],
    static: Float[np.ndarray, " t"],
    ceiling: Float[np.ndarray, " t"],
    families: tuple[str, ...],
) -> Skill:
    """Skill on the targets where all three have a figure; every draw takes whole families, the same for all three.

    A draw without room puts the method at plus or minus infinity, so that no narrow interval comes of a small room.
    """
    known = np.isfinite(method) & np.isfinite(static) & np.isfinite(ceiling)
    means = np.stack([family_means(np.where(known, f, np.nan), families) for f in (method, static, ceiling)])
    means = means[:, np.isfinite(means).all(axis=0)]
    space = room(np.where(known, static, np.nan), np.where(known, ceiling, np.nan), families)
    if means.shape[1] == 0:
        return Skill(np.nan, np.nan, np.nan, space)
    ours, base, top = _resampled(means)
    drawn = _share(ours - base, top - base)
    low, high = np.quantile(drawn, TAIL, method="lower"), np.quantile(drawn, 1 - TAIL, method="higher")
    value = _share(*(np.array([means[i].mean() - means[1].mean()]) for i in (0, 2)))[0]
    return Skill(float(value), float(low), float(high), space)


def above_ceiling(method: Float[np.ndarray, " t"], ceiling: Float[np.ndarray, " t"], families: tuple[str, ...]) -> bool:
    """Whether a method beats the noise ceiling beyond chance: no honest one can do so by much, a leaking one does.

    The ceiling carries the noise of both halves, a method only that of the half it is scored on; the allowance for
    that is half of what the ceiling falls short of 1.
    """
    gap = family_means(method - ceiling - 0.5 * (1 - ceiling), families)
    gap = gap[np.isfinite(gap)]
    return bool(len(gap) > 1 and np.quantile(_resampled(gap[None])[0], TAIL) > 0)


def _resampled(means: Float[np.ndarray, "m f"]) -> Float[np.ndarray, "m d"]:
    """Means over families in each bootstrap draw; one draw picks the same families for every row."""
    picks = np.random.default_rng(means.shape[1]).integers(0, means.shape[1], (DRAWS, means.shape[1]))
    return np.asarray(means[:, picks].mean(axis=2))


def _share(gain: Float[np.ndarray, " d"], space: Float[np.ndarray, " d"]) -> Float[np.ndarray, " d"]:
    there: Bool[np.ndarray, " d"] = space > 1e-12
    endless = np.where(gain > 0, np.inf, np.where(gain < 0, -np.inf, 0.0))
    return np.where(there, gain / np.where(there, space, 1.0), endless)
