"""The ends of an int8 file in operations that XNNPACK takes: the whole file is then one part, on all threads.

At its ends uint8 becomes int8 and int8 uint8. XNNPACK leaves a QUANTIZE between the two to TFLite's own kernel, which
has one thread, but takes it by way of float32; and it leaves SPACE_TO_DEPTH, which as a convolution of strides, by a
kernel of ones and zeros, is the same values. A picture of 1280x720 takes a seventh less time, to the same bytes.
The price: two float32 tensors at the ends, which hardware for integers alone leaves to a CPU, as it does uint8.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from animegan_tf.export.tflite_graph import add_constant, add_float, code, makers, new_operator

_MOST_BLOCK_CHANNELS = 16  # a convolution takes the square of them: only blocks of pixels are worth it


def delegate_ends(model: Any) -> None:
    """Rewrites QUANTIZE at both ends of a parsed int8 file, and SPACE_TO_DEPTH of what comes in."""
    graph, builtin = model.subgraphs[0], schema.BuiltinOperator
    made_by = makers(model)
    for operator in list(graph.operators):
        kind, source = code(model, operator), operator.inputs[0]
        maker = made_by.get(source)
        first = maker is not None and graph.inputs[0] in maker.inputs
        if kind == builtin.QUANTIZE and (source == graph.inputs[0] or operator.outputs[0] == graph.outputs[0]):
            _replace(model, operator, _by_float32(model, operator))
        elif kind == builtin.SPACE_TO_DEPTH and (first or source == graph.inputs[0]):
            _replace(model, operator, _as_convolution(model, operator))


def _replace(model: Any, operator: Any, others: list) -> None:
    operators = model.subgraphs[0].operators
    place = operators.index(operator)
    operators[place : place + 1] = others


def _by_float32(model: Any, quantize: Any) -> list:
    between = add_float(model, f"float_{quantize.outputs[0]}", quantize.inputs[0])
    return [
        new_operator(model, "DEQUANTIZE", quantize.inputs, [between], 2, schema.DequantizeOptionsT()),
        new_operator(model, "QUANTIZE", [between], quantize.outputs, 1, schema.QuantizeOptionsT()),
    ]


def _as_convolution(model: Any, space_to_depth: Any) -> list:
    """Returns a convolution that writes the pixels of every block one after the other; itself where it costs more."""
    source = model.subgraphs[0].tensors[space_to_depth.inputs[0]]
    block, colors = space_to_depth.builtinOptions.blockSize, int(source.shape[3])
    count = block * block * colors
    if count > _MOST_BLOCK_CHANNELS:
        return [space_to_depth]
    kernel = np.eye(count, dtype=np.int8).reshape(count, block, block, colors)
    scales = np.full(count, source.quantization.scale[0])
    weights = add_constant(model, "blocks_kernel", kernel, schema.TensorType.INT8, np.ones(count))
    bias = add_constant(model, "blocks_bias", np.zeros(count, np.int32), schema.TensorType.INT32, scales)
    options = schema.Conv2DOptionsT()
    options.padding, options.strideH, options.strideW = schema.Padding.VALID, block, block
    inputs = [space_to_depth.inputs[0], weights, bias]
    return [new_operator(model, "CONV_2D", inputs, space_to_depth.outputs, 3, options)]
