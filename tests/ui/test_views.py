"""The picker's pages, drawn by Streamlit without a browser on a registry that something is kept in."""

import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from recommender.results import NovelRow, Novelty, PassedOver, Skipped, Suspect, Suspects
from registry.cards import Metric, Origin, Outcome, Task
from registry.errors import PathOutside
from registry.health import AlikeRows, Likeness
from registry.sample import Sample
from registry.zoo import Zoo
from tests.ui.cases import advice, choice
from tests.ui.pictures import write_stripes
from tests.ui.tables import tables
from ui import access
from ui.views import items, parts

HOSTILE = "<img src=x onerror=alert(1)> **net**"
KEPT = {"advice": "0123456789abcdef"}
OPEN = dict.fromkeys(("sure", "cost", "near", "why", "odd", "again", "absent", "before"), "true")
"""Every answer of the page of advice, opened."""
MODULES = ("pick", "tune", "checkpoints", "domains", "track", "health")
ORDER = [
    "How sure",
    "What it costs",
    "Where my data lies",
    "Why this and not that",
    "What is odd in my data",
    "How to do it again",
]


def outcome(name: str, score: float) -> Outcome:
    conditions = {"expected": {"metric": "accuracy", "mean": 0.8, "low": 0.75, "high": 0.85}}
    judged = "ab" * 32, "surfaces", Task.CLASSIFICATION, Metric.ACCURACY, score, 0.01, 100, 50, 9.0
    return Outcome(name, HOSTILE, "lp-ft", *judged, Origin.OURS, "2026-11-28T06:00:00+00:00", conditions=conditions)


@pytest.fixture(scope="module")
def home(tmp_path_factory, opened_home):
    place = shutil.copytree(opened_home, tmp_path_factory.mktemp("views") / "home")
    doubts = Suspects((Suspect("a.png", HOSTILE, "brick", 0.01, 0.97),), 560, ("b", "c"))
    with Zoo.open(place) as zoo:
        kept = advice(choice(HOSTILE, 0.8, gain=0.3), choice("b", 0.7, gain=0.2, tuned=True))
        alike = AlikeRows(Likeness.LEAKED, "a.png", HOSTILE, "b.png", "brick").to_dict()
        sample = {**kept.sample, "health": {**kept.sample["health"], "pairs": [alike]}}
        novelty = Novelty("bricks", (NovelRow("a.png", HOSTILE, 9.5, 0.97),), 560, 3, 256)
        zoo.keep(replace(kept, suspects=doubts, sample=sample, novelty=novelty))
        zoo.record(outcome("one", 0.81))
        zoo.record(outcome("two", 0.6))
    return place


@pytest.fixture
def draw(home, monkeypatch):
    monkeypatch.setenv("TRANSFERZOO_HOME", str(home))
    parts.opened_zoo.clear()

    def drawn(module: str, place: dict[str, str] | None = None) -> AppTest:
        test = AppTest.from_string(f"from ui.views import {module}\n{module}.{module}_page()", default_timeout=120)
        test.query_params.update(place or {})
        test.run()
        assert not test.exception
        return test

    yield drawn
    parts.opened_zoo.clear()


def heads(test: AppTest) -> list[str]:
    return [one.value for one in test.subheader]


def text_of(test: AppTest) -> str:
    return " ".join(one.value for kind in ("markdown", "caption", "title", "subheader") for one in test.get(kind))


def test_pick_answers_in_order(draw):
    test = draw("pick", KEPT | OPEN)
    assert heads(test)[0] == "What stays frozen"
    questions = [one.label.strip("*").partition(":** ")[0] for one in test.expander]
    assert [question for question in questions if question in ORDER] == ORDER
    assert [one.value for one in test.metric] == ["80.0\xa0%", "22.0\xa0%", "+30.0", "12\xa0s"]
    doubts = next(one for one in tables(test) if "suggested" in one)
    assert doubts["label"] == [HOSTILE]  # a table's cells are text
    assert doubts["chance of that"] == ["97.0 %"]
    tabs = [one.label for one in test.tabs]
    assert tabs[:3] == ["Alike \\(1\\)", "Labels in doubt \\(1\\)", "Least like bricks"]
    assert "b\\.png\\: brick" in text_of(test)
    assert "3 of 560 rows lie farther" in text_of(test)


def test_every_answer_stands_in_its_heading_before_anything_is_opened(draw):
    test = draw("pick", KEPT)
    answers = {one.label.strip("*").partition(":** ")[0]: one.label for one in test.expander}
    assert "points over no transfer" in answers["How sure"]
    assert "nothing faster" in answers["What it costs"]
    assert "1 pair of rows alike, 1 label in doubt, 3 rows unlike all of bricks" in answers["What is odd in my data"]
    assert not tables(test)  # nothing behind them is drawn
    assert not test.code


@pytest.mark.slow
def test_pick_says_how_many_checkpoints_the_constraints_leave(draw):
    test = draw("pick", KEPT)
    before = next(one.value for one in test.caption if "checkpoints are left" in one.value)
    field = next(one for one in test.number_input if one.label.startswith("Most parameters"))
    field.set_value(0.5).run()
    after = next(one.value for one in test.caption if "checkpoints are left" in one.value)
    left, known = before.split(" of ")[0], before.split(" of ")[1].split()[0]
    assert left == known
    assert 0 < int(after.split(" of ")[0]) < int(left)


def test_a_plan_can_be_changed_before_it_is_carried_out(draw):
    test = draw("tune", {**KEPT, "row": "2"})
    next(one for one in test.number_input if one.label == "Epochs").set_value(3).run()
    command = test.code[0].value
    assert "--checkpoint b --strategy lp-ft" in command
    assert "--epochs 3" in command


@pytest.mark.slow
def test_the_zoo_is_searched_and_compared(draw):
    test = draw("checkpoints", {"card": "resnet-photos,resnet-cifar10"})
    assert "Side by side" in heads(test)
    test.text_input[0].input("resnet photos").run()
    assert test.dataframe[0].value["checkpoint"].tolist() == ["resnet-photos"]
    one = draw("checkpoints", {"card": "resnet-photos"})
    assert "resnet\\-photos" in heads(one)


@pytest.mark.slow
def test_domains_say_what_is_near_and_where_nothing_was_trained(draw):
    test = draw("domains", {"domain": "mnist"})
    assert test.radio[0].value == "image"  # that of the domain
    near, missing = tables(test)[:2]
    assert "mnist" not in near["domain"]
    assert near["distance (MMD²)"] == sorted(near["distance (MMD²)"])
    assert {"domain", "nearest with a checkpoint"} <= {*missing}
    assert "cifar10" not in missing["domain"]  # several seedlings grew on it


def test_the_record_counts_what_lay_within_its_interval(draw):
    test = draw("track")
    assert [one.value for one in test.metric] == ["1 of 2", "-9.5", "10.5"]
    [listed] = [one for one in test.multiselect if one.key == "outcomes-listed"]
    assert [name.count("lp-ft") or name.count(HOSTILE) for name in listed.options] == [1, 1]
    pair = draw("track", {"compare": "one,two"})
    assert pair.error  # outcomes whose runs are gone are named, and the rest is shown


@pytest.mark.slow
def test_a_check_of_health_says_what_it_found(draw):
    test = draw("health")
    test.button[0].click().run()
    assert [one.value for one in test.success] == ["Nothing is wrong."]


@pytest.mark.slow
@pytest.mark.parametrize("module", MODULES)
def test_names_of_others_are_text_on_every_page(draw, module):
    assert "<img" not in text_of(draw(module)).replace("\\<img", "")


@pytest.mark.slow
@pytest.mark.parametrize("module", MODULES)
def test_an_empty_registry_says_what_to_do(draw, monkeypatch, tmp_path, module):
    monkeypatch.setenv("TRANSFERZOO_HOME", str(tmp_path / "new"))
    page = draw(module)
    assert text_of(page)
    assert ("Go to Pick" in [one.label for one in page.button]) is (module in {"tune", "track"})


def test_sample_data_whose_library_is_not_installed_are_refused_with_what_to_install(draw, monkeypatch, tmp_path):
    monkeypatch.setenv("TRANSFERZOO_HOME", str(tmp_path / "new"))
    monkeypatch.setattr("ui.sample_data.find_spec", lambda _: None)
    page = draw("pick")
    page.button(key="sample-surfaces").click().run()
    [refused] = [one.value.replace("\\", "") for one in page.error]
    assert refused == 'scikit-image is not installed. Run: pip install "transferzoo[demo]"'
    assert "job" not in page.query_params


def test_a_page_reads_below_its_roots_alone(tmp_path, monkeypatch):
    monkeypatch.setenv(access.ROOTS, str(tmp_path / "mine"))
    monkeypatch.setenv(access.STARTED_IN, str(tmp_path))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "out").symlink_to(tmp_path)
    assert access.placed(" mine/data ") == tmp_path / "mine" / "data"
    for path in ("/etc", "mine/../other", str(tmp_path / "mine" / "out" / "x")):
        with pytest.raises(PathOutside, match="--root"):
            access.placed(path)
    (tmp_path / "mine" / "loop").symlink_to("loop")
    for path in ("mine/loop", "mine/a\0b", "mine/\ud800", "~nobody-of-that-name/x"):
        with pytest.raises(PathOutside):
            access.placed(path)
    monkeypatch.delenv(access.ROOTS)
    assert access.roots() == (Path.home(), tmp_path)


def masked(token: bytes, mask: bytes) -> dict[str, str]:
    """A cookie as Tornado writes it, under a mask that changes."""
    hidden = bytes(byte ^ mask[place % len(mask)] for place, byte in enumerate(token))
    return {"_streamlit_xsrf": f"2|{mask.hex()}|{hidden.hex()}|1700000000"}


def test_a_browser_is_known_again_whatever_the_mask_of_its_cookie_and_another_is_not():
    token = bytes(range(16))
    first, later = (access.browser_of(masked(token, mask)) for mask in (b"\x01\x02\x03\x04", b"\xaa\xbb\xcc\xdd"))
    assert first == later == token.hex()
    assert access.browser_of(masked(b"another token!!!", b"\x01\x02\x03\x04")) != first
    for cookie in ("", "1|2|3|4", "2|zz|00|1", "2||00|1", "2|00|00"):
        assert access.browser_of({"_streamlit_xsrf": cookie}) is None
    assert access.browser_of({}) is None


def test_advice_that_time_cut_short_can_be_gone_on_with(draw, home):
    with Zoo.open(home) as zoo:
        kept = advice(choice("b", 0.8, gain=0.3))
        zoo.keep(replace(kept, id="00000000000000ab", undone=(Skipped("c", "it was not probed"),)))
    test = draw("pick", {"advice": "00000000000000ab"})
    assert [one.label for one in test.button if one.label == "Go on with it"]
    fields = {one.label for kind in ("selectbox", "text_input") for one in test.get(kind)}
    assert {"Effort", "Time for the advice", "More items without labels"} <= fields


def test_the_same_rows_that_two_drop_are_shown_to_each_as_their_own(draw, new_home, monkeypatch):
    with Zoo.open(new_home) as zoo:
        monkeypatch.setenv("TRANSFERZOO_HOME", str(zoo.home.root))
        hers, his = (zoo.home.root / "uploads" / f"{who}-00" / f"{who}.zip" for who in ("anna", "boris"))
        kept = advice(choice("b", 0.8, gain=0.3))
        zoo.keep(replace(kept, id="00000000000000cd", sample={**kept.sample, "origin": str(hers), "name": "anna"}))
        job = zoo.jobs.start("recommend", {"sample": {"path": str(his)}}, "his")
        zoo.jobs.finish(job.id, {"recommendation": "00000000000000cd"})
        listed = {}
        for who in ("anna", "boris", "clara"):
            monkeypatch.setattr(parts, "viewer", lambda who=who: who)
            listed[who] = [row["sample"]["origin"] for _, row in parts.earlier_advice(zoo)]
    assert listed == {"anna": [str(hers)], "boris": [str(his)], "clara": []}


def test_of_another_ones_upload_the_queue_says_that_it_waits_and_no_name(draw, new_home, monkeypatch):
    with Zoo.open(new_home) as zoo:
        monkeypatch.setenv("TRANSFERZOO_HOME", str(zoo.home.root))
        for who in ("anna", "boris"):
            place = zoo.home.root / "uploads" / f"{who}-00" / f"{who}s.zip"
            zoo.jobs.start("recommend", {"sample": {"path": str(place)}}, who, lane="advice")
    monkeypatch.setattr(parts, "viewer", lambda: "anna")
    test = AppTest.from_string("from ui.views import parts\nparts.queued(parts.opened_zoo())", default_timeout=120)
    test.run()
    assert not test.exception
    assert [one.label for one in test.button] == ["advice on annas\\.zip", ""]
    assert "advice on somebody else's upload" in text_of(test)


def test_a_choice_that_no_row_was_shown_to_has_no_diagram(draw, home):
    ranked = choice("c", 0.8, gain=0.3).ranked
    bare = replace(ranked, transferability=replace(ranked.transferability, blocks=()))
    with Zoo.open(home) as zoo:
        zoo.keep(replace(advice(replace(choice("c", 0.8, gain=0.3), ranked=bare)), id="fedcba9876543210"))
    test = draw("pick", {"advice": "fedcba9876543210"})
    assert "No row was shown to it yet" in text_of(test)
    draw("tune", {"advice": "fedcba9876543210"})


@pytest.mark.parametrize("strategy", ["linear-probe", "full"])
def test_a_tuning_is_held_against_what_its_strategy_was_expected_to_score(draw, home, strategy):
    passed = PassedOver("full", 0.7, 0.6, 0.8, 4.0)
    kept = replace(advice(replace(choice("d", 0.8, gain=0.3), passed_over=(passed,))), id="aaaaaaaaaaaaaaaa")
    fields = {"recommendation": kept.id, "checkpoint": "d", "strategy": strategy, "sample": {"path": "/data/d"}}
    with Zoo.open(home) as zoo:
        zoo.keep(kept)
        job = zoo.jobs.start("tune", fields, f"band-{strategy}", lane="cpu").id
        zoo.jobs.point(job, "validation accuracy", 1, 0.71)
        zoo.jobs.cancel(job)
    test = draw("tune", {"job": job})
    assert "The band is what was expected" in text_of(test)


def test_advice_that_was_stopped_offers_to_go_on(draw, home):
    with Zoo.open(home) as zoo:
        spec = {"sample": {"path": "/data/d"}}
        stopped, failed = (zoo.jobs.start("recommend", spec, key, lane="cpu") for key in ("one", "two"))
        zoo.jobs.cancel(stopped.id)
        zoo.jobs.claim(failed.id)
        zoo.jobs.fail(failed.id, "it broke")
    offered = [[one.label for one in draw("pick", {"job": job.id}).button] for job in (stopped, failed)]
    assert ["Go on" in labels for labels in offered] == [True, False]


def test_what_a_search_gave_and_what_was_removed_are_shown(draw, home):
    models = [{"hub": "org/net", "task": HOSTILE, "license": "mit", "parameters": 7, "downloads": 3}]
    with Zoo.open(home) as zoo:
        jobs = [
            zoo.jobs.start(kind, spec, kind, lane="searches")
            for kind, spec in (("zoo search", {"words": HOSTILE}), ("zoo remove", {"name": HOSTILE}))
        ]
        for job, result in zip(jobs, ({"models": models}, {"removed": HOSTILE}), strict=True):
            zoo.jobs.claim(job.id)
            zoo.jobs.finish(job.id, result)
    test = draw("checkpoints", {"job": jobs[0].id})
    assert tables(test)[0]["hub"] == ["org/net"]
    assert any(one.value.startswith("1 model on the hub for") for one in test.markdown)
    test = draw("checkpoints", {"job": jobs[1].id})
    assert "is forgotten" in test.success[0].value


@pytest.mark.slow
def test_files_that_changed_since_their_advice_are_named_and_no_row_is_shown_under_a_label_not_its_own(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("TRANSFERZOO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv(access.ROOTS, str(tmp_path))
    first, *_, last = sorted(write_stripes(tmp_path).rglob("*.png"))
    sample = Sample.from_folder(tmp_path / "stripes").to_dict()
    time.sleep(0.05)  # a file's time is that of the kernel's last tick
    with Zoo.open(tmp_path / "home") as zoo:
        kept = replace(advice(choice("a", 0.8, gain=0.3)), sample=sample)
        zoo.keep(kept)
    parts.opened_zoo.clear()
    page = AppTest.from_string("from ui.views import pick\npick.pick_page()", default_timeout=120)
    page.query_params.update({"advice": kept.id, "odd": "true"})
    page.run()
    assert not [one for one in page.warning if "has changed" in one.value]
    assert "none is shown" not in text_of(page)
    shutil.copy(first, last)
    items._last_change.clear()
    page.run()
    assert [one for one in page.warning if "has changed since" in one.value]
    assert "not those that were looked at, so none is shown" in text_of(page)
    assert "Advise again" in [one.label for one in page.button]
    parts.opened_zoo.clear()
