"""Tables that are read: cells of others are text, numbers align, a long one is reached by the keyboard."""

from xml.etree import ElementTree

from streamlit.testing.v1 import AppTest

from tests.ui.tables import tables

HOSTILE = "<img src=x onerror=alert(1)>\" onclick='x' &"


def drawn(rows: list[dict[str, object]]) -> AppTest:
    test = AppTest.from_string(
        f"from ui.views.tables import table\ntable({rows!r}, 'A table', {{'score': {HOSTILE!r}}})"
    )
    return test.run(timeout=60)


def test_cells_and_headings_of_others_are_text():
    page = drawn([{HOSTILE: HOSTILE, "score": "80.1 %"}, {HOSTILE: None, "score": 3}])
    assert tables(page) == [{HOSTILE: [HOSTILE, ""], "score": ["80.1 %", "3"]}]
    body = page.get("html")[0].proto.body
    assert "<img" not in body
    tree = ElementTree.fromstring(body)  # noqa: S314 - of our own making
    assert {name for one in tree.iter() for name in one.attrib} <= {
        "class",
        "role",
        "scope",
        "title",
        "data-label",
        "aria-label",
    }


def test_columns_of_numbers_align_on_the_right_and_texts_on_the_left():
    page = drawn(
        [{"name": "3 cats", "score": "+3.1 (-1.0 to 2.0)", "what": "a"}, {"name": "dogs", "score": "-", "what": ""}]
    )
    tree = ElementTree.fromstring(page.get("html")[0].proto.body)  # noqa: S314 - as above
    assert [one.get("class") for one in tree.iterfind(".//th")] == [None, "n", None]


def test_a_long_table_scrolls_within_itself_and_is_reached_by_the_keyboard():
    few, many = (drawn([{"name": "a"}] * rows).get("html")[0].proto.body for rows in (3, 40))
    assert 'tabindex="0"' in many
    assert "tz-long" in many
    assert "tabindex" not in few


def test_a_long_word_may_end_a_line_within_and_a_short_one_may_not():
    long, short = "resnet-50." + "x" * 40, "linear-probe"
    page = drawn([{"checkpoint": long, "strategy": short, long: "&" * 20}])
    assert tables(page) == [{"checkpoint": [long], "strategy": [short], long: ["&" * 20]}]
    body = page.get("html")[0].proto.body
    assert "resnet-<wbr/>50.<wbr/>" in body
    assert f">{short}<" in body
    assert "&amp;" * 20 in body


def test_tables_of_more_columns_become_lists_on_wider_screens():
    kinds = [
        drawn([dict.fromkeys(map(str, range(columns)), "a")]).get("html")[0].proto.body for columns in (2, 3, 4, 9)
    ]
    assert [kind.split('"')[1] for kind in kinds] == ["tz", "tz tz-some", "tz tz-wide", "tz tz-many"]
