"""The spec that an earlier run is resumed with: its own, with what may change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.spec import Spec, canonical, load_spec, spec_hash
from harness.spec.growth import growth
from harness.spec.parameters import NodeError
from harness.study.search import differences, says_split_seed, spec_of_run, split_by_search

FREE = ("space.", "budget.", "search.baselines", "search.checks")
"""Keys that may change, but for ``budget.epochs``."""


def spec_to_resume(
    run: Path, space: str | Mapping[str, Any] | None, overrides: Iterable[str], given: Mapping[str, str] | None = None
) -> Spec:
    """Return the spec of an earlier run, with a budget that may be another and a space that may have grown.

    ``space``, when given, must be the space of that run, or one that has grown out of it. Raises :class:`InputError`
    where anything else that decides the trials differs.
    """
    original = spec_of_run(run)
    older = not says_split_seed(load_spec(str(run / "space.yaml")))
    resumed = load_spec(space or str(run / "space.yaml"), overrides, given)
    resumed = split_by_search(resumed) if older and not says_split_seed(resumed) else resumed
    if resumed.evaluation.folds == "auto":
        resumed = resumed.model_copy(update={"evaluation": original.evaluation})
    if space is not None:
        resumed = _with_first_of(original, resumed)
    if spec_hash(resumed) != spec_hash(original):
        _check_grown(run, original, resumed)
    return resumed


def _with_first_of(original: Spec, resumed: Spec) -> Spec:
    """Return the spec with the first candidates of the run, where a warm start put others before those of its file."""
    first, own = original.search.first, resumed.search.first
    warm = len(first) - len(own)
    if warm <= 0 or first[warm:] != own:
        return resumed
    return resumed.model_copy(update={"search": resumed.search.model_copy(update={"first": first})})


def _check_grown(run: Path, original: Spec, resumed: Spec) -> None:
    """Raise :class:`InputError` unless the specs differ only in a space that has grown."""
    try:
        grown = list(growth(original.group, resumed.group, ("space",)))
    except NodeError as error:
        raise InputError(
            f"{run}: cannot be resumed with another space: {'.'.join(map(str, error.path))}: {error}; "
            "lists may gain values, choices options, and ranges may widen. "
            f"Start a new run for the changed space, by --warm-start {run} with the best of this one"
        ) from None
    if grown and original.search.sampler == "grid":
        raise InputError(
            f"{run}: {grown[0]}: a grid cannot grow, since its order is of all candidates; start a new run"
        )
    for path in differences(canonical(original), canonical(resumed)):
        if not path.startswith(FREE) or path == "budget.epochs":
            raise InputError(
                f"{run}: cannot be resumed with another space: {path} differs; of a run only its budget may change, "
                "but not the epochs, search.baselines and search.checks, and its space may grow. Start a new run for "
                "another one"
            )
