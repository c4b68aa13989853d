"""Whether a kept sample's rows still lie where they were read: the files' times first, the digest where these tell."""

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from recommender.changes import change_of, last_change
from registry.sample import Sample
from registry.zoo import Zoo
from tests.ui.cases import advice, choice
from tests.ui.pictures import write_stripes


@pytest.fixture
def ground(tmp_path: Path, new_home: Path):
    place = write_stripes(tmp_path)
    sample = Sample.from_folder(place).to_dict()
    time.sleep(0.05)  # a file's time is that of the kernel's last tick
    with Zoo.open(new_home) as zoo:
        zoo.keep(replace(advice(choice("a", 0.8, gain=0.3)), sample=sample))
        yield zoo, sample, place


def changed(zoo, sample):
    return change_of(zoo, sample, last_change(sample))


def test_nothing_is_read_where_no_file_is_newer_than_the_advice(ground, monkeypatch):
    zoo, sample, _ = ground
    monkeypatch.setattr(Sample, "again", None)
    assert changed(zoo, sample) is None


def test_newer_files_with_the_same_rows_have_not_changed(ground):
    zoo, sample, place = ground
    one = next(place.rglob("*.png"))
    before = last_change(sample)
    one.write_bytes(one.read_bytes())
    assert last_change(sample) > before
    assert changed(zoo, sample) is None


def test_a_row_more_is_a_change_that_names_both_samples_though_its_time_is_set_back(ground):
    zoo, sample, place = ground
    first, *_, last = sorted(place.rglob("*.png"))
    shutil.copy(first, last)
    os.utime(last, (0, 0))
    words = changed(zoo, sample)
    assert sample["digest"][:12] in words
    assert Sample.from_folder(place).digest[:12] in words


def test_where_not_all_was_read_newer_files_may_be_a_change(ground):
    zoo, sample, place = ground
    first, *_, last = sorted(place.rglob("*.png"))
    shutil.copy(first, last)
    assert "may be others now" in changed(zoo, sample | {"health": {**sample["health"], "sampled_from": 900}})


def test_what_is_gone_is_named(ground):
    zoo, sample, place = ground
    shutil.rmtree(place)
    assert last_change(sample) is None
    assert str(place) in changed(zoo, sample)


def test_arrays_lie_nowhere_and_do_not_change(ground):
    zoo, sample, _ = ground
    assert changed(zoo, sample | {"origin": "arrays", "digest": "0" * 64}) is None
