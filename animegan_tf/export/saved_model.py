"""A SavedModel for TF Serving: uint8 pictures of any size in and out, or encoded ones.

serving_default   image: uint8 [N, H, W, 3] RGB       -> stylized: the same
serve_bytes       bytes: string [N], JPEG/PNG/GIF/BMP -> bytes: string [N], PNG
"""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from animegan_tf.images import MINIMUM_SIDE
from animegan_tf.models import Generator


def write_saved_model(generator: Generator, folder: Path) -> None:
    """Writes the SavedModel of `generator` to `folder`."""

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="image")])
    def serve(image):
        return {"stylized": _stylize(generator, image)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="bytes")])
    def serve_bytes(data):
        return {"bytes": tf.map_fn(one_picture, data, fn_output_signature=tf.string)}

    def one_picture(data):
        image = tf.io.decode_image(data, channels=3, expand_animations=False)
        image.set_shape([None, None, 3])
        return tf.io.encode_png(_stylize(generator, image[None])[0])

    module = tf.Module()
    # Saved by hand: tf.Module does not find the variables of a Keras 3 model, and keras.export saves them twice.
    module.weights = [variable.value for variable in generator.variables]
    tf.saved_model.save(module, str(folder), {"serving_default": serve, "serve_bytes": serve_bytes})


def _stylize(generator: Generator, image):
    """Returns uint8 [N, H, W, 3] for the same, padded by reflection as the runtime does, and cropped back."""
    height, width = tf.shape(image)[1], tf.shape(image)[2]
    margin = generator.margin
    rows = _reflect_indices(height, _padded(height + 2 * margin, generator.size_multiple), margin)
    columns = _reflect_indices(width, _padded(width + 2 * margin, generator.size_multiple), margin)
    padded = tf.gather(tf.gather(image, rows, axis=1), columns, axis=2)
    stylized = generator(tf.cast(padded, tf.float32) / 127.5 - 1.0, training=False)
    levels = tf.clip_by_value((stylized + 1.0) * 127.5, 0.0, 255.0)
    return tf.cast(tf.round(levels[:, margin : margin + height, margin : margin + width]), tf.uint8)


def _padded(side, multiple: int):
    # As images.pad_to_multiple: the next multiple of what is at least MINIMUM_SIDE.
    return -(-tf.maximum(side, MINIMUM_SIDE) // multiple) * multiple


def _reflect_indices(size, padded, before):
    # The graph's twin of images.reflect_indices.
    period = tf.maximum(2 * (size - 1), 1)
    position = (tf.range(padded) - before) % period
    return tf.minimum(position, period - position) % size
