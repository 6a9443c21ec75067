"""Runs an exported file in its own runtime and compares it with the Keras network.

A converter can write a file that silently outputs NaN, or one that does not look at an input: no file leaves the
export unchecked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from animegan_tf import images
from animegan_tf.errors import ExportError
from animegan_tf.export.reference import encode_pixels, stylize_pixels
from animegan_tf.models import Generator
from animegan_tf.native import silent_stderr

SIZES = ((256, 256), (192, 320))
# A style picture may be of any size.
STYLE_SIZES = ((256, 256), (75, 101))
# Largest difference allowed anywhere, in [-1, 1] units. A SavedModel answers in uint8: one level and a half.
# Rounding the weights to float16 alone moves an untrained AnimeGAN by 0.04 at its worst pixel; the conversion is exact.
TOLERANCES = {"float32": 1e-3, "float16": 5e-2, "uint8": 1.5 / 127.5}

# A file with int8 in it is judged by its mean difference: single pixels of it may be far off, at edges above all.
# dynamic_int8 is what networks with norms over the whole picture are written in: an untrained AnimeGANv2 is 0.033 off.
MEAN_TOLERANCES = {"int8": 0.02, "dynamic_int8": 0.05}

# Called with the inputs by name, `image` among them.
Run = Callable[..., np.ndarray]


def check_picture(height: int, width: int) -> np.ndarray:
    """Returns uint8 [1, H, W, 3]: a gradient, hard edges, a flat area and noise, the same every time."""
    rows, columns = np.mgrid[0:height, 0:width]
    picture = np.stack([255 * rows / height, 255 * columns / width, 128 + 0 * rows], axis=-1)
    picture[(rows // 16 + columns // 24) % 5 == 0] = (20, 30, 60)
    picture[: height // 4] = (180, 200, 230)
    noise = np.random.default_rng(0).normal(0, 30, picture.shape)
    picture[3 * height // 4 :] += noise[3 * height // 4 :]
    return picture.clip(0, 255).astype(np.uint8)[None]


def check_inputs(shapes: Mapping[str, tuple[int, ...]]) -> list[dict[str, np.ndarray]]:
    """Returns the further inputs to check a file with, name -> float32 [1, n]; the same every time.

    Two of each: a one-hot label and a blend of unequal shares, so that no two classes can be exchanged unseen; two
    normal draws of a code; noise of zeros and a normal draw.

    Args:
      shapes: `inputs_shape` of the generator; empty gives one set of none.
    """
    random = np.random.default_rng(0)
    pairs = {name: _input_pair(name, size, random).astype(np.float32)[:, None] for name, (size,) in shapes.items()}
    return [{name: pair[number] for name, pair in pairs.items()} for number in range(2 if pairs else 1)]


def _input_pair(name: str, size: int, random: np.random.Generator) -> np.ndarray:
    if name == "label":
        shares = np.arange(1, size + 1)
        return np.stack([np.eye(size)[0], shares / shares.sum()])
    draws = random.normal(size=(2, size))
    return draws if name == "code" else draws * [[0], [1]]


def measure(
    generator: Generator, path: Path, format: str, precision: str, sizes: Sequence[tuple[int, int]] = ()
) -> float:
    """Returns the largest difference between `path` and `generator`, in [-1, 1] units.

    It is taken over `sizes` (SIZES where none are given) with every set of `check_inputs`; the encoder that a
    SavedModel holds besides has to agree as well.

    Raises:
      ExportError: the file does not run, outputs NaN, or differs by more than the tolerance of its kind.
    """
    kind = "uint8" if format == "saved_model" else precision

    def differences() -> Iterator[float]:
        run = _RUNNERS[format](path, "generator")
        return (float(one.max()) for one in _differences(generator, run, kind, sizes or SIZES))

    worst = _worst(path, kind, differences)
    if format == "saved_model" and generator.encodes_style:
        measure_encoder(generator, path, format)
    return worst


def measure_mean(
    generator: Generator, path: Path, format: str, sizes: Sequence[tuple[int, int]] = ()
) -> tuple[float, float]:
    """Returns the largest and the mean difference between a dynamic_int8 file and `generator`, as `measure` runs it.

    Raises:
      ExportError: the file does not run, outputs NaN, or its mean difference is above its MEAN_TOLERANCES.
    """
    try:
        run = _RUNNERS[format](path, "generator")
        found = list(_differences(generator, run, "dynamic_int8", sizes or SIZES))
    except ExportError:
        raise
    except Exception as error:
        raise ExportError(f"{path.name} was written but does not run: {error}") from error
    return _largest_and_mean(path, found, "dynamic_int8", "leave it out of --precisions")


def measure_int8(
    generator: Generator, path: Path, photos: Sequence[np.ndarray], format: str = "tflite"
) -> tuple[float, float]:
    """Returns the largest and the mean difference between an int8 file and `generator`, in [-1, 1] units.

    Args:
      generator: in float32, of an image alone.
      path: the file.
      format: 'tflite', which takes and returns pixels, or 'onnx', which takes and returns float32.
      photos: uint8 [H, W, 3] RGB, sides that the generator takes. Not `check_picture`: the ranges in an int8 file are
        those of photos. What the runtime cuts off, the margin, does not count.

    Raises:
      ExportError: the file does not run, draws one flat colour, or its mean difference is above its MEAN_TOLERANCES.
    """
    try:
        run = _RUNNERS[format](path, "generator")
        found = [_stylized(run, photo[None], pixels_in=format == "tflite") for photo in photos]
    except Exception as error:
        raise ExportError(f"{path.name} was written but does not run: {error}") from error
    if all(np.ptp(picture, axis=(0, 1, 2)).max() == 0 for picture in found):
        raise ExportError(f"{path.name} draws every photo in one flat colour.")
    inside = slice(generator.margin, -generator.margin or None)
    expected = (np.asarray(generator(images.to_float(photo)[None], training=False)) for photo in photos)
    differences = [np.abs(picture - right)[:, inside, inside] for picture, right in zip(found, expected, strict=True)]
    return _largest_and_mean(path, differences, "int8", "leave out --calibration_dir")


def _stylized(run: Run, pixels: np.ndarray, *, pixels_in: bool) -> np.ndarray:
    return images.to_float(run(image=pixels)) if pixels_in else run(image=images.to_float(pixels))


def _largest_and_mean(path: Path, differences: Sequence[np.ndarray], kind: str, way_out: str) -> tuple[float, float]:
    mean = float(np.mean([difference.mean() for difference in differences]))
    if not mean <= MEAN_TOLERANCES[kind]:
        raise ExportError(
            f"{path.name} differs from the Keras network by {mean:.3g} in the mean, more than the "
            f"{MEAN_TOLERANCES[kind]:g} allowed: this network loses too much in int8 ({way_out})."
        )
    return float(max(difference.max() for difference in differences)), mean


def measure_encoder(generator: Generator, path: Path, format: str) -> float:
    """Returns the largest difference between the codes of `path` and of `generator.encode` over STYLE_SIZES.

    As a share of the code's largest number, or of 1 where that is smaller. Raises ExportError as `measure`.
    """
    pixels = format == "saved_model"
    return _worst(
        path, "float32", lambda: _code_differences(generator, _RUNNERS[format](path, "style_encoder"), pixels)
    )


def _worst(path: Path, kind: str, differences: Callable[[], Iterator[float]]) -> float:
    try:
        worst = float(np.max(list(differences())))  # not max(): that may pass over NaN
    except ExportError:
        raise
    except Exception as error:  # every runtime has its own kinds
        raise ExportError(f"{path.name} was written but does not run: {error}") from error
    if not worst <= TOLERANCES[kind]:
        raise ExportError(
            f"{path.name} differs from the Keras network by {worst:.3g}, more than the {TOLERANCES[kind]:.3g} allowed."
        )
    return worst


def _differences(generator: Generator, run: Run, kind: str, sizes: Sequence[tuple[int, int]]) -> Iterator[np.ndarray]:
    for size in sizes:
        picture = check_picture(*size)
        for further in check_inputs(generator.inputs_shape):
            if kind == "uint8":
                found = images.to_float(run(image=picture, **further))
                stylized = stylize_pixels(generator, picture[0], further)
                expected = images.to_float(images.to_uint8(stylized))[None]
            else:
                image = images.to_float(picture)
                found = run(image=image, **further)
                expected = np.asarray(generator(image, **further, training=False))
            yield _distances(found, expected)


def _code_differences(generator: Generator, run: Run, pixels: bool) -> Iterator[float]:
    for size in STYLE_SIZES:
        picture = check_picture(*size)
        found = run(image=picture if pixels else images.to_float(picture))
        expected = encode_pixels(generator, picture[0])
        yield float(_distances(found, expected).max()) / max(1.0, float(np.abs(expected).max()))


def _distances(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    if found.shape != expected.shape:
        raise ExportError(f"The exported file answers {found.shape} where the network answers {expected.shape}.")
    return np.abs(found - expected) if np.isfinite(found).all() else np.full(1, np.nan)


def _tflite(path: Path, role: str) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    sources = {detail["name"]: detail["index"] for detail in interpreter.get_input_details()}
    target = interpreter.get_output_details()[0]["index"]

    def run(**inputs):
        interpreter.resize_tensor_input(sources["image"], inputs["image"].shape)
        with silent_stderr():
            interpreter.allocate_tensors()
        for name, values in inputs.items():
            interpreter.set_tensor(sources[name], values)
        interpreter.invoke()
        return interpreter.get_tensor(target)

    return run


def _onnx(path: Path, role: str) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda **inputs: session.run(None, inputs)[0]


def _saved_model(path: Path, role: str) -> Run:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    name, output = {"generator": ("serving_default", "stylized"), "style_encoder": ("encode_style", "code")}[role]

    def run(**inputs):
        # By `loaded`, not by its signature alone: that holds the variables only weakly.
        tensors = {key: tf.constant(values) for key, values in inputs.items()}
        return loaded.signatures[name](**tensors)[output].numpy()

    return run


_RUNNERS: dict[str, Callable[[Path, str], Run]] = {"tflite": _tflite, "onnx": _onnx, "saved_model": _saved_model}
