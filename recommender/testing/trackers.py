"""What every tracker promises. A plug-in subclasses `TrackerContract` and gives the fixture `track`.

That is what the plug-ins' registry hands out, ``trackers["name"]``: the plug-in's own beside the run's event log.
"""

import json

import pytest

from recommender.testing.jobs import job, plan, tiny_checkpoint


class TrackerContract:
    """The laws; every test takes the tracker under test."""

    @pytest.fixture
    def prepared(self, tmp_path):
        card = tiny_checkpoint(tmp_path / "net")
        prepared = job(tmp_path, card, plan(card))
        prepared.folder.mkdir()
        return prepared

    def events(self, prepared):
        """The event log without times and without the machine's vital signs."""
        lines = [json.loads(line) for line in (prepared.folder / "journal.jsonl").read_text().splitlines()]
        assert all(line.pop("at") > 0 for line in lines)
        return [line for line in lines if not line.get("point", "").startswith("system/")]

    def test_the_journal_has_everything_in_order(self, track, prepared):
        figure = prepared.folder / "figures" / "curve.png"
        figure.parent.mkdir()
        figure.write_bytes(b"drawn")
        with track(prepared) as tracker_run:
            tracker_run.point("validation loss", 0, 1.5)
            tracker_run.point("validation loss", 1, 0.5)
            tracker_run.result({"score": 0.9})
            tracker_run.artifact(figure)
            tracker_run.model(prepared.folder)
        opening, *rest = self.events(prepared)
        assert opening["opening"]["job"] == prepared.id
        assert opening["opening"]["params"]["plan.strategy"] == "by hand"
        assert opening["opening"]["tags"]["transferzoo.sample"] == prepared.sample.digest
        assert rest == [
            {"point": "validation loss", "step": 0, "value": 1.5},
            {"point": "validation loss", "step": 1, "value": 0.5},
            {"result": {"score": 0.9}},
            {"artifact": "figures/curve.png"},
            {"model": "."},
            {"status": "FINISHED"},
        ]

    @pytest.mark.parametrize(("failure", "status"), [(RuntimeError, "FAILED"), (KeyboardInterrupt, "KILLED")])
    def test_a_run_that_breaks_is_told_as_such_and_breaks_on(self, track, prepared, failure, status):
        with pytest.raises(failure), track(prepared):
            raise failure
        assert self.events(prepared)[1:] == [{"status": status}]

    def test_numbers_that_are_none_do_not_break_it(self, track, prepared):
        with track(prepared) as tracker_run:
            tracker_run.point("validation loss", 0, float("inf"))
            tracker_run.result({"score": float("nan")})
        assert self.events(prepared)[1:] == [
            {"point": "validation loss", "step": 0, "value": "inf"},
            {"result": {"score": "nan"}},
            {"status": "FINISHED"},
        ]

    def test_a_run_that_goes_on_keeps_one_journal(self, track, prepared):
        def be_interrupted():
            with track(prepared) as tracker_run:
                tracker_run.point("validation loss", 1, 0.5)
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            be_interrupted()
        with track(prepared) as tracker_run:
            tracker_run.point("validation loss", 1, 0.5)
            tracker_run.point("validation loss", 2, 0.25)
        assert self.events(prepared)[1:] == [
            {"point": "validation loss", "step": 1, "value": 0.5},
            {"status": "KILLED"},
            {"resumed": True},
            {"point": "validation loss", "step": 2, "value": 0.25},
            {"status": "FINISHED"},
        ]
