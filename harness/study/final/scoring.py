"""The look at the test samples, and the files that it takes to use the winner elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any, NamedTuple

from safetensors.torch import save
from torch import Tensor

import harness
from harness.data import Dataset, Part, TrainingData
from harness.models import own_sha256
from harness.problems import problem_of, problems
from harness.problems.scoring import Scorer
from harness.records import Figures, Plan, TaskShape
from harness.spec import Candidate
from harness.store import RunFolder, to_parquet
from harness.store.provenance import version
from harness.store.run import forget
from harness.study.final.inference import Inference
from harness.study.final.mistakes import describe_mistakes
from harness.study.final.outcome import Made
from harness.study.final.residuals import FILE as RESIDUALS
from harness.study.final.saved import BEST
from harness.study.final.thresholded import BEFORE, decided, told


class Scored(NamedTuple):
    """The final model on the test samples."""

    metrics: Mapping[str, float]
    """Those that are sums over batches."""
    details: Mapping[str, Any]
    """Scores of each class and the confusion matrix, as far as there are any."""
    more: Figures
    """The metrics that do not follow from sums over batches, and why those have no value that have none."""
    mistakes: list[dict[str, Any]]
    """The samples that it got most wrong, by the most probable class."""
    threshold: Mapping[str, Any] | None
    """What is said of the threshold that ``metrics`` and ``details`` are at."""


def score(folder: RunFolder, made: Made, part: Part, candidate: Candidate, scorer: Scorer) -> Scored:
    """Measure the final model on the test samples, in sums and by ``scorer``, and write its predictions of them."""
    dataset, shape, problem = made.dataset, made.dataset.shape, problem_of(made.dataset.shape)
    inference = Inference(made.predictor, shape, made.plan, candidate.training.loss)
    result, answers, predictions = inference.on_test(dataset, part)
    mistakes = describe_mistakes(dataset, predictions, problem.mistakes(part.truth, answers))
    metrics, details, about = result.metrics, problem.details(result.quality, dataset.class_names), None
    if made.threshold is not None:
        predictions, at_threshold, details = decided(predictions, shape, dataset.class_names, made.threshold.value)
        about = told(made.threshold, BEFORE, {name: metrics[name] for name in at_threshold})
        metrics = {**metrics, **at_threshold}
    folder.write("predictions.parquet", to_parquet(predictions))
    more = reasons_of(shape, metrics) | scorer.measure(part.truth, answers)
    return Scored(metrics, details, more, mistakes, about)


def reasons_of(shape: TaskShape, metrics: Iterable[str]) -> Figures:
    """Return, without a value, why some metrics have none on the task, whatever the samples."""
    problem = problem_of(shape)
    return Figures(reasons={name: why for name in metrics if (why := problem.lacks(name))})


def scorer_of_all(scorer: Scorer, shape: TaskShape) -> Scorer:
    """Return what measures the test samples: all that the problem knows, and the user's own metrics."""
    return replace(scorer, kind=shape.kind, names=problems[shape.kind].unsummed, target=shape.target)


def clipped(dataset: Dataset) -> list[str]:
    """Say how many test values lay so far outside of training that they were taken as if they lay at its edge."""
    counts = dataset.beyond_training()
    if not counts:
        return []
    listed = ", ".join(f"{count:,} of {column!r}" for column, count in counts.items())
    return [f"test values far outside the training range were clipped: {listed}"]


def save_final(
    folder: RunFolder, made: Made, candidate: Candidate, trial: int, *, name: str = BEST, **facts: Any
) -> None:
    """Write what is needed to use the winner elsewhere into the folder ``name``; nothing of it is a pickle.

    ``candidate.json``, with further ``facts``, makes a folder a model's: it is written last.
    """
    save_weights(folder, f"{name}/model.safetensors", made.model.state_dict())
    folder.write_json(f"{name}/preprocessing.json", made.dataset.preprocessing)
    if made.residuals is not None:
        folder.write_json(f"{name}/{RESIDUALS}", made.residuals.as_dict())
    folder.write_json(
        f"{name}/candidate.json",
        {
            "trial": trial,
            "task": made.dataset.name,
            "candidate": candidate.as_dict(),
            **members_of(made),
            **({"temperature": made.temperature} if made.temperature != 1.0 else {}),
            **({"isotonic": [curve._asdict() for curve in made.isotonic]} if made.isotonic else {}),
            **({"threshold": made.threshold.as_dict()} if made.threshold else {}),
            **({"recipe": {"schedule": made.recipe.schedule, "until": made.recipe.until}} if made.recipe else {}),
            **facts_of(made.dataset, made.plan),
            **({"own_sha256": digest} if (digest := own_sha256(candidate.architecture)) else {}),
            **facts,
        },
    )


def members_of(made: Made) -> dict[str, Any]:
    """Return what ``candidate.json`` says of the models that are averaged, where there are several."""
    if made.mixture is not None:
        return {"members": made.mixture.told()}
    return {"ensemble": made.members} if made.members > 1 else {}


def facts_of(data: TrainingData, plan: Plan) -> dict[str, Any]:
    """Return what each model's ``candidate.json`` says of classes, shape, plan and versions."""
    return {
        "class_names": list(data.class_names),
        "shape": asdict(data.shape),
        "plan": asdict(plan),
        "versions": {"harness": harness.__version__, **{name: version(name) for name in ("torch", "numpy")}},
    }


def remove_model(folder: RunFolder, name: str) -> None:
    """Remove a model folder with all that it holds; ``candidate.json``, which makes it a model's, goes first.

    The manifest forgets them before, so that whatever kills the process leaves it true.
    """
    forget(folder.path, name)
    folder.remove(f"{name}/candidate.json")
    for file in folder.path.glob(f"{name}/*"):
        folder.remove(f"{name}/{file.name}")


def save_weights(folder: RunFolder, name: str, state: Mapping[str, Tensor]) -> None:
    """Write a state as safetensors."""
    # Cloned, since safetensors takes no two names for one memory, as tied weights are.
    folder.write(name, save({key: tensor.detach().cpu().contiguous().clone() for key, tensor in state.items()}))
