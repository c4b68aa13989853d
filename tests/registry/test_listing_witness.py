"""Every number of the catalog that a config of transformers computes is computed: on the meta device, no weights."""

import importlib.util
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from registry.catalog import read_catalog
from registry.home import catalog_folder

SHARED = Path(__file__).parents[3] / "shared"


@pytest.fixture(scope="module")
def listings():
    return read_catalog(catalog_folder()).listings


def witness():
    spec = importlib.util.spec_from_file_location("witness", catalog_folder() / "recipes" / "witness.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.computed


@pytest.mark.slow
def test_a_fact_with_a_witness_is_what_the_config_computes(listings):
    computed, wrong = witness(), {}
    for listing in (one for one in listings if one.built is not None):
        held = {kind: fact.value for kind, stated in listing.facts.items() for fact in stated if fact.witness}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = {kind: value for kind, value in computed(listing.built).items() if kind in listing.facts}
        if values != held or not held:
            wrong[listing.hub] = (held, values)
    assert wrong == {}


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is not here")
def test_the_recipe_makes_the_same_cards_again(tmp_path):
    recipe, outcomes = catalog_folder() / "recipes" / "hub.py", SHARED / "outcomes" / "timm"
    command = [sys.executable, "-W", "ignore", str(recipe), "--facts", str(SHARED / "catalogue.csv"), "--into"]
    done = subprocess.run([*command, str(tmp_path), "--timm", str(outcomes)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    built = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert len(built) > 100
    assert [
        str(path) for path in built if (tmp_path / path).read_bytes() != (catalog_folder() / path).read_bytes()
    ] == []


def test_a_fact_without_a_config_claims_no_witness(listings):
    bare = [listing for listing in listings if listing.built is None]
    assert not any(fact.witness for listing in bare for stated in listing.facts.values() for fact in stated)
    assert 3 * len(bare) < len(listings)
