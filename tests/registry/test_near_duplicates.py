"""Images that look alike are one group, and no training row looks like a test row, unless the user keeps them."""

import csv
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from registry.duplicates import Fingerprints
from registry.modalities.image import IMAGE
from registry.sample import Sample


def photograph(seed: int) -> np.ndarray:
    """Blobs of light and color, unlike any other seed's."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((32, 32), Image.Resampling.BICUBIC))


def shot_again(picture: np.ndarray, seed: int = 0) -> np.ndarray:
    """The same scene with a little noise."""
    noise = np.random.default_rng(1000 + seed).integers(-6, 7, picture.shape)
    return np.clip(picture.astype(int) + noise, 0, 255).astype(np.uint8)


def bursts(scenes: range, shots: int) -> np.ndarray:
    return np.stack([shot_again(photograph(scene), shots * scene + shot) for scene in scenes for shot in range(shots)])


def sample_of(images: np.ndarray, labels: list[str] | None = None, **more: object) -> Sample:
    return Sample.from_arrays(images, labels or ["ab"[row % 2] for row in range(len(images))], name="scenes", **more)


def prints(images: list[Image.Image]) -> Fingerprints:
    return Fingerprints.of(IMAGE.from_memory(images), IMAGE)


def together(parts: np.ndarray, shots: int) -> bool:
    """Whether all shots of each scene are in one part."""
    return all(len(set(scene)) == 1 for scene in parts.reshape(-1, shots))


def test_shots_of_one_scene_become_one_group_that_is_counted_and_told():
    sample = sample_of(bursts(range(12), 3))
    assert len(set(sample.groups)) == 12
    assert together(sample.group_ids, 3)
    health = sample.health
    assert (health.near_duplicates, health.near_groups, health.largest_near_group) == (24, 12, 3)
    assert any("grouped with it (12 groups, the largest of 3)" in line for line in health.warnings)
    assert sample.to_dict()["groups"] is None


def test_folds_splits_and_draws_move_whole_scenes():
    sample = sample_of(bursts(range(12), 3))
    assert together(sample.folds(4), 3)
    train, test = sample.split(0.3)
    assert not set(train.groups) & set(test.groups)
    kept = sample.subsample(18)
    assert sum(size < 3 for size in np.unique(kept.group_ids, return_counts=True)[1]) <= 2


def test_whoever_keeps_duplicates_gets_rows_like_any_other_and_is_warned():
    sample = sample_of(bursts(range(12), 3), keep_duplicates=True)
    assert sample.groups is None
    assert sample.health.near_groups == 0
    assert any("kept ungrouped, they flatter" in line for line in sample.health.warnings)
    assert sample.digest != sample_of(bursts(range(12), 3)).digest


def test_a_sample_without_near_duplicates_is_the_same_either_way():
    images = np.stack([photograph(scene) for scene in range(30)])
    assert sample_of(images).digest == sample_of(images, keep_duplicates=True).digest
    assert sample_of(images).groups is None


def test_the_groups_are_blind_to_the_order_of_the_rows():
    images, order = bursts(range(10), 3), np.random.default_rng(0).permutation(30)
    labels = [f"scene {row // 3 % 2}" for row in range(30)]
    assert sample_of(images, labels).digest == sample_of(images[order], [labels[row] for row in order]).digest


def test_named_groups_are_merged_where_an_image_lies_in_two():
    images = np.stack([*(photograph(scene) for scene in range(29)), shot_again(photograph(0))])
    patients = [f"patient {row // 3}" for row in range(30)]
    sample = sample_of(images, groups=patients)
    assert len(set(sample.groups)) == 9
    assert sample.groups[0] == sample.groups[-1] == "patient 0"
    assert sample.to_dict()["groups"] == 9
    assert len(set(sample_of(images, groups=patients, keep_duplicates=True).groups)) == 10


def test_named_groups_stay_where_merging_would_leave_too_few_to_hold_out():
    images = np.stack([shot_again(photograph(row % 6), row) for row in range(30)])
    sample = sample_of(images, groups=[f"patient {row // 6}" for row in range(30)])
    assert len(set(sample.groups)) == 5
    assert any("were left as they are" in line for line in sample.health.warnings)


def test_training_rows_that_look_like_a_test_row_are_left_out_and_told():
    train = np.stack([photograph(scene) for scene in range(24)])
    test = np.stack([*(shot_again(photograph(scene)) for scene in range(3)), *(photograph(s) for s in range(50, 55))])
    labels, of_test = ["ab"[row % 2] for row in range(24)], ["ab"[row % 2] for row in range(8)]
    sample = sample_of(train, labels, test=(test, of_test))
    assert (len(sample), sample.health.near_leaked, sample.health.left_out) == (21, 3, 3)
    assert any("3 training images much like a test image: left out" in line for line in sample.health.warnings)
    kept = sample_of(train, labels, test=(test, of_test), keep_duplicates=True)
    assert (len(kept), kept.health.near_leaked, kept.health.left_out) == (24, 3, 0)
    assert any("the test score may flatter" in line for line in kept.health.warnings)


def test_no_class_vanishes_because_its_images_look_like_the_tests():
    train = np.stack([photograph(scene) for scene in range(12)])
    labels = ["rare", *["common"] * 11]
    sample = sample_of(train, labels, test=(shot_again(train[0])[None], ["rare"]))
    assert sample.classes == ("common", "rare")
    assert (sample.health.near_leaked, sample.health.left_out) == (1, 0)


def test_the_test_part_has_its_groups_too():
    sample = sample_of(np.stack([photograph(scene) for scene in range(20)]), test=(bursts(range(30, 34), 2), ["a"] * 8))
    assert len(set(sample.test.group_ids)) == 4


@pytest.mark.parametrize("keep", [False, True])
def test_what_was_told_of_a_sample_gives_it_again(tmp_path, keep):
    for row, image in enumerate(bursts(range(8), 3)):
        place = tmp_path / "scenes" / "ab"[row % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{row}.png")
    sample = Sample.from_folder(tmp_path / "scenes", keep_duplicates=keep)
    assert Sample.again(sample.to_dict()).digest == sample.digest
    assert (sample.groups is None) is keep


def test_advice_from_before_there_was_a_choice_is_read_as_it_was(tmp_path):
    for row, image in enumerate(bursts(range(4), 2)):
        (tmp_path / "ab"[row % 2]).mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / "ab"[row % 2] / f"{row}.png")
    old = Sample.from_folder(tmp_path, keep_duplicates=True).to_dict()
    del old["keep_duplicates"]
    assert Sample.again(old).digest == old["digest"]


def test_a_drift_from_image_to_image_does_not_swallow_the_sample():
    """A film that blends one scene into the next: neighbors in time look alike, its ends do not."""
    scenes = [photograph(scene).astype(float) for scene in range(14)]
    film = [
        ((1 - share) * one + share * next_).astype(np.uint8)
        for one, next_ in pairwise(scenes)
        for share in np.linspace(0, 1, 12, endpoint=False)
    ]
    sizes = np.bincount(prints([Image.fromarray(frame) for frame in film]).components())
    assert sizes.max() <= max(5, 0.1 * len(film))


def test_one_image_many_times_over_stays_one_group():
    images = [Image.fromarray(photograph(scene)) for scene in range(20)] + [Image.fromarray(photograph(99))] * 20
    result = prints(images).components()
    assert len(set(result[20:])) == 1
    assert len(set(result)) == 21


def test_components_in_blocks_are_those_of_one_comparison(monkeypatch):
    images = [Image.fromarray(image) for image in bursts(range(20), 3)]
    whole = prints(images).components()
    monkeypatch.setattr("registry.duplicates._BLOCK", 7)
    again = prints(images).components()
    assert (whole == again).all()
    assert len(set(whole)) == 20


def test_groups_of_a_table_meet_near_duplicates_of_a_folder(tmp_path):
    for row, image in enumerate(bursts(range(10), 2)):
        (tmp_path / "pets" / "ab"[row % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "pets" / "ab"[row % 2] / f"{row:02}.png")
    table = tmp_path / "groups.csv"
    with table.open("w", newline="") as file:
        rows = [(f"{'ab'[row % 2]}/{row:02}.png", f"owner {row // 2 + row % 2}") for row in range(20)]
        csv.writer(file).writerows([("file", "group"), *rows])
    sample = Sample.from_folder(tmp_path / "pets", groups=table)
    assert sample.named_groups
    assert Sample.again(sample.to_dict()).digest == sample.digest


def pairs_of(sample: Sample) -> set[tuple[str, str, str]]:
    return {(str(pair.likeness), pair.item, pair.other) for pair in sample.health.pairs}


def test_what_is_alike_is_listed_row_beside_row_with_both_labels():
    singles = np.stack([photograph(scene) for scene in range(30)])
    images = np.concatenate([singles, singles[:1], [shot_again(singles[1])], singles[20:21]])
    labels = ["ab"[row % 2] for row in range(32)] + ["b"]  # the last is a copy of a row of class a
    test = np.stack([singles[2], shot_again(singles[3]), *(photograph(seed) for seed in range(50, 60))])
    sample = sample_of(images, labels, test=(test, ["ab"[row % 2] for row in range(12)]))
    assert pairs_of(sample) == {
        ("same content", "30", "0"),
        ("same content", "32", "20"),
        ("alike", "31", "1"),
        ("same content as a test row", "2", "0"),
        ("like a test row", "3", "1"),
    }
    labelled = {pair.item: (pair.label, pair.other_label) for pair in sample.health.pairs}
    assert labelled["32"] == ("b", "a")


def test_kept_duplicates_are_listed_too():
    images = np.stack([*(photograph(scene) for scene in range(30)), shot_again(photograph(4))])
    assert pairs_of(sample_of(images, keep_duplicates=True)) == {("alike", "30", "4")}


def test_of_very_many_pairs_some_are_listed(monkeypatch):
    monkeypatch.setattr("registry.health.MOST_PAIRS", 5)
    sample = sample_of(bursts(range(12), 3))
    assert sample.health.near_duplicates == 24
    assert len(sample.health.pairs) == 5
    scenes = [(int(pair.item) // 3, int(pair.other) // 3) for pair in sample.health.pairs]
    assert all(one == other for one, other in scenes)
