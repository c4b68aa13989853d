"""Nets are tuned on the words of sentences by every strategy: what was tuned tags, and is exported as it tags."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from recommender.runs.folder import RunFolder
from recommender.runs.tracking import no_tracking
from recommender.serving.export import TOLERANCE, export, export_onnx
from recommender.serving.predict import Predictor, answer
from recommender.strategies import strategies
from recommender.testing.evidence import evidence
from recommender.tuning.recipe import run_local
from registry.cards import Checkpoint, Metric, Task
from registry.encoders.loading import inspect
from registry.errors import NotExportable, NotOffered
from registry.sample import Sample
from tests.crossed import crossed
from tests.recommender.tuning.jobs import job
from tests.registry.modalities.text.nets import save

NAMES = {"PER": ["Ada", "Ada Byron", "Linus"], "LOC": ["Lima", "Cape Town", "Oslo"]}
NETS = ("bert", "gpt2", "distilbert", "roberta", "electra", "mpnet", "t5")
STRATEGIES = ("full", "lora", "lp-ft", "norm-only", "partial-1", "scratch", "ulmfit")
FORMS = ["{PER} was in {LOC}", "it rained in {LOC}", "{PER} met {PER} there", "no one came to {LOC} on that day"]


def sentences(rows, seed):
    random = np.random.default_rng(seed)
    words, tags = [], []
    for form in random.choice(FORMS, rows):
        words.append([])
        tags.append([])
        for part in [*str(form).split(), str(random.integers(1000))]:
            kind = part.strip("{}")
            named = str(random.choice(NAMES[kind])).split() if kind in NAMES else [part]
            words[-1] += named
            tags[-1] += [f"{'I' if place else 'B'}-{kind}" if kind in NAMES else "O" for place in range(len(named))]
    return words, tags


def sample():
    return Sample.from_arrays(*sentences(40, 0), name="names", test=sentences(12, 1), keep_duplicates=True)


def card(folder, net):
    opened = inspect(save(folder, net))
    return Checkpoint(net, "text", opened.architecture, folder, opened.digest, opened.parameters, opened.input_size)


def tuned(tmp_path, net, strategy, epochs=1):
    plan = strategies[strategy](evidence((0.5, 0.6, 0.7), rows=600, classes=3))
    plan = replace(plan, stages=tuple(replace(stage, epochs=epochs) for stage in plan.stages), batch_size=16)
    prepared = job(tmp_path, card(tmp_path / "net", net), plan, sample())
    run, _ = run_local(prepared, no_tracking)
    return run, prepared


OPENED = """
import sys, torch, transformers as t
folder = sys.argv[1]
model, tokenizer = t.AutoModelForTokenClassification.from_pretrained(folder), t.AutoTokenizer.from_pretrained(folder)
words = sys.argv[2].split()
coded = tokenizer(" ".join(words), return_tensors="pt", return_offsets_mapping=True)
letters = coded.pop("offset_mapping")[0].tolist()
with torch.inference_mode():
    logits = model.eval()(**coded).logits[0]
ends = [sum(map(len, words[: place + 1])) + place for place in range(len(words))]
starts = [0, *(end + 1 for end in ends)]
tags = []
for start, end in zip(starts, ends):
    own = [at for at, (first, last) in enumerate(letters) if first < last and start < last <= end]
    tags.append(model.config.id2label[int(logits[own[int(sys.argv[3])]].argmax())])
print(" ".join(tags))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("net", "read"), [("bert", 0), ("gpt2", -1)])
def test_transformers_tags_words_as_the_run_does_in_another_process(net, read, tmp_path):
    run, prepared = tuned(tmp_path, net, "linear-probe")
    assert run.metrics["score"] > 0.3
    done = export(RunFolder(prepared.folder), tmp_path / "out")
    assert done.difference < TOLERANCE
    assert done.opener == "AutoModelForTokenClassification"
    assert done.architecture.endswith("ForTokenClassification")
    sentence = "Ada Byron met Linus in Cape Town and it rained"
    expected = Predictor.open(prepared.folder).predict([sentence]).labels[0]
    arguments = [sys.executable, "-c", OPENED, str(tmp_path / "out"), sentence, str(read)]
    opened = subprocess.run(arguments, check=True, capture_output=True, text=True)
    assert opened.stdout.strip() == expected


@pytest.mark.slow
@pytest.mark.parametrize(("net", "strategy"), crossed(NETS, STRATEGIES, 3))
def test_every_strategy_tunes_words(net, strategy, tmp_path):
    if (strategy, net) == ("lora", "gpt2"):
        pytest.skip("GPT-2 has no linear layers: transformers' Conv1D")
    run, prepared = tuned(tmp_path, net, strategy)
    assert 0 <= run.metrics["score"] <= 1
    predicted = Predictor.open(prepared.folder).predict([["Ada", "was", "in", "Cape", "Town"]])
    assert len(predicted.labels[0].split()) == 5
    if net in {"bert", "distilbert", "roberta", "electra", "mpnet"}:
        assert export(RunFolder(prepared.folder), tmp_path / "out").difference < TOLERANCE


@pytest.mark.slow
def test_training_learns_what_a_head_alone_does_not(tmp_path):
    run, prepared = tuned(tmp_path, "bert", "lp-ft", epochs=6)
    assert run.metrics["score"] > 0.5
    assert run.metrics["validation_best"] >= run.metrics["validation_start"]
    (row,) = Predictor.open(prepared.folder).predict([["Ada", "Byron", "was", "in", "Oslo"]]).rows()
    assert row.words == ("Ada", "Byron", "was", "in", "Oslo")
    assert row.scores == ()
    assert all(span.text == " ".join(row.words[span.start : span.end]) for span in row.spans)


def test_heads_that_name_a_class_of_a_row_are_not_offered(tmp_path):
    with pytest.raises(NotOffered, match="token-classification"):
        tuned(tmp_path, "bert", "prototype")


def test_words_are_not_exported_as_a_graph(tmp_path):
    _, prepared = tuned(tmp_path, "bert", "linear-probe")
    with pytest.raises(NotExportable, match="ONNX"):
        export_onnx(RunFolder(prepared.folder), tmp_path / "out")


def test_a_file_with_tags_is_judged_by_its_spans(tmp_path):
    _, prepared = tuned(tmp_path, "bert", "linear-probe")
    file = tmp_path / "more.conll"
    words, tags = sentences(9, 2)
    file.write_text("".join("".join(map("{} {}\n".format, *row)) + "\n" for row in zip(words, tags, strict=True)))
    answered = answer(RunFolder(prepared.folder), file)
    assert answered.judged is not None
    assert answered.judged.metric is Metric.ENTITY_F1
    assert set(answered.judged.recall) <= {"PER", "LOC"}
    assert answered.predictions.task is Task.TOKEN_CLASSIFICATION
    assert [len(row.words) for row in answered.predictions.rows()] == list(map(len, words))
