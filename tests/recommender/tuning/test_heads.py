import numpy as np
import pytest

from recommender.tuning.heads import LinearHead, NeighborsHead, PrototypeHead, read_head, save_head
from registry.errors import PathMissing


def clouds(rows=60, classes=3, width=8, seed=0):
    """Classes that point in different directions."""
    random = np.random.default_rng(seed)
    targets = np.arange(rows) % classes
    features = random.normal(0, 0.3, (rows, width)).astype(np.float32)
    features[np.arange(rows), targets] += 2
    return features, targets


@pytest.fixture(params=["linear", "prototype", "neighbors"])
def head(request):
    features, targets = clouds()
    if request.param == "linear":
        return LinearHead(np.eye(3, 8, dtype=np.float32), np.zeros(3, np.float32))
    return {"prototype": PrototypeHead, "neighbors": NeighborsHead}[request.param].fit(features, targets, 3)


def test_a_head_names_the_class_of_rows_it_has_not_seen(head):
    features, targets = clouds(seed=1)
    assert (head.logits(features).argmax(1) == targets).mean() > 0.95


def test_a_head_read_back_says_the_same(head, tmp_path):
    features, _ = clouds(seed=1)
    save_head(head, tmp_path)
    again = read_head(tmp_path)
    assert again.kind == head.kind
    np.testing.assert_array_equal(again.logits(features), head.logits(features))


def test_the_nearest_mean_is_found_by_counting_distances_one_by_one():
    features, targets = clouds()
    head = PrototypeHead.fit(features, targets, 3)
    center = features.mean(0)
    unit = [(row - center) / np.linalg.norm(row - center) for row in features]
    means = [np.mean([u for u, t in zip(unit, targets, strict=True) if t == label], 0) for label in range(3)]
    nearest = [int(np.argmin([((u - mean) ** 2).sum() for mean in means])) for u in unit]
    assert head.logits(features).argmax(1).tolist() == nearest


@pytest.mark.parametrize("kind", [PrototypeHead, NeighborsHead])
def test_one_row_a_class_is_enough(kind):
    features, targets = clouds(rows=3)
    assert (kind.fit(features, targets, 3).logits(features).argmax(1) == targets).all()


@pytest.mark.parametrize("kind", [PrototypeHead, NeighborsHead])
def test_a_class_without_rows_is_never_named(kind):
    features, targets = clouds()
    assert 3 not in kind.fit(features, targets, 4).logits(features).argmax(1)


@pytest.mark.parametrize("kind", [PrototypeHead, NeighborsHead])
def test_it_is_blind_to_the_scale_of_the_features(kind):
    features, targets = clouds()
    other, _ = clouds(seed=1)
    same = kind.fit(features * 1000, targets, 3).logits(other * 1000).argmax(1)
    assert (same == kind.fit(features, targets, 3).logits(other).argmax(1)).all()


def test_a_folder_without_a_head_is_named(tmp_path):
    with pytest.raises(PathMissing, match="head"):
        read_head(tmp_path)
