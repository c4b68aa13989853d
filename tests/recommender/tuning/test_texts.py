"""Texts are tuned by every strategy: what was tuned predicts, and what can be exported says the same."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers as t

from recommender.runs.folder import RunFolder
from recommender.runs.tracking import no_tracking
from recommender.serving.export import TOLERANCE, export
from recommender.serving.predict import Predictor
from recommender.strategies import strategies
from recommender.testing.evidence import evidence
from recommender.tuning.classifier import Classifier, fresh_head
from recommender.tuning.recipe import run_local
from registry.cards import Checkpoint
from registry.encoders.encoder import load_encoder
from registry.encoders.layers import LINEAR, layers_of
from registry.encoders.loading import inspect, load_network, quiet
from registry.errors import NotExportable
from registry.modalities import modalities
from registry.sample import Sample
from tests.crossed import crossed
from tests.recommender.tuning.jobs import job
from tests.registry.modalities.text.nets import _small, as_sentences, save

WORDS = {"kitchen": "the red fox", "harbor": "a lazy dog", "court": "one two three"}
FITTED = frozenset({"knn", "prototype"})
STRATEGIES = (
    "contrastive",
    "discriminative",
    "domain-adaptive",
    "full",
    "gradual-unfreezing",
    "knn",
    "linear-probe",
    "lora",
    "lp-ft",
    "norm-only",
    "partial-1",
    "partial-2",
    "prototype",
    "scratch",
    "surgical",
    "ulmfit",
)


def texts(rows, seed):
    random = np.random.default_rng(seed)
    labels = [label for _ in range(rows) for label in WORDS]
    return [" ".join(random.choice(WORDS[label].split(), random.integers(2, 9))) for label in labels], labels


def sample():
    return Sample.from_arrays(*texts(12, 0), name="places", test=texts(4, 1), keep_duplicates=True)


def card(folder, net):
    opened = inspect(save(folder, net))
    return Checkpoint(net, "text", opened.architecture, folder, opened.digest, opened.parameters, opened.input_size)


@pytest.mark.slow
@pytest.mark.parametrize(("net", "strategy"), crossed(("bert", "gpt2"), STRATEGIES, 2))
def test_every_strategy_tunes_texts_that_are_predicted_and_exported(net, strategy, tmp_path):
    checkpoint, data = card(tmp_path / "net", net), sample()
    plan = strategies[strategy](evidence((0.5, 0.6, 0.7), rows=600, classes=3, modality="text"))
    if plan.pretraining is not None:
        plan = replace(plan, pretraining=replace(plan.pretraining, epochs=1, rows=100))
    plan = replace(plan, stages=tuple(replace(stage, epochs=1) for stage in plan.stages), batch_size=16)
    prepared = job(tmp_path, checkpoint, plan, data)
    run, _ = run_local(prepared, no_tracking)
    assert 0 <= run.metrics["score"] <= 1
    predicted = Predictor.open(prepared.folder).predict(["the red fox", "two dogs"])
    assert set(predicted.labels) <= set(WORDS)
    if strategy in FITTED:
        with pytest.raises(NotExportable, match="head"):
            export(RunFolder(prepared.folder), tmp_path / "out")
    elif net == "bert" or plan.read == "block 03":
        assert export(RunFolder(prepared.folder), tmp_path / "out").difference < TOLERANCE


def test_what_sentence_transformers_states_goes_along_with_a_run(tmp_path):
    folder = as_sentences(save(tmp_path / "net", "bert"), {"pooling_mode_cls_token": True})
    opened = inspect(folder)
    kind, digest = opened.architecture, opened.digest
    checkpoint = Checkpoint("net", "text", kind, folder, digest, opened.parameters, opened.input_size)
    prepared = job(tmp_path, checkpoint, strategies["linear-probe"](evidence((0.5, 0.6, 0.7))), sample())
    run_local(prepared, no_tracking)
    items = modalities["text"].from_memory(["the red fox"])
    before, after = (load_encoder(place).encode(items).last for place in (folder, prepared.folder))
    np.testing.assert_allclose(after.vectors, before.vectors, atol=1e-6)


@pytest.mark.parametrize("net", ["bert", "gpt2"])
def test_activations_that_are_computed_anew_give_the_same_gradients(tmp_path, net):
    network = load_network(save(tmp_path, net))
    rows = [network.prepare(item) for item in network.examples()]
    gradients, calls = [], []
    for spared in (False, True):
        classifier = Classifier(load_network(tmp_path), layers_of(network), "block 03", fresh_head(16, 3))
        torch.nn.init.ones_(classifier.head.weight)
        classifier.learn(("block 01", "block 02", "block 03"))
        assert spared is False or classifier.spare_memory()
        block, times = classifier.body.get_submodule(classifier.layers.blocks[0].end), []
        inside = next(module for module in block.modules() if isinstance(module, LINEAR))
        inside.register_forward_pre_hook(lambda *_, times=times: times.append(1))
        for module in classifier.body.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        classifier.train()
        classifier(**network.batch(rows)).square().sum().backward()
        calls.append(len(times))
        gradients.append([p.grad.clone() for p in classifier.body.parameters() if p.grad is not None])
    assert calls == [1, 2]
    assert len(gradients[0]) == len(gradients[1]) > 10
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_long_texts_spare_memory_and_say_so(tmp_path):
    config = t.BertConfig(**_small(max_position_embeddings=300))
    save(tmp_path / "net", "bert")
    with quiet():
        t.BertModel(config).save_pretrained(tmp_path / "net")
    stated = tmp_path / "net" / "tokenizer_config.json"
    stated.write_text(stated.read_text().replace('"model_max_length": 64', '"model_max_length": 300'))
    opened = inspect(tmp_path / "net")
    assert opened.input_size == 300
    checkpoint = Checkpoint(
        "net", "text", opened.architecture, tmp_path / "net", opened.digest, opened.parameters, 300, cap=256
    )
    plan = strategies["lp-ft"](evidence((0.5, 0.6, 0.7), classes=3))
    plan = replace(plan, stages=tuple(replace(stage, epochs=1) for stage in plan.stages))
    run, _ = run_local(job(tmp_path, checkpoint, plan, sample()), no_tracking)
    assert "for texts longer than usual activations are computed anew in the backward pass" in run.notes
