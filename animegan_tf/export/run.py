"""Exports a run: writes the files in the wanted formats, checks each, and puts the style folder in place."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from animegan_tf import __version__, images
from animegan_tf.config import check_bounds, option, run_program
from animegan_tf.errors import ConfigError, ExportError, needs_extra
from animegan_tf.manifest import MANIFEST_NAME, Manifest, ModelFile, digest, write_manifest
from animegan_tf.native import load_tensorflow

PURPOSE = "Exports the generator of a run as SavedModel, TFLite and ONNX, each checked against the network."
FORMATS = ("saved_model", "tflite", "onnx")
_PREVIEW_SIDE = 512


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Options of `animegan-export`; see config.option.

    Raises:
      ConfigError: a needed path is missing, or a format is unknown.
    """

    run_dir: str = option("", "folder of the training run", "export")
    out: str = option("", "style folder to write", "export")
    formats: tuple[str, ...] = option(("saved_model", "tflite", "onnx"), "files to write", "export")
    step: int = option(0, "checkpoint to export; 0: the newest", "export", low=0)
    overwrite: bool = option(False, "replace --out where it exists", "export")
    name: str = option("", "name of the style; empty: the name of --out", "manifest")
    description: str = option("", "one line about the style", "manifest")
    license: str = option("unknown", "SPDX identifier of the weights' licence", "manifest")
    credits: str = option("", "whose pictures trained it, and under which terms", "manifest")
    preview_photo: str = option("", "photo for preview.jpg (photo beside result); empty: none", "manifest")

    def __post_init__(self) -> None:
        check_bounds(self)
        for name in ("run_dir", "out"):
            if not getattr(self, name):
                raise ConfigError(f"--{name} is needed.")
        unknown = [name for name in self.formats if name not in FORMATS]
        if unknown or not self.formats:
            raise ConfigError(f"--formats={','.join(self.formats)}: formats are {', '.join(FORMATS)}.")


def export_run(options: ExportOptions) -> Manifest:
    """Writes the style folder `options.out` and returns its manifest; nothing appears there unless all is checked.

    Raises:
      ConfigError: --out exists, or --run_dir is not a run. CheckpointError: no usable checkpoint.
      ExportError: a file differs from the network, or the folder cannot be written.
    """
    out = Path(os.path.abspath(options.out))  # '.' has no name to put the temporary folder beside
    if out.exists() and not options.overwrite:
        raise ConfigError(f"--out={out} exists: add --overwrite to replace it.")
    if out.exists() and not (out / MANIFEST_NAME).is_file():
        raise ConfigError(f"--out={out} is not a style folder, so --overwrite does not touch it.")
    temporary = out.with_name(f".{out.name}.partial")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        manifest = _write_style(options, temporary, options.name or out.name)
        if out.exists():
            shutil.rmtree(out)
        temporary.rename(out)
    except OSError as error:
        raise ExportError(f"--out={out} cannot be written: {error.strerror or error}.") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return manifest


def main(argv: list[str] | None = None) -> int:
    """Entry point of `animegan-export` and tools/export.py; returns the exit code."""
    return run_program(ExportOptions, _run, program="animegan-export", purpose=PURPOSE, argv=argv)


def _run(options: ExportOptions) -> None:
    manifest = export_run(options)
    for file in manifest.files:
        print(f"{file.path:<24} {file.bytes / 1e6:7.2f} MB   largest difference to Keras {file.max_error:.2g}")
    print(options.out)


def _write_style(options: ExportOptions, folder: Path, name: str) -> Manifest:
    load_tensorflow("Exporting")
    from animegan_tf.export.load import load_run

    # Read before the conversions, which take a while.
    preview = images.read_thumbnail(Path(options.preview_photo), _PREVIEW_SIDE) if options.preview_photo else None
    config, generator, step = load_run(Path(options.run_dir), options.step)
    manifest = Manifest(
        name=name,
        system=config.generator,
        recipe=config.recipe,
        description=options.description,
        size_multiple=generator.size_multiple,
        margin=generator.margin,
        parameters=generator.count_params(),
        licence=options.license,
        credits=options.credits,
        files=(),
        training_steps=step,
        created_with=f"animegan-tf {__version__}",
    )
    write_manifest(folder, manifest)  # refuses a bad name before anything is converted
    files = tuple(file for format in options.formats for file in _write_format(generator, folder, format))
    manifest = replace(manifest, files=files)
    write_manifest(folder, manifest)
    if preview is not None:
        _write_preview(generator, preview, folder / "preview.jpg")
    return manifest


def _write_format(generator, folder: Path, format: str) -> list[ModelFile]:
    if format == "saved_model":
        from animegan_tf.export.saved_model import write_saved_model

        write_saved_model(generator, folder / "saved_model")
        return [_checked(generator, folder, "saved_model", format, "float32")]
    if format == "onnx":
        with needs_extra("tf2onnx", "tf2onnx", "train", "Exporting to ONNX"):
            from animegan_tf.export.onnx import convert_onnx

        (folder / "model.onnx").write_bytes(convert_onnx(generator))
        return [_checked(generator, folder, "model.onnx", format, "float32")]
    from animegan_tf.export.tflite import PRECISIONS, convert_tflite

    files = []
    for precision in PRECISIONS:
        name = f"model_{precision}.tflite"
        (folder / name).write_bytes(convert_tflite(generator, precision))
        files.append(_checked(generator, folder, name, format, precision))
    return files


def _checked(generator, folder: Path, name: str, format: str, precision: str) -> ModelFile:
    from animegan_tf.export.parity import measure

    path = folder / name
    error = measure(generator, path, format, precision)
    size = sum(p.stat().st_size for p in ([path] if path.is_file() else path.rglob("*")) if p.is_file())
    return ModelFile(name, format, precision, digest(path), size, error)


def _write_preview(generator, pixels: np.ndarray, target: Path) -> None:
    margin, (height, width) = generator.margin, pixels.shape[:2]
    padded = images.pad_to_multiple(pixels, generator.size_multiple, images.MINIMUM_SIDE, margin)
    stylized = np.asarray(generator(images.to_float(padded)[None], training=False))[0]
    crop = images.to_uint8(stylized)[margin : margin + height, margin : margin + width]
    images.write_picture(target, images.Picture(np.concatenate([pixels, crop], axis=1)))
