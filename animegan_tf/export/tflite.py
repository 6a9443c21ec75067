"""TFLite files, for one picture at a time: H and W open (`resize_tensor_input`), inputs and outputs by name."""

from __future__ import annotations

import tensorflow as tf
from tensorflow.lite.tools import flatbuffer_utils

from animegan_tf.export.graph import Function, check_inputs_kept, frozen_function

PRECISIONS = ("float32", "float16")


def convert_tflite(function: Function, precision: str = "float32") -> bytes:
    """Returns the bytes of a .tflite file; `precision` of the stored weights: 'float32' or 'float16'.

    Either computes in float32 on a CPU; float16 halves the file and runs natively on phone GPUs.

    Args:
      function: `stylize_function` or `encode_function`, of batch 1.

    Raises:
      ExportError: an input was dropped.
    """
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen_function(function)], tf.Module())
    if precision == "float16":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    return _with_names(function, converter.convert())


def _with_names(function: Function, data: bytes) -> bytes:
    # The converter calls the tensors serving_default_image:0 and PartitionedCall:0, and the output output_0.
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(data))
    signature, tensors = model.signatureDefs[0], model.subgraphs[0].tensors
    (signature.outputs[0].name,) = (name.encode() for name in function.get_concrete_function().structured_outputs)
    for item in (*signature.inputs, *signature.outputs):
        tensors[item.tensorIndex].name = item.name
    check_inputs_kept(function, [item.name.decode() for item in signature.inputs], "TFLite")
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))
