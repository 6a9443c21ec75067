"""Fixtures for all tests: a fixed random generator, and a complete style folder with a tiny fixed network."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

TINY_GAIN = (1.0, 0.8, 0.6)
TINY_BLUR = 0.1
TINY_MULTIPLE = 8


@pytest.fixture
def rng() -> np.random.Generator:
    """Returns a fresh generator with a fixed seed."""
    return np.random.default_rng(1)


@pytest.fixture(scope="session")
def tiny_reference() -> Callable[[np.ndarray], np.ndarray]:
    """Returns the tiny network in NumPy: [H, W, 3] float32 in [-1, 1] -> same, tanh(1.5 x gain + 3x3 blur)."""

    def compute(image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        padded = np.pad(image, ((1, 1), (1, 1), (0, 0)))
        blur = sum(padded[y : y + height, x : x + width] for y in range(3) for x in range(3)) * TINY_BLUR
        return np.tanh(1.5 * image * np.asarray(TINY_GAIN, np.float32) + blur)

    return compute


@pytest.fixture(scope="session")
def tiny_style(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a style folder 'tiny' with a TFLite, an ONNX and a SavedModel file of one network (see tiny_reference).

    Read-only for the tests: copy it before changing a file.
    """
    pytest.importorskip("tensorflow", reason="building the tiny style needs TensorFlow")
    pytest.importorskip("tf2onnx", reason="building the tiny style needs tf2onnx")
    folder = tmp_path_factory.mktemp("styles") / "tiny"
    folder.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converters' own deprecations are not ours
        _write_models(folder)
    _write_manifest(folder)
    return folder


def _write_models(folder: Path) -> None:
    import tensorflow as tf
    import tf2onnx
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    class Tiny(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = tf.Variable(TINY_GAIN)
            self.blur = tf.Variable(np.eye(3, dtype=np.float32)[None, None].repeat(3, 0).repeat(3, 1) * TINY_BLUR)

        @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.float32, "image")])
        def stylize(self, image: tf.Tensor) -> tf.Tensor:
            return tf.tanh(1.5 * image * self.gain + tf.nn.conv2d(image, self.blur, 1, "SAME"), "output")

        @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, "image")])
        def serve(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
            floats = tf.cast(image, tf.float32) / 127.5 - 1.0
            styled = tf.tanh(1.5 * floats * self.gain + tf.nn.conv2d(floats, self.blur, 1, "SAME"))
            return {"styled": tf.cast(tf.round((styled + 1.0) * 127.5), tf.uint8)}

    tiny = Tiny()
    frozen = convert_variables_to_constants_v2(tiny.stylize.get_concrete_function())
    (folder / "model_float32.tflite").write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert())
    onnx_model, _ = tf2onnx.convert.from_function(tiny.stylize, tiny.stylize.input_signature, opset=17)
    (folder / "model.onnx").write_bytes(onnx_model.SerializeToString())
    tf.saved_model.save(tiny, str(folder / "saved_model"), signatures=tiny.serve)


def _write_manifest(folder: Path) -> None:
    from animegan_tf.manifest import Manifest, ModelFile, digest, write_manifest

    paths = {"tflite": "model_float32.tflite", "onnx": "model.onnx", "saved_model": "saved_model"}
    files = tuple(
        ModelFile(path, format, "float32", digest(folder / path), (folder / path).stat().st_size, 0.0)
        for format, path in paths.items()
    )
    manifest = Manifest("tiny", "test", "none", TINY_MULTIPLE, 84, "Apache-2.0", "nobody", files, "a curve and a blur")
    write_manifest(folder, manifest)


@pytest.fixture(scope="session")
def picture_dirs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Returns (photo_dir, style_dir): five smooth random photos and three of hard-edged blocks, 40x48 and 48x40."""
    from PIL import Image

    root, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(5)
    for kind, count, side in (("photo", 5, 4), ("style", 3, 6)):
        (root / kind).mkdir()
        for number in range(count):
            small = Image.fromarray(random.integers(0, 256, (side, side, 3)).astype(np.uint8))
            resample = Image.Resampling.BICUBIC if kind == "photo" else Image.Resampling.NEAREST
            size = (40, 48) if number % 2 else (48, 40)
            small.resize(size, resample).save(root / kind / f"{number}.png")
    return root / "photo", root / "style"
