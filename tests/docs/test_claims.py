"""What docs/tools.md claims of this program is held by a test that is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "tools.md").read_text()
ROWS = [line for line in TEXT.partition("## What harness claims")[2].splitlines() if line.startswith("| ")][2:]


def test_every_claim_names_a_test_that_is_there():
    assert ROWS
    for row in ROWS:
        names = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row)
        assert names, row
        for file, name in names:
            assert f"def {name}(" in (ROOT / file).read_text(), f"{file}::{name}"


def test_every_other_tool_is_named_with_its_documentation():
    table = TEXT.partition("## When another tool")[2].partition("## What harness claims")[0]
    tools = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")][2:]
    assert len(tools) == 13
    assert all(re.match(r"\[.+\]\(https://\S+\)$", tool) for tool in tools), tools
