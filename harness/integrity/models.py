"""The model folders of a run against its trials, its scores and each other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from harness.integrity.contents import Contents
from harness.integrity.findings import Finding, differences, differing, same, shown
from harness.spec.candidate import completed
from harness.store.loose import at
from harness.store.run import STATUS
from harness.study.ensemble.story import SCORE
from harness.study.final.saved import BEST, ENSEMBLE, FULL, Saved, models_of, read_preprocessing, read_saved
from harness.text import plain

STATS, CANDIDATE = "stats.json", "candidate.json"
OF_BEST = ("candidate", "ensemble", "members", "temperature", "isotonic", "threshold", "recipe", "class_names", "trial")
"""What a model of all samples has from ``best/``."""
ROUNDED = 1e-4
"""Tolerance, relative and absolute, of what two programs of one model come to in float32."""


def check_models(contents: Contents, *, listed: bool) -> None:
    """Note where a model folder is not of the trials that it names, cannot be read, or does not fit the scores."""
    saved = {folder: _read(contents, folder) for folder in models_of(contents.run)}
    for folder in saved:
        contents.note(_missing(contents, folder))
        if (model := contents.object(f"{folder}/{CANDIDATE}")) is not None:
            contents.note(_model_findings(contents, f"{folder}/{CANDIDATE}", model))
            if folder == BEST:
                contents.note(_best_findings(contents, model, listed=listed))
    best, full = saved.get(BEST), saved.get(FULL)
    if best is not None and full is not None:
        one, other = (plain(each.model_dump(include=set(OF_BEST))) for each in (best, full))
        contents.note(differences(f"{FULL}/{CANDIDATE}", f"{BEST}/{CANDIDATE}", one, other))


def _read(contents: Contents, folder: str) -> Saved | None:
    contents.read(f"{folder}/preprocessing.json", read_preprocessing)
    return contents.read(f"{folder}/{CANDIDATE}", read_saved)


def _missing(contents: Contents, folder: str) -> Iterator[Finding]:
    for name in ("model.safetensors", "preprocessing.json"):
        if not contents.has(f"{folder}/{name}"):
            yield Finding(f"{folder}/{name}", f"is missing, and {folder}/{CANDIDATE} is there")


def _best_findings(contents: Contents, model: Mapping[str, Any], *, listed: bool) -> Iterator[Finding]:
    """Yield where the final model is not the one that was scored.

    Of a run that was interrupted it may be that of an earlier part.
    """
    name, test = f"{BEST}/{CANDIDATE}", contents.stats.get("test")
    ended = at(contents.object(STATUS), "state") == "complete"
    if isinstance(test, dict) or (listed and ended):
        expected = at(contents.stats, "best", "trial")
        yield from differing(name, f"trial is not the best of {STATS}", expected, model.get("trial"))
    if isinstance(test, dict):
        weights = {each["trial"]: each["weight"] for each in test.get("trials", ())}
        yield from differing(name, f"members are not those of {STATS}", weights, _weights(model))
        count = len(model.get("members", ())) or model.get("ensemble", 1)
        yield from differing(name, f"ensemble is not that of {STATS}", test.get("members", 1), count)
        temperatures = test.get("temperature", 1), model.get("temperature", 1)
        yield from differing(name, f"temperature is not that of {STATS}", *temperatures)
        isotonic = bool(test.get("isotonic")), bool(model.get("isotonic"))
        yield from differing(name, f"whether it is isotonic is not that of {STATS}", *isotonic)
        told = {key: each for key, each in (test.get("threshold") or {}).items() if key not in ("set", "most_probable")}
        yield from differences(name, STATS, told, model.get("threshold") or {}, "threshold")


def check_average(contents: Contents) -> None:
    """Note where the score of an average is not that of its model, or not what its own figures come to."""
    score, model = contents.object(SCORE), contents.object(f"{ENSEMBLE}/{CANDIDATE}")
    if score is not None:
        contents.note(_average_findings(contents, score, model or {}))


def _average_findings(contents: Contents, score: Mapping[str, Any], model: Mapping[str, Any]) -> Iterator[Finding]:
    told = {member["trial"]: member["weight"] for member in score["members"]}
    yield from differing(SCORE, f"its members are not those of {ENSEMBLE}/{CANDIDATE}", _weights(model), told)
    temperatures = model.get("temperature", 1.0), score.get("temperature", 1.0)
    yield from differing(SCORE, f"temperature is not that of {ENSEMBLE}/{CANDIDATE}", *temperatures)
    metrics, test = score["test"]["metrics"], contents.stats.get("test")
    for other, difference in score["test"]["differences"].items():
        expected_mean = metrics[ENSEMBLE]["loss"] - metrics[other]["loss"]
        if not same(expected_mean, difference["mean"], rel=ROUNDED, abs_=ROUNDED):
            what = f"test.differences.{other}.mean is not that of the losses"
            yield Finding(SCORE, what, f"{expected_mean:.6g}", f"{difference['mean']:.6g}")
    if isinstance(test, dict) and test["opened"] < score["test"]["opened"]:  # else there is another winner by now
        at_argmax = {**test["metrics"], **(test.get("threshold") or {}).get("most_probable", {})}
        plain_loss = at(contents.object(f"{BEST}/{CANDIDATE}"), "candidate", "loss") in (None, "auto")
        for name in sorted((at_argmax.keys() & metrics[BEST].keys()) - (set() if plain_loss else {"loss"})):
            if not same(at_argmax[name], metrics[BEST][name], rel=ROUNDED, abs_=ROUNDED):
                what = f"test.metrics.{BEST}.{name} is not that of {STATS}"
                yield Finding(SCORE, what, shown(at_argmax[name]), shown(metrics[BEST][name]))


def _weights(model: Mapping[str, Any]) -> dict[int, float]:
    """Return the shares of the trials that a model averages; none of another model."""
    counts = {member["trial"]: member["count"] for member in model.get("members", ())}
    return {trial: count / sum(counts.values()) for trial, count in counts.items()}


def _model_findings(contents: Contents, name: str, model: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield where a model is not of the candidates of its trials, the batch size settled, or of other classes."""
    trials = contents.trials
    for place, part in _parts(model):
        told = part.get("candidate")
        if trials is not None and isinstance(told, dict) and part.get("trial") in trials.index:
            expected, found = completed(json.loads(trials.loc[part["trial"], "candidate"])), completed(told)
            if expected.get("batch_size") == "auto":
                expected["batch_size"] = found.get("batch_size")
            against = f"trial {part['trial']}"
            yield from differences(name, against, plain(expected), plain(found), f"{place}candidate")
        elif trials is not None:
            yield Finding(name, f"{place}trial is not in trials.parquet", found=repr(part.get("trial")))
    classes = at(contents.stats, "task", "classes")
    if classes is not None and "class_names" in model:
        yield from differing(name, f"class_names are not those of {STATS}", classes, model["class_names"])


def _parts(model: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the trials that a model is of, each with its place; of an average the members alone speak for them."""
    members = model.get("members")
    if not members:
        yield "", model
    for number, member in enumerate(members or ()):
        yield f"members.{number}.", member
