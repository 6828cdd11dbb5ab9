"""The steps of ``gpu_check.py``, each in a process: ``python gpu_steps.py STEP FOLDER SECONDS [--rehearse]``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from xml.etree import ElementTree

from gpu_benches import bench, compiled, graphs
from gpu_limits import energy, memory, packing
from gpu_meters import meters
from gpu_runs import ROOT, CommandFailed, Step
from gpu_searches import digits, images
from gpu_verdicts import write_json

from harness.hardware import die_with

MEMORY_WITHIN = 0.05
"""Share by which torch and NVML may differ about the size of a GPU's memory."""


def main() -> None:
    """Take one step and leave its verdict."""
    name, folder, seconds, *flags = sys.argv[1:]
    die_with(os.getppid())
    step = Step(Path(folder), float(seconds), rehearse=bool(flags))
    try:
        STEPS[name](step)
    except CommandFailed as error:
        step.findings.check("every command ends well", False, str(error))
    write_json(step.folder / "verdict.json", step.findings.as_dict())


def devices(step: Step) -> None:
    """Look at what the program says of the machine."""
    machine, findings = step.harness("devices", "--json"), step.findings
    write_json(step.folder / "devices.json", machine)
    gpus, torch = machine["gpus"], machine["torch"]
    seen = [device for device in torch["devices"] if device["device"].startswith("cuda")]
    findings.check("NVML shows a GPU", bool(gpus), machine["gpu_reason"])
    findings.check("NVML tells its driver", bool(machine["driver_version"] and machine["cuda_driver_version"]))
    findings.on_gpu("torch sees a GPU", bool(seen), torch["cuda_reason"])
    findings.on_gpu("it is the device that is taken", machine["default_device"] == "cuda:0", machine["default_device"])
    by_hash = {gpu["uuid_hash"]: gpu for gpu in gpus}
    pairs = [(device, by_hash.get(device["uuid_hash"])) for device in seen]
    findings.on_gpu("NVML knows torch's GPUs by their UUIDs", all(gpu is not None for _, gpu in pairs))
    known = [(device, gpu) for device, gpu in pairs if gpu is not None]
    for what in ("name", "compute_capability"):
        told = [(device[what], gpu[what]) for device, gpu in known]
        findings.on_gpu(f"both tell the same {what}", all(ours == theirs for ours, theirs in told), str(told))
    sizes = [(device["memory_total_mib"], gpu["memory_total_mib"]) for device, gpu in known]
    alike = all(abs(ours - theirs) <= MEMORY_WITHIN * theirs for ours, theirs in sizes)
    findings.on_gpu("both tell about the same memory", alike, str(sizes))
    precisions = machine["precisions"].get("cuda:0", {})
    findings.on_gpu("precisions are described", bool(precisions) and precisions["fp32"]["training"] == "yes")
    findings.figures["precisions"] = {name: each["training"] for name, each in precisions.items()}
    for gpu in gpus:
        silent = {name: why for name, why in gpu["capabilities"].items() if why != "yes"}
        findings.figures[f"{gpu['name']} does not tell"] = silent or "nothing"


def tests(step: Step) -> None:
    """Run the tests that need a GPU."""
    marked = [path for path in sorted((ROOT / "tests").rglob("test_*.py")) if "pytest.mark.gpu" in path.read_text()]
    report = step.folder / "junit.xml"
    options = ["-m", "gpu", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", f"--rootdir={ROOT}"]
    command = [sys.executable, "-m", "pytest", *options, f"--basetemp={step.folder / 'tmp'}", *map(str, marked)]
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    if not report.exists():
        step.findings.check("pytest runs", False, f"exit code {code}; pip install -e '.[test]' brings it; see log.txt")
        return
    count_tests(step, report)


def count_tests(step: Step, report: Path) -> None:
    """Note how the tests ended, and leave the report without the machine's name."""
    tree, findings = ElementTree.parse(report), step.findings
    for suite in tree.iter("testsuite"):
        suite.attrib.pop("hostname", None)
    tree.write(report)
    cases = list(tree.iter("testcase"))
    failed = [case.get("name", "") for case in cases if {part.tag for part in case} & {"failure", "error"}]
    skipped = {case.get("name", ""): part.get("message", "") for case in cases for part in case.iter("skipped")}
    passed = len(cases) - len(failed) - len(skipped)
    findings.figures |= {"passed": passed, "failed": len(failed), "skipped": len(skipped)}
    findings.check("there are tests", bool(cases))
    findings.check("no test fails", not failed, ", ".join(failed))
    findings.on_gpu("some tests run", passed > 0, "; ".join(dict.fromkeys(skipped.values())))
    if not step.rehearse:
        for name, why in skipped.items():
            findings.missing(name, why)


STEPS: Mapping[str, Callable[[Step], None]] = {
    "devices": devices,
    "nvml": meters,
    "tests": tests,
    "digits": digits,
    "memory": memory,
    "energy": energy,
    "images": images,
    "packing": packing,
    "graphs": graphs,
    "compile": compiled,
    "bench": bench,
}


if __name__ == "__main__":
    main()
