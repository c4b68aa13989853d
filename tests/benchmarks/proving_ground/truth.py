"""Truth: accuracies of checkpoints on targets under one strategy, and what a ranker may see of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from tests.benchmarks.proving_ground.cells import LAYER_MEAN, NO_TRANSFER, Cell, Figure, Result, Setting

__all__ = ["Case", "Truth", "figures_of", "kept_head", "kept_now", "truth_of"]


@dataclass(frozen=True, eq=False)
class Case:
    """All that a ranker may see of one target: its probes, and the truth of the *other families* only."""

    target: str
    candidates: tuple[str, ...]
    parameters: Float[np.ndarray, " k"]
    history: Float[np.ndarray, "k t"]
    """Accuracy of the candidates on targets of other families; NaN where there is no cell."""
    figures: Mapping[str, Float[np.ndarray, " k"]]
    """Scores and distances on this target by name; NaN where there is none."""


@dataclass(frozen=True, eq=False)
class Truth:
    """Accuracy on both halves of the test part, by checkpoint and target; NaN where there is no cell or no result."""

    checkpoints: tuple[str, ...]
    groups: tuple[str, ...]
    parameters: Float[np.ndarray, " k"]
    targets: tuple[str, ...]
    families: tuple[str, ...]
    halves: Float[np.ndarray, "2 k t"]
    seconds: Float[np.ndarray, "k t"]
    designed: Bool[np.ndarray, "k t"]
    figures: Mapping[str, Float[np.ndarray, "k t"]]

    @property
    def whole(self) -> Float[np.ndarray, "k t"]:
        """Accuracy on the whole test part."""
        return np.asarray(self.halves.mean(axis=0))

    @property
    def missing(self) -> int:
        """Designed cells without a result."""
        return int((self.designed & ~np.isfinite(self.whole)).sum())

    def of(self, rows: Bool[np.ndarray, " k"]) -> "Truth":
        """The same for some of the checkpoints."""
        return replace(
            self,
            checkpoints=tuple(np.array(self.checkpoints)[rows]),
            groups=tuple(np.array(self.groups)[rows]),
            parameters=self.parameters[rows],
            halves=self.halves[:, rows],
            seconds=self.seconds[rows],
            designed=self.designed[rows],
            figures={name: table[rows] for name, table in self.figures.items()},
        )

    def on(self, columns: Bool[np.ndarray, " t"]) -> "Truth":
        """The same for some of the targets."""
        return replace(
            self,
            targets=tuple(np.array(self.targets)[columns]),
            families=tuple(np.array(self.families)[columns]),
            halves=self.halves[:, :, columns],
            seconds=self.seconds[:, columns],
            designed=self.designed[:, columns],
            figures={name: table[:, columns] for name, table in self.figures.items()},
        )

    def rows(self, target: int) -> Bool[np.ndarray, " k"]:
        """Checkpoints with a result on that target."""
        return np.isfinite(self.whole[:, target])

    def case(self, target: int) -> Case:
        """What a ranker sees of a target."""
        rows = self.rows(target)
        others = np.array(self.families) != self.families[target]
        return Case(
            self.targets[target],
            tuple(np.array(self.checkpoints)[rows]),
            self.parameters[rows],
            self.whole[rows][:, others],
            {name: table[rows, target] for name, table in self.figures.items()},
        )

    def planted(self, target: int, seed: int = 0) -> "Truth":
        """The same with chance in place of the truth of that target's whole family."""
        own = np.array(self.families) == self.families[target]
        chance = np.random.default_rng([seed, target]).random(self.halves.shape)
        return replace(self, halves=np.where(own & np.isfinite(self.halves), chance, self.halves))


def truth_of(
    design: Sequence[Cell],
    results: Mapping[int, Result],
    figures: Mapping[str, Mapping[tuple[str, str], float]],
    *,
    strategy: str,
    setting: Setting,
) -> Truth:
    """The truth of one strategy in one setting."""
    cells = [c for c in design if c.strategy == strategy and setting.has(c) and c.checkpoint != NO_TRANSFER]
    by_weights = {cell.weights: cell for cell in cells}
    by_target = {cell.target: cell for cell in cells}
    places = {name: place for place, name in enumerate(by_weights)}
    columns = {name: place for place, name in enumerate(by_target)}
    shape = (len(places), len(columns))
    measured, designed = np.full((3, *shape), np.nan), np.zeros(shape, dtype=bool)
    for cell in cells:
        at = places[cell.weights], columns[cell.target]
        designed[at] = True
        if cell.cell in results:
            result = results[cell.cell]
            measured[(slice(None), *at)] = result.half_a, result.half_b, result.seconds
    return Truth(
        tuple(places),
        tuple(c.group for c in by_weights.values()),
        np.array([c.parameters for c in by_weights.values()], dtype=float),
        tuple(columns),
        tuple(c.family for c in by_target.values()),
        measured[:2],
        measured[2],
        designed,
        {name: _table(result, places, columns) for name, result in figures.items()},
    )


def kept_now(design: Sequence[Cell], results: Mapping[int, Result]) -> dict[int, Result]:
    """The results as plans now have them: a training of which no epoch beat its fitted head keeps it, of all its rows.

    Trainings of earlier waves kept one of four fifths of their rows. That of all is what ``block-probe`` measured on
    the same rows and block.
    """
    heads = {(c.weights, c.target, c.setting.heads): results[c.cell] for c in _measured(design, results, "block-probe")}
    kept = dict(results)
    for cell in design:
        head = heads.get((cell.weights, cell.target, cell.setting.heads))
        trained = cell.cell in results and cell.epochs and cell.strategy != "scratch"
        if trained and head is not None and kept_head(results[cell.cell]):
            of = {name: getattr(head, name) for name in ("accuracy", "half_a", "half_b", "right")}
            kept[cell.cell] = replace(results[cell.cell], **of)
    return kept


def _measured(design: Sequence[Cell], results: Mapping[int, Result], strategy: str) -> list[Cell]:
    return [cell for cell in design if cell.strategy == strategy and cell.cell in results]


def kept_head(result: Result) -> bool:
    """Whether no epoch of a training beat the head that it began with."""
    return bool(json.loads(result.conditions).get("best_epoch") == 0)


def figures_of(
    design: Sequence[Cell], scores: Mapping[tuple[int, str, str], Figure]
) -> dict[str, dict[tuple[str, str], float]]:
    """Every figure of a pair as a whole that is a number, by name and (weights, target).

    That of the last block bears the figure's name alone; beside it stand that of the mean of all blocks and the highest
    of all blocks, where earlier ones have it.
    """
    cells = {cell.cell: cell for cell in design}
    by_block = {name for _, block, name in scores if block not in {"", LAYER_MEAN}}
    result: dict[str, dict[tuple[str, str], float]] = {}
    for (number, block, name), figure in scores.items():
        if number not in cells:
            continue
        try:
            value = float(figure.value)
        except ValueError:
            continue
        pair = cells[number].weights, cells[number].target
        if block in {"", LAYER_MEAN}:
            result.setdefault(f"{name} (layer mean)" if block else name, {})[pair] = value
        if block != LAYER_MEAN and name in by_block:
            best = result.setdefault(f"{name} (best block)", {})
            best[pair] = max(value, best.get(pair, value))
    return result


def _table(
    result: Mapping[tuple[str, str], float], places: Mapping[str, int], columns: Mapping[str, int]
) -> Float[np.ndarray, "k t"]:
    table = np.full((len(places), len(columns)), np.nan)
    for (weights, target), value in result.items():
        if weights in places and target in columns:
            table[places[weights], columns[target]] = value
    return table
