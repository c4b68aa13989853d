from collections import Counter

import pytest

from registry.readers.reservoir import Reservoir, reservoir_sample


def test_a_short_stream_is_kept_whole():
    assert reservoir_sample(iter("abc"), 3) == Reservoir(("a", "b", "c"), 3)
    assert reservoir_sample(iter("abc"), 3).note == ""
    assert reservoir_sample(iter(()), 3) == Reservoir((), 0)


def test_of_a_long_one_a_draw_is_kept_in_its_order_and_says_so():
    drawn = reservoir_sample(iter(range(10_000)), 100, seed=3)
    assert (len(set(drawn.entries)), drawn.seen, drawn.note) == (100, 10_000, "a draw of 100 of 10,000")
    assert list(drawn.entries) == sorted(drawn.entries)
    assert drawn == reservoir_sample(range(10_000), 100, seed=3)
    assert drawn != reservoir_sample(range(10_000), 100, seed=4)


@pytest.mark.parametrize("most", [1, 3, 7])
def test_each_entry_is_as_likely_as_any_other(most):
    rounds = 4_000
    counts = Counter(entry for seed in range(rounds) for entry in reservoir_sample(range(8), most, seed).entries)
    expected = rounds * most / 8
    assert all(abs(counts[entry] - expected) < 5 * expected**0.5 for entry in range(8))
