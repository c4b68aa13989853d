import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from registry.duplicates import Fingerprints
from registry.modalities.image import IMAGE
from registry.modalities.image.fingerprints import altered_fingerprints, fingerprints_of


def photograph(seed: int) -> Image.Image:
    """Blobs of light and color: smooth like a photograph, unlike any other seed's."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((96, 96), Image.Resampling.BICUBIC)


def drawing(seed: int) -> Image.Image:
    """A few white strokes on black."""
    rng, canvas = np.random.default_rng(seed), np.zeros((28, 28), np.uint8)
    for _ in range(3):
        row, column = rng.integers(4, 20, 2)
        canvas[row : row + 6, column : column + 2] = 255
    return Image.fromarray(canvas).convert("RGB")


def recompressed(image: Image.Image) -> Image.Image:
    held = io.BytesIO()
    image.resize((64, 64)).save(held, "JPEG", quality=60)
    return Image.open(held).convert("RGB")


def prints(images: list[Image.Image]) -> Fingerprints:
    return Fingerprints.of(IMAGE.from_memory(images), IMAGE)


def test_a_smaller_recompressed_copy_is_found():
    originals = [photograph(seed) for seed in range(60)]
    copies = [recompressed(image) for image in originals[:25]]
    assert prints([*originals, *copies]).repeated().tolist() == [False] * 60 + [True] * 25
    held_out = np.arange(85) >= 60
    assert prints([*originals, *copies]).like_any(held_out).tolist() == [True] * 25 + [False] * 60


@pytest.mark.parametrize("kind", [photograph, drawing])
def test_different_images_of_one_kind_are_not_alike(kind):
    assert prints([kind(seed) for seed in range(400)]).repeated().mean() <= 0.01


def test_flat_images_look_like_nothing():
    flat = [Image.new("RGB", (32, 32), (shade, shade, shade)) for shade in range(0, 250, 10)]
    assert not prints(flat).repeated().any()
    assert not prints(flat).like_any(np.ones(len(flat), bool)).any()


def test_a_shared_outline_does_not_make_images_alike():
    mask = np.hypot(*np.mgrid[-48:48, -48:48]) < 46
    discs = [
        Image.fromarray((np.asarray(photograph(seed)) // 8 + 120) * mask[..., None].astype(np.uint8))
        for seed in range(200)
    ]
    assert prints(discs).repeated().mean() <= 0.05
    assert prints([*discs, recompressed(discs[7])]).repeated()[-1]


def test_items_without_a_thumbnail_are_like_nothing():
    assert not Fingerprints(fingerprints_of([b"", b""])).repeated().any()
    assert Fingerprints(fingerprints_of([])).repeated().shape == (0,)
    assert Fingerprints(fingerprints_of([])).components().shape == (0,)
    assert not altered_fingerprints([b"", b""]).any()


def test_blocks_see_what_one_comparison_sees(monkeypatch):
    images = [photograph(seed % 45) for seed in range(70)]
    whole = prints(images).repeated()
    monkeypatch.setattr("registry.duplicates._BLOCK", 16)
    assert (prints(images).repeated() == whole).all()
    assert whole.sum() == 25


def pie(seed: int) -> Image.Image:
    """Wedges in a circle on white: all but the angles and colors is the same in every one."""
    rng, canvas = np.random.default_rng(seed), Image.new("RGB", (96, 96), "white")
    ends = np.cumsum(rng.random(rng.integers(3, 7)) + 0.1)
    start, pen = 0.0, ImageDraw.Draw(canvas)
    for end in 360 * ends / ends[-1]:
        pen.pieslice((10, 10, 86, 86), start, end, fill=tuple(rng.integers(30, 230, 3).tolist()), outline="black")
        start = end
    return canvas


def page(seed: int) -> Image.Image:
    """Lines of words on white, in one layout."""
    rng, canvas = np.random.default_rng(seed), Image.new("RGB", (128, 160), "white")
    pen = ImageDraw.Draw(canvas)
    for line in range(12, 148, 12):
        start = 10
        while start < 112:
            width = int(rng.integers(4, 22))
            pen.rectangle((start, line, min(start + width, 118), line + 6), fill="black")
            start += width + 4
    return canvas


def form(seed: int) -> Image.Image:
    """A screen with a bar, a margin and boxes, some of which are filled in."""
    rng, canvas = np.random.default_rng(seed), Image.new("RGB", (160, 120), "white")
    pen = ImageDraw.Draw(canvas)
    pen.rectangle((0, 0, 160, 10), fill="navy")
    pen.rectangle((0, 10, 28, 120), fill="lightgray")
    for line in range(16, 112, 12):
        pen.rectangle((36, line, 36 + rng.integers(8, 36), line + 4), fill="black")
        pen.rectangle((84, line - 2, 150, line + 7), outline="gray")
        if rng.random() < 0.7:
            pen.rectangle((87, line, 87 + rng.integers(8, 58), line + 4), fill="black")
    return canvas


def cut(image: Image.Image) -> Image.Image:
    across, down = image.width // 30, image.height // 30
    return image.crop((across, down, image.width - across, image.height - down))


def dimmed(image: Image.Image) -> Image.Image:
    return image.point(lambda value: int(0.8 * value + 10))


def cut_at_two_sides(image: Image.Image) -> Image.Image:
    return image.crop((0, 0, image.width - image.width // 20, image.height - image.height // 20))


ALTERED = [recompressed, cut, cut_at_two_sides, dimmed, lambda image: recompressed(dimmed(cut(image)))]


@pytest.mark.parametrize("kind", [photograph, pie, page, form])
def test_altered_copies_are_found_among_rows_of_one_layout_and_no_others(kind):
    originals = [kind(seed) for seed in range(80)]
    copies = [alter(originals[row]) for row, alter in enumerate(ALTERED * 5)]
    components = prints([*originals, *copies]).components()
    planted = {(row, 80 + row) for row in range(25)}
    matched = {
        (row, other) for row in range(105) for other in range(row + 1, 105) if components[row] == components[other]
    }
    assert len(matched & planted) >= 0.9 * len(planted)
    assert len(matched & planted) >= 0.9 * len(matched)


def test_a_few_charts_among_photographs_are_no_copies_of_each_other():
    images = [*(photograph(seed) for seed in range(120)), *(kind(seed) for kind in (pie, form) for seed in range(12))]
    assert prints(images).repeated().mean() <= 0.02


def test_shots_of_a_burst_are_alike_where_rows_usually_are_not():
    scenes = [photograph(seed) for seed in range(10)]
    noise = np.random.default_rng(0).integers(-5, 6, (40, 96, 96, 3))
    shots = [np.clip(np.asarray(scenes[row // 4]).astype(int) + noise[row], 0, 255) for row in range(40)]
    components = prints([Image.fromarray(shot.astype(np.uint8)) for shot in shots]).components()
    assert len(set(components)) == 10


def test_rows_that_vary_in_three_ways_alone_are_not_alike_for_lying_close():
    angles = np.random.default_rng(0).uniform(0, 2 * np.pi, size=(400, 3))
    rows = np.stack([f(angles[:, way]) for way in range(3) for f in (np.cos, np.sin)], axis=1) / np.sqrt(3)
    assert Fingerprints(rows.astype(np.float32), apart=0.12).repeated().mean() < 0.1
    copied = np.concatenate([rows, rows[:20] + 1e-4]).astype(np.float32)
    assert Fingerprints(copied / np.linalg.norm(copied, axis=1, keepdims=True), apart=0.12).repeated()[400:].all()
