"""The command line: parse, call, print. Every command imports what it needs when it runs, so that --help is quick."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from contextlib import suppress
from typing import Annotated, Any, NoReturn

import typer

import harness
from harness.cli.streams import Streams
from harness.errors import HarnessError, StorageError

app = typer.Typer(
    name="harness",
    help="Search architectures and hyperparameters on this machine, and benchmark it.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def command() -> NoReturn:
    """Run the command line as a process of its own, which ends once nothing is left to do.

    Taking down the modules one by one, as the interpreter does after that, takes half a second where torch is loaded.
    """
    code: int | str | None = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as the interpreter does
    atexit._run_exitfuncs()
    for stream in filter(None, (sys.stdout, sys.stderr)):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def main() -> None:
    """Run the command line; a user's mistake ends as one line on stderr and its exit code."""
    with Streams() as streams:
        code = _run()
        if lost := streams.lost():
            _say_error(f"standard output: {lost}; the output is incomplete: redirect it to a disk with free space")
            code = code or StorageError.exit_code
    sys.exit(code)


def _run() -> int:
    """Run the command that was asked for and return its exit code."""
    try:
        app()
    except HarnessError as error:
        _say_error(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        print("harness: interrupted before anything was written", file=sys.stderr)
        return 130
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _say_error(message: str) -> None:
    from harness.cli.console import printable

    print(f"harness: error: {printable(message)}", file=sys.stderr)


def _version(value: bool) -> None:
    if value:
        print(f"harness {harness.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Hold the options that come before a command."""


def _register() -> None:
    from harness.cli import (
        bench,
        compare,
        dashboard,
        devices,
        ensemble,
        export,
        pack,
        predict,
        refit,
        report,
        reproduce,
        runs,
        search,
        spaces,
        tasks,
        threshold,
        train,
        verify,
    )

    commands = (
        search.search,
        train.train,
        compare.compare,
        export.export,
        ensemble.ensemble,
        reproduce.reproduce,
        threshold.threshold,
        refit.refit,
        verify.verify,
        pack.pack,
        pack.unpack,
        predict.predict,
        runs.runs,
        report.report,
        dashboard.dashboard,
        devices.devices,
    )
    for command in commands:
        app.command(command.__name__)(command)
    for name, group in (("bench", bench.app), ("tasks", tasks.app), ("spaces", spaces.app)):
        app.add_typer(group, name=name)


_register()

__all__: list[Any] = ["app", "main"]
