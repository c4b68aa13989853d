"""Pictures of advice: what stands in them can be read off, and names in them are text."""

from dataclasses import replace

import numpy as np
import pytest

from recommender import charts
from recommender.blocks import block_rows
from recommender.domain_map import domain_map
from recommender.reports import advice_html, advice_markdown, html_report, svg
from recommender.results import Basis, PassedOver, TuningRun
from registry.zoo import Zoo
from tests.ui.cases import advice, choice

HOSTILE = "<img src=x onerror=alert(1)>|`*x*`"


def sized(one, *parameters):
    """The choice, its blocks of so many parameters."""
    scored = one.ranked.transferability
    blocks = tuple(replace(block, parameters=n) for block, n in zip(scored.blocks, parameters, strict=True))
    return replace(one, ranked=replace(one.ranked, transferability=replace(scored, blocks=blocks)))


def rows_of(picture) -> list[dict]:
    """All rows that a chart draws."""
    return [row for rows in picture.to_dict()["datasets"].values() for row in rows]


@pytest.fixture
def two():
    basis = Basis(0.7, "net", {"level": 1.0, "domain": -1.0}, {"level": 0.04, "domain": -0.01}, 900, False)
    over = (PassedOver("scratch", 0.31, 0.2, 0.4, 90.0),)
    first = replace(sized(choice("a", 0.8, gain=0.3, tuned=True), 1_000, 3_000, 4_000, 24_000), passed_over=over)
    second = replace(choice("b", 0.7, gain=0.2, tier=2), cost=replace(first.cost, seconds=4.0))
    third = replace(choice("c", 0.6, gain=0.1, tier=2), cost=replace(first.cost, seconds=9.0))
    return advice(*(replace(one, basis=basis) for one in (first, second, third)))


def test_blocks_are_as_high_as_they_have_parameters_and_say_what_becomes_of_them(two):
    drawn = {row["block"]: row for row in rows_of(two.plot.freeze()) if "top" in row}
    heights = {name: row["bottom"] - row["top"] for name, row in drawn.items()}
    assert heights["stage3"] / heights["stage2"] == pytest.approx(6.0)
    assert min(heights.values()) >= 19
    assert [row["role"] for row in drawn.values()] == ["frozen", "frozen", "learns", "learns"]
    assert drawn["stage3"]["plan"] == "learns 1e-4"
    assert drawn["stage3"]["read"]


def test_each_block_below_the_top_one_learns_slower():
    form = choice("a", 0.5, gain=0.2, tuned=True).to_dict()
    stages = [{**stage, "layer_decay": 0.5} for stage in form["plan"]["stages"]]
    rows = block_rows({**form, "plan": {**form["plan"], "stages": stages}})
    assert [row.rate for row in rows] == [None, None, 0.5e-4, 1e-4]


def test_advice_of_an_earlier_version_has_blocks_of_one_height():
    drawn = [row for row in rows_of(advice(choice("a", 0.8, gain=0.3)).plot.freeze()) if "top" in row]
    assert len({row["bottom"] - row["top"] for row in drawn}) == 1


def test_the_front_holds_what_no_other_choice_betters_in_both(two):
    drawn = {row["choice"]: row["front"] for row in rows_of(two.plot.pareto()) if "front" in row}
    assert drawn == {"a · lp-ft": True, "b · linear-probe": True, "c · linear-probe": False}


def test_choices_in_one_place_share_a_name_and_no_name_lies_on_another_or_on_no_transfer(two):
    form = two.to_dict()
    first, second, _ = form["choices"]
    alike = {**second, "cost": first["cost"], "expected": first["expected"]}
    near = {**second, "checkpoint": "near", "expected": {**first["expected"], "mean": form["baseline"]["mean"]}}
    rows = rows_of(charts.pareto_front({**form, "choices": [first, alike, near]}))
    beside = {row["name"]: row["beside"] for row in rows if "beside" in row}
    assert sorted(name.startswith("2 choices, first ") for name in beside) == [False, True]
    heights = [*beside.values(), form["baseline"]["mean"]]
    ends = [row[end] for row in rows if "beside" in row for end in ("low", "high")]
    line = 0.8 * 14 / 224 * (max(ends) - min(ends))
    assert all(abs(one - other) > line for place, one in enumerate(heights) for other in heights[:place])


def test_the_forest_has_a_line_for_no_transfer_and_one_for_scratch(two):
    assert {row["label"]: row["mean"] for row in rows_of(two.plot.forest()) if "label" in row} == {
        "no transfer": 0.22,
        "from scratch": 0.31,
    }


def test_contributions_stand_in_points_by_their_reason(two):
    drawn = {
        row["because"]: row["points"]
        for row in rows_of(charts.contribution_bars(two.to_dict()["choices"][:1]))
        if "because" in row
    }
    assert drawn == {"how well the sample is read at all": pytest.approx(4.0), "its domain is far": pytest.approx(-1.0)}


def test_the_map_puts_a_sample_at_the_domain_that_it_equals(new_home):
    with Zoo.open(new_home) as zoo:
        sketches = {card.name: zoo.sketch(card.name) for card in zoo.domains("image")}
        known = {name: sketch for name, sketch in sketches.items() if sketch is not None}
        mine = known["mnist"]
        squares = {name: mine.squared_distance(sketch) for name, sketch in known.items()}
        drawn = domain_map(zoo, "image", squares, sample="mine")
        alone = domain_map(zoo, "image", {"mnist": 0.0})
        picture = advice(choice("a", 0.8, gain=0.3)).plot.domains(zoo)
    places = {point.name: (point.x, point.y) for point in drawn.points}
    assert (drawn.sample.x, drawn.sample.y) == pytest.approx(places["mnist"], abs=1e-6)
    assert drawn.nearest[0] == "mnist"
    assert alone.sample is None
    assert {row["domain"] for row in rows_of(picture) if "title" in row} == set(places)
    assert 0 < drawn.kept < 1
    spread = np.ptp([place[0] for place in places.values()])
    assert spread > np.ptp([place[1] for place in places.values()]) > 0


def test_reports_stand_alone_and_names_in_them_are_text():
    hostile = advice(choice(HOSTILE, 0.8, gain=0.3))
    page = html_report(hostile.to_dict(), {"Python": "print('<b>')"})
    assert "<img" not in page
    assert "<script" not in page
    assert "src=" not in page.replace("src=x onerror", "")
    assert page.count("<svg") == 4
    assert "<img" not in hostile._repr_mimebundle_()["text/html"]
    assert advice_html(hostile.to_dict()).count("<svg") == 2
    line = next(line for line in advice_markdown(hostile.to_dict(), {}).splitlines() if "onerror" in line)
    assert line.count("|") == 6


def test_a_run_shows_what_it_realized_beside_what_was_expected():
    metrics = {"score": 0.7, "standard_error": 0.02, "rows_test": 50.0, "seconds": 3.0}
    expected = {"expected_low": 0.6, "expected_mean": 0.8, "expected_high": 0.9}
    run = TuningRun("r", None, HOSTILE, "lp-ft", metrics | expected, "/none", ("it went well",))
    drawn = {row["score"]: row["mean"] for row in rows_of(charts.realized_chart(run.metrics))}
    assert drawn == {"expected": 0.8, "realized": 0.7}
    page = run._repr_mimebundle_()["text/html"]
    assert "<img" not in page
    assert "it went well" in page


def test_a_picture_is_drawn_without_a_browser(two):
    assert svg(two.plot.freeze()).startswith("<svg")


PAGES = {"light": ("#ffffff",), "dark": ("#12161c", "#0e1117")}
"""Backgrounds of the picker, and of Streamlit by itself."""

LETTERED = {
    "text": ["color"],
    "title": ["color"],
    **{part: ["labelColor", "titleColor"] for part in ("axis", "legend")},
}
"""Where a chart's settings have colors of letters."""


def luminance(color: str) -> float:
    """Relative luminance (WCAG 2.2) of #rrggbb."""
    parts = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def contrast(one: str, other: str) -> float:
    """Contrast ratio (WCAG 2.2) of two colors, of 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def colors_of_letters(form) -> set[str]:
    """Colors in which a chart's letters stand on the page: by its settings, and by marks of texts."""
    if isinstance(form, list):
        return set().union(*map(colors_of_letters, form)) if form else set()
    if not isinstance(form, dict):
        return set()
    letters = {form["color"]} if form.get("type") == "text" and "color" in form else set()
    for part, names in LETTERED.items():
        if part in form.get("config", {}):
            letters |= {form["config"][part][name] for name in names}
    return letters | colors_of_letters([part for name, part in form.items() if name not in {"config", "datasets"}])


def test_contrast_is_that_of_the_guidelines():
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("theme", PAGES)
def test_letters_of_charts_have_enough_contrast_on_a_page_of_either_theme(two, theme):
    rows = [{"run": "r", "sample": "s", "checkpoint": "c", "low": 0.6, "mean": 0.7, "high": 0.8, "realized": 0.7}]
    drawn = [
        two.plot.forest(),
        two.plot.pareto(),
        charts.contribution_bars(two.to_dict()["choices"]),
        charts.expected_and_realized(rows),
    ]
    for chart in drawn:
        letters = colors_of_letters(charts.on_page(chart, theme).to_dict())
        assert letters == {charts.LETTERS[theme]}
        assert min(contrast(color, page) for color in letters for page in PAGES[theme]) >= 4.5


def test_letters_in_blocks_have_enough_contrast_with_them(two):
    blocks = charts.on_page(two.plot.freeze(), "dark").to_dict()
    assert colors_of_letters(blocks) == {"white", charts.LETTERS["dark"]}
    assert min(contrast("#ffffff", color) for color in charts._ROLES.values()) >= 4.5
