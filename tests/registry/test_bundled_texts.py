"""What is bundled of texts: checkpoints that beat chance, their lens, and a sketch of what each was made from."""

from pathlib import Path

import pytest

from registry.catalog import read_catalog
from registry.encoders.encoder import load_encoder
from registry.home import catalog_folder

BUDGET = 48 << 20
LEAST_MARGIN = 0.03


@pytest.fixture(scope="module")
def bundled():
    return read_catalog(catalog_folder())


def _texts(cards):
    return [card for card in cards if card.modality == "text"]


def test_each_bundled_text_checkpoint_beats_its_own_body_at_random(bundled):
    checkpoints = _texts(bundled.checkpoints)
    assert len(checkpoints) >= 8
    for card in checkpoints:
        assert card.measured["margin_over_random"] >= LEAST_MARGIN, card.name
        assert len(card.measured["margin_targets"]) == 3


def test_who_was_grown_from_the_pupil_says_so(bundled):
    for card in _texts(bundled.checkpoints):
        if card.name != "pupil-minilm":
            assert {"pupil-minilm", "all-MiniLM-L6-v2"} <= set(card.lineage), card.name


def test_one_corpus_one_child_and_each_corpus_has_a_sketch(bundled):
    sources = [card.domain for card in _texts(bundled.checkpoints) if card.domain is not None]
    assert len(sources) == len(set(sources)) >= 7
    assert set(sources) <= {sketch.domain for sketch in bundled.sketches}


def test_texts_and_images_are_seen_through_lenses_of_their_own(bundled):
    assert bundled.lenses["text"].checkpoint == "pupil-minilm"
    of_domain = {domain.name: domain.modality for domain in bundled.domains}
    for sketch in bundled.sketches:
        assert sketch.lens == bundled.lenses[of_domain[sketch.domain]].digest


@pytest.mark.parametrize("modality", ["image", "text"])
def test_a_lens_is_of_the_space_that_its_checkpoint_sees_today(bundled, modality):
    lens = bundled.lenses[modality]
    encoder = load_encoder(catalog_folder() / "seedlings" / lens.checkpoint, name=lens.checkpoint)
    assert lens.space == f"{encoder.name}@{encoder.digest}#{lens.block}"


def test_the_whole_catalog_keeps_its_budget():
    assert sum(path.stat().st_size for path in Path(catalog_folder()).rglob("*") if path.is_file()) < BUDGET
