"""Predict with the winner of a search.

From the top of the checkout, with the run folder that search_frame.py prints:
``python examples/predict.py results/RUN``.
"""

import sys
from pathlib import Path

import pandas as pd

import harness

model = harness.load(sys.argv[1])
houses = pd.read_csv(Path(__file__).parent / "houses.csv").head(5)
print(model)
print(houses.assign(predicted=model.predict(houses.drop(columns="price")).round(-2)).to_string(index=False))
