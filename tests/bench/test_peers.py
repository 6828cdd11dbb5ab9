"""benchmarks/peers.py and benchmarks/performance_page.py: the same work for all, and a page of what was measured."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import optuna
import pandas as pd
import pytest
import torch
import yaml

from harness.models import build
from harness.records import Input, InputKind, Named, TaskKind, TaskShape
from harness.train.schedule import build_schedule

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
SPACES = sorted((BENCHMARKS / "peers").glob("*.yaml"))


@pytest.fixture(scope="module")
def scripts():
    """Import a script of the benchmarks by its name; they are no package."""
    folders = [str(BENCHMARKS), str(BENCHMARKS / "peers")]
    before = set(sys.modules)
    sys.path[:0] = folders
    try:
        yield importlib.import_module
    finally:
        sys.path[:] = [path for path in sys.path if path not in folders]
        for name in set(sys.modules) - before:
            if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(BENCHMARKS)):
                del sys.modules[name]


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_the_networks_of_the_peers_have_the_weights_of_ours(path, scripts):
    candidates, networks, peer = (scripts(name) for name in ("candidates", "networks", "with_optuna"))
    space = yaml.safe_load(path.read_text())["space"]
    shape = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=10, inputs=(Input(kind=InputKind.IMAGE, shape=(1, 8, 8)),))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        architecture = candidates.draw(space, peer.ask_trial(study.ask())).architecture
        theirs = networks.build(architecture)
        ours = build(Named(architecture.name, architecture.parameters), shape)
        assert sorted(each.numel() for each in theirs.parameters()) == sorted(
            each.numel() for each in ours.parameters()
        )
        assert theirs(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_the_schedule_of_the_peers_is_ours(scripts):
    option, factor = scripts("candidates").Option, scripts("training").factor
    theirs = factor(option("cosine", {"warmup_epochs": 0.5}), 20, 3)
    ours = build_schedule(Named("cosine", {"warmup_epochs": 0.5}), steps_per_epoch=20, epochs=3)
    assert [theirs(step) for step in range(60)] == pytest.approx([ours(step) for step in range(60)])


def rows(scripts, times):
    """Return rows of one work: seconds by arm, one for each round."""
    results = scripts("results")
    about = dict.fromkeys(results.Row._fields, "") | {
        "date": "2026-01-01",
        "machine": "here",
        "work": "mlp",
        "load": 1.0,
        "best": 0.9,
    }
    found = [
        about | {"arm": a, "round": n, "wall_s": s, "cpu_s": s}
        for a, all_s in times.items()
        for n, s in enumerate(all_s)
    ]
    return pd.DataFrame(found)


def test_a_ratio_is_of_two_commands_of_one_round(scripts):
    found = scripts("results").ratio(
        rows(scripts, {"loop": [20.0, 60.0, 8.0], "harness-cold": [10.0, 20.0, 4.0]}), "loop", "harness-cold"
    )
    assert (found.median, found.low, found.high) == (2.0, 2.0, 3.0)


def test_the_page_says_what_wins_what_loses_and_what_cannot_be_told(scripts):
    times = {"loop": [4.0, 5.0], "lightning": [1.0, 1.5], "flaml": [1.9, 2.2], "harness-cold": [2.0, 2.0]}
    page = scripts("performance_page").page(rows(scripts, times))
    assert "harness-cold wins against loop; loses against lightning; cannot be told from flaml." in page
    assert "| loop | harness-cold | 4 | here | 2.25 (2.00 to 2.50) | not met |" in page
    assert page.count("Not measured yet.") == 3


def test_the_page_keeps_machines_apart(scripts):
    slow, fast = ({"loop": [loop], "harness-cold": [1.0]} for loop in (6.0, 3.0))
    both = [rows(scripts, times).assign(machine=on) for on, times in (("slow", slow), ("fast", fast))]
    page = scripts("performance_page").page(pd.concat(both))
    assert "| loop | harness-cold | 4 | slow | 6.00 | met |" in page
    assert "| loop | harness-cold | 4 | fast | 3.00 | not met |" in page
    assert "| loop | harness-warm | 5 |  | not measured |  |" in page
    assert "| loop | 6.0 |" in page
    assert "| loop | 3.0 |" in page


def test_arms_of_no_common_round_have_no_ratio(scripts):
    measured = rows(scripts, {"flaml": [8.0, 9.0], "harness-cold": [2.0, 2.0], "harness-warm": [1.0, 1.0]})
    apart = measured[(measured["arm"] != "harness-warm") | (measured["round"] == 0)]
    apart = apart[(apart["arm"] != "flaml") | (apart["round"] == 1)]
    page = scripts("performance_page").page(apart)
    assert "| flaml | 9.0 | 9.0 | 0.9000 | 4.50 | not measured |" in page
    assert "harness-cold wins against flaml." in page
    assert "flaml. The best scores" in page


def test_the_page_of_the_documents_is_what_the_script_writes(scripts):
    script = scripts("performance_page")
    assert script.PAGE.read_text() == script.page(scripts("results").read(script.ROWS))


def test_the_time_of_what_a_command_leaves_behind_is_counted():
    script = f"""if True:
        import sys, time; sys.path.insert(0, {str(BENCHMARKS / "peers")!r})
        from measuring import adopt_orphans, measure
        adopt_orphans()
        burn = "import time; time.sleep(0.3)\\nwhile time.process_time() < 0.5: pass"
        started_s = time.perf_counter()
        took = measure(["sh", "-c", f"{{sys.executable}} -c '{{burn}}' >/dev/null 2>&1 &"], {{}})
        print(time.perf_counter() - started_s - took.wall_s, took.cpu_s)
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    waited_s, cpu_s = map(float, done.stdout.split())
    assert waited_s > 0.4  # which is no part of the command's own time
    assert cpu_s > 0.4


@pytest.mark.slow
def test_a_loop_by_hand_and_a_search_train_the_same_candidates_to_the_same_score(tmp_path):
    out = tmp_path / "peers.csv"
    command = ["benchmarks/peers.py", "run", "--quick", "--works", "mlp", "--arms", "loop-1-thread,harness-bare-cold"]
    subprocess.run([sys.executable, *command, "--out", out], cwd=ROOT, check=True, capture_output=True)
    theirs, ours = pd.read_csv(out).to_dict("records")
    assert (theirs["arm"], ours["arm"]) == ("loop-1-thread", "harness-bare-cold")
    assert theirs["candidates"] == ours["candidates"]
    # Other starting weights and orders: three standard errors of an accuracy on 269 samples.
    assert theirs["best"] == pytest.approx(ours["best"], abs=3 * (0.95 * 0.05 / 269) ** 0.5)
