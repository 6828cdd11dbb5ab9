"""A report in all its formats: into the run's folder with its seal, or elsewhere with the run left alone."""

import io
import json

import pandas as pd
import pytest

from harness.errors import InputError, StorageError
from harness.report import build, write_report
from harness.report.formats import FORMATS, USUAL
from harness.store import seal
from harness.store.run import changed_files


@pytest.fixture(scope="module")
def sealed(tmp_path_factory, write_run, wish):
    """A run of a few trials with its status and its seal."""
    run = write_run(tmp_path_factory.mktemp("runs") / "sealed", wish(trials=8))
    (run / "status.json").write_text('{"state": "complete", "pid": 1, "boot_id": "x"}')
    seal(run, {})
    return run


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_the_csv_has_the_complete_trials_best_first_with_all_their_columns(sealed):
    frame = pd.read_csv(io.StringIO(build(sealed, ["csv"])["report.csv"]))
    trials = pd.read_parquet(sealed / "trials.parquet")
    complete = trials[trials["outcome"] == "complete"].sort_values(["value", "trial"], ascending=[False, True])
    assert list(frame.columns[: 3 + trials.shape[1]]) == ["rank", "choice", "front", *trials.columns]
    assert frame["trial"].tolist() == complete["trial"].tolist()
    assert frame["rank"].tolist() == list(range(1, len(complete) + 1))
    assert frame["value"].tolist() == complete["value"].tolist(), "in full, not as a table shows them"
    assert frame["choice"].fillna("")[0] == "winner"


def test_the_json_says_what_the_report_says_in_full_figures(sealed):
    def refuse(constant):
        raise AssertionError(constant)

    told = json.loads(build(sealed, ["json"])["report.json"], parse_constant=refuse)
    trials = pd.read_parquet(sealed / "trials.parquet").set_index("trial")
    assert told["stats"] == json.loads((sealed / "stats.json").read_text())
    assert told["verdict"][0].startswith("Winner: trial ")
    assert len(told["candidates"]) == (trials["outcome"] == "complete").sum()
    for row in told["candidates"]:
        assert row["f1_macro"] == trials.loc[row["trial"], "value"]
        assert row["params"] == json.loads(trials.loc[row["trial"], "params"])
    searched = [name.removeprefix("param.") for name in trials.columns if name.startswith("param.")]
    assert {row["parameter"] for row in told["importances"]["parameters"]} == set(searched)


@pytest.mark.parametrize("outcomes", ["crashed", "pruned"])
def test_a_run_without_a_winner_has_every_format(make_run, outcomes):
    texts = build(make_run(trials=3, outcomes=outcomes), FORMATS)
    assert list(texts) == [f"report.{each}" for each in FORMATS]
    assert json.loads(texts["report.json"])["candidates"] == []
    assert texts["report.csv"].count("\n") == 1
    assert "No winner" in texts["report.tex"]


@pytest.mark.slow
def test_a_report_is_written_into_the_run_and_sealed_with_it(sealed):
    before = contents(sealed)
    paths = write_report(sealed)
    assert [path.name for path in paths] == [f"report.{each}" for each in USUAL] == ["report.md", "report.html"]
    first = contents(sealed)
    assert {name for name in first if before.get(name) != first[name]} == {"report.md", "report.html", "manifest.json"}
    write_report(sealed)
    assert contents(sealed) == first, "the same records give the same bytes"
    write_report(sealed, ["tex"])
    write_report(sealed, ["csv"], sealed / ".." / sealed.name)
    assert changed_files(sealed) == []
    assert {"report.tex", "report.csv"} <= set(json.loads((sealed / "manifest.json").read_text())["files"])


def test_elsewhere_the_run_is_left_as_it_is(sealed, tmp_path):
    before = contents(sealed)
    out = tmp_path / "new" / "folder"
    assert write_report(sealed, ["md", "csv"], out) == [out / "report.md", out / "report.csv"]
    assert set(contents(out)) == {"report.md", "report.csv"}
    assert contents(sealed) == before


def test_what_cannot_be_written_or_read_is_told(sealed, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="file"):
        write_report(sealed, ["md"], tmp_path / "file")
    other = tmp_path / "other"
    other.mkdir()
    (other / "status.json").write_text("{}")
    for taken in (other, other / "paper"):
        with pytest.raises(InputError, match="belongs to the run other"):
            write_report(sealed, ["md"], taken)
    assert [path.name for path in other.iterdir()] == ["status.json"]
    with pytest.raises(InputError, match="not a run folder"):
        write_report(tmp_path)
