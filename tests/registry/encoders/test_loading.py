import json
import os
import struct
import sys
import time
import warnings
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers as t
from safetensors import safe_open
from safetensors.numpy import save_file

from registry.encoders import loading
from registry.encoders.layers import layers_of
from registry.encoders.loading import inspect, load, load_network, open_checkpoint
from registry.errors import (
    BadWeights,
    ExtraMissing,
    ExtraUnusable,
    MalformedWeights,
    NotFetched,
    NoWeights,
    PathMissing,
    PickleRefused,
    RemoteCodeRefused,
    ShapeMismatch,
    Unsupported,
)
from tests.registry.encoders.nets import NETS, SQUARE, change, save_net, small_transformer, some_quick, weights


@pytest.fixture
def folder(tmp_path):
    return save_net(tmp_path / "net", "resnet")


def rewrite(folder, **tensors):
    save_file({**weights(folder), **tensors}, folder / "model.safetensors", metadata={"format": "pt"})


def header_of(folder):
    content = (folder / "model.safetensors").read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    return content[8 : 8 + length].decode(), content[8 + length :]


def with_header(folder, header, data):
    raw = header.encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(raw)) + raw + data)


def test_a_sound_folder_says_what_it_is(folder):
    result = inspect(folder)
    assert result.architecture == "ResNetForImageClassification"
    assert result.model_type == "resnet"
    assert result.parameters == sum(p.numel() for p in NETS["resnet"]().parameters())
    assert result.input_size == 32
    assert result.id2label == {0: "cat", 1: "dog", 2: "hen"}
    assert result.num_labels == 3
    assert result.license == "unknown"


@pytest.mark.parametrize("net", some_quick(NETS))
def test_loading_gives_back_exactly_what_was_saved(net, tmp_path):
    torch.manual_seed(0)
    model = NETS[net]().eval()
    loaded = load(save_net(tmp_path / net, model))
    pixels = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(model(pixel_values=pixels)[0], loaded(pixel_values=pixels)[0], rtol=1e-3, atol=1e-3)
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in model.state_dict().items())
    assert not loaded.training


def test_half_precision_weights_are_opened_in_single_precision(tmp_path):
    model = NETS["vit"]().half()
    assert {p.dtype for p in load(save_net(tmp_path, model)).parameters()} == {torch.float32}


def test_from_scratch_depends_on_the_seed_alone(folder):
    def first(seed):
        torch.manual_seed(seed)
        return next(load(folder, from_scratch=True).parameters())

    assert torch.equal(first(1), first(1))
    assert not torch.equal(first(1), first(2))
    assert not torch.equal(first(2), next(load(folder).parameters()))


def test_the_digest_follows_the_weights(folder):
    before = inspect(folder).digest
    rewrite(folder, **{"classifier.1.bias": weights(folder)["classifier.1.bias"] + 1})
    assert inspect(folder).digest != before


def test_sharded_weights_are_opened_like_whole_ones(folder, tmp_path):
    whole = load(folder)
    whole.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    (tmp_path / "shards" / "preprocessor_config.json").write_text((folder / "preprocessor_config.json").read_text())
    assert not (tmp_path / "shards" / "model.safetensors").exists()
    assert inspect(tmp_path / "shards").parameters == inspect(folder).parameters
    for left, right in zip(load(tmp_path / "shards").parameters(), whole.parameters(), strict=True):
        assert torch.equal(left, right)


@pytest.mark.parametrize("net", some_quick(NETS))
def test_a_checkpoint_opened_in_one_go_is_the_one_inspected_and_loaded(net, tmp_path):
    folder = save_net(tmp_path / net, NETS[net]().half() if net == "vit" else net)
    opened, network = open_checkpoint(folder)
    assert opened == inspect(folder)
    assert network.digest == load_network(folder).digest
    for left, right in zip(network.model.parameters(), load(folder).parameters(), strict=True):
        assert torch.equal(left, right)


def test_shards_opened_in_one_go_have_the_digest_of_all_and_other_weights_are_refused(folder, tmp_path):
    load(folder).save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    (tmp_path / "shards" / "preprocessor_config.json").write_text((folder / "preprocessor_config.json").read_text())
    opened, _ = open_checkpoint(tmp_path / "shards")
    assert opened.digest == inspect(tmp_path / "shards").digest
    assert open_checkpoint(tmp_path / "shards", digest=opened.digest)[0] == opened
    with pytest.raises(BadWeights, match="not those that were registered"):
        open_checkpoint(folder, digest=opened.digest)


def test_a_tensor_at_an_odd_place_of_its_file_is_read_as_it_is(folder):
    header, content = header_of(folder)
    with_header(folder, header + " " * (1 + len(header) % 2), content)
    for left, right in zip(open_checkpoint(folder)[1].model.parameters(), load(folder).parameters(), strict=True):
        assert torch.equal(left, right)


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="bytes read are counted by Linux alone")
def test_every_weight_is_read_from_the_disk_once_when_a_checkpoint_is_opened(tmp_path, monkeypatch):
    def bytes_read():
        return int(Path("/proc/self/io").read_text().split()[1])

    @contextmanager
    def headers_only(path, framework):
        with safe_open(path, framework) as stored:
            yield SimpleNamespace(keys=stored.keys, get_slice=stored.get_slice)

    folder = save_net(tmp_path / "net", "resnet")
    rewrite(folder, unused=np.zeros(1 << 20, np.float32))
    open_checkpoint(folder)  # what it imports is read now
    monkeypatch.setattr(loading, "safe_open", headers_only)
    monkeypatch.setattr("transformers.modeling_utils.safe_open", None)
    size = (folder / "model.safetensors").stat().st_size
    before = bytes_read()
    open_checkpoint(folder)
    assert size <= bytes_read() - before < 1.5 * size


def test_a_shard_may_not_lie_elsewhere(folder):
    (folder / "model.safetensors").rename(folder.parent / "model.safetensors")
    index = {"weight_map": {"a": "../model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(MalformedWeights, match="not a safetensors file of this folder"):
        inspect(folder)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(PathMissing, match="nowhere"):
        inspect(tmp_path / "nowhere")


def test_a_folder_without_weights_is_refused(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(NoWeights) as caught:
        inspect(folder)
    assert "save_pretrained" in caught.value.remedy


def test_a_folder_without_a_config_is_refused(folder):
    (folder / "config.json").unlink()
    with pytest.raises(NoWeights, match=r"config\.json"):
        inspect(folder)


def test_pickled_weights_are_never_opened(folder):
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(PickleRefused, match=r"pytorch_model\.bin"):
        inspect(folder)


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json"])
def test_remote_code_is_refused_wherever_it_hides(folder, file):
    change(folder, file, deep={"list": [{"auto_map": {"AutoModel": "evil.Model"}}]})
    with pytest.raises(RemoteCodeRefused, match=r"deep\.list\[0\]\.auto_map"):
        inspect(folder)


def test_kernels_from_a_hub_are_refused(folder):
    change(folder, _attn_implementation="somebody/kernel")
    with pytest.raises(RemoteCodeRefused, match="_attn_implementation"):
        load(folder)


@pytest.mark.parametrize("content", [b"", b"12345678", b"\xff" * 64, struct.pack("<Q", 5) + b"{oops" + b"x" * 9])
def test_a_malformed_file_is_refused(folder, content):
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(MalformedWeights):
        inspect(folder)


def test_a_truncated_file_is_refused(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(MalformedWeights):
        inspect(folder)


def test_a_tensor_stored_twice_is_named(folder):
    header, data = header_of(folder)
    name = next(key for key in json.loads(header) if key != "__metadata__")
    entry = json.dumps(json.loads(header)[name])
    with_header(folder, f"{header.rstrip()[:-1]},{json.dumps(name)}:{entry}}}", data)
    with pytest.raises(BadWeights, match=f"{name}.*stored twice"):
        inspect(folder)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_named(folder, bad):
    bias = np.array([0.0, bad, 0.0], np.float32)
    rewrite(folder, **{"classifier.1.bias": bias})
    with pytest.raises(BadWeights, match=r"classifier\.1\.bias.*NaN or infinity"):
        inspect(folder)


def test_a_config_of_another_width_is_refused(folder):
    change(folder, hidden_sizes=[8, 12, 16, 32])
    with pytest.raises(ShapeMismatch, match="the config wants"):
        inspect(folder)


def test_a_config_of_another_depth_is_refused(folder):
    change(folder, depths=[1, 1, 1, 1])
    with pytest.raises(ShapeMismatch, match="no such weight"):
        inspect(folder)
    change(folder, depths=[1, 1, 3, 1])
    with pytest.raises(ShapeMismatch, match="not stored"):
        load(folder)


def test_names_of_weights_with_a_prefix_of_their_trainer_are_told(folder):
    prefixed = {f"module.{name}": tensor for name, tensor in weights(folder).items()}
    save_file(prefixed, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ShapeMismatch, match=r"is not stored, but module\..* is") as caught:
        load(folder)
    assert "'module.'" in caught.value.remedy


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"architectures": ["NobodysNet"]}, "not one of transformers'"),
        ({"architectures": ["os"]}, "not one of transformers'"),
        ({"architectures": [], "model_type": "nobodys"}, "not one of transformers'"),
        ({"architectures": ["WhisperModel"]}, "takes input_features"),
        ({"num_channels": 2}, "2 channels"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"hidden_sizes": "wide"}, "config is refused"),
        ({"hidden_sizes": [10**9] * 4}, "more than 1,000,000"),
        ({"depths": [10**5] * 4}, "tensors are stored"),
        ({"num_labels": 10**9}, "num_labels 1000000000"),
        ({"id2label": "cat"}, "does not map class numbers to names"),
        ({"id2label": {"first": "cat"}}, "does not map class numbers to names"),
    ],
)
def test_what_cannot_be_opened_here_is_said(folder, values, why):
    change(folder, **values)
    with pytest.raises(Unsupported, match=why):
        inspect(folder)


def test_a_number_of_layers_that_are_not_built_is_no_reason(folder):
    plain = inspect(folder).parameters
    change(folder, max_window_layers=10**5)
    assert inspect(folder).parameters == plain


def test_a_config_that_is_no_json_is_said(folder):
    (folder / "config.json").write_text("{")
    with pytest.raises(Unsupported, match=r"config\.json cannot be read"):
        inspect(folder)


def test_an_adapter_is_no_model(folder):
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "somebody/else"}')
    with pytest.raises(Unsupported, match="adapter"):
        inspect(folder)


def test_placeholder_names_and_regression_heads_are_no_classes(folder):
    change(folder, id2label={str(n): f"LABEL_{n}" for n in range(3)}, label2id=None)
    assert inspect(folder).id2label == {}
    change(folder, id2label={"0": "x", "1": "y", "2": "z"}, problem_type="regression")
    assert inspect(folder).num_labels == 0


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("SOURCE.json", '{"licence": "MIT"}'),
        ("card.json", '{"license": "MIT"}'),
        ("README.md", "---\nlicense: MIT\n---\n# Net\n"),
    ],
)
def test_a_stated_license_is_found(folder, file, content):
    (folder / file).write_text(content)
    assert inspect(folder).license == "MIT"


def test_opening_says_nothing(folder, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        inspect(folder)
        load(folder)
    printed = capfd.readouterr()
    assert printed.out == printed.err == ""


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int32, torch.float8_e4m3fn, torch.float8_e5m2])
def test_weights_that_are_no_floats_are_named(folder, dtype):
    import safetensors.torch

    path = folder / "model.safetensors"
    tensors = safetensors.torch.load_file(path)
    tensors["classifier.1.weight"] = (100 * tensors["classifier.1.weight"]).to(dtype)
    safetensors.torch.save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(BadWeights, match=r"classifier\.1\.weight' is stored as .*not as floats") as caught:
        inspect(folder)
    assert "float32" in caught.value.remedy


def test_where_all_weights_are_of_eight_bits_their_kind_is_what_is_wrong_and_not_their_shape(folder):
    import safetensors.torch

    path = folder / "model.safetensors"
    tensors = {name: value.to(torch.float8_e4m3fn) for name, value in safetensors.torch.load_file(path).items()}
    safetensors.torch.save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(BadWeights, match="is stored as F8_E4M3, not as floats"):
        inspect(folder)


def test_weights_of_64_bits_are_those_of_32(folder):
    import safetensors.torch

    before, path = load(folder), folder / "model.safetensors"
    tensors = {name: value.double() for name, value in safetensors.torch.load_file(path).items()}
    safetensors.torch.save_file(tensors, path, metadata={"format": "pt"})
    after = load(folder)
    for one, other in zip(before.parameters(), after.parameters(), strict=True):
        assert torch.equal(one, other)


def test_whole_numbers_that_are_no_weights_are_no_harm(folder):
    rewrite(folder, **{"resnet.embedder.embedder.normalization.num_batches_tracked": np.array(7)})
    assert inspect(folder).num_labels == 3


def test_a_pointer_of_git_lfs_is_told_as_such(folder):
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 346293852\n"
    (folder / "model.safetensors").write_text(text)
    with pytest.raises(NotFetched) as caught:
        inspect(folder)
    assert "git lfs pull" in caught.value.remedy


@pytest.mark.parametrize("kept", ["training_args.bin", "optimizer.pt"])
def test_a_trainers_checkpoint_says_which_file_to_bring(folder, kept):
    (folder / "preprocessor_config.json").unlink()
    (folder / kept).write_bytes(b"x")
    with pytest.raises(Unsupported, match=rf"Trainer's checkpoint \({kept}") as caught:
        inspect(folder)
    assert "Copy preprocessor_config.json" in caught.value.remedy
    with pytest.raises(Unsupported, match="holds no model itself") as caught:
        inspect(folder.parent)
    assert str(folder) in caught.value.remedy


def test_a_backbone_saved_without_its_pooler_is_opened_without_one(tmp_path):
    whole = NETS["vit"]().eval()
    folder = save_net(tmp_path, whole.vit)
    assert not any("pooler" in name for name in weights(folder))
    assert inspect(folder).architecture == "ViTModel"
    pixels = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        expected, result = (model(pixel_values=pixels) for model in (whole.vit, load(folder)))
    torch.testing.assert_close(result.last_hidden_state, expected.last_hidden_state)
    assert result.pooler_output is None
    assert not any("pooler" in name for name, _ in load(folder, from_scratch=True).named_parameters())


@pytest.mark.parametrize("stated", ["ResNetForImageClassification", None, []])
def test_an_architecture_is_known_by_its_name_or_by_the_type_and_what_is_stored(folder, tmp_path, stated):
    change(folder, architectures=stated)
    assert inspect(folder).architecture == "ResNetForImageClassification"
    bare = save_net(tmp_path / "bare", NETS["resnet"]().resnet)
    change(bare, architectures=stated or None)
    if not stated:
        assert inspect(bare).architecture == "ResNetModel"


def test_a_byte_order_mark_does_no_harm(folder):
    path = folder / "config.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert inspect(folder).num_labels == 3


def test_class_names_may_be_a_list(folder):
    change(folder, id2label=["cat", "dog", "hen"], label2id=None)
    assert inspect(folder).id2label == {0: "cat", 1: "dog", 2: "hen"}


def test_class_names_that_skip_a_class_are_not_believed(folder):
    change(folder, id2label={"1": "cat", "2": "dog", "3": "hen"}, label2id=None)
    assert inspect(folder).id2label == {}


@pytest.mark.parametrize(
    ("front", "license"),
    [
        ('license: "apache-2.0"', "apache-2.0"),
        ("license: mit # as upstream", "mit"),
        ("license:\n- mit\n- apache-2.0", "mit AND apache-2.0"),
        ("license:\n  name: mit\n  link: x", "mit"),
        ("tags:\r\n- x\r\nlicense: mit\r", "mit"),
        ("license: other\nlicense_name: mit", "other"),
        ("license: 2026-01-01", "2026-01-01"),
        ("license: [mit", "unknown"),
        ("license: no", "unknown"),
        ("a: &x [1]\nlicense: *x", "unknown"),
        ("license:", "unknown"),
    ],
)
def test_a_license_is_read_as_yaml(folder, front, license):
    (folder / "README.md").write_bytes(f"---\n{front}\n---\n# Net\n".encode())
    assert inspect(folder).license == license


def test_a_header_with_many_names_twice_is_refused_at_once(folder):
    _, data = header_of(folder)
    entry = '{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
    names = [f'"tensor {place % 20_000}":{entry}' for place in range(40_000)]
    with_header(folder, "{" + ",".join(names) + "}", data)
    began = time.perf_counter()
    with pytest.raises(BadWeights, match="stored twice"):
        inspect(folder)
    assert time.perf_counter() - began < 20  # 6 s a 20,000 names when each was counted anew: a minute for these


@pytest.mark.parametrize("header", ["[" * 100_000, "[[[1],2]]", "[1]", '{"a":' * 9000, "{}" + " " * (9 << 20)])
def test_an_odd_header_is_named(folder, header):
    with_header(folder, header, b"")
    with pytest.raises((MalformedWeights, ShapeMismatch)):
        inspect(folder)


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json", "SOURCE.json"])
@pytest.mark.parametrize("content", [b"[" * 100_000, b"\xff", b"[]", b'{"a": NaN}', b" " * (9 << 20)])
def test_a_settings_file_beyond_the_limits_is_named(folder, file, content):
    (folder / file).write_bytes(content)
    with pytest.raises(Unsupported, match=file):
        inspect(folder)


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_a_pipe_is_not_waited_for(folder, file):
    (folder / file).unlink()
    os.mkfifo(folder / file)
    with pytest.raises((NoWeights, Unsupported)):
        inspect(folder)


TOWER = small_transformer()
WORDS = {**TOWER, "vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


@pytest.mark.parametrize(
    ("config", "kind"),
    [(t.CLIPConfig, t.CLIPModel), (t.SiglipConfig, t.SiglipModel), (t.Aimv2Config, t.Aimv2Model)],
)
def test_of_a_model_that_compares_images_with_texts_the_image_tower_is_opened(config, kind, tmp_path):
    whole = kind(config(vision_config=TOWER, text_config=WORDS)).eval()
    folder = save_net(tmp_path, whole)
    assert inspect(folder).architecture == kind.__name__.replace("Model", "VisionModel")
    tower = load(folder)
    pixels = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        expected = whole.vision_model(pixel_values=pixels).pooler_output
        torch.testing.assert_close(tower(pixel_values=pixels).pooler_output, expected)
    assert inspect(folder).parameters < sum(p.numel() for p in whole.parameters())


def test_pixels_that_were_made_into_numbers_of_colors_are_no_pictures(folder):
    change(folder, architectures=["ImageGPTForImageClassification"], model_type="imagegpt")
    with pytest.raises(Unsupported, match="input_ids that are made of image") as caught:
        inspect(folder)
    assert "reads its items as they are" in caught.value.remedy


@pytest.mark.skipif(find_spec("natten") is not None, reason="natten is installed")
def test_a_library_that_an_architecture_lacks_is_named(folder):
    change(folder, architectures=["DinatForImageClassification"], model_type="dinat")
    with pytest.raises(Unsupported, match="natten") as caught:
        inspect(folder)
    assert "pip install natten" in caught.value.remedy


def test_a_judge_of_pictures_by_a_written_policy_is_refused(folder):
    change(folder, architectures=["ShieldGemma2ForImageClassification"], model_type="shieldgemma2")
    with pytest.raises(Unsupported, match="texts") as caught:
        inspect(folder)
    assert "one kind of item" in caught.value.remedy


def test_a_net_that_takes_its_own_size_alone_is_shown_that(tmp_path):
    torch.manual_seed(0)
    narrow = {"hidden_sizes": [16] * 3, "num_attention_heads": [1] * 3, "depths": [1] * 3, "key_dim": [8] * 3}
    net = t.LevitForImageClassification(t.LevitConfig(image_size=64, **narrow))
    folder = save_net(tmp_path / "levit", net, {**SQUARE, "size": {"height": 64, "width": 64}})
    assert load_network(folder, cap=32).preprocessing.side == 64
    assert load_network(save_net(tmp_path / "vit", "vit"), cap=16).preprocessing.side == 16


OF_TIMM = {
    "architecture": "resnet18",
    "num_classes": 3,
    "model_args": {"num_classes": 3, "in_chans": 3},
    "pretrained_cfg": {"input_size": [3, 32, 32], "mean": [0.5] * 3, "std": [0.5] * 3},
}


@pytest.mark.skipif(find_spec("timm") is not None, reason="timm is installed")
def test_weights_of_timm_name_the_extra_that_opens_them(folder):
    (folder / "preprocessor_config.json").unlink()
    (folder / "config.json").write_text(json.dumps(OF_TIMM))
    with pytest.raises(ExtraMissing, match="timm") as caught:
        inspect(folder)
    assert "transferzoo[timm]" in caught.value.remedy


@pytest.mark.parametrize(
    ("torchvision", "why"),
    [
        (None, "No module named"),
        ("raise RuntimeError('operator torchvision::nms does not exist')", "operator torchvision::nms"),
    ],
)
def test_a_timm_that_does_not_load_is_named_with_the_reason(folder, tmp_path, monkeypatch, torchvision, why):
    packages = tmp_path / "packages"
    imported = "torchvision_of_this_test"
    (packages / "timm").mkdir(parents=True)
    (packages / "timm/__init__.py").write_text(f"import {imported}\n")
    if torchvision is not None:
        (packages / f"{imported}.py").write_text(torchvision)
    monkeypatch.syspath_prepend(packages)
    for name in [one for one in sys.modules if one.partition(".")[0] == "timm"]:
        monkeypatch.delitem(sys.modules, name)
    (folder / "config.json").write_text(json.dumps(OF_TIMM))
    with pytest.raises(ExtraUnusable, match=f"timm is installed, but does not load: .*{why}") as caught:
        inspect(folder)
    assert "transferzoo[timm]" in caught.value.remedy


def test_weights_of_timm_are_opened_as_timm_saves_them(tmp_path):
    timm = pytest.importorskip("timm", reason="needs timm, and a torchvision that loads", exc_type=ImportError)
    net = timm.create_model("resnet18", num_classes=3).eval()
    tensors = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_text(json.dumps(OF_TIMM))
    network = load_network(tmp_path)
    layers = layers_of(network)
    assert len(layers.names) == 4
    assert layers.head == "timm_model.fc"
    pixels = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(network.model(pixel_values=pixels).logits, net(pixels))
