"""How the command ends as a process: with its exit code, and nothing left undone."""

from __future__ import annotations

import subprocess
import sys

import pytest


def ended(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run some code, and then the command in the same process."""
    run = f"import sys\n{code}\nfrom harness.cli import command\nsys.argv = ['harness', *{list(arguments)}]\ncommand()"
    return subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("arguments", "code"), [(("--version",), 0), (("spaces", "show", "nothing"), 2), (("-x",), 2)])
def test_it_ends_with_the_exit_code(arguments: tuple[str, ...], code: int) -> None:
    assert ended("", *arguments).returncode == code


def test_what_is_to_be_done_at_the_end_is_done_and_threads_are_waited_for() -> None:
    code = (
        "import atexit, threading, time\n"
        "atexit.register(print, 'at the end')\n"
        "threading.Thread(target=lambda: (time.sleep(0.3), print('thread'))).start()\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "pool = ThreadPoolExecutor(); pool.submit(lambda: (time.sleep(0.2), print('pool')))"
    )
    done = ended(code, "--version")

    assert done.returncode == 0
    *before, last = done.stdout.splitlines()
    assert set(before) > {"pool", "thread"}
    assert last == "at the end"
    assert done.stderr == ""


def test_modules_are_not_taken_down() -> None:
    done = ended(
        "import sys\nclass Late:\n    def __del__(self): print('taken down')\nsys.modules['late'] = Late()", "--version"
    )

    assert done.returncode == 0
    assert "taken down" not in done.stdout


def test_an_error_of_the_program_itself_is_shown_whole() -> None:
    done = ended("import harness.cli\nharness.cli._run = lambda: 1 / 0", "--version")

    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
