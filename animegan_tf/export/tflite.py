"""TFLite files, for one picture at a time: H and W open (`resize_tensor_input`) or fixed.

Inputs and outputs are found by name; signature `stylize`: image, further inputs -> stylized; of an encoder `encode`:
image -> code.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from animegan_tf.export.graph import Function, check_inputs_kept, frozen_function
from animegan_tf.export.int8 import quantize
from animegan_tf.export.tflite_graph import packed, parse


def convert_tflite(function: Function, precision: str = "float32", photos: Sequence[np.ndarray] = ()) -> bytes:
    """Returns the bytes of a .tflite file; `precision`: 'float32', 'float16', 'dynamic_int8' or 'int8'.

    The first two are of the stored weights: either computes in float32 on a CPU; float16 halves the file and runs
    natively on phone GPUs. dynamic_int8 stores the larger kernels in int8 and multiplies in int8, with the range that
    each map turns out to have; all between is float32, so that it is for networks whose norms int8 cannot hold.
    int8 computes in int8, and takes and returns pixels: uint8 [1, H, W, 3] RGB. Batch norm that follows a convolution
    is part of it in any precision.

    Args:
      function: `stylize_function` or `encode_function`, of batch 1; for int8 the first, of an image alone.
      photos: for int8: uint8 [H, W, 3] RGB, see `int8.quantize`.

    Raises:
      ExportError: an input was dropped, or an int8 file cannot be made.
    """
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen_function(function)], tf.Module())
    if precision in ("float16", "dynamic_int8"):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    data = converter.convert()
    return _with_names(function, quantize(data, photos) if precision == "int8" else data)


def _with_names(function: Function, data: bytes) -> bytes:
    # The converter calls the tensors serving_default_image:0 and PartitionedCall:0, the output output_0, and the
    # signature serving_default, whatever it does.
    model = parse(data)
    signature, tensors = model.signatureDefs[0], model.subgraphs[0].tensors
    signature.signatureKey = function.__name__.encode()
    (signature.outputs[0].name,) = (name.encode() for name in function.get_concrete_function().structured_outputs)
    for item in (*signature.inputs, *signature.outputs):
        tensors[item.tensorIndex].name = item.name
    check_inputs_kept(function, [item.name.decode() for item in signature.inputs], "TFLite")
    return packed(model)
