"""What fork servers load: once CUDA has begun in a process, no fork of it can use the GPU."""

import subprocess
import sys

import pytest

CODE = """
import importlib

import torch


begun = []
for name in ("_lazy_init", "current_device", "device_count", "get_device_properties", "init", "is_available"):
    setattr(torch.cuda, name, lambda *_, name=name, **__: begun.append(name))

import harness.bench.child
import harness.study.execute.early

importlib.import_module(harness.study.execute.early.TRAINING)
print(begun)
"""


@pytest.mark.slow
def test_loading_what_is_to_be_forked_does_not_begin_cuda():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
