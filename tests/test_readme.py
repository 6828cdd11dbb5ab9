"""What the README shows is true: its commands are run, its space is valid, its Python works."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from harness.spec import parse_spec
from harness.study import check_spec

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
COMMANDS = [
    shlex.split(line.split("   #")[0])[1:]
    for language, text in BLOCKS
    if language == "sh"
    for line in text.splitlines()
    if line.startswith("harness ")
]


def test_two_commands_do_all_the_set_up():
    for name in ("run", "test"):
        (command,) = re.findall(rf"<!-- {name} -->\n```sh\n(.*?)\n```", README)
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install -q -c constraints.txt ")
    assert "<!-- test -->" in (ROOT / ".ci" / "run").read_text()


def test_the_space_is_valid():
    (text,) = [text for language, text in BLOCKS if language == "yaml"]
    check_spec(parse_spec(text, origin="README.md"))


def test_the_python_works(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (text,) = [text for language, text in BLOCKS if language == "python"]
    exec(compile(text, "README.md", "exec"), {})
    assert "latency_p50_ms" in capsys.readouterr().out


@pytest.mark.slow
def test_the_python_passes_mypy_strictly(tmp_path):
    (text,) = [text for language, text in BLOCKS if language == "python"]
    file = tmp_path / "example.py"
    file.write_text(text)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(ROOT / "pyproject.toml"), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_and_option_exists(command):
    """Show the command's help, and look its options up there: running each would take an hour."""
    words = [word for word in command if not word.startswith("-")]
    name = words[:2] if words[0] in ("spaces",) else words[:1]
    done = subprocess.run(
        [sys.executable, "-m", "harness", *name, "--help"], capture_output=True, text=True, check=True
    )
    for option in (word for word in command if word.startswith("--")):
        assert option in done.stdout


def test_linked_files_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target
