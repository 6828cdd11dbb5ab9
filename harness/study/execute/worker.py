"""What runs in a worker process: a trainer that carries out assignments for as long as the coordinator lives.

Started by :mod:`harness.study.execute.worker_process`.
"""

from __future__ import annotations

import os
import socket
import threading
from typing import NoReturn

from harness.hardware.channel import frame, messages
from harness.hardware.child import volunteer_for_the_oom_killer
from harness.lazy import loading
from harness.study.execute.serving import Serving
from harness.study.execute.sharing import load_shared


def main(connection: socket.socket, *, shared: int, threads: int, device: int) -> NoReturn:
    """Serve the coordinator with the workshop behind the descriptor ``shared``, opened on one of its devices."""
    volunteer_for_the_oom_killer()
    serving = Serving(lambda message: connection.sendall(frame(message)))
    listening = threading.Thread(target=_listen, args=(connection, serving), name="harness-coordinator", daemon=True)
    listening.start()
    with loading():
        workshop = load_shared(shared)
    os.close(shared)
    serving.serve(workshop, threads=threads, device=device)


def _listen(connection: socket.socket, serving: Serving) -> None:
    for message in messages(connection):
        serving.hear(message)
    os._exit(0)  # the coordinator is gone, and the trainer may be anywhere
