"""Linear probe: ridge with exact leave-one-out along a path of penalties; a head is its mean with logistic regression.

Classes compete in one softmax; each label of a multi-label target, and a regression target, has an output of its own.
Leaving rows out of a ridge regression needs no refit: with H the hat matrix, the residuals of a left-out group g are
(I - H_gg)^-1 (y_g - yhat_g) (Allen 1974; Cook & Weisberg 1982 for groups).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Real, Shaped
from scipy.optimize import minimize
from scipy.special import expit

from recommender.transfer.decomposition import Decomposition, decompose
from recommender.transfer.targets import TargetColumns, group_numbers, parse_targets
from registry.cards import Task
from registry.errors import LengthMismatch, SingleClass, WidthMismatch
from registry.features import Array, finite_rows
from registry.targets import Targets
from registry.threads import few_threads

__all__ = ["PENALTIES", "AffineHead", "OutOfFold", "fit_head", "fit_ridge", "left_out", "linear", "out_of_fold"]

PENALTIES = np.logspace(-3, 3, 10)
"""The ridge path, in mean squared singular values of the features."""
_DECAYS = np.logspace(1.5, -3.5, 8)
"""The path of the logistic head's weight decay, in the mean squared singular value per row; strongest first."""
_SHARPNESS = np.logspace(0, 2.5, 16)
_INNER_FOLDS = 3
_NEWTON_STEPS = 25
_STEADY = 1e-3
"""A little weight decay, for labels that values tell apart without a fault."""
_NO_ROW = -1e3
"""Log probability, before softmax, of a class that no row has."""
_LEAST_LOG = float(np.log(1e-12))
"""Log probability that a row counts for at least."""
_LEAST = 1e-10
"""One minus a leverage is taken to be at least this."""


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """What a head says of rows that it was not fitted on; -1 and zeros for rows that were in training always.

    ``predicted`` has the form of the targets: class numbers, 0 or 1 for each label, or values; ``probabilities`` are of
    the classes or of each label on its own; in regression they are the values once more. ``of_others`` are those of
    other rows by the head of each fold, in the order of the folds' numbers.
    """

    predicted: Shaped[np.ndarray, "n ..."]
    probabilities: Float64[np.ndarray, "n c"]
    of_others: Float64[np.ndarray, "f m c"]


@dataclass(frozen=True, eq=False)
class AffineHead:
    """A linear model on standardized features; a constant column has an infinite scale and weighs nothing."""

    weight: Float64[np.ndarray, "c d"]
    bias: Float64[np.ndarray, " c"]
    mean: Float64[np.ndarray, " d"]
    scale: Float64[np.ndarray, " d"]

    def logits(self, features: Real[Array, "n d"]) -> Float64[np.ndarray, "n c"]:
        """Unnormalized log probability of each class, log odds of each label, or the value.

        Raises:
            WidthMismatch: the features are not as wide as those it was fitted on.
            NotFinite: a NaN or infinite value.
        """
        rows = finite_rows(features, "features", least=1)
        if rows.shape[1] != len(self.mean):
            raise WidthMismatch(rows.shape[1], len(self.mean))
        return np.asarray((rows - self.mean) / self.scale @ self.weight.T + self.bias)


def linear(
    features: Real[Array, "n d"] | Decomposition,
    targets: Targets | Shaped[Array, "m ..."],
    *,
    groups: Shaped[Array, " g"] | None = None,
) -> float:
    """Accuracy of a ridge classifier on rows (or whole groups) left out, at the penalty with the least squared error.

    Multi-label: accuracy averaged over the labels; regression: R squared.
    """
    thin = decompose(features)
    wanted = parse_targets(targets, len(thin.rows), "linear", tuple(Task))
    predicted = _best_on_path(thin, wanted.columns, group_numbers(groups, len(thin.rows)))[1]
    return _agreement(wanted, predicted)


def left_out(
    thin: Decomposition, columns: Float64[np.ndarray, "n c"], units: Int[np.ndarray, " n"]
) -> Iterator[Float64[np.ndarray, "n c"]]:
    """For each penalty of the path, what a ridge with intercept says of every row when its unit is left out."""
    centered = columns - columns.mean(axis=0)  # else a target far from 0 shows through what rounding left in U'1
    projected = thin.project(centered)
    batches = _by_size(units)
    shrinks = thin.squares / (thin.squares + PENALTIES[:, None] * thin.squares.mean())
    leverages = 1 / len(columns) + np.square(thin.left) @ shrinks.T
    for shrink, leverage in zip(shrinks, leverages.T, strict=True):
        residual = centered - thin.left @ (shrink[:, None] * projected)
        for rows in batches:
            if rows.shape[1] == 1:
                residual[rows[:, 0]] /= np.maximum(1 - leverage[rows[:, 0]], _LEAST)[:, None]
            else:
                residual[rows] = _without(thin.left[rows], shrink, residual[rows], 1 / len(columns))
        yield columns - residual


def out_of_fold(
    features: Real[Array, "n d"],
    targets: Targets | Shaped[Array, "m ..."],
    folds: Int[Array, " f"],
    *,
    head: Literal["ridge", "logistic"] = "ridge",
    groups: Shaped[Array, " g"] | None = None,
    others: Real[Array, "r e"] | None = None,
) -> OutOfFold:
    """Predict each fold by a head fitted on the others; a fold of -1 is in training always.

    Values without a task are numbers of classes. The strength of regularization is chosen inside each training part
    (by leave-one-out, of whole ``groups`` where there are groups). Rows of ``others`` are in no training part, and
    predicted by every head.

    Raises:
        NotFinite: a NaN or infinite value.
        WidthMismatch: the others are not as wide as the rows.
        LengthMismatch: targets, folds or groups are not as many as the rows.
        TooFewRows: fewer than two rows to train on.
        SingleClass: a training part holds one class.
    """
    known, fold = Targets.of(targets), np.asarray(folds)
    rows, codes = finite_rows(features, "features"), known.values
    for what, values in (("features and targets", codes), ("features and folds", fold)):
        if len(values) != len(rows):
            raise LengthMismatch(what, len(rows), len(values))
    beyond = rows[:0] if others is None else finite_rows(others, "other features", least=0)
    if beyond.shape[1] != rows.shape[1]:
        raise WidthMismatch(beyond.shape[1], rows.shape[1])
    units = None if groups is None else group_numbers(groups, len(rows))
    if known.task is not Task.CLASSIFICATION:
        return _columns_out_of_fold(rows, codes.astype(np.float64), fold, units, known.task, head, beyond)
    probabilities = np.zeros((len(rows), int(codes.max()) + 1))
    of_others = []
    for number in np.unique(fold[fold >= 0]):
        test, train = fold == number, fold != number
        inner = np.arange(train.sum()) if units is None else np.unique(units[train], return_inverse=True)[1]
        present, compact = np.unique(codes[train], return_inverse=True)
        if len(present) < 2:
            raise SingleClass("the training part of a fold")
        thin, columns = decompose(rows[train]), np.eye(len(present))[compact]
        weight, bias = _ridge_softmax(thin, columns, inner) if head == "ridge" else _logistic(thin, columns, inner)
        logits = (np.concatenate([rows[test], beyond]) - thin.mean) / thin.scale @ weight.T + bias
        of_all = np.zeros((len(logits), probabilities.shape[1]))
        of_all[:, present] = _softmax(logits)
        probabilities[test], of_other = np.split(of_all, [int(test.sum())])
        of_others.append(of_other)
    answers = np.where(fold >= 0, probabilities.argmax(axis=1), -1)
    return OutOfFold(answers, probabilities, _stacked(of_others, len(beyond), probabilities.shape[1]))


def fit_head(
    features: Real[Array, "n d"],
    targets: Targets | Shaped[Array, "m ..."],
    classes: int,
    *,
    groups: Shaped[Array, " g"] | None = None,
) -> AffineHead:
    """The mean of multinomial logistic regression and a ridge, in logits: linear like both, and better than either.

    The regression's weight decay is chosen by folds that follow the rows' content, the ridge as in `fit_ridge`. What
    the mean gains on test parts, of 40 to 600 rows of pictures and texts, stands in LOG.md. Where a row (or group) is
    all that there is of a class, of which a ridge knows nothing with it left out, the regression stands alone. Each of
    several labels has a logistic regression and a decay of its own; a quantity a ridge, whose penalty leaves one row
    out. There ``classes`` says nothing. Values without a task are numbers of classes.

    Raises:
        NotFinite: a NaN or infinite value.
        TooFewRows: fewer than two rows.
        LengthMismatch: targets or groups are not as many as the rows.
        NoVariation: all rows are identical.
        SingleClass: all rows are of one class.
    """
    thin, known = decompose(features), Targets.of(targets)
    codes = known.values
    if len(codes) != len(thin.rows):
        raise LengthMismatch("features and targets", len(thin.rows), len(codes))
    units = np.arange(len(codes)) if groups is None else group_numbers(groups, len(codes))
    if known.task is Task.REGRESSION:
        weight, bias, _ = _ridge(thin, codes.astype(np.float64)[:, None], units)
    elif known.task is Task.MULTI_LABEL:
        weight, bias = _logistic(thin, codes.astype(np.float64), units, _Link.APART)
    elif len(np.unique(codes)) < 2:
        raise SingleClass("a linear head")
    else:
        columns = np.eye(classes)[codes]
        weight, bias = _logistic(thin, columns, units)
        if _counted(columns, units)[columns.any(axis=0)].all():
            of_ridge = _ridge_of_present(thin, columns, units)
            weight, bias = (weight + of_ridge[0]) / 2, (bias + of_ridge[1]) / 2
    return AffineHead(weight, bias, thin.mean, thin.scale)


def fit_ridge(
    features: Real[Array, "n d"] | Decomposition,
    targets: Targets | Shaped[Array, "m ..."],
    classes: int,
    *,
    groups: Shaped[Array, " g"] | None = None,
) -> AffineHead:
    """The ridge whose predictions `out_of_fold` gives, fitted to all rows; arguments and errors as in `fit_head`."""
    thin, known = decompose(features), Targets.of(targets)
    codes = known.values
    if len(codes) != len(thin.rows):
        raise LengthMismatch("features and targets", len(thin.rows), len(codes))
    units = np.arange(len(codes)) if groups is None else group_numbers(groups, len(codes))
    if known.task is Task.CLASSIFICATION:
        if len(np.unique(codes)) < 2:
            raise SingleClass("a linear head")
        weight, bias = _ridge_of_present(thin, np.eye(classes)[codes], units)
    else:
        weight, bias = _ridge_columns(thin, codes.reshape(len(codes), -1).astype(np.float64), units, known.task)
    return AffineHead(weight, bias, thin.mean, thin.scale)


class _Link(Enum):
    """How the values of a logistic model's columns become probabilities."""

    TOGETHER = "softmax"
    APART = "sigmoid"

    def probabilities(self, values: Float64[np.ndarray, "n c"]) -> Float64[np.ndarray, "n c"]:
        """One of the classes, or each label on its own."""
        return _softmax(values) if self is _Link.TOGETHER else np.asarray(expit(values))

    def learned(self, columns: Float64[np.ndarray, "n c"]) -> Bool[np.ndarray, " c"]:
        """Of which columns these rows teach anything: classes with a row, labels that some have and some lack."""
        some = np.asarray(columns.any(axis=0))
        return some if self is _Link.TOGETHER else some & ~columns.all(axis=0)

    def likelihood(
        self,
        probabilities: Float64[np.ndarray, "n c"],
        columns: Float64[np.ndarray, "n c"],
        least: float,
        counted: Bool[np.ndarray, " c"],
    ) -> Float64[np.ndarray, " l"]:
        """Log likelihood of the columns that are counted: one number, or one a label."""
        if self is _Link.TOGETHER:
            return np.atleast_1d(np.log(np.maximum(probabilities[(columns > 0) & counted], least)).sum())
        right = np.where(columns > 0, probabilities, 1 - probabilities)
        return np.asarray(np.log(np.maximum(right, least)).sum(axis=0) * counted)

    def start(self, columns: Float64[np.ndarray, "n c"]) -> Float64[np.ndarray, " c"]:
        """The bias of a model without features."""
        share = columns.mean(axis=0) + 1 / len(columns)
        odds = np.log(share) if self is _Link.TOGETHER else np.log(share) - np.log(1 + 2 / len(columns) - share)
        return np.asarray(odds)


def _columns_out_of_fold(
    rows: Float[np.ndarray, "n d"],
    targets: Float64[np.ndarray, "n ..."],
    folds: Int[np.ndarray, " n"],
    units: Int[np.ndarray, " n"] | None,
    task: Task,
    head: str,
    others: Float[np.ndarray, "m d"],
) -> OutOfFold:
    columns = targets.reshape(len(targets), -1)
    predicted, of_others = np.zeros_like(columns), []
    for number in np.unique(folds[folds >= 0]):
        test, train = folds == number, folds != number
        inner = np.arange(train.sum()) if units is None else np.unique(units[train], return_inverse=True)[1]
        thin = decompose(rows[train])
        if task is Task.MULTI_LABEL and head == "logistic":
            weight, bias = _logistic(thin, columns[train], inner, _Link.APART)
        else:
            weight, bias = _ridge_columns(thin, columns[train], inner, task)
        predicted[test] = (rows[test] - thin.mean) / thin.scale @ weight.T + bias
        of_others.append((others - thin.mean) / thin.scale @ weight.T + bias)
    out, values = folds >= 0, _stacked(of_others, len(others), columns.shape[1])
    if task is Task.REGRESSION:
        return OutOfFold(np.where(out, predicted[:, 0], -1.0), np.where(out[:, None], predicted, 0.0), values)
    answers = np.where(out[:, None], (predicted > 0).astype(np.float64), -1.0)
    return OutOfFold(answers, np.where(out[:, None], expit(predicted), 0.0), expit(values))


def _stacked(of_folds: list[Float64[np.ndarray, "m c"]], rows: int, columns: int) -> Float64[np.ndarray, "f m c"]:
    return np.stack(of_folds) if of_folds else np.zeros((0, rows, columns))


def _ridge_columns(
    thin: Decomposition, columns: Float64[np.ndarray, "n c"], units: Int[np.ndarray, " n"], task: Task
) -> tuple[Float64[np.ndarray, "c d"], Float64[np.ndarray, " c"]]:
    """Weight and bias of a ridge for each column; those of labels give log odds."""
    weight, bias, left = _ridge(thin, columns, units)
    if task is not Task.MULTI_LABEL:
        return weight, bias
    slope, offset = _calibrated(left, columns)
    return weight * slope[:, None], bias * slope + offset


def _ridge(
    thin: Decomposition, columns: Float64[np.ndarray, "n c"], units: Int[np.ndarray, " n"]
) -> tuple[Float64[np.ndarray, "c d"], Float64[np.ndarray, " c"], Float64[np.ndarray, "n c"]]:
    """Weight and bias at each column's own best penalty, and the predictions of units left out there."""
    least, best, predicted = np.full(columns.shape[1], np.inf), np.ones(columns.shape[1]), columns.copy()
    for penalty, held_out in zip(PENALTIES * thin.squares.mean(), left_out(thin, columns, units), strict=True):
        error = np.square(held_out - columns).sum(axis=0)
        better = error < least
        least, best = np.where(better, error, least), np.where(better, penalty, best)
        predicted = np.where(better, held_out, predicted)
    shrink = np.sqrt(thin.squares)[:, None] / (thin.squares[:, None] + best)
    mean = columns.mean(axis=0)
    weight = np.asarray((thin.right @ (shrink * thin.project(columns - mean))).T)
    return weight, np.asarray(mean), predicted


def _calibrated(
    values: Float64[np.ndarray, "n c"], columns: Float64[np.ndarray, "n c"]
) -> tuple[Float64[np.ndarray, " c"], Float64[np.ndarray, " c"]]:
    """Slope and offset of each label's log odds on its values (Platt 1999, with his smoothed targets), by Newton.

    Values of rows left out fall with their own label where features tell nothing; a slope below 0 is taken to be 0.
    """
    yes = columns.sum(axis=0)
    smooth = np.where(columns > 0, (yes + 1) / (yes + 2), 1 / (len(columns) - yes + 2))
    center, spread = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-9)
    scaled = (values - center) / spread
    usual = np.log(smooth.mean(axis=0)) - np.log(1 - smooth.mean(axis=0))
    slope, offset = np.zeros(len(yes)), usual
    for _ in range(_NEWTON_STEPS):
        probabilities = expit(slope * scaled + offset)
        error, curve = probabilities - smooth, probabilities * (1 - probabilities)
        by_slope, by_offset = (error * scaled).sum(axis=0) + _STEADY * slope, error.sum(axis=0)
        ss, so, oo = (curve * scaled**2).sum(axis=0) + _STEADY, (curve * scaled).sum(axis=0), curve.sum(axis=0) + _LEAST
        determinant = ss * oo - so**2
        slope = slope - np.clip((oo * by_slope - so * by_offset) / determinant, -1, 1)
        offset = offset - np.clip((ss * by_offset - so * by_slope) / determinant, -1, 1)
    slope, offset = np.maximum(slope, 0), np.where(slope > 0, offset, usual)
    return slope / spread, offset - slope * center / spread


def _agreement(targets: TargetColumns, predicted: Float64[np.ndarray, "n c"]) -> float:
    columns = targets.columns
    if targets.task is Task.CLASSIFICATION:
        return float((predicted.argmax(axis=1) == targets.codes).mean())
    if targets.task is Task.MULTI_LABEL:
        return float(((predicted > 0.5) == columns).mean())
    return float(1 - np.square(predicted - columns).sum() / np.square(columns - columns.mean(axis=0)).sum())


def _best_on_path(
    thin: Decomposition, columns: Float64[np.ndarray, "n c"], units: Int[np.ndarray, " n"]
) -> tuple[float, Float64[np.ndarray, "n c"]]:
    """The penalty with the least squared error on units left out, and their predictions there."""
    least, best, predicted = np.inf, 0.0, columns
    for penalty, held_out in zip(PENALTIES * thin.squares.mean(), left_out(thin, columns, units), strict=True):
        error = float(np.square(held_out - columns).sum())
        if error < least:
            least, best, predicted = error, float(penalty), held_out
    return best, predicted


def _by_size(units: Int[np.ndarray, " n"]) -> list[Int[np.ndarray, "g s"]]:
    """The rows of each unit, units of one size stacked."""
    number = np.unique(units, return_inverse=True)[1]
    sizes = np.bincount(number)
    order = np.argsort(number, kind="stable")
    starts = np.cumsum(sizes) - sizes
    return [order[starts[sizes == size, None] + np.arange(size)] for size in np.unique(sizes)]


def _without(
    left: Float64[np.ndarray, "g s k"],
    shrink: Float64[np.ndarray, " k"],
    residual: Float64[np.ndarray, "g s c"],
    constant: float,
) -> Float64[np.ndarray, "g s c"]:
    """Residuals of left-out groups of one size, from those of the fit with all rows."""
    hat = constant + (left * shrink) @ left.transpose(0, 2, 1)
    return np.asarray(np.linalg.solve(np.eye(left.shape[1]) * (1 + _LEAST) - hat, residual))


def _ridge_softmax(
    thin: Decomposition, columns: Float64[np.ndarray, "n c"], units: Int[np.ndarray, " n"]
) -> tuple[Float64[np.ndarray, "c d"], Float64[np.ndarray, " c"]]:
    """Weight and bias of a ridge's values, as sharp as makes the rows left out in training likeliest by softmax.

    A class that one unit alone has is not counted: it is unknown where that unit is left out.
    """
    penalty, predicted = _best_on_path(thin, columns, units)
    true = (columns > 0) & _counted(columns, units)
    beside = predicted - predicted.max(axis=1, keepdims=True)
    of_true, beside = beside[true], beside[true.any(axis=1)]
    likelihood = [
        np.maximum(sharp * of_true - np.log(np.exp(sharp * beside).sum(axis=1)), _LEAST_LOG).sum()
        for sharp in _SHARPNESS
    ]
    mean = columns.mean(axis=0)
    weight = thin.right @ ((np.sqrt(thin.squares) / (thin.squares + penalty))[:, None] * thin.project(columns - mean))
    sharpness = _SHARPNESS[int(np.argmax(likelihood))]
    return np.asarray(weight.T * sharpness), np.asarray(mean * sharpness)


def _counted(columns: Float64[np.ndarray, "n c"], units: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " c"]:
    """Which classes more than one unit has."""
    return np.array([len(np.unique(units[column > 0])) > 1 for column in columns.T])


def _ridge_of_present(
    thin: Decomposition, columns: Float64[np.ndarray, "n c"], units: Int[np.ndarray, " n"]
) -> tuple[Float64[np.ndarray, "c d"], Float64[np.ndarray, " c"]]:
    """As `_ridge_softmax`, of the classes that have a row; the others are as unlikely as can be."""
    present = np.asarray(columns.any(axis=0))
    weight, bias = np.zeros((columns.shape[1], thin.rows.shape[1])), np.full(columns.shape[1], _NO_ROW)
    weight[present], bias[present] = _ridge_softmax(thin, columns[:, present], units)
    return weight, bias


def _logistic(
    thin: Decomposition,
    columns: Float64[np.ndarray, "n c"],
    units: Int[np.ndarray, " n"],
    link: _Link = _Link.TOGETHER,
) -> tuple[Float64[np.ndarray, "c d"], Float64[np.ndarray, " c"]]:
    """Weight and bias at the decay (of each label, where these are apart) with the least loss on folds of whole units.

    The optimum lies in the span of the rows, so it is sought in the rotated coordinates U diag(s), exactly as good.
    """
    rows = thin.left * np.sqrt(thin.squares)
    decays = _DECAYS * thin.squares.mean() / len(rows)
    with few_threads(rows.size * columns.shape[1]):
        best, start = _best_decay(rows, columns, list(_inner_folds(thin.order, units)), decays, link)
        fitted = _logistic_fit(rows, columns, decays[best], start, link)
    return (thin.right @ fitted[1:]).T, fitted[0]


def _best_decay(
    rows: Float64[np.ndarray, "n k"],
    columns: Float64[np.ndarray, "n c"],
    folds: list[np.ndarray],
    decays: Float64[np.ndarray, " p"],
    link: _Link,
) -> tuple[Int[np.ndarray, " l"], Float64[np.ndarray, "q c"]]:
    """The decay (of each label, where these are apart) with the least loss on the folds, and what they found there.

    From the strongest on, each fit started from the one before, until the loss rises. Of classes that have no row
    outside of a fold nothing is said there: the surer a head is of the others, the worse it would look.
    """
    learned = [link.learned(columns[~inner]) for inner in folds]
    fits = [_from_start(rows, columns[~inner], link) for inner in folds]
    losses, means = [], []
    for decay in decays:
        fits = [
            _logistic_fit(rows[~inner], columns[~inner], np.atleast_1d(decay), at, link)
            for inner, at in zip(folds, fits, strict=True)
        ]
        predicted = [link.probabilities(_values(rows[inner], at)) for inner, at in zip(folds, fits, strict=True)]
        likelihood = [
            link.likelihood(probabilities, columns[inner], 1e-12, known)
            for probabilities, inner, known in zip(predicted, folds, learned, strict=True)
        ]
        losses.append(-np.sum(likelihood, axis=0))
        means.append(np.mean(fits, axis=0))
        best = np.argmin(losses, axis=0)
        if best.max() < len(losses) - 1:
            break
    start = np.stack(means)[np.broadcast_to(best, columns.shape[1]), :, np.arange(columns.shape[1])].T
    return best, start


def _inner_folds(order: Int[np.ndarray, " n"], units: Int[np.ndarray, " n"]) -> Iterator[np.ndarray]:
    """Masks of the folds: whole units, dealt in the order of their first row's content."""
    number = units[order]
    _, first = np.unique(number, return_index=True)
    fold = np.argsort(np.argsort(first)) % min(_INNER_FOLDS, len(first))
    for which in np.unique(fold):
        yield fold[np.unique(units, return_inverse=True)[1]] == which


def _from_start(
    rows: Float64[np.ndarray, "n k"], columns: Float64[np.ndarray, "m c"], link: _Link
) -> Float64[np.ndarray, "q c"]:
    """Bias (first row) and weights of a model that looks at nothing."""
    return np.concatenate([link.start(columns)[None], np.zeros((rows.shape[1], columns.shape[1]))])


def _logistic_fit(
    rows: Float64[np.ndarray, "n k"],
    columns: Float64[np.ndarray, "n c"],
    decay: Float64[np.ndarray, " l"],
    start: Float64[np.ndarray, "q c"],
    link: _Link,
) -> Float64[np.ndarray, "q c"]:
    """Bias (first row) and weights at a decay, one for all columns or one for each.

    Sought in coordinates where the loss curves alike in all directions (the columns of ``rows`` are nearly orthogonal).
    """
    probabilities = link.probabilities(_values(rows, start))
    slack = (probabilities * (1 - probabilities)).mean(axis=0)
    curve = np.concatenate([slack[None], slack * np.square(rows).mean(axis=0)[:, None] + decay])
    unit = 1 / np.sqrt(np.maximum(curve, _LEAST))
    whole = np.ones(columns.shape[1], dtype=bool)

    def loss(flat: Float64[np.ndarray, " p"]) -> tuple[float, Float64[np.ndarray, " p"]]:
        at = flat.reshape(start.shape) * unit
        probabilities = link.probabilities(_values(rows, at))
        error = (probabilities - columns) / len(rows)
        slope = np.concatenate([error.sum(axis=0)[None], rows.T @ error + decay * at[1:]])
        likelihood = link.likelihood(probabilities, columns, 1e-300, whole).sum() / len(rows)
        return float(0.5 * (decay * np.square(at[1:])).sum() - likelihood), (slope * unit).ravel()

    options = {"maxiter": 200, "gtol": 1e-5}
    fitted = minimize(loss, (start / unit).ravel(), jac=True, method="L-BFGS-B", options=options)
    return np.asarray(fitted.x.reshape(start.shape) * unit)


def _values(rows: Float64[np.ndarray, "n k"], at: Float64[np.ndarray, "q c"]) -> Float64[np.ndarray, "n c"]:
    return np.asarray(rows @ at[1:] + at[0])


def _softmax(values: Float64[np.ndarray, "n c"]) -> Float64[np.ndarray, "n c"]:
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
