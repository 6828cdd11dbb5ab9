"""What the README shows is true: its space is valid, its Python works; tests/docs runs its commands."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.spec import parse_spec
from harness.study import check_spec

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def test_two_commands_do_all_the_set_up():
    for name in ("run", "test"):
        (command,) = re.findall(rf"<!-- {name} -->\n```sh\n(.*?)\n```", README)
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install -q -c constraints.txt ")
    assert "<!-- test -->" in (ROOT / ".ci" / "run").read_text()


def test_the_space_is_valid():
    (text,) = [text for language, text in BLOCKS if language == "yaml"]
    assert text == (ROOT / "examples" / "houses.yaml").read_text()
    check_spec(parse_spec(text, origin="README.md"))


PYTHON = [text for language, text in BLOCKS if language == "python"]


@pytest.mark.slow
@pytest.mark.parametrize(("text", "shown"), list(zip(PYTHON, ("latency_p50_ms", "['0' '0' '0']"), strict=True)))
def test_the_python_works(tmp_path, monkeypatch, capsys, text, shown):
    monkeypatch.chdir(tmp_path)
    exec(compile(text, "README.md", "exec"), {})
    assert shown in capsys.readouterr().out


@pytest.mark.slow
def test_the_python_passes_mypy_strictly(tmp_path):
    files = [tmp_path / f"example_{number}.py" for number in range(len(PYTHON))]
    for file, text in zip(files, PYTHON, strict=True):
        file.write_text(text)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", ROOT / "pyproject.toml", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
