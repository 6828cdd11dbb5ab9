"""A kind of problem from outside of the package: one class and one line, and a search of it from end to end."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import mean_pinball_loss

import harness
from harness.data.sources.source import Source
from harness.problems import Metric, Problem, problems

SHARE = 0.9
SPACE = [
    "task=diabetes",
    "space.architecture={mlp: {depth: [0, 1], width: 16}}",
    "search.first=[]",
    "objective=null",
    "budget={epochs: 2}",
    "training.final={ensemble: 2}",
]


class PinballLoss:
    """The criterion: values less their mean in training, over nothing."""

    def scores(self, outputs):
        return outputs.squeeze(1)

    def loss(self, scores, targets):
        errors = targets - scores
        return torch.maximum(SHARE * errors, (SHARE - 1) * errors).mean()

    def training_loss(self, scores, batch):
        return self.loss(scores, batch.targets)

    def weight(self, batch):
        return len(batch.targets)

    def predictions(self, scores):
        return scores

    answers = predictions

    def targets_seen(self, batch):
        return batch.targets


class Sum:
    """The quality: a mean over batches."""

    def __init__(self):
        self.total, self.samples = torch.zeros(()), 0

    def update(self, outputs, targets):
        self.total += PinballLoss().loss(outputs, targets).detach() * len(targets)
        self.samples += len(targets)

    def metrics(self):
        return {"pinball": float(self.total) / self.samples if self.samples else float("nan")}


class Quantile(Problem):
    """Predict what nine of ten values lie below."""

    name = "quantile"
    metrics = (
        Metric("pinball", maximize=False, unit="of the target", summed=True),
        Metric("coverage", maximize=True, share=True),
    )
    headline = ("pinball",)
    objective = "pinball"
    losses = ("ninth_decile",)

    def criterion(self, shape, options, **_rest):
        self.loss_name(shape, options.loss)
        return PinballLoss()

    def losses_of(self, answers, targets, **_rest):
        errors = targets.astype(np.float64) - answers
        return np.maximum(SHARE * errors, (SHARE - 1) * errors)

    def quality(self, *_place):
        return Sum()

    def score(self, metric, targets, answers):
        return float((targets <= answers).mean()) if metric == "coverage" else mean_pinball_loss(targets, answers)

    def own_units(self, answers, shape):
        return answers + shape.target.centre[0]

    def averaged(self, outputs):
        return outputs.mean(dim=0)

    def columns(self, answers, _names):
        return {"predicted": answers}


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(problems, "_entries", dict(problems._entries))
    problems.add("quantile", Quantile())
    monkeypatch.setattr(Source, "kind", "quantile")


@pytest.mark.usefixtures("registered")
@pytest.mark.slow
def test_a_search_trains_scores_and_reports_it(tmp_path):
    result = harness.search(
        "tabular", overrides=SPACE, trials=2, seed=1, device="cpu", precision="fp32", workers=0, out=tmp_path,
        metrics=["coverage"],
    )  # fmt: skip
    trials, stats = result.trials, result.stats
    assert trials["outcome"].tolist() == ["complete"] * 2
    assert stats["task"]["kind"] == "quantile"
    assert stats["objective"] == [{"metric": "pinball", "direction": "minimize"}]
    assert (trials["validation_pinball"] == trials["value"]).all()
    assert trials["validation_coverage"].between(0, 1).all()
    assert not [name for name in trials if "rmse" in name or "accuracy" in name]
    samples = pd.read_parquet(result.run / "predictions.parquet")
    assert result.test["pinball"] == pytest.approx(
        mean_pinball_loss(samples["target"], samples["predicted"], alpha=SHARE), rel=1e-4
    )
    assert result.test["coverage"] == (samples["target"] <= samples["predicted"]).mean()
    assert stats["test"]["final"] in ("keep", "refit", "ensemble")
    assert stats["baselines"] == []
    report = (result.run / "report.md").read_text()
    assert "Quantile" in report
    assert "coverage" in report


@pytest.mark.usefixtures("registered")
def test_its_names_are_known_wherever_names_are_checked():
    from harness.errors import SpecError
    from harness.spec import load_spec

    spec = load_spec("tabular", [*SPACE, "objective=[coverage, pinball]", "training.loss=ninth_decile"])
    assert spec.objective == {"coverage": "maximize", "pinball": "minimize"}
    with pytest.raises(SpecError, match="did you mean 'ninth_decile'"):
        load_spec("tabular", ["training.loss=ninth_decil"])
