import json

import pytest

from recommender.runs.event_log import EventLog


@pytest.fixture
def event_log(tmp_path):
    built = EventLog(tmp_path)
    built.open({"job": "one"})
    return built


def test_the_opening_is_written_once_and_kept(event_log, tmp_path):
    EventLog(tmp_path).open({"job": "other"})
    assert EventLog(tmp_path).opening == {"job": "one"}
    assert [sorted(event) for _, event in event_log.read()] == [["at", "opening"], ["at", "resumed"]]


def test_reading_goes_on_where_it_stopped(event_log):
    event_log.point("loss", 0, 2.0)
    end, _ = event_log.read()[-1]
    assert event_log.read(end) == []
    event_log.point("loss", 1, 1.0)
    assert [event["step"] for _, event in event_log.read(end)] == [1]


def test_every_line_is_plain_json(event_log, tmp_path):
    event_log.point("loss", 0, float("-inf"))
    event_log.result({"score": float("nan")})

    def refuse(name):
        raise AssertionError(name)

    for line in (tmp_path / "journal.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=refuse)
    assert event_log.curves == {"loss": {0: float("-inf")}}


def test_a_line_torn_by_a_crash_costs_that_line_alone(event_log, tmp_path):
    event_log.point("loss", 0, 2.0)
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write('{"point": "loss", "st')
    assert len(event_log.read()) == 2, "a line without its end is not read"
    again = EventLog(tmp_path)
    again.open({})
    again.point("loss", 1, 1.0)
    assert again.curves == {"loss": {0: 2.0, 1: 1.0}}


def test_a_point_that_is_repeated_is_told_once_and_one_that_changed_is_told_again(event_log, tmp_path):
    event_log.point("loss", 0, 2.0)
    again = EventLog(tmp_path)
    again.open({})
    again.point("loss", 0, 2.0)
    again.point("loss", 0, 1.5)
    assert [event["value"] for _, event in again.read() if "point" in event] == [2.0, 1.5]
    assert again.curves == {"loss": {0: 1.5}}
    assert again.next_step("loss") == 1
    assert again.next_step("other") == 0


def test_a_folder_without_a_journal_has_nothing_to_tell(tmp_path):
    assert EventLog(tmp_path).read() == []
    assert EventLog(tmp_path).opening == {}
