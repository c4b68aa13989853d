"""How much is done for advice, and until when: the race, the deadline by a clock that tests turn, and going on."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from recommender.constraints import Constraints
from recommender.effort import Deadline, Effort
from recommender.flow import recommend
from recommender.fusion import ProbePrior
from recommender.prior import foresee
from recommender.race import looked_rows, most_finalists, race
from recommender.results import Candidate
from registry.features import Encoded
from registry.progress import Cancelled, require_wanted, silent
from tests.recommender.planted import Reader, planted_sample, planted_zoo

ROWS = 360
BLIND = ("blind a", "blind b", "blind c", "blind d")
SIGHTED = ("sharp", "dim")
BATCH = 8
FIRST, SECOND = 48, 96
"""Rows of the two looks at so many."""


@dataclass
class Clock:
    """Time passes when somebody works."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Worker(Reader):
    """A reader that takes a second of the clock for each item, and remembers how many items it was shown at once."""

    clock: Clock = field(default_factory=Clock)
    shown: list[int] = field(default_factory=list)
    interrupt: bool = False

    def encode(self, items, *, progress=silent) -> Encoded:
        self.shown.append(len(items))
        for _ in range(0, len(items), BATCH):
            require_wanted(progress)
            self.clock.now += BATCH
        if self.interrupt and len(items) == ROWS - SECOND:
            raise KeyboardInterrupt
        return super().encode(items, progress=progress)


@pytest.fixture
def ground(tmp_path):
    """A zoo of two that read the targets, one of them worse, and four that do not; its clock; a sample."""
    clock = Clock()
    columns = dict.fromkeys(BLIND, (7, 7)) | {"sharp": (0, 0), "dim": (1, 1)}
    readers = {name: (Worker(name, of, clock=clock), None) for name, of in columns.items()}
    return planted_zoo(tmp_path, readers), clock, planted_sample(ROWS, (0.97, 0.75))


def named(rows):
    return {row.checkpoint for row in rows}


def ask(ground, seconds=None, **options):
    zoo, clock, sample = ground
    return recommend(sample, zoo, keep=3, deadline=Deadline(seconds, clock), **options)


@pytest.mark.slow
def test_who_is_behind_beyond_chance_gets_no_more_rows(ground):
    zoo, _, sample = ground
    advice = ask(ground)
    assert [choice.checkpoint.name for choice in advice.choices][:2] == ["sharp", "dim"]
    behind = [row for row in advice.skipped if "beyond chance" in row.reason]
    assert named(behind) <= {*BLIND, "mean-color"}
    assert len(behind) >= 3
    rows = {name: sum(zoo.encoder(name).shown) for name in BLIND}
    assert min(rows.values()) == FIRST
    assert sum(rows.values()) < 2 * ROWS
    assert advice.undone == ()
    assert "effort" not in advice.settings
    rows_that_a_look_saw_are_not_encoded_again(zoo, sample)


def rows_that_a_look_saw_are_not_encoded_again(zoo, sample):
    assert [rows for rows in zoo.encoder("sharp").shown if rows > 16] == [FIRST, SECOND - FIRST, ROWS - SECOND]
    whole = zoo.encoder("sharp").encode(sample.items)
    kept = zoo.encode("sharp", sample)
    for mine, theirs in zip(kept.blocks, whole.blocks, strict=True):
        np.testing.assert_array_equal(mine.vectors, theirs.vectors)


@pytest.mark.slow
def test_the_race_leaves_as_many_as_are_asked_for_and_two_at_least(ground):
    zoo, _, sample = ground
    entrants = [Candidate(zoo.checkpoint(name), None) for name in (*BLIND, *SIGHTED)]
    for keep in (1, 2, 5):
        raced = race(sample, entrants, zoo, keep=keep)
        ahead = [one.checkpoint.name for one in raced.ahead]
        assert ahead[: min(2, keep)] == ["sharp", "dim"][:keep]
        assert min(2, keep) <= len(ahead) <= keep
        assert {*ahead} | named(raced.skipped) == {*BLIND, *SIGHTED}
    assert len(raced.rows) == SECOND


@pytest.mark.slow
def test_of_those_that_cannot_be_told_apart_no_more_than_finalists_are_probed_in_full(tmp_path):
    names = [f"twin {letter}" for letter in "abcdef"]
    zoo = planted_zoo(tmp_path, {name: (Worker(name, (0, 0)), None) for name in names})
    entrants = [Candidate(zoo.checkpoint(name), None) for name in names]
    sample = planted_sample(ROWS, (0.8,))
    raced = race(sample, entrants, zoo, keep=5, finalists=3)
    assert len(raced.ahead) == 3
    assert [row.reason.endswith("hardly be told from them") for row in raced.skipped] == [True] * 3
    assert len(race(sample, entrants, zoo, keep=5).ahead) == 5


@pytest.mark.slow
@pytest.mark.parametrize(("groups", "dropped"), [(4, False), (60, True)])
def test_a_look_takes_rows_of_all_groups_and_of_a_few_groups_tells_nobody_to_be_behind(ground, groups, dropped):
    zoo, _, sample = ground
    grouped = replace(sample, groups=tuple(f"slide {row % groups}" for row in range(ROWS)))
    entrants = [Candidate(zoo.checkpoint(name), None) for name in (*BLIND, *SIGHTED)]
    raced = race(grouped, entrants, zoo, keep=5)
    assert len(set(raced.rows.groups)) == groups
    assert any("beyond chance" in row.reason for row in raced.skipped) is dropped


def test_looks_take_a_share_of_the_rows_and_at_least_two_of_each_class():
    assert [looked_rows(planted_sample(rows, (0.8,))) for rows in (800, 400, 60)] == [(96, 200), (50, 100), (48, 60)]
    assert looked_rows(planted_sample(400, (0.8,), classes=80)) == (160, 160)


def test_the_better_half_of_a_tie_is_two_at_least():
    assert [most_finalists(keep) for keep in (1, 3, 4, 5, 8)] == [2, 2, 2, 3, 4]


def kept_to(ground, seconds):
    """Advice within so many seconds of the clock, and on how many rows its best was probed."""
    _, clock, _ = ground
    advice = ask(ground, seconds)
    assert clock.now <= 1.1 * seconds
    assert advice.best.checkpoint.name == "sharp"
    assert advice.undone
    assert advice.settings["time_budget"] == seconds
    assert "left undone" in str(advice)
    return advice, len(advice.best.ranked.transferability.predicted)


@pytest.mark.slow
def test_where_time_does_for_the_race_alone_its_rows_are_what_advice_rests_on(ground):
    zoo, clock, _ = ground
    sample = planted_sample(800, (0.97, 0.75))
    assert kept_to((zoo, clock, sample), 1180)[1] == looked_rows(sample)[0]


@pytest.mark.slow
def test_where_time_does_for_some_probes_these_are_the_advice_and_the_same_question_goes_on(ground):
    zoo, _, _ = ground
    first, rows = kept_to(ground, 1100)
    assert rows == ROWS
    seen = sum(sum(zoo.encoder(name).shown) for name in SIGHTED)
    again = ask(ground)
    assert again.undone == ()
    assert again.id != first.id
    assert sum(sum(zoo.encoder(name).shown) for name in SIGHTED) - seen < 2 * ROWS
    assert {"sharp", "dim"} <= {choice.checkpoint.name for choice in again.choices}


def test_no_time_at_all_leaves_what_is_known(ground):
    _, clock, _ = ground
    advice = ask(ground, 1, constraints=Constraints(exclude=("mean-color",)))
    assert clock.now <= BATCH
    assert named(advice.undone) == {*BLIND, *SIGHTED}
    assert [choice.ranked.transferability.blocks for choice in advice.choices] == [(), (), ()]
    assert not advice.verdict.transfer


@pytest.mark.slow
def test_ctrl_c_leaves_the_best_so_far_and_a_cancellation_nothing(ground):
    zoo, _, _ = ground
    zoo.encoder("sharp").interrupt = zoo.encoder("dim").interrupt = True
    sample = ground[2]
    advice = recommend(sample, zoo, keep=3)
    assert advice.best.checkpoint.name == "sharp"
    assert {"sharp", "dim"} <= named(advice.undone)

    class Unwanted:
        def report(self, event) -> None:
            """Take no note."""

        def cancelled(self) -> bool:
            return True

    with pytest.raises(Cancelled):
        recommend(sample, zoo, deadline=Deadline(10**6), progress=Unwanted())


def test_quick_advice_shows_no_row_to_any_checkpoint_and_says_so(ground):
    zoo, _, _ = ground
    advice = ask(ground, effort=Effort.QUICK)
    assert all(zoo.encoder(name).shown == [] for name in (*BLIND, *SIGHTED))
    assert advice.undone == ()
    assert advice.settings["effort"] == "quick"
    assert len(advice.choices) == 3
    for choice in advice.choices:
        assert choice.because[0].startswith("not probed: ")
        assert choice.expected.low < choice.expected.mean < choice.expected.high
        assert choice.to_dict()["blocks"] == []
    assert not advice.verdict.transfer
    assert advice.verdict.sentence.startswith("Not known: nothing was probed")


def test_where_nothing_is_known_of_such_samples_probes_of_classes_say_who_stands_first_and_not_what_is_scored(ground):
    zoo, _, sample = ground
    cards = [replace(zoo.checkpoint(name), digest=f"{place}" * 8) for place, name in enumerate((*BLIND, *SIGHTED))]
    known = ProbePrior(np.array([2.0, 1.0, 0.0, 0.0]), {cards[-1].digest: (0.5, 3)}, 0.3, 40, elsewhere=False)
    reference = ask(ground, effort=Effort.QUICK).baseline
    ranked, _ = foresee([Candidate(card, None) for card in cards], sample, reference, known, zoo, keep=3, alike=False)
    assert [row.checkpoint.name for row in ranked] == ["dim", "blind a", "blind b"]
    assert ranked[0].expected.mean == pytest.approx(reference.plain)
    assert ranked[1].expected.mean < ranked[0].expected.mean
    assert all("nothing is known of probes of such samples" in row.because[0] for row in ranked)


def test_a_deadline_counts_from_its_making():
    clock = Clock(5.0)
    deadline = Deadline(10, clock)
    assert (deadline.left, deadline.over(), deadline.over(10)) == (10, False, True)
    clock.now = 14
    assert deadline.attempt(lambda _progress: "done", silent, needs=0.5) == "done"
    assert deadline.attempt(lambda _progress: "done", silent, needs=1) is None
    assert deadline.attempt(lambda _progress: "done", silent, reserve=2) is None
    assert Deadline().share(0.5) == 0
