"""Requests are performed in one place: what is kept, what the observer hears, and how it is cancelled."""

import pytest
from PIL import Image

from recommender import flow
from recommender.observer import Observer
from recommender.requests import BenefitRequest, PredictRequest, RecommendRequest, SampleRequest, TuneRequest
from recommender.runs.folder import RunState, find_queued, find_run, run_folders
from recommender.service import _Steps, perform, reference
from registry.errors import OtherSample, UnknownName
from registry.progress import Cancelled, Event, Phase, advance
from registry.zoo import Zoo
from tests.observers import Recorder, stopping
from tests.recommender.tuning import jobs
from tests.registry.encoders.nets import save_net
from tests.registry.fakes import MeanColor, a_catalog


class Watcher(Observer):
    """Hears everything, and cancels when a recorder wants it to."""

    def __init__(self, recorder=None):
        self.recorder = recorder or Recorder()
        self.samples, self.notes, self.points = [], [], []

    def report(self, event):
        self.recorder.report(event)

    def cancelled(self):
        return self.recorder.cancelled()

    def on_sample(self, sample):
        self.samples.append(sample)

    def on_note(self, note, *, warning):
        self.notes.append(note)

    def on_point(self, series, step, value):
        self.points.append((series, step, value))


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    """A registry with a net, and a folder of colors."""
    place = tmp_path_factory.mktemp("service")
    save_net(place / "net", "resnet")
    source = jobs.sample()
    for part, rows in (("train", source), ("test", source.test)):
        for row, (item, label) in enumerate(rows):
            folder = place / "colors" / part / label
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(item.pixels).save(folder / f"{row}.png")
    with Zoo.open(place / "home", catalog=a_catalog(place / "catalog")) as zoo:
        zoo.add(place / "net", name="net", domain="dark")
        zoo._encoders["mean-color"] = MeanColor()
        yield zoo, SampleRequest(path=place / "colors")


def test_advice_is_kept_and_each_stage_is_a_step_of_the_whole(ground):
    zoo, sample = ground
    watcher = Watcher()
    advice = perform(RecommendRequest(sample=sample, keep=2), zoo, watcher)
    assert zoo.advice(advice.id)["id"] == advice.id
    assert reference(advice) == {"recommendation": advice.id}
    assert [len(one) for one in watcher.samples] == [48]
    steps = [event.step for event in watcher.recorder.events]
    assert steps == sorted(steps)
    assert steps[0] == 1


@pytest.mark.parametrize(("waited", "undone"), [(0.0, False), (4000.0, True)])
def test_a_time_budget_counts_what_was_waited_before(ground, waited, undone):
    class Late(Observer):
        def waited(self):
            return waited

        def on_note(self, note, *, warning):
            notes.append(note)

    zoo, sample = ground
    notes = []
    advice = perform(RecommendRequest(sample=sample, keep=1, time_budget=3600), zoo, Late())
    assert bool(advice.undone) is undone
    assert any("was overrun by 4" in note for note in notes) is undone


def test_ctrl_c_during_advice_that_a_tuning_needs_keeps_the_advice_and_tunes_nothing(ground, monkeypatch):
    recommend = flow.recommend

    def cut(sample, zoo, *, deadline, **options):
        deadline.interrupted = True
        return recommend(sample, zoo, deadline=deadline, **options)

    monkeypatch.setattr(flow, "recommend", cut)
    zoo, sample = ground
    before, runs = len(zoo.kept(99)), run_folders(zoo.home)
    with pytest.raises(KeyboardInterrupt):
        perform(TuneRequest(sample=sample.model_copy(update={"path": sample.path / "test"}), tracker="none"), zoo)
    assert len(zoo.kept(99)) == before + 1
    assert run_folders(zoo.home) == runs


@pytest.mark.slow
def test_advice_is_gone_on_with_on_the_same_rows_alone(ground):
    zoo, sample = ground
    quick = perform(RecommendRequest(sample=sample, keep=1, effort="quick", exclude=("mean-color",)), zoo)
    assert [choice["blocks"] for choice in zoo.advice(quick.id)["choices"]] == [[]]
    again = perform(RecommendRequest(sample=sample, continues=quick.id), zoo)
    assert (again.id, again.settings["keep"]) == (quick.id, 1)
    other = sample.model_copy(update={"path": sample.path / "test"})
    with pytest.raises(OtherSample):
        perform(RecommendRequest(sample=other, continues=quick.id), zoo)
    with pytest.raises(UnknownName):
        perform(RecommendRequest(sample=sample, continues="nobody"), zoo)
    request = TuneRequest(sample=sample, recommendation=quick.id, anyway=True, tracker="none", device="cpu")
    run = perform(request, zoo)
    outcome = next(outcome for outcome in zoo.history() if outcome.id == run.id)
    assert outcome.conditions["scores"]


@pytest.mark.slow
def test_a_tuning_is_performed_and_its_learning_curve_is_heard(ground):
    zoo, sample = ground
    watcher = Watcher()
    request = TuneRequest(sample=sample, checkpoint="net", strategy="lp-ft", epochs=2, tracker="none", device="cpu")
    tuned = perform(request, zoo, watcher)
    plan = find_run(zoo.home, tuned.id).result["plan"]
    assert (plan["stages"][0]["epochs"], plan["because"][-1][:21]) == (2, "set by hand: 2 epochs")
    assert tuned.metrics["expected_low"] <= tuned.metrics["expected_mean"] <= tuned.metrics["expected_high"]
    assert "validation accuracy" in {series for series, _, _ in watcher.points}
    assert reference(tuned) == {"run": tuned.id}
    predicted = perform(PredictRequest(run=tuned.id, path=sample.path / "test"), zoo)
    assert len(predicted.predictions.names) == 24


def test_a_name_that_does_not_exist_is_told_before_anything_is_read(ground):
    zoo, sample = ground
    watcher = Watcher()
    with pytest.raises(UnknownName):
        perform(TuneRequest(sample=sample, checkpoint="nett"), zoo, watcher)
    assert watcher.recorder.events == []


@pytest.mark.parametrize("phase", [Phase.READ, Phase.LOOK, Phase.DISTANCES, Phase.BASELINE])
def test_advice_that_is_cancelled_is_not_kept(ground, phase):
    zoo, sample = ground
    before = zoo.kept(99)
    seen = Watcher(stopping(phase, 0))
    try:
        perform(RecommendRequest(sample=sample.model_copy(update={"seed": 7}), keep=1), zoo, seen)
    except Cancelled:
        assert zoo.kept(99) == before
    else:
        pytest.fail(f"{phase} was never reported")


@pytest.mark.slow
def test_a_tuning_that_is_cancelled_goes_on_from_its_last_save_when_its_job_is_asked_for_again(ground):
    zoo, sample = ground
    request = TuneRequest(sample=sample, checkpoint="net", strategy="lp-ft", tracker="none", device="cpu")
    recorder = Recorder(lambda event: event.phase is Phase.TUNE and event.done > event.of // 2)
    with pytest.raises(Cancelled):
        perform(request, zoo, Watcher(recorder), job="a job")
    begun = find_queued(zoo.home, "a job")
    assert begun.state is RunState.INTERRUPTED
    watcher = Watcher()
    tuned = perform(request, zoo, watcher, job="a job")
    assert tuned.id == begun.id
    assert watcher.notes == [f"going on with run {begun.id}"]
    assert begun.state is RunState.FINISHED


def test_a_benefit_that_is_cancelled_leaves_no_run_and_no_picture(ground):
    zoo, sample = ground
    before, home = run_folders(zoo.home), sorted(zoo.home.root.glob("benefit*"))
    with pytest.raises(Cancelled):
        perform(
            BenefitRequest(sample=sample, checkpoint="net", strategy="linear-probe", budgets=2, epochs=1),
            zoo,
            Watcher(stopping(Phase.BENEFIT, 1)),
        )
    assert run_folders(zoo.home) == before
    assert sorted(zoo.home.root.glob("benefit*")) == home


def test_steps_are_counted_by_stage_or_by_what_is_begun():
    recorder = Watcher()
    steps = _Steps(recorder, 3)
    for phase, done in ((Phase.READ, 0), (Phase.READ, 2), (Phase.COMPARE, 1)):
        advance(steps, phase, done, 2)
    parts = _Steps(recorder, 2, by_part=True)
    for phases in ((Phase.READ, Phase.COMPARE), (Phase.HEAD, Phase.TUNE)):
        parts.begin()
        for phase in phases:
            advance(parts, phase, 0, 1)
    events = recorder.recorder.events
    assert [(event.step, event.steps) for event in events] == [(1, 3), (1, 3), (2, 3)] + [(1, 2)] * 2 + [(2, 2)] * 2
    assert events[0] == Event(Phase.READ, "", 0, 2, 1, 3)
    assert events[0].words == "step 1 of 3: reading"
