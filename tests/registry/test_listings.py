from pathlib import Path

import pytest

from registry.catalog import read_catalog, write_domain, write_listing
from registry.errors import BadCard
from registry.home import catalog_folder
from registry.licenses import Licenses
from registry.listings import Architecture, Fact, Listing, agree, find_listing
from registry.zoo import Zoo
from tests.registry.fakes import a_catalog, a_domain
from tests.registry.test_catalog import edit


def a_listing(name="net", **other):
    facts = {
        "parameters": (Fact(1000, "counted", "2026-01-01", "config"), Fact("1 k", "https://example.org/net")),
        "license": (Fact("mit", "https://example.org/net", "2026-01-01"),),
    }
    return Listing(
        **{
            "name": name,
            "hub": f"someone/{name}",
            "modality": "image",
            "architecture": "Net",
            "facts": facts,
            **other,
        }
    )


@pytest.fixture
def folder(tmp_path):
    return a_catalog(tmp_path / "catalog")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (124_645_632, "125 M", True),
        (72_593_920, "74 M", False),
        (25_557_032, "25.56 M", True),
        (94_381_936, "94.7 M", False),
        (94_371_712, "about 95 M", True),
        (278_043_648, "250 M", False),
        (315_438_720, "300 M", True),
        (384, 512, False),
        ("3+4+6+3", "3+4+6+3", True),
        ("110 M", "109 M", True),
    ],
)
def test_two_counts_agree_as_far_as_they_are_rounded(one, other, same):
    assert agree("parameters", [Fact(one, "a"), Fact(other, "b")]) is same


def test_licenses_agree_where_spdx_has_one_name_for_both():
    assert agree("license", [Fact("apache-2.0", "a"), Fact("Apache License 2.0", "b")])
    assert not agree("license", [Fact("apache-2.0", "a"), Fact("mit", "b")])
    assert not agree("license", [Fact("unknown", "a"), Fact("mit", "b")])


def test_contradicting_sources_stand_side_by_side_and_the_witness_counts():
    listing = a_listing(facts={"parameters": (Fact(1000, "counted", "", "config"), Fact(2000, "a page"))})
    assert listing.contradictions == ("parameters",)
    assert listing.parameters == 1000
    unwitnessed = a_listing(facts={"parameters": (Fact(1000, "one page"), Fact(2000, "another"))})
    assert unwitnessed.parameters == 2000


def test_what_is_counted_on_the_weights_outweighs_what_is_stated():
    counted = a_listing(facts={"parameters": (Fact(2000, "a page"),)}).counted(1500)
    assert (counted.parameters, counted.contradictions) == (1500, ("parameters",))


def test_what_no_source_states_is_unknown_and_not_zero():
    bare = a_listing(facts={})
    assert (bare.parameters, bare.bytes, bare.licenses) == (None, None, ("unknown",))


def test_bytes_are_as_stated_or_four_a_parameter():
    assert a_listing().bytes == 4000
    assert a_listing(facts={"bytes": (Fact("1.12 GB", "a page"),)}).bytes == 1_120_000_000


def test_the_strictest_license_counts_and_unknown_is_never_permitted():
    assert Licenses(("Apache-2.0",), data=("MIT",)).objection(["apache", "mit"]) is None
    assert "of its training data" in str(Licenses(("Apache-2.0",), data=("MIT",)).objection(["apache"]))
    assert "of its base model unknown" in str(Licenses(("MIT",), base=("unknown",)).objection(["mit"]))
    assert "sources disagree" in str(Licenses(("MIT", "Apache-2.0")).objection(["mit"]))
    assert Licenses(("MIT", "Apache-2.0")).objection(["mit", "apache"]) is None


def test_a_listing_comes_back_as_it_was_written(folder):
    built = Architecture("ViTConfig", "ViTModel", {"hidden_size": 8}, "pooler", counted=False)
    full = a_listing(aliases=("net",), data=("gray",), base=("someone/older",), built=built)
    write_listing(folder, full)
    result = read_catalog(folder)
    assert result.listings == (full,)
    assert [card.name for card in result.checkpoints] == ["mean-color"]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"hub": "../x"}, "hub"),
        ({"hub": "no-organization"}, "hub"),
        ({"name": "other"}, "name"),
        ({"data": ["nowhere"]}, "data"),
        ({"facts": {"parameters": [{"value": 3}]}}, "facts.parameters.0.source"),
        (
            {"facts": {"parameters": [{"value": 3, "source": "x", "checked": "yesterday"}]}},
            "facts.parameters.0.checked",
        ),
        ({"folder": "seedlings/x"}, "folder"),
    ],
)
def test_a_bad_key_of_a_listing_is_named(folder, changes, key):
    edit(write_listing(folder, a_listing()), **changes)
    with pytest.raises(BadCard) as caught:
        read_catalog(folder)
    assert caught.value.key == key


def test_a_domain_without_a_sketch_has_no_rows(folder):
    write_domain(folder, a_domain("far", rows=0))
    (far,) = (domain for domain in read_catalog(folder).domains if domain.name == "far")
    assert far.rows == 0


def test_the_zoo_knows_listings_without_taking_them_for_checkpoints(folder, tmp_path):
    write_listing(folder, a_listing(aliases=("older-net",)))
    with Zoo.open(tmp_path / "home", catalog=folder) as zoo:
        assert [*zoo] == ["mean-color"]
        assert [listing.name for listing in zoo.listings()] == ["net"]
        assert zoo.listings("text") == ()
        for name in ("net", "someone/net", "older-net"):
            assert find_listing(zoo.listings(), name) == zoo.listings()[0]
        assert find_listing(zoo.listings(), "someone/other") is None


def test_damaged_listings_are_read_from_the_catalog_again(folder, tmp_path):
    write_listing(folder, a_listing())
    with Zoo.open(tmp_path / "home", catalog=folder) as zoo:
        zoo.store.write_bundled(
            __import__("registry.store", fromlist=["Entries"]).Entries(), {"listings": '[{"name": 3}]'}
        )
    with Zoo.open(tmp_path / "home", catalog=folder) as zoo:
        assert [listing.name for listing in zoo.listings()] == ["net"]


@pytest.fixture(scope="module")
def bundled():
    return read_catalog(catalog_folder()).listings


def test_the_bundled_catalog_names_a_source_for_every_fact(bundled):
    assert len(bundled) >= 60
    assert {listing.modality for listing in bundled} == {"audio", "image", "text"}
    ids = [name for listing in bundled for name in (listing.hub, *listing.aliases)]
    assert len(ids) == len(set(ids))
    for listing in bundled:
        for kind, stated in listing.facts.items():
            assert stated, (listing.hub, kind)
            assert all(fact.source for fact in stated)


def test_the_known_contradictions_are_shown(bundled):
    assert {(listing.name, kind) for listing in bundled for kind in listing.contradictions} >= {
        ("hubert-base-ls960", "license"),
        ("ast-finetuned-audioset-10-10-0.4593", "license"),
        ("whisper-base", "license"),
        ("codebert-base", "license"),
        ("bge-small-en-v1.5", "width"),
        ("whisper-tiny", "width"),
        ("whisper-base", "parameters"),
        ("xlm-roberta-base", "parameters"),
    }


def test_the_readme_says_how_many_facts_were_read_computed_and_remembered():
    facts = [
        (kind, fact)
        for one in read_catalog(catalog_folder()).listings
        for kind, stated in one.facts.items()
        for fact in stated
    ]
    undated = [kind for kind, fact in facts if not fact.checked]
    witnessed = sum(fact.witness == "config" for _, fact in facts)
    computed, remembered = undated.count("parameters"), undated.count("objective")
    assert computed + remembered == len(undated)
    readme = " ".join((Path(__file__).parents[2] / "registry" / "README.md").read_text().split())
    assert f"by {len(facts)} facts: {len(facts) - len(undated)} were read in public sources" in readme
    assert f"{computed} were computed; the {remembered} on what a net was trained for are cited from memory" in readme
    assert f"{witnessed} of all are what transformers' own config computes" in readme
