"""``harness.export``: what is asked for is checked, then made and compared in memory, and only then written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from safetensors import SafetensorError
from safetensors.torch import load, save

import harness
from harness.errors import InputError, StorageError, did_you_mean, first_line
from harness.exporting import onnx_file, program
from harness.exporting.card import Told, write_card
from harness.exporting.check import Checked, check
from harness.exporting.forms import RawInput, form_of, tensors_of
from harness.exporting.raw_model import RawModel, says_own_units
from harness.exporting.samples import Data, find_data, test_samples
from harness.exporting.usage import usage
from harness.records import NAN, TaskKind
from harness.report import analyse, load_run
from harness.report.findings import Findings
from harness.store import check_run, sha256_file, write_file
from harness.store.files import read_file, read_object
from harness.store.provenance import version
from harness.store.run import in_run
from harness.study import Predictor
from harness.study.final.saved import BEST, Saved, model_folder, read_preprocessing, read_saved

Format = Literal["onnx", "torch", "safetensors", "card"]
FORMATS: tuple[Format, ...] = get_args(Format)
_FILES = ("candidate.json", "model.safetensors", "preprocessing.json")
_PACKAGES = {"onnx": ("onnx", "onnxscript", "onnxruntime", "torch"), "torch": ("torch",)}


@dataclass(frozen=True, slots=True)
class Exported:
    """What :func:`export` wrote.

    >>> Exported("card", Path("wine.md"), Path("wine.md")).samples
    0
    """

    format: str
    path: Path
    card: Path
    """The model card; of the format ``card`` the same file."""
    samples: int = 0
    """That the file was compared on with the run's own model; 0 where it does not compute."""
    difference: float = NAN
    """The largest, of a probability, or of a value in deviations of the target; NaN where nothing was compared."""
    ties: int = 0
    """Compared samples whose class differs, as their probabilities tie."""
    note: str = ""
    """Why no test samples of the run were at hand."""


@dataclass(frozen=True, eq=False)
class _Chosen:
    """A model of a run with what its records say."""

    run: Path
    name: str
    folder: Path
    saved: Saved
    preprocessing: Mapping[str, Any]
    inputs: tuple[RawInput, ...]
    findings: Findings

    @cached_property
    def data(self) -> Data:
        """The data of the run, which are read only once all else is known to be sound."""
        return find_data(self.run, self.findings.run, self.preprocessing)

    @property
    def facts(self) -> dict[str, Any]:
        """What the exported file says of itself, JSON-able."""
        classes, threshold = list(self.saved.class_names), self.saved.threshold
        return {
            "harness_version": harness.__version__,
            "run": self.run.resolve().name,
            "model": self.name,
            "task": self.saved.task,
            "kind": str(self.saved.shape.kind),
            "target": self.preprocessing["target"].get("name", ""),
            "class_names": classes,
            **({"threshold": threshold.as_dict()} if threshold else {}),
            "inputs": [each.as_dict() for each in self.inputs],
            "sha256": {name: sha256_file(self.folder / name) for name in _FILES},
        }


def export(
    run: str | Path,
    *,
    out: str | Path,
    format: str = "onnx",
    model: str = BEST,
    force: bool = False,
    trust: bool = False,
) -> Exported:
    """Write a model of a run as one file, and its model card beside it as ``OUT.md``.

    ``format`` is ``onnx`` or ``torch``, which take raw samples and are compared with the run's own model before they
    are written; ``safetensors``, the weights with all that the run says of them; or ``card`` for the card alone.
    ``force`` replaces files that exist, and a module of the user's own is imported only with ``trust``.

    Raises :class:`~harness.errors.InputError` for what cannot be asked for or exported, with nothing written,
    :class:`~harness.errors.HardwareError` where a package is missing, and :class:`~harness.errors.StorageError` where
    the run is damaged or the file cannot be written.

    >>> import harness
    >>> exported = harness.export(run, format="safetensors", out="wine.safetensors")
    >>> exported.path.is_file(), exported.card.read_text().startswith("# Model card: wine")
    (True, True)
    """
    run, out = Path(run), Path(out)
    card = out if format == "card" else Path(f"{out}.md")
    _check_format(format, out)
    for path in (out, card):
        _check_place(path, run, force=force)
    if format == "onnx":
        onnx_file.load_packages()
    chosen = _choose(run, model)
    content, checked = _content(format, chosen, trust=trust)
    text = write_card(_told(format, chosen, out, checked))
    if content is not None:
        write_file(out, content)
    write_file(card, text)
    compared = asdict(checked) if checked else {}
    return Exported(format=format, path=out, card=card, note=chosen.data.reason, **compared)


def _check_format(form: str, out: Path) -> None:
    if form not in FORMATS:
        raise InputError(f"--format {form}: unknown{did_you_mean(form, FORMATS)}")
    if form == "torch" and out.suffix != ".pt2":
        raise InputError(f"{out}: torch.export.load opens files that end in .pt2; name it {out.stem}.pt2")


def _check_place(path: Path, run: Path, *, force: bool) -> None:
    """Raise :class:`InputError` where a file must not or cannot be written."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file in it")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}; make it first")
    if in_run(path, run):
        raise InputError(f"{path}: is in a run folder, whose files are sealed; name a file elsewhere")
    if path.exists() and not force:
        raise InputError(f"{path}: exists already; name another file, or replace it with --force")


def _choose(run: Path, name: str) -> _Chosen:
    check_run(run)
    folder = model_folder(run, name)
    saved, preprocessing = read_saved(folder / "candidate.json"), read_preprocessing(folder / "preprocessing.json")
    inputs = form_of(preprocessing).inputs(preprocessing)
    return _Chosen(run, name, folder, saved, preprocessing, inputs, analyse(load_run(run)))


def _content(form: str, chosen: _Chosen, *, trust: bool) -> tuple[bytes | None, Checked | None]:
    """Return what is to be written, and how it compared with the run's own model."""
    if form == "card":
        return None, None
    if form == "safetensors":
        return _weights(chosen), None
    return _computing(form, chosen, trust=trust)


def _weights(chosen: _Chosen) -> bytes:
    """Return the weights with each fact of the model's folder as JSON text in the header."""
    file = chosen.folder / "model.safetensors"
    said = {**read_object(chosen.folder / "candidate.json"), "preprocessing": chosen.preprocessing}
    header = {name: json.dumps(value) for name, value in {**said, **chosen.facts}.items()}
    try:
        weights = load(read_file(file, limit=None))
    except SafetensorError as error:
        raise StorageError(f"{file}: cannot be loaded: {first_line(error)}") from None
    return save(weights, {**header, "format": "pt"})


def _computing(form: str, chosen: _Chosen, *, trust: bool) -> tuple[bytes, Checked]:
    """Return a file that takes raw samples, compared with the run's own model. Raises :class:`InputError`."""
    if (kind := str(chosen.saved.shape.kind)) not in set(map(str, TaskKind)) and not says_own_units(kind):
        raise InputError(f"{chosen.run}: what a {kind} model answers is not known here; use --format safetensors")
    predictor = Predictor(chosen.run, model=chosen.name, device="cpu", trust=trust)
    if form == "onnx":
        onnx_file.check_size(list(predictor.model.state_dict().values()))
    inputs, names = chosen.inputs, chosen.saved.class_names
    raw = form_of(chosen.preprocessing)
    samples = [raw.made_up(chosen.preprocessing)]
    arrays = raw.arrays(chosen.preprocessing, samples[0])
    example = tensors_of(inputs, {name: values[:3] for name, values in arrays.items()})
    traced = program.trace(RawModel(predictor), example, chosen.saved.candidate.architecture.name)
    if form == "onnx":
        content = onnx_file.onnx_file(traced, inputs, names, chosen.facts)
        runner = onnx_file.runner_of(content, inputs, names)
    else:
        content = program.packed(traced, chosen.facts)
        runner = program.runner_of(content, inputs)
    if chosen.data.source is not None and chosen.findings.run.predictions is not None:
        samples.append(test_samples(chosen.data.source, chosen.findings.run.predictions))
    return content, check(runner, predictor, samples)


def _told(form: str, chosen: _Chosen, out: Path, checked: Checked | None) -> Told:
    return Told(
        findings=chosen.findings,
        name=chosen.name,
        saved=chosen.saved,
        preprocessing=chosen.preprocessing,
        inputs=chosen.inputs,
        data=chosen.data,
        checked=checked,
        usage=usage(form, out, chosen.inputs, chosen.preprocessing, chosen.run, chosen.name),
        form=form,
        versions={"harness": harness.__version__, **{name: version(name) for name in _PACKAGES.get(form, ())}},
    )
