import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.errors import EncoderMismatch, MalformedWeights, NotFinite, NoVariation, TooFewRows, WidthMismatch
from registry.features import Features
from registry.sketch import BANDWIDTHS, FREQUENCIES, KEPT_ROWS, Lens, Sketch, fit_lens, orthonormal, sketch_of
from tests.registry.fakes import SPACE, a_lens, cloud

WIDE = "net@beef#last"
GOLDEN = [0.01133041, 0.03809555, 0.04417994, 0.01450539, 0.01793072, 0.02166747]


def features(vectors, encoder=WIDE):
    return Features(np.asarray(vectors, dtype=np.float32), encoder)


def wide_lens(width=40, seed=0):
    random = np.random.default_rng(seed)
    mixing = random.normal(size=(width, width)) / np.arange(1, width + 1)
    return fit_lens("wide", "image", [features(random.normal(size=(400, width)) @ mixing)]), mixing


def biased_mmd(lens, x, y):
    """Gretton et al. 2012, eq. 5, by its double sums."""
    x, y = lens.standardize(x), lens.standardize(y)

    def mean_kernel(a, b):
        squares = ((a[:, None] - b[None]) ** 2).sum(-1)
        return np.mean([np.exp(-squares / (2 * (lens.sigma * width) ** 2)).mean() for width in BANDWIDTHS])

    return mean_kernel(x, x) + mean_kernel(y, y) - 2 * mean_kernel(x, y)


CASES = [(3, 0.0), (3, 1.0), (40, 0.0), (40, 0.3), (40, 1.0), (40, 3.0), (600, 0.5)]


@pytest.mark.parametrize(("width", "shift"), CASES)
def test_the_distance_of_two_embeddings_is_close_to_the_exact_mmd(width, shift):
    lens, mixing = wide_lens(width)
    random = np.random.default_rng(5)
    x = (random.normal(size=(150, width)) @ mixing).astype(np.float32)
    y = ((random.normal(size=(120, width)) + shift) @ mixing).astype(np.float32)
    exact = biased_mmd(lens, x, y)
    assert np.sum((lens.embed(x) - lens.embed(y)) ** 2) == pytest.approx(exact, rel=0.2, abs=0.003)


def test_the_estimate_is_unbiased_over_the_draw_of_frequencies():
    random = np.random.default_rng(1)
    x, y = random.normal(size=(30, 5)).astype(np.float32), (random.normal(size=(30, 5)) + 0.5).astype(np.float32)
    lenses = [Lens("l", "image", WIDE, np.zeros(5), np.ones(5), 2.0, seed) for seed in range(100)]
    estimates = [float(np.sum((lens.embed(x) - lens.embed(y)) ** 2)) for lens in lenses]
    error = np.std(estimates) / np.sqrt(len(estimates))
    assert abs(np.mean(estimates) - biased_mmd(lenses[0], x, y)) < 4 * error


def test_embeddings_stay_the_same_from_version_to_version():
    lens = Lens("l", "image", WIDE, np.zeros(3), np.ones(3), 1.5, 0)
    embedding = lens.embed(np.array([[0.1, -0.2, 0.3], [1.0, 0.5, -0.5]]))
    np.testing.assert_allclose(embedding[[0, 1, 2, 511, 512, 1023]], GOLDEN, atol=1e-6)


def test_an_embedding_is_twice_the_frequencies_and_a_single_row_has_length_one():
    embedding = a_lens().embed(np.full((1, 3), 77.0))
    assert embedding.shape == (2 * FREQUENCIES,)
    assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-5)


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_a_sketch_is_blind_to_row_order(seed):
    lens, seen = a_lens(), cloud(100, rows=300)
    shuffled = seen.take(np.random.default_rng(seed).permutation(300))
    one, other = sketch_of("d", seen, lens), sketch_of("d", shuffled, lens)
    np.testing.assert_allclose(one.embedding, other.embedding, atol=1e-6)
    np.testing.assert_array_equal(one.rows.vectors, other.rows.vectors)


def test_the_rows_kept_follow_the_seed_and_are_rows_of_the_domain():
    lens, seen = a_lens(), cloud(100, rows=900)
    kept = sketch_of("d", seen, lens).rows.vectors
    assert kept.shape == (KEPT_ROWS, 3)
    there = {row.tobytes() for row in seen.vectors.astype(np.float16)}
    assert all(row.tobytes() in there for row in kept.astype(np.float16))
    assert not np.array_equal(kept, sketch_of("d", seen, lens, seed=1).rows.vectors)
    assert sketch_of("d", cloud(100, rows=10), lens).rows.vectors.shape == (10, 3)


def test_constant_columns_and_columns_at_1e8_survive():
    random = np.random.default_rng(0)
    x = random.normal(size=(80, 6))
    x[:, 1], x[:, 2] = 7.0, 1e8 + 1e8 * random.normal(size=80)
    lens = fit_lens("odd", "image", [features(x)])
    sketch = sketch_of("d", features(x), lens)
    assert np.isfinite(sketch.embedding).all()
    np.testing.assert_allclose(sketch.rows.vectors[:, 1], 7.0)
    moved = x.copy()
    moved[:, 2] += 3e8
    assert sketch.squared_distance(sketch_of("e", features(moved), lens)) > 0.01


def test_a_lens_is_the_same_whatever_the_order_of_the_rows_and_weighs_its_domains_alike():
    small, large = cloud(40, rows=50), cloud(215, rows=5000)
    lens = fit_lens("l", "image", [small, large], rows=100)
    assert lens.mean == pytest.approx(np.full(3, (40 + 215) / 2), abs=6)
    again = fit_lens("l", "image", [small.take(np.arange(50)[::-1]), large], rows=100)
    assert again.digest == lens.digest


def test_the_bandwidth_is_the_median_distance_of_the_standardized_rows():
    rows = cloud(100, rows=40)
    lens = fit_lens("l", "image", [rows])
    z = lens.standardize(rows.vectors)
    distances = [np.linalg.norm(z[i] - z[j]) for i in range(40) for j in range(i)]
    assert lens.sigma == pytest.approx(np.median(distances))


@pytest.mark.parametrize("changed", ["space", "mean", "scale", "sigma", "seed"])
def test_the_digest_of_a_lens_covers_all_that_fixes_its_space(changed):
    facts = {
        "name": "l",
        "modality": "image",
        "space": WIDE,
        "mean": np.zeros(2),
        "scale": np.ones(2),
        "sigma": 1.0,
        "seed": 0,
    }
    other = {"space": "net@cafe#last", "mean": np.ones(2), "scale": np.full(2, 2.0), "sigma": 1.5, "seed": 1}
    assert Lens(**facts).digest != Lens(**{**facts, changed: other[changed]}).digest
    assert Lens(**facts).digest == Lens(**{**facts, "name": "another name"}).digest


def test_a_lens_knows_its_checkpoint_and_block():
    lens = a_lens()
    assert (lens.checkpoint, lens.block, lens.space) == ("mean-color", "last", SPACE)


def test_features_of_another_space_and_sketches_of_another_lens_are_refused():
    lens = a_lens()
    with pytest.raises(EncoderMismatch):
        sketch_of("d", features(np.ones((4, 3))), lens)
    with pytest.raises(EncoderMismatch):
        fit_lens("l", "image", [cloud(1), features(np.ones((4, 3)))])
    ours = sketch_of("d", cloud(100), lens)
    other = fit_lens("other", "image", [cloud(40), cloud(200)])
    theirs = sketch_of("d", cloud(100), other)
    with pytest.raises(EncoderMismatch, match="lens"):
        ours.squared_distance(theirs)


def test_what_cannot_be_embedded_is_refused_by_name():
    lens = a_lens()
    with pytest.raises(TooFewRows, match="need 1 rows, have 0"):
        lens.embed(np.empty((0, 3)))
    with pytest.raises(WidthMismatch):
        lens.embed(np.ones((4, 5)))
    bad = np.ones((3000, 3))
    bad[2500, 1] = np.inf
    with pytest.raises(NotFinite, match="row 2500"):
        lens.embed(bad)
    with pytest.raises(TooFewRows):
        fit_lens("l", "image", [cloud(1, rows=1)])
    with pytest.raises(NoVariation):
        fit_lens("l", "image", [features(np.ones((9, 3)))])
    with pytest.raises(NotFinite, match="embedding of d"):
        Sketch("d", lens.digest, cloud(1), np.full(4, np.nan, dtype=np.float32), 60)


def test_a_packed_sketch_comes_back_as_it_was():
    sketch = sketch_of("dömän", cloud(100, rows=500), a_lens())
    back = Sketch.unpack(sketch.pack(), "here")
    np.testing.assert_array_equal(back.rows.vectors, sketch.rows.vectors)
    np.testing.assert_array_equal(back.embedding, sketch.embedding)
    assert (back.domain, back.lens, back.seen, back.rows.encoder) == ("dömän", sketch.lens, 500, SPACE)


def test_rows_that_fp16_cannot_hold_are_kept_in_full():
    lens = fit_lens("l", "image", [features(np.random.default_rng(0).normal(0, 1e6, (50, 3)))])
    sketch = sketch_of("d", features(np.full((5, 3), 2e6)), lens)
    np.testing.assert_array_equal(Sketch.unpack(sketch.pack(), "here").rows.vectors, np.full((5, 3), 2e6))


@pytest.mark.parametrize("garbage", [b"", b"no", b"\xff" * 200, b"\x02\x00\x00\x00\x00\x00\x00\x00{}"])
def test_bytes_that_are_no_sketch_are_refused_by_name(garbage):
    with pytest.raises(MalformedWeights, match="here"):
        Sketch.unpack(garbage, "here")


def test_orthonormal_rows_span_the_same_as_gram_schmidt_has_them_and_what_adds_nothing_is_zero():
    rows = np.random.default_rng(0).normal(size=(5, 8))
    rows[1], rows[3] = 0, 2 * rows[0] - rows[2]
    axes = orthonormal(rows)
    assert not axes[[1, 3]].any()
    np.testing.assert_allclose(axes[[0, 2, 4]] @ axes[[0, 2, 4]].T, np.eye(3), atol=1e-12)
    triangle = rows @ axes.T
    np.testing.assert_allclose(triangle @ axes, rows, atol=1e-12)
    assert (np.diag(triangle)[[0, 2, 4]] > 0).all()
    np.testing.assert_allclose(np.triu(triangle, 1), 0, atol=1e-12)
    assert not orthonormal(np.vstack([np.eye(2), np.ones((1, 2))]))[2].any()
