"""ONNX files: image [batch, height, width, 3] float32 in [-1, 1] -> stylized, the same; opset 17."""

from __future__ import annotations

import onnx
import tensorflow as tf
import tf2onnx

from animegan_tf.export.graph import stylize_function
from animegan_tf.models import Generator

OPSET = 17
_AXES = ("batch", "height", "width", 3)


def convert_onnx(generator: Generator) -> bytes:
    """Returns the bytes of an .onnx file with named dynamic axes, input 'image', output 'stylized', NHWC."""
    function = stylize_function(generator)
    signature = [tf.TensorSpec([None, None, None, 3], tf.float32, name="image")]
    model, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    _rename(model.graph, model.graph.output[0].name, "stylized")
    for value in (model.graph.input[0], model.graph.output[0]):
        for axis, name in zip(value.type.tensor_type.shape.dim, _AXES, strict=True):
            axis.Clear()
            if isinstance(name, int):
                axis.dim_value = name
            else:
                axis.dim_param = name
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def _rename(graph, old: str, new: str) -> None:
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
    for value in (*graph.output, *graph.value_info):
        if value.name == old:
            value.name = new
