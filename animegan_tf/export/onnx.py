"""ONNX files: named inputs, outputs and axes (batch, height, width), NHWC, opset 17."""

from __future__ import annotations

import onnx
import tf2onnx

from animegan_tf.export.graph import Function, check_inputs_kept
from animegan_tf.models.layers import means_by_axis

OPSET = 17
_AXES = ("batch", "height", "width", "channels")


def convert_onnx(function: Function) -> bytes:
    """Returns the bytes of an .onnx file of `stylize_function` or `encode_function`, of an open batch.

    Raises:
      ExportError: an input was dropped.
    """
    with means_by_axis():
        model, _ = tf2onnx.convert.from_function(function, input_signature=function.input_signature, opset=OPSET)
    check_inputs_kept(function, [value.name for value in model.graph.input], "ONNX")
    shapes = {spec.name: spec.shape for spec in function.input_signature}
    shapes |= {name: value.shape for name, value in function.get_concrete_function().structured_outputs.items()}
    for value in (*model.graph.input, *model.graph.output):
        _name_axes(value.type.tensor_type.shape.dim, shapes[value.name])
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def _name_axes(axes, shape) -> None:
    for axis, size, name in zip(axes, shape, _AXES[: len(shape)], strict=True):
        axis.Clear()
        if size is None:
            axis.dim_param = name
        else:
            axis.dim_value = size
