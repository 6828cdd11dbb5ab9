"""Fixtures that more than one part's tests use."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from hypothesis import settings

if "PYTEST_XDIST_WORKER" in os.environ:
    # Before torch is imported: two teams of threads on two cores are slower than none (0.02 to 0.35 times as fast).
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A busy neighbour makes any example slow.
settings.register_profile("busy", deadline=None)
settings.load_profile("busy")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell without job control starts what runs in its background so; tests that press Ctrl-C would wait for ever.
    signal.signal(signal.SIGINT, signal.default_int_handler)

_BUILD = Path(__file__).parent / "nvml_stub" / "build.py"
_BENCH_RUNS = Path(__file__).parent / "bench_runs.py"
_COMPARISONS = Path(__file__).parent / "comparisons.py"
_SCRIPTED_SAMPLER = Path(__file__).parent / "scripted_sampler.py"


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    """Keep the tests, and the commands that they start, away from the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def gone():
    """Return a function that tells whether a process that was killed has ended, now or within five seconds.

    One that has ended, and that nobody has buried yet, does not run.
    """

    def gone(pid):
        deadline_s = time.monotonic() + 5
        with suppress(psutil.NoSuchProcess):
            while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                if time.monotonic() > deadline_s:
                    return False
                time.sleep(0.02)
        return True

    return gone


@pytest.fixture(scope="session")
def running():
    """Return a function that lists the processes of a test, or of another process, that are called so and run.

    They come and go while they are asked; one that has ended, and that nobody has buried yet, does not run.
    """

    def running(*names, of=None):
        found = []
        for child in psutil.Process(of).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if child.name() in names and child.status() != psutil.STATUS_ZOMBIE:
                    found.append(child.pid)
        return found

    return running


def _load(name, path):
    """Return a module by its path: the tests are no package."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def bench_runs():
    """tests/bench_runs.py: made-up benchmark folders."""
    return _load("bench_runs", _BENCH_RUNS)


@pytest.fixture(scope="session")
def comparisons():
    """tests/comparisons.py: made-up comparisons of architectures."""
    return _load("comparisons", _COMPARISONS)


@pytest.fixture(scope="session")
def scripted_sampler():
    """Return a function that makes samplers of made-up meters; see tests/scripted_sampler.py."""
    return _load("scripted_sampler", _SCRIPTED_SAMPLER).scripted_sampler


@pytest.fixture(scope="module")
def without_charts():
    """Runs get their reports as Markdown alone: drawing the charts of a page takes as long as a small search."""
    from harness.report import write_report

    with pytest.MonkeyPatch.context() as patch:
        for module in ("api", "ensembling"):
            patch.setattr(f"harness.{module}.write_report", lambda run: write_report(run, ["md"]))
        yield


@pytest.fixture(scope="session")
def nvml_stub_module():
    """tests/nvml_stub/build.py."""
    module = _load("nvml_stub_build", _BUILD)
    if sys.platform != "linux" or module.compiler() is None:
        pytest.skip("the NVML stub needs Linux and a C compiler (cc, gcc or clang)")
    return module


@pytest.fixture(scope="session")
def nvml_stub(nvml_stub_module, tmp_path_factory):
    """A machine with two GPUs behind the real pynvml; tests/nvml_stub/build.py says how to use it."""
    return nvml_stub_module.NvmlStub(nvml_stub_module.build(tmp_path_factory.mktemp("nvml")))


@pytest.fixture(scope="session")
def postgresql():
    """A server on a free port of this machine; calling it returns the URL of a fresh, empty database."""
    psycopg = pytest.importorskip("psycopg")
    homes = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    search = os.pathsep.join([*map(str, homes), os.environ.get("PATH", "")])
    initdb, pg_ctl = (shutil.which(name, path=search) for name in ("initdb", "pg_ctl"))
    if not initdb or not pg_ctl:
        pytest.skip("no PostgreSQL server is installed (initdb and pg_ctl)")
    # The server refuses to run as root; its own user cannot enter the folders of pytest.
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    user = {"user": "postgres", "group": "postgres", "extra_groups": []} if root else {}
    folder = Path(tempfile.mkdtemp(prefix="harness-pg-"))
    data, log, password = folder / "data", folder / "log", folder / "password"

    def call(*command):
        with log.open("ab") as file:
            done = subprocess.run(command, stdout=file, stderr=file, stdin=subprocess.DEVNULL, cwd=folder, **user)
        assert done.returncode == 0, f"{command[0]} failed:\n{log.read_text()}"

    try:
        log.touch()
        password.write_text("p:w/d%?{}")
        if root:
            for path in (folder, log, password):
                shutil.chown(path, "postgres", "postgres")
        access = ("--auth=scram-sha-256", f"--pwfile={password}", "--username=harness")
        call(initdb, f"--pgdata={data}", "--no-sync", "--encoding=UTF8", "--locale=C", *access)
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        options = f"-c fsync=off -c listen_addresses=127.0.0.1 -p {port} -k {folder}"
        call(pg_ctl, "start", "-w", "-D", data, "-l", folder / "server.log", "-o", options)
        address = f"postgresql://harness:p%3Aw%2Fd%25%3F%7B%7D@127.0.0.1:{port}"
        count = iter(range(1_000_000))

        def make():
            name = f"study{next(count)}"
            with psycopg.connect(f"{address}/postgres", autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {name}")
            return f"{address}/{name}"

        try:
            yield make
        finally:
            call(pg_ctl, "stop", "-m", "immediate", "-D", data)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
