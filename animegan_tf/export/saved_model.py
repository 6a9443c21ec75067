"""A SavedModel for TF Serving: uint8 pictures of any size in and out, or encoded ones.

serving_default   image: uint8 [N, H, W, 3] RGB, further inputs       -> stylized: as image
serve_bytes       image_bytes: string [N], JPEG or PNG, further inputs -> stylized_bytes: string [N], PNG; error: [N]
encode_style      image: uint8 [N, H, W, 3] RGB, style pictures       -> code: float32 [N, n]

Further inputs are float32 [N, n] each, by name (manifest.json lists them); `encode_style` is there where one is `code`.
Names of encoded pictures end in `_bytes`: by that alone TF Serving's REST interface knows what to answer as base64.

`serve_bytes` answers every picture for itself: one that cannot be stylized has a sentence in `error` and no bytes. An
exception would fail all pictures of the request, and where the server batches, those of other users, too.
"""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from animegan_tf.export.graph import Function, further_specs
from animegan_tf.images import MINIMUM_SIDE
from animegan_tf.models import Generator

MAX_SERVED_PIXELS = 4096 * 4096
"""Larger pictures are refused by `serve_bytes` before they are decoded: a server has to live through any request."""

_PNG = b"\x89PNG\r\n\x1a\n"
# At zlib's default, encoding a 360x441 picture takes nine times as long and saves 2 % of the bytes.
_PNG_COMPRESSION = 1


def write_saved_model(generator: Generator, folder: Path) -> None:
    """Writes the SavedModel of `generator` to `folder`."""
    stylize = _stylizer(generator)  # one for both signatures, or the file would hold the network twice
    signatures = {"serving_default": _serve_pixels(generator, stylize), "serve_bytes": _serve_bytes(generator, stylize)}
    if generator.encodes_style:
        signatures["encode_style"] = _encode_style(generator)
    module = tf.Module()
    # Saved by hand: tf.Module does not find the variables of a Keras 3 model, and keras.export saves them twice.
    module.weights = [variable.value for variable in generator.inference_variables]
    tf.saved_model.save(module, str(folder), signatures)


def _serve_pixels(generator: Generator, stylize: Function) -> Function:
    @tf.function(input_signature=[_pixels_spec(), *further_specs(generator)])
    def serve(image, *further):
        return {"stylized": stylize(image, *further)}

    return serve


def _serve_bytes(generator: Generator, stylize: Function) -> Function:
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes"), *further_specs(generator)])
    def serve_bytes(data, *further):
        answers = tf.map_fn(one_picture, (data, *further), fn_output_signature=(tf.string, tf.string))
        return {"stylized_bytes": answers[0], "error": answers[1]}

    def one_picture(inputs):
        data, *further = inputs
        image, error = _decoded(data)

        def stylized():
            picture = stylize(image[None], *(values[None] for values in further))[0]
            return tf.io.encode_png(picture, compression=_PNG_COMPRESSION)

        return tf.cond(tf.equal(error, ""), stylized, lambda: tf.constant(b"")), error

    return serve_bytes


def _decoded(data):
    """Returns (uint8 [H, W, 3], error: string) of an encoded picture; one of the two is empty."""
    empty = tf.zeros([0, 0, 3], tf.uint8)
    sides = _guarded(_sides, data, tf.zeros([2], tf.int64))
    fits = tf.reduce_prod(sides) <= MAX_SERVED_PIXELS
    image = tf.cond(fits, lambda: _guarded(_decode, data, empty), lambda: empty)
    width, height = tf.strings.as_string(sides[1]), tf.strings.as_string(sides[0])
    limit = f" has more than the limit of {MAX_SERVED_PIXELS / 1e6:.1f} megapixels"
    error = tf.case(
        [
            (tf.equal(tf.reduce_prod(sides), 0), lambda: tf.constant("not a JPEG or PNG picture")),
            (tf.logical_not(fits), lambda: tf.strings.join([width, "x", height, limit])),
            (tf.equal(tf.size(image), 0), lambda: tf.constant("damaged or truncated")),
        ],
        default=lambda: tf.constant(""),
    )
    image.set_shape([None, None, 3])
    return image, error


def _guarded(compute, data, otherwise):
    """Returns compute(data), or `otherwise` where that fails: a graph catches no exceptions, but tf.data does."""
    results = tf.data.Dataset.from_tensors(data).map(compute).ignore_errors()
    return results.concatenate(tf.data.Dataset.from_tensors(otherwise)).take(1).get_single_element()


def _sides(data):
    """Returns int64 [height, width] from the head of a JPEG or PNG file; fails on anything else."""

    def png():
        # The first chunk of a PNG file is its head: width and height, big-endian.
        width_height = tf.io.decode_raw(tf.strings.substr(data, 16, 8), tf.int32, little_endian=False)
        with tf.control_dependencies([tf.debugging.assert_equal(tf.strings.substr(data, 0, 8), _PNG)]):
            return tf.maximum(tf.ensure_shape(width_height, [2])[::-1], 0)

    sides = tf.cond(tf.io.is_jpeg(data), lambda: tf.image.extract_jpeg_shape(data)[:2], png)
    return tf.cast(sides, tf.int64)


def _decode(data):
    """Returns uint8 [H, W, 3], to the bit what Pillow decodes; fails on damaged data."""
    return tf.cond(
        tf.io.is_jpeg(data),
        lambda: tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_png(data, channels=3),
    )


def _encode_style(generator: Generator) -> Function:
    @tf.function(input_signature=[_pixels_spec()])
    def encode_style(image):
        code = generator.encode(_to_float(_padded(image, 1, 0)))
        return {"code": tf.ensure_shape(code, [None, *generator.inputs_shape["code"]])}

    return encode_style


def _pixels_spec() -> tf.TensorSpec:
    return tf.TensorSpec([None, None, None, 3], tf.uint8, name="image")


def _stylizer(generator: Generator) -> Function:
    """Returns uint8 [N, H, W, 3], further inputs -> the same, padded by reflection as the runtime does, cut back."""

    @tf.function(input_signature=[_pixels_spec(), *further_specs(generator)])
    def stylize(image, *further):
        height, width = tf.shape(image)[1], tf.shape(image)[2]
        margin = generator.margin
        named = dict(zip(generator.inputs_shape, further, strict=True))
        stylized = generator(_to_float(_padded(image, generator.size_multiple, margin)), **named, training=False)
        levels = tf.clip_by_value((stylized + 1.0) * 127.5, 0.0, 255.0)
        return tf.cast(tf.round(levels[:, margin : margin + height, margin : margin + width]), tf.uint8)

    return stylize


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
