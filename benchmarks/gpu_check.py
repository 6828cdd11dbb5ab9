"""Claim: on a machine with an NVIDIA GPU everything of this program that uses it works. Nothing is claimed of speed.

Run: ``python benchmarks/gpu_check.py [--out FOLDER] [--time 8m] [--only STEP,STEP] [--rehearse]``, eight minutes at
most. Each step has a process and a time limit of its own; one that fails, dies or hangs does not stop the next. A step
leaves its log, its figures and its verdict (passed; failed and why; not measured and why) in ``FOLDER/STEP``, all
verdicts are in ``FOLDER/verdicts.json`` and ``verdicts.md``; the folder is meant to be kept as
``benchmarks/reference/DEVICE``. With ``--only`` the verdicts of other steps stay as they were. Exit code 0: nothing
failed; 1: something did; 4: there is no GPU that torch can use.

``--rehearse`` takes the steps on a CPU, beside the NVML stub of the tests, to find mistakes in the check: what needs a
GPU is then not measured. Without ``--time`` it has eight minutes too; on a busy machine give it more.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from gpu_verdicts import FAILED, page, write_json

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
STEPS: Mapping[str, float] = {
    "devices": 25.0,
    "nvml": 40.0,
    "tests": 60.0,
    "digits": 60.0,
    "memory": 40.0,
    "energy": 50.0,
    "images": 60.0,
    "packing": 70.0,
    "graphs": 35.0,
    "compile": 50.0,
    "bench": 100.0,
}
"""The steps in their order, with the shares of the time that is left when they begin."""
DEFAULT_S = 480.0
LOOK_S = 120.0
"""How long it may take to see which GPU there is."""
NO_GPU = 4
"""Exit code, as the program's own."""

CommandOf = Callable[[str, Path, float], Sequence[str]]
"""What to start for a step, given its folder and the seconds that it has."""


def main() -> None:
    """Take the steps and write what came of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder to write to (default: results/gpu-check/DEVICE)")
    parser.add_argument("--time", default="8m", help="for everything, such as 90s or 8m")
    parser.add_argument("--only", help=f"steps, separated by commas: {', '.join(STEPS)}")
    parser.add_argument("--rehearse", action="store_true", help="on a CPU, with made-up meters")
    options = parser.parse_args()
    names = list(STEPS) if options.only is None else options.only.split(",")
    if unknown := [name for name in names if name not in STEPS]:
        parser.error(f"--only: no step {unknown[0]!r}; there are {', '.join(STEPS)}")
    total_s = seconds_of(options.time)
    if total_s is None:
        parser.error(f"--time {options.time}: a time such as 90s or 8m")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _terminated)
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as scratch:
        environment = environment_of(Path(scratch), rehearse=options.rehearse)
        device = "rehearsal" if options.rehearse else look(environment)
        out: Path = options.out or ROOT / "results" / "gpu-check" / re.sub(r"[^a-z0-9]+", "-", device.lower())
        report = load(out / "verdicts.json", {"device": device, "rehearsal": options.rehearse, "steps": {}})
        left_s = total_s - (time.monotonic() - started_s)
        take(names, out.resolve(), report, seconds=left_s, command_of=command_of(options.rehearse), env=environment)
    print(out / "verdicts.md")
    raise SystemExit(int(any(report["steps"][name]["verdict"] == FAILED for name in names)))


def seconds_of(text: str) -> float | None:
    """Return the seconds of ``90s`` or ``8m``; None for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m)", text)
    return float(found[1]) * (60.0 if found[2] == "m" else 1.0) if found else None


def load(path: Path, fresh: dict[str, Any]) -> dict[str, Any]:
    """Return an earlier report on the same device to go on with, else ``fresh``."""
    with suppress(OSError, ValueError):
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if all(found.get(name) == fresh[name] for name in ("device", "rehearsal")):
            return found
    return fresh


def take(
    names: Sequence[str],
    out: Path,
    report: dict[str, Any],
    *,
    seconds: float,
    command_of: CommandOf,
    env: Mapping[str, str],
    shares: Mapping[str, float] = STEPS,
) -> None:
    """Take the steps one after the other in so many seconds; ``report`` and its files have each verdict at once.

    A step has its share of the time that is left, so that what earlier ones did not need is there for later ones.
    """
    out.mkdir(parents=True, exist_ok=True)
    end_s = time.monotonic() + seconds
    for number, name in enumerate(names):
        left_s = max(end_s - time.monotonic(), 0.0)
        limit_s = left_s * shares[name] / sum(shares[each] for each in names[number:])
        folder = out / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        start_s = time.monotonic()
        end = run(command_of(name, folder, limit_s), folder / "log.txt", limit_s=limit_s, env=env)
        hide_folders(folder)
        step = verdict_of(folder, end) | {"seconds": time.monotonic() - start_s, "ended_unix_s": time.time()}
        report["steps"][name] = step
        write_json(out / "verdicts.json", report)
        (out / "verdicts.md").write_text(page(report), encoding="utf-8")
        print(f"{name}: {step['verdict']} in {step['seconds']:.1f} s{step['why'] and ': '}{step['why']}", flush=True)


def run(command: Sequence[str], log: Path, *, limit_s: float, env: Mapping[str, str]) -> str:
    """Run a command with all that it starts, its output in ``log``; return how it ended, ``""`` for well."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env=dict(env),
            start_new_session=True,
        )
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return f"it was killed: it had not ended after {limit_s:.0f} s"
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if code < 0:
        return f"it died of {signal.Signals(-code).name if -code in set(signal.Signals) else f'signal {-code}'}"
    return f"it ended with exit code {code}" if code else ""


def hide_folders(folder: Path) -> None:
    """Take out of the logs where on this machine things lie, which often names the user."""
    for path in (folder / "log.txt", *folder.glob("*.log")):
        text = path.read_text(encoding="utf-8", errors="replace")
        for place, word in ((folder.parent, "FOLDER"), (ROOT, "CLONE"), (Path.home(), "~")):
            text = text.replace(str(place), word) if place != Path("/") else text
        path.write_text(text, encoding="utf-8")


def verdict_of(folder: Path, end: str) -> dict[str, Any]:
    """Return what a step found, or that it failed by ending as it did."""
    if not end:
        with suppress(OSError, ValueError):
            found: dict[str, Any] = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
            return found
        end = "it left no verdict"
    said = last_line(folder / "log.txt")
    return {"verdict": FAILED, "why": f"{end}; it said last: {said}" if said else end, "checks": [], "figures": {}}


def last_line(path: Path) -> str:
    """Return the last line of a log that is not blank, ``""`` where there is none."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")


def command_of(rehearse: bool) -> CommandOf:
    """Return what starts the real steps."""
    flag = ["--rehearse"] if rehearse else []
    return lambda name, folder, limit_s: [
        sys.executable,
        str(HERE / "gpu_steps.py"),
        name,
        str(folder),
        f"{limit_s:.1f}",
        *flag,
    ]


def environment_of(scratch: Path, *, rehearse: bool) -> dict[str, str]:
    """Return the environment of the steps: this clone's program, choices that nobody has remembered, the user's data.

    In a rehearsal NVML is the tests' stub.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    own = {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", "")))),
        "XDG_CACHE_HOME": str(scratch / "cache"),
        "HARNESS_DATA": os.environ.get("HARNESS_DATA") or str(cache / "harness"),
    }
    if not rehearse:
        return {**os.environ, **own}
    sys.path.append(str(ROOT / "tests" / "nvml_stub"))
    from build import NvmlStub, build, compiler, write_smi

    if compiler() is None:
        give_up("the rehearsal needs a C compiler (cc, gcc or clang) for its meters")
    stub = NvmlStub(build(scratch))
    path = os.pathsep.join([str(write_smi(scratch)), os.environ.get("PATH", "")])
    return {**stub.environment(t0=time.time()), **own, "PATH": path}


def look(environment: Mapping[str, str]) -> str:
    """Return the name of the first GPU that torch can use; end the program where there is none.

    In a process of its own: one that holds a GPU would be another program to whatever measures it.
    """
    command = [sys.executable, "-m", "harness", "devices", "--json"]
    try:
        done = subprocess.run(
            command, env=dict(environment), cwd=ROOT, capture_output=True, text=True, timeout=LOOK_S, check=False
        )
    except subprocess.TimeoutExpired:
        give_up(f"`harness devices` had not ended after {LOOK_S:.0f} s; see whether nvidia-smi works")
    if done.returncode:
        said = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "nothing")
        give_up(f"`harness devices` ended with exit code {done.returncode} and said: {said}")
    torch = json.loads(done.stdout)["torch"]
    names = [device["name"] for device in torch["devices"] if device["device"].startswith("cuda")]
    if not names:
        give_up(f"{torch['cuda_reason']}; --rehearse takes the steps on a CPU")
    return str(names[0])


def give_up(why: str) -> NoReturn:
    """End the program with one line."""
    print(f"gpu_check: {why}", file=sys.stderr)
    raise SystemExit(NO_GPU)


def _terminated(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)  # what runs is killed on the way out


if __name__ == "__main__":
    main()
