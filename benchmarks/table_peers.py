"""What the tables are also given to: scikit-learn's usual models, each with the preprocessing that it needs.

All learn from the training and validation rows together. ``hgb-early`` is the one that needs the validation rows for
themselves: it adds trees until they no longer help there, and is then fitted to both parts with that many.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype
from sklearn.base import BaseEstimator, clone
from sklearn.compose import TransformedTargetRegressor, make_column_selector, make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

MOST_TREES = 200
"""Of ``hgb-early``."""

Fitted = Callable[[pd.DataFrame], np.ndarray]
"""From rows to probabilities, classes in sorted order, or values."""


def learn(
    name: str, x: pd.DataFrame, y: np.ndarray, validation: np.ndarray, *, classes: bool, seed: int, threads: int
) -> Fitted:
    """Fit the peer ``name`` to rows of which ``validation`` marks the validation part, and return how it predicts."""
    model = PEERS[name](classes, seed, threads)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # what the defaults reach is what is compared
        if name == "hgb-early":
            model.set_params(max_iter=best_number_of_trees(model, x, y, validation, classes=classes))
        model.fit(x, y)
    predict: Callable[[pd.DataFrame], np.ndarray] = model.predict_proba if classes else model.predict
    return predict


def best_number_of_trees(
    model: BaseEstimator, x: pd.DataFrame, y: np.ndarray, validation: np.ndarray, *, classes: bool
) -> int:
    """Return how many trees predict the validation rows best, learnt from the others."""
    trial = clone(model).set_params(max_iter=MOST_TREES).fit(x[~validation], y[~validation])
    if classes:
        validation = validation & np.isin(y, trial.classes_)  # a rare class may be there alone
        places = np.searchsorted(trial.classes_, y[validation])
        rows = np.arange(len(places))
        stages = trial.staged_predict_proba(x[validation])
        losses = [-np.log(np.clip(stage[rows, places], 1e-15, 1)).mean() for stage in stages]
    else:
        losses = [np.square(stage - y[validation]).mean() for stage in trial.staged_predict(x[validation])]
    return int(np.argmin(losses)) + 1


def as_features(frame: pd.DataFrame) -> pd.DataFrame:
    """Return numbers as float64 and all else as pandas' categories, of which the peers' preprocessing goes by."""
    return pd.DataFrame(
        {
            name: column.astype("float64") if is_numeric_dtype(column) else column.astype("category")
            for name, column in frame.items()
        }
    )


def boosting(classes: bool, seed: int, _threads: int) -> BaseEstimator:
    """Return histogram gradient boosting with its defaults; it takes categories and missing values as they are."""
    if classes:
        return HistGradientBoostingClassifier(categorical_features="from_dtype", random_state=seed)
    return HistGradientBoostingRegressor(categorical_features="from_dtype", random_state=seed)


def boosting_early(classes: bool, seed: int, threads: int) -> BaseEstimator:
    """Return the same without scikit-learn's own stopping."""
    return boosting(classes, seed, threads).set_params(early_stopping=False)


def forest(classes: bool, seed: int, threads: int) -> BaseEstimator:
    """Return a random forest on codes of the categories."""
    codes = make_pipeline(
        SimpleImputer(strategy="most_frequent"),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
    )
    kind = RandomForestClassifier if classes else RandomForestRegressor
    return make_pipeline(by_kind(SimpleImputer(strategy="median"), codes), kind(random_state=seed, n_jobs=threads))


def network(classes: bool, seed: int, _threads: int) -> BaseEstimator:
    """Return scikit-learn's perceptron with early stopping, on standardised numbers and one-hot categories."""
    if classes:
        return make_pipeline(one_hot(), MLPClassifier(early_stopping=True, random_state=seed))
    perceptron = MLPRegressor(early_stopping=True, random_state=seed)
    return make_pipeline(one_hot(), TransformedTargetRegressor(perceptron, transformer=StandardScaler()))


def linear(classes: bool, _seed: int, _threads: int) -> BaseEstimator:
    """Return logistic or ridge regression on the same."""
    return make_pipeline(
        one_hot(), LogisticRegression(max_iter=500) if classes else RidgeCV(alphas=np.logspace(-2, 4, 13))
    )


def one_hot() -> BaseEstimator:
    """Return what makes one column for each category and standardises the numbers."""
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    return by_kind(numbers, OneHotEncoder(handle_unknown="ignore", sparse_output=False))


def by_kind(numbers: BaseEstimator, categories: BaseEstimator) -> BaseEstimator:
    """Return one step for the numbers and one for the categories."""
    return make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (categories, make_column_selector(dtype_include="category")),
    )


PEERS = {"hgb": boosting, "hgb-early": boosting_early, "forest": forest, "mlp": network, "linear": linear}
