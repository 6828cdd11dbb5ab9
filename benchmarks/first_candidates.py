"""Measures what each first candidate of a shipped space comes to alone, one of each family.

Run: ``python benchmarks/first_candidates.py [series text] [--seeds 1] > candidates.csv``. Each row is the command
``harness search SPACE --trials 1`` with that candidate alone under ``search.first``, in a process of its own, its final
model included and no baselines. The test samples are opened once, at the end of each command.
docs/families.md has what was measured.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterator
from typing import Any

from fashion import FIELDS, search

from harness.spec import load_spec

NO_BASELINES = ("--set", "search.baselines=false", "--set", "search.checks=false")


def main() -> None:
    """Write a row for each candidate as soon as its command has ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spaces", nargs="*", default=["series", "text"])
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    table = csv.DictWriter(sys.stdout, ("space", *FIELDS), lineterminator="\n")
    table.writeheader()
    for space in options.spaces:
        for family, candidate in first_candidates(space):
            for seed in range(options.seeds):
                alone = f"search.first={json.dumps([candidate])}"
                found = search((space, "--trials", "1", "--set", alone, *NO_BASELINES), seed)
                table.writerow({"space": space, "what": family, "seed": seed, **found})
                sys.stdout.flush()


def first_candidates(space: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the family of each candidate with what the space says of it."""
    for candidate in load_spec(space).search.first:
        plain = json.loads(json.dumps(candidate))
        yield next(iter(plain["architecture"])), plain


if __name__ == "__main__":
    main()
