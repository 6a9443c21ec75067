"""Fixtures for all tests: a fixed random generator, and complete style folders with tiny fixed networks."""

from __future__ import annotations

import contextlib
import random
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

TINY_GAIN = (1.0, 0.8, 0.6)
TINY_BLUR = 0.1
TINY_MULTIPLE = 8
LABELS = ("hokusai", "duelyst", "monet")
LABEL_GAINS = ((1.0, 0.5, 0.25), (0.25, 1.0, 0.5), (-0.5, 0.25, 1.0))
CODE_SIZE, NOISE_SIZE = 64, 16


def code_weights() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the weights of the tiny code style: encoder [3, 64], code to gain [64, 3], noise to bias [16, 3]."""
    draw = np.random.default_rng(7)
    shapes = ((3, CODE_SIZE), (CODE_SIZE, 3), (NOISE_SIZE, 3))
    encoder, gain, bias = (draw.normal(0, 0.2, shape).astype(np.float32) for shape in shapes)
    return encoder, gain, bias


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest module first: two processes then end at about the same time."""
    items.sort(key=lambda item: item.path.name != "test_systems.py")


@pytest.fixture(autouse=True)
def _same_weights_each_time() -> None:
    """Seeds what Keras draws the seeds of its initial weights from: a test sees the same network in every run."""
    random.seed(1)


@pytest.fixture
def rng() -> np.random.Generator:
    """Returns a fresh generator with a fixed seed."""
    return np.random.default_rng(1)


@pytest.fixture(scope="session")
def eagerly() -> Callable:
    """Returns eagerly(): context in which steps run without being traced, which is faster for one or two."""

    @contextlib.contextmanager
    def eagerly() -> Iterator[None]:
        import tensorflow as tf

        tf.config.run_functions_eagerly(True)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Even though the `tf.config.experimental_run_functions_eagerly`")
                yield
        finally:
            tf.config.run_functions_eagerly(False)

    return eagerly


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
def label_reference() -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Returns the label style in NumPy: ([H, W, 3], label [3]) -> tanh(image x gains of the labels)."""
    return lambda image, label: np.tanh(image * (label @ np.asarray(LABEL_GAINS, np.float32)))


@pytest.fixture(scope="session")
def code_reference() -> Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    """Returns the code style in NumPy: ([H, W, 3], code [64], noise [16]) -> tanh(image x gain of code + bias)."""
    _, gain, bias = code_weights()
    return lambda image, code, noise: np.tanh(image * (1 + code @ gain) + 0.1 * noise @ bias)


@pytest.fixture(scope="session")
def encoder_reference() -> Callable[[np.ndarray], np.ndarray]:
    """Returns the code style's encoder in NumPy: [H, W, 3] float32 -> [64], from the mean of |colour|."""
    return lambda image: np.abs(image).mean((0, 1)) @ code_weights()[0]


@pytest.fixture(scope="session")
def tiny_style(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a style folder 'tiny' with a TFLite, an ONNX and a SavedModel file of one network (see tiny_reference).

    Read-only for the tests: copy it before changing a file.
    """
    tf = _tensorflow()
    blur = np.eye(3, dtype=np.float32)[None, None].repeat(3, 0).repeat(3, 1) * TINY_BLUR

    def stylize(image):
        return tf.tanh(1.5 * image * tf.constant(TINY_GAIN) + tf.nn.conv2d(image, blur, 1, "SAME"))

    return _write_style(tmp_path_factory.mktemp("styles") / "tiny", "a curve and a blur", stylize)


@pytest.fixture(scope="session")
def label_style(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a style folder 'scenes' that holds the styles LABELS (see label_reference); read-only."""
    tf = _tensorflow()

    def stylize(image, label):
        return tf.tanh(image * tf.matmul(label, tf.constant(LABEL_GAINS))[:, None, None])

    folder = tmp_path_factory.mktemp("styles") / "scenes"
    return _write_style(folder, "three gains", stylize, {"label": (len(LABELS),)}, classes=LABELS)


@pytest.fixture(scope="session")
def code_style(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a style folder 'painter' that follows a style picture (see code_reference); read-only."""
    tf = _tensorflow()

    def stylize(image, code, noise):
        # Constants are made inside: an eager tensor that a graph captures becomes an input of the ONNX file.
        _, gain, bias = map(tf.constant, code_weights())
        gained = image * (1.0 + tf.matmul(code, gain))[:, None, None]
        return tf.tanh(gained + 0.1 * tf.matmul(noise, bias)[:, None, None])

    def encode(image):
        return tf.matmul(tf.reduce_mean(tf.abs(image), (1, 2)), tf.constant(code_weights()[0]))

    folder = tmp_path_factory.mktemp("styles") / "painter"
    inputs = {"code": (CODE_SIZE,), "noise": (NOISE_SIZE,)}
    return _write_style(folder, "a gain from a picture", stylize, inputs, encode=encode)


def _tensorflow() -> ModuleType:
    pytest.importorskip("tf2onnx", reason="building the tiny styles needs tf2onnx")
    return pytest.importorskip("tensorflow", reason="building the tiny styles needs TensorFlow")


def _write_style(
    folder: Path,
    description: str,
    stylize: Callable,
    inputs: dict[str, tuple[int, ...]] | None = None,
    classes: tuple[str, ...] = (),
    encode: Callable | None = None,
) -> Path:
    """Writes a style folder of the graph functions `stylize` and `encode`, and returns it."""
    from animegan_tf.manifest import Manifest, ModelFile, digest, write_manifest

    folder.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converters' own deprecations are not ours
        written = _write_models(folder, "model", stylize, inputs or {})
        if encode:
            written |= _write_models(folder, "encoder", encode, {})
        written["saved_model"] = _write_saved_model(folder / "saved_model", stylize, inputs or {}, encode)
    files = tuple(
        ModelFile(path, format, "float32", digest(folder / path), (folder / path).stat().st_size, 0.0, role=role)
        for path, (format, role) in written.items()
    )
    manifest = Manifest(
        folder.name, "test", "none", TINY_MULTIPLE, 84, "Apache-2.0", "nobody", files, description,
        inputs=inputs or {}, classes=classes,
    )  # fmt: skip
    write_manifest(folder, manifest)
    return folder


def _write_models(folder: Path, stem: str, compute: Callable, inputs: dict) -> dict[str, tuple[str, str]]:
    import tensorflow as tf
    import tf2onnx

    signature = [tf.TensorSpec([1, None, None, 3], tf.float32, "image")]
    signature += [tf.TensorSpec([1, *shape], tf.float32, name) for name, shape in inputs.items()]
    function = tf.function(compute, input_signature=signature)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], tf.Module())
    (folder / f"{stem}_float32.tflite").write_bytes(converter.convert())
    onnx_model, _ = tf2onnx.convert.from_function(function, signature, opset=17)
    (folder / f"{stem}.onnx").write_bytes(onnx_model.SerializeToString())
    role = "style_encoder" if stem == "encoder" else "generator"
    return {f"{stem}_float32.tflite": ("tflite", role), f"{stem}.onnx": ("onnx", role)}


def _write_saved_model(folder: Path, stylize: Callable, inputs: dict, encode: Callable | None) -> tuple[str, str]:
    import tensorflow as tf

    pixels = tf.TensorSpec([None, None, None, 3], tf.uint8, "image")
    further = {name: tf.TensorSpec([None, *shape], tf.float32, name) for name, shape in inputs.items()}

    def serve(image, **further):
        styled = stylize(tf.cast(image, tf.float32) / 127.5 - 1.0, **further)
        return {"styled": tf.cast(tf.round((styled + 1.0) * 127.5), tf.uint8)}

    signatures = {"serving_default": tf.function(serve).get_concrete_function(image=pixels, **further)}
    if encode:
        encoding = tf.function(lambda image: {"code": encode(tf.cast(image, tf.float32) / 127.5 - 1.0)})
        signatures["encode_style"] = encoding.get_concrete_function(pixels)
    tf.saved_model.save(tf.Module(), str(folder), signatures)
    return "saved_model", "generator"


@pytest.fixture(scope="session")
def picture_dirs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Returns (photo_dir, style_dir): five smooth random photos and three of hard-edged blocks, 40x48 and 48x40."""
    from PIL import Image

    root, draw = tmp_path_factory.mktemp("pictures"), np.random.default_rng(5)
    for kind, count, side in (("photo", 5, 4), ("style", 3, 6)):
        (root / kind).mkdir()
        for number in range(count):
            small = Image.fromarray(draw.integers(0, 256, (side, side, 3)).astype(np.uint8))
            resample = Image.Resampling.BICUBIC if kind == "photo" else Image.Resampling.NEAREST
            size = (40, 48) if number % 2 else (48, 40)
            small.resize(size, resample).save(root / kind / f"{number}.png")
    return root / "photo", root / "style"
