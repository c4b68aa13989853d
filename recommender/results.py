"""What each step concludes. A verdict wraps the one it rests on; no field waits to be filled later."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Shaped

from registry.cards import Checkpoint, Metric, Outcome, Task
from registry.encoders import BlockSize
from registry.errors import NoCandidates
from registry.forms import Json, Record
from registry.metrics import LEVEL

if TYPE_CHECKING:
    from recommender.charts import Plot

__all__ = [
    "BASELINE_SPREAD",
    "UNSEEN_ERRORS",
    "Baseline",
    "BaselineForm",
    "Basis",
    "Benefit",
    "BenefitForm",
    "BenefitPoint",
    "BlockScore",
    "Candidate",
    "Choice",
    "ChoiceForm",
    "Confusion",
    "Cost",
    "Distance",
    "DomainDistance",
    "DomainDistanceForm",
    "EpochsToEqual",
    "Estimate",
    "Evidence",
    "Expected",
    "Exposure",
    "ExposureForm",
    "Gain",
    "Imported",
    "LabelSaving",
    "LeftOut",
    "Measured",
    "Mistake",
    "NovelRow",
    "Novelty",
    "OutcomeSource",
    "PassedOver",
    "Plan",
    "Pretext",
    "Pretraining",
    "Published",
    "Ranked",
    "Realized",
    "RealizedRun",
    "Recommendation",
    "RecommendationForm",
    "Rival",
    "Shift",
    "ShiftForm",
    "Skipped",
    "Stage",
    "StatedGain",
    "Suspect",
    "Suspects",
    "TrackRecord",
    "TrackSummary",
    "Transferability",
    "TuningRun",
    "TuningRunForm",
    "Unprobed",
    "UnprobedForm",
    "Verdict",
    "block_to_read",
]


_PATIENCE = 4
"""Epochs without improvement after which a short stage ends."""
_SHIFTED = 0.05
"""Chance of one source up to which the training and the test part count as two; a false alarm costs little, for the
estimates of what is lost shrink with the distance."""


BASELINE_SPREAD = 0.02
"""Deviation of *no transfer*'s test score around its cross-validated one, beyond what either part's rows explain."""
UNSEEN_ERRORS = 2.0
"""Standard errors by which an earlier block must beat the last where a checkpoint is judged on unseen rows alone."""


@dataclass(frozen=True)
class Distance(Record):
    """How far two clouds lie apart; smaller is nearer.

    ``value`` is at least 0 and 0 at the null; ``statistic`` is the raw estimate and may be negative.
    ``low``, ``high`` (nominal 90 %) and ``p_same`` are None only where the method has none.
    """

    metric: str
    value: float
    statistic: float
    low: float | None = None
    high: float | None = None
    p_same: float | None = None
    details: Mapping[str, float] = field(default_factory=dict)
    """Whatever else the method measured, by name (AUC, precision, recall, effect ...)."""


@dataclass(frozen=True)
class DomainDistance(Record):
    """The distance of the user's sample to one registered domain, through one lens."""

    domain: str
    lens: str
    distance: Distance
    percentile: float | None
    """Share of the registry's own domain pairs that lie farther apart, 0-100; None under two domains."""
    plugins: Mapping[str, float] = field(default_factory=dict)
    """What the distances of installed plug-ins make of the same two clouds, by name."""

    def to_form(self) -> "DomainDistanceForm":
        """The distance beside the domain; the lens is the registry's."""
        d = self.distance
        return DomainDistanceForm(
            self.domain, d.metric, d.value, d.low, d.high, self.percentile, d.p_same, self.plugins
        )


@dataclass(frozen=True)
class DomainDistanceForm:
    """`DomainDistance` as it is kept."""

    domain: str
    metric: str
    value: float
    low: float | None
    high: float | None
    percentile: float | None
    p_same: float | None
    plugins: Mapping[str, float] = field(default_factory=dict)

    def through(self, lens: str) -> DomainDistance:
        """The distance, measured through a lens; the raw statistic is not kept, but for its value."""
        distance = Distance(self.metric, self.value, self.value, self.low, self.high, self.p_same)
        return DomainDistance(self.domain, lens, distance, self.percentile, self.plugins)


@dataclass(frozen=True)
class Exposure:
    """What a checkpoint has seen of the user's rows before: in its training, or an ancestor's or a teacher's."""

    seen: frozenset[str]
    """Content digests of the rows, of the test part too, that are among those."""
    through: tuple[str, ...]
    """The domains that they, or copies of them, belong to."""
    copies: bool
    """Whether any row may be a copy, written anew, of one that was seen, so that none can be told from the others."""
    because: str

    def unseen(self, digests: Sequence[str]) -> Bool[np.ndarray, " n"]:
        """Which rows of these content digests it has certainly not seen."""
        return np.array([not self.copies and digest not in self.seen for digest in digests], bool)


@dataclass(frozen=True)
class Candidate:
    """A checkpoint worth probing; ``distance`` is None where its domain has no sketch."""

    checkpoint: Checkpoint
    distance: DomainDistance | None
    exposure: Exposure | None = None
    """None where it is not known to have seen any of the user's rows."""


@dataclass(frozen=True)
class Skipped(Record):
    """A checkpoint that was not probed or failed, and why."""

    checkpoint: str
    reason: str


@dataclass(frozen=True)
class Published(Record):
    """A result of a checkpoint that others published."""

    sample: str
    strategy: str
    metric: str
    score: float
    citation: str


@dataclass(frozen=True)
class _Absent(Record):
    """What is known of a checkpoint that is not here, without how far it lies."""

    checkpoint: str
    hub: str
    parameters: int | None
    bytes: int | None
    """To be fetched, about."""
    licenses: tuple[str, ...]
    """Of its weights; several where sources disagree."""
    domains: tuple[str, ...]
    """What it was trained on, the last stage last."""


@dataclass(frozen=True)
class Unprobed(_Absent):
    """A checkpoint that is known but not here, with what is known of it before any probe."""

    distance: DomainDistance | None
    """To the nearest of these that has a sketch; None where none has."""
    published: tuple[Published, ...] = ()

    def to_form(self) -> "UnprobedForm":
        """With how it stands, and the command that fetches it."""
        known = {each.name: getattr(self, each.name) for each in fields(_Absent)}
        distance = None if self.distance is None else self.distance.to_form()
        fetch = f"transferzoo zoo fetch {self.checkpoint}"
        return UnprobedForm(**known, distance=distance, published=self.published, fetch=fetch)


@dataclass(frozen=True)
class UnprobedForm(_Absent):
    """`Unprobed` as it is kept."""

    distance: DomainDistanceForm | None
    published: tuple[Published, ...]
    fetch: str
    status: str = "not probed"


@dataclass(frozen=True)
class Rival(Record):
    """What others would take without looking at the data: free to name, and honest about what is not known."""

    of: str
    """``preset of AutoGluon 1.6``, ``most downloaded``."""
    checkpoint: str | None
    """None where it is not known which."""
    here: bool
    expected: "Expected | None"
    """Where it is among the choices."""
    because: str


@dataclass(frozen=True)
class BlockScore:
    """How well a linear head reads the targets after one block: cross-validated score and its standard error."""

    block: str
    score: float
    standard_error: float
    parameters: int | None = None
    """How many there are to learn in it; None where its net was not opened."""


def block_to_read(blocks: Sequence[BlockScore], errors: float = 1.0) -> BlockScore:
    """The last block, unless an earlier one beats it by more than that many standard errors."""
    *below, last = blocks
    best = max(below, key=lambda row: row.score, default=last)
    return best if best.score > last.score + errors * max(best.standard_error, last.standard_error) else last


@dataclass(frozen=True)
class Estimate:
    """What a comparable score estimates that a head on the block to read would score, in its metric."""

    score: str
    """The plug-in's name."""
    value: float
    standard_error: float
    """How far it says that it may be off."""


@dataclass(frozen=True, eq=False)
class Transferability:
    """A candidate with its scores on the user's labels.

    ``scores`` are of the last block. ``fold_scores`` are those of the linear head on the block to `read`, in the stated
    metric, by fold; ``predicted`` is what it says out of fold of every probed row (class number, 0 or 1 for each label,
    or quantity, as in the sample's targets), in the sample's row order (paired with the baseline's).
    """

    candidate: Candidate
    scores: Mapping[str, float]
    blocks: tuple[BlockScore, ...]
    fold_scores: tuple[float, ...]
    predicted: Shaped[np.ndarray, "n ..."] = field(repr=False)
    forward_seconds: float
    """Seconds that one item's forward pass takes on this machine, preprocessing included."""
    width: int = 0
    """Columns of the block to read; 0 where it was not told."""
    adaptable: tuple[str, ...] = ()
    """Blocks with linear layers, beside which adapters can learn."""
    opening_seconds: float = 0.0
    """How many of `forward_seconds` it takes to open an item."""
    sizes: tuple[BlockSize, ...] = ()
    """How much there is to learn in each block."""
    judged: Bool[np.ndarray, " n"] | None = field(default=None, repr=False)
    """The rows that the scores are of: those that the checkpoint has not seen; None for all."""
    believed: bool = True
    """False where it has seen the rows, so that its scores flatter it."""
    optimism: float = 0.0
    """By how much the score at the block to `read` is flattered: the rows that judge it chose that block."""
    estimates: tuple[Estimate, ...] = ()
    """Of the comparable scores of plug-ins; none where the checkpoint has seen rows of the sample."""
    over_blocks: Mapping[str, float] = field(default_factory=dict)
    """The best value of a score over all blocks, of the scores that expectations are fused from."""
    remarks: tuple[str, ...] = ()
    """What of the rows the checkpoint does not see."""
    probabilities: Float[np.ndarray, "n c"] | None = field(default=None, repr=False)
    """Of the classes, as that head gives them out of fold; zeros for rows that are in training always."""

    @property
    def read(self) -> BlockScore:
        """The block to put a head on."""
        return block_to_read(self.blocks, self.errors)

    @property
    def errors(self) -> float:
        """Standard errors by which an earlier block must beat the last: more where few unseen rows judge them."""
        return 1.0 if self.judged is None else UNSEEN_ERRORS


@dataclass(frozen=True)
class Expected(Record):
    """A predicted test score with its interval (nominal 90 %)."""

    metric: Metric
    mean: float
    low: float
    high: float

    @classmethod
    def around(cls, metric: Metric, mean: float, reach: float) -> "Expected":
        """An interval that ends where the metric does, and always holds its mean."""
        return cls(metric, mean, min(mean, max(metric.lowest, mean - reach)), max(mean, min(1.0, mean + reach)))

    @property
    def words(self) -> str:
        """The score and its interval as they are read: ``76.6 % (90 %: 70.1 to 83.0 %)``."""
        return f"{self.metric.words(self.mean)} ({LEVEL}: {self.metric.interval(self.low, self.high)})"


@dataclass(frozen=True, eq=False)
class Baseline(Record):
    """What no transfer at all scores: the better of a linear model and nearest neighbors on raw features."""

    model: str
    expected: Expected
    predicted: Shaped[np.ndarray, "n ..."] = field(repr=False)
    plain: float
    """Score of the better model on the plainest raw features: what outcomes of others know as *no transfer*."""

    def __repr__(self) -> str:
        return f"<Baseline {self.model}: {self.expected.metric} {self.expected.words}>"

    def lowered(self, expected: Expected) -> "Baseline":
        """With another expectation; the plain score moves as far."""
        return replace(self, expected=expected, plain=self.plain + expected.mean - self.expected.mean)

    def to_form(self) -> "BaselineForm":
        """The expectation, whose metric is the sample's; what was predicted is not kept."""
        return BaselineForm(self.model, self.expected.mean, self.expected.low, self.expected.high, self.plain)


@dataclass(frozen=True)
class BaselineForm:
    """`Baseline` as it is kept."""

    model: str
    mean: float
    low: float
    high: float
    plain: float | None = None
    """None where it was kept before there were several raw features: the mean."""

    def judged_by(self, metric: Metric) -> Baseline:
        """The baseline, without what it predicted."""
        plain = self.mean if self.plain is None else self.plain
        return Baseline(self.model, Expected(metric, self.mean, self.low, self.high), np.empty(0), plain)


@dataclass(frozen=True, eq=False)
class Ranked:
    """A scored candidate in its place: expected score of its linear head, chance of being the best, tier."""

    transferability: Transferability
    expected: Expected
    p_best: float
    tier: int
    gain: Expected
    """Paired difference to no transfer, with interval; may be negative."""
    because: tuple[str, ...]
    draws: Float[np.ndarray, " B"] = field(default_factory=lambda: np.zeros(0), repr=False)
    """What the score might be on other rows, draw by draw the same rows for all candidates; its mean is expected's."""

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint that is ranked."""
        return self.transferability.candidate.checkpoint


@dataclass(frozen=True, eq=False)
class Evidence:
    """All that a strategy may look at. No strategy sees data or torch."""

    ranked: Ranked
    rows: int
    classes: int
    """Outputs of the head: classes, labels, or 1 for a quantity."""
    fewest: int
    """Rows of the smallest class or rarest label; all rows in regression."""
    baseline: Baseline
    architecture: str
    blocks: tuple[str, ...]
    """Names of the backbone's blocks, input side first."""
    task: Task = Task.CLASSIFICATION
    unlabelled: int = 0
    """Items without labels that were handed over beside the rows."""


@dataclass(frozen=True)
class StatedGain:
    """What a plug-in strategy states of itself: the share of a linear head's error that its training removes.

    The share is that on ample rows; on ``rows`` rows, ``rows / (rows + 600)`` of it is expected.
    """

    share: float
    """Mean over the cases behind it, of (score - probe) / (1 - probe)."""
    spread: float
    """Its standard deviation from case to case."""
    cases: int
    """Pairs of a checkpoint and a sample on which that was seen."""
    source: str
    """Where they are reported, in a few words."""


@dataclass(frozen=True)
class Stage(Record):
    """One stretch of training: which blocks learn (``head`` is always one), for how long, how fast."""

    train: tuple[str, ...]
    epochs: int
    head_rate: float
    backbone_rate: float
    layer_decay: float = 1.0
    """Each lower block's rate is the one above's times this."""
    only: str = "all"
    """Which parameters of those blocks learn: ``all``, ``norms`` (of normalization layers) or ``adapters`` (LoRA)."""

    @property
    def patience(self) -> int:
        """Epochs without improvement after which it ends.

        Half of its epochs where that is more, for the rate falls to its end and most is gained there (LOG.md).
        """
        return max(_PATIENCE, self.epochs // 2)

    @property
    def expected_epochs(self) -> float:
        """Half way between the least that it runs, where no epoch improves on the start, and all."""
        return (min(self.patience, self.epochs) + self.epochs) / 2


class Pretext(StrEnum):
    """What a backbone learns before there is a head."""

    ITEMS = "items"
    """Parts of items that are hidden, or come next: no label is needed (`registry.modalities.SelfSupervised`)."""
    PAIRS = "pairs"
    """Whether two rows are of one class."""


@dataclass(frozen=True)
class Pretraining(Record):
    """What a backbone learns before a head is fitted to its features."""

    pretext: Pretext
    epochs: int
    rate: float
    rows: int
    """Items, or pairs of them, of an epoch."""

    @property
    def shown(self) -> int:
        """Items that are shown in all."""
        return self.epochs * self.rows * (2 if self.pretext is Pretext.PAIRS else 1)


@dataclass(frozen=True)
class Plan(Record):
    """What stays frozen, learning rates, schedule, and because.

    ``read`` names the block whose pooled features the head is put on. ``head`` says how the head starts:
    ``logistic`` (the mean of logistic regression and a ridge, on cached features), ``fresh`` (one that says nothing
    yet), ``prototype`` (the nearest class mean) or ``neighbors`` (a vote of the nearest training rows).
    A plan without stages trains nothing but that head; the last two heads have no stages.
    """

    strategy: str
    read: str
    head: str
    stages: tuple[Stage, ...]
    frozen: tuple[str, ...]
    """Blocks that never learn in any stage."""
    from_scratch: bool
    augment: bool
    batch_size: int
    weight_decay: float
    label_smoothing: float
    because: tuple[str, ...]
    mixup: float = 0.0
    """Alpha of the Beta distribution that pairs of items are mixed by; 0 for none (Zhang et al. 2018)."""
    dropout: float = 0.0
    """Share of the head's inputs that are dropped in training."""
    class_weights: bool = False
    """Whether rows of rarer classes weigh more, each class alike in sum."""
    anchor: float = 0.0
    """Strength of the pull of learning backbone weights towards where they started (L2-SP, Li et al. 2018)."""
    adapter_rank: int = 0
    """Rank of the LoRA adapters (Hu et al. 2021); 0 for none."""
    cache: bool = True
    """Whether activations at the end of a frozen prefix are kept on disk instead of computed in every epoch;
    with ``augment`` or ``mixup`` there is nothing to keep."""
    find_rate: bool = False
    """Whether a range test may lower the rates before each stage."""
    controls: tuple[str, ...] = ()
    """What the run is held against: ``no-transfer`` (raw features), ``scratch`` (the same net from random weights)."""
    pretraining: Pretraining | None = None
    """What comes before a ``logistic`` head is fitted, to features of what came of it."""


@dataclass(frozen=True)
class Cost(Record):
    """What carrying out the plan is estimated to take on this machine."""

    seconds: float
    peak_memory_bytes: int
    trainable_parameters: int
    device: str = "cpu"
    """Where that is: the device that was measured."""
    bytes_to_fetch: int = 0
    """Of weights that are not here."""


@dataclass(frozen=True)
class Realized(Record):
    """What a tuning of the same checkpoint on the same sample came to."""

    run: str
    strategy: str
    score: float
    standard_error: float | None


@dataclass(frozen=True)
class Basis(Record):
    """What an expectation is fused from (`recommender.fusion`)."""

    anchor: float
    """The score that it starts from: the probe's or, of training from random weights, *no transfer*'s."""
    body: str
    """What the net shares with those that differ in nothing but their weights."""
    features: Mapping[str, float]
    """By name, in the units of the regression."""
    contributions: Mapping[str, float]
    """What each feature adds to the anchor, in the metric's units; their sum is what the expectation moves by."""
    outcomes: int
    """How many it was fitted on."""
    elsewhere: bool
    """Whether those are of other modalities."""
    usual: Mapping[str, float] = field(default_factory=dict)
    """Of a feature, what it is in these outcomes in the mean; nothing of those that are 0 then."""


@dataclass(frozen=True)
class PassedOver(Record):
    """A strategy that was considered for a checkpoint and not chosen."""

    strategy: str
    mean: float
    """Expected score."""
    low: float
    high: float
    passes: float
    """What it would take, in passes over the rows: no clock, so that the same question gets the same answer."""


@dataclass(frozen=True, eq=False)
class Choice(Record):
    """One row of the advice: a ranked checkpoint with its plan. Its rank, gain and tier are of the plan's score."""

    ranked: Ranked
    plan: Plan
    expected: Expected
    cost: Cost
    because: tuple[str, ...]
    draws: Float[np.ndarray, " B"] = field(default_factory=lambda: np.zeros(0), repr=False)
    """As `Ranked.draws`, of the plan's score."""
    realized: tuple[Realized, ...] = ()
    recommendation: str | None = None
    """Id of the advice that it is part of."""
    basis: Basis | None = None
    """What its expectation is fused from; None where it is not."""
    passed_over: tuple[PassedOver, ...] = ()
    """Other strategies for the same checkpoint, the best first."""

    def __repr__(self) -> str:
        scored = f"{self.expected.metric} {self.expected.words}"
        return f"<Choice {self.checkpoint.name}, {self.plan.strategy}: {scored}, tier {self.ranked.tier}>"

    @property
    def checkpoint(self) -> Checkpoint:
        """The backbone to start from."""
        return self.ranked.checkpoint

    @property
    def measured(self) -> bool:
        """Whether its score rests on rows that it has not seen: a probe's, or a result's."""
        return self.ranked.transferability.believed or bool(self.realized)

    def to_form(self) -> "ChoiceForm":
        """All that was found of it, by the checkpoint's name; the arrays of evidence are left out."""
        scored, gain = self.ranked.transferability, self.ranked.gain
        distance = scored.candidate.distance
        return ChoiceForm(
            checkpoint=self.checkpoint.name,
            strategy=self.plan.strategy,
            plan=self.plan,
            expected=self.expected,
            distance=None if distance is None else distance.to_form(),
            scores=scored.scores,
            blocks=scored.blocks,
            cost=self.cost,
            because=self.because,
            p_best=self.ranked.p_best,
            tier=self.ranked.tier,
            gain=Gain(gain.mean, gain.low, gain.high),
            realized=self.realized,
            exposure=self._exposure(),
            basis=self.basis,
            passed_over=self.passed_over,
        )

    def _exposure(self) -> "ExposureForm | None":
        scored = self.ranked.transferability
        known = scored.candidate.exposure
        if known is None:
            return None
        judged = 0 if not scored.believed or scored.judged is None else int(scored.judged.sum())
        return ExposureForm(len(known.seen), known.through, known.copies, judged, scored.believed, known.because)


@dataclass(frozen=True)
class Gain:
    """A difference of two expected scores with its interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class ExposureForm:
    """`Exposure` as it is kept with a choice: rows are counted, not named."""

    rows_seen: int
    through: tuple[str, ...]
    copies: bool
    rows_judged: int
    probe_believed: bool
    because: str


@dataclass(frozen=True)
class ChoiceForm:
    """`Choice` as it is kept."""

    checkpoint: str
    strategy: str
    plan: Plan
    expected: Expected
    distance: DomainDistanceForm | None
    scores: Mapping[str, float]
    blocks: tuple[BlockScore, ...]
    cost: Cost
    because: tuple[str, ...]
    p_best: float
    tier: int
    gain: Gain
    realized: tuple[Realized, ...] = ()
    exposure: ExposureForm | None = None
    basis: Basis | None = None
    passed_over: tuple[PassedOver, ...] = ()

    def of(self, candidate: Candidate, recommendation: str) -> Choice:
        """The choice, of a candidate that is found again, as advice with that id has it."""
        known, metric = self.exposure, self.expected.metric
        scored = Transferability(
            candidate,
            self.scores,
            self.blocks,
            (),
            np.zeros(0),
            0.0,
            judged=None if known is None else np.ones(known.rows_judged, bool),
            believed=known is None or known.probe_believed,
        )
        gain = Expected(metric, self.gain.mean, self.gain.low, self.gain.high)
        return Choice(
            Ranked(scored, self.expected, self.p_best, self.tier, gain, ()),
            self.plan,
            self.expected,
            self.cost,
            self.because,
            realized=self.realized,
            recommendation=recommendation,
            basis=self.basis,
            passed_over=self.passed_over,
        )


@dataclass(frozen=True)
class Verdict:
    """Whether to transfer, in words."""

    transfer: bool
    sentence: str
    beyond_chance: bool = True
    """Whether the better side is so beyond chance; else it is the better bet. Kept advice of old does not say."""

    @classmethod
    def from_form(cls, form: Json) -> "Verdict":
        """The verdict of kept advice, also of that of earlier versions."""
        return cls(**form)


@dataclass(frozen=True)
class Shift(Record):
    """Whether the test part is another source than the training part, as its rows tell without their labels."""

    p_same: float
    """How often parts of one source would lie as far apart (permutation test of MMD, in the lens)."""
    auc: float
    """How well a linear classifier tells the parts apart: .5 not at all, 1 always."""
    rows_train: int
    rows_test: int
    drops: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """By how much the score of each checkpoint (or *no transfer*) falls, by each estimate; none where nothing moved."""

    @property
    def detected(self) -> bool:
        """Whether the parts differ beyond chance (p up to .05)."""
        return self.p_same <= _SHIFTED

    @property
    def sentence(self) -> str:
        """What follows, in words."""
        figures = f"p {self.p_same:.3f} that both are one source, AUC {self.auc:.2f} of telling them apart"
        if not self.detected:
            return f"The test part is like the training part ({figures})."
        if not self.drops:
            return (
                f"The test part is not like the training part ({figures}): folds of the training part cannot see that, "
                "and expectations do not know of it."
            )
        return (
            f"The test part is not like the training part ({figures}): folds of the training part cannot see that, so "
            "expectations move, and are less certain, by as much as the unlabelled test rows tell."
        )

    def to_form(self) -> "ShiftForm":
        """With what follows."""
        return ShiftForm(
            self.detected, self.p_same, self.auc, self.rows_train, self.rows_test, self.drops, self.sentence
        )


@dataclass(frozen=True)
class ShiftForm:
    """`Shift` as it is kept."""

    detected: bool
    p_same: float
    auc: float
    rows_train: int
    rows_test: int
    drops: Mapping[str, Mapping[str, float]]
    sentence: str


@dataclass(frozen=True)
class Suspect(Record):
    """A row whose label is in doubt, and the one that is suggested instead."""

    item: str
    """Its name."""
    label: str
    suggested: str
    probability: float
    """Of its label: the mean over heads that have not seen the row."""
    suggested_probability: float


@dataclass(frozen=True)
class Suspects(Record):
    """Labels in doubt. None is changed."""

    rows: tuple[Suspect, ...]
    """The most doubtful first."""
    rows_judged: int
    """Rows that were looked at."""
    checkpoints: tuple[str, ...]
    """Those whose heads were asked."""
    hardest: tuple[Suspect, ...] = ()
    """Of the others those whose label is the least probable, the hardest first; suggested is the likeliest other."""
    agreement: float | None = None
    """Share of the rows looked at whose label the heads give: the lower, the more doubts are mistakes of theirs."""


@dataclass(frozen=True)
class Trial(Record):
    """A real training of a finalist on a part of the rows, short unless its head is fresh; it is no outcome."""

    checkpoint: str
    strategy: str
    rows_train: int
    rows_test: int
    epochs: int
    head_score: float
    """Of a linear head on the rows held out, after the block that the plan reads; beside a fresh head, after the one
    that the checkpoint's own probe reads."""
    score: float
    """Of the training on the same rows."""
    standard_error: float
    curve: tuple[float, ...]
    """Validation score before the first epoch and after each."""
    seconds: float


@dataclass(frozen=True)
class NovelRow(Record):
    """A row beside the rows of a source domain."""

    item: str
    """Its name."""
    label: str
    distance: float
    """To its fifth nearest row of the domain, in the standardized features of the lens."""
    farther_than: float
    """Share of the domain's own rows whose fifth nearest other lies nearer, 0 to 1."""


@dataclass(frozen=True)
class Novelty(Record):
    """The rows of a sample that are least like a source domain."""

    domain: str
    """That of the best choice; of one without a sketch the nearest."""
    rows: tuple[NovelRow, ...]
    """The most novel first."""
    rows_judged: int
    rows_beyond: int
    """How many lie farther from the domain than any row of its own."""
    rows_of_domain: int


@dataclass(frozen=True, eq=False)
class Recommendation(Record):
    """The advice: choices best first, what was skipped, what no transfer would score, and the verdict.

    ``choices`` is empty only where there is nothing to choose by (a single class); ``domains`` are all distances
    that were measured, nearest first.
    """

    id: str
    sample: Mapping[str, object]
    baseline: Baseline
    choices: tuple[Choice, ...]
    skipped: tuple[Skipped, ...]
    domains: tuple[DomainDistance, ...]
    verdict: Verdict
    settings: Mapping[str, object] = field(default_factory=dict)
    """What was asked for beside the sample: keep, max_parameters, licenses, seed."""
    shift: Shift | None = None
    """None where the sample has no test part, or one that is too small to be compared."""
    unprobed: tuple[Unprobed, ...] = ()
    """What is known but not here, best first by what is known of it."""
    beyond: tuple[Skipped, ...] = ()
    """What is not here and not within the constraints either."""
    rivals: tuple[Rival, ...] = ()
    """What others would take without looking at the data."""
    suspects: Suspects | None = None
    """Labels in doubt; None where the rows have no single class, or too few checkpoints were probed to tell."""
    undone: tuple[Skipped, ...] = ()
    """What time did not do for: it can be gone on with."""
    novelty: Novelty | None = None
    """The rows that are least like the source domain; None where no domain has a sketch."""
    trials: tuple[Trial, ...] = ()
    """What the finalists' trainings added on a part of the rows; none but with effort *thorough*."""
    considered: str = ""
    """Where the registry holds more checkpoints than advice reads, which of them it is about, in a sentence."""

    @property
    def best(self) -> Choice:
        """The first choice; whether it is worth taking is `verdict`'s to say.

        Raises:
            NoCandidates: there is no choice.
        """
        if not self.choices:
            raise NoCandidates(self.verdict.sentence)
        return self.choices[0]

    @property
    def plot(self) -> "Plot":
        """Its pictures as Altair charts: ``forest``, ``pareto``, ``freeze``, ``domains``."""
        from recommender.charts import Plot  # noqa: PLC0415 - Altair, which only pictures need

        return Plot(self.to_dict())

    def __repr__(self) -> str:
        return f"<Recommendation {self.id}: {len(self.choices)} choices; {self.verdict.sentence}>"

    def __str__(self) -> str:
        """The verdict and one line a choice."""
        lines = [self.verdict.sentence]
        if self.shift is not None and self.shift.detected:
            lines.append(self.shift.sentence)
        lines += [self.considered] if self.considered else []
        for place, choice in enumerate(self.choices, start=1):
            e = choice.expected
            lines.append(f"{place}. {choice.checkpoint.name}, {choice.plan.strategy}: {e.metric} {e.words}")
        lines.append(f"no transfer, {self.baseline.model}: {self.baseline.expected.words}")
        lines += [f"left undone, {row.checkpoint}: {row.reason}" for row in self.undone]
        lines += [f"skipped {row.checkpoint}: {row.reason}" for row in self.skipped]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from recommender.reports import advice_html  # noqa: PLC0415 - as above

        return advice_html(self.to_dict())

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        del include, exclude  # a notebook takes what it can show
        return {"text/plain": str(self), "text/html": self._repr_html_()}

    def to_form(self) -> "RecommendationForm":
        """Schema 1."""
        return RecommendationForm(
            id=self.id,
            sample=self.sample,
            baseline=self.baseline.to_form(),
            choices=tuple(choice.to_form() for choice in self.choices),
            skipped=self.skipped,
            domains=tuple(row.to_form() for row in self.domains),
            verdict=self.verdict,
            settings=self.settings,
            shift=None if self.shift is None else self.shift.to_form(),
            not_probed=tuple(row.to_form() for row in self.unprobed),
            not_probed_left_out=self.beyond,
            rivals=self.rivals,
            suspects=self.suspects,
            undone=self.undone,
            trials=self.trials,
            novelty=self.novelty,
            considered=self.considered,
        )


@dataclass(frozen=True)
class RecommendationForm:
    """`Recommendation` as it is kept."""

    id: str
    sample: Mapping[str, object]
    baseline: BaselineForm
    choices: tuple[ChoiceForm, ...]
    skipped: tuple[Skipped, ...]
    domains: tuple[DomainDistanceForm, ...]
    verdict: Verdict
    settings: Mapping[str, object]
    shift: ShiftForm | None = None
    not_probed: tuple[UnprobedForm, ...] = ()
    not_probed_left_out: tuple[Skipped, ...] = ()
    rivals: tuple[Rival, ...] = ()
    suspects: Suspects | None = None
    undone: tuple[Skipped, ...] = ()
    novelty: Novelty | None = None
    trials: tuple[Trial, ...] = ()
    considered: str = ""
    schema: int = 1


@dataclass(frozen=True)
class Mistake(Record):
    """A test row of which a run says something else than its target."""

    item: str
    """Its name."""
    label: str
    predicted: str
    confidence: float | None
    """Probability of what is predicted; None of a quantity."""
    off: float | None = None
    """Of a quantity, how much more is predicted than it is."""


@dataclass(frozen=True)
class Confusion(Record):
    """How many test rows of a class are taken for a class."""

    label: str
    predicted: str
    rows: int


@dataclass(frozen=True)
class TuningRun(Record):
    """A fine-tuning that came to its end. ``id`` is the registry's, there also without MLflow."""

    id: str
    mlflow_run_id: str | None
    checkpoint: str
    strategy: str
    metrics: Mapping[str, float]
    """At least score, standard_error, seconds, rows_train, rows_test; expected_* where advice was given."""
    folder: str
    notes: tuple[str, ...] = ()
    """What should be told in words: training that never helped, a tracker that failed ..."""

    def _repr_html_(self) -> str:
        from recommender.reports import run_html  # noqa: PLC0415 - Altair, which only pictures need

        return run_html(self.to_dict())

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        del include, exclude  # a notebook takes what it can show
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

    def to_form(self) -> "TuningRunForm":
        """Schema 1."""
        return TuningRunForm(**vars(self))


@dataclass(frozen=True)
class TuningRunForm(TuningRun):
    """`TuningRun` as it is kept."""

    schema: int = 1


@dataclass(frozen=True)
class Measured(Record):
    """A test score: its mean over the repeats, the standard error that the test rows leave, the repeats' deviation."""

    mean: float
    standard_error: float
    spread: float | None
    """None for a single repeat."""


@dataclass(frozen=True)
class BenefitPoint(Record):
    """What so many labels give: to the plan, to the same net from random weights, to raw features."""

    labels: int
    plan: Measured
    scratch: Measured
    no_transfer: Measured


@dataclass(frozen=True)
class LabelSaving(Record):
    """With how many labels the plan's curve first reaches what scratch scores with all of them.

    ``reached`` says how well that is known: ``between`` two measured numbers, already ``before`` the smallest of them
    (then ``labels`` is that one, and ``share`` a bound from below), or ``never`` (then both are None).
    """

    reached: str
    labels: float | None
    share: float | None
    """Share of all labels that the plan does without."""


@dataclass(frozen=True)
class EpochsToEqual(Record):
    """At all labels: after how many epochs scratch has its best validation score, and the plan one as good.

    ``plan`` is 0 where the fitted head is as good before any epoch, and None where the plan never is. A plan that
    trains no backbone has no epochs to count: it is judged by the test score.
    """

    target: float
    scratch: int
    plan: int | None


@dataclass(frozen=True, eq=False)
class Benefit(Record):
    """What transfer is worth on a sample, as measured on one fixed test part."""

    sample: Mapping[str, object]
    checkpoint: str
    strategy: str
    epochs: Mapping[str, int]
    """How many epochs ``plan`` and ``scratch`` were given, whatever the number of labels."""
    test_rows: int
    seeds: tuple[int, ...]
    """One for each repeat."""
    points: tuple[BenefitPoint, ...]
    """Fewest labels first; the last has all."""
    saving: LabelSaving
    """Of the mean curves."""
    savings: tuple[LabelSaving, ...]
    """Of each repeat."""
    to_equal: tuple[EpochsToEqual, ...]
    """Of each repeat."""
    curves: Mapping[str, Mapping[int, float]]
    """Validation score by epoch at all labels, of ``plan`` and ``scratch``, in the first repeat."""
    sentences: tuple[str, ...]
    """What is true here, in words."""

    def to_form(self) -> "BenefitForm":
        """Schema 1; the curves as lists of epochs and scores."""
        curves = {name: tuple(sorted(curve.items())) for name, curve in self.curves.items()}
        return BenefitForm(**{**vars(self), "curves": curves})


@dataclass(frozen=True)
class BenefitForm:
    """`Benefit` as it is printed."""

    sample: Mapping[str, object]
    checkpoint: str
    strategy: str
    epochs: Mapping[str, int]
    test_rows: int
    seeds: tuple[int, ...]
    points: tuple[BenefitPoint, ...]
    saving: LabelSaving
    savings: tuple[LabelSaving, ...]
    to_equal: tuple[EpochsToEqual, ...]
    curves: Mapping[str, tuple[tuple[int, float], ...]]
    sentences: tuple[str, ...]
    schema: int = 1


@dataclass(frozen=True)
class RealizedRun(Record):
    """A tuning made here, beside what was expected of it."""

    run: str
    sample: str
    checkpoint: str
    strategy: str
    modality: str
    metric: Metric
    expected: float
    low: float
    high: float
    score: float

    @property
    def within(self) -> bool:
        """Whether it lies in the interval."""
        return self.low <= self.score <= self.high


@dataclass(frozen=True)
class TrackSummary(Record):
    """How far expectations could be trusted, over some runs."""

    runs: int
    covered: int
    """Runs that lie in their interval (nominal 90 %)."""
    coverage: float
    coverage_low: float
    coverage_high: float
    """Wilson's interval (90 %) of the coverage."""
    bias: float
    """Mean of realized minus expected: above 0 more was realized than expected."""
    bias_error: float | None
    """Its standard error; None for a single run."""
    off: float
    """Mean absolute difference."""


@dataclass(frozen=True)
class TrackRecord(Record):
    """Expected against realized, over all tunings made here of which something was expected."""

    all: TrackSummary | None
    """None where there is no such run."""
    strategies: Mapping[str, TrackSummary]
    modalities: Mapping[str, TrackSummary]
    runs: tuple[RealizedRun, ...]
    """The newest first."""


@dataclass(frozen=True)
class LeftOut(Record):
    """A row that was not imported, and why."""

    row: str
    reason: str


@dataclass(frozen=True)
class Imported(Record):
    """What was read of others' results, and whether it was written."""

    id: str
    """Of the import, to list and forget it by."""
    source: str
    status: str
    """``claimed`` or ``measured`` (elsewhere)."""
    written: bool
    first: tuple[Outcome, ...]
    """Some of the outcomes, as they are kept."""
    outcomes: int
    known_before: int
    checkpoints: int
    samples: int
    unknown_checkpoints: int
    """Of these, how many the registry does not know; they only show how others compare."""
    unknown: tuple[str, ...]
    """Some of them."""
    taken_for: Mapping[str, str]
    """Names of the source that are taken for checkpoints which the registry calls otherwise."""
    left_out: int
    reasons: tuple[LeftOut, ...]
    """Some of the rows that hold no result."""


@dataclass(frozen=True)
class OutcomeSource(Record):
    """Where outcomes come from."""

    id: str
    source: str
    status: str
    """``here``, ``measured`` elsewhere, ``claimed``, or ``bundled``."""
    outcomes: int
    checkpoints: int
    samples: int
    newest: str
