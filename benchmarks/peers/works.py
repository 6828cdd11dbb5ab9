"""What is searched, and by whom: the work, the arms that can do it, and the command of each."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from environments import ROOT, interpreter

HERE = Path(__file__).parent
QUICK_TRIALS = 4


class Work(NamedTuple):
    """A space, how much of it is tried, and the peers that can do the same."""

    title: str
    space: str
    trials: int
    peers: tuple[str, ...]

    def file(self) -> Path:
        """Return the space file, which all arms read."""
        return HERE / f"{self.space}.yaml"


class Peer(NamedTuple):
    """A script, the environment that it runs in, and its options."""

    environment: str
    script: str
    options: tuple[str, ...] = ()


PEERS = {
    "loop": Peer("optuna", "with_optuna.py"),
    "loop-1-thread": Peer("optuna", "with_optuna.py", ("--threads", "1")),
    "lightning": Peer("lightning", "with_lightning.py"),
    "ray-tune": Peer("ray", "with_ray.py"),
    "keras-tuner": Peer("keras", "with_keras.py"),
    "flaml": Peer("flaml", "with_flaml.py"),
}
BARE = ("search.baselines=false", "training.final=keep", "training.calibration=none")
"""What is switched off in the bare arms: scikit-learn's baselines, and all but the scoring of the winner as it is."""
OURS: Mapping[str, tuple[str, ...]] = {
    "harness-cold": (),
    "harness-warm": (),
    "harness-bare-cold": BARE,
    "harness-bare-warm": BARE,
}
"""Our arms with the keys that they override. Cold: an empty folder of caches; warm: that of the same search before."""
_LOOPS = ("loop", "loop-1-thread", "lightning")
WORKS = {
    "mlp": Work("64 two-layer MLPs of width 64, random search", "mlp", 64, tuple(PEERS)),
    "mlp-512": Work("512 two-layer MLPs of width 64, random search", "mlp", 512, _LOOPS),
    "mlp-searched": Work("64 MLPs of searched shape, TPE", "mlp-searched", 64, (*_LOOPS, "ray-tune", "flaml")),
    "cnn": Work("30 small CNNs, TPE", "cnn", 30, (*_LOOPS, "ray-tune")),
}


def peer_command(peer: Peer, work: Work, trials: int, split: Path, environments: Path | None) -> list[str] | None:
    """Return the command of a peer; None where its packages are not installed."""
    python = interpreter(peer.environment, environments)
    if python is None:
        return None
    asked = ["--split", str(split), "--trials", str(trials), *peer.options]
    return [str(python), str(HERE / peer.script), str(work.file()), *asked]


def our_command(arm: str, work: Work, trials: int, out: Path) -> list[str]:
    """Return the command as a user would type it."""
    switches = [word for key in OURS[arm] for word in ("--set", key)]
    asked = ["--trials", str(trials), "--out", str(out), *switches]
    return [sys.executable, "-m", "harness", "search", str(work.file()), *asked]


def shown(command: list[str]) -> str:
    """Return a command without the folders of this machine."""
    names = {str(ROOT) + "/": "", sys.executable: "python"}
    words = ["python" if place == 0 else word for place, word in enumerate(command)]
    for long, short in names.items():
        words = [word.replace(long, short) for word in words]
    hidden = {place + 1 for place, word in enumerate(words) if word in ("--split", "--out")}
    return " ".join(Path(word).name if place in hidden else word for place, word in enumerate(words))
