"""Raw features of images: what is fitted looks at training rows alone, and what is exported computes the same."""

import numpy as np
import pytest
from PIL import Image
from skimage.feature import hog

from registry.errors import UnknownName
from registry.modalities.image import IMAGE
from registry.modalities.image.raw import ALL, COLORS, GRADIENTS, PIXELS, SIDE, Appearance, AppearancePart


def items(rows: int = 6, *, gray: bool = False, seed: int = 0):
    shape = (rows, 30, 40) if gray else (rows, 30, 40, 3)
    return IMAGE.from_memory(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def test_colored_rows_are_read_as_their_luma_where_training_was_gray():
    raw = IMAGE.raw().fit(items(gray=True))
    colored = items(3)
    luma = [item.open().resize((SIDE, SIDE), Image.Resampling.BOX).convert("L") for item in colored]
    expected = np.stack([np.asarray(one, np.float32).ravel() / 255 for one in luma])
    assert (raw.transform(colored) == expected).all()


def test_channels_are_those_of_the_rows_that_were_fitted_on():
    rows = Appearance().transform([*items(4, gray=True), *items(1)])
    assert AppearancePart().fit(rows[:4]).transform(rows).shape == (5, SIDE**2)
    assert AppearancePart().fit(rows).transform(rows).shape == (5, 3 * SIDE**2)
    assert AppearancePart(ALL).fit(rows[:4]).transform(rows).shape == (5, SIDE**2 + 900 + 64)


def test_gradients_are_those_of_scikit_image():
    (item,) = items(1)
    gray = np.asarray(item.open().convert("L").resize((48, 48), Image.Resampling.BILINEAR), np.float64)
    theirs = hog(gray, orientations=9, pixels_per_cell=(8, 8), cells_per_block=(2, 2), block_norm="L2-Hys")
    ours = IMAGE.raw(GRADIENTS).fit(items()).transform([item])[0]
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_colors_are_square_roots_of_shares():
    half = np.zeros((1, 8, 8, 3), np.uint8)
    half[:, :, 4:] = 255, 0, 64
    shares = IMAGE.raw(COLORS).fit(items()).transform(IMAGE.from_memory(half))[0]
    assert {int(place): round(float(shares[place]) ** 2, 6) for place in np.flatnonzero(shares)} == {0: 0.5, 49: 0.5}


def test_all_features_stand_side_by_side():
    apart = [IMAGE.raw(name).fit(items()).transform(items(3, seed=1)) for name in (PIXELS, GRADIENTS, COLORS)]
    together = IMAGE.raw(ALL).fit(items()).transform(items(3, seed=1))
    assert (together == np.concatenate(apart, axis=1)).all()


def test_the_features_have_the_names_that_the_modality_states():
    assert IMAGE.words.raws == (PIXELS, GRADIENTS, COLORS, ALL)
    with pytest.raises(UnknownName, match="oriented gradients"):
        IMAGE.raw("oriented gradient")


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (200, 3)])
@pytest.mark.parametrize("named", [PIXELS, GRADIENTS, COLORS, ALL])
def test_pictures_of_any_shape_have_features(named, shape):
    odd = IMAGE.from_memory(np.full((2, *shape, 3), 7, np.uint8))
    assert np.isfinite(IMAGE.raw(named).fit(odd).transform(odd)).all()


@pytest.mark.parametrize("named", [PIXELS, GRADIENTS, COLORS, ALL])
def test_the_recipe_computes_what_the_features_are(named, tmp_path):
    for gray in (False, True):
        passed = items(4, gray=gray)
        raw, place = IMAGE.raw(named).fit(passed), tmp_path / f"{gray}.png"
        passed[0].open().save(place)
        room: dict = {}
        exec(IMAGE.raw_recipe(raw).code, room)  # noqa: S102 - our own code
        assert (room["features"](place) == raw.transform(passed[:1])[0]).all()


def test_the_promise_states_the_size_of_its_raw_features():
    assert IMAGE.raw_size == SIDE
