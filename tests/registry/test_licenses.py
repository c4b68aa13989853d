import pytest

from registry.errors import UnknownName
from registry.licenses import WRITTEN, permits, require_license, spdx


@pytest.mark.parametrize(
    ("stated", "name"),
    [
        ("mit", "MIT"),
        ("The MIT License", "MIT"),
        ("apache-2.0", "Apache-2.0"),
        ("Apache License, Version 2.0", "Apache-2.0"),
        ("Apache v2.0", "Apache-2.0"),
        ("BSD 3-Clause", "BSD-3-Clause"),
        ("cc-by-4.0", "CC-BY-4.0"),
        ("CC BY-NC-SA 4.0", "CC-BY-NC-SA-4.0"),
        ("gpl-3.0", "GPL-3.0-only"),
        ("GPL 3.0 or later", "GPL-3.0-or-later"),
        ("openrail", "LicenseRef-openrail"),
        ("llama2", "LicenseRef-llama2"),
        ("MIT or (Apache 2.0 and CC0)", "MIT OR (Apache-2.0 AND CC0-1.0)"),
        ("GPL-2.0 with Classpath-exception-2.0", "GPL-2.0-only WITH Classpath-exception-2.0"),
    ],
)
def test_what_people_write_has_an_spdx_name(stated, name):
    assert spdx(stated) == name
    assert spdx(name) == name


@pytest.mark.parametrize("name", WRITTEN.values())
def test_everything_in_the_table_is_a_name_of_spdx(name):
    assert spdx(name) == name


@pytest.mark.parametrize(
    "stated",
    [
        "",
        "none",
        "no license",
        "unknown",
        "other",
        "bsd",
        "gpl",
        "cc",
        "research use only",
        "(",
        ")",
        "()",
        "MIT AND",
        "OR",
        "non-commercial, limited use; redistribution not permitted",
        "not MIT",
        "MIT (non-commercial use only)",
        "permitted",
        "MIT" * 1000,
        "(" * 300 + "MIT" + ")" * 300,
        "\ud800",
        "MIT WITH love",
    ],
    ids=range(22),
)
def test_what_is_not_understood_is_unknown_and_never_permitted(stated):
    assert spdx(stated) == "unknown"
    assert not permits(stated, ["mit", "unknown", "bsd-3-clause", stated])


@pytest.mark.parametrize(
    ("license", "wanted", "allowed"),
    [
        ("MIT", ["mit"], True),
        ("MIT", ["apache-2.0"], False),
        ("MIT-0", ["mit"], False),
        ("MIT OR GPL-3.0", ["mit"], True),
        ("MIT AND CC-BY-NC-4.0", ["mit"], False),
        ("MIT AND CC-BY-NC-4.0", ["mit", "cc by-nc 4.0"], True),
        ("MIT OR GPL-3.0-only AND Apache-2.0", ["apache"], False),
        ("(MIT OR GPL-3.0-only) AND Apache-2.0", ["mit"], False),
        ("(MIT OR GPL-3.0-only) AND Apache-2.0", ["mit", "apache"], True),
        ("GPL-3.0-or-later", ["gpl-3.0"], True),
        ("GPL-3.0-only", ["gpl-3.0-or-later"], False),
        ("GPL-2.0-only WITH Classpath-exception-2.0", ["gpl-2.0"], True),
        ("GPL-2.0-only", ["GPL-2.0-only WITH Classpath-exception-2.0"], False),
        ("Apache-2.0", ["MIT OR Apache-2.0"], True),
    ],
)
def test_expressions_are_evaluated(license, wanted, allowed):
    assert permits(license, wanted) is allowed


def test_a_license_that_is_none_is_named_with_what_is_spelled_alike():
    assert require_license("apache") == "Apache-2.0"
    with pytest.raises(UnknownName, match="apche") as caught:
        require_license("apche-2.0")
    assert "'Apache-2.0'" in caught.value.remedy
    with pytest.raises(UnknownName) as caught:
        require_license("qqqqqq")
    assert "MIT" in caught.value.remedy
