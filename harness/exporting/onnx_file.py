"""One ONNX file from raw columns to named classes: the program of torch between what reads text and what writes it.

Each column is an input ``N x 1``, as in files that skl2onnx writes. Text becomes codes by LabelEncoder (ai.onnx.ml),
codes become names by Gather; all else is the program's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram

import harness
from harness.errors import InputError, described
from harness.exporting.check import Answers, Runner
from harness.exporting.forms import COLUMNS, RawInput, grouped
from harness.exporting.program import quiet
from harness.extras import load_extra

LARGEST = 2**31
"""Bytes that one ONNX file can hold."""
_ML = 3
"""Version of ai.onnx.ml, which has LabelEncoder from text to whole numbers."""


def load_packages() -> None:
    """Raise :class:`~harness.errors.HardwareError` unless all packages are there that ONNX files take."""
    for module in ("onnx", "onnxscript", "onnxruntime"):
        load_extra(module, extra="onnx", use="the export to ONNX")


def check_size(parameters: Sequence[torch.Tensor]) -> None:
    """Raise :class:`InputError` where the weights do not fit into one file."""
    size = sum(each.numel() * each.element_size() for each in parameters)
    if size >= LARGEST:
        raise InputError(f"the weights take {size >> 20:,} MiB, and an ONNX file holds 2 GiB; use --format torch")


def onnx_file(
    program: ExportedProgram, inputs: Sequence[RawInput], class_names: Sequence[str], facts: Mapping[str, Any]
) -> bytes:
    """Return the file, with facts as JSON under its metadata. Raises :class:`InputError` for what ONNX cannot hold."""
    import onnx
    from onnx import helper

    network = _network(program, inputs, class_names)
    prefix = "network/"
    while any(each.name.startswith(prefix) for each in inputs):
        prefix += "/"
    network = onnx.compose.add_prefix(network, prefix)
    graph = network.graph
    nodes = [*_before(inputs, prefix), *graph.node, *_after(class_names, prefix)]
    made = helper.make_graph(
        nodes,
        "harness",
        [_given(each) for each in inputs],
        list(_returned(class_names, graph)),
        initializer=graph.initializer,
    )
    model = helper.make_model(
        made,
        functions=network.functions,
        opset_imports=[*network.opset_import, helper.make_opsetid("ai.onnx.ml", _ML)],
        ir_version=network.ir_version,
        producer_name="harness",
        producer_version=harness.__version__,
    )
    helper.set_model_props(model, {name: _text(value) for name, value in facts.items()})
    with _refusals():
        onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


def runner_of(data: bytes, inputs: Sequence[RawInput], class_names: Sequence[str]) -> Runner:
    """Return what runs a file by onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    with _refusals():
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    code = {name: place for place, name in enumerate(class_names)}

    def run(arrays: Mapping[str, np.ndarray]) -> Answers:
        given = {each.name: arrays[each.name] for each in inputs}
        *labels, answers = session.run(["label", "probabilities"] if class_names else ["value"], given)
        codes = np.array([code[label] for label in labels[0]]) if labels else None
        return Answers(answers.astype(np.float64), codes)

    return run


@contextmanager
def _refusals() -> Iterator[None]:
    """Say in one line what a package says of a model that ONNX cannot hold, or that it cannot run."""
    try:
        yield
    except Exception as error:
        # Those of onnxruntime and onnx have no common root; a module of the user's own may need any operator.
        raise InputError(f"ONNX cannot hold this architecture ({described(error)}); use --format torch") from error


def _network(program: ExportedProgram, inputs: Sequence[RawInput], class_names: Sequence[str]) -> Any:
    """Return the program as a model of ONNX, which takes a tensor for each kind of inputs."""
    outputs = ["code", "probabilities"] if class_names else ["value"]
    with quiet(), _refusals():
        converted = torch.onnx.export(
            program, dynamo=True, input_names=list(grouped(inputs)), output_names=outputs, verbose=False
        )
    assert converted is not None, "torch returns none where it writes the file itself"
    return converted.model_proto


def _before(inputs: Sequence[RawInput], prefix: str) -> Iterator[Any]:
    """Yield the nodes that put the columns of each kind side by side, text as codes."""
    from onnx import helper

    for kind, group in grouped(inputs).items():
        names = [each.name for each in group]
        if kind == "categories":
            names = [f"{prefix}code {place}" for place in range(len(group))]
            for each, name in zip(group, names, strict=True):
                codes = range(1, len(each.categories) + 1)
                yield helper.make_node(
                    "LabelEncoder",
                    [each.name],
                    [name],
                    domain="ai.onnx.ml",
                    keys_strings=each.categories,
                    values_int64s=codes,
                    default_int64=0,
                )
        if kind in COLUMNS:
            yield helper.make_node("Concat", names, [f"{prefix}{kind}"], axis=1)
        else:
            yield helper.make_node("Identity", names, [f"{prefix}{kind}"])


def _after(class_names: Sequence[str], prefix: str) -> Iterator[Any]:
    """Yield the nodes that name the classes and what is returned."""
    from onnx import TensorProto, helper

    if not class_names:
        yield helper.make_node("Identity", [f"{prefix}value"], ["value"])
        return
    names = [name.encode() for name in class_names]
    held = TensorProto(data_type=TensorProto.STRING, dims=[len(names)], string_data=names)
    yield helper.make_node("Constant", [], [f"{prefix}class names"], value=held)
    yield helper.make_node("Gather", [f"{prefix}class names", f"{prefix}code"], ["label"], axis=0)
    yield helper.make_node("Identity", [f"{prefix}probabilities"], ["probabilities"])


def _given(each: RawInput) -> Any:
    from onnx import TensorProto, helper

    types = {"float64": TensorProto.DOUBLE, "float32": TensorProto.FLOAT, "int64": TensorProto.INT64}
    types |= {"uint8": TensorProto.UINT8, "string": TensorProto.STRING}
    return helper.make_tensor_value_info(each.name, types[each.dtype], ["N", *each.shape])


def _returned(class_names: Sequence[str], graph: Any) -> Iterator[Any]:
    from onnx import TensorProto, helper

    if class_names:
        yield helper.make_tensor_value_info("label", TensorProto.STRING, ["N"])
        yield helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", len(class_names)])
    else:
        values = graph.output[0].type.tensor_type.shape.dim[1].dim_value
        yield helper.make_tensor_value_info("value", TensorProto.DOUBLE, ["N", values])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
