"""The process that groups are measured from, as the suite sees it: asked, listened to, ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue

import psutil

from harness.bench.messages import Request, decode, encode_request
from harness.bench.rows import Row
from harness.errors import HardwareError
from harness.hardware import oom_kills

COMMAND = (sys.executable, "-m", "harness.bench.child")
FORKS = sys.platform == "linux"
"""Whether one such process serves all groups, by a fork for each, or ends after one."""
EXIT_S = 5.0
"""How long it may take to end by itself when there is nothing more to do."""
_KEPT_BYTES = 2**14


class GroupFailed(Exception):
    """The process died, or was killed because it did not answer; ``str`` is the reason."""

    def __init__(self, reason: str, *, out_of_memory: bool = False) -> None:
        super().__init__(reason)
        self.status = "oom" if out_of_memory else "failed"


class GroupProcess:
    """Runs :mod:`harness.bench.child`, which keeps what it compiles in the folder ``cache``.

    Raises :class:`HardwareError` when it cannot be started.
    """

    def __init__(self, device: str, level: str, seed: int, cache: Path) -> None:
        self._kills = oom_kills()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        try:
            self._process = subprocess.Popen(
                [*COMMAND, device, level, str(seed), str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                encoding="utf-8",
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                    "TORCHINDUCTOR_CACHE_DIR": str(cache),
                },
            )
        except OSError as error:
            self._errors.close()
            raise HardwareError(f"a process for the benchmark cannot be started ({error.strerror})") from error
        self._said_before = 0
        """Bytes of standard error from before the last request."""
        self._lines: SimpleQueue[str] = SimpleQueue()
        threading.Thread(target=self._listen, name="harness-bench", daemon=True).start()

    def ask(self, request: Request, limit_s: float) -> Iterator[Row | dict[str, object]]:
        """Yield the rows of the answer, then the facts that it ends with. Raises :class:`GroupFailed`."""
        deadline_s = time.monotonic() + limit_s
        self._said_before = self._said()
        assert self._process.stdin is not None
        with suppress(OSError):  # that it is gone shows where its lines end
            self._process.stdin.write(encode_request(request))
            self._process.stdin.flush()
        while True:
            try:
                line = self._lines.get(timeout=max(deadline_s - time.monotonic(), 0.0))
            except Empty:
                self.kill()
                raise GroupFailed(f"it was killed: it had not ended after {limit_s:.0f} s") from None
            if not line:
                raise self._death()
            answer = decode(line)
            yield answer
            if not isinstance(answer, Row):
                return

    def close(self) -> None:
        """Let it end by itself, or end it."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(EXIT_S)
        self.kill()
        self._errors.close()

    def kill(self) -> None:
        """End it at once, with the processes that it has started."""
        family: list[psutil.Process] = []
        with suppress(psutil.Error):
            family = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        for member in family:
            with suppress(psutil.Error):
                member.kill()
        with suppress(subprocess.TimeoutExpired):  # a process that hangs in a driver is left to the system
            self._process.wait(EXIT_S)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as answers, suppress(OSError, ValueError):
            for line in answers:
                if line.endswith("\n"):  # else it died while it wrote
                    self._lines.put(line)
        self._lines.put("")

    def _death(self) -> GroupFailed:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(EXIT_S)
        code = self._process.returncode
        end = "it closed its output" if code is None else f"exit code {code}"
        if code is not None and code < 0:
            end = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        kills = oom_kills()
        starved = code == -9 and self._kills is not None and kills is not None and kills > self._kills
        said = self._last_words()
        return GroupFailed(
            f"its process died ({'killed by the kernel: out of memory' if starved else end})"
            + (f": {said}" if said else ""),
            out_of_memory=starved,
        )

    def _said(self) -> int:
        """Return the bytes of standard error, without a seek: the process writes where this one's file stands."""
        return os.fstat(self._errors.fileno()).st_size

    def _last_words(self) -> str:
        self._errors.seek(max(self._said_before, self._said() - _KEPT_BYTES))
        lines = self._errors.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")
