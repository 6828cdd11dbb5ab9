"""The lines of Python that use an exported file, without harness: on a row of usual values, and one of missing ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.exporting.forms import COLUMNS, RawInput, grouped

_ROWS = 2
_TOKENS = (
    "tokenizer = Tokenizer.from_str(tokens['tokenizer'])",
    "texts = [text[: tokens['characters']] for text in ('a text', 'another one')]",
    "codes = [each.ids for each in tokenizer.encode_batch(texts)]",
)


def usage(
    form: str, path: Path, inputs: Sequence[RawInput], preprocessing: Mapping[str, Any], run: Path, model: str
) -> str:
    """Return the program for a file of this format; for a card alone, how harness loads the model."""
    examples = _examples(inputs, preprocessing)
    classes = bool(preprocessing["target"].get("classes"))
    if form == "onnx":
        return "\n".join(_with_onnxruntime(path, inputs, examples, classes=classes))
    if form == "torch":
        return "\n".join(_with_torch(path, inputs, examples, classes=classes))
    if form == "safetensors":
        return "\n".join(_with_safetensors(path))
    chosen = "" if model == "best" else f", model={model!r}"
    return f"import harness\n\nmodel = harness.load({str(run)!r}{chosen})\nmodel.predict(frame)"


def _with_onnxruntime(
    path: Path, inputs: Sequence[RawInput], examples: Mapping[str, Any], *, classes: bool
) -> Iterator[str]:
    texts = any(each.kind == "tokens" for each in inputs)
    yield from ("import json", "") if texts else ()
    yield from ("import numpy as np", "import onnxruntime")
    yield from ("from tokenizers import Tokenizer", "") if texts else ("",)
    yield f"session = onnxruntime.InferenceSession({path.name!r})"
    if texts:
        yield "(tokens,) = json.loads(session.get_modelmeta().custom_metadata_map['inputs'])"
        yield from _TOKENS
    yield "rows = {"
    for each in inputs:
        yield f"    {each.name!r}: {_array(each, examples)},"
    yield "}"
    names = ["label", "probabilities"] if classes else ["value"]
    yield f"{', '.join(names)}{'' if classes else ','} = session.run({names!r}, rows)"
    yield f"print({', '.join(names)})"


def _with_torch(path: Path, inputs: Sequence[RawInput], examples: Mapping[str, Any], *, classes: bool) -> Iterator[str]:
    groups = grouped(inputs)
    if "tokens" in groups:
        yield from ("import json", "", "import torch", "from tokenizers import Tokenizer", "")
        yield 'more = {"harness.json": ""}'
        yield f"program = torch.export.load({path.name!r}, extra_files=more).module()"
        yield "(tokens,) = json.loads(more['harness.json'])['inputs']"
        yield from _TOKENS
    else:
        yield from ("import torch", "", f"program = torch.export.load({path.name!r}).module()")
    for kind, group in groups.items():
        if kind == "tokens":
            yield "tokens = torch.tensor(codes)"
        elif kind not in COLUMNS:
            yield f"{kind} = torch.ones({(_ROWS, *group[0].shape)}, dtype=torch.{group[0].dtype})"
        else:
            yield f"# columns: {', '.join(repr(each.column) for each in group)}"
            yield f"{kind} = torch.tensor({_columns(kind, group, examples)})"
    yield f"{'code, probabilities' if classes else 'value,'} = program({', '.join(groups)})"
    yield f"print({'code, probabilities' if classes else 'value'})"


def _columns(kind: str, group: Sequence[RawInput], examples: Mapping[str, Any]) -> str:
    if kind == "numbers":
        usual = ", ".join(repr(examples[each.name]) for each in group)
        return f"[[{usual}], [{', '.join(['torch.nan'] * len(group))}]], dtype=torch.float64"
    # Of dates the first of 1970, of categories the first of the table; and what stands for a missing one.
    usual, missing = ("0", "-(2**63)") if kind == "dates" else ("1", "0")
    rows = ", ".join(f"[{', '.join([text] * len(group))}]" for text in (usual, missing))
    return f"[{rows}], dtype=torch.int64"


def _with_safetensors(path: Path) -> Iterator[str]:
    yield from ("import json", "", "from safetensors import safe_open", "")
    yield f"with safe_open({path.name!r}, framework='np') as file:"
    yield "    weights = {name: file.get_tensor(name) for name in file.keys()}"
    yield "    facts = {name: json.loads(text) for name, text in file.metadata().items() if name != 'format'}"
    yield "print(facts['candidate']['architecture'], {name: each.shape for name, each in weights.items()})"


def _examples(inputs: Sequence[RawInput], preprocessing: Mapping[str, Any]) -> dict[str, Any]:
    """Return a usual value of each column by the name of its input."""
    usual = {fitted["column"]: fitted["median"] for fitted in preprocessing.get("numeric", ())}
    usual |= {fitted["column"]: fitted["first"] for fitted in preprocessing.get("dates", ())}
    return {each.name: each.categories[0] if each.categories else usual.get(each.column) for each in inputs}


def _array(each: RawInput, examples: Mapping[str, Any]) -> str:
    value = examples[each.name]
    match each.kind:
        case "numbers":
            return f"np.array([[{value!r}], [np.nan]])"
        case "dates":
            return f"np.array([[{value!r}], ['NaT']], dtype='datetime64[us]').astype(np.int64)"
        case "categories":
            return f"np.array([[{value!r}], ['']], dtype=object)"
        case "tokens":
            return "np.array(codes)"
    return f"np.ones({(_ROWS, *each.shape)}, dtype=np.{each.dtype})"
