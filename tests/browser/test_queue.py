"""The queue in the picker: what was asked for at a terminal is there, waits its turn, and can be cancelled."""

import json
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Served
from tests.browser.test_picker import run
from tests.ui.pictures import write_stripes

pytestmark = pytest.mark.browser


def queued(served: Served) -> dict[str, dict[str, object]]:
    return {job["id"]: job for job in json.loads(run(served, "queue", "list", "--all", "--json").stdout)}


def test_two_queued_tunings_are_shown_and_one_that_is_cancelled_is_gone(
    page: Page, picker: Served, tmp_path: Path
) -> None:
    place = str(write_stripes(tmp_path, rows=200, side=64))
    words = ("queue", "add", "tune", place, "--checkpoint", "resnet-photos", "--strategy", "lp-ft", "--json")
    first, second = (str(json.loads(run(picker, *words, "--seed", seed).stdout)["id"]) for seed in ("1", "2"))
    page.goto(picker.address)
    expect(page.get_by_role("heading", name="Queue")).to_be_visible()
    expect(page.get_by_role("button", name="tuning on stripes")).to_have_count(2)
    expect(page.get_by_text("running on cpu")).to_be_visible(timeout=60_000)
    expect(page.get_by_text("waiting for cpu, 1 before it")).to_be_visible()
    process = queued(picker)[first]["pid"]
    page.get_by_role("button", name="close").first.click()
    expect(page.get_by_role("button", name="tuning on stripes")).to_have_count(1, timeout=5_000)
    psutil.wait_procs([psutil.Process(process)] if psutil.pid_exists(process) else [], 5)
    assert not psutil.pid_exists(process)
    expect(page.get_by_text("running on cpu")).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="close").first.click()
    expect(page.get_by_role("heading", name="Queue")).to_be_hidden()
    assert {job: row["state"] for job, row in queued(picker).items()} == {first: "cancelled", second: "cancelled"}


def test_a_tuning_asked_for_at_a_terminal_is_shown_by_itself(page: Page, picker: Served, tmp_path: Path) -> None:
    place = str(write_stripes(tmp_path))
    words = ("queue", "add", "tune", place, "--checkpoint", "resnet-cifar10", "--strategy", "linear-probe", "--json")
    job = json.loads(run(picker, *words).stdout)["id"]
    page.goto(picker.at(job=job))
    expect(page.get_by_role("heading", name="Tuning on stripes")).to_be_visible()
    expect(page.get_by_role("heading", name="Expected and realized")).to_be_visible(timeout=90_000)
