"""Texts are tuned by every strategy: what was tuned predicts, and what can be exported says the same."""

from dataclasses import replace

import numpy as np
import pytest

from recommender.runs.folder import RunFolder
from recommender.runs.tracking import no_tracking
from recommender.serving.export import TOLERANCE, export
from recommender.serving.predict import Predictor
from recommender.strategies import strategies
from recommender.testing.evidence import evidence
from recommender.tuning.recipe import run_local
from registry.cards import Checkpoint
from registry.encoders.encoder import load_encoder
from registry.encoders.loading import inspect
from registry.errors import NotExportable
from registry.modalities import modalities
from registry.sample import Sample
from tests.recommender.tuning.jobs import job
from tests.registry.modalities.text.nets import as_sentences, save

WORDS = {"kitchen": "the red fox", "harbor": "a lazy dog", "court": "one two three"}
FITTED = frozenset({"knn", "prototype"})


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
@pytest.mark.parametrize("net", ["bert", "gpt2"])
@pytest.mark.parametrize(
    "strategy",
    [
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
    ],
)
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
