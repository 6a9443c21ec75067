"""Writes a style folder: the wanted files of a generator, each checked, moved into place when all is done."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from animegan_tf import __version__, images
from animegan_tf.errors import ConfigError, ExportError, needs_extra
from animegan_tf.manifest import MANIFEST_NAME, Manifest, ModelFile, digest, write_manifest

if TYPE_CHECKING:
    from animegan_tf.models import Generator

FORMATS = ("saved_model", "tflite", "onnx")
# Of the photos for int8 one in so many is kept for the check.
_CHECK_STRIDE = 4


def describe(generator: Generator, **said: Any) -> Manifest:
    """Returns a Manifest without files: what follows from `generator`, and what is `said` of it besides.

    Args:
      generator: gives size_multiple, margin, receptive_radius, parameters (trained values and statistics of its norms)
        and inputs.
      said: further fields of Manifest by name; name, system, recipe, licence and credits are needed.
    """
    weights = [variable for variable in generator.inference_variables if "float" in variable.dtype]
    return Manifest(
        size_multiple=generator.size_multiple,
        margin=generator.margin,
        receptive_radius=generator.receptive_radius,
        parameters=sum(int(np.prod(variable.shape)) for variable in weights),
        inputs=dict(generator.inputs_shape),
        created_with=f"animegan-tf {__version__}",
        files=(),
        **said,
    )


def check_formats(formats: Sequence[str]) -> None:
    """Raises ConfigError where `formats` is empty or names an unknown one."""
    if not formats or not set(formats) <= set(FORMATS):
        raise ConfigError(f"--formats={','.join(formats)}: formats are {', '.join(FORMATS)}.")


def check_target(out: Path, overwrite: bool) -> None:
    """Raises ConfigError where `out` exists, unless it is a style folder that may be replaced."""
    if out.exists() and not overwrite:
        raise ConfigError(f"--out={out} exists: add --overwrite to replace it.")
    if out.exists() and not (out / MANIFEST_NAME).is_file():
        raise ConfigError(f"--out={out} is not a style folder, so --overwrite does not touch it.")


def check_calibration(generator: Generator, formats: Sequence[str]) -> None:
    """Raises ConfigError where no int8 file can be written, so that photos to calibrate one on are of no use."""
    if "tflite" not in formats:
        raise ConfigError("--calibration_dir is for int8 TFLite files: add tflite to --formats.")
    if generator.inputs_shape:
        names = ", ".join(generator.inputs_shape)
        raise ConfigError(f"--calibration_dir: int8 is for generators that take a photo alone; this one takes {names}.")


def write_style_folder(
    generator: Generator,
    manifest: Manifest,
    *,
    out: Path,
    formats: Sequence[str] = FORMATS,
    overwrite: bool = False,
    preview: np.ndarray | None = None,
    preview_styles: Sequence[np.ndarray] = (),
    calibration: Sequence[np.ndarray] = (),
) -> Manifest:
    """Writes the style folder `out` and returns `manifest` with its files; nothing appears there unless all is checked.

    Args:
      generator: in float32.
      manifest: of `describe`.
      out: the folder.
      formats: some of FORMATS; tflite gives float32 and float16, and each its style encoder where there is one.
      overwrite: replace a style folder that is there.
      preview: photo for preview.jpg, uint8 RGB [H, W, 3].
      preview_styles: style pictures for it, where the generator takes a code; see `draw_preview`.
      calibration: photos, uint8 RGB [H, W, 3], a few dozen of about 256 pixels; with them an int8 TFLite file is
        written, too. One in four is not calibrated on but checked with.

    Raises:
      ConfigError: unknown formats, `out` exists, or photos where no int8 file can be written.
      StyleError: the manifest cannot be read again.
      ExportError: a file differs from the network, or the folder cannot be written.
    """
    out = Path(os.path.abspath(out))  # '.' has no name to put the temporary folder beside
    check_formats(formats)
    check_target(out, overwrite)
    if calibration:
        check_calibration(generator, formats)
    temporary = out.with_name(f".{out.name}.partial")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        write_manifest(temporary, manifest)  # refuses what cannot be read before anything is converted
        files = [file for format in formats for file in _WRITERS[format](generator, temporary)]
        if calibration:
            files.append(_write_int8(generator, temporary, calibration))
        manifest = replace(manifest, files=tuple(files))
        write_manifest(temporary, manifest)
        if preview is not None:
            _write_preview(generator, temporary, preview, preview_styles)
        if out.exists():
            shutil.rmtree(out)
        temporary.rename(out)
    except OSError as error:
        raise ExportError(f"--out={out} cannot be written: {error.strerror or error}.") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return manifest


def _write_saved_model(generator: Generator, folder: Path) -> list[ModelFile]:
    from animegan_tf.export.saved_model import write_saved_model

    write_saved_model(generator, folder / "saved_model")
    return [_checked(generator, folder / "saved_model", "saved_model")]


def _write_tflite(generator: Generator, folder: Path) -> list[ModelFile]:
    from animegan_tf.export.graph import encode_function, stylize_function
    from animegan_tf.export.tflite import PRECISIONS, convert_tflite

    files = []
    for precision in PRECISIONS:
        path = folder / f"model_{precision}.tflite"
        path.write_bytes(convert_tflite(stylize_function(generator, batch=1), precision))
        files.append(_checked(generator, path, "tflite", precision))
    if generator.encodes_style:
        path = folder / "style_encoder_float32.tflite"
        path.write_bytes(convert_tflite(encode_function(generator, batch=1)))
        files.append(_checked(generator, path, "tflite", role="style_encoder"))
    return files


def _write_int8(generator: Generator, folder: Path, photos: Sequence[np.ndarray]) -> ModelFile:
    from animegan_tf.export.graph import stylize_function
    from animegan_tf.export.parity import measure_int8
    from animegan_tf.export.tflite import convert_tflite

    # As the runtime pads them. A file of few photos is checked with the ones that it was calibrated on.
    padded = [
        images.pad_to_multiple(photo, generator.size_multiple, images.MINIMUM_SIDE, generator.margin)
        for photo in photos
    ]
    check = padded[::_CHECK_STRIDE]
    measured = [photo for number, photo in enumerate(padded) if number % _CHECK_STRIDE] or check
    path = folder / "model_int8.tflite"
    path.write_bytes(convert_tflite(stylize_function(generator, batch=1), "int8", measured))
    largest, mean = measure_int8(generator, path, check)
    return ModelFile(path.name, "tflite", "int8", digest(path), path.stat().st_size, largest, mean_error=mean)


def _write_onnx(generator: Generator, folder: Path) -> list[ModelFile]:
    with needs_extra("tf2onnx", "tf2onnx", "train", "Exporting to ONNX"):
        from animegan_tf.export.graph import encode_function, stylize_function
        from animegan_tf.export.onnx import convert_onnx

    path = folder / "model.onnx"
    path.write_bytes(convert_onnx(stylize_function(generator)))
    files = [_checked(generator, path, "onnx")]
    if generator.encodes_style:
        path = folder / "style_encoder.onnx"
        path.write_bytes(convert_onnx(encode_function(generator)))
        files.append(_checked(generator, path, "onnx", role="style_encoder"))
    return files


_WRITERS: dict[str, Callable[[Generator, Path], list[ModelFile]]] = {
    "saved_model": _write_saved_model,
    "tflite": _write_tflite,
    "onnx": _write_onnx,
}


def _checked(
    generator: Generator, path: Path, format: str, precision: str = "float32", role: str = "generator"
) -> ModelFile:
    from animegan_tf.export.parity import measure, measure_encoder

    if role == "generator":
        error = measure(generator, path, format, precision)
    else:
        error = measure_encoder(generator, path, format)
    size = sum(p.stat().st_size for p in ([path] if path.is_file() else path.rglob("*")) if p.is_file())
    return ModelFile(path.name, format, precision, digest(path), size, error, role)


def _write_preview(generator: Generator, folder: Path, photo: np.ndarray, styles: Sequence[np.ndarray]) -> None:
    from animegan_tf.export.preview import draw_preview

    images.write_picture(folder / "preview.jpg", images.Picture(draw_preview(generator, photo, styles)))
