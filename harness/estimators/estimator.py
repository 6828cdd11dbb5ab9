"""Classifier and regressor: a search as ``fit``, its winner as ``predict``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from harness.data import unknown_columns
from harness.data.sources.names import one_form
from harness.estimators.fitting import fit
from harness.estimators.table import as_value_error, dates_of, table_of, target_beside, with_twins
from harness.problems.quantile_scores import middle_of
from harness.study import Predictor


class _Search(BaseEstimator):
    """What classifier and regressor have in common: the parameters, and the search."""

    def __init__(
        self,
        space: str | Mapping[str, Any] = "tabular",
        *,
        trials: int | None = None,
        time: str | float | None = None,
        random_state: Any = None,
        workers: int | Literal["auto"] = 0,
        device: str = "auto",
        out: str | Path | None = None,
        verbose: int = 0,
        overrides: Iterable[str] = (),
        trust: bool = False,
    ) -> None:
        self.space = space
        self.trials = trials
        self.time = time
        self.random_state = random_state
        self.workers = workers
        self.device = device
        self.out = out
        self.verbose = verbose
        self.overrides = overrides
        self.trust = trust

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags

    def _search(
        self, X: Any, targets: np.ndarray, kind: str, known: Mapping[str, Any], more: Sequence[str] = ()
    ) -> Self:
        """Search for what predicts the targets, of which the search reads the codes or the first of the values.

        ``more`` are overrides that follow from the estimator's own parameters.
        """
        frame = table_of(self, X, fitting=True)
        check_consistent_length(frame, targets)
        if kind == "classification":
            rows = with_twins(targets)
            frame, targets = frame.iloc[rows].reset_index(drop=True), targets[rows]
        column = pd.Series(targets if targets.ndim == 1 else targets[:, 0], name=target_beside(frame))
        options = {
            "space": self.space,
            "data": (frame, column),
            "trials": self.trials,
            "timeout_s": self.time,
            "seed": self._seed(),
            "workers": self.workers,
            "device": self.device,
            "out": self.out,
            "trust": self.trust,
            "overrides": [
                f"task.kind={kind}",
                f"task.dates={json.dumps(dates_of(frame), ensure_ascii=False)}",
                "task.split.test=0",
                "search.deterministic=true",
                *more,
                *self.overrides,
            ],
        }
        with as_value_error():
            fitted = fit(options, {"targets": targets, **known}, verbose=bool(self.verbose))
        self._model = fitted.model
        self.trials_, self.result_ = fitted.trials, fitted.result
        self.run_ = fitted.result.run if fitted.result else None
        return self

    def _seed(self) -> int:
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _prepared(self, X: Any) -> tuple[Predictor, pd.DataFrame]:
        """Return what predicts, and the columns of X that it takes."""
        check_is_fitted(self)
        frame = table_of(self, X, fitting=False)
        predictor = self._model.predictor
        unknown = set(unknown_columns(predictor.preprocessing, frame))
        return predictor, frame[[name for name in frame.columns if one_form(name) not in unknown]]


class HarnessClassifier(ClassifierMixin, _Search):
    """Classifier of scikit-learn whose ``fit`` is a search, and which predicts with its winner.

    ``space``, ``trials``, ``time`` (seconds, or ``"20m"``), ``workers`` (0: trials are trained in this process),
    ``device``, ``trust`` and ``overrides`` (``["budget.epochs=30"]``) are those of :func:`harness.search`; what is None
    is as the space has it. ``random_state`` is the seed of the search. With ``out`` the run folder is kept below it,
    with its report; else there is none after ``fit``. ``verbose=1`` prints a line for each trial on stderr.

    A DataFrame keeps its columns by name: numbers, categories, text, dates and missing values are taken as they are.
    No row is set apart for a test: all are there to learn from. After ``fit``: ``classes_``, ``n_features_in_``,
    ``feature_names_in_``, ``trials_`` (a row for each trial), and of a run that is kept ``run_``, its folder, and
    ``result_``, a :class:`harness.SearchResult`. docs/sklearn.md says more.

    >>> import harness
    >>> from sklearn.datasets import load_wine
    >>> X, y = load_wine(return_X_y=True, as_frame=True)
    >>> budget = ["budget.epochs=10", "evaluation.folds=null", "training.final=keep"]
    >>> model = harness.HarnessClassifier(trials=1, random_state=0, overrides=budget).fit(X, y)
    >>> model.predict_proba(X).shape, model.score(X, y) > 0.8
    ((178, 3), True)
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Search and train; ``y`` holds labels of any type, one for each row of ``X``.

        Raises ValueError and TypeError as scikit-learn does, and the errors of :mod:`harness.errors` that are not about
        the input. Ctrl-C ends the search cleanly and is raised again.
        """
        y = validate_data(self, y=y)
        check_classification_targets(y)
        classes, codes = np.unique(y, return_inverse=True)
        if len(classes) == 1:
            raise ValueError(f"y holds only one class, {classes.tolist()}; {type(self).__name__} needs two and more")
        names = tuple(map(str, classes.tolist()))
        alike = len(set(names)) < len(names)
        self._search(
            X, codes, "classification", {"class_names": tuple(map(str, range(len(names)))) if alike else names}
        )
        self.classes_ = classes
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return (N,) labels; the columns of ``X`` are those of ``fit``."""
        predictor, frame = self._prepared(X)
        with as_value_error():
            names = predictor.predict(frame)
        labels: np.ndarray = self.classes_[pd.Index(predictor.class_names).get_indexer(pd.Index(names))]
        return labels

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return float64 (N, classes) probabilities, in the order of ``classes_``."""
        predictor, frame = self._prepared(X)
        with as_value_error():
            probabilities: np.ndarray = predictor.predict_proba(frame)
        # They are float32's of the model; sums of one are expected to be so in float64.
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        return probabilities


class HarnessRegressor(RegressorMixin, _Search):
    """Regressor of scikit-learn whose ``fit`` is a search, and which predicts with its winner.

    Parameters and attributes are those of :class:`harness.HarnessClassifier`, but for ``classes_``. Several values of
    each row are predicted by one model. With ``quantiles``, shares that ascend such as ``(0.1, 0.5, 0.9)``, it learns
    below what each share of the values of such a row lies; ``predict`` then returns the one next to the median.

    >>> import harness
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> budget = ["budget.epochs=10", "evaluation.folds=null", "training.final=keep"]
    >>> model = harness.HarnessRegressor(trials=1, random_state=0, overrides=budget).fit(X, y)
    >>> model.predict(X).shape
    (442,)
    """

    def __init__(
        self,
        space: str | Mapping[str, Any] = "tabular",
        *,
        quantiles: Sequence[float] | None = None,
        trials: int | None = None,
        time: str | float | None = None,
        random_state: Any = None,
        workers: int | Literal["auto"] = 0,
        device: str = "auto",
        out: str | Path | None = None,
        verbose: int = 0,
        overrides: Iterable[str] = (),
        trust: bool = False,
    ) -> None:
        # scikit-learn reads the parameters of an estimator from this signature.
        super().__init__(
            space,
            trials=trials,
            time=time,
            random_state=random_state,
            workers=workers,
            device=device,
            out=out,
            verbose=verbose,
            overrides=overrides,
            trust=trust,
        )
        self.quantiles = quantiles

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = self.quantiles is None
        return tags

    def fit(self, X: Any, y: Any) -> Self:
        """Search and train; ``y`` holds (N,) numbers, or (N, V) for several values of each row.

        Raises what :meth:`HarnessClassifier.fit` raises.
        """
        y = validate_data(self, y=y, multi_output=True, y_numeric=True).astype(np.float64)
        values = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
        names = tuple(map(str, range(values.shape[1]))) if values.ndim == 2 else ()
        more = () if self.quantiles is None else (f"task.quantiles={json.dumps([*map(float, self.quantiles)])}",)
        return self._search(X, values, "regression", {"value_names": names}, more)

    def predict(self, X: Any) -> np.ndarray:
        """Return float64 (N,) values, or (N, V); the columns of ``X`` are those of ``fit``."""
        values = self._values(X)
        return values if self.quantiles is None else values[:, middle_of(self.quantiles)]

    def predict_quantiles(self, X: Any) -> np.ndarray:
        """Return float64 (N, Q), in the order of ``quantiles``, without which this raises ValueError."""
        check_is_fitted(self)
        if self.quantiles is None:
            raise ValueError("no quantiles were learnt; say which, as in HarnessRegressor(quantiles=(0.1, 0.5, 0.9))")
        return self._values(X)

    def _values(self, X: Any) -> np.ndarray:
        predictor, frame = self._prepared(X)
        with as_value_error():
            return predictor.predict(frame)
