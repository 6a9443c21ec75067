"""TFLite files: image [1, H, W, 3] float32 in [-1, 1] -> the same, H and W open (`resize_tensor_input`)."""

from __future__ import annotations

import tensorflow as tf

from animegan_tf.export.graph import frozen_function
from animegan_tf.models import Generator

PRECISIONS = ("float32", "float16")


def convert_tflite(generator: Generator, precision: str) -> bytes:
    """Returns the bytes of a .tflite file; `precision` of the stored weights: 'float32' or 'float16'.

    Either computes in float32 on a CPU; float16 halves the file and runs natively on phone GPUs.
    """
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen_function(generator, batch=1)], tf.Module())
    if precision == "float16":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    return converter.convert()
