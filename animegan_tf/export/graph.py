"""The generator as a TensorFlow graph with its weights as constants: what TFLite and ONNX are converted from."""

from __future__ import annotations

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from animegan_tf.models import Generator


def stylize_function(generator: Generator, batch: int | None = None) -> tf.types.experimental.PolymorphicFunction:
    """Returns image [batch, H, W, 3] float32 in [-1, 1] -> stylized, the same; H and W stay open."""
    signature = [tf.TensorSpec([batch, None, None, 3], tf.float32, name="image")]

    @tf.function(input_signature=signature)
    def stylize(image):
        stylized = tf.ensure_shape(generator(image, training=False), [batch, None, None, 3])
        return tf.identity(stylized, name="stylized")

    return stylize


def frozen_function(generator: Generator, batch: int | None = None):
    """Returns the concrete function of `stylize_function` without variables.

    Converting a function that still holds Keras variables can give a file that outputs NaN without any error.
    """
    return convert_variables_to_constants_v2(stylize_function(generator, batch).get_concrete_function())
