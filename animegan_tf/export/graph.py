"""The generator and its style encoder as TensorFlow graphs: what TFLite and ONNX are converted from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from animegan_tf.errors import ExportError
from animegan_tf.models import Generator
from animegan_tf.models.portable import portable

Function: TypeAlias = Any  # tf.types.experimental.PolymorphicFunction
Size: TypeAlias = tuple[int | None, int | None]
ANY_SIZE: Size = (None, None)


def further_specs(generator: Generator, batch: int | None = None) -> list[tf.TensorSpec]:
    """Returns the further inputs of `generator`, float32 [batch, n] each, in the order of its `inputs_shape`."""
    return [tf.TensorSpec([batch, *shape], tf.float32, name=name) for name, shape in generator.inputs_shape.items()]


def stylize_function(generator: Generator, batch: int | None = None, size: Size = ANY_SIZE) -> Function:
    """Returns image [batch, H, W, 3] float32 in [-1, 1], further inputs -> {'stylized': as image}; H, W as `size`."""
    names = list(generator.inputs_shape)

    @tf.function(input_signature=[_image_spec(batch, size), *further_specs(generator, batch)])
    def stylize(image, *further):
        stylized = generator(image, **dict(zip(names, further, strict=True)), training=False)
        return {"stylized": tf.ensure_shape(stylized, [batch, *size, 3])}

    return stylize


def encode_function(generator: Generator, batch: int | None = None) -> Function:
    """Returns image [batch, H, W, 3] float32 in [-1, 1], a style picture -> {'code': [batch, n]}; H, W stay open."""

    @tf.function(input_signature=[_image_spec(batch)])
    def encode(image):
        return {"code": tf.ensure_shape(generator.encode(image), [batch, *generator.inputs_shape["code"]])}

    return encode


def frozen_function(function: Function):
    """Returns the concrete function of `function` with its variables as constants.

    Converting a function that still holds Keras variables can give a file that outputs NaN without any error.
    """
    with portable():
        return convert_variables_to_constants_v2(function.get_concrete_function())


def check_inputs_kept(function: Function, found: Iterable[str], kind: str) -> None:
    """Raises ExportError where a converter dropped inputs of `function`: it takes what the network does not use."""
    lost = [spec.name for spec in function.input_signature if spec.name not in set(found)]
    if lost:
        raise ExportError(f"The {kind} file lost the input {', '.join(lost)}: the network does not use it.")


def _image_spec(batch: int | None, size: Size = ANY_SIZE) -> tf.TensorSpec:
    return tf.TensorSpec([batch, *size, 3], tf.float32, name="image")
