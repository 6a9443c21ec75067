"""Runs an exported file in its own runtime and compares it with the Keras network.

A converter can write a file that silently outputs NaN: no file leaves the export unchecked.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from animegan_tf import images
from animegan_tf.errors import ExportError
from animegan_tf.models import Generator
from animegan_tf.native import silent_stderr

SIZES = ((256, 256), (192, 320))
# Largest difference allowed anywhere, in [-1, 1] units. A SavedModel answers in uint8: one level and a half.
# Rounding the weights to float16 alone moves an untrained AnimeGAN by 0.04 at its worst pixel; the conversion is exact.
TOLERANCES = {"float32": 1e-3, "float16": 5e-2, "uint8": 1.5 / 127.5}

Run = Callable[[np.ndarray], np.ndarray]


def check_picture(height: int, width: int) -> np.ndarray:
    """Returns uint8 [1, H, W, 3]: a gradient, hard edges, a flat area and noise, the same every time."""
    rows, columns = np.mgrid[0:height, 0:width]
    picture = np.stack([255 * rows / height, 255 * columns / width, 128 + 0 * rows], axis=-1)
    picture[(rows // 16 + columns // 24) % 5 == 0] = (20, 30, 60)
    picture[: height // 4] = (180, 200, 230)
    noise = np.random.default_rng(0).normal(0, 30, picture.shape)
    picture[3 * height // 4 :] += noise[3 * height // 4 :]
    return picture.clip(0, 255).astype(np.uint8)[None]


def measure(generator: Generator, path: Path, format: str, precision: str) -> float:
    """Returns the largest difference between `path` and `generator` over SIZES, in [-1, 1] units.

    Raises:
      ExportError: the file does not run, outputs NaN, or differs by more than the tolerance of its kind.
    """
    kind = "uint8" if format == "saved_model" else precision
    try:
        run = _RUNNERS[format](path)
        errors = [_difference(generator, run, check_picture(*size), kind) for size in SIZES]
    except ExportError:
        raise
    except Exception as error:  # every runtime has its own kinds
        raise ExportError(f"{path.name} was written but does not run: {error}") from error
    worst = float(np.max(errors))  # not max(): that may pass over NaN
    if not worst <= TOLERANCES[kind]:
        raise ExportError(
            f"{path.name} differs from the Keras network by {worst:.3g}, more than the {TOLERANCES[kind]:.3g} allowed."
        )
    return worst


def _difference(generator: Generator, run: Run, picture: np.ndarray, kind: str) -> float:
    if kind == "uint8":
        found = images.to_float(run(picture))
        expected = images.to_float(images.to_uint8(_with_margin(generator, picture)))
    else:
        found = run(images.to_float(picture))
        expected = np.asarray(generator(images.to_float(picture), training=False))
    if found.shape != expected.shape:
        raise ExportError(f"The exported file answers {found.shape} where the network answers {expected.shape}.")
    return float(np.abs(found - expected).max()) if np.isfinite(found).all() else float("nan")


def _with_margin(generator: Generator, picture: np.ndarray) -> np.ndarray:
    """Returns the network's float [1, H, W, 3], computed with its margin around the picture, as a SavedModel does."""
    margin, (height, width) = generator.margin, picture.shape[1:3]
    padded = images.pad_to_multiple(picture[0], generator.size_multiple, images.MINIMUM_SIDE, margin)
    stylized = np.asarray(generator(images.to_float(padded)[None], training=False))
    return stylized[:, margin : margin + height, margin : margin + width]


def _tflite(path: Path) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def run(image):
        interpreter.resize_tensor_input(source, image.shape)
        with silent_stderr():
            interpreter.allocate_tensors()
        interpreter.set_tensor(source, image)
        interpreter.invoke()
        return interpreter.get_tensor(target)

    return run


def _onnx(path: Path) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda image: session.run(["stylized"], {"image": image})[0]


def _saved_model(path: Path) -> Run:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    serve = loaded.signatures["serving_default"]
    return lambda image: serve(image=tf.constant(image))["stylized"].numpy()


_RUNNERS: dict[str, Callable[[Path], Run]] = {"tflite": _tflite, "onnx": _onnx, "saved_model": _saved_model}
