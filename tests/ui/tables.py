"""The tables of a page that Streamlit drew without a browser, column by column."""

from xml.etree import ElementTree

from streamlit.testing.v1 import AppTest

__all__ = ["tables"]


def tables(page: AppTest) -> list[dict[str, list[str]]]:
    """Their cells, with plain spaces between figures and units."""
    trees = [ElementTree.fromstring(one.proto.body) for one in page.get("html")]  # noqa: S314 - of our own making
    return [
        {
            _plain(head): [_plain(line[place]) for line in tree.iterfind(".//tbody/tr")]
            for place, head in enumerate(tree.iterfind(".//th"))
        }
        for tree in trees
    ]


def _plain(cell: ElementTree.Element) -> str:
    return "".join(cell.itertext()).replace("\xa0", " ")
