"""benchmarks/gpu_check.py: whatever becomes of a step, the others are taken and every verdict is told."""

import importlib
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from harness.data import load
from harness.errors import DataError
from harness.spec.task import NpzTask

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
CHECK = BENCHMARKS / "gpu_check.py"
PLANTED = {
    "well": "write('passed')",
    "fails": "sys.exit('no such kernel')",
    "hangs": "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
    "print('child', child.pid, flush=True); child.wait()",
    "dies": "print('a last word', flush=True); os.kill(os.getpid(), signal.SIGSEGV)",
    "silent": "pass",
    "late": "write('failed'); sys.exit(1)",
    "again": "write('not measured')",
}
START = """
import json, os, pathlib, signal, subprocess, sys
def write(verdict):
    found = {"verdict": verdict, "why": "", "checks": [], "figures": {"limit_s": float(sys.argv[2])}}
    pathlib.Path(sys.argv[1], "verdict.json").write_text(json.dumps(found))
"""


@pytest.fixture(scope="module")
def modules():
    """The modules of the check, which import each other by name: the benchmarks are no package."""
    names = ("check", "verdicts", "limits", "meters", "runs", "searches", "steps")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield SimpleNamespace(**{name: importlib.import_module(f"gpu_{name}") for name in names})


def run(*command, env=None, timeout=280):
    return subprocess.run(
        [sys.executable, *map(str, command)], env=env, capture_output=True, text=True, timeout=timeout, check=False
    )


def planted(name, folder, limit_s):
    """Return the command of a planted step."""
    return [sys.executable, "-c", START + PLANTED[name], str(folder), str(limit_s)]


def verdicts_in(folder):
    return json.loads((folder / "verdicts.json").read_text())


def test_a_step_that_fails_dies_or_hangs_does_not_stop_the_next(modules, tmp_path, capsys, gone):
    report = {"device": "planted", "rehearsal": True, "steps": {}}
    (tmp_path / "well").mkdir()
    (tmp_path / "well" / "of an earlier run").touch()
    start_s = time.monotonic()
    modules.check.take(
        list(PLANTED),
        tmp_path,
        report,
        seconds=12.0,
        command_of=planted,
        env=os.environ,
        shares=dict.fromkeys(PLANTED, 1.0) | {"hangs": 0.5},
    )
    assert time.monotonic() - start_s < 12
    steps = verdicts_in(tmp_path)["steps"]
    assert list(steps) == list(PLANTED)
    assert {name: step["verdict"] for name, step in steps.items()} == {
        "well": "passed",
        **dict.fromkeys(("fails", "hangs", "dies", "silent", "late"), "failed"),
        "again": "not measured",
    }
    assert steps["fails"]["why"] == "it ended with exit code 1; it said last: no such kernel"
    assert steps["dies"]["why"] == "it died of SIGSEGV; it said last: a last word"
    assert steps["silent"]["why"] == "it left no verdict"
    assert steps["late"]["why"] == "it ended with exit code 1", "what it wrote before it failed is not its verdict"
    assert steps["hangs"]["why"].startswith("it was killed: it had not ended after ")
    child = int((tmp_path / "hangs" / "log.txt").read_text().split()[-1])
    assert gone(child)
    assert not (tmp_path / "well" / "of an earlier run").exists()
    page = (tmp_path / "verdicts.md").read_text()
    assert "nothing here was measured on a GPU" in page
    assert "| dies | failed | " in page
    assert len(capsys.readouterr().out.splitlines()) == len(PLANTED)


def test_time_that_a_step_did_not_need_is_there_for_later_ones(modules, tmp_path):
    names = ["well", "again"]
    modules.check.take(
        names,
        tmp_path,
        {"device": "planted", "rehearsal": False, "steps": {}},
        seconds=40.0,
        command_of=planted,
        env=os.environ,
        shares=dict.fromkeys(names, 1.0),
    )
    limits = [verdicts_in(tmp_path)["steps"][name]["figures"]["limit_s"] for name in names]
    assert limits[0] == pytest.approx(20, abs=0.1)
    assert 25 < limits[1] <= 40


def test_every_step_that_is_named_is_there(modules):
    assert list(modules.check.STEPS) == list(modules.steps.STEPS)


@pytest.mark.slow
def test_without_a_gpu_there_is_one_line_and_no_folder(tmp_path):
    done = run(CHECK, "--out", tmp_path / "out", env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    assert (done.returncode, done.stdout) == (4, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("gpu_check: torch ")
    assert "--rehearse" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [["--only", "digits,digit"], ["--time", "8"]])
def test_what_cannot_be_meant_is_a_usage_error(options):
    done = run(CHECK, *options)
    assert done.returncode == 2
    assert "digit" in done.stderr if "--only" in options else "--time 8" in done.stderr


@pytest.mark.parametrize(
    ("text", "seconds"), [("8m", 480.0), ("90s", 90.0), ("1.5m", 90.0), ("8", None), ("-1s", None)]
)
def test_times(modules, text, seconds):
    assert modules.check.seconds_of(text) == seconds


def test_the_verdict_of_a_step(modules):
    findings = modules.verdicts.Findings(rehearsal=False)
    assert findings.verdict() == ("not measured", "nothing was checked")
    findings.missing("power", "no meter")
    assert findings.verdict() == ("not measured", "no meter")
    findings.check("memory", True)
    assert findings.verdict() == ("passed", "1 of 2 not measured: no meter")
    findings.on_gpu("clock", False, "0 MHz")
    assert findings.verdict() == ("failed", "clock: 0 MHz")
    rehearsed = modules.verdicts.Findings(rehearsal=True)
    rehearsed.on_gpu("clock", False, "0 MHz")
    assert rehearsed.verdict() == ("not measured", "rehearsal")
    rehearsed.figures["seconds"] = [math.nan, 1.0, Path("a")]
    assert rehearsed.as_dict()["figures"] == {"seconds": [None, 1.0, "a"]}


@pytest.mark.parametrize(
    ("said", "agrees"), [(100.0, True), (149.0, True), (161.0, False), (89.0, False), (120.0, True), (math.nan, False)]
)
def test_a_figure_agrees_that_lies_between_two_readings_or_near(modules, said, agrees):
    field = modules.meters.Field("power.draw", "power_w", within=1.0, share=0.05)
    assert modules.meters.between(field, 100.0, said, 150.0) is agrees
    assert modules.meters.between(field, 150.0, said, 100.0) is agrees


def test_numbers_of_nvidia_smi(modules):
    assert modules.meters.number("70.52") == 70.52
    assert all(math.isnan(modules.meters.number(text)) for text in ("[N/A]", "[Not Supported]", ""))


def test_trials_at_once(modules):
    def of(*spans):
        frame = pd.DataFrame(spans, columns=["started_unix_s", "end"])
        return frame.assign(seconds=frame["end"] - frame["started_unix_s"])

    assert modules.limits.at_once(of()) == 0
    assert modules.limits.at_once(of((0, 1), (1, 2), (2, 3))) == 1
    assert modules.limits.at_once(of((0, 5), (1, 2), (1.5, 3), (4, 6))) == 3


def test_images_are_made_where_there_are_none(modules, monkeypatch, tmp_path):
    def missing(_):
        raise DataError("no folder with its four files")

    monkeypatch.setattr(modules.searches, "read_fashion_mnist", missing)
    step = modules.runs.Step(tmp_path, 1.0, rehearse=False)
    task = modules.searches.pictures(step, 100)
    dataset = load(NpzTask.model_validate({**task, "npz": str(tmp_path / task["npz"])}), seed=0)
    assert (dataset.shape.inputs[0].sizes, dataset.shape.outputs) == ((1, 28, 28), 10)
    assert step.findings.figures["images"].startswith("made, as there are none: no folder")


def trials_of_a_gpu(**changes):
    """Two trials as a search on a GPU would leave them."""
    row = {
        "trial": 0,
        "outcome": "complete",
        "reason": "trained for all 9 epochs",
        "same_as": math.nan,
        "reasons": "{}",
        "architecture": "mlp",
        "device": "cuda:0",
        "precision": "bf16",
        "precision_ratio": 1.5,
        "precision_reason": "bf16 measured 1.50x fp32",
        "layout": "contiguous",
        "data_path": "resident",
        "memory_allocated_peak_mib": 30.0,
        "memory_device_peak_mib": 900.0,
        "memory_process_peak_mib": 600.0,
        "gpu_utilization_percent": 40.0,
        "power_w": 200.0,
        "idle_power_w": 70.0,
        "energy_j": 1000.0,
        "energy_j_per_sample": 0.01,
        "predicted_energy_j_per_sample": 0.012,
        "seconds": 5.0,
        "temperature_c": 50.0,
        "train_samples_s": 1e5,
        "inference_samples_s": 1e6,
        "latency_p50_ms": 0.2,
        "batch_size": 512,
        "micro_batch": 128,
        "attempts": 3,
        "notes": "in parts",
    }
    return pd.DataFrame([row, {**row, "trial": 1, **changes}])


SILENT = {"energy_j": math.nan, "reasons": json.dumps({"energy_j": "NVML: Not Supported"})}
HIDDEN = {"memory_process_peak_mib": math.nan, "reasons": json.dumps({"memory_process_peak_mib": "a container"})}


@pytest.mark.parametrize(
    ("changes", "verdict", "why"),
    [
        ({}, "passed", ""),
        (SILENT, "failed", "energy_j is told: NVML: Not Supported"),
        (HIDDEN, "passed", "1 of 18 not measured: a container"),
        ({"device": "cpu"}, "failed", "they are trained on the GPU"),
        ({"precision_ratio": math.nan}, "failed", "their precision is measured: ratios [1.5, nan]"),
        ({"outcome": "crashed", "reason": "no kernel"}, "failed", "no trial fails: no kernel"),
    ],
)
def test_what_a_search_leaves_is_looked_at(modules, tmp_path, changes, verdict, why):
    step = modules.runs.Step(tmp_path, 1.0, rehearse=False)
    found = modules.searches.Searched(trials_of_a_gpu(**changes), {"accuracy": 0.95})
    modules.searches.plans_and_figures(step, found, accuracy=0.9)
    assert step.findings.verdict() == (verdict, why)


PREDICTED = {"outcome": "infeasible", "reason": "energy_j_per_sample predicted 0.01 > limit 1e-12 (+9 %)"}


@pytest.mark.parametrize(
    ("wide", "tight", "verdict"),
    [
        ({}, PREDICTED, "passed"),
        ({}, {}, "failed"),
        (PREDICTED, PREDICTED, "failed"),
        ({"energy_j": 10.0}, PREDICTED, "failed"),
        ({"energy_j_per_sample": math.nan}, PREDICTED, "failed"),
    ],
)
def test_limits_on_energy_are_to_be_kept_and_to_reject(modules, monkeypatch, tmp_path, wide, tight, verdict):
    def search(_step, space, *, label, share):
        assert set(space["limits"]) == {"energy_j_per_sample"}
        assert 0 < share < 0.5
        return modules.searches.Searched(trials_of_a_gpu(**{"wide": wide, "tight": tight}[label])[1:], {})

    monkeypatch.setattr(modules.limits, "search", search)
    step = modules.runs.Step(tmp_path, 1.0, rehearse=False)
    modules.limits.energy(step)
    assert step.findings.verdict()[0] == verdict


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [({}, "passed"), ({"micro_batch": 0}, "failed"), ({"outcome": "oom"}, "failed"), ({"batch_size": 128}, "failed")],
)
def test_a_batch_that_does_not_fit_is_to_go_through_in_parts(modules, monkeypatch, tmp_path, changes, verdict):
    free = 80e9

    def search(_step, space, *options, timed):
        copies = space["space"]["architecture"]["wide"]["copies"]
        needed = space["space"]["batch_size"] * modules.limits.PER_SAMPLE_TENSORS * copies * 64 * 4
        assert needed == pytest.approx(3 * free, rel=0.01)
        assert (options, timed) == (("--trust",), False)
        return modules.searches.Searched(trials_of_a_gpu(**changes)[1:], {})

    monkeypatch.setattr(modules.limits, "free_bytes", lambda _: free)
    monkeypatch.setattr(modules.limits, "search", search)
    step = modules.runs.Step(tmp_path, 1.0, rehearse=False)
    modules.limits.memory(step)
    assert step.findings.verdict()[0] == verdict


JUNIT = """<testsuites><testsuite hostname="mine" tests="3"><testcase name="a"/><testcase name="b"><failure/></testcase>
<testcase name="c"><skipped message="no meter"/></testcase></testsuite></testsuites>"""


def test_tests_are_counted_and_the_machine_is_not_named(modules, tmp_path):
    step = modules.runs.Step(tmp_path, 1.0, rehearse=False)
    (tmp_path / "junit.xml").write_text(JUNIT)
    modules.steps.count_tests(step, tmp_path / "junit.xml")
    assert step.findings.figures == {"passed": 1, "failed": 1, "skipped": 1}
    assert step.findings.verdict() == ("failed", "no test fails: b")
    assert "mine" not in (tmp_path / "junit.xml").read_text()


@pytest.fixture(scope="module")
def smi_path(nvml_stub_module, tmp_path_factory):
    return nvml_stub_module.write_smi(tmp_path_factory.mktemp("smi"))


@pytest.mark.slow
def test_what_nvidia_smi_tells_otherwise_is_a_failure(nvml_stub, smi_path, tmp_path):
    path = os.pathsep.join([str(smi_path), os.environ["PATH"]])
    says = "name=Other,temperature.gpu=90,utilization.memory=[N/A]"
    environment = nvml_stub.environment(t0=time.time()) | {"PATH": path, "NVIDIA_SMI_SAYS": says}
    done = run(BENCHMARKS / "gpu_steps.py", "nvml", tmp_path, 60, "--rehearse", env=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "verdict.json").read_text())
    checks = {check["what"]: (check["verdict"], check["why"]) for check in found["checks"]}
    assert found["verdict"] == "failed"
    assert checks["name is nvidia-smi's"] == ("failed", "'Stub GPU A', and nvidia-smi says 'Other'")
    assert checks["temperature_c is nvidia-smi's temperature.gpu"][0] == "failed"
    assert checks["power_w is nvidia-smi's power.draw"] == ("passed", "")
    silent = checks["memory_utilization_percent is nvidia-smi's utilization.memory"]
    assert silent == ("not measured", "nvidia-smi does not tell utilization.memory")
    assert "aaaaaaaa-1111" not in (tmp_path / "nvidia-smi.csv").read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("nvml_stub_module")
def test_the_rehearsal_takes_the_steps_on_a_cpu_and_claims_nothing(tmp_path):
    cheap = ("devices", "nvml", "memory")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = run(CHECK, "--rehearse", "--only", ",".join(cheap), "--out", tmp_path / "out", env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    report = verdicts_in(tmp_path / "out")
    assert (report["device"], report["rehearsal"]) == ("rehearsal", True)
    assert {name: step["verdict"] for name, step in report["steps"].items()} == dict.fromkeys(cheap, "passed")
    unmeasured = {
        check["what"] for step in report["steps"].values() for check in step["checks"] if check["why"] == "rehearsal"
    }
    assert {"torch sees a GPU", "the GPU is seen to work", "the batch went through in parts"} <= unmeasured
    trial = report["steps"]["memory"]["figures"]
    assert (trial["outcome"], trial["batch_size"]) == ("complete", 512)
    assert not list((tmp_path / "out").rglob("*.html")), "whole runs are too large to be kept"
