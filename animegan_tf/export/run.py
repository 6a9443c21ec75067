"""Exports a run: its trained generator becomes a style folder."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from animegan_tf import images
from animegan_tf.errors import ConfigError, DataError, ImageError
from animegan_tf.export.precisions import check_precisions
from animegan_tf.export.style_folder import (
    FORMATS,
    check_fits,
    check_formats,
    check_target,
    describe,
    write_style_folder,
)
from animegan_tf.manifest import Manifest
from animegan_tf.native import chosen_backend, load_tensorflow
from animegan_tf.options import check_bounds, option, run_program

PURPOSE = "Exports the generator of a run as SavedModel, TFLite and ONNX, each checked against the network."
_PREVIEW_SIDE = 512
# More photos hardly move the ranges in an int8 file; with fewer, what is rare in photos is cut off.
_CALIBRATION_PHOTOS, _CALIBRATION_MINIMUM, _CALIBRATION_SIDE = 64, 8, 256


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Options of `animegan-export`; see options.option.

    Raises:
      ConfigError: a needed path is missing, a format or precision is unknown or of no use, or a size is no size.
    """

    run_dir: str = option("", "folder of the training run", "export")
    out: str = option("", "style folder to write", "export")
    formats: tuple[str, ...] = option(FORMATS, "files to write", "export")
    precisions: tuple[str, ...] = option(
        (),
        "of float32, float16, dynamic_int8, int8; empty: TFLite float32 and float16, ONNX float32",
        "export",
    )
    calibration_dir: str = option("", "photos for int8; an int8 TFLite file is written besides", "export")
    fixed_size: str = option("", "HxW: TFLite files for this size alone besides, for GPUs and NPUs", "export")
    step: int = option(0, "checkpoint to export; 0: the newest", "export", low=0)
    overwrite: bool = option(False, "replace --out where it exists", "export")
    name: str = option("", "name of the style; empty: the name of --out", "manifest")
    description: str = option("", "one line about the style", "manifest")
    author: str = option("", "who made it", "manifest")
    license: str = option("unknown", "SPDX identifier of the weights' licence", "manifest")
    credits: str = option("", "whose pictures trained it, and under which terms", "manifest")
    preview_photo: str = option("", "photo for preview.jpg (photo beside result); empty: none", "manifest")
    preview_styles: tuple[str, ...] = option(
        (), "style pictures for preview.jpg, where the style follows a style picture", "manifest"
    )

    def __post_init__(self) -> None:
        check_bounds(self)
        for name in ("run_dir", "out"):
            if not getattr(self, name):
                raise ConfigError(f"--{name} is needed.")
        check_formats(self.formats)
        check_precisions(self.precisions, self.formats, bool(self.calibration_dir))
        if self.fixed_size and not re.fullmatch(r"[1-9]\d{0,4}x[1-9]\d{0,4}", self.fixed_size):
            raise ConfigError(f"--fixed_size={self.fixed_size} is not a height and a width, such as 720x1280.")
        if self.preview_styles and not self.preview_photo:
            raise ConfigError("--preview_styles needs --preview_photo.")

    @property
    def size(self) -> tuple[int, int] | None:
        """H and W of --fixed_size; None without."""
        height, _, width = self.fixed_size.partition("x")
        return (int(height), int(width)) if width else None


def export_run(options: ExportOptions) -> Manifest:
    """Writes the style folder `options.out` and returns its manifest; nothing appears there unless all is checked.

    Raises:
      ConfigError: Keras does not run on TensorFlow, --out exists, --run_dir is not a run, or --preview_styles,
        --calibration_dir or --fixed_size does not fit its generator.
      DataError: --calibration_dir holds too few photos.
      CheckpointError: no usable checkpoint. ImageError: a picture of the preview cannot be read.
      ExportError: a file differs from the network, or the folder cannot be written.
    """
    if chosen_backend() != "tensorflow":  # the converters trace Keras layers as TensorFlow functions
        raise ConfigError(f"Exporting runs on TensorFlow, not on {chosen_backend()}: set KERAS_BACKEND=tensorflow.")
    out = Path(os.path.abspath(options.out))
    check_target(out, options.overwrite)
    # Read before the conversions, which take a while.
    preview = _read(options.preview_photo) if options.preview_photo else None
    styles = [_read(path) for path in options.preview_styles]
    calibration = read_calibration(Path(options.calibration_dir)) if options.calibration_dir else []
    load_tensorflow("Exporting")
    from animegan_tf.export.load import load_run

    config, generator, step = load_run(Path(options.run_dir), options.step)
    if calibration:
        from animegan_tf.export.margin import fit_margin

        generator.margin = fit_margin(generator, calibration)
    check_fits(generator, options.formats, bool(calibration), options.size)
    if preview is not None and bool(styles) != ("code" in generator.inputs_shape):
        raise ConfigError(
            f"--preview_styles is for styles that follow a style picture, and they need it; this is {config.generator}."
        )
    manifest = describe(
        generator,
        name=options.name or out.name,
        system=config.generator,
        recipe=config.recipe,
        description=options.description,
        author=options.author,
        licence=options.license,
        credits=options.credits,
        classes=config.classes if "label" in generator.inputs_shape else (),
        training_steps=step,
    )
    return write_style_folder(
        generator,
        manifest,
        out=out,
        formats=options.formats,
        precisions=options.precisions,
        fixed_size=options.size,
        overwrite=options.overwrite,
        preview=preview,
        preview_styles=styles,
        calibration=calibration,
    )


def read_calibration(folder: Path) -> list[np.ndarray]:
    """Returns up to 64 photos from all over `folder`, uint8 RGB [H, W, 3], at most 256 pixels a side, the middle.

    One that cannot be read is left out and named on stderr.

    Raises:
      DataError: there are fewer than 8.
    """
    paths, photos = images.find_images(folder), []
    for place in np.linspace(0, len(paths) - 1, min(len(paths), _CALIBRATION_PHOTOS)).round().astype(int):
        try:
            photos.append(_middle(images.read_thumbnail(paths[place], _CALIBRATION_SIDE)))
        except ImageError as error:
            print(f"skipped: {error}", file=sys.stderr)
    if len(photos) < _CALIBRATION_MINIMUM:
        raise DataError(
            f"--calibration_dir={folder} holds {len(photos)} pictures that can be read; "
            f"int8 needs at least {_CALIBRATION_MINIMUM}."
        )
    return photos


def _middle(photo: np.ndarray) -> np.ndarray:
    top, left = (max(0, (side - _CALIBRATION_SIDE) // 2) for side in photo.shape[:2])
    return photo[top : top + _CALIBRATION_SIDE, left : left + _CALIBRATION_SIDE]


def main(argv: list[str] | None = None) -> int:
    """Entry point of `animegan-export` and tools/export.py; returns the exit code."""
    return run_program(ExportOptions, _run, program="animegan-export", purpose=PURPOSE, argv=argv)


def print_files(folder: Path, manifest: Manifest) -> None:
    """Prints what was written into `folder`: sizes, differences to Keras, and what delegates take of TFLite files."""
    from animegan_tf.export.delegates import measure_coverage

    for file in manifest.files:
        mean = "" if file.mean_error is None else f", mean {file.mean_error:.2g}"
        print(f"{file.path:<34} {file.bytes / 1e6:7.2f} MB   largest difference to Keras {file.max_error:.2g}{mean}")
        if file.format == "tflite":
            print(f"{'':<34} {measure_coverage((folder / file.path).read_bytes())}")


def _run(options: ExportOptions) -> None:
    print_files(Path(options.out), export_run(options))
    print(options.out)


def _read(path: str):
    return images.read_thumbnail(Path(path), _PREVIEW_SIDE)
