"""What is printed: numbers in words, the report at 80 columns, names as text."""

import shlex
import subprocess
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from recommender.blocks import block_rows
from recommender.results import Skipped, Suspect, Suspects
from registry.progress import Phase, advance
from tests.observers import Recorder
from tests.ui.cases import HEALTH, SAMPLE, advice, choice
from ui import render
from ui.terminal import folded_command, print_next


def printed(report: RenderableType, width: int = 80) -> str:
    out = StringIO()
    Console(file=out, width=width, highlight=False).print(report)
    return out.getvalue()


def two() -> dict[str, object]:
    first = choice("imagenet_mobilenet_v1_0.25_128", 0.842, gain=0.62, tuned=True)
    second = choice("cifar10_resnet20", 0.701, gain=0.48, tier=2, distance=None)
    return advice(first, second, skipped=(Skipped("fashion", "it is farther"),)).to_dict()


def test_scores_are_percent_and_differences_have_a_sign() -> None:
    assert render.percent(0.8424) == "84.2 %"
    assert render.interval(0.804, 0.881) == "80.4 to 88.1 %"
    assert (render.percentage_points(0.16), render.percentage_points(-0.021)) == ("+16.0", "-2.1")


def test_counts_memory_and_time_come_in_their_shortest_form() -> None:
    assert [render.amount(n) for n in (12, 1_300, 1_300_000, 2.5e9)] == ["12", "1.3 k", "1.3 M", "2.5 G"]
    assert [render.size(n) for n in (310 * 2**20, 3 * 2**29)] == ["310 MiB", "1.5 GiB"]
    assert [render.duration(s) for s in (0.2, 12, 180, 7200)] == ["under 1 s", "12 s", "3 min", "2.0 h"]


def test_what_is_done_of_a_phase_is_counted_in_its_unit() -> None:
    assert render.progressed(Phase.ENCODE, 1_200, 4_000) == "1,200 of 4,000 items"
    assert render.progressed(Phase.FETCH, 3 * 2**20, 2**30) == "3 MiB of 1.0 GiB"
    assert render.progressed(Phase.FIND, 12, 0) == "12 files"
    assert render.progressed(Phase.HEAD, 0, 1) == render.progressed("", 0, 0) == ""
    at_once = {phase for phase in Phase if not render.progressed(phase, 1, 2)}
    assert at_once == {Phase.COMPARE, Phase.CATALOG, Phase.TRY, Phase.HEAD}


def test_the_report_fits_80_columns() -> None:
    report = printed(render.advice_report(two()))
    assert max(map(len, report.splitlines())) <= 80
    for word in ("84.2 %", "80.2 to 88.2 %", "+62.0", "93 %", "no sketch", "12 s", "no transfer", "22.0 %"):
        assert word in report


def test_labels_in_doubt_are_counted_in_a_line_and_named_where_all_is_told() -> None:
    rows = tuple(Suspect(f"{place}.png", "cat", "dog", 0.1, 0.8) for place in range(3))
    doubted = replace(advice(choice("a", 0.8, gain=0.3)), suspects=Suspects(rows, 560, ("a", "b"))).to_dict()
    short, long = (" ".join(printed(render.advice_report(doubted, explain=all_)).split()) for all_ in (False, True))
    assert "Labels 3 of 560 looked at are in doubt: 0.png is cat, rather dog; ..." in short
    assert "--suspects FILE.csv" in short
    assert "2.png is cat, rather dog" in long
    assert "2.png" not in short


@pytest.mark.parametrize(
    ("agreement", "words"),
    [
        (0.63, "the heads give 63.0 % of all labels, so many of these are mistakes of the heads"),
        (0.9, "the heads give 90.0 % of all labels, so some of these are mistakes of the heads"),
        (0.97, ""),
        (None, ""),
    ],
)
def test_doubts_of_heads_that_are_often_wrong_are_not_taken_for_wrong_labels(agreement, words) -> None:
    suspects = Suspects((Suspect("0.png", "cat", "dog", 0.1, 0.8),), 560, ("a", "b"), (), agreement)
    doubted = replace(advice(choice("a", 0.8, gain=0.3)), suspects=suspects).to_dict()
    line = " ".join(printed(render.advice_report(doubted)).split())
    assert f"(--suspects FILE.csv lists them{'; ' if words else ''}{words})" in line


def test_advice_that_was_cut_short_says_before_what() -> None:
    undone = (Skipped("b", "it was not probed on 80 rows"), Skipped("c", "it was not probed on 80 rows"))
    report = printed(render.advice_report(replace(advice(choice("a", 0.8, gain=0.3)), undone=undone).to_dict()))
    assert "Undone  cut short: b: it was not probed on 80 rows, and 1 more" in report


def test_where_no_label_is_in_doubt_there_is_no_line() -> None:
    assert "in doubt" not in printed(render.advice_report(two()))


def test_the_report_explained_tells_all_reasons_and_what_was_skipped() -> None:
    report = printed(render.advice_report(two(), explain=True))
    assert report.count("Because") == 2
    assert report.count("few rows a class") == 2
    assert "fashion: it is farther" in report
    assert "Distance to the nearest source domains" in report


def test_the_report_is_a_screen_whatever_there_is_to_say() -> None:
    many = [choice(f"resnet-fashion_mnist-{place}", 0.8, gain=0.3, tuned=True) for place in range(9)]
    form = advice(*many, skipped=tuple(Skipped(f"net {place}", "it is farther " * 9) for place in range(40))).to_dict()
    for row in form["choices"]:
        row["because"] = [f"{reason}: {'a reason of several lines ' * 3}" for reason in (*row["because"], "and", "so")]
    report = printed(render.advice_report(form))
    assert len(report.splitlines()) <= 33  # the rest is for the sample and what to type next
    assert report.count("Because") == 1
    assert "4 more choices" in report
    assert "why 40 were skipped" in " ".join(report.split())


def test_the_words_of_the_table_are_explained_below_it_and_no_others() -> None:
    report = " ".join(printed(render.advice_report(two())).split())
    assert "tier: within one, no difference lies beyond chance" in report
    assert "lp-ft: the linear probe first" in report
    assert "gradual unfreezing" not in report


def test_every_strategy_that_ships_is_explained() -> None:
    from recommender.strategies import strategies
    from ui import glossary

    assert set(glossary.PLANS) == set(strategies)


def test_the_verdict_comes_first() -> None:
    assert printed(render.advice_report(two())).startswith("✔ Start from the first.")
    refused = advice(choice("a", 0.2, gain=-0.01), transfer=False).to_dict()
    assert printed(render.advice_report(refused)).startswith("✘ Do not transfer")


def test_the_curve_over_blocks_says_what_learns() -> None:
    curve = printed(render.advice_report(two(), explain=True)).split("Blocks")[1].split("Distance")[0]
    lines = [line for line in curve.splitlines() if "stage" in line or "stem" in line]
    assert [line.split("%")[1].strip() for line in lines] == [
        "frozen",
        "frozen",
        "learns",
        "learns, head reads here",
    ]
    assert [line.count("█") for line in lines] == [6, 10, 14, 18]


def test_a_block_beyond_the_one_that_is_read_is_not_used() -> None:
    form = choice("a", 0.5, gain=0.2).to_dict()
    form["plan"] = {**form["plan"], "read": "stage1"}  # type: ignore[dict-item]
    assert [row.role for row in block_rows(form)] == ["frozen", "frozen", "not used", "not used"]


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("facebook/dinov2-with-registers-base", ["facebook/dinov2-", "with-registers-base"]),
        ("apple/mobilevitv2-1.0-imagenet1k-256", ["apple/mobilevitv2-", "1.0-imagenet1k-256"]),
        ("imagenet_mobilenet_v1_0.25_128", ["imagenet_mobilenet_", "v1_0.25_128"]),
        ("google/vit-base-patch16-224-in21k", ["google/vit-base-", "patch16-224-in21k"]),
    ],
)
def test_ids_in_a_ranking_are_parted_at_their_joints_at_80_columns_and_whole_where_there_is_room(
    name: str, lines: list[str]
) -> None:
    report = render.advice_report(advice(choice(name, 0.8, gain=0.2)).to_dict())
    table = printed(report).split("no transfer\n")[0].splitlines()
    assert [line[6:26].strip() for line in table if line[6:26].strip() in lines] == lines
    assert name in printed(report, 120).split("Because")[0]


def test_advice_without_choices_tells_distances() -> None:
    record = {**two(), "choices": []}
    assert "imagenet_mobilenet_v1_0.25_128-source" in printed(render.advice_report(record))


def test_markup_in_a_name_is_shown_as_text() -> None:
    form = advice(choice("[red]net[/red]", 0.5, gain=0.2)).to_dict()
    assert "[red]net[/red]" in printed(render.advice_report(form))


def test_the_sample_is_told_with_its_health() -> None:
    health = {**HEALTH, "converted": {"gray": 3}, "warnings": ["2 images cannot be read"]}
    report = printed(render.sample_report({**SAMPLE, "health": health}))
    assert "560 rows, 14 classes of 38 to 40, 42 groups, 540 test rows" in report
    assert "2 images cannot be read" in report
    assert "converted to RGB: 3 gray" in report


def test_nothing_of_texts_is_converted_to_colors() -> None:
    health = {**HEALTH, "converted": {"cut at 100,000 characters": 3}}
    report = printed(render.sample_report({**SAMPLE, "modality": "text", "health": health}))
    assert "read with: 3 cut at 100,000 characters" in report
    assert "RGB" not in report


def test_a_healthy_sample_is_called_so() -> None:
    assert "nothing amiss" in printed(render.sample_report(SAMPLE))


def test_a_run_is_held_against_what_was_expected() -> None:
    metrics = {"score": 0.7, "standard_error": 0.02, "rows_test": 560.0, "seconds": 16.0}
    run = {"id": "r", "checkpoint": "a", "strategy": "lp-ft", "metrics": metrics, "notes": ["training never helped"]}
    assert "interval" not in printed(render.run_report(run))
    metrics |= {"expected_mean": 0.8, "expected_low": 0.75, "expected_high": 0.85}
    below = printed(render.run_report(run))
    assert "promised too much" in below
    assert "training never helped" in below
    metrics |= {"expected_mean": 0.7, "expected_low": 0.65, "expected_high": 0.75}
    inside = printed(render.run_report(run))
    assert "within the interval" in inside


def test_a_run_tells_what_was_forgotten_and_what_no_transfer_gives() -> None:
    metrics = {"score": 0.7, "standard_error": 0.02, "rows_test": 560.0, "seconds": 16.0}
    run = {"id": "r", "checkpoint": "a", "strategy": "lp-ft", "metrics": metrics, "notes": []}
    assert "forgetting" not in printed(render.run_report(run))
    metrics |= {"weight_change": 0.08, "cka_lowest": 0.9}
    unmeasured = " ".join(printed(render.run_report(run)).split())
    assert "weights moved by 8.0 %" in unmeasured
    assert "0.90 alike to its start (CKA)" in unmeasured
    assert "source not measured (--source-data)" in unmeasured
    assert "controls" not in unmeasured
    metrics |= {
        "source_before": 0.42,
        "source_after": 0.38,
        "source_standard_error": 0.012,
        "no_transfer_score": 0.47,
        "scratch_score": 0.61,
    }
    measured = " ".join(printed(render.run_report(run)).split())
    assert "source 42.0 % before, 38.0 % after ± 1.2" in measured
    assert "no transfer 47.0 % (this run +23.0), from scratch 61.0 % (this run +9.0)" in measured


def test_a_backbone_that_did_not_learn_is_said_to_be_as_it_was() -> None:
    metrics = {"score": 0.7, "rows_test": 560.0, "seconds": 16.0, "weight_change": 0.0, "cka_lowest": 1.0}
    run = {"id": "r", "checkpoint": "a", "strategy": "linear-probe", "metrics": metrics, "notes": []}
    assert "the backbone is as it was" in printed(render.run_report(run))


def test_commands_are_quoted_for_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    line = render.command("tune", "/my data", groups=None, max_parameters=5, home="/h")
    assert line == "transferzoo tune '/my data' --max-parameters 5 --home /h"


def test_a_long_command_is_never_cut_or_broken() -> None:
    out, line = StringIO(), f"transferzoo tune {'x' * 200}"
    print_next(Console(file=out, width=80), [line])
    assert out.getvalue().splitlines() == ["Next", f"  $ {line}"]


def test_a_program_that_the_shell_does_not_find_is_given_with_its_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "a-program").touch()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    assert render.program("a-program") == str(tmp_path / "bin" / "a-program")
    monkeypatch.chdir(tmp_path)
    assert render.program("a-program") == "bin/a-program"
    assert render.program("another") == "another"


def test_the_whole_command_is_timed_beside_the_tuning() -> None:
    metrics = {"score": 0.7, "rows_test": 560.0, "seconds": 25.0}
    run = {"id": "r", "checkpoint": "a", "strategy": "lp-ft", "metrics": metrics, "notes": []}
    report = printed(render.run_report(run, whole=164.0))
    assert "25 s" in report
    assert "3 min for the whole command" in report


def test_bars_leave_the_screen_for_what_is_said_meanwhile() -> None:
    screen = StringIO()
    bars = render.Bars(Console(file=screen))
    with bars.paused():
        pass
    with bars as progress:
        advance(progress, Phase.READ, 0, 2)
        with bars.paused():
            print("what was read", file=screen)
        advance(progress, Phase.COMPARE, 0, 1)
    assert [line.strip() for line in screen.getvalue().splitlines()] == ["· reading", "what was read", "· comparing"]


def test_a_stage_that_is_done_gives_way_to_a_bar_without_end() -> None:
    bars = render.Bars(Console(file=StringIO(), force_terminal=True))
    with bars as progress:
        advance(progress, Phase.ENCODE, 2, 2)
        assert [(task.visible, task.total) for task in bars.tasks] == [(False, 2), (True, None)]
        advance(progress, Phase.HEAD, 0, 2)
        assert [task.visible for task in bars.tasks] == [False, False, True]


def test_bars_tell_the_second_listener_and_keep_stray_prints_off_stdout() -> None:
    recorder, errors = Recorder(), StringIO()
    bars = render.Bars(Console(file=errors), also=recorder)
    with bars as progress:
        advance(progress, Phase.ENCODE, 0, 2)
        print("chatter of a library")
        advance(progress, Phase.ENCODE, 2, 2)
    with bars as progress:
        advance(progress, Phase.ENCODE, 1, 2)
    assert recorder.counts == [(0, 2), (2, 2), (1, 2)]
    recorder.stopped = True
    assert bars.cancelled()
    assert errors.getvalue().count("· encode") == 2
    assert "chatter" in errors.getvalue()


def test_several_labels_and_a_quantity_are_told_in_their_own_words() -> None:
    marks = {**SAMPLE, "task": "multi-label", "metric": "macro-f1"}
    assert "14 labels on 38 to 40 rows each" in printed(render.sample_report(marks), 120)
    values = {"lowest": -0.5, "median": 12.25, "highest": 1e6}
    sizes = {**SAMPLE, "task": "regression", "metric": "r2", "classes": 0, "counts": {}, "values": values}
    assert "a quantity of -0.5 to 1e+06 (median 12.25)" in printed(render.sample_report(sizes), 120)


def test_r_squared_is_a_number_and_no_percentage() -> None:
    assert (render.scored(-0.25, "r2"), render.scored_interval(-0.5, 0.125, "r2")) == ("-0.250", "-0.50 to 0.12")
    assert render.scored(0.25, "macro-f1") == "25.0 %"
    assert render.scored_interval(0.2, 0.3, "accuracy") == "20.0 to 30.0 %"
    report = two()
    for row in report["choices"]:
        row["expected"]["metric"] = "r2"
    table = printed(render.advice_report({**report, "sample": {**SAMPLE, "metric": "r2"}}))
    assert "0.842" in table
    assert "0.80 to 0.88" in table
    assert "+0.620" in table
    metrics = {"score": -0.1, "standard_error": 0.02, "rows_test": 560.0, "seconds": 16.0, "mean_absolute_error": 12.5}
    run = {"id": "r", "checkpoint": "a", "strategy": "lp-ft", "metrics": metrics, "notes": []}
    metrics |= {"expected_mean": 0.8, "expected_low": 0.75, "expected_high": 0.85}
    report = printed(render.run_report(run))
    assert "r2 -0.100 ± 0.020 on 560 held-out rows" in report
    assert "12.5 on average" in report


@pytest.mark.parametrize(
    ("metric", "line"), [("entity-f1", "realized entity-f1 90.0 %"), ("accuracy", "realized 90.0 %")]
)
def test_a_run_of_labelled_words_says_by_which_metric_it_is_judged(metric, line):
    metrics = {"score": 0.9, "standard_error": 0.02, "rows_test": 20.0, "seconds": 4.0, "accuracy": 0.99}
    run = {"id": "r", "checkpoint": "a", "strategy": "lp-ft", "metrics": metrics, "notes": []}
    assert line in " ".join(printed(render.run_report({**run, "sample": {"metric": metric}})).split())


def test_a_card_is_said_in_words_and_not_as_python_has_it():
    file = {"name": "model.safetensors", "bytes": 14_199_388, "digest": "sha256:0"}
    locator = {"hub": "org/net", "revision": "main", "commit": "64b6", "files": [file], "state": "ok", "upstream": ""}
    card = {
        "name": "net",
        "parameters": 3506153,
        "measured": {"held_out_accuracy": 0.90291234, "margin_targets": {"clothing": [0.40321, 0.31]}},
        "claimed": {"gated": False, "datasets": ["imagenet-1k"]},
        "locator": locator,
        "claims": [{"metric": "accuracy", "value": 0.718, "data": "ImageNet-1k"}],
    }
    report = printed(render.card_report({"checkpoint": card, "domain": None, "outcomes": []}))
    for words in ("3,506,153", "held out accuracy: 0.9029", "clothing 0.4032, 0.31", "gated: no", "org/net @ 64b6"):
        assert words in report
    assert "1 files, 14,199,388 bytes; ok" in report
    assert "accuracy 0.718 on ImageNet-1k" in report
    assert not set("{}[]'") & set(report)


@pytest.mark.parametrize("width", [30, 60, 76])
def test_a_long_command_is_folded_so_that_it_can_be_copied(width: int) -> None:
    line = "mlflow ui --workers 1 --backend-store-uri 'sqlite:////home/some body/registry/mlflow.db' --port 5000"
    rows = folded_command(line, width)
    typed = "printf '%s\\n' " + "\n".join(rows)
    words = subprocess.run(["sh", "-c", typed], capture_output=True, text=True, check=True).stdout
    assert words.splitlines() == shlex.split(line)
    assert all(row.endswith(" \\") for row in rows[:-1])
    assert all(len(row) <= width or " " not in row.removesuffix(" \\") or "'" in row for row in rows)
    assert folded_command("mlflow ui", width) == ["mlflow ui"]


def test_advice_shows_itself_on_one_line_whatever_arrays_are_in_it() -> None:
    first = choice("a", 0.8, gain=0.3)
    kept = advice(first)
    assert repr(kept.baseline) == f"<Baseline {kept.baseline.model}: accuracy {kept.baseline.expected.words}>"
    assert repr(first).startswith("<Choice a, ")
    assert repr(kept).startswith(f"<Recommendation {kept.id}: 1 choices; ")
    for one in (kept, kept.baseline, first, first.ranked, first.ranked.transferability):
        assert "array(" not in repr(one)
