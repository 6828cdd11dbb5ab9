"""``harness tasks``: the built-in data sets, and fetching those that come from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import completion

app = typer.Typer(help="List the built-in tasks, or fetch their data.", invoke_without_command=True)


@app.callback()
def tasks(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """List the built-in tasks, or fetch their data."""
    if context.invoked_subcommand is not None:
        return
    from harness.cli.console import print_json, print_table
    from harness.data import tasks as known
    from harness.spec.task import sources

    rows = [
        {"task": task.name, "kind": str(task.kind), "what it is": task.summary, "needs": task.needs}
        for task in known.values()
    ]
    if json:
        print_json({"tasks": rows})
        return
    print_table(rows)
    print("Search one by its name, such as: harness search wine")
    forms = ", ".join(name for name in sources if name not in ("builtin", "csv", "frame", "arrays"))
    print(f"A space may name data of your own as well: task: {{csv: data.csv, target: price}}, also {forms}.")


@app.command("fetch")
def fetch(
    name: Annotated[
        str,
        typer.Argument(
            help="A built-in task that is downloaded, such as fashion-mnist.", autocompletion=completion.tasks
        ),
    ],
    directory: Annotated[
        Path | None, typer.Option(help="Destination folder; by default where harness looks for it.")
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="A mirror that serves the same files.")] = None,
) -> None:
    """Download the data of a task; every file is checked against its pinned sha256."""
    from rich.progress import DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    from harness.cli.console import err
    from harness.data import cache_folder
    from harness.data import fetch as download

    console = err()
    columns = (TextColumn("{task.description}"), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        bars: dict[str, TaskID] = {}

        def progress(file: str, done: int, total: int | None) -> None:
            if file not in bars:
                bars[file] = bar.add_task(file, total=total)
            bar.update(bars[file], completed=done, total=total)

        path = download(name, directory or cache_folder(), base_url=base_url, progress=progress)
    print(path)
