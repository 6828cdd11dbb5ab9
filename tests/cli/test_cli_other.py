import getpass
import json
import platform
import re
import resource
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from harness.spec import TASKS, read_space
from harness.study import space_schema


def test_help_is_quick_and_loads_no_torch():
    code = (
        "import sys; sys.argv = ['harness', '--help']\n"
        "from harness.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'optuna', 'pandas', 'numpy'} & set(sys.modules)), file=sys.stderr)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stderr.strip() == "[]"
    assert "search" in done.stdout
    # Of the processor, which other work does not count for. The bound is 0.3 s; a core may be half another's.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0


def test_the_version(harness):
    assert harness("--version").out.startswith("harness 0.")


def test_every_command_has_help(harness):
    for command in (
        ("search",),
        ("runs",),
        ("report",),
        ("devices",),
        ("tasks",),
        ("tasks", "fetch"),
        ("spaces",),
        ("spaces", "show"),
    ):
        done = harness(*command, "--help")
        assert done.code == 0
        assert "Usage" in done.out


def test_tasks_are_listed(harness):
    assert "fashion-mnist" in harness("tasks").out
    names = [task["task"] for task in json.loads(harness("tasks", "--json").out)["tasks"]]
    assert names == sorted(TASKS)


def test_spaces_are_listed_shown_and_validated(harness):
    assert "tabular" in harness("spaces", "list").out
    assert harness("spaces", "show", "digits").out == read_space("digits")
    done = harness("spaces", "validate", "digits")
    assert done.code == 0
    assert "architecture.cnn.stages" in done.out


def test_the_schema_is_printed(harness):
    """What it accepts and refuses is told by tests/study/test_schema.py."""
    schema = json.loads(harness("spaces", "schema").out)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema == json.loads(json.dumps(space_schema()))


def strict(text):
    """Return the one JSON object of a text that holds neither NaN nor infinity, as the standard has it."""

    def refuse(token):
        raise AssertionError(f"{token} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_devices_on_a_machine_like_this_one(harness):
    machine = strict(harness("devices", "--json").out)
    assert machine["cpu"]["usable_cores"] >= 1
    assert machine["precisions"]["cpu"]["fp32"]["support"] == "native"
    assert set(machine["precisions"]["cpu"]) == {"fp32", "tf32", "bf16", "fp16", "int8", "fp8"}
    assert machine["default_device"] in machine["precisions"]
    assert "host_name" not in machine
    done = harness("devices")
    assert done.code == 0
    assert "default device" in done.out
    assert "worth training in" in done.out


DEVICES = """
import sys
from harness.cli import main
for options in ([], ["--json"]):
    sys.argv = ["harness", "devices", *options]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code
    print("=====")
"""


def words_that_name_this_machine():
    return {platform.node(), getpass.getuser(), str(Path.home())}


@pytest.mark.slow
def test_devices_tells_what_nvml_shows_and_names_neither_the_machine_nor_its_gpus(nvml_stub):
    table, text, _ = nvml_stub.run(DEVICES, mig=1, errors="EccMode=3,PersistenceMode=4").split("=====")
    machine = strict(text)
    first, second, instance = machine["gpus"]
    assert all("uuid" not in gpu and len(gpu["uuid_hash"]) == 12 for gpu in machine["gpus"])
    assert second["capabilities"]["power_instant_w"] == "yes"
    assert (second["ecc"], second["capabilities"]["ecc"]) == (None, "NVML: Not Supported")
    assert (first["mig"], second["mig"], instance["instance"]) == (False, True, True)
    assert machine["driver_version"] == "580.65.06"
    for output in (table, text):
        assert "aaaaaaaa" not in output
        assert "MIG-" not in output
        assert not [name for name in words_that_name_this_machine() if re.search(rf"\b{re.escape(name)}\b", output)]
    assert max(len(line.rstrip()) for line in table.splitlines()) <= 100
    assert "2 (MIG instances: 1), driver 580.65.06, CUDA up to 12.8" in table
    shown = [re.split(r"  +", line.strip(), maxsplit=1) for line in table.splitlines() if "  " in line.strip()]
    gpu = dict(shown[[each[-1] for each in shown].index("Stub GPU A") :][:18])
    assert gpu["SM clock"] == "1500 of 1980 MHz"
    assert gpu["power limit"] == "650 W by default, 750 W at most"
    assert gpu["PCIe lanes"] == "8 of 16"
    assert gpu["other processes"] == "1"
    assert gpu["modes"] == "ECC -, MIG on, persistence -"
    assert gpu["not available (1)"] == "NVML: Not Supported: ecc"


@pytest.mark.slow
def test_devices_without_any_gpu_says_why_and_goes_on(nvml_stub_module, tmp_path):
    (tmp_path / "libnvidia-ml.so.1").touch()  # hides a real one, and cannot be loaded
    table, text, _ = nvml_stub_module.NvmlStub(tmp_path).run(DEVICES).split("=====")
    machine = strict(text)
    assert machine["gpus"] == []
    assert "install the NVIDIA driver" in machine["gpu_reason"]
    assert "install the NVIDIA driver" in " ".join(table.split())
    assert max(len(line.rstrip()) for line in table.splitlines()) <= 100


@pytest.mark.slow
def test_a_closed_pipe_is_no_traceback():
    command = f"{sys.executable} -m harness spaces schema | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr
