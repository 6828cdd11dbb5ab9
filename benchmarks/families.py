"""Claim: every family of images, series and texts learns with its shipped candidate.

Run: ``python benchmarks/families.py [fashion] [series] [text] [--only gru,lstm] [--seeds 1] > families.csv``. Each row
is one candidate, searched alone by the command that a user would type in a process of its own. The final model is that
of the space, without baselines; the test samples are opened once.

- ``fashion``: one candidate of each of three families of images on Fashion-MNIST, as ``fashion_families/`` has them.
  Goals: 0.93 of ``resnet``, 0.90 of ``convnext`` and ``vit``, within 20 minutes each on two cores.
- ``series`` and ``text``: the first candidates of the shipped space on its own task, and their siblings: a family
  that the space leaves out takes the candidate of one with the same parameters.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fashion import FIELDS, search

from harness.spec.load import read_space
from harness.spec.reader import read_yaml, write_yaml

FOLDER = Path(__file__).parent
SIBLINGS = {"series": {"rnn": "gru"}, "text": {"lstm": "gru", "rnn": "gru"}}
"""Families that a space leaves out, each with the one whose candidate it takes."""
Space = dict[str, Any]


def main() -> None:
    """Write a row for each candidate as soon as it has ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=["fashion", "series", "text"])
    parser.add_argument("--only", help="families, separated by commas")
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    only = options.only.split(",") if options.only else None
    table = csv.DictWriter(sys.stdout, ("set", *FIELDS), lineterminator="\n")
    table.writeheader()
    for name in options.sets:
        for family, space in spaces(name):
            for seed in range(options.seeds):
                if only is None or family.split(" ")[0] in only:
                    table.writerow({"set": name, "what": family, "seed": seed, **trained(space, seed)})
                    sys.stdout.flush()


def spaces(name: str) -> Iterator[tuple[str, Space]]:
    """Yield a space of one candidate for each family of a set."""
    if name == "fashion":
        for file in sorted((FOLDER / "fashion_families").glob("*.yaml")):
            yield file.stem, read(file.read_text())
        return
    shipped, seen = read(read_space(name)), Counter[str]()
    for candidate in shipped["search"].pop("first"):
        (family,) = candidate["architecture"]
        for other in (family, *(new for new, old in SIBLINGS[name].items() if old == family)):
            fixed = {**candidate, "architecture": {other: candidate["architecture"][family]}}
            seen[other] += 1
            yield (
                f"{other} {seen[other]}" if seen[other] > 1 else other,
                {**shipped, "space": {**shipped["space"], **fixed}},
            )


def trained(space: Mapping[str, Any], seed: int) -> Mapping[str, object]:
    """Train the only candidate of a space and return its figures."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "candidate.yaml"
        alone = {**space, "budget": {**space["budget"], "trials": 1}}
        alone["search"] = {**space["search"], "baselines": False}
        file.write_text(write_yaml(alone))
        return search((str(file),), seed)


def read(text: str) -> Space:
    """Return what a space file says; numbers are read as a search reads them."""
    data: Space = read_yaml(text, "space").data
    return data


if __name__ == "__main__":
    main()
