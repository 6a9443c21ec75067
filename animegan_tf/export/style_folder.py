"""Writes a style folder: the wanted files of a generator, each checked, moved into place when all is done."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from animegan_tf import __version__, images
from animegan_tf.errors import ConfigError, ExportError, needs_extra
from animegan_tf.export.precisions import check_precisions, precisions_of
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
    """Raises ConfigError where `out` exists, unless it is a style folder that may be replaced, and no link to one."""
    if out.is_symlink():  # the folder moved into place would take the place of the link
        raise ConfigError(f"--out={out} is a link: name the folder itself.")
    if out.exists() and not overwrite:
        raise ConfigError(f"--out={out} exists: add --overwrite to replace it.")
    if out.exists() and not (out / MANIFEST_NAME).is_file():
        raise ConfigError(f"--out={out} is not a style folder, so --overwrite does not touch it.")


def check_fits(
    generator: Generator, formats: Sequence[str], calibrates: bool, fixed_size: tuple[int, int] | None
) -> None:
    """Raises ConfigError where `generator` cannot be written in int8, or not for `fixed_size`.

    Args:
      generator: in float32.
      formats: some of FORMATS.
      calibrates: whether there are photos to calibrate an int8 file on.
      fixed_size: H and W of TFLite files for one size; None for none.
    """
    if calibrates and generator.inputs_shape:
        names = ", ".join(generator.inputs_shape)
        raise ConfigError(f"--calibration_dir: int8 is for generators that take a photo alone; this one takes {names}.")
    if not fixed_size:
        return
    given = f"--fixed_size={fixed_size[0]}x{fixed_size[1]}"
    if "tflite" not in formats:
        raise ConfigError(f"{given} is for TFLite files: add tflite to --formats.")
    multiple, margin = generator.size_multiple, generator.margin
    least = max(images.MINIMUM_SIDE, (2 * margin // multiple + 1) * multiple)
    if any(side % multiple or side < least for side in fixed_size):
        raise ConfigError(
            f"{given}: sides must be multiples of {multiple}, {least} or more, of which {2 * margin} are the margin."
        )


def write_style_folder(
    generator: Generator,
    manifest: Manifest,
    *,
    out: Path,
    formats: Sequence[str] = FORMATS,
    precisions: Sequence[str] = (),
    fixed_size: tuple[int, int] | None = None,
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
      formats: some of FORMATS, each with its style encoder where there is one.
      precisions: some of manifest.PRECISIONS, of which each format writes those that it has; empty: TFLite float32 and
        float16, and int8 with photos to calibrate on, ONNX float32.
      fixed_size: H and W; with them every TFLite generator is written for this size alone, too.
      overwrite: replace a style folder that is there.
      preview: photo for preview.jpg, uint8 RGB [H, W, 3].
      preview_styles: style pictures for it, where the generator takes a code; see `draw_preview`.
      calibration: photos, uint8 RGB [H, W, 3], a few dozen of about 256 pixels, for int8 files. One in four is not
        calibrated on but checked with.

    Raises:
      ConfigError: unknown formats or precisions, a size that the generator does not take, `out` exists, or photos where
        no int8 file can be written.
      StyleError: the manifest cannot be read again.
      ExportError: a file differs from the network, or the folder cannot be written.
    """
    out = Path(os.path.abspath(out))  # '.' has no name to put the temporary folder beside
    check_formats(formats)
    check_target(out, overwrite)
    check_precisions(precisions, formats, bool(calibration))
    check_fits(generator, formats, bool(calibration), fixed_size)
    order = _Order(manifest, precisions, fixed_size, calibration)
    temporary = _beside(out, "partial")
    try:
        temporary.mkdir(parents=True)
        write_manifest(temporary, manifest)  # refuses what cannot be read before anything is converted
        files = [file for format in formats for file in _WRITERS[format](generator, temporary, order)]
        manifest = replace(manifest, files=tuple(files))
        write_manifest(temporary, manifest)
        if preview is not None:
            _write_preview(generator, temporary, preview, preview_styles)
        check_target(out, overwrite)  # the conversions take minutes: another export may have ended before this one
        _move_into_place(temporary, out, overwrite)
    except OSError as error:
        raise ExportError(f"--out={out} cannot be written: {error.strerror or error}.") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return manifest


def _beside(out: Path, kind: str) -> Path:
    """Returns a hidden folder beside `out` that no other export uses."""
    return out.with_name(f".{out.name}.{kind}-{secrets.token_hex(4)}")


def _move_into_place(folder: Path, out: Path, overwrite: bool) -> None:
    """Makes `folder` the folder `out`. What stood there is moved away, and removed when the new one is in its place."""
    old = _beside(out, "old")
    try:
        if overwrite:
            with contextlib.suppress(FileNotFoundError):
                out.rename(old)
        folder.rename(out)
    except BaseException:  # Ctrl-C, too
        with contextlib.suppress(OSError):  # nothing may have been moved away
            old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


@dataclass(frozen=True)
class _Order:
    """What is asked for besides the formats; see `write_style_folder`."""

    manifest: Manifest
    precisions: Sequence[str]
    fixed_size: tuple[int, int] | None
    calibration: Sequence[np.ndarray]

    def precisions_of(self, format: str) -> list[str]:
        return precisions_of(format, self.precisions, bool(self.calibration))

    def photos_for(self, generator: Generator, size: tuple[int, int] | None) -> tuple[list, list]:
        """Returns the photos to calibrate on and those to check with, as the runtime pads them or of `size`."""
        fitted = [_fit(generator, photo, size) for photo in self.calibration]
        check = fitted[::_CHECK_STRIDE]
        # A file of few photos is checked with the ones that it was calibrated on.
        return [photo for number, photo in enumerate(fitted) if number % _CHECK_STRIDE] or check, check


def _fit(generator: Generator, photo: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    if size is None:
        return images.pad_to_multiple(photo, generator.size_multiple, images.MINIMUM_SIDE, generator.margin)
    rows, columns = (images.reflect_indices(*sides) for sides in zip(photo.shape, size, strict=False))
    return photo[rows][:, columns]  # cut where it is larger


def _write_saved_model(generator: Generator, folder: Path, order: _Order) -> list[ModelFile]:
    from animegan_tf.export.saved_model import write_saved_model

    write_saved_model(generator, folder / "saved_model")
    return [_checked(generator, folder / "saved_model", "saved_model")]


def _write_tflite(generator: Generator, folder: Path, order: _Order) -> list[ModelFile]:
    from animegan_tf.export.graph import encode_function
    from animegan_tf.export.metadata import with_metadata
    from animegan_tf.export.tflite import convert_tflite

    sizes = [None, order.fixed_size] if order.fixed_size else [None]
    files = [file for size in sizes for file in _write_tflite_of_size(generator, folder, order, size)]
    if generator.encodes_style:
        path = folder / "style_encoder_float32.tflite"
        path.write_bytes(with_metadata(convert_tflite(encode_function(generator, batch=1)), order.manifest))
        files.append(_checked(generator, path, "tflite", role="style_encoder"))
    return files


def _write_tflite_of_size(
    generator: Generator, folder: Path, order: _Order, size: tuple[int, int] | None
) -> list[ModelFile]:
    from animegan_tf.export.graph import ANY_SIZE, stylize_function
    from animegan_tf.export.metadata import with_metadata
    from animegan_tf.export.tflite import convert_tflite

    function = stylize_function(generator, 1, size or ANY_SIZE)
    files = []
    for precision in order.precisions_of("tflite"):
        measured, check = order.photos_for(generator, size) if precision == "int8" else ([], [])
        path = folder / f"model_{precision}{f'_{size[0]}x{size[1]}' if size else ''}.tflite"
        path.write_bytes(with_metadata(convert_tflite(function, precision, measured), order.manifest))
        files.append(_checked(generator, path, "tflite", precision, photos=check, size=size))
    return files


def _write_onnx(generator: Generator, folder: Path, order: _Order) -> list[ModelFile]:
    with needs_extra("tf2onnx", "tf2onnx", "train", "Exporting to ONNX"):
        from animegan_tf.export.graph import encode_function, stylize_function
        from animegan_tf.export.onnx import convert_onnx

    files = []
    for precision in order.precisions_of("onnx"):
        measured, check = order.photos_for(generator, None) if precision == "int8" else ([], [])
        path = folder / ("model.onnx" if precision == "float32" else f"model_{precision}.onnx")
        path.write_bytes(convert_onnx(stylize_function(generator), precision, measured))
        files.append(_checked(generator, path, "onnx", precision, photos=check))
    if generator.encodes_style:
        path = folder / "style_encoder.onnx"
        path.write_bytes(convert_onnx(encode_function(generator)))
        files.append(_checked(generator, path, "onnx", role="style_encoder"))
    return files


_WRITERS: dict[str, Callable[[Generator, Path, _Order], list[ModelFile]]] = {
    "saved_model": _write_saved_model,
    "tflite": _write_tflite,
    "onnx": _write_onnx,
}


def _checked(
    generator: Generator,
    path: Path,
    format: str,
    precision: str = "float32",
    role: str = "generator",
    photos: Sequence[np.ndarray] = (),
    size: tuple[int, int] | None = None,
) -> ModelFile:
    from animegan_tf.export.parity import measure, measure_encoder, measure_int8, measure_mean

    sizes, mean = [size] if size else [], None
    if role == "style_encoder":
        largest = measure_encoder(generator, path, format)
    elif precision == "int8":
        largest, mean = measure_int8(generator, path, photos, format)
    elif precision == "dynamic_int8":
        largest, mean = measure_mean(generator, path, format, sizes)
    else:
        largest = measure(generator, path, format, precision, sizes)
    total = sum(p.stat().st_size for p in ([path] if path.is_file() else path.rglob("*")) if p.is_file())
    return ModelFile(path.name, format, precision, digest(path), total, largest, role, mean, size)


def _write_preview(generator: Generator, folder: Path, photo: np.ndarray, styles: Sequence[np.ndarray]) -> None:
    from animegan_tf.export.preview import draw_preview

    images.write_picture(folder / "preview.jpg", images.Picture(draw_preview(generator, photo, styles)))
