"""What tests that evaluate real trials share."""

import importlib
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="module")
def real(request, tmp_path_factory):
    """real_training.py, on one thread and without measuring speed.

    What the test's module has as ``PLANTED``, the text of modules by their names, can be imported meanwhile.
    """
    folder = tmp_path_factory.mktemp("modules")
    for name, text in getattr(request.module, "PLANTED", {}).items():
        (folder / f"{name}.py").write_text(text)
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        patch.syspath_prepend(folder)
        module = importlib.import_module("real_training")
        patch.setattr("harness.study.trial.finishing.measure_speed", module.quick_speed)
        torch.set_num_threads(1)
        yield module
        torch.set_num_threads(threads)
