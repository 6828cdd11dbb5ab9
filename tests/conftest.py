"""Fixtures that more than one part's tests use."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

_BUILD = Path(__file__).parent / "nvml_stub" / "build.py"


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    """Keep the tests, and the commands that they start, away from the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def nvml_stub_module():
    """tests/nvml_stub/build.py: the tests are no package, so it is loaded by its path."""
    spec = importlib.util.spec_from_file_location("nvml_stub_build", _BUILD)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    if sys.platform != "linux" or module.compiler() is None:
        pytest.skip("the NVML stub needs Linux and a C compiler (cc, gcc or clang)")
    return module


@pytest.fixture(scope="session")
def nvml_stub(nvml_stub_module, tmp_path_factory):
    """A machine with two GPUs behind the real pynvml; tests/nvml_stub/build.py says how to use it."""
    return nvml_stub_module.NvmlStub(nvml_stub_module.build(tmp_path_factory.mktemp("nvml")))
