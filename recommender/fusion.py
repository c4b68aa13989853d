"""Everything known of a case, fused: what a strategy scores beside the probe, with an interval and what moves it.

A case is a checkpoint and a strategy on a sample. Its score is predicted in log-odds from an *anchor*: the probe's
cross-validated score, or of training from random weights what probes of its body come to, for rows that are read well
by any net are learned well too. What is added to the anchor is a ridge
regression on few named, standardized features, fitted on outcomes of other samples. Three things are kept apart, for
training treats them differently:

- what holds for the whole sample (how well it is read at all; how near *no transfer* comes to it);
- what a body (nets that differ in nothing but their weights) has beside the other bodies;
- what a checkpoint has beside those of the same body: its probe, its source's nearness, its neighbors, its H-score.

Bodies, checkpoints and strategies have effects of their own, shrunk towards none by how little is known of them. What
the cases of one sample have in common and no feature explains is left to the sample (random intercepts by
quasi-demeaning; Fuller and Battese 1973), so that easy samples teach nothing false about checkpoints.

Intervals are conformal (Vovk et al. 2005; normalized as in Papadopoulos et al. 2008), in log-odds: the quantile of what
the same rule missed by on each family of samples when it was left out, in units of what it stated, every family alike,
and as Student's t has it where families are few. They widen with the distance from all that is known: more rows or
epochs than were measured have gains of their own, unknown by as much as such gains differ elsewhere (`BEYOND`). Of a
modality without outcomes only scale-free features are used, and that is stated.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Shaped
from scipy.sparse import coo_array
from scipy.special import stdtrit

from registry.cards import Origin, Outcome, Task
from registry.encoders import BlockSize
from registry.metrics import Z

__all__ = [
    "AFRESH",
    "Candidates",
    "Case",
    "Fused",
    "Fusion",
    "Kind",
    "ProbePrior",
    "Standing",
    "body_of",
    "case_of",
    "covered_range",
    "features_of",
    "from_log_odds",
    "kind_of",
    "log_odds",
]

EDGE = 0.01
"""Added to both odds of a score, so that 0 and 1 have log-odds."""
_PENALTIES = (1.0, 3.0, 10.0, 30.0)
"""Of the ridge on standardized features, in squared residual deviations; that is taken which misses families least."""
_LEVEL_PENALTIES = (*_PENALTIES, 100.0, 300.0, 1000.0)
"""Likewise of training from random weights, of which no order is asked: that is taken which misses its level least."""
_OWN_PENALTIES = (30.0, 10.0, 3.0, 1.0, 0.3, 0.1)
"""Likewise of what a checkpoint has beside its like; that is taken which orders left-out families best, of equals the
strongest: what orders is not what misses least (LOG.md)."""
_MOST_RIVALS = 200
"""Cases of a sample that are held against one another at most."""
EFFECTS = {"checkpoint": 0.2, "body": 0.2, "strategy": 0.5}
"""Deviation of the effects of each kind, as a share of the residuals'."""
_LEVEL_EFFECTS = (0.1, 0.2, 0.5, 1.0)
"""Deviation of the effects of bodies on training from random weights, likewise: there they differ most (LOG.md)."""
_SHARED = 1.0
"""Deviation of what a sample's cases have in common, as a share of the residuals'."""
_ROWS_HALF = 600
"""Rows at which half is reached of what ample rows teach (LOG.md)."""
FEWEST_CASES, FEWEST_SAMPLES = 20, 3
"""Outcomes, and samples that they are of, below which those of other modalities are taken instead."""
ELSEWHERE = 1.5
"""How much wider an expectation is that rests on outcomes of other modalities."""
BEYOND: Mapping[str, float] = {"rows": 1.0, "epochs": 0.2}
"""Deviation of what a training gains in log-odds for a unit more of these features, where outcomes do not tell it: what
samples of images gain with rows, and with epochs (LOG.md)."""
COVERED = 0.9
_FARTHEST = math.sqrt((1 + COVERED) / (1 - COVERED))
"""Deviations beyond which no distribution has more than half of what is not covered (Cantelli's inequality)."""
FEWEST_FAMILIES = 9
"""Below which no quantile of what families were missed by is one that covers so many: Student's t is taken."""
MOST_FOLDS = 10
"""Parts that families are dealt into, to be left out one after the other."""
_PAIRED = ("rows", "epochs", "domain")
"""Features of what a training adds to a head on the same rows."""
_PAIRED_EFFECTS = (0.3, 0.6, 1.0)
"""Deviation of the effects of bodies and checkpoints on it, as a share of the residuals': that is taken by which the
choice between training and head loses least on left-out families."""
_PAIRED_PENALTY = 10.0
_LEAST_VARIANCE = 0.01
"""Of whether a row is classified rightly, below which differences of scores are not read any larger."""
_LEAST, _NOISE, _NONE = 0.005, 0.02, 1e-9
"""Least deviation of an expected score; and that of an outcome that states no rows."""
_FREE = 1e-2
_RECORD, _UNTOLD = 3, 1.0
"""Probes of a checkpoint elsewhere that it takes to believe them half; deviation in log-odds where none are known."""
_HEADS = frozenset({"linear-probe", "prototype", "knn"})
AFRESH = frozenset({"full", "scratch"})
"""Strategies by which all of a net learns below a fresh head. Where rows are few they lose what trainings keep that
begin with the fitted head: what others come to says little of them, and they are fitted apart (LOG.md)."""


class Kind(StrEnum):
    """What a strategy does to a net."""

    HEAD = "a head on frozen features"
    TRAINING = "training from the source's weights"
    SCRATCH = "training from random weights"


FEATURES: Mapping[Kind, tuple[str, ...]] = {
    Kind.HEAD: ("level", "no transfer"),
    Kind.TRAINING: (
        "level",
        "no transfer",
        "body",
        "body's neighbors",
        "probe",
        "domain",
        "hscore",
        "neighbors",
        "rows",
        "epochs",
    ),
    Kind.SCRATCH: ("shown",),
}
"""What each kind is predicted from: of a head the probe says all but how far probes promise too much (LOG.md). From
scratch it counts how many items are shown."""
OWN = frozenset({"probe", "domain", "hscore", "neighbors"})
"""Features of a checkpoint beside those of the same body."""
_AHEAD = frozenset({"rows", "epochs", "shown"})
"""Features that are followed beyond what was measured, as questions about more rows or epochs ask."""
SCALE_FREE = frozenset({"level", "no transfer", "rows", "epochs"})
"""Features that mean the same in every modality."""


def log_odds(score: Float[np.ndarray, "*n"] | float) -> Float[np.ndarray, "*n"]:
    """Log-odds of a score from 0 to 1, finite at both ends."""
    inside = np.clip(score, 0, 1)
    return np.asarray(np.log((inside + EDGE) / (1 - inside + EDGE)))


def from_log_odds(odds: float) -> float:
    """The score, from 0 to 1, of which these are the `log_odds`."""
    return float(np.clip((1 + 2 * EDGE) / (1 + np.exp(-odds)) - EDGE, 0, 1))


def covered_range(score: float, deviation: float) -> tuple[float, float]:
    """The ends of `COVERED` of what a score may be, as far to either side of it in log-odds.

    Near 0 and 1 the outer side of a deviation in points has no room, and the inner one is too short. There a large
    deviation is no small step in log-odds, and would reach across: no side is longer than Cantelli's inequality has it.
    """
    odds, reach, most = float(log_odds(score)), Z * deviation / _slope(score), _FARTHEST * deviation
    low, high = max(score - most, from_log_odds(odds - reach)), min(score + most, from_log_odds(odds + reach))
    return min(score, low), max(score, high)


def _slope(score: float) -> float:
    """By how much a score moves with its log-odds."""
    return (score + EDGE) * (1 - score + EDGE) / (1 + 2 * EDGE)


def body_of(architecture: str, sizes: Sequence[BlockSize], input_size: int) -> str:
    """What nets share that differ in nothing but their weights: architecture, parameters of the blocks, input."""
    stem = architecture.removesuffix("Model").partition("For")[0]
    return f"{stem}-{sum(size.parameters for size in sizes) / 1e6:.2f}M@{input_size}"


def _millions(body: str) -> float:
    """Parameters of the blocks of a body, in millions, as `body_of` names them."""
    return float(body.rpartition("M@")[0].rpartition("-")[2] or 1.0)


@dataclass(frozen=True)
class Standing:
    """What is known of a checkpoint on a sample before any strategy is carried out; scores are between 0 and 1."""

    checkpoint: str
    body: str
    probe: float
    """Cross-validated score of the linear head on the block to read."""
    neighbors: float | None = None
    """The best k-NN score over the blocks."""
    hscore: float | None = None
    """The best H-score over the blocks, as a share of the most that it can be."""
    nearer: float | None = None
    """Share of the registry's own domain pairs that lie farther apart than its source and the sample."""


def features_of(candidates: Sequence[Standing], no_transfer: float, classes: int) -> list[dict[str, float]]:
    """The features of candidates on one sample, each beside the others; what is not known is left out."""
    if not candidates:
        return []
    bodies = np.array([one.body for one in candidates])
    probe = log_odds(np.array([one.probe for one in candidates]))
    level = float(probe.mean())
    features: list[dict[str, float]] = [
        {"level": level, "no transfer": float(log_odds(no_transfer)) - level, "classes": float(np.log(classes))}
        for _ in candidates
    ]
    columns = {
        "probe": probe,
        "neighbors": _column([one.neighbors for one in candidates], odds=True),
        "hscore": _column([one.hscore for one in candidates], odds=True),
        "domain": _column([one.nearer for one in candidates], odds=False),
    }
    for name, values in columns.items():
        for at, own in enumerate(_within(values, bodies)):
            if np.isfinite(own):
                features[at][name] = float(own)
    for name, of in (("body", "probe"), ("body's neighbors", "neighbors")):
        beside = _between(columns[of], bodies)
        for at, value in enumerate(beside):
            if np.isfinite(value):
                features[at][name] = float(value)
    return features


def untrained(features: Mapping[str, float]) -> float:
    """Where an expectation of a body from random weights starts: what its candidates' probes come to, a mean."""
    return from_log_odds(features["level"] + features.get("body", 0.0))


def _column(values: Sequence[float | None], *, odds: bool) -> Float[np.ndarray, " n"]:
    known = np.array([np.nan if value is None else value for value in values])
    return np.where(np.isfinite(known), log_odds(known), np.nan) if odds else known


def _within(values: Float[np.ndarray, " n"], bodies: Shaped[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Each less the mean of its body."""
    off = values.copy()
    for body in set(bodies):
        own = bodies == body
        if np.isfinite(values[own]).any():
            off[own] -= np.nanmean(values[own])
    return off


def _between(values: Float[np.ndarray, " n"], bodies: Shaped[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The mean of each one's body less that of all."""
    return np.asarray(values - _within(values, bodies) - (np.nanmean(values) if np.isfinite(values).any() else 0.0))


@dataclass(frozen=True)
class Case:
    """A strategy of a checkpoint on a sample: what was known of it and, where it was carried out, what it scored."""

    checkpoint: str
    body: str
    sample: str
    family: str
    """Samples of one origin: left out together."""
    strategy: str
    kind: Kind
    anchor: float
    """The score that a prediction starts from: the probe's, or what those of its body come to."""
    features: Mapping[str, float]
    noise: float = 0.0
    """Variance of the score that the rows of either part leave."""
    score: float | None = None
    modality: str = ""
    head: float | None = None
    """What a head on the same frozen features scored on the same test rows, where that is known."""


def kind_of(strategy: str, plan: Mapping[str, object] | None = None) -> Kind:
    """What a strategy does, by its plan where that is known."""
    if plan is not None:
        return Kind.SCRATCH if plan.get("from_scratch") else Kind.TRAINING if plan.get("stages") else Kind.HEAD
    return Kind.SCRATCH if strategy == "scratch" else Kind.HEAD if strategy in _HEADS else Kind.TRAINING


@dataclass(frozen=True)
class Course:
    """What is to be carried out, or was."""

    strategy: str
    kind: Kind
    anchor: float
    """The score that a prediction starts from."""
    rows: int
    """That training learns something new from."""
    epochs: int


def case_of(
    standing: Standing,
    features: Mapping[str, float],
    course: Course,
    *,
    sample: str = "",
    family: str = "",
    modality: str = "",
    noise: float = 0.0,
    score: float | None = None,
) -> Case:
    """A case of a candidate, whose ``features`` are those beside its rivals."""
    more = {**features, "rows": course.rows / (course.rows + _ROWS_HALF)}
    if course.epochs:
        more["epochs"] = float(np.log(course.epochs))
    if course.kind is Kind.SCRATCH:
        start = float(log_odds(course.anchor))
        more |= {"level": start, "no transfer": features["no transfer"] + features["level"] - start}
        more["shown"] = float(np.log(course.rows * max(course.epochs, 1)))
    name = "" if course.kind is Kind.SCRATCH else standing.checkpoint
    of = sample, family or sample, course.strategy, course.kind, course.anchor
    return Case(name, standing.body, *of, more, noise, score, modality)


@dataclass(frozen=True)
class Fused:
    """What is expected of a case, in log-odds beside its anchor and as a score."""

    kind: Kind
    gain: float
    """What is added to the anchor's log-odds."""
    own: float
    """Deviation, in log-odds, of what is the case's alone, calibrated."""
    common: float
    """Likewise of what all cases of the sample have in common."""
    calibration: float
    """By how much what the rows leave uncertain has to be stretched."""
    contributions: Mapping[str, float]
    """What each feature adds to the log-odds; their sum is the gain."""
    cases: int
    """Outcomes behind it."""
    elsewhere: bool = False
    """Whether these are of other modalities."""
    usual: Mapping[str, float] = field(default_factory=dict)
    """The mean of each feature in them."""

    def score(self, anchor: float) -> float:
        """The expected score from an anchor's."""
        return from_log_odds(float(log_odds(anchor)) + self.gain)

    def deviation(self, score: float, sampling: float) -> tuple[float, float, float]:
        """Deviations of an expected score: in all, of what is its own, of what the sample's cases share.

        ``sampling`` is the deviation that the rows of either part leave.
        """
        slope = _slope(score)
        own, common = self.own * slope, self.common * slope
        return max(_LEAST, float(np.sqrt(own**2 + common**2 + (self.calibration * sampling) ** 2))), own, common

    def points(self, anchor: float) -> dict[str, float]:
        """The contributions in points of the score; their sum is what it moves by."""
        moved = self.score(anchor) - anchor
        share = moved / self.gain if abs(self.gain) > _NONE else _slope(anchor)
        return {name: share * value for name, value in self.contributions.items()}


class Fusion:
    """Outcomes, fitted: what to expect of cases of other samples."""

    def __init__(self, cases: Iterable[Case]) -> None:
        """Keep the cases; each kind is fitted when it is first asked for."""
        self.cases = tuple(case for case in cases if case.score is not None)
        self._models: dict[tuple[Kind, str, bool], _Model | None] = {}
        self._pairs: dict[tuple[str, bool], _Pairs | None] = {}

    @classmethod
    def of(cls, outcomes: Iterable[Outcome], *, without: str | None = None) -> "Fusion":
        """Of all outcomes that say what was known before them, but those of a sample (by digest)."""
        return cls(_cases([one for one in outcomes if one.sample_digest != without]))

    def expect(self, case: Case) -> Fused | None:
        """What to expect of a case; None where too little is known of its kind anywhere."""
        model = self._model(case)
        return None if model is None else model.expect(case)

    def head(self, case: Case) -> float | None:
        """The score that a head on the same features is expected to have on the rows of a case; None as of `expect`."""
        fused = self.expect(replace(case, strategy="linear-probe", kind=Kind.HEAD))
        return None if fused is None else fused.score(case.anchor)

    def added(self, case: Case) -> float | None:
        """What a training is expected to add to the score of a head on the same rows, from what others added.

        Two scores on the same test rows differ by far less chance than each alone has, so that this tells strategies of
        one net apart where `expect` does not. None of what is no training, and where too few are of the modality.
        """
        if case.kind is not Kind.TRAINING:
            return None
        key = case.modality, case.strategy in AFRESH
        if key not in self._pairs:
            trainings = [one for one in self.cases if one.kind is Kind.TRAINING and one.modality == case.modality]
            known = _alike(trainings, case)
            heads = [self.head(one) if one.head is None else one.head for one in known]
            paired = [replace(one, head=head) for one, head in zip(known, heads, strict=True) if head is not None]
            self._pairs[key] = _Pairs.fit(paired) if _enough(paired) else None
        pairs, head = self._pairs[key], self.head(case)
        return None if pairs is None or head is None else pairs.expect(case, head)

    def measured(self, strategy: str, body: str, modality: str) -> bool:
        """Whether a strategy was carried out with nets of that body."""
        return (strategy, body, modality) in self._bodies

    @cached_property
    def _bodies(self) -> frozenset[tuple[str, str, str]]:
        return frozenset((case.strategy, case.body, case.modality) for case in self.cases)

    def _model(self, case: Case) -> "_Model | None":
        key = kind, modality, _ = case.kind, case.modality, case.strategy in AFRESH
        if key not in self._models:
            known = [one for one in self.cases if one.kind is kind]
            own = _alike([one for one in known if one.modality == modality], case)
            if _enough(own):
                self._models[key] = _Model.fit(own, FEATURES[kind])
            elif _enough(known) and kind is not Kind.SCRATCH:
                free = tuple(name for name in FEATURES[kind] if name in SCALE_FREE)
                self._models[key] = _Model.fit(_alike(known, case), free, elsewhere=True)
            else:
                self._models[key] = None
        return self._models[key]


@dataclass(frozen=True, eq=False)
class Candidates:
    """The candidates on one sample, each beside the others, for any strategy."""

    fusion: Fusion
    standings: Mapping[str, Standing]
    """By name."""
    features: Mapping[str, Mapping[str, float]]
    modality: str

    @classmethod
    def beside(
        cls, fusion: Fusion, standings: Mapping[str, Standing], no_transfer: float, classes: int, modality: str
    ) -> "Candidates":
        """With the features of each."""
        features = features_of([*standings.values()], no_transfer, classes)
        return cls(fusion, standings, dict(zip(standings, features, strict=True)), modality)

    def case(self, name: str, strategy: str, kind: Kind, rows: int, epochs: int) -> Case | None:
        """A strategy of a candidate; None of one that is none of these."""
        standing = self.standings.get(name)
        if standing is None:
            return None
        anchor = untrained(self.features[name]) if kind is Kind.SCRATCH else standing.probe
        course = Course(strategy, kind, anchor, rows, epochs)
        return case_of(standing, self.features[name], course, modality=self.modality)

    def expect(self, name: str, strategy: str, kind: Kind, rows: int, epochs: int) -> tuple[Case, Fused] | None:
        """A strategy of a candidate, and what to expect of it; None where too little is known."""
        case = self.case(name, strategy, kind, rows, epochs)
        fused = None if case is None else self.fusion.expect(case)
        return None if case is None or fused is None else (case, fused)

    def added(self, name: str, strategy: str, kind: Kind, rows: int, epochs: int) -> float | None:
        """What a training of a candidate is expected to add to the score of its head; None as of `Fusion.added`."""
        case = self.case(name, strategy, kind, rows, epochs)
        return None if case is None else self.fusion.added(case)

    def measured(self, name: str, strategy: str) -> bool:
        """Whether that strategy was carried out with nets of the candidate's body."""
        standing = self.standings.get(name)
        return standing is not None and self.fusion.measured(strategy, standing.body, self.modality)


@dataclass(frozen=True, eq=False)
class ProbePrior:
    """What probes are expected to score before any is run, in log-odds, from the probes of other samples.

    A ridge on what *no transfer* scores, the nearness of the source beside its rivals' and the size of the net; and
    what a checkpoint's own probes elsewhere came to beside that, shrunk towards nothing by their number.
    """

    weights: Float[np.ndarray, " p"] | None
    """Of a constant and of what is known before; None where too little is."""
    records: Mapping[str, tuple[float, int]]
    """By checkpoint: what its probes came to beyond the regression, and how many they are."""
    deviation: float
    cases: int
    elsewhere: bool

    @classmethod
    def of(cls, cases: Iterable[Case], modality: str) -> "ProbePrior":
        """From cases of heads, of the modality where these do."""
        heads = [case for case in cases if case.kind is Kind.HEAD and "level" in case.features]
        own = [case for case in heads if case.modality == modality]
        known, elsewhere = (own, False) if _enough(own) else (heads, True)
        if not _enough(known):
            return cls(None, {}, _UNTOLD, 0, elsewhere)
        table = np.array([_before_probe(case, elsewhere=elsewhere) for case in known])
        wanted = log_odds(np.array([case.anchor for case in known]))
        missed, folds = wanted.copy(), _numbers([case.family for case in known]) % MOST_FOLDS
        for fold in np.unique(folds):
            left = folds == fold
            missed[left] -= table[left] @ _ridge(table[~left], wanted[~left])
        weights = _ridge(table, wanted)
        off: dict[str, list[float]] = {}
        for case, residual in zip(known, wanted - table @ weights, strict=True):
            off.setdefault(case.checkpoint, []).append(float(residual))
        records = {name: (sum(own) / (len(own) + _RECORD), len(own)) for name, own in off.items()}
        wider = ELSEWHERE if elsewhere else 1.0
        return cls(weights, {} if elsewhere else records, wider * float(missed.std()), len(known), elsewhere)

    def expect(self, no_transfer: float, checkpoint: str, nearer: float, parameters: int) -> tuple[float, float, int]:
        """A probe's score and its deviation; and how many probes of that checkpoint elsewhere speak for it.

        ``nearer`` is how much nearer its source is than its rivals', as a share of the registry's domain pairs.
        """
        raw = float(log_odds(no_transfer))
        if self.weights is None:
            return no_transfer, self.deviation * _slope(no_transfer), 0
        score = from_log_odds(
            float(np.array([1.0, raw]) @ self.weights[:2]) + self.beside(checkpoint, nearer, parameters)
        )
        return score, max(_LEAST, self.deviation * _slope(score)), self.records.get(checkpoint, (0.0, 0))[1]

    def beside(self, checkpoint: str, nearer: float, parameters: int) -> float:
        """What its size, its source and its own probes elsewhere add to a checkpoint's probe, in log-odds."""
        if self.weights is None or self.elsewhere:
            return 0.0
        own = np.array([nearer, np.log(parameters / 1e6)]) @ self.weights[2:]
        return float(own) + self.records.get(checkpoint, (0.0, 0))[0]


def _before_probe(case: Case, *, elsewhere: bool) -> list[float]:
    """What is known of a case before its probe is run."""
    raw = case.features["level"] + case.features.get("no transfer", 0.0)
    return [1.0, raw, *([] if elsewhere else [case.features.get("domain", 0.0), float(np.log(_millions(case.body)))])]


def _ridge(table: Float[np.ndarray, "n p"], wanted: Float[np.ndarray, " n"]) -> Float[np.ndarray, " p"]:
    """Weights of the columns, of which the first, a constant, is not penalized."""
    penalty = np.diag([_NONE, *np.ones(table.shape[1] - 1)])
    return np.linalg.solve(table.T @ table + penalty, table.T @ wanted)


def _alike(cases: Sequence[Case], case: Case) -> Sequence[Case]:
    """Those that begin with a fresh head, or with the fitted one, as a case does; all where these are too few."""
    alike = [one for one in cases if (one.strategy in AFRESH) == (case.strategy in AFRESH)]
    return alike if _enough(alike) else cases


def _enough(cases: Sequence[Case]) -> bool:
    return len(cases) >= FEWEST_CASES and len({case.sample for case in cases}) >= FEWEST_SAMPLES


@dataclass(frozen=True, eq=False)
class _Design:
    """The columns of a regression, in the units in which their penalties are alike."""

    names: tuple[str, ...]
    mean: Float[np.ndarray, " p"]
    spread: Float[np.ndarray, " p"]
    ends: Float[np.ndarray, "2 p"]
    """Least and most of each feature that was measured: what lies beyond counts as they do, but of `_AHEAD`."""
    effects: Mapping[tuple[str, str], int]

    @classmethod
    def over(cls, cases: Sequence[Case], names: Sequence[str]) -> "_Design":
        table = np.array([[case.features.get(name, np.nan) for name in names] for case in cases])
        known = np.isfinite(table)
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, table, 0.0).sum(axis=0) / count
        spread = np.sqrt((np.where(known, table - mean, 0.0) ** 2).sum(axis=0) / count)
        kept = spread > _NONE
        free = np.array([name in _AHEAD for name in names], bool)
        least = np.where(free, -np.inf, np.where(known, table, np.inf).min(axis=0))
        most = np.where(free, np.inf, np.where(known, table, -np.inf).max(axis=0))
        ends = np.stack([least, most])[:, kept]
        effects = sorted({effect for case in cases for effect in _effects(case)})
        places = {effect: int(kept.sum()) + 1 + at for at, effect in enumerate(effects)}
        return cls(tuple(np.array(names, object)[kept]), mean[kept], spread[kept], ends, places)

    @property
    def width(self) -> int:
        return 1 + len(self.names) + len(self.effects)

    def rows(self, cases: Sequence[Case]) -> Float[np.ndarray, "n p"]:
        """A column of ones, hardly penalized; the features; the effects."""
        table = np.array([[case.features.get(name, np.nan) for name in self.names] for case in cases])
        table = table.reshape(len(cases), len(self.names))
        columns = np.zeros((len(cases), self.width))
        columns[:, 0] = 1 / _FREE
        columns[:, 1 : 1 + len(self.names)] = np.nan_to_num((np.clip(table, *self.ends) - self.mean) / self.spread)
        for row, case in enumerate(cases):
            for effect in _effects(case):
                if effect in self.effects:
                    columns[row, self.effects[effect]] = EFFECTS[effect[0]]
        return columns

    def scale(self, penalty: float, own: float, effects: float | None = None) -> Float[np.ndarray, " p"]:
        """What the columns are multiplied by, so that a ridge of penalty 1 gives the features theirs: `OWN` another.

        ``effects`` are the deviation of those of bodies and checkpoints, where it is not that of `EFFECTS`.
        """
        columns = np.ones(self.width)
        for effect, at in self.effects.items():
            if effects is not None and effect[0] != "strategy":
                columns[at] = effects / EFFECTS[effect[0]]
        of_names = [own if name in OWN else penalty for name in self.names]
        columns[1 : 1 + len(self.names)] = 1 / np.sqrt(of_names)
        return columns

    def unseen(self, case: Case, effects: float | None = None) -> float:
        """Variance of effects of which nothing is known, as a share of the residuals'; ``effects`` as of `scale`."""
        unknown = [kind for kind, name in _effects(case) if (kind, name) not in self.effects]
        own = (EFFECTS[kind] if effects is None or kind == "strategy" else effects for kind in unknown)
        return float(sum(deviation**2 for deviation in own))


def _effects(case: Case) -> tuple[tuple[str, str], ...]:
    named = (("checkpoint", case.checkpoint), ("body", case.body), ("strategy", case.strategy))
    return tuple((kind, name) for kind, name in named if name)


@dataclass(frozen=True, eq=False)
class _Model:
    """The regression of one kind of strategies."""

    design: _Design
    scale: Float[np.ndarray, " p"]
    effects: float | None
    """Deviation of bodies' effects, where it is not that of `EFFECTS`."""
    weights: Float[np.ndarray, " p"]
    inverse: Float[np.ndarray, "p p"]
    own: float
    common: float
    calibration: float
    cases: int
    elsewhere: bool
    beyond: Mapping[str, tuple[float, float]]
    """Where the outcomes lie by each of `BEYOND`, and the deviation of what a unit more gains that they leave."""

    @classmethod
    def fit(cls, cases: Sequence[Case], names: Sequence[str], *, elsewhere: bool = False) -> "_Model":
        if elsewhere:
            cases = [replace(case, checkpoint="", body="") for case in cases]
        design = _Design.over(cases, names)
        table = design.rows(cases)
        actual = np.array([float(log_odds(case.score or 0.0)) for case in cases])
        wanted = actual - np.array([float(log_odds(case.anchor)) for case in cases])
        samples, families = (_numbers([getattr(case, of) for case in cases]) for of in ("sample", "family"))
        weight = _weights(cases)
        known = _Known(table, wanted, weight, samples, families)
        own_penalty = _OWN_PENALTIES[0]
        if OWN.intersection(design.names):
            rivals = _rivals(cases)
            disorder = {
                own: _disorder(actual, known.missed(design.scale(_PENALTIES[-2], own))[0], weight, rivals, families)
                for own in _OWN_PENALTIES
            }
            own_penalty = min(disorder, key=lambda own: disorder[own])
        level = cases[0].kind is Kind.SCRATCH
        grid: list[tuple[float, float | None]] = [(penalty, None) for penalty in _PENALTIES]
        if level:
            grid = [(penalty, effects) for penalty in _LEVEL_PENALTIES for effects in _LEVEL_EFFECTS]
        scales = [(design.scale(penalty, own_penalty, effects), effects) for penalty, effects in grid]
        tried = [(*scale, known.missed(scale[0])) for scale in scales]
        scale, effects, (missed, leverage) = min(tried, key=lambda one: known.loss(one[2][0], level=level))
        weights, inverse = known.ridge(scale)
        own, common = _spreads(missed, samples, weight, cases)
        stretch = _calibration(cases, missed, leverage, own, common, families, weight)
        wider = stretch * (ELSEWHERE if elsewhere else 1.0)
        of = {name: np.array([case.features.get(name, np.nan) for case in cases]) for name in BEYOND if name in names}
        share, variance = weight / np.bincount(families, weight)[families], (own**2 + common**2) * wider**2
        beyond = {name: _unknown_slope(values, share, BEYOND[name], variance) for name, values in of.items()}
        spreads = own * wider, common * wider, wider
        return cls(design, scale, effects, weights, inverse, *spreads, len(cases), elsewhere, beyond)

    def expect(self, case: Case) -> Fused:
        row = self.design.rows([case])[0] * self.scale
        parts = row * self.weights
        names = ("usual", *self.design.names)
        contributions = {name: float(value) for name, value in zip(names, parts, strict=False)}
        for effect, at in self.design.effects.items():
            if row[at]:
                key = {"body": "architecture"}.get(effect[0], effect[0])
                contributions[key] = contributions.get(key, 0.0) + float(parts[at])
        unsure = (
            1 + float(row @ self.inverse @ row) + (0.0 if self.elsewhere else self.design.unseen(case, self.effects))
        )
        apart = (deviation * (case.features.get(name, at) - at) for name, (at, deviation) in self.beyond.items())
        return Fused(
            case.kind,
            float(parts.sum()),
            float(np.sqrt(self.own**2 * unsure + sum(far**2 for far in apart))),
            self.common,
            self.calibration,
            contributions,
            self.cases,
            self.elsewhere,
            dict(zip(self.design.names, self.design.mean.tolist(), strict=True)),
        )


@dataclass(frozen=True, eq=False)
class _Pairs:
    """What trainings add to a head on the same rows, in deviations of whether the head classifies one row rightly."""

    design: _Design
    weights: Float[np.ndarray, " p"]

    @classmethod
    def fit(cls, cases: Sequence[Case]) -> "_Pairs":
        design = _Design.over(cases, _PAIRED)
        heads = np.array([case.head or 0.0 for case in cases])
        wanted = (np.array([case.score or 0.0 for case in cases]) - heads) / _row_deviation(heads)
        samples, families = (_numbers([getattr(case, of) for case in cases]) for of in ("sample", "family"))
        known = _Known(design.rows(cases), wanted, _weights(cases), samples, families)
        scales = [design.scale(_PAIRED_PENALTY, _PAIRED_PENALTY, effects) for effects in _PAIRED_EFFECTS]
        scale = min(scales, key=lambda scale: known.lost(known.missed(scale)[0]))
        return cls(design, known.ridge(scale)[0] * scale)

    def expect(self, case: Case, head: float) -> float:
        return float(self.design.rows([case])[0] @ self.weights * _row_deviation(np.array([head]))[0])


def _row_deviation(scores: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    return np.asarray(np.sqrt(np.maximum(scores * (1 - scores), _LEAST_VARIANCE)))


@dataclass(frozen=True, eq=False)
class _Known:
    """A regression's rows."""

    table: Float[np.ndarray, "n p"]
    wanted: Float[np.ndarray, " n"]
    weight: Float[np.ndarray, " n"]
    samples: Shaped[np.ndarray, " n"]
    families: Shaped[np.ndarray, " n"]

    def missed(self, scale: Float[np.ndarray, " p"]) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """By how much each family's rows are missed where it is left out, and their leverage then.

        Effects that only the left out have are unknown to the others, as they would be of a new case.
        """
        missed, leverage = self.wanted.copy(), np.zeros(len(self.wanted))
        for part, fold in enumerate(self._folds):
            if not fold.all():
                weights, inverse = self.ridge(scale, without=part)
                rows = self.table[fold] * scale
                missed[fold] = self.wanted[fold] - rows @ weights
                leverage[fold] = (rows @ inverse * rows).sum(axis=1)
        return missed, leverage

    def loss(self, missed: Float[np.ndarray, " n"], *, level: bool = False) -> float:
        """Mean square within samples, every family alike: what the order of a sample's cases suffers from.

        Where the ``level`` is asked for, of all that is missed.
        """
        total = np.bincount(self.samples, self.weight)
        middle = 0.0 if level else (np.bincount(self.samples, self.weight * missed) / total)[self.samples]
        off = missed - middle
        share = np.bincount(self.families, self.weight)
        return float((np.bincount(self.families, self.weight * off**2) / share).mean())

    def lost(self, missed: Float[np.ndarray, " n"]) -> float:
        """What is lost where one takes what is expected to be above 0 alone, every family alike."""
        taken = np.where(self.wanted > missed, self.wanted, 0.0)
        share = np.bincount(self.families, self.weight)
        off = np.maximum(self.wanted, 0.0) - taken
        return float((np.bincount(self.families, self.weight * off) / share).mean())

    def ridge(
        self, scale: Float[np.ndarray, " p"], *, without: int | None = None
    ) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, "p p"]]:
        """Weights of the scaled columns, and their covariance in units of the residuals' variance.

        Samples have random intercepts; ``without`` is a fold of families that is left out.
        """
        squares, products = self._whole
        if without is not None:
            less = self._moments[without]
            squares, products = squares - less[0], products - less[1]
        inverse = np.linalg.inv(squares * np.outer(scale, scale) + np.eye(len(scale)))
        return inverse @ (products * scale), inverse

    @cached_property
    def _folds(self) -> list[Bool[np.ndarray, " n"]]:
        parts = range(min(MOST_FOLDS, int(self.families.max()) + 1))
        return [self.families % MOST_FOLDS == part for part in parts]

    @cached_property
    def _whole(self) -> tuple[Float[np.ndarray, "p p"], Float[np.ndarray, " p"]]:
        """Squares and products of all rows: families share no sample, so that those of their folds add up."""
        squares, products = zip(*self._moments, strict=True)
        return np.sum(squares, axis=0), np.sum(products, axis=0)

    @cached_property
    def _moments(self) -> list[tuple[Float[np.ndarray, "p p"], Float[np.ndarray, " p"]]]:
        """Of the rows of each fold, less their sample's part, the products of columns and of these with the wanted."""
        moments = []
        for rows in self._folds:
            table, wanted, weight = self.table[rows], self.wanted[rows], self.weight[rows]
            samples = np.unique(self.samples[rows], return_inverse=True)[1]
            total = np.bincount(samples, weight)
            share = (1 - 1 / np.sqrt(1 + _SHARED**2 * total)) / np.maximum(total, 1e-12)
            members = coo_array((weight, (samples, np.arange(len(samples)))), shape=(len(total), len(samples))).tocsr()
            root = np.sqrt(weight)
            x = (table - (members @ table * share[:, None])[samples]) * root[:, None]
            y = (wanted - (members @ wanted * share)[samples]) * root
            moments.append((x.T @ x, x.T @ y))
        return moments


def _weights(cases: Sequence[Case]) -> Float[np.ndarray, " n"]:
    """A pair of checkpoint and sample counts once, however many strategies were carried out on it."""
    pairs = _numbers([(case.checkpoint or case.body, case.sample) for case in cases])
    return np.asarray(1 / np.bincount(pairs)[pairs])


def _numbers(values: Sequence[object]) -> Shaped[np.ndarray, " n"]:
    places = {value: at for at, value in enumerate(dict.fromkeys(values))}
    return np.array([places[value] for value in values])


def _rivals(cases: Sequence[Case]) -> list[Shaped[np.ndarray, " _"]]:
    """Rows of cases that a user would choose between: of one sample, by one strategy, on as many rows."""
    of: dict[tuple[object, ...], list[int]] = {}
    for at, case in enumerate(cases):
        key = case.sample, case.strategy, case.features.get("rows"), case.features.get("epochs")
        of.setdefault(key, []).append(at)
    return [np.array(rows[:_MOST_RIVALS]) for rows in of.values() if len(rows) > 1]


def _disorder(
    actual: Float[np.ndarray, " n"],
    missed: Float[np.ndarray, " n"],
    weight: Float[np.ndarray, " n"],
    rivals: Sequence[Shaped[np.ndarray, " _"]],
    families: Shaped[np.ndarray, " n"],
) -> float:
    """Share of what rivals differ by that lies between pairs in the wrong order, every family alike."""
    expected = actual - missed
    wrong, whole = np.zeros(families.max() + 1), np.zeros(families.max() + 1)
    for rows in rivals:
        apart, thought = (values[rows][:, None] - values[rows] for values in (actual, expected))
        share = np.sqrt(np.outer(weight[rows], weight[rows])) * np.abs(apart)
        whole[families[rows[0]]] += share.sum()
        wrong[families[rows[0]]] += share[apart * thought < 0].sum()
    known = whole > 0
    return float((wrong[known] / whole[known]).mean()) if known.any() else 0.0


def _spreads(
    missed: Float[np.ndarray, " n"],
    samples: Shaped[np.ndarray, " n"],
    weight: Float[np.ndarray, " n"],
    cases: Sequence[Case],
) -> tuple[float, float]:
    """Deviations of the residuals within samples and between them, in log-odds, less what rows explain."""
    total = np.maximum(np.bincount(samples, weight), 1e-12)
    middle = np.bincount(samples, weight * missed) / total
    within = float((weight * (missed - middle[samples]) ** 2).sum() / weight.sum())
    slope = np.array([_slope(case.score or 0.0) for case in cases])
    noise = np.array([case.noise for case in cases]) / slope**2
    explained = float((weight * noise).sum() / weight.sum())
    own = np.sqrt(max(within - explained, 0.25 * within))
    return float(own), float(np.sqrt(np.mean(middle**2)))


def _unknown_slope(
    values: Float[np.ndarray, " n"], share: Float[np.ndarray, " n"], deviation: float, variance: float
) -> tuple[float, float]:
    """The mean of a feature, and the deviation of its weight after what families tell of it, each counted once."""
    known = np.isfinite(values)
    if not known.any():
        return 0.0, 0.0
    values, share = values[known], share[known]
    mean = float(np.average(values, weights=share))
    information = float((share * (values - mean) ** 2).sum()) / max(variance, _NONE)
    return mean, deviation / float(np.sqrt(1 + deviation**2 * information))


def _calibration(
    cases: Sequence[Case],
    missed: Float[np.ndarray, " n"],
    leverage: Float[np.ndarray, " n"],
    own: float,
    common: float,
    families: Shaped[np.ndarray, " n"],
    weight: Float[np.ndarray, " n"],
) -> float:
    """What stated deviations have to be multiplied by so that `COVERED` of the left out lie within Z of them.

    Of fewer families than `FEWEST_FAMILIES` it is stretched as Student's t stretches a deviation of so many.
    """
    expected = [
        from_log_odds(float(log_odds(case.score or 0.0)) - off) for case, off in zip(cases, missed, strict=True)
    ]
    noise = np.array([case.noise / _slope(score) ** 2 for case, score in zip(cases, expected, strict=True)])
    ratio = np.abs(missed) / np.maximum(np.sqrt(own**2 * (1 + leverage) + common**2 + noise), _LEAST)
    share = weight / np.bincount(families, weight)[families]
    order = np.argsort(ratio)
    reached = np.cumsum(share[order]) / share.sum()
    at = min(int(np.searchsorted(reached, COVERED)), len(order) - 1)
    many = int(families.max()) + 1
    few = 1.0 if many >= FEWEST_FAMILIES else float(stdtrit(many, (1 + COVERED) / 2)) / Z
    return few * float(ratio[order][at]) / Z


def _cases(outcomes: Sequence[Outcome]) -> list[Case]:
    """Outcomes as cases; those that do not say what was known before are left out.

    Published ones hold raw figures, which stand beside those of the same sample; ours the features as they were.
    """
    plain = [one for one in outcomes if one.task is Task.CLASSIFICATION and one.metric.lowest == 0]
    published = [one for one in plain if one.origin is Origin.PUBLISHED and {"probe", "body"} & {*one.conditions}]
    cases = [case for one in plain if one.origin is Origin.OURS and (case := _own_case(one)) is not None]
    return cases + _published(published)


def _own_case(one: Outcome) -> Case | None:
    known, plan = one.conditions, one.conditions.get("plan")
    basis = known.get("basis")
    if not isinstance(basis, Mapping) or not isinstance(plan, Mapping):
        return None
    features, anchor = basis.get("features"), basis.get("anchor")
    if not isinstance(features, Mapping) or not isinstance(anchor, (int, float)):
        return None
    kind = kind_of(one.strategy, plan)
    if kind is Kind.SCRATCH and not {*FEATURES[kind]} <= {*features}:
        return None
    error = _NOISE if one.standard_error is None else one.standard_error
    return Case(
        str(known.get("checkpoint_digest", one.checkpoint))[:8],
        str(basis.get("body", "")),
        one.sample_digest,
        one.sample_digest,
        one.strategy,
        kind,
        float(anchor),
        {str(name): float(value) for name, value in features.items()},
        error**2,
        one.score,
        one.modality,
    )


def _published(outcomes: Sequence[Outcome]) -> list[Case]:
    """Cases of a table that has a whole sample's figures: each candidate beside the others of the sample.

    What is the same for all rows of a sample (``family``), of a draw (``classes``, ``no_transfer``), or of a pair
    (the scores), may stand in one.
    """
    samples: dict[str, list[Outcome]] = {}
    for one in sorted(outcomes, key=lambda row: (-row.rows_train, row.strategy, row.id)):
        samples.setdefault(one.sample_name, []).append(one)
    cases_of_table = []
    for name, rows in samples.items():
        family = next((str(one.conditions["family"]) for one in rows if "family" in one.conditions), name)
        merged: dict[str, dict[str, object]] = {}
        for one in rows:
            merged[_key(one)] = {**one.conditions, **merged.get(_key(one), {})}
        elsewhere: dict[str, Mapping[str, float]] = {}
        for drawn in dict.fromkeys(_drawn(one) for one in rows):
            bout = [one for one in rows if _drawn(one) == drawn]
            standings = {
                _key(one): _standing(_key(one), {**merged[_key(one)], "probe": one.conditions["probe"]})
                for one in reversed(bout)
                if isinstance(one.conditions.get("probe"), float)
            }
            known = {name: value for one in bout for name, value in one.conditions.items()}
            if "no_transfer" not in known:
                continue
            of = _float(known["no_transfer"]), int(_float(known.get("classes", 2.0)))
            features = dict(zip(standings, features_of([*standings.values()], *of), strict=True))
            bodies = {standing.body: features[name] for name, standing in standings.items()}
            elsewhere = bodies | elsewhere
            heads = {_key(one): _float(one.conditions["head"]) for one in bout if "head" in one.conditions}
            known_of = standings, features, elsewhere | bodies
            cases = (_published_case(one, family, *known_of, heads.get(_key(one))) for one in bout)
            cases_of_table += [case for case in cases if case is not None]
    return cases_of_table


def _drawn(one: Outcome) -> tuple[int, object]:
    """How many rows, of which draw from the sample."""
    return one.rows_train, one.conditions.get("draw")


def _key(one: Outcome) -> str:
    return str(one.conditions.get("weights", one.checkpoint))


def _published_case(
    one: Outcome,
    family: str,
    standings: Mapping[str, Standing],
    features: Mapping[str, Mapping[str, float]],
    bodies: Mapping[str, Mapping[str, float]],
    head: float | None,
) -> Case | None:
    known, kind, key = one.conditions, kind_of(one.strategy), _key(one)
    rows, tested = max(one.rows_train, 1), max(one.rows_test, 1)
    if kind is Kind.SCRATCH:
        body = str(known.get("body", ""))
        if body not in bodies:
            return None
        beside = bodies[body]
        anchor, standing = untrained(beside), Standing("", body, untrained(beside))
    elif key in standings and isinstance(known.get("probe"), float):
        anchor, standing, beside = _float(known["probe"]), standings[key], features[key]
    else:
        return None
    case = case_of(
        standing,
        beside,
        Course(one.strategy, kind, anchor, rows, int(_float(known.get("epochs", 0.0)))),
        sample=one.sample_name,
        family=family,
        modality=one.modality,
        noise=one.score * (1 - one.score) / tested + anchor * (1 - anchor) / rows,
        score=one.score,
    )
    if kind is Kind.TRAINING:
        return replace(case, head=one.score if "kept" in known and head is not None else head)
    return case


def _standing(key: str, known: Mapping[str, object]) -> Standing:
    values = {name: known.get(name) for name in ("neighbors", "hscore", "nearer")}
    numbers = {name: float(value) if isinstance(value, (int, float)) else None for name, value in values.items()}
    return Standing(key, str(known.get("body", "")), _float(known["probe"]), **numbers)


def _float(value: object) -> float:
    return float(str(value))
