"""int8 TFLite files in the runtime: pixels in and out, chosen only when asked for."""

from __future__ import annotations

import dataclasses
import shutil
import warnings

import numpy as np
import pytest
from PIL import Image

from animegan_tf.errors import StyleError
from animegan_tf.images import to_float, to_uint8
from animegan_tf.manifest import ModelFile, digest, read_manifest, write_manifest
from animegan_tf.runtime.backends import load_backend
from animegan_tf.runtime.stylizer import Stylizer


def _smooth(seed: int, height: int, width: int) -> np.ndarray:
    grid = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC))


def _convert(returns: str) -> bytes:
    """Returns an int8 file of tanh(0.8 image), uint8 in, of `returns` out."""
    tf = pytest.importorskip("tensorflow", reason="building an int8 file needs TensorFlow")
    kernel = 0.8 * np.eye(3, dtype=np.float32)[None, None]

    @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.float32, "image")])
    def stylize(image):
        return tf.tanh(tf.nn.conv2d(image, kernel, 1, "SAME"))

    converter = tf.lite.TFLiteConverter.from_concrete_functions([stylize.get_concrete_function()], tf.Module())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    photos = [np.stack([np.zeros((8, 3)), np.full((8, 3), 255)]).astype(np.uint8)]
    converter.representative_dataset = lambda: ([to_float(photo)[None]] for photo in photos)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type, converter.inference_output_type = tf.uint8, getattr(tf, returns)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converter's own deprecations are not ours
        return converter.convert()


def _with_int8(tiny_style, folder, data: bytes):
    """Returns a copy of the tiny style with `data` as its int8 file."""
    shutil.copytree(tiny_style, folder)
    path = folder / "model_int8.tflite"
    path.write_bytes(data)
    file = ModelFile(path.name, "tflite", "int8", digest(path), path.stat().st_size, 0.1, mean_error=0.01)
    manifest = read_manifest(folder)
    write_manifest(folder, dataclasses.replace(manifest, files=(file, *manifest.files)))
    return folder


@pytest.fixture(scope="module")
def int8_style(tiny_style, tmp_path_factory):
    """Returns the tiny style with an int8 file of tanh(0.8 image), first in its list."""
    return _with_int8(tiny_style, tmp_path_factory.mktemp("int8") / "tiny", _convert("uint8"))


@pytest.mark.parametrize("size", [(8, 8), (16, 40)])
def test_pixels_go_through_without_floats(int8_style, size, monkeypatch):
    backend = load_backend("tflite", int8_style, read_manifest(int8_style), "int8")
    assert backend.takes_uint8 and not backend.takes_any_size
    pixels = _smooth(1, *size)[None]
    expected = np.tanh(0.8 * to_float(pixels))
    np.testing.assert_allclose(backend.run(to_float(pixels)), expected, atol=3 / 127.5)
    for name in ("to_float", "to_uint8"):
        monkeypatch.setattr(f"animegan_tf.runtime.backends.{name}", None)
    found = backend.run_pixels(pixels)
    assert found.dtype == np.uint8
    np.testing.assert_allclose(found.astype(int), to_uint8(expected), atol=3)


def test_pictures_of_any_size_are_padded_as_for_the_other_files(int8_style):
    stylizer = Stylizer.load(int8_style, precision="int8")
    photo = _smooth(2, 33, 57)
    found = stylizer(photo)
    assert found.shape == photo.shape
    np.testing.assert_allclose(found.astype(int), to_uint8(np.tanh(0.8 * to_float(photo))), atol=3)


def test_int8_is_taken_only_when_asked_for(int8_style, tiny_reference):
    photo = _smooth(3, 32, 32)
    expected = to_uint8(tiny_reference(to_float(photo))).astype(int)
    np.testing.assert_allclose(Stylizer.load(int8_style)(photo).astype(int), expected, atol=1)
    assert read_manifest(int8_style).find("tflite").precision == "float32"


def test_a_file_of_pixels_in_and_floats_out_is_a_style_error(tiny_style, tmp_path):
    folder = _with_int8(tiny_style, tmp_path / "own", _convert("float32"))
    with pytest.raises(StyleError, match="cannot be loaded by tflite: one of its image and its result is uint8"):
        load_backend("tflite", folder, read_manifest(folder), "int8")
