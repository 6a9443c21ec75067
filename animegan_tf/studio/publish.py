"""From a finished training to what its user gets: the style folder, figures, a contact sheet, a verdict."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from animegan_tf import images
from animegan_tf.config import TrainConfig
from animegan_tf.evaluation.pictures import spread
from animegan_tf.evaluation.report import table, write
from animegan_tf.evaluation.run import EvaluateOptions, evaluate
from animegan_tf.evaluation.scores import Evaluation
from animegan_tf.export.run import ExportOptions, export_run
from animegan_tf.manifest import Manifest
from animegan_tf.runtime.stylizer import Stylizer
from animegan_tf.studio.options import NewStyleOptions
from animegan_tf.studio.pictures import link_judged, quote_terms
from animegan_tf.studio.verdict import Figures, discriminator_share, judge, mean_color

EVALUATION_NAME, SHEET_NAME = "evaluation.json", "contact_sheet.jpg"
_LEAST_RESERVE, _RESERVED_SHARE, _MOST_RESERVED, _STARTS = 30.0, 0.03, 0.4, 2.5
_EVALUATED, _SHEET_PHOTOS, _SIDE = 32, 12, 1280
_HURRY = 60.0


def reserve(budget: float, start: float) -> float:
    """Returns the seconds of a budget of `budget` seconds to keep for export and evaluation.

    start: what it takes on this machine to start a training, which tells how fast it is at such work.
    """
    return min(_MOST_RESERVED * budget, max(_LEAST_RESERVE + _RESERVED_SHARE * budget, _STARTS * start))


def export_style(options: NewStyleOptions, run_dir: Path, photo_dir: Path) -> Manifest:
    """Writes the style folder `options.out` from the newest checkpoint of `run_dir`, and prints its files.

    photo_dir: photos for the preview and for the calibration of int8.
    """
    if options.license == "unknown":
        print("The licence is unknown: --license=CC-BY-4.0 or another says what others may do with the style.")
    manifest = export_run(
        ExportOptions(
            run_dir=str(run_dir),
            out=str(options.target),
            calibration_dir=str(photo_dir),
            overwrite=options.overwrite,
            name=options.name,
            description=options.description,
            license=options.license,
            credits=credits_of(options),
            preview_photo=str(_middle(photo_dir)),
        )
    )
    for file in manifest.files:
        print(f"  {file.path:<24} {file.bytes / 1000:>6,.0f} kB")
    return manifest


def credits_of(options: NewStyleOptions) -> str:
    """Returns --credits, or what the licence texts beside the pictures say, and that of the features."""
    if options.credits:
        return options.credits
    told = [
        quote_terms(Path(options.style_dir), "Style pictures"),
        quote_terms(Path(options.photo_dir), "Photos"),
        "Features: VGG-19, Karen Simonyan and Andrew Zisserman, CC BY 4.0.",
    ]
    return " ".join(text for text in told if text)


def evaluate_style(options: NewStyleOptions, config: TrainConfig, run_dir: Path, seconds: float) -> str:
    """Writes evaluation.json and contact_sheet.jpg to the work folder; returns the table and the verdict as text.

    Args:
      options: of the command.
      config: of the training, with its folders.
      run_dir: its folder.
      seconds: that are left; with few, fewer pictures are measured.
    """
    sheet, figures_file = (str(options.work / name) for name in (SHEET_NAME, EVALUATION_NAME))
    judged, count = options.work / "pictures/judged", _EVALUATED if seconds > _HURRY else _SHEET_PHOTOS
    link_judged(Path(config.photo_dir), config.photo_sampling, count, judged)
    found = evaluate(
        EvaluateOptions(
            styles=(str(options.target),),
            photo_dir=str(judged),
            style_dir=config.style_dir,
            limit=count,
            max_side=_SIDE,
            vgg19_weights=options.vgg19_weights,
            features="none",
            clip="",
            rounds=3,
            sheet=sheet,
            sheet_photos=_SHEET_PHOTOS,
            overwrite=True,
        )
    )
    write(found, figures_file, sheet)
    sentences = judge(_figures(found, options, config, run_dir), config)
    paths = (f"contact sheet: {sheet}", f"figures: {figures_file}")
    return "\n".join((table(found), "", *sentences, "", *paths, ""))


def _figures(found: Evaluation, options: NewStyleOptions, config: TrainConfig, run_dir: Path) -> Figures:
    scores, style = found.results[0], found.style
    assert style and scores.ssim is not None and scores.flatness is not None  # what was asked for was measured
    folders = options.work / "pictures/judged", Path(config.style_dir)
    photos, style_pictures = (_some(folder) for folder in folders)
    stylizer = Stylizer.load(options.target)
    results = [stylizer.stylize(photo) for photo in photos]
    int8 = stylizer.manifest.find("tflite", "int8")
    return Figures(
        steps=stylizer.manifest.training_steps,
        style_ratio=scores.style_ratio,
        ssim=scores.ssim,
        flatness=(scores.flatness, found.photos.flatness or 0.0, style.flatness or 0.0),
        color=(mean_color(results), mean_color(photos), mean_color(style_pictures)),
        int8_error=int8.mean_error if int8 else None,
        grid=scores.grid,
        discriminator=discriminator_share(run_dir / "log.txt", config),
    )


def _some(folder: Path) -> list[np.ndarray]:
    return [images.read_thumbnail(path, 256) for path in spread(images.find_images(folder), _SHEET_PHOTOS)]


def _middle(photo_dir: Path) -> Path:
    photos = images.find_images(photo_dir)
    return photos[len(photos) // 2]
