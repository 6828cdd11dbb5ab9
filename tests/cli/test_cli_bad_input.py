"""Bad input: one line on stderr, the exit code of its kind, no traceback, and nothing left behind."""

import gzip
import json
import os
import subprocess
import sys

import numpy as np
import pytest

SPACE = "{architecture: {mlp: {}}}"


def write_csv(folder, text):
    path = folder / "data.csv"
    path.write_text(text)
    return f"{{csv: {path}, target: y}}"


ROWS = "".join(f"{i},{i % 2}\n" for i in range(60))


def truncated_idx(folder):
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        with gzip.open(folder / f"{name}-ubyte.gz", "wb") as file:
            file.write(b"\x00\x00\x08\x03\x00\x00\x00\x0a")
    return f"{{builtin: fashion-mnist, directory: {folder}}}"


def corrupt_image(folder):
    for name in ("cats", "dogs"):
        (folder / name).mkdir()
        for i in range(20):
            (folder / name / f"{i}.png").write_bytes(b"\x89PNG\r\n\x1a\n not really")
    return f"{{images: {folder}}}"


def pickled_npz(folder):
    np.savez(folder / "a.npz", x=np.array([{"a": 1}], dtype=object), y=np.zeros(1))
    return f"{{npz: {folder / 'a.npz'}}}"


TASKS = {
    "unknown task": (lambda _: "digitz", "did you mean 'digits'"),
    "missing file": (lambda d: f"{{csv: {d / 'no.csv'}, target: y}}", "no.csv"),
    "target not in the table": (lambda d: write_csv(d, "x,yy\n" + ROWS), "did you mean 'yy'"),
    "one class only": (lambda d: write_csv(d, "x,y\n" + "1,a\n2,a\n" * 20), "class"),
    "text in a numeric column": (lambda d: write_csv(d, "x,y\n" + ROWS + "oops,1\n"), "oops"),
    "empty file": (lambda d: write_csv(d, ""), "empty"),
    "header only": (lambda d: write_csv(d, "x,y\n"), "data.csv"),
    "truncated IDX": (truncated_idx, "idx"),
    "corrupt image": (corrupt_image, ".png"),
    "pickled arrays": (pickled_npz, "a.npz"),
}


@pytest.mark.parametrize("case", TASKS)
def test_bad_data_ends_with_two_before_anything_is_written(case, harness, tiny, tmp_path):
    make, message = TASKS[case]
    data = tmp_path / "data"
    data.mkdir()
    done = harness("search", tiny, "--set", f"task={make(data)}", "--out", tmp_path / "runs")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("harness: error: ")
    assert done.err.count("\n") == 1
    assert message in done.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task: digits\nspace: {architectur: mlp}", "did you mean 'architecture'?"),
        ("task: digits\nspace: {architecture: {mlp: {depth: three}}}", "space.architecture.mlp.depth"),
        ("task: digits\nspace: {architecture: {mlp: {depth: {int: [5, 1]}}}}", "low 5 is above high 1"),
        ("task: !!python/object/apply:os.system ['true']\nspace: {architecture: mlp}", "refused"),
        ("task: wine\nspace: {architecture: cnn}", "cnn"),
        ("task: digits\nobjective: rmse\nspace: {architecture: mlp}", "does not fit"),
        ("task: digits\ntraining: {loss: mse}\nspace: {architecture: mlp}", "loss"),
        ("task: digits\ntraining: {loss: binary}\nspace: {architecture: mlp}", "binary"),
        ("task: wine\ntraining: {augment: {flip: true}}\nspace: {architecture: mlp}", "flip"),
    ],
)
def test_a_bad_space_ends_with_two_before_anything_is_written(text, message, harness, tmp_path):
    (tmp_path / "bad.yaml").write_text(text)
    done = harness("search", tmp_path / "bad.yaml", "--out", tmp_path / "runs")
    assert (done.code, done.out) == (2, ""), done.err
    assert message in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("search", "digitz"), 2, "did you mean 'digits'"),
        (("search", "no/such.yaml"), 2, "no such file"),
        (("search", "digits", "--trials", "none"), 2, "--trials"),
        (("search", "digits", "--timeout", "soon"), 2, "duration"),
        (("search", "digits", "--sampler", "tpee"), 2, "did you mean 'tpe'"),
        (("search", "digits", "--precision", "fp8"), 2, "fp8"),
        (("search", "digits", "--set", "budget"), 2, "key.path=value"),
        (("search", "digits", "--device", "gpu"), 2, "gpu"),
        (("search", "--resume", "no/such/run"), 2, "no such run"),
        (("report", "no/such/run"), 2, "no such run"),
        (("spaces", "validate", "digitz"), 2, "did you mean 'digits'"),
        (("tasks", "fetch", "digits"), 2, "nothing to fetch"),
        (("tasks", "fetch", "digitz"), 2, "did you mean 'digits'"),
        (("tasks", "fetch", "fashion-mnist", "--base-url", "file:///etc"), 2, "http"),
        (("serach", "digits"), 2, "search"),
    ],
)
def test_bad_arguments(arguments, code, message, harness, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = harness(*arguments)
    assert done.code == code, done.err
    assert message in done.err
    assert "Traceback" not in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_device_that_is_not_there_is_exit_code_four(harness, tiny, tmp_path):
    import torch

    missing = f"cuda:{torch.cuda.device_count()}"
    done = harness("search", tiny, "--device", missing, "--out", tmp_path / "runs")
    assert done.code == 4
    assert missing in done.err
    assert not (tmp_path / "runs").exists()


def test_a_precision_that_the_device_cannot_do_is_exit_code_four(harness, tiny, tmp_path):
    done = harness("search", tiny, "--device", "cpu", "--precision", "tf32", "--out", tmp_path / "runs")
    assert done.code == 4, done.err
    assert "tf32" in done.err.lower()
    assert not (tmp_path / "runs").exists()


def test_an_output_folder_that_cannot_be_written_is_exit_code_five(harness, tiny, tmp_path):
    (tmp_path / "file").write_text("")
    done = harness("search", tiny, "--out", tmp_path / "file" / "runs")
    assert done.code == 5
    assert done.err.count("\n") == 1


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounting a small tmpfs needs root on Linux")
def test_a_full_disk_is_exit_code_five_and_resumable_when_there_is_space(harness, tiny, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", disk], check=False).returncode:
        pytest.skip("this container may not mount a tmpfs")
    try:
        done = harness("search", tiny, "--out", disk)
        assert done.code == 5, done.err
        assert "No space left" in done.err or "full" in done.err
        assert done.err.count("harness: error:") == 1
        assert "Traceback" not in done.err
        subprocess.run(["mount", "-o", "remount,size=50m", disk], check=True)
        (run,) = disk.iterdir()
        resumed = harness("search", "--resume", run, "--json")
        assert resumed.code == 0, resumed.err
        assert json.loads(resumed.out)["trials"] == {"complete": 4}
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_run_is_not_resumed_with_another_space(harness, tiny, tmp_path):
    done = harness("search", tiny, "--trials", 1, "--out", tmp_path / "runs", "--json")
    run = json.loads(done.out)["run"]
    before = {path.name: path.read_bytes() for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    for change, key in (("budget.epochs=9", "budget.epochs"), ("space.batch_size=32", "space.batch_size")):
        done = harness("search", tiny, "--resume", run, "--set", change)
        assert done.code == 2
        assert key in done.err
    assert {path.name: path.read_bytes() for path in (tmp_path / "runs").rglob("*") if path.is_file()} == before


def test_a_run_is_not_resumed_when_its_data_has_changed(harness, tiny, tmp_path):
    task = write_csv(tmp_path, "x,y\n" + ROWS)
    done = harness("search", tiny, "--set", f"task={task}", "--trials", 1, "--out", tmp_path / "runs", "--json")
    assert done.code == 0, done.err
    write_csv(tmp_path, "x,y\n" + ROWS + "61,1\n")
    done = harness("search", "--resume", json.loads(done.out)["run"], "--trials", 2)
    assert done.code == 2
    assert "has changed" in done.err
