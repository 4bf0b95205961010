"""Trained networks to and from ONNX, with QONNX's bipolar quantisation that FINN and others understand.

Needs the optional extra `onnx`: `pip install bitprop[onnx]`.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

__all__ = ["onnx_logits", "read_onnx", "write_onnx"]

DOMAIN = "qonnx.custom_op.general"


def write_onnx(path: str | os.PathLike, weights: list[np.ndarray], classifier: np.ndarray) -> Path:
    """Write a feed-forward network: input `inputs` float32 `(batch, K_0)` of ±1, output `logits` `(batch, C)`.

    Every layer is a `BipolarQuant` of its weights, a `MatMul` and a `BipolarQuant` of the sums, at scale 1;
    QONNX's bipolar quantiser takes 0 as +1, like this project. The class is the index of the largest logit, the
    lowest on a tie.

    weights
        W_1 … W_L, ±1 `(K_l, K_{l-1})`.
    classifier
        P, ±1 `(C, K_L)`.

    Raises
    ------
    ValueError
        The shapes do not follow one another, or a value is not ±1.
    ImportError
        The extra `onnx` is not installed.
    """
    onnx = _onnx()
    matrices = [*weights, classifier]
    for number, matrix in enumerate(matrices, start=1):
        if not np.isin(matrix, (-1, 1)).all():
            raise ValueError(f"matrix {number} must be ±1")
        if number > 1 and matrix.shape[1] != matrices[number - 2].shape[0]:
            raise ValueError(f"matrix {number} takes {matrix.shape[1]} values, not {matrices[number - 2].shape[0]}")
    make = onnx.helper
    scale = onnx.numpy_helper.from_array(np.float32(1), "scale")
    nodes, constants, last = [], [scale], "inputs"
    for number, matrix in enumerate(matrices, start=1):
        top = number == len(matrices)
        constants.append(onnx.numpy_helper.from_array(matrix.T.astype(np.float32), f"weights_{number}"))
        sums = "logits" if top else f"sums_{number}"
        nodes += [
            make.make_node("BipolarQuant", [f"weights_{number}", "scale"], [f"bipolar_{number}"], domain=DOMAIN),
            make.make_node("MatMul", [last, f"bipolar_{number}"], [sums]),
        ]
        if not top:
            last = f"activations_{number}"
            nodes.append(make.make_node("BipolarQuant", [sums, "scale"], [last], domain=DOMAIN))
    values = (
        make.make_tensor_value_info("inputs", onnx.TensorProto.FLOAT, ["batch", weights[0].shape[1]]),
        make.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["batch", len(classifier)]),
    )
    graph = make.make_graph(nodes, "bitprop", [values[0]], [values[1]], constants)
    opsets = [make.make_opsetid("", 13), make.make_opsetid(DOMAIN, 1)]
    model = make.make_model(graph, producer_name="bitprop", opset_imports=opsets, ir_version=8)
    onnx.save(model, str(path))
    return Path(path)


def read_onnx(path: str | os.PathLike) -> tuple[list[np.ndarray], np.ndarray]:
    """The weights ±1 int8 `(K_l, K_{l-1})` and the classifier `(C, K_L)` of a file laid out as `write_onnx` does.

    Any chain of `MatMul`s will do whose constant operands, or the operands' quantisers' inputs, are all ±1; the
    last is the classifier. `initial.counters_from_weights` makes initial counters of the weights.

    Raises
    ------
    ValueError
        It is not an ONNX file, has no two such products, or holds other values.
    ImportError
        The extra `onnx` is not installed.
    """
    onnx = _onnx()
    from google.protobuf.message import DecodeError

    try:
        graph = onnx.load(str(path)).graph
    except DecodeError as error:
        raise ValueError(f"{path} is not an ONNX file: {error}") from None
    constants = {constant.name: onnx.numpy_helper.to_array(constant) for constant in graph.initializer}
    sources = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "BipolarQuant"}
    matrices = []
    for node in graph.node:
        if node.op_type != "MatMul":
            continue
        name = node.input[1]
        matrix = constants.get(sources.get(name, name))
        if matrix is None or matrix.ndim != 2 or not np.isin(matrix, (-1, 1)).all():
            raise ValueError(f"{path}: the right operand of {node.name or node.output[0]} is not a constant ±1 matrix")
        matrices.append(matrix.T.astype(np.int8))
    if len(matrices) < 2:
        raise ValueError(f"{path}: needs at least one layer and a classifier, found {len(matrices)} products")
    return matrices[:-1], matrices[-1]


def onnx_logits(path: str | os.PathLike, inputs: np.ndarray) -> np.ndarray:
    """Logits float32 `(n, C)` of a written file for ±1 inputs `(n, K_0)`, run by QONNX's own executor."""
    _onnx()
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    model = ModelWrapper(str(path))
    # The executor wants every size fixed; the file leaves the batch open.
    model.set_tensor_shape("inputs", inputs.shape)
    model.set_tensor_shape("logits", [len(inputs), *model.get_tensor_shape("logits")[1:]])
    model = model.transform(InferShapes())
    return execute_onnx(model, {"inputs": inputs.astype(np.float32)})["logits"]


def _onnx():
    try:
        import onnx
        import onnx.numpy_helper
        import qonnx  # noqa: F401
    except ImportError as error:
        raise ImportError(f"ONNX exchange needs the extra packages: pip install bitprop[onnx] ({error})") from None
    return onnx
