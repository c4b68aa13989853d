"""Every relative link, picture and anchor in the repository's Markdown leads somewhere."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[1]
ROOMS = ("catalog", "recommender", "registry", "tests", "ui")
MARKDOWN = MarkdownIt("commonmark").enable("table")


def pages() -> list[Path]:
    return sorted([*ROOT.glob("*.md"), *(page for room in ROOMS for page in (ROOT / room).rglob("*.md"))])


def tokens(text: str) -> Iterator[Token]:
    """Blocks, and what stands in them."""
    for block in MARKDOWN.parse(text):
        yield block
        yield from block.children or ()


def targets(text: str) -> list[str]:
    """Where links lead and pictures lie, those of other hosts aside."""
    every = (str(token.attrs.get("href") or token.attrs.get("src") or "") for token in tokens(text))
    return [target for target in every if target and "://" not in target]


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub derives them."""
    blocks = MARKDOWN.parse(text)
    titles = [inline.content for heading, inline in pairwise(blocks) if is_opening(heading)]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def is_opening(token: Token) -> bool:
    return token.type == "heading_open"


def broken(page: Path) -> list[str]:
    return [target for target in targets(page.read_text(encoding="utf-8")) if not leads(page, target)]


def leads(page: Path, target: str) -> bool:
    name, _, anchor = target.partition("#")
    there = (page.parent / name).resolve() if name else page
    if not there.exists():
        return False
    return not anchor or anchor in anchors(there.read_text(encoding="utf-8"))


def test_every_link_leads_somewhere() -> None:
    assert ROOT / "registry" / "README.md" in pages()
    links = {page.relative_to(ROOT).as_posix(): targets(page.read_text(encoding="utf-8")) for page in pages()}
    assert sum(map(len, links.values())) > 15
    assert {page.relative_to(ROOT).as_posix(): broken(page) for page in pages() if broken(page)} == {}


def test_no_page_says_two_things_under_one_anchor() -> None:
    for page in pages():
        headings = [block for block in MARKDOWN.parse(page.read_text(encoding="utf-8")) if is_opening(block)]
        if page.name != "CHANGELOG.md":
            assert len(headings) == len(anchors(page.read_text(encoding="utf-8"))), page


def test_a_link_to_nothing_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One, two …\n[a](#one-two-) [b](page.md#one-two-) [c](#three) [d](gone.md) ![e](gone.png) [f](https://x.org/)\n"
    )
    assert broken(page) == ["#three", "gone.md", "gone.png"]
