import sys
from dataclasses import dataclass

import pytest

from harness.cli import main

TINY = """
task: digits
objective: accuracy
budget: {trials: 4, epochs: 2}
search: {pruner: none, baselines: false, checks: false}
space:
  architecture: {mlp: {depth: [0, 1], width: {int: [8, 32], log: true}, dropout: {float: [0, 0.3]}}}
  optimizer: {sgd: {lr: {float: [1e-2, 0.3], log: true}, momentum: 0.9}}
  batch_size: [64, 128]
"""


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def tiny_text():
    """A space whose search takes a second."""
    return TINY


@pytest.fixture
def tiny(tiny_text, tmp_path):
    """A file with it."""
    path = tmp_path / "tiny.yaml"
    path.write_text(tiny_text)
    return path


@pytest.fixture
def harness(monkeypatch, capsys):
    """Run the command line in this process: ``harness("search", "digits")`` returns code, stdout and stderr.

    A search trains in this process too, unless ``--workers`` says otherwise: starting a worker takes seconds.
    """

    def run(*arguments):
        if arguments[0] == "search" and "--workers" not in arguments:
            arguments = (*arguments, "--workers", 0)
        monkeypatch.setattr(sys, "argv", ["harness", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        code = ended.value.code
        return Done(0 if code is None else code, captured.out, captured.err)

    return run
