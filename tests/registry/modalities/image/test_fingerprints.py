import io

import numpy as np
import pytest
from PIL import Image

from registry.duplicates import Fingerprints
from registry.modalities.image.fingerprints import fingerprints_of
from registry.modalities.image.items import thumbnail


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
    return Fingerprints(fingerprints_of([thumbnail(image) for image in images]))


def test_a_smaller_recompressed_copy_is_found():
    originals = [photograph(seed) for seed in range(60)]
    copies = [recompressed(image) for image in originals[:25]]
    assert prints([*originals, *copies]).repeated().tolist() == [False] * 60 + [True] * 25
    assert prints(originals).also_in(prints(copies)).tolist() == [True] * 25 + [False] * 35


@pytest.mark.parametrize("kind", [photograph, drawing])
def test_different_images_of_one_kind_are_not_alike(kind):
    assert prints([kind(seed) for seed in range(400)]).repeated().mean() <= 0.01


def test_flat_images_look_like_nothing():
    flat = [Image.new("RGB", (32, 32), (shade, shade, shade)) for shade in range(0, 250, 10)]
    assert not prints(flat).repeated().any()
    assert not prints(flat).also_in(prints(flat)).any()


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


def test_blocks_see_what_one_comparison_sees(monkeypatch):
    images = [photograph(seed % 45) for seed in range(70)]
    whole = prints(images).repeated()
    monkeypatch.setattr("registry.duplicates._BLOCK", 16)
    assert (prints(images).repeated() == whole).all()
    assert whole.sum() == 25
