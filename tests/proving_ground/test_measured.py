"""The table that fusion starts from: what it holds of which rows, and what it can leave out."""

import csv
import json

import numpy as np
import pytest

from registry.catalog import whole_rows
from registry.home import catalog_folder
from tests.benchmarks.proving_ground.cells import Cell, Result
from tests.benchmarks.proving_ground.measured import MOST_BYTES, fitting, longest, rows_of
from tests.benchmarks.proving_ground.targets import FAMILIES

TARGET = "rsscn7"
FACTS = {(TARGET, 600, 0): (7, 0.4), (TARGET, 600, 1): (7, 0.5), (TARGET, 800, 0): (7, 0.45)}
BODIES = {"group": "Body-1.00M@64"}


def of(number, strategy, score, *, seed=0, rows=600, epochs=0, best=3):
    lead = (number, 1, "net", "d" * 64, "group", 1000, "", TARGET, FAMILIES[TARGET])
    cell = Cell(*lead, strategy, rows, epochs, seed)
    conditions = json.dumps({"probe": score - 0.01, "best_epoch": best})
    known = ("sample", rows, 1000, score, score, score, "", 1.0, conditions, "", "", "")
    return cell, Result(number, "net", TARGET, strategy, *known)


def table(lines, recipes=()):
    design = [cell for cell, _ in lines]
    results = {result.cell: result for _, result in lines}
    return [*rows_of(design, results, {}, recipes, FACTS, BODIES, np.array([1.0]))]


TWO_DRAWS = [
    of(1, "block-probe", 0.6),
    of(2, "lp-ft", 0.7, epochs=5),
    of(3, "block-probe", 0.65, seed=1),
    of(4, "lp-ft", 0.8, epochs=20, seed=1),
    of(5, "block-probe", 0.62, rows=800),
]


def test_a_training_stands_beside_the_head_and_the_raw_features_of_its_own_draw():
    early, late = (row for row in table(TWO_DRAWS) if row["strategy"] == "lp-ft")
    assert [(row["draw"], row["head"], row["no_transfer"]) for row in (early, late)] == [
        ("", ".6", ".4"),
        (1, ".65", ".5"),
    ]
    assert (early["score"], late["score"]) == (".7", ".8")


def test_what_a_cell_has_is_not_taken_from_the_recipes_too():
    tried = {"target": TARGET, "checkpoint": "net", "rows": "600", "probe": ".6", "accuracy": ".9"}
    recipes = [{**tried, "recipe": "5 epochs"}, {**tried, "recipe": "20 epochs"}]
    assert len(table(TWO_DRAWS, recipes)) == len(table(TWO_DRAWS))
    assert [row["epochs"] for row in table(TWO_DRAWS[:3] + TWO_DRAWS[4:], recipes)][-1] == 20


def test_a_training_that_no_epoch_made_better_than_its_head_is_marked():
    kept, learned = (of(at, "lp-ft", 0.7, epochs=5 * at, best=best) for at, best in ((1, 0), (2, 3)))
    head = of(3, "block-probe", 0.7, rows=800)
    assert [row["kept"] for row in table([kept, learned, head])] == [1, "", ""]


def test_where_room_is_short_a_training_gives_way_to_a_longer_one_of_the_pair():
    rows = table(TWO_DRAWS)
    assert [row["epochs"] for row in longest(rows) if row["strategy"] == "lp-ft"] == [20]
    assert [row for row in rows if row["epochs"] != 5] == longest(rows)


def test_as_few_rows_give_way_as_must_and_those_from_scratch_first():
    bare = [of(6, "scratch", 0.3, epochs=5), of(7, "scratch", 0.4, epochs=20, seed=1)]
    rows = table([*TWO_DRAWS, *bare])
    left = [fitting(rows, lambda kept, most=most: len(kept) <= most) for most in (len(rows), len(rows) - 1, 0)]
    gone = [{(row["strategy"], row["epochs"]) for row in rows if row not in kept} for kept in left]
    assert gone == [set(), {("scratch", 5)}, {("scratch", 5), ("lp-ft", 5)}]


def test_short_trainings_beside_long_ones_give_way_before_those_whose_strategy_was_long_elsewhere():
    alone = of(6, "lp-ft", 0.5, rows=800, epochs=5)
    rows = table([*TWO_DRAWS, alone])
    left = [fitting(rows, lambda kept, less=less: len(kept) <= len(rows) - less) for less in (1, 2, 3)]
    gone = [{row["rows_train"] for row in rows if row not in kept} for kept in left]
    assert gone == [{600}, {600, 800}, {600, 800}]


@pytest.mark.parametrize("name", ["measured.csv", "measured_text.csv"])
def test_the_table_is_small_and_states_of_every_training_what_was_known_before(name):
    path = catalog_folder() / "outcomes" / name
    assert path.stat().st_size <= MOST_BYTES
    with path.open(newline="") as file:
        rows = list(whole_rows(csv.DictReader(file)))
    assert all(row["score"] for row in rows)
    draws = {(row["sample_name"], row.get("draw"), row["rows_train"]) for row in rows}
    assert draws == {
        (row["sample_name"], row.get("draw"), row["rows_train"])
        for row in rows
        if row["no_transfer"] and row["classes"]
    }
    assert all(row["probe"] for row in rows if row["strategy"] != "scratch")
