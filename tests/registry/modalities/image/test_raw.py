"""Raw features of images: what is fitted looks at training rows alone, and what is exported computes the same."""

import numpy as np
from PIL import Image

from registry.modalities.image import IMAGE
from registry.modalities.image.raw import SIDE, Channels, Shrunk


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
    rows = Shrunk().transform([*items(4, gray=True), *items(1)])
    assert Channels().fit(rows[:4]).transform(rows).shape == (5, SIDE**2)
    assert Channels().fit(rows).transform(rows).shape == (5, 3 * SIDE**2)


def test_the_recipe_computes_what_the_features_are(tmp_path):
    for gray in (False, True):
        passed = items(4, gray=gray)
        raw, place = IMAGE.raw().fit(passed), tmp_path / f"{gray}.png"
        passed[0].open().save(place)
        room: dict = {}
        exec(IMAGE.raw_recipe(raw).code, room)  # noqa: S102 - our own code
        assert (room["features"](place) == raw.transform(passed[:1])[0]).all()


def test_the_promise_states_the_size_of_its_raw_features():
    assert IMAGE.raw_size == SIDE
