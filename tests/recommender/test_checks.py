"""Names and places that do not exist are found before anything is read."""

import zipfile
from pathlib import Path

import pytest

from recommender.checks import check_request, require_advice, require_domain, require_names, require_places
from recommender.requests import (
    ExportRequest,
    PredictRequest,
    PromoteRequest,
    RecommendRequest,
    ResumeRequest,
    SampleRequest,
    TuneRequest,
)
from registry.errors import DeviceMissing, NoItems, PathMissing, UnknownName, UnsafeArchive
from registry.zoo import Zoo
from tests.ui.cases import advice, choice
from tests.ui.test_cli import transferzoo


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    opened = Zoo.open(tmp_path_factory.mktemp("home"))
    opened.keep(advice(choice("resnet-photos", 0.8, gain=0.3)))
    return opened


@pytest.mark.parametrize(
    ("names", "hint"),
    [
        ({"checkpoint": "resnet-foto"}, "Did you mean 'resnet-photos'?"),
        ({"exclude": ["resnet-foto"]}, "Did you mean 'resnet-photos'?"),
        ({"strategy": "linear-prob"}, "Did you mean 'linear-probe'?"),
        ({"distance": "mmd2"}, "Did you mean 'mmd'?"),
        ({"recommendation": "0123456789abcdee"}, "Did you mean '0123456789abcdef'?"),
        ({"recommendation": "newest"}, "Known: 0123456789abcdef."),
        ({"licenses": ["WTFPL"]}, "MIT"),
        ({"executor": "locl"}, "Did you mean 'local'?"),
        ({"tracker": "mlfow"}, "Did you mean 'mlflow'?"),
    ],
)
def test_a_name_that_does_not_exist_gets_a_hint(zoo: Zoo, names: dict[str, object], hint: str) -> None:
    with pytest.raises(UnknownName) as caught:
        require_names(zoo, **names)
    assert hint in caught.value.remedy


def test_another_distance_of_like_letters_is_no_misspelling(zoo: Zoo) -> None:
    with pytest.raises(UnknownName) as caught:
        require_names(zoo, distance="cosine")
    assert caught.value.remedy == "Known: classifier, energy, frechet, knn, mean_embedding, mmd."


def test_what_exists_passes(zoo: Zoo) -> None:
    require_names(
        zoo,
        checkpoint="resnet-photos",
        strategy="lp-ft",
        distance="knn",
        licenses=["Apache-2.0", "mit"],
        recommendation="0123456789abcdef",
        device="cpu",
    )
    assert require_advice(zoo, "0123456789abcdef")["id"] == "0123456789abcdef"


def test_a_device_that_is_not_there_is_named(zoo: Zoo) -> None:
    with pytest.raises(DeviceMissing):
        require_names(zoo, device="cuda:99")


def test_a_domain_is_a_place_or_a_known_name(zoo: Zoo, tmp_path: Path) -> None:
    assert require_domain(zoo, str(tmp_path)) == tmp_path
    assert require_domain(zoo, "cifar10") is None
    with pytest.raises(UnknownName, match="cifar1"):
        require_domain(zoo, "cifar1")
    with pytest.raises(PathMissing):
        require_domain(zoo, "images/cifar10")


def zipped(place: Path, *names: str) -> Path:
    with zipfile.ZipFile(place, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return place


def test_a_zip_that_cannot_be_used_is_refused_by_its_table_of_contents(tmp_path: Path) -> None:
    require_places(zipped(tmp_path / "good.zip", "a/1.png"), None)
    (tmp_path / "torn.zip").write_bytes(b"PK and then nothing")
    with pytest.raises(NoItems, match="zip that can be opened"):
        require_places(tmp_path / "torn.zip")
    with pytest.raises(NoItems):
        require_places(zipped(tmp_path / "else.zip", "a/1.exe"))
    with pytest.raises(UnsafeArchive, match="climbs out"):
        require_places(zipped(tmp_path / "climbs.zip", "../1.png"))


def test_a_request_is_checked_before_anything_is_read(zoo: Zoo, tmp_path: Path) -> None:
    here = SampleRequest(path=tmp_path, seed=1)
    check_request(TuneRequest(sample=here, checkpoint="resnet-photos", device="cpu"), zoo)
    with pytest.raises(PathMissing, match=r"groups\.csv"):
        check_request(RecommendRequest(sample=SampleRequest(path=tmp_path, groups=tmp_path / "groups.csv")), zoo)
    with pytest.raises(UnknownName):
        check_request(RecommendRequest(sample=here, licenses=("WTFPL",)), zoo)
    with pytest.raises(UnknownName) as caught:
        check_request(TuneRequest(sample=here, recommendation="0123456789abcdee"), zoo)
    assert "Did you mean '0123456789abcdef'?" in caught.value.remedy


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("recommend", "PLACE", "--exclude", "nobody"),
        ("tune", "PLACE", "--strategy", "nothing"),
        ("benefit", "PLACE", "--checkpoint", "nobody"),
        ("distance", "PLACE", "nowhere"),
        ("domains", "near", "PLACE", "--metric", "cosine"),
        ("queue", "add", "tune", "PLACE", "--recommendation", "none"),
    ],
)
def test_every_command_tells_before_it_reads(zoo: Zoo, tmp_path: Path, words: tuple[str, ...]) -> None:
    done = transferzoo(*(str(tmp_path) if word == "PLACE" else word for word in words), home=zoo.home.root)
    assert done.returncode == 2  # the folder is empty: read first, it would be the folder that is named
    assert "there is no" in done.stderr


@pytest.mark.parametrize(
    "request_of",
    [
        lambda place: ResumeRequest(run="nope"),
        lambda place: PredictRequest(run="nope", path=place),
        lambda place: ExportRequest(run="nope", folder=place / "out"),
        lambda place: PromoteRequest(run="nope", name="mine"),
    ],
)
def test_a_run_that_does_not_exist_is_named_before_its_data_are_read(zoo: Zoo, tmp_path: Path, request_of) -> None:
    with pytest.raises(UnknownName, match="no run named 'nope'"):
        check_request(request_of(tmp_path), zoo)
