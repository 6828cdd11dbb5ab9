"""Search in scikit-learn's pipelines, cross-validation and grid search.

Takes about a minute. From the top of the checkout: ``python examples/sklearn_pipeline.py``.
"""

from pathlib import Path

import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import harness

houses = pd.read_csv(Path(__file__).parent / "houses.csv")
X, y = houses.drop(columns="price"), houses["price"]
short = ["evaluation.folds=null", "training.final=refit", "search.first=[]"]

# A table goes in as it is: with its categories, and its missing values.
model = harness.HarnessRegressor("tabular", trials=2, random_state=0, overrides=short)
scores = cross_val_score(model, X, y, cv=3)
print(f"R² {scores.mean():.3f} over {len(scores)} folds")

# Or behind what a pipeline makes of it.
prepared = make_column_transformer(
    (OneHotEncoder(sparse_output=False), ["heating", "garden"]), (StandardScaler(), ["area_m2", "rooms", "built"])
)
pipeline = make_pipeline(prepared, harness.HarnessRegressor("tabular", random_state=0, overrides=short))
search = GridSearchCV(pipeline, {"harnessregressor__trials": [1, 3]}, cv=2).fit(X, y)
print(f"R² {search.best_score_:.3f} with {search.best_params_['harnessregressor__trials']} trials")
print(search.best_estimator_[-1].trials_[["trial", "outcome", "value", "seconds"]].to_string(index=False))
