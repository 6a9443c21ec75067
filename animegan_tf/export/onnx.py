"""ONNX files: named inputs, outputs and axes (batch, height, width), NHWC, opset 17, in float32, float16 or int8."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import tf2onnx

from animegan_tf.export.graph import Function, check_inputs_kept
from animegan_tf.export.onnx_float16 import to_float16
from animegan_tf.export.onnx_int8 import quantize_onnx
from animegan_tf.models.portable import portable

OPSET = 17
_AXES = ("batch", "height", "width", "channels")


def convert_onnx(function: Function, precision: str = "float32", photos: Sequence[np.ndarray] = ()) -> bytes:
    """Returns the bytes of an .onnx file, of an open batch, float32 in and out.

    Args:
      function: `stylize_function` or `encode_function`; for int8 the first, of an image alone.
      precision: 'float32', 'float16' (see onnx_float16.py) or 'int8' (see onnx_int8.py).
      photos: for int8: uint8 [H, W, 3] RGB, see `quantize_onnx`.

    Raises:
      ExportError: an input was dropped, or an int8 file cannot be made.
    """
    with portable():
        model, _ = tf2onnx.convert.from_function(function, input_signature=function.input_signature, opset=OPSET)
    check_inputs_kept(function, [value.name for value in model.graph.input], "ONNX")
    shapes = {spec.name: spec.shape for spec in function.input_signature}
    shapes |= {name: value.shape for name, value in function.get_concrete_function().structured_outputs.items()}
    for value in (*model.graph.input, *model.graph.output):
        _name_axes(value.type.tensor_type.shape.dim, shapes[value.name])
    onnx.checker.check_model(model, full_check=True)
    data = simplify(model.SerializeToString())
    if precision == "float16":
        return to_float16(data)
    return quantize_onnx(data, photos) if precision == "int8" else data


def simplify(model: bytes) -> bytes:
    """Returns the bytes of the same .onnx file with constants folded, and norms folded into the convolutions.

    By ONNX Runtime's optimizations of the first level, which write plain ONNX: tf2onnx leaves a norm behind a depthwise
    convolution as it is.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "model.onnx")
        onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        parsed = onnx.load(options.optimized_model_filepath)
    # It lists every set of operations that it knows.
    del parsed.opset_import[:]
    parsed.opset_import.append(onnx.helper.make_opsetid("", OPSET))
    onnx.checker.check_model(parsed, full_check=True)
    return parsed.SerializeToString()


def _name_axes(axes, shape) -> None:
    for axis, size, name in zip(axes, shape, _AXES[: len(shape)], strict=True):
        axis.Clear()
        if size is None:
            axis.dim_param = name
        else:
            axis.dim_value = size
