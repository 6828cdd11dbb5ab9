"""Searches as scikit-learn's estimators: ``HarnessClassifier`` and ``HarnessRegressor``."""

from __future__ import annotations

from harness.estimators.estimator import HarnessClassifier, HarnessRegressor

__all__ = ["HarnessClassifier", "HarnessRegressor"]
