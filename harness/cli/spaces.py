"""``harness spaces``: the shipped spaces, and what is wrong or right with yours."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli import completion

app = typer.Typer(help="List, show and validate spaces, or print their JSON Schema.", no_args_is_help=True)

Space = Annotated[str, typer.Argument(help="A shipped space's name or a YAML file.", autocompletion=completion.spaces)]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override any key of the space file.")
]


@app.command("list")
def list_spaces() -> None:
    """List the spaces that come with harness."""
    from harness.cli.console import print_table
    from harness.spec import load_spec, options_of, parameters, shipped_spaces

    rows = []
    for name in shipped_spaces():
        spec = load_spec(name)
        rows.append(
            {
                "space": name,
                "task": spec.task.label,
                "architectures": ", ".join(options_of(spec)),
                "parameters": len(list(parameters(spec.group))),
                "trials": spec.budget.trials,
                "epochs": spec.budget.epochs,
            }
        )
    print_table(rows)


@app.command("show")
def show(space: Space) -> None:
    """Print a space file as it is."""
    from harness.spec import read_space

    print(read_space(space), end="")


@app.command("validate")
def validate(space: Space, set_: Overrides = None) -> None:
    """Check a space to the last value: every key, option, bound and parameter of every family."""
    from harness.spec import load_spec

    spec = load_spec(space, set_ or [])
    # Only now what loads torch: a typo is answered before.
    from harness.cli.describe import print_space
    from harness.study import check_spec

    check_spec(spec)
    print_space(spec)


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of space files, for editors."""
    from harness.cli.console import print_json
    from harness.study import space_schema

    print_json(space_schema())
