from __future__ import annotations

import contextlib
import json
import math
from dataclasses import replace

import pandas as pd
import pytest

from harness.bench import frames
from harness.bench.frames import read_bench, rows_frame, write_bench
from harness.bench.rows import Case, Row
from harness.errors import InputError, StorageError

ROWS = [
    Row(
        case=Case(bench="matmul", shape="512x512x512", dtype="tf32", tf32=True, threads=2),
        n_blocks=3,
        n_samples=30,
        stop_reason="precise",
        t_median_s=0.1 + 0.2,
        flops=2.0 * 512**3,
        flops_source="formula",
        note='a "note", with; marks',
        blocks_s=(0.3, 0.1, 0.2),
        facts={"power_w": 3.5},
    ),
    Row(case=Case(bench="matmul", dtype="fp8"), status="skipped", note="not native"),
    Row(
        case=Case(bench="conv3x3", shape="s", batch=16, layout="channels_last", compile=True),
        n_blocks=1,
        compile_s=2.5,
        blocks_s=(1.0,),
    ),
]
WANTED = [
    "schema_version",
    "bench",
    "variant",
    "shape",
    "batch",
    "dtype",
    "tf32",
    "layout",
    "compile",
    "threads",
    "n_blocks",
    "n_samples",
    "stop_reason",
    "t_median_s",
    "t_ci_lo",
    "t_ci_hi",
    "t_min",
    "t_iqr",
    "samples_s",
    "flops",
    "flops_source",
    "tflops",
    "gbps",
    "pct_measured_peak",
    "pct_spec_peak",
    "mem_allocated_peak_mib",
    "mem_device_peak_mib",
    "mem_rss_peak_mib",
    "energy_j",
    "energy_source",
    "j_per_sample",
    "idle_w",
    "sm_mhz_median",
    "temp_max_c",
    "throttle",
    "psi_cpu",
    "cpu_wall_ratio",
    "status",
    "note",
]


@pytest.fixture
def folder(tmp_path):
    write_bench(tmp_path, ROWS, {"device": "cpu", "seconds": 1.5})
    return tmp_path


def test_what_was_written_is_read_back(folder):
    bench, blocks, env = read_bench(folder)
    for line, row in zip(bench.to_dict("records"), ROWS, strict=True):
        assert json.loads(line.pop("facts")) == row.facts
        expected = {name: getattr(row.case if hasattr(row.case, name) else row, name, 1) for name in line}
        assert repr(line) == repr(expected)
    assert list(blocks["block"]) == [0, 1, 2, 0]
    assert env == {"schema_version": 1, "device": "cpu", "seconds": 1.5}


def test_the_columns_are_there_in_every_file(folder):
    csv = pd.read_csv(folder / "bench.csv")
    assert [name for name in csv if name in WANTED] == WANTED
    bench, blocks, _ = read_bench(folder)
    assert list(bench) == list(csv)
    assert set(bench["schema_version"]) == set(blocks["schema_version"]) == {1}
    assert list(blocks["seconds"]) == [0.3, 0.1, 0.2, 1.0]
    assert list(blocks["bench"]) == ["matmul"] * 3 + ["conv3x3"]
    assert csv["t_median_s"][0] == ROWS[0].t_median_s


def test_columns_have_their_types_even_without_rows():
    dtypes = rows_frame([]).dtypes.astype(str)
    assert dict(dtypes) == dict(rows_frame(ROWS).dtypes.astype(str))
    assert dtypes["t_median_s"] == "float64"
    assert dtypes["tf32"] == "bool"


def test_what_was_not_measured_is_nan_and_not_zero(folder):
    bench, _, _ = read_bench(folder)
    assert math.isnan(bench["gbps"][0])
    assert math.isnan(bench["t_median_s"][1])


@pytest.mark.parametrize("name", ["bench.parquet", "blocks.parquet", "env.json"])
def test_a_missing_or_torn_or_empty_file_is_named(folder, name):
    content = (folder / name).read_bytes()
    for spoiled in (None, content[: len(content) // 2], b""):
        if spoiled is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(spoiled)
        with pytest.raises(StorageError, match=name):
            read_bench(folder)


def test_a_bench_without_rows_is_refused(tmp_path):
    write_bench(tmp_path, [], {})
    with pytest.raises(StorageError, match=r"bench\.parquet: holds no rows"):
        read_bench(tmp_path)


@pytest.mark.parametrize("name", ["bench.parquet", "blocks.parquet"])
def test_a_table_of_another_version_is_refused(folder, name):
    frame = pd.read_parquet(folder / name)
    frame["schema_version"] = 2
    frame.to_parquet(folder / name)
    with pytest.raises(StorageError, match=f"{name}: schema version 2"):
        read_bench(folder)


def test_an_environment_of_another_version_is_refused(folder):
    (folder / "env.json").write_text(json.dumps({"schema_version": 7}))
    with pytest.raises(StorageError, match=r"env\.json: schema version 7"):
        read_bench(folder)


def test_a_column_that_lacks_or_is_of_another_type_is_named(folder):
    frame = pd.read_parquet(folder / "bench.parquet")
    frame.drop(columns="t_median_s").to_parquet(folder / "bench.parquet")
    with pytest.raises(StorageError, match="'t_median_s'"):
        read_bench(folder)
    frame.assign(t_median_s="soon").to_parquet(folder / "bench.parquet")
    with pytest.raises(StorageError, match="not of its type"):
        read_bench(folder)
    frame.assign(facts="{").to_parquet(folder / "bench.parquet")
    with pytest.raises(StorageError, match="not of its type"):
        read_bench(folder)


def test_blocks_of_another_bench_are_refused(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    write_bench(other, [replace(ROWS[2], n_blocks=2, blocks_s=(1.0, 2.0))], {})
    (folder / "blocks.parquet").write_bytes((other / "blocks.parquet").read_bytes())
    with pytest.raises(StorageError, match=r"blocks\.parquet: not all blocks of bench\.parquet; measure again"):
        read_bench(folder)


def test_a_writing_that_was_cut_off_after_any_file_leaves_what_can_be_read(folder, monkeypatch):
    later = [replace(ROWS[0], n_blocks=5, blocks_s=(*ROWS[0].blocks_s, 0.2, 0.3)), *ROWS[1:]]
    later.append(Row(case=Case(bench="triad"), n_blocks=1, blocks_s=(1.0,)))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    written = []
    for number in range(4):
        for name, content in before.items():
            (folder / name).write_bytes(content)
        written = []
        with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
            stop_after(patch, number, written)
            write_bench(folder, later, {"device": "cpu"})
        assert len(written) == number
        bench, blocks, _ = read_bench(folder)
        assert list(bench["n_blocks"]) in ([3, 0, 1], [5, 0, 1, 1])
        assert len(blocks) >= bench["n_blocks"].sum()
    assert "env.json" not in written


def stop_after(patch, number, written):
    """Let so many files be written and then cut the writing off."""

    def until(write):
        def writing(path, value):
            if len(written) == number:
                raise KeyboardInterrupt
            written.append(path.name)
            write(path, value)

        return writing

    for name in ("write_file", "write_json"):
        patch.setattr(frames, name, until(getattr(frames, name)))


def test_a_folder_that_is_none_or_of_something_else_is_bad_input(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        read_bench(tmp_path / "nowhere")
    (tmp_path / "trials.csv").write_text("trial\n")
    with pytest.raises(InputError, match="not a bench folder"):
        read_bench(tmp_path)


def test_the_same_rows_give_the_same_bytes(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("again")
    write_bench(other, ROWS, {"device": "cpu", "seconds": 1.5})
    for name in ("bench.parquet", "bench.csv", "blocks.parquet", "env.json"):
        assert (folder / name).read_bytes() == (other / name).read_bytes()
