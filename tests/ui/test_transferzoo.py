"""The distribution's own name gives what `registry` and `recommender` give, and loads nothing until it is asked."""

import subprocess
import sys

import pytest

import recommender
import registry
from ui import transferzoo

HEAVY = ("torch", "sklearn", "numpy", "sqlalchemy", "faiss")


def test_it_offers_what_both_packages_offer() -> None:
    assert transferzoo.__all__ == sorted({*registry.__all__, *recommender.__all__})
    for package in (registry, recommender):
        for name in package.__all__:
            assert getattr(transferzoo, name) is getattr(package, name)
    assert {*transferzoo.__all__} <= {*dir(transferzoo)}


def test_importing_it_loads_no_heavy_library() -> None:
    message = f"import sys, ui.transferzoo; print({{*sys.modules}} & {{*{HEAVY!r}}} or 'none')"
    assert (
        subprocess.run([sys.executable, "-c", message], capture_output=True, text=True, check=True).stdout == "none\n"
    )


def test_a_name_that_it_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="recommand"):
        _ = transferzoo.recommand
