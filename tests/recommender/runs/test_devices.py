import time

import numpy as np
import pytest
import torch

from recommender.runs.devices import available_devices, metered, precision, resolve
from registry.errors import DeviceMissing


def test_a_machine_has_a_cpu_at_least_and_auto_is_the_first_that_it_has():
    assert available_devices()[-1] == "cpu"
    assert resolve("auto") == resolve() == available_devices()[0]
    assert resolve("cpu") == "cpu"


@pytest.mark.parametrize(
    ("requested", "report"), [("cuda:99", "CUDA|GPU"), ("gpu", "no device's name"), ("cuda:x", "name")]
)
def test_a_device_that_is_not_there_is_named_with_those_that_are(requested, report):
    with pytest.raises(DeviceMissing, match=report) as caught:
        resolve(requested)
    assert requested in str(caught.value)
    assert "cpu" in caught.value.remedy


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has it")
def test_a_mac_is_needed_for_mps():
    with pytest.raises(DeviceMissing, match="Apple"):
        resolve("mps")


def test_a_gpu_that_torch_was_not_built_for_is_told_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(DeviceMissing, match="without CUDA"):
        resolve("cuda:0")


def test_two_gpus_are_two_devices_and_cuda_is_the_first(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    assert available_devices()[:2] == ("cuda:0", "cuda:1")
    assert (resolve(), resolve("cuda"), resolve("cuda:1")) == ("cuda:0", "cuda:0", "cuda:1")
    with pytest.raises(DeviceMissing, match="only 2"):
        resolve("cuda:2")


def test_a_cpu_computes_in_full_precision_and_a_gpu_in_half_where_it_is_native(monkeypatch):
    assert precision("cpu") is torch.float32
    for native, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True, report=native: report)
        assert precision("cuda:0") is dtype


def test_memory_that_was_held_for_a_moment_is_counted_and_what_came_before_is_not():
    with metered("cpu") as before:
        time.sleep(0.05)
    with metered("cpu") as meter:
        held = np.ones(1 << 25)
        time.sleep(0.1)
        del held
    with metered("cpu") as after:
        time.sleep(0.05)
    assert meter.peak_bytes > before.peak_bytes + (200 << 20)
    assert after.peak_bytes < meter.peak_bytes - (200 << 20)


@pytest.mark.gpu
def test_the_memory_of_a_gpu_is_that_of_its_allocator():
    device = resolve("cuda")
    with metered(device) as meter:
        held = torch.ones(1 << 26, device=device)
        del held
    assert 256 << 20 <= meter.peak_bytes < 512 << 20
