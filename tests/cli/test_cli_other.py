import json
import subprocess
import sys
import time

import jsonschema
import pytest
import yaml

from harness.spec import read_space, shipped_spaces


def test_help_is_quick_and_loads_no_torch():
    code = (
        "import sys, time; started = time.perf_counter(); sys.argv = ['harness', '--help']\n"
        "from harness.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'optuna', 'pandas', 'numpy'} & set(sys.modules)), file=sys.stderr)"
    )
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        best = min(best, time.perf_counter() - started)
    assert done.stderr.strip() == "[]"
    assert "search" in done.stdout
    # The bound is 0.3 s; the test leaves room for a machine that is busy with other tests.
    assert best < 1.0


def test_the_version(harness):
    assert harness("--version").out.startswith("harness 0.")


def test_every_command_has_help(harness):
    for command in (
        ("search",),
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
    assert names == ["breast-cancer", "diabetes", "digits", "fashion-mnist", "wine"]


def test_spaces_are_listed_shown_and_validated(harness):
    assert "tabular" in harness("spaces", "list").out
    assert harness("spaces", "show", "digits").out == read_space("digits")
    done = harness("spaces", "validate", "digits")
    assert done.code == 0
    assert "architecture.cnn.stages" in done.out


@pytest.mark.parametrize("name", sorted(shipped_spaces()))
def test_shipped_spaces_fit_the_schema(name, harness):
    schema = json.loads(harness("spaces", "schema").out)
    jsonschema.Draft202012Validator.check_schema(schema)
    # Our reader takes 1e-4 for a number, plain PyYAML for text.
    from harness.spec.reader import read_yaml

    jsonschema.validate(read_yaml(read_space(name), name).data, schema)


@pytest.mark.parametrize(
    "text",
    [
        "task: digits\nspace: {architecture: {mlp: {deph: 3}}}",
        "task: digits\nspace: {architecture: mpl}",
        "task: digits\nspace: {architecture: mlp, optimizer: {sgd: {lrr: 1}}}",
        "task: {csv: a.csv}\nspace: {architecture: mlp}",
        "task: digits\nbudget: {trialz: 1}\nspace: {architecture: mlp}",
        "task: digits\nspace: {architecture: {mlp: {depth: {int: [1]}}}}",
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(text, harness):
    schema = json.loads(harness("spaces", "schema").out)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), schema)


def test_devices(harness):
    machine = json.loads(harness("devices", "--json").out)
    assert machine["cpu"]["usable_cores"] >= 1
    assert set(machine["precisions"]["cpu"]) == {"fp32", "tf32", "bf16", "fp16"}
    assert "host_name" not in machine
    done = harness("devices")
    assert done.code == 0
    assert "default device" in done.out


def test_devices_tells_the_gpus_that_nvml_shows(nvml_stub):
    command = [sys.executable, "-m", "harness", "devices", "--json"]
    done = subprocess.run(command, env=nvml_stub.environment(), capture_output=True, text=True, check=True)
    machine = json.loads(done.stdout)
    assert len(machine["gpus"]) == 2
    assert all("uuid" not in gpu and len(gpu["uuid_hash"]) == 12 for gpu in machine["gpus"])


def test_a_closed_pipe_is_no_traceback():
    command = f"{sys.executable} -m harness spaces schema | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr
