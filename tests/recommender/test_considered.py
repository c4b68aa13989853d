"""Of very many checkpoints those are read that the database and the distance choose, and that is said."""

from dataclasses import replace

import pytest

from recommender import considered
from recommender.considered import consider
from recommender.constraints import Constraints
from recommender.flow import recommend
from recommender.history import History
from recommender.shortlist import shortlist
from registry.cards import Locator
from registry.errors import NoCandidates
from registry.store import Entries
from tests.recommender.planted import Reader, planted_sample, planted_zoo
from tests.registry.fakes import an_outcome, cloud

DARK = cloud(40)


@pytest.fixture
def zoo(tmp_path):
    """Two of each of three domains (dark, gray, bright), two of none, one of a hub; beside the lens's own."""
    zoo = planted_zoo(tmp_path, {"reads": (Reader("reads", (0, 0)), "bright")})
    (card,) = zoo.store.checkpoints(name="reads")
    kinds = [("dark", "dark"), ("gray", "gray"), ("bright", "bright"), ("free", None)]
    cards = [
        replace(card, name=f"{name}-{size}", domain=domain, parameters=size, license="MIT" if size == 20 else "GPL-3.0")
        for name, domain in kinds
        for size in (10, 20)
    ]
    locator = Locator("org/net", "main", "ab" * 20)
    cards.append(replace(card, name="of-a-hub", locator=locator, domain="dark", license="MIT", parameters=99))
    zoo.store.write(Entries(checkpoints=tuple(cards)))
    for one in cards:
        zoo._encoders[one.name] = Reader(one.name, (0, 0))
    return zoo


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(considered, "MOST_READ", 4)
    monkeypatch.setattr(considered, "_QUARTER", 1)


def names(zoo, constraints=None, history=()):
    choice = consider("image", replace(DARK), zoo, constraints or Constraints(), History(tuple(history)))
    return [card.name for card in choice.cards], choice.sentence


def test_as_many_as_are_read_are_all_considered_and_nothing_is_said(zoo):
    assert names(zoo) == ([card.name for card in zoo.checkpoints("image")], "")


def test_of_more_the_nearest_domains_and_the_largest_of_no_known_distance_are(zoo, few):
    chosen, sentence = names(zoo)
    assert chosen == ["dark-20", "free-10", "free-20", "gray-20", "of-a-hub"]
    assert sentence.startswith("Of 11 image checkpoints 5 were considered: those with outcomes, ")


def test_what_has_outcomes_is_among_them_however_far_it_is(zoo, few):
    assert "bright-10" in names(zoo, history=[an_outcome(checkpoint="bright-10")])[0]


def test_constraints_are_judged_by_the_database(zoo, few):
    chosen, sentence = names(zoo, Constraints(licenses=("MIT",), max_parameters=50, exclude=("gray-20",)))
    assert chosen == ["bright-20", "dark-20", "free-20"]
    assert sentence == (
        "Of 11 image checkpoints the 3 that are within the constraints were considered, and no other was looked at by "
        "itself."
    )


def test_where_nothing_is_within_them_the_error_says_what_to_relax(zoo, few):
    assert ", of which none is within the constraints, 5 were" in names(zoo, Constraints(max_parameters=1))[1]
    with pytest.raises(NoCandidates, match="Relax: --max-parameters"):
        recommend(planted_sample(60, (1.0,)), zoo, constraints=Constraints(max_parameters=1))


def test_advice_says_so_in_a_sentence_and_skips_nobody_who_was_not_considered(zoo, few):
    advice = recommend(planted_sample(60, (1.0,), shade=40), zoo)
    assert advice.considered.startswith("Of 11 image checkpoints 5 were considered")
    assert advice.considered in str(advice)
    assert advice.to_dict()["considered"] == advice.considered
    named = {row.checkpoint for row in advice.skipped} | {choice.checkpoint.name for choice in advice.choices}
    assert named == {"dark-20", "free-10", "free-20", "gray-20", "of-a-hub"}


def test_without_looks_distances_are_measured_of_those_first_of_which_most_is_to_be_hoped(zoo, monkeypatch):
    sample = planted_sample(60, (1.0,), shade=40)
    monkeypatch.setattr("recommender.shortlist.LEAST", 1)

    def listed():
        chosen = shortlist(sample, zoo.lens_features(sample), zoo, keep=0, looks=False).candidates
        return [(one.checkpoint.name, one.distance is not None) for one in chosen]

    every = listed()
    monkeypatch.setattr("recommender.shortlist._MOST_MEASURED", 4)
    assert [name for name, _ in listed()] == [name for name, _ in every]
    assert [known for _, known in listed()][4:] < [known for _, known in every][4:]
