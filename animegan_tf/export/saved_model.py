"""A SavedModel for TF Serving: uint8 pictures of any size in and out, or encoded ones.

serving_default   image: uint8 [N, H, W, 3] RGB, further inputs       -> stylized: as image
serve_bytes       bytes: string [N], JPEG/PNG/GIF/BMP, further inputs -> bytes: string [N], PNG
encode_style      image: uint8 [N, H, W, 3] RGB, style pictures       -> code: float32 [N, n]

Further inputs are float32 [N, n] each, by name (manifest.json lists them); `encode_style` is there where one is `code`.
"""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from animegan_tf.export.graph import Function, further_specs
from animegan_tf.images import MINIMUM_SIDE
from animegan_tf.models import Generator


def write_saved_model(generator: Generator, folder: Path) -> None:
    """Writes the SavedModel of `generator` to `folder`."""
    signatures = {"serving_default": _serve_pixels(generator), "serve_bytes": _serve_bytes(generator)}
    if generator.encodes_style:
        signatures["encode_style"] = _encode_style(generator)
    module = tf.Module()
    # Saved by hand: tf.Module does not find the variables of a Keras 3 model, and keras.export saves them twice.
    module.weights = [variable.value for variable in generator.inference_variables]
    tf.saved_model.save(module, str(folder), signatures)


def _serve_pixels(generator: Generator) -> Function:
    @tf.function(input_signature=[_pixels_spec(), *further_specs(generator)])
    def serve(image, *further):
        return {"stylized": _stylize(generator, image, further)}

    return serve


def _serve_bytes(generator: Generator) -> Function:
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="bytes"), *further_specs(generator)])
    def serve_bytes(data, *further):
        return {"bytes": tf.map_fn(one_picture, (data, *further), fn_output_signature=tf.string)}

    def one_picture(inputs):
        data, *further = inputs
        image = tf.io.decode_image(data, channels=3, expand_animations=False)
        image.set_shape([None, None, 3])
        return tf.io.encode_png(_stylize(generator, image[None], [values[None] for values in further])[0])

    return serve_bytes


def _encode_style(generator: Generator) -> Function:
    @tf.function(input_signature=[_pixels_spec()])
    def encode_style(image):
        code = generator.encode(_to_float(_padded(image, 1, 0)))
        return {"code": tf.ensure_shape(code, [None, *generator.inputs_shape["code"]])}

    return encode_style


def _pixels_spec() -> tf.TensorSpec:
    return tf.TensorSpec([None, None, None, 3], tf.uint8, name="image")


def _stylize(generator: Generator, image, further):
    """Returns uint8 [N, H, W, 3] for the same, padded by reflection as the runtime does, and cropped back."""
    height, width = tf.shape(image)[1], tf.shape(image)[2]
    margin = generator.margin
    named = dict(zip(generator.inputs_shape, further, strict=True))
    stylized = generator(_to_float(_padded(image, generator.size_multiple, margin)), **named, training=False)
    levels = tf.clip_by_value((stylized + 1.0) * 127.5, 0.0, 255.0)
    return tf.cast(tf.round(levels[:, margin : margin + height, margin : margin + width]), tf.uint8)


def _to_float(image):
    return tf.cast(image, tf.float32) / 127.5 - 1.0


def _padded(image, multiple: int, margin: int):
    # The graph's twin of images.pad_to_multiple.
    for axis in (1, 2):
        size = tf.shape(image)[axis]
        whole = -(-tf.maximum(size + 2 * margin, MINIMUM_SIDE) // multiple) * multiple
        image = tf.gather(image, _reflect_indices(size, whole, margin), axis=axis)
    return image


def _reflect_indices(size, padded, before):
    # The graph's twin of images.reflect_indices.
    period = tf.maximum(2 * (size - 1), 1)
    position = (tf.range(padded) - before) % period
    return tf.minimum(position, period - position) % size
