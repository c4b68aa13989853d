"""What a backbone learns before its head: from texts without labels, or from pairs of rows."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers as t
from safetensors.torch import load_file

from recommender.results import Plan, Pretext, Pretraining
from recommender.runs.folder import RunFolder
from recommender.runs.tracking import no_tracking
from recommender.serving.export import TOLERANCE, export
from recommender.serving.promote import _require_learned
from recommender.strategies import strategies
from recommender.testing.evidence import evidence
from recommender.tuning import pretraining
from recommender.tuning.classifier import fresh_head
from recommender.tuning.data import prepare_rows
from recommender.tuning.fitting import _classifier
from recommender.tuning.pretraining import HiddenRows
from recommender.tuning.recipe import run_local
from recommender.tuning.splitting import split_rows
from registry.cards import Checkpoint
from registry.encoders.loading import inspect, load_network, quiet
from registry.errors import NotOffered
from registry.modalities import modalities
from registry.modalities.text.language import IGNORED
from registry.progress import Cancelled, Phase, silent
from registry.sample import Sample
from registry.targets import Positions, Targets
from tests.recommender.tuning import jobs
from tests.recommender.tuning.test_texts import texts
from tests.registry.modalities.text.nets import SENTENCES, save

FIRST = Pretraining(Pretext.ITEMS, 3, 1e-2, 40)


def card(folder, net):
    opened = inspect(save(folder, net))
    return Checkpoint(net, "text", opened.architecture, folder, opened.digest, opened.parameters, opened.input_size)


def sample(rows=12):
    unlabelled = [*SENTENCES, *texts(1, 1)[0][:1]]
    return Sample.from_arrays(*texts(rows, 0), test=texts(4, 1), keep_duplicates=True, unlabelled=unlabelled)


def adaptive(read="block 03", first=FIRST):
    plan = strategies["domain-adaptive"](evidence((0.5, 0.6, 0.7), rows=600, classes=3, modality="text"))
    assert isinstance(plan, Plan)
    stages = tuple(replace(stage, epochs=1) for stage in plan.stages)
    return replace(plan, read=read, stages=stages, batch_size=8, pretraining=first)


def network(folder, net):
    return load_network(save(folder, net))


def written(network, folder):
    items = modalities["text"].from_memory([*SENTENCES])
    return prepare_rows(
        items, Positions.of(Targets.of(np.zeros(len(items), np.int64))), network, folder / "rows", silent, ""
    )


def started(job):
    split = split_rows(job)
    return _classifier(job, fresh_head(16, 3)), split.train


def job_of(tmp_path, net="bert", plan=None, data=None):
    return jobs.job(tmp_path, card(tmp_path / "net", net), plan or adaptive(), data or sample())


def test_hidden_tokens_are_asked_for_and_the_tokenizer_s_own_are_not(tmp_path):
    net = network(tmp_path / "net", "bert")
    items = written(net, tmp_path)
    rows = HiddenRows(items, net, seed=0)
    shown, plain = rows.batch(np.arange(10)), items.batch(range(10))
    hidden = shown["labels"] != IGNORED
    assert torch.equal(shown["labels"][hidden], plain["input_ids"][hidden])
    assert torch.equal(shown["input_ids"][~hidden], plain["input_ids"][~hidden])
    own = torch.isin(plain["input_ids"], torch.tensor(net.tokenization.tokenizer.all_special_ids))
    assert not (own & hidden).any()
    assert 0.05 < hidden.sum() / (~own).sum() < 0.3
    rows.round = 1
    assert not torch.equal(rows.batch(np.arange(10))["labels"], shown["labels"])
    rows.round = 0
    assert torch.equal(rows.batch(np.arange(10))["input_ids"], shown["input_ids"])


def test_a_decoder_is_asked_for_the_token_that_comes_next(tmp_path):
    net = network(tmp_path / "net", "gpt2")
    items = written(net, tmp_path)
    batch = HiddenRows(items, net, seed=0).batch(np.arange(3))
    last = batch["attention_mask"].sum(1) - 1
    for row in range(3):
        assert torch.equal(batch["labels"][row, : last[row]], batch["input_ids"][row, 1 : last[row] + 1])
        assert (batch["labels"][row, last[row] :] == IGNORED).all()


@pytest.mark.parametrize("net", ["bert-mlm", "gpt2"])
def test_the_loss_is_that_of_transformers_own_class_where_the_head_is_stored(tmp_path, net):
    ours = network(tmp_path / "net", net)
    items = written(ours, tmp_path)
    batch = HiddenRows(items, ours, seed=0).batch(np.arange(10))
    kind = t.AutoModelForCausalLM if net == "gpt2" else t.AutoModelForMaskedLM
    with quiet(), torch.inference_mode():
        theirs = kind.from_pretrained(tmp_path / "net").eval()
        logits = theirs(**{name: batch[name] for name in batch if name != "labels"}).logits
        expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten().long())
        loss = ours.pretext(tmp_path / "net").eval()(**batch)
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("net", ["bert", "electra"])
def test_without_a_head_tokens_are_told_by_the_embedding_and_learned(tmp_path, net):
    job = job_of(tmp_path, net)
    points = []
    classifier, learning = started(job)
    before = {name: tensor.clone() for name, tensor in classifier.body.state_dict().items()}
    pretraining.pretrain(classifier, job, learning, [], lambda *point: points.append(point), silent)
    losses = [value for series, _, value in points if series == "pretraining loss"]
    assert len(losses) == 3
    assert losses[-1] < losses[0]
    assert any(not torch.equal(tensor, before[name]) for name, tensor in classifier.body.state_dict().items())
    assert not any(p.requires_grad for p in classifier.body.parameters())


def test_rows_that_judge_are_not_learned_from(tmp_path):
    job = job_of(tmp_path)
    classifier, learning = started(job)
    rows, _, notes = pretraining._task(classifier, job, FIRST, learning, [job.sample.test], silent)
    assert len(rows.order) == len({item.identity for item in learning.items}) + len(SENTENCES)
    assert notes == ("1 text without labels left out: the same stand among the rows that judge it",)


def test_pairs_are_of_one_class_and_of_two_in_turn():
    pairs = pretraining._pairs(np.array([0, 0, 1, 1, 2]), 200, np.random.default_rng(0))
    one, other, same = pairs.T
    truth = np.array([0, 0, 1, 1, 2])
    assert ((truth[one] == truth[other]) == same).all()
    assert (one != other).all()
    assert set(one) == {0, 1, 2, 3, 4}
    assert 4 not in set(one[same == 1])


@pytest.mark.slow
@pytest.mark.parametrize("net", ["bert", pytest.param("gpt2", marks=pytest.mark.slow)])
def test_pairs_part_the_classes_of_few_rows(tmp_path, net):
    plan = strategies["contrastive"](evidence((0.5, 0.6, 0.7), rows=24, classes=3, modality="text"))
    plan = replace(plan, pretraining=replace(plan.pretraining, rate=1e-2, rows=240))
    job = job_of(tmp_path, net, plan, sample(8))
    run, _ = run_local(job, no_tracking)
    assert run.metrics["score"] > 0.5
    assert RunFolder(job.folder).result["plan"]["pretraining"]["pretext"] == "pairs"
    _require_learned(RunFolder(job.folder), {**RunFolder(job.folder).result, "checkpoint": "x"})
    assert export(RunFolder(job.folder), tmp_path / "out").difference < TOLERANCE
    assert {file.name for file in job.folder.iterdir()} & {"pretraining", "pretrained.safetensors", "trainer"} == set()


class Impatient:
    """Cancels after so many steps of a phase."""

    def __init__(self, phase, steps):
        self.phase, self.left = phase, steps

    def report(self, event):
        self.left -= event.phase is self.phase and event.done > 0

    def cancelled(self):
        return self.left < 0


@pytest.mark.slow
@pytest.mark.parametrize(("phase", "steps"), [(Phase.PRETRAIN, 8), (Phase.TUNE, 2)])
def test_a_run_that_is_interrupted_goes_on_to_the_same_weights(tmp_path, phase, steps):
    checkpoint = card(tmp_path / "net", "bert")
    whole, cut = (jobs.job(tmp_path / name, checkpoint, adaptive(), sample()) for name in ("whole", "cut"))
    run_local(whole, no_tracking)
    with pytest.raises(Cancelled):
        run_local(cut, no_tracking, Impatient(phase, steps))
    assert (cut.folder / "pretrained.safetensors").exists() is (phase is Phase.TUNE)
    run_local(cut, no_tracking)
    one, other = (load_file(job.folder / "model.safetensors") for job in (whole, cut))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert RunFolder(whole.folder).result["notes"] == RunFolder(cut.folder).result["notes"]


@pytest.mark.slow
def test_a_net_that_learns_nothing_without_labels_is_refused(tmp_path):
    plan = replace(jobs.plan(jobs.checkpoint(tmp_path / "image")), pretraining=FIRST)
    with pytest.raises(NotOffered, match="without labels"):
        run_local(jobs.job(tmp_path, jobs.checkpoint(tmp_path / "image"), plan), no_tracking)
    job = job_of(tmp_path)
    stated = job.checkpoint.folder / "tokenizer_config.json"
    stated.write_text(stated.read_text().replace("mask_token", "no_token"))
    with pytest.raises(NotOffered, match="no token that hides"):
        run_local(job, no_tracking)
