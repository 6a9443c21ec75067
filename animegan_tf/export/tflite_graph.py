"""A .tflite file as Python objects: what reads and rewrites its operations and tensors shares these few functions."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils


def parse(model: bytes) -> Any:
    """Returns a `schema.ModelT`."""
    return flatbuffer_utils.read_model_from_bytearray(bytearray(model))


def packed(model: Any) -> bytes:
    """Returns the file's bytes."""
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def code(model: Any, operator: Any) -> int:
    """Returns which `schema.BuiltinOperator` it is."""
    return _builtin(model.operatorCodes[operator.opcodeIndex])


def makers(model: Any) -> dict[int, Any]:
    """Returns the operator that makes each computed tensor, by the tensor's index."""
    return {index: operator for operator in model.subgraphs[0].operators for index in operator.outputs}


def is_constant(model: Any, tensor: Any) -> bool:
    data = model.buffers[tensor.buffer].data
    return data is not None and len(data) > 0


def constant(model: Any, tensor: Any, kind: type) -> np.ndarray:
    """Returns a constant's values, read as `kind`, in its shape."""
    return np.frombuffer(bytes(model.buffers[tensor.buffer].data), kind).reshape(tensor.shape)


def set_constant(model: Any, tensor: Any, values: np.ndarray) -> None:
    tensor.buffer = len(model.buffers)  # of its own: equal constants share one
    model.buffers.append(schema.BufferT(data=np.frombuffer(values.tobytes(), np.uint8)))


def add_constant(model: Any, name: str, values: np.ndarray, kind: int, scales: np.ndarray) -> int:
    """Returns the index of a new constant; `scales` are those of its first axis, `kind` a `schema.TensorType`."""
    tensor = schema.TensorT()
    tensor.name, tensor.type, tensor.shape = name.encode(), kind, np.array(values.shape, np.int32)
    tensor.quantization = schema.QuantizationParametersT()
    tensor.quantization.scale = scales.astype(np.float32)
    tensor.quantization.zeroPoint = np.zeros(len(scales), np.int64)
    set_constant(model, tensor, values)
    return _added(model, tensor)


def add_float(model: Any, name: str, like: int) -> int:
    """Returns the index of a new float32 tensor of the shape of the computed tensor `like`."""
    tensor = copy.copy(model.subgraphs[0].tensors[like])
    tensor.name, tensor.type, tensor.quantization = name.encode(), schema.TensorType.FLOAT32, None
    return _added(model, tensor)


def _added(model: Any, tensor: Any) -> int:
    model.subgraphs[0].tensors.append(tensor)
    return len(model.subgraphs[0].tensors) - 1


def new_operator(model: Any, name: str, inputs: Sequence[int], outputs: Sequence[int], version: int, options: Any):
    """Returns an operator that is not in the graph yet.

    Args:
      name: of `schema.BuiltinOperator`, CONV_2D.
      version: of the operator, the least that has the types of these tensors.
      options: its own, Conv2DOptionsT.
    """
    operator = schema.OperatorT()
    operator.opcodeIndex = _opcode(model, getattr(schema.BuiltinOperator, name), version)
    operator.inputs, operator.outputs = (np.array(indices, np.int32) for indices in (inputs, outputs))
    operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
    operator.builtinOptions = options
    return operator


def _opcode(model: Any, builtin: int, version: int) -> int:
    for index, known in enumerate(model.operatorCodes):
        if _builtin(known) == builtin and known.version >= version:
            return index
    added = schema.OperatorCodeT()
    added.builtinCode = added.deprecatedBuiltinCode = builtin  # both are read while they are below 127
    added.version = version
    model.operatorCodes.append(added)
    return len(model.operatorCodes) - 1


def _builtin(known: Any) -> int:
    return max(known.builtinCode, known.deprecatedBuiltinCode)
