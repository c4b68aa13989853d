import importlib
import json
import runpy
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
import transformers as t
from transformers import AutoImageProcessor, AutoModelForImageClassification

from recommender.runs.folder import RunFolder
from recommender.runs.tracking import no_tracking
from recommender.serving import beside
from recommender.serving import export as exporting
from recommender.serving.card import model_card
from recommender.serving.export import TOLERANCE, export, export_onnx, staged
from recommender.serving.predict import Predictor
from recommender.tuning.heads import NeighborsHead, PrototypeHead
from recommender.tuning.recipe import run_local
from registry.encoders.loading import inspect, quiet
from registry.errors import ExtraMissing, FolderUnusable, NotExportable, NotFinished
from tests.recommender.tuning.jobs import checkpoint, job, plan, whole
from tests.recommender.tuning.runs import CLASSES, finished_run
from tests.registry.encoders.nets import SQUARE, pictures, settings

ONNX = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("onnx", "onnxruntime", "onnxscript")),
    reason='needs the extra: pip install "transferzoo[onnx]"',
)
LARGE = {**SQUARE, "size": {"height": 256, "width": 256}}


def opened(folder, items):
    """Logits of what was exported, by nothing but transformers' own classes."""
    with quiet(), torch.inference_mode():
        model = AutoModelForImageClassification.from_pretrained(folder).eval()
        pixels = AutoImageProcessor.from_pretrained(folder)(images=[i.open() for i in items], return_tensors="pt")
        return model, model(**pixels).logits.numpy()


def differs(folder, run, count=6):
    items = pictures(count, side=50)
    return np.abs(opened(folder, items)[1] - Predictor.open(run.path).predict(items).logits).max()


def differs_beside(folder, run, count=6):
    """The same of a head beside its net, with what the processor in the folder gives."""
    items = pictures(count, side=50)
    processor = t.AutoImageProcessor.from_pretrained(folder, backend="pil")
    pixels = processor(images=[item.open() for item in items], return_tensors="pt")
    logits = runpy.run_path(str(folder / "classifier.py"))["logits"](**pixels).numpy()
    return np.abs(logits - Predictor.open(run.path).predict(items).logits).max()


@pytest.mark.parametrize(
    "net",
    [
        "resnet",
        "segmentation",
        "vit",
        *(
            pytest.param(net, marks=pytest.mark.slow)
            for net in (
                "convnext",
                "deit",
                "dinov2",
                "mobilenet_v1",
                "mobilenet_v2",
                "regnet",
                "swin",
                "textnet",
            )
        ),
    ],
)
def test_transformers_alone_opens_what_was_exported_to_the_same_logits(net, tmp_path):
    run = finished_run(tmp_path / "run", net)
    done = export(run, tmp_path / "out")
    assert differs(tmp_path / "out", run) < TOLERANCE
    assert done.difference < TOLERANCE
    assert done.architecture.endswith("ForImageClassification")


@pytest.mark.parametrize("net", ["resnet", "regnet", "textnet"])
def test_a_head_on_an_earlier_block_gets_a_net_that_ends_there(net, tmp_path):
    run = finished_run(tmp_path / "run", net, block=1)
    done = export(run, tmp_path / "out")
    assert "cut after block 02" in done.notes[0]
    assert differs(tmp_path / "out", run) < TOLERANCE
    small, large = (sum(file.stat().st_size for file in folder.glob("model*")) for folder in (done.folder, run.path))
    assert small < large


@pytest.mark.parametrize("net", ["convnext", "dinov2", "mobilenet_v2", "vit"])
def test_a_head_on_an_earlier_block_lies_beside_its_net_where_none_ends_there(net, tmp_path):
    run = finished_run(tmp_path / "run", net, block=1)
    done = export(run, tmp_path / "out")
    assert "block 02" in done.notes[0]
    assert done.opener == "AutoModel"
    assert differs_beside(tmp_path / "out", run) < TOLERANCE


def test_what_no_output_of_a_net_holds_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(beside, "_readings", lambda *_: iter(()))
    with pytest.raises(NotExportable, match="block 02") as caught:
        export(finished_run(tmp_path / "run", "vit", block=1), tmp_path / "out")
    assert "--onnx" in caught.value.remedy
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


@pytest.mark.parametrize("kind", [t.CLIPModel, t.SiglipModel])
def test_the_image_tower_of_a_net_that_compares_is_exported_with_its_head_beside_it(kind, tmp_path):
    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    seeing = {**small, "image_size": 32, "patch_size": 8}
    reading = {**small, "vocab_size": 20, "bos_token_id": 1, "eos_token_id": 2}
    config = kind.config_class(text_config=reading, vision_config=seeing)
    run = finished_run(tmp_path / "run", kind(config))
    done = export(run, tmp_path / "out")
    assert done.architecture == kind.__name__.replace("Model", "VisionModel")
    assert "no image classifier" in done.notes[0]
    assert done.difference < TOLERANCE
    assert differs_beside(tmp_path / "out", run) < TOLERANCE
    assert 'run_path("FOLDER/classifier.py")' in model_card(run, done, None)
    assert inspect(tmp_path / "out").architecture == done.architecture


def test_a_pooler_that_no_classifier_has_is_read_beside(tmp_path):
    net = t.ViTModel(
        t.ViTConfig(
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            image_size=32,
            patch_size=8,
        )
    )
    run = finished_run(tmp_path / "run", net)
    assert "what ViTModel pools" in export(run, tmp_path / "out").notes[0]
    assert "pooler_output" in (tmp_path / "out" / "classifier.py").read_text()
    assert differs_beside(tmp_path / "out", run) < TOLERANCE


def test_positions_are_made_for_the_size_that_was_tuned_at(tmp_path):
    """Inputs beyond 224 px are made smaller in tuning; who opens the export is not told so."""
    net = t.ViTForImageClassification(
        t.ViTConfig(
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            image_size=256,
            patch_size=32,
        )
    )
    torch.nn.init.normal_(net.vit.embeddings.position_embeddings)
    run = finished_run(tmp_path / "run", net, preprocessor=LARGE)
    export(run, tmp_path / "out")
    model, _ = opened(tmp_path / "out", pictures(1))
    assert model.config.image_size == 224
    assert model.vit.embeddings.position_embeddings.shape[1] == 1 + 7 * 7
    assert differs(tmp_path / "out", run) < TOLERANCE


def test_labels_and_kind_of_problem_are_told(tmp_path):
    export(finished_run(tmp_path / "run"), tmp_path / "out")
    config = settings(tmp_path / "out")
    assert config["id2label"] == {str(place): name for place, name in enumerate(CLASSES)}
    assert config["label2id"] == {name: place for place, name in enumerate(CLASSES)}
    assert config["problem_type"] == "single_label_classification"
    assert config["architectures"] == ["ResNetForImageClassification"]


@pytest.mark.parametrize(
    ("task", "classes", "problem", "outputs"),
    [("multi-label", CLASSES, "multi_label_classification", 4), ("regression", (), "regression", 1)],
)
def test_other_tasks_are_exported_as_what_they_are(task, classes, problem, outputs, tmp_path):
    run = finished_run(tmp_path / "run", task=task, classes=classes)
    export(run, tmp_path / "out")
    model, logits = opened(tmp_path / "out", pictures(2))
    assert model.config.problem_type == problem
    assert logits.shape == (2, outputs)
    assert differs(tmp_path / "out", run) < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("net", ["resnet", "vit"])
def test_a_tuned_run_is_exported_as_a_fresh_process_sees(net, tmp_path):
    card = checkpoint(tmp_path / "net", net)
    prepared = job(tmp_path, card, plan(card, whole(card)))
    done, _ = run_local(prepared, no_tracking)
    export(RunFolder(prepared.folder), tmp_path / "out")
    items = pictures(4)
    for item in items:
        item.open().save(tmp_path / item.name)
    text = (
        "import json, sys; from PIL import Image; from transformers import AutoImageProcessor as P, "
        "AutoModelForImageClassification as M; d, *files = sys.argv[1:]\n"
        "m, p = M.from_pretrained(d).eval(), P.from_pretrained(d)\n"
        "print(json.dumps(m(**p(images=[Image.open(f) for f in files], return_tensors='pt')).logits.tolist()))"
    )
    command = [sys.executable, "-c", text, tmp_path / "out", *(tmp_path / item.name for item in items)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    np.testing.assert_allclose(json.loads(output), Predictor.open(done.folder).predict(items).logits, atol=TOLERANCE)


@pytest.mark.parametrize("write", [export, export_onnx])
@pytest.mark.parametrize("kind", [PrototypeHead, NeighborsHead])
def test_heads_that_are_no_layer_are_refused_with_the_reason(kind, write, tmp_path):
    random = np.random.default_rng(0)
    head = kind.fit(random.normal(size=(9, 24)).astype(np.float32), np.arange(9) % 3, 3)
    with pytest.raises(NotExportable, match="classifier is linear") as caught:
        write(finished_run(tmp_path / "run", head=head), tmp_path / "out")
    assert "linear-probe" in caught.value.remedy


def test_an_unfinished_run_is_refused(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.start({"id": "run"})
    with pytest.raises(NotFinished):
        export(folder, tmp_path / "out")


def test_what_differs_is_not_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "_put_head", lambda tuned, model, layers: None)
    with pytest.raises(NotExportable, match="differs from the run by"):
        export(finished_run(tmp_path / "run"), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_a_folder_with_something_in_it_and_a_file_are_refused(tmp_path):
    run = finished_run(tmp_path / "run")
    with pytest.raises(FolderUnusable, match="not empty"):
        export(run, tmp_path / "run")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FolderUnusable, match="is a file"):
        export(run, tmp_path / "file")
    with pytest.raises(FolderUnusable):
        export(run, tmp_path / "file" / "below")
    assert (tmp_path / "file").read_text() == "mine"


def test_an_empty_folder_is_filled_and_missing_ones_above_are_made(tmp_path):
    (tmp_path / "empty").mkdir()
    run = finished_run(tmp_path / "run")
    for place in (tmp_path / "empty", tmp_path / "a" / "b"):
        export(run, place)
        assert (place / "model.safetensors").is_file()


def test_an_interrupted_writing_leaves_nothing(tmp_path):
    def interrupted():
        with staged(tmp_path / "out") as folder:
            (folder / "half").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@ONNX
@pytest.mark.parametrize("net", ["resnet", "vit", "dinov2"])
def test_onnx_gives_the_same_logits_for_any_number_of_rows(net, tmp_path):
    from onnxruntime import InferenceSession

    run = finished_run(tmp_path / "run", net)
    assert export_onnx(run, tmp_path / "out").difference < TOLERANCE
    predictor, session = Predictor.open(run.path), InferenceSession(tmp_path / "out" / "model.onnx")
    processor = AutoImageProcessor.from_pretrained(tmp_path / "out")
    for count in (1, 7):
        items = pictures(count)
        pixels = processor(images=[item.open() for item in items], return_tensors="np")["pixel_values"]
        (finished,) = session.run(["logits"], {"pixel_values": pixels})
        np.testing.assert_allclose(finished, predictor.predict(items).logits, atol=TOLERANCE)
    assert settings(tmp_path / "out")["id2label"]["0"] == CLASSES[0]


@ONNX
@pytest.mark.slow
@pytest.mark.parametrize("net", ["convnext", "deit", "mobilenet_v2", "regnet", "swin"])
@pytest.mark.parametrize("block", [-1, 0])
def test_onnx_of_more_architectures(net, block, tmp_path):
    assert export_onnx(finished_run(tmp_path / "run", net, block=block), tmp_path / "out").difference < TOLERANCE


@ONNX
@pytest.mark.slow
def test_onnx_reads_an_earlier_block_where_transformers_cannot(tmp_path):
    assert export_onnx(finished_run(tmp_path / "run", "vit", block=1), tmp_path / "out").difference < TOLERANCE


@ONNX
def test_what_the_exporter_does_not_know_is_told(tmp_path, monkeypatch):
    def unknown(*_, **__):
        raise RuntimeError("no such operator\nand so on")

    monkeypatch.setattr(torch.onnx, "export", unknown)
    with pytest.raises(NotExportable, match=r"cannot express ResNet.*\(no such operator\)") as caught:
        export_onnx(finished_run(tmp_path / "run"), tmp_path / "out")
    assert "without --onnx" in caught.value.remedy


def test_without_the_extra_onnx_names_it(tmp_path, monkeypatch):
    known = importlib.util.find_spec
    monkeypatch.setattr(exporting, "find_spec", lambda name: None if name == "onnxscript" else known(name))
    with pytest.raises(ExtraMissing, match="onnxscript is not installed") as caught:
        export_onnx(RunFolder(tmp_path), tmp_path / "out")
    assert 'pip install "transferzoo[onnx]"' in caught.value.remedy
