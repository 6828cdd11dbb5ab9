"""``harness dashboard``."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from harness.cli import completion, options


def dashboard(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="A run folder, finished or under way.", autocompletion=completion.search_runs
        ),
    ],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free one.")] = 8080,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but 127.0.0.1 lets other machines see the run too.")
    ] = "127.0.0.1",
    storage: options.Storage = None,
) -> None:
    """Show a run's trials in Optuna's dashboard, until Ctrl-C; nothing of the run is changed."""
    from harness.dashboard import Pages
    from harness.serving import is_loopback, served
    from harness.signals import asked_to_end

    ended = threading.Event()
    with asked_to_end(lambda _number: ended.set()), served(Pages(run, storage), host, port) as url:
        if not is_loopback(host):
            print(
                f"harness: --host {host}: whoever reaches this machine can read the run; there is no password",
                file=sys.stderr,
            )
        print(url, flush=True)
        print("harness: Ctrl-C ends it", file=sys.stderr)
        ended.wait()
