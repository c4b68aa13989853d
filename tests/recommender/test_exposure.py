"""What a checkpoint has seen of the user's rows, and that it never wins by remembering them."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recommender.exposure import LEAST_UNSEEN, Exposures, enough_unseen
from recommender.flow import evaluate, recommend
from recommender.probe import transferability
from recommender.rank import place
from recommender.results import Candidate, Expected, Exposure
from registry.cards import Checkpoint, DeclaredDomains, Domain, Metric, Origin, Outcome, Task
from registry.features import Encoded, Features
from registry.sample import Sample
from registry.sketch import RowKeys
from registry.store import Entries
from tests.recommender.planted import Reader, planted_sample, planted_zoo
from tests.registry.fakes import a_checkpoint, a_domain

ROWS = 240


@pytest.fixture
def sample():
    return planted_sample(ROWS, (1.0, 0.7), shade=128)


@pytest.fixture
def zoo(tmp_path):
    """The one that sees all and the one that sees less; each of a domain of its own."""
    return planted_zoo(
        tmp_path,
        {
            "remembers": (Reader("remembers", (0, 0)), "dark"),
            "learns": (Reader("learns", (1, 1)), "bright"),
        },
    )


def exposed_to(zoo, sample, rows, domain="dark"):
    """Let a domain consist of the first rows of the sample, and of as many others."""
    others = [f"{row:064x}" for row in range(rows)]
    keys = RowKeys.of(domain, [*(item.digest for item in sample.items[:rows]), *others])
    zoo.store.write(Entries(rows=(keys,)))


def of(advice, name):
    return next(choice for choice in advice.choices if choice.checkpoint.name == name)


def test_who_has_seen_nothing_bears_no_mark(zoo, sample):
    advice = recommend(sample, zoo)
    assert advice.best.checkpoint.name == "remembers"
    assert {choice.to_dict()["exposure"] is None for choice in advice.choices} == {True}


def test_who_has_seen_all_rows_is_marked_not_believed_and_never_first(zoo, sample):
    honest = of(recommend(sample, zoo), "remembers").expected.mean
    exposed_to(zoo, sample, ROWS)
    advice = recommend(sample, zoo)
    assert advice.best.checkpoint.name == "learns"
    marked = of(advice, "remembers")
    form = marked.to_dict()["exposure"]
    assert (form["rows_seen"], form["through"], form["probe_believed"]) == (ROWS, ["dark"], False)
    assert marked.expected.mean < honest - 0.1
    assert marked.ranked.p_best < 0.9
    assert any("not believed" in reason for reason in marked.because)


def test_who_has_seen_some_rows_is_judged_on_the_others(zoo, sample):
    exposed_to(zoo, sample, ROWS - 80)
    marked = of(recommend(sample, zoo), "remembers")
    assert marked.to_dict()["exposure"]["rows_judged"] == 80
    assert marked.ranked.transferability.believed
    assert any("80 rows that it has not seen" in reason for reason in marked.because)


@pytest.mark.slow
def test_unseen_rows_outside_the_probed_ones_are_taken_in_to_judge_it(zoo):
    sample = planted_sample(1200, (1.0, 0.7), shade=128)
    exposed_to(zoo, sample, 1100)
    choice = evaluate(sample, zoo, "remembers", "linear-probe")
    assert choice.to_dict()["exposure"]["rows_judged"] == 100


def test_too_few_unseen_rows_judge_nobody(zoo, sample):
    exposed_to(zoo, sample, ROWS - LEAST_UNSEEN + 1)
    assert not evaluate(sample, zoo, "remembers", "linear-probe").ranked.transferability.believed
    assert not enough_unseen(LEAST_UNSEEN, classes=100)


def test_a_descendant_has_seen_what_its_ancestors_and_teachers_saw(zoo, sample, tmp_path):
    exposed_to(zoo, sample, ROWS)
    child = a_checkpoint(tmp_path / "child", "child", domain="bright", lineage=("remembers",))
    zoo.store.write(Entries(checkpoints=(child,)))
    zoo._encoders["child"] = Reader("child", (0, 0))
    advice = recommend(sample, zoo)
    assert advice.best.checkpoint.name == "learns"
    assert of(advice, "child").to_dict()["exposure"]["through"] == ["dark"]


def test_its_score_on_held_out_rows_of_that_source_is_expected_where_its_card_tells_it(zoo, sample, tmp_path):
    exposed_to(zoo, sample, ROWS)
    known = {"held_out_accuracy": 0.64, "held_out_rows": 200}
    card = a_checkpoint(tmp_path / "told", "told", domain="dark", lineage=("dark",), measured=known)
    zoo.store.write(Entries(checkpoints=(card,)))
    zoo._encoders["told"] = Reader("told", (0, 0))
    marked = evaluate(sample, zoo, "told", "linear-probe")
    assert marked.expected.mean == pytest.approx(0.64)
    assert any("200 held-out rows of its source, 64.0 %" in reason for reason in marked.because)


def test_what_was_realized_on_unseen_rows_may_stand_first_again(zoo, sample):
    exposed_to(zoo, sample, ROWS)
    zoo.record(an_outcome(sample, "remembers", 0.99, strategy="linear-probe"))
    assert recommend(sample, zoo).best.checkpoint.name == "remembers"


@pytest.mark.slow
def test_a_flattered_result_teaches_nothing(zoo, sample):
    exposed_to(zoo, sample, ROWS)
    before = of(recommend(sample, zoo), "remembers")
    zoo.record(an_outcome(sample, "remembers", 0.99, strategy="linear-probe", conditions={"flattered": True}))
    after = of(recommend(sample, zoo), "remembers")
    assert after.expected == before.expected
    assert after.realized == ()


def an_outcome(sample, checkpoint, score, *, strategy, **other):
    return Outcome(
        f"{checkpoint}-{strategy}-{score}",
        checkpoint,
        strategy,
        sample.digest,
        "told",
        Task.CLASSIFICATION,
        Metric.ACCURACY,
        score,
        0.02,
        180,
        60,
        1.0,
        Origin.OURS,
        "2026-01-01T00:00:00+00:00",
        **other,
    )


@pytest.mark.parametrize("strategy", ["linear-probe", pytest.param("lp-ft", marks=pytest.mark.slow)])
def test_a_recorded_miss_lowers_every_strategy_of_its_checkpoint_and_stands_in_the_json(zoo, sample, strategy):
    before = {name: evaluate(sample, zoo, "remembers", name) for name in ("linear-probe", "lp-ft")}
    zoo.record(an_outcome(sample, "remembers", 0.6, strategy=strategy))
    after = {name: evaluate(sample, zoo, "remembers", name) for name in ("linear-probe", "lp-ft")}
    assert after[strategy].expected.mean == pytest.approx(0.6, abs=0.05)
    for name, choice in after.items():
        assert choice.expected.mean < before[name].expected.mean - 0.1
        assert choice.to_dict()["realized"][0]["score"] == 0.6
        assert any("60.0 % before" in reason for reason in choice.because)
    other = next(name for name in after if name != strategy)
    assert after[other].expected.high - after[other].expected.low > (
        before[other].expected.high - before[other].expected.low
    )


def test_a_result_on_the_same_rows_under_another_digest_counts_and_on_others_with_those_pictures_not(zoo, sample):
    fewer = sample.take(np.arange(2, ROWS))
    swapped = replace(sample, labels=tuple(reversed(sample.labels)), digest="e" * 64)
    for other, score in ((fewer, 0.6), (swapped, 0.1)):
        zoo.record(replace(an_outcome(sample, "remembers", score, strategy="lp-ft"), sample_digest=other.digest), other)
    choice = evaluate(sample, zoo, "remembers", "lp-ft")
    assert [row.score for row in choice.realized] == [0.6]


def test_a_hit_leaves_the_expectation_where_it_is(zoo, sample):
    before = evaluate(sample, zoo, "learns", "linear-probe").expected
    zoo.record(an_outcome(sample, "learns", round(before.mean, 3), strategy="linear-probe"))
    after = evaluate(sample, zoo, "learns", "linear-probe").expected
    assert after.mean == pytest.approx(before.mean, abs=0.002)
    assert after.high - after.low < before.high - before.low


DOMAINS = (
    a_domain("imagenet_sample", title="ImageNet-1k, one photo a class", aliases=("ILSVRC",)),
    a_domain("mnist", title="MNIST digits"),
    a_domain("fashion_mnist", title="Fashion-MNIST (balanced subset)"),
    a_domain("cifar10", title="CIFAR-10 (balanced subset)"),
    a_domain("coco_sample", title="COCO 2017 train, a sample"),
)


@pytest.mark.parametrize(
    ("source", "domain"),
    [
        ("ImageNet-1k (natural photos)", "imagenet_sample"),
        ("ilsvrc 2012", "imagenet_sample"),
        ("imagenet1k", "imagenet_sample"),
        ("Fashion MNIST", "fashion_mnist"),
        ("MNIST", "mnist"),
        ("EMNIST", None),
        ("CIFAR 10, 32x32", "cifar10"),
        ("CIFAR-100", None),
        ("", None),
        ("a sample of my photos", None),
        ("Pascal VOC, from COCO", "coco_sample"),
    ],
)
def test_a_source_in_words_is_matched_to_the_domain_that_it_names(source, domain, tmp_path):
    card = Checkpoint("net", "image", "Net", tmp_path, "0" * 64, 1, 8, source=source)
    result = DeclaredDomains(DOMAINS).of(card)
    assert (result.name if result is not None else None) == domain
    assert DeclaredDomains(DOMAINS).of(replace(card, domain="mnist")) is None


def test_a_source_in_words_counts_for_what_was_seen(zoo, sample, tmp_path):
    exposed_to(zoo, sample, ROWS)
    card = a_checkpoint(tmp_path / "bare", "bare", source="Dark pictures")
    zoo.store.write(Entries(checkpoints=(card,)))
    zoo._encoders["bare"] = Reader("bare", (0, 0))
    assert isinstance(zoo.domain("dark"), Domain)
    choice = evaluate(sample, zoo, "bare", "linear-probe")
    assert not choice.ranked.transferability.believed
    assert choice.ranked.transferability.candidate.distance.domain == "dark"


def tied_choices(sample, zoo, *means):
    """Choices of both checkpoints that are expected to score this much, and could not be told apart."""
    by_name = {choice.checkpoint.name: choice for choice in recommend(sample, zoo).choices}
    draws = np.random.default_rng(0).normal(0, 0.05, (2, 500))
    return [
        replace(
            choice, expected=Expected(Metric.ACCURACY, mean, mean - 0.08, mean + 0.08), draws=mean + drawn, because=()
        )
        for choice, mean, drawn in zip((by_name["remembers"], by_name["learns"]), means, draws, strict=True)
    ]


def test_where_it_cannot_be_told_from_one_that_has_seen_nothing_that_one_stands_first_and_it_is_said(zoo, sample):
    exposed_to(zoo, sample, ROWS - 80)
    first, second = place(tied_choices(sample, zoo, 0.84, 0.80))
    assert (first.checkpoint.name, second.checkpoint.name) == ("learns", "remembers")
    assert first.ranked.tier == second.ranked.tier == 1
    assert "remembers and it could not be told apart; learns has not seen these rows" in first.because
    assert any("remembers has seen rows of this sample, so it stands behind" in reason for reason in second.because)


def test_where_it_is_better_beyond_chance_on_rows_that_it_has_not_seen_it_stands_first(zoo, sample):
    exposed_to(zoo, sample, ROWS - 80)
    first, second = place(tied_choices(sample, zoo, 0.95, 0.5))
    assert (first.checkpoint.name, first.ranked.tier, second.ranked.tier) == ("remembers", 1, 2)


def test_without_a_mark_the_order_is_that_of_what_is_expected(zoo, sample):
    ordered = place(tied_choices(sample, zoo, 0.84, 0.80))
    assert [choice.checkpoint.name for choice in ordered] == ["remembers", "learns"]


def curve_on_unseen_rows(random, sample, blocks=6):
    """A checkpoint whose blocks are all as good, judged on the rows that it has not seen."""
    signal = sample.targets.values + random.normal(0, 1.2, (blocks, len(sample)))
    features = tuple(Features(row[:, None].astype(np.float32), "net") for row in signal)
    encoded = Encoded(features, tuple(f"block {n}" for n in range(blocks)))
    exposure = Exposure(frozenset(item.digest for item in sample.items[:-80]), ("dark",), False, "it learned")
    card = Checkpoint("net", "image", "Net", Path("net"), "0" * 64, 1, 8)
    return transferability(Candidate(card, None, exposure), encoded, sample, sample.folds(seed=0), 0, 0.001)


def test_the_best_of_many_equal_blocks_on_few_unseen_rows_does_not_flatter_it(sample):
    random = np.random.default_rng(0)
    results = [curve_on_unseen_rows(random, sample) for _ in range(8)]
    truth = np.mean([block.score for row in results for block in row.blocks])
    best = np.mean([max(block.score for block in row.blocks) for row in results])
    believed = np.mean([row.read.score - row.optimism for row in results])
    assert abs(believed - truth) < (best - truth) / 2
    assert all(row.optimism >= 0 for row in results)


def flat_pictures(rows, seed):
    """Pictures of one color each, any color."""
    random = np.random.default_rng(seed)
    colors = random.integers(0, 256, (rows, 1, 1, 3))
    return np.clip(colors + random.normal(0, 4, (rows, 16, 16, 3)), 0, 255).astype(np.uint8)


def written_anew(pictures, **how):
    results = []
    for picture in pictures:
        content = BytesIO()
        Image.fromarray(picture).save(content, **how)
        results.append(np.asarray(Image.open(content)))
    return np.stack(results)


def copies_exposure(zoo, pictures, source):
    """What a checkpoint of a domain that consists of the source has seen of these pictures."""
    zoo.store.write(Entries(domains=(a_domain("photos", rows=len(source)),)))
    zoo.sketch_anew("photos", source)
    sample = Sample.from_arrays(pictures, [f"c{row % 2}" for row in range(len(pictures))], name="mine")
    card = Checkpoint("net", "image", "Net", Path("net"), "0" * 64, 1, 8, domain="photos")
    return Exposures(sample, sample, zoo.lens_features(sample), zoo).of(card), sample


@pytest.mark.parametrize(
    "how", [{"format": "JPEG", "quality": 60}, pytest.param({"format": "WEBP", "quality": 70}, marks=pytest.mark.slow)]
)
def test_pictures_that_were_written_anew_are_known_as_copies_and_none_counts_as_unseen(zoo, how):
    source = flat_pictures(120, 0)
    known = Sample.from_arrays(source, [f"c{row % 2}" for row in range(120)], name="photos")
    copies = written_anew(source, **how)
    anew = Sample.from_arrays(copies, ["c"] * 120, name="copies")
    assert not {item.digest for item in known.items} & {item.digest for item in anew.items}
    exposure, sample = copies_exposure(zoo, copies, known)
    assert exposure is not None
    assert exposure.copies
    assert not exposure.unseen([item.digest for item in sample.items]).any()
    assert "have copies here" in exposure.because


def test_other_pictures_of_the_same_source_are_no_copies(zoo):
    known = Sample.from_arrays(flat_pictures(120, 0), [f"c{row % 2}" for row in range(120)], name="photos")
    exposure, _ = copies_exposure(zoo, flat_pictures(120, 1), known)
    assert exposure is None
