"""Classifiers of texts: what transformers' own classes make of an exported folder is what the run says."""

import json
import runpy
from importlib.util import find_spec

import numpy as np
import pytest
import torch
import transformers as t

from recommender.runs.folder import RunFolder
from recommender.serving import beside
from recommender.serving.export import TOLERANCE, export, export_onnx
from recommender.serving.predict import Predictor
from recommender.tuning.heads import LinearHead, save_head
from registry.encoders import open_encoder
from registry.encoders.loading import quiet
from registry.errors import NotExportable
from registry.modalities import modalities
from tests.registry.modalities.text.nets import SENTENCES, as_sentences, save

ONNX = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("onnx", "onnxruntime", "onnxscript")),
    reason='needs the extra: pip install "transferzoo[onnx]"',
)
ITEMS = modalities["text"].from_memory([*SENTENCES, "Yes", ("Is it so?", "It is."), "long " * 200])


def finished_run(folder, net, *, block=-1, task="classification", classes=("bad", "fine", "good"), sentences=False):
    save(folder, net)
    if sentences:
        as_sentences(folder, {"pooling_mode_mean_tokens": True})
    encoder = open_encoder(folder)
    width = encoder.encode(ITEMS[:1]).blocks[block].vectors.shape[1]
    random, outputs = np.random.default_rng(0), max(1, len(classes))
    weight, bias = random.normal(size=(outputs, width)), random.normal(size=outputs)
    save_head(LinearHead(weight.astype(np.float32), bias.astype(np.float32)), folder)
    result = {
        "task": task,
        "classes": classes,
        "plan": {"strategy": "linear-probe", "read": encoder.blocks[block]},
        "sample": {"metric": "accuracy", "modality": "text", "origin": str(folder / "data")},
    }
    (folder / "run.json").write_text(json.dumps(result))
    return RunFolder(folder)


def differs(folder, run, items=ITEMS):
    """How far the logits of transformers' own classes lie from the run's, relative to the largest."""
    with quiet(), torch.inference_mode():
        model = t.AutoModelForSequenceClassification.from_pretrained(folder).eval()
        tokenizer = t.AutoTokenizer.from_pretrained(folder)
        batch = tokenizer.pad([tokenizer(*item.parts, truncation=True) for item in items], return_tensors="pt")
        logits = model(**batch).logits.numpy()
    expected = Predictor.open(run.path).predict(items).logits
    return np.abs(logits - expected).max() / max(1, np.abs(expected).max())


@pytest.mark.parametrize("block", [-1, 1])
@pytest.mark.parametrize(
    "net",
    ["bert", *(pytest.param(net, marks=pytest.mark.slow) for net in ("bert-mlm", "distilbert", "roberta", "electra"))],
)
def test_an_encoder_gets_a_layer_that_takes_the_mean(net, block, tmp_path):
    run = finished_run(tmp_path / "run", net, block=block)
    done = export(run, tmp_path / "out")
    assert done.architecture.endswith("ForSequenceClassification")
    assert done.difference < TOLERANCE
    assert differs(tmp_path / "out", run) < TOLERANCE
    assert ("cut after block 02" in done.notes[0]) is (block == 1)


@pytest.mark.slow
@pytest.mark.parametrize("net", ["bert-classifier", "gpt2", "gpt2-classifier"])
def test_what_reads_what_the_run_reads_keeps_its_layers(net, tmp_path):
    run = finished_run(tmp_path / "run", net)
    export(run, tmp_path / "out")
    assert differs(tmp_path / "out", run) < TOLERANCE
    assert t.AutoConfig.from_pretrained(tmp_path / "out").num_hidden_layers == 3


def test_a_decoder_gets_a_bias_that_its_head_cannot_be_moved_to(tmp_path):
    run = finished_run(tmp_path / "run", "gpt2")
    weight = np.random.default_rng(1).normal(size=(3, 16))
    weight -= weight.mean(0)
    save_head(LinearHead(weight.astype(np.float32), np.array([1, 2, 3], np.float32)), run.path)
    export(run, tmp_path / "out")
    assert differs(tmp_path / "out", run) < TOLERANCE


def test_sentences_of_unit_length_are_exported_too(tmp_path):
    run = finished_run(tmp_path / "run", "bert", sentences=True)
    export(run, tmp_path / "out")
    assert differs(tmp_path / "out", run) < TOLERANCE


@pytest.mark.parametrize(("task", "classes"), [("multi-label", ("a", "b")), ("regression", ())])
def test_other_tasks_are_exported_as_what_they_are(task, classes, tmp_path):
    run = finished_run(tmp_path / "run", "bert", task=task, classes=classes)
    export(run, tmp_path / "out")
    assert differs(tmp_path / "out", run) < TOLERANCE


@pytest.mark.parametrize("net", ["t5", "t5-narrow"])
def test_an_encoder_of_t5_gets_a_decoder_that_takes_the_mean(net, tmp_path):
    run = finished_run(tmp_path / "run", net)
    done = export(run, tmp_path / "out")
    assert done.architecture == "T5ForSequenceClassification"
    assert done.difference < TOLERANCE
    singles = [item for item in ITEMS if len(item.parts) == 1]
    assert differs(tmp_path / "out", run, singles) < TOLERANCE


@pytest.mark.parametrize("sentences", [False, True])
def test_an_encoder_whose_attention_hangs_on_places_has_its_head_beside_it(sentences, tmp_path):
    run = finished_run(tmp_path / "run", "mpnet", sentences=sentences)
    done = export(run, tmp_path / "out")
    assert (done.opener, done.script) == ("AutoModel", "classifier.py")
    with quiet():
        logits = runpy.run_path(str(tmp_path / "out" / "classifier.py"))["logits"]
        tokenizer = t.AutoTokenizer.from_pretrained(tmp_path / "out")
        batch = tokenizer.pad([tokenizer(*item.parts, truncation=True) for item in ITEMS], return_tensors="pt")
        batch.pop("token_type_ids", None)
        scored = logits(**batch).numpy()
    expected = Predictor.open(run.path).predict(ITEMS).logits
    assert np.abs(scored - expected).max() / max(1, np.abs(expected).max()) < TOLERANCE


def test_what_reads_no_output_of_its_net_is_refused_with_what_to_do(tmp_path, monkeypatch):
    run = finished_run(tmp_path / "run", "mpnet")
    monkeypatch.setattr(beside, "_readings", lambda *_: iter(()))
    with pytest.raises(NotExportable) as caught:
        export(run, tmp_path / "out")
    assert "transferzoo predict" in caught.value.remedy


@ONNX
@pytest.mark.slow
@pytest.mark.parametrize("net", ["bert", "distilbert"])
def test_a_graph_takes_rows_and_texts_of_any_length(net, tmp_path):
    done = export_onnx(finished_run(tmp_path / "run", net, block=1), tmp_path / "out")
    assert done.difference < TOLERANCE
    assert (tmp_path / "out" / "tokenizer.json").is_file()
