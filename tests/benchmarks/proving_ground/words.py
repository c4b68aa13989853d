"""The report in words: plain text, the gate first."""

import numpy as np

from tests.benchmarks.proving_ground.findings import FromScratch, Intervals, Report, Row, Scope, TruthReport
from tests.benchmarks.proving_ground.intervals import Coverage
from tests.benchmarks.proving_ground.skill import Skill, family_means
from tests.benchmarks.proving_ground.strategies import StrategyFigures

__all__ = ["report_in_words"]


def report_in_words(result: Report) -> str:
    """The whole report."""
    missing = sum(result.missing.values())
    lines = [f"Cells: {result.measured} of {result.cells} measured, {missing} missing"]
    if result.never:
        why = ", ".join(f"{reason} {count}" for reason, count in sorted(result.never.items()))
        lines.append(f"  can never be measured: {sum(result.never.values())} ({why})")
    if result.missing:
        lines.append("  missing: " + ", ".join(f"{name} {count}" for name, count in sorted(result.missing.items())))
    if result.left_out:
        lines.append(f"  left out, for the lens grew on their family: {', '.join(result.left_out)}")
    if result.gone:
        lines.append(
            f"  not ranked, for their scores cannot be computed anew without weights: {', '.join(result.gone)}"
        )
    if not result.truths:
        lines.append("Nothing to rank yet.")
    for one in result.truths:
        lines += ["", *_truth(one)]
    for setting, figures in result.strategies.items():
        lines += ["", *_strategies(setting, figures)]
    for setting, of in result.scratch.items():
        lines += ["", *_from_scratch(setting, of)]
    return "\n".join(lines)


def _truth(one: TruthReport) -> list[str]:
    truth = one.truth
    lines = [
        f"== {one.title}: {len(truth.checkpoints)} checkpoints, {len(truth.targets)} targets in "
        f"{len(set(truth.families))} families; {truth.missing} designed cells missing, none imputed"
    ]
    for scope in one.scopes:
        lines += ["", *_scope(scope, truth.families)]
    if one.intervals is not None:
        lines += ["", *_intervals(one.intervals)]
    return lines


def _scope(scope: Scope, families: tuple[str, ...]) -> list[str]:
    lines = [f"-- {scope.name}: {scope.checkpoints} checkpoints, {scope.targets} targets", f"gate {scope.gate}"]
    if not scope.targets:
        return lines
    for won in scope.wins:
        if won.votes.sum():
            top = int(np.argmax(won.votes))
            often = f"{won.checkpoints[top].split('@')[0]}, {won.votes[top]:.1f} of {won.votes.sum():.0f} families"
            lines.append(
                f"rank entropy {won.bits:.2f} of {won.most_bits:.2f} bits among {len(won.checkpoints)}; "
                f"most often best: {often}"
            )
    lines.append(
        f"noise ceiling {scope.ceiling:.3f}, static {scope.static:.3f}, room {scope.room.value:+.3f} "
        f"(standard error {scope.room.standard_error:.3f})"
    )
    lines.append(
        f"{'method':<32}{'tau':>7}{'skill':>9}  {'90 % interval':<16}{'Rel@1':>7}{'reg@1':>8}{'reg@3':>8}"
        f"{'cost':>6}{'blind':>7}{'targets':>9}"
    )
    lines += [_row(row, scope, families) for row in scope.rows]
    if scope.beyond is not None:
        gain, low, high = scope.beyond
        lines.append(f"product less the score chosen on others: {gain:+.3f} [{low:+.3f}, {high:+.3f}]")
    return lines


def _row(row: Row, scope: Scope, families: tuple[str, ...]) -> str:
    one = row.judged

    def mean(figures: np.ndarray) -> float:
        means = family_means(figures, families)
        return float(means[np.isfinite(means)].mean()) if np.isfinite(means).any() else float("nan")

    value, interval = _skill(row.skill, scope)
    judged = int(np.isfinite(one.regret_1).sum())
    regrets = f"{mean(one.regret_1):>8.3f}{mean(one.regret_3):>8.3f}"
    warning = "  LEAKS?" if row.suspicious else ""
    return (
        f"{one.name[:31]:<32}{_number(mean(one.tau), 3):>7}{value:>9}  {interval:<16}{mean(one.relative):>7.3f}"
        f"{regrets}{_number(mean(one.cost), 2):>6}{one.blind or '':>7}{judged:>9}{warning}"
    )


def _skill(skill: Skill | None, scope: Scope) -> tuple[str, str]:
    if skill is None:
        return "", ""
    if not (scope.room.decidable and skill.room.decidable):
        return "", "not decidable"
    return f"{skill.value:+.2f}", f"[{_end(skill.low)}, {_end(skill.high)}]"


def _end(value: float) -> str:
    return f"{value:+.2f}" if np.isfinite(value) else ("-inf" if value < 0 else "+inf")


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if np.isfinite(value) else ""


def _intervals(one: Intervals) -> list[str]:
    gain, low, high = one.better
    return [
        f"intervals (nominal 90 %) on {one.cells} cells: covered {_share(one.covered)}, Winkler {one.score:.3f}",
        f"  static with residuals: covered {_share(one.static_covered)}, Winkler {one.static_score:.3f}; "
        f"ours better by {gain:+.3f} [{low:+.3f}, {high:+.3f}]",
    ]


def _share(result: Coverage) -> str:
    share, low, high = result
    return f"{share:.2f} [{low:.2f}, {high:.2f}]"


def _strategies(setting: str, one: StrategyFigures) -> list[str]:
    lines = [f"== strategies, {setting}: {one.pairs} pairs of checkpoint and target with at least two measured"]
    lines.append("  best: " + ", ".join(f"{name} {one.best[name]} of {count}" for name, count in one.measured.items()))
    if one.good is not None and one.lost is not None:
        lines.append(
            f"  recommended: {', '.join(f'{name} {count}' for name, count in one.recommended.items())}; "
            f"within one paired standard error of the best: {_share(one.good)}; lost {one.lost:.4f}"
        )
    return lines + [f"  {name}: {_share(result)}" for name, result in one.always.items()]


def _from_scratch(setting: str, one: FromScratch) -> list[str]:
    return [
        f"== expected from scratch, {setting}: {one.cells} cells; {one.bias:+.3f} more than expected, absolute "
        f"{one.error:.3f}; covered {_share(one.covered)}, Winkler {one.score:.3f}"
    ]
