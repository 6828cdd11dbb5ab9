"""What a report says that networks bought over the best of scikit-learn's models."""

import pandas as pd
import pytest

from harness.report import bought

NAMES = ["trial", "architecture", "optimizer", "value", "value_se", "seconds", "energy_j"]
NETWORK = (3, "mlp", "adamw", 0.95, 0.003, 12.0, 30.0)
BOOSTING = (5, "hist_gradient_boosting", "", 0.93, 0.004, 3.0, 10.0)


def trials_of(*rows, outcome="complete", same_as=None):
    frame = pd.DataFrame(rows, columns=NAMES).assign(outcome=outcome, same_as=same_as)
    return frame.astype({"optimizer": "string", "same_as": "Int64"})


def stats_of(metric="accuracy", direction="maximize", **more):
    task = {"kind": "classification", "test": 100, "validation": 50}
    return {"objective": [{"metric": metric, "direction": direction}], "task": task, "best": None, "test": None} | more


def test_the_best_of_both_kinds_are_compared_on_validation():
    worse = (6, "linear", "", 0.9, 0.01, 0.1, 0.1), (1, "cnn", "sgd", 0.94, 0.1, 1.0, 1.0)
    assert bought(trials_of(NETWORK, *worse, BOOSTING), stats_of()) == (
        "The best network (mlp, trial 3) beats the best classical model (hist_gradient_boosting, trial 5) by "
        "0.0200 accuracy on validation (95 % interval 0.0102 to 0.0298 if their errors are independent); "
        "the network took 4 times the time (12.0 s against 3.00 s) and 3 times the energy (30 J against 10 J)."
    )


def test_a_classical_model_that_wins_is_said_to_as_plainly():
    said = bought(trials_of(NETWORK, BOOSTING), stats_of("loss", "minimize"))
    assert said.startswith("The best classical model (hist_gradient_boosting, trial 5) beats the best network")


def test_what_is_within_the_errors_of_both_beats_nothing():
    close = (5, "svm", "", 0.945, 0.004, 3.0, float("nan"))
    said = bought(trials_of(NETWORK, close), stats_of())
    assert "(mlp, trial 3) is ahead of the best classical model (svm, trial 5) by 0.0050 accuracy" in said
    assert said.endswith("the network took 4 times the time (12.0 s against 3.00 s).")


def test_a_network_that_took_less_is_said_to():
    slow = (5, "svm", "", 0.945, 0.004, 48.0, float("nan"))
    assert bought(trials_of(NETWORK, slow), stats_of()).endswith("took 25 % of the time (12.0 s against 48.0 s).")


def test_scores_without_errors_have_no_interval_and_level_ones_no_winner():
    network, other = (0, "mlp", "adamw", 0.9, float("nan"), 1.0, 0.0), (1, "svm", "", 0.9, float("nan"), 1.0, 0.0)
    assert "are level in accuracy on validation" in bought(trials_of(network, other), stats_of())
    assert "interval" not in bought(trials_of(network, (*other[:3], 0.8, *other[4:])), stats_of())


BEST = {"trial": 3, "candidate": {"loss": "auto"}}
TEST = {"metrics": {"accuracy": 0.9, "loss": 0.3}}
BASELINES = [
    {"name": "class prior", "validation": {}, "test": {"accuracy": 0.5, "loss": 0.7}, "seconds": 0.1},
    {"name": "gradient boosting", "validation": {}, "test": {"accuracy": 0.95, "loss": 0.2}, "seconds": 2.0},
]


def test_without_classical_candidates_the_winner_stands_beside_the_best_baseline_on_the_test_samples():
    said = bought(trials_of(NETWORK), stats_of(best=BEST, test=TEST, baselines=BASELINES))
    # sqrt(0.9 * 0.1 / 100 + 0.95 * 0.05 / 100) = 0.0371, of which 1.96 are 0.0727
    assert said == (
        "The best classical model (gradient boosting, a baseline) is ahead of the best network (mlp, trial 3) by "
        "0.0500 accuracy on test (95 % interval -0.0227 to 0.1227 if their errors are independent); "
        "the network took 6 times the time (12.0 s against 2.00 s)."
    )


@pytest.mark.parametrize(
    ("trials", "stats"),
    [
        (trials_of(NETWORK), stats_of()),
        (trials_of(BOOSTING), stats_of(best=BEST, test=TEST, baselines=BASELINES)),
        (trials_of(NETWORK, BOOSTING, outcome="pruned"), stats_of()),
        (trials_of(NETWORK, BOOSTING, same_as=0), stats_of()),
        (trials_of(NETWORK, BOOSTING), stats_of("latency_ms", "minimize")),
        (
            trials_of(NETWORK),
            stats_of("loss", "minimize", best={**BEST, "candidate": {"loss": "huber"}}, test=TEST, baselines=BASELINES),
        ),
    ],
)
def test_nothing_is_said_where_there_is_nothing_to_compare(trials, stats):
    assert bought(trials, stats) == ""
