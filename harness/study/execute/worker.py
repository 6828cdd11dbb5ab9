"""What runs in a worker process: a trainer that carries out assignments for as long as the coordinator lives.

Started by :mod:`harness.study.execute.worker_process`.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from harness.hardware.channel import frame, messages
from harness.lazy import loading
from harness.study.execute.messages import Open
from harness.study.execute.serving import Serving
from harness.study.execute.sharing import load_shared


def main(connection: socket.socket, *, shared: int, ahead: Sequence[str]) -> NoReturn:
    """Load modules ahead, then serve the coordinator with the workshop behind a descriptor, once it says so."""
    code = 1
    try:
        _volunteer_for_the_oom_killer()
        os.set_inheritable(shared, False)
        with loading():
            for module in ahead:
                import_module(module)
        said = messages(connection)
        opened: Open | None = next(said, None)
        if opened is None:
            sys.exit(0)  # the coordinator is gone, or did not need it
        serving = Serving(lambda message: connection.sendall(frame(message)))
        threading.Thread(target=_listen, args=(said, serving), name="harness-coordinator", daemon=True).start()
        with loading():
            workshop = load_shared(shared)
        os.close(shared)
        serving.serve(workshop, threads=opened.threads, device=opened.device)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(code)  # without waiting for threads that a candidate left


def _listen(said: Iterator[Any], serving: Serving) -> None:
    for message in said:
        serving.hear(message)
    os._exit(0)  # the coordinator is gone, and the trainer may be anywhere


def _volunteer_for_the_oom_killer() -> None:
    """When the machine runs out of memory, a worker goes and the coordinator stays."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
