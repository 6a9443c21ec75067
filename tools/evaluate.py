"""Compares styles on a folder of photos: what is kept of the photo, and how near the results are to style pictures.

python tools/evaluate.py --styles=hokusai,out/mine --photo_dir=PHOTOS --style_dir=STYLE --vgg19_weights=vgg19.npz
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
from PIL import Image
from tqdm import tqdm

from animegan_tf import images
from animegan_tf.apps.look import parse_label
from animegan_tf.data.edges import list_pictures
from animegan_tf.errors import ConfigError, DataError, ImageError
from animegan_tf.evaluation.metrics import STYLE_LAYERS, MeanGrams, psnr, ssim, style_distance
from animegan_tf.native import load_tensorflow
from animegan_tf.options import check_bounds, option, run_program
from animegan_tf.runtime.looks import Look
from animegan_tf.runtime.stylizer import Stylizer

PURPOSE = "Compares styles by PSNR and SSIM between photo and result, and by their distance to style pictures."


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """Options of this tool; see options.option."""

    styles: tuple[str, ...] = option((), "style folders and names of shipped styles", "evaluation")
    photo_dir: str = option("", "folder of photos, searched recursively", "evaluation")
    style_dir: str = option("", "folder of style pictures; empty: no style distance", "evaluation")
    vgg19_weights: str = option(
        "imagenet", "imagenet (downloaded by Keras), an .npz or .h5 file, or random (for tests)", "evaluation"
    )
    label: str = option("", "which style, of those that hold several; a blend: a:0.7,b:0.3", "evaluation")
    style_image: str = option("", "style picture, for styles that follow one", "evaluation")
    backend: str = option("tflite", "runs the styles", "evaluation", choices=("tflite", "onnx", "saved_model"))
    limit: int = option(0, "at most so many pictures of each folder, spread over it; 0: all", "evaluation", low=0)
    max_side: int = option(512, "shrink the long side to this first, in px", "evaluation", low=images.MINIMUM_SIDE)
    json: str = option("", "file to write the table to, as JSON; empty: none", "evaluation")

    def __post_init__(self) -> None:
        check_bounds(self)
        if not self.styles or not self.photo_dir:
            raise ConfigError("--styles and --photo_dir are needed.")


@dataclass(frozen=True)
class Row:
    """One line of the table: means over `pictures` photos. The last two are None without style pictures.

    style_ratio: the style distance of the results as a share of the photos' own.
    """

    style: str
    parameters: int
    pictures: int
    psnr: float
    ssim: float
    style_distance: float | None = None
    style_ratio: float | None = None


def evaluate(options: EvaluateOptions) -> list[Row]:
    """Returns a row for each style; all of them see the same photos. Raises an AnimeganError, one sentence."""
    loaded = {style: _load(style, options) for style in options.styles}
    target = _style_grams(options) if options.style_dir else None
    kept: dict[str, list] = {style: [] for style in loaded}
    grams = {style: MeanGrams(target.features) for style in (*loaded, "")} if target else {}  # "": the photos'
    for photo in _pictures("photo_dir", options):
        results = {style: stylizer.stylize(photo, look) for style, (stylizer, look) in loaded.items()}
        for style, stylized in results.items():
            kept[style].append((psnr(photo, stylized), ssim(photo, stylized)))
        for style, mean in grams.items():
            mean.add(results.get(style, photo))
    distances = {style: style_distance(mean, target) for style, mean in grams.items() if target}
    rows = []
    for style, (stylizer, _) in loaded.items():
        means = (fmean(values) for values in zip(*kept[style], strict=True))
        near = (distances[style], distances[style] / distances[""]) if target else ()
        rows.append(Row(style, stylizer.manifest.parameters, len(kept[style]), *means, *near))
    return rows


def _load(style: str, options: EvaluateOptions) -> tuple[Stylizer, Look]:
    stylizer = Stylizer.load(style, options.backend)
    label = parse_label(options.label) if options.label and stylizer.classes else None
    code = stylizer.encode(options.style_image) if options.style_image and stylizer.encodes_style else None
    return stylizer, stylizer.look(label, code)


def _style_grams(options: EvaluateOptions) -> MeanGrams:
    load_tensorflow("The style distance")
    from animegan_tf.models.vgg19 import build_vgg19

    grams = MeanGrams(build_vgg19(STYLE_LAYERS, options.vgg19_weights))
    for picture in _pictures("style_dir", options):
        grams.add(picture)
    return grams


def _pictures(flag: str, options: EvaluateOptions) -> Iterator[np.ndarray]:
    """Yields the readable pictures of a folder, [H, W, 3] uint8 RGB, with a progress bar; names the others."""
    folder, limit, found = getattr(options, flag), options.limit, False
    files = list_pictures(Path(folder), flag)
    if limit:  # spread: the first files are often of one place and hour
        files = files[:: max(1, len(files) // limit)][:limit]
    for path in tqdm(files, desc=flag, unit="picture", leave=False, disable=not sys.stderr.isatty()):
        try:
            picture = _read(path, options.max_side)
        except ImageError as error:
            tqdm.write(f"skipped: {error}", file=sys.stderr)
            continue
        found = True
        yield picture
    if not found:
        raise DataError(f"--{flag}={folder}: none of its pictures can be used.")


def _read(path: Path, max_side: int) -> np.ndarray:
    image = Image.fromarray(images.read_picture(path).pixels)
    image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    if min(image.size) < images.MINIMUM_SIDE:
        size, needed = f"{image.width}x{image.height}", images.MINIMUM_SIDE
        raise ImageError(f"{path}: {size} is too small to judge; {needed} pixels a side are needed.")
    return np.asarray(image)


def main(options: EvaluateOptions) -> None:
    """Prints the table, and writes it where --json says so."""
    rows = evaluate(options)
    wide = max(5, *(len(row.style) for row in rows))
    print(f"{'style':<{wide}}{'parameters':>12}{'PSNR dB':>9}{'SSIM':>8}{'style distance':>16}{'ratio to photos':>17}")
    for row in rows:
        near = "".join(
            f"{'-' if value is None else f'{value:.3f}':>{width}}"
            for value, width in ((row.style_distance, 16), (row.style_ratio, 17))
        )
        print(f"{row.style:<{wide}}{row.parameters:>12,}{row.psnr:>9.2f}{row.ssim:>8.4f}{near}")
    print(f"means of {rows[0].pictures} photos")
    if options.json:
        text = json.dumps([asdict(row) for row in rows], indent=2, ensure_ascii=False)
        images.write_atomic(Path(options.json), f"{text}\n".encode())


if __name__ == "__main__":
    sys.exit(run_program(EvaluateOptions, main, program="evaluate", purpose=PURPOSE))
