"""Evaluates styles and folders of results: `evaluate` for folders named by options, `measure` for arrays.

evaluation = evaluate(EvaluateOptions(styles=("out/mine",), photo_dir="photos", style_dir="prints"))
evaluation.results[0].style_ratio
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from animegan_tf import images
from animegan_tf.errors import ConfigError, DataError, ImageError
from animegan_tf.evaluation import films, report
from animegan_tf.evaluation.cost import Cost, count_macs, file_sizes, measure_latency
from animegan_tf.evaluation.networks import FEATURES, Networks, load_networks
from animegan_tf.evaluation.pictures import Folder, Photo, match_outputs, read_output, spread
from animegan_tf.evaluation.scores import Evaluation, Tally
from animegan_tf.manifest import read_manifest
from animegan_tf.options import check_bounds, option
from animegan_tf.runtime.backends import find_file
from animegan_tf.runtime.looks import Look, parse_label
from animegan_tf.runtime.stylizer import Stylizer, find_style

SYNTHETIC = "synthetic"
_SYNTHETIC_PHOTOS = 3


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """Options of an evaluation; see options.option. Raises ConfigError for what cannot work."""

    styles: tuple[str, ...] = option((), "style folders and names of shipped styles", "what")
    outputs: tuple[str, ...] = option((), "folders of results under the photos' names, of whatever program", "what")
    photo_dir: str = option("", "folder of photos, searched recursively", "what")
    style_dir: str = option("", "folder of style pictures; empty: nothing is compared with a style", "what")
    label: tuple[str, ...] = option((), "which style, of those that hold several; a blend: a:0.7,b:0.3", "what")
    style_image: str = option("", "style picture, for styles that follow one", "what")
    limit: int = option(0, "at most so many pictures of each folder, spread over it; 0: all", "what", low=0)
    max_side: int = option(0, "reduce the long side of pictures to this first, in px; 0: full size", "what", low=0)
    vgg19_weights: str = option(
        "imagenet", "imagenet (downloaded by Keras), an .npz or .h5 file, random (for tests), or none", "measures"
    )
    features: str = option(
        "auto", "of FID and KID; auto: InceptionV3 if Keras has or gets it, else VGG19", "measures", choices=FEATURES
    )
    clip: str = option(
        SYNTHETIC, "video, or folder of frames, for the warping error; synthetic: moved photos; empty: none", "measures"
    )
    clip_frames: int = option(24, "at most so many frames of --clip, from its start", "measures", low=2)
    backend: str = option("tflite", "runs the styles", "running", choices=("tflite", "onnx", "saved_model"))
    precision: str = option("", "of the style's file; empty: float32 where there is one", "running")
    threads: int = option(0, "CPU threads; 0: all", "running", low=0)
    rounds: int = option(9, "timed passes for the latency; 0: none", "running", low=0)
    json: str = option("", "file to write the figures to; empty: none", "results")
    sheet: str = option("", "picture file for the contact sheet; empty: none", "results")
    sheet_photos: int = option(6, "photos on the contact sheet, spread over the folder", "results", low=1)
    overwrite: bool = option(False, "replace --json and --sheet where they exist", "results")

    def __post_init__(self) -> None:
        check_bounds(self)
        if not self.styles and not self.outputs:
            raise ConfigError("--styles or --outputs is needed.")
        if not self.photo_dir:
            raise ConfigError("--photo_dir is needed.")
        if 0 < self.max_side < images.MINIMUM_SIDE:
            raise ConfigError(f"--max_side={self.max_side} is below {images.MINIMUM_SIDE}, the least that is judged.")
        if self.sheet and Path(self.sheet).suffix.lower() not in images.IMAGE_SUFFIXES:
            raise ConfigError(f"--sheet={self.sheet} must end in one of {', '.join(images.IMAGE_SUFFIXES)}.")
        for name in ("json", "sheet"):
            if getattr(self, name) and Path(getattr(self, name)).exists() and not self.overwrite:
                raise ConfigError(f"--{name}={getattr(self, name)} exists already: --overwrite replaces it.")


@dataclass(frozen=True)
class Candidate:
    """Something that makes results of photos.

    paint: a photo -> its result, [H, W, 3] uint8 RGB of its size, or None where it has none. films: whether it paints
    any picture, so that it can paint a film. cost: of a style.
    """

    name: str
    paint: Callable[[Photo], np.ndarray | None]
    films: bool = False
    cost: Cost | None = None


def evaluate(options: EvaluateOptions) -> Evaluation:
    """Returns the scores of every style and every folder of results on the same photos; writes nothing.

    Raises:
      AnimeganError: one sentence. Single pictures that cannot be read are skipped and named on stderr.
    """
    _check_choices(options)  # what is misspelt is said before anything is loaded
    if options.clip not in ("", SYNTHETIC) and not Path(options.clip).exists():
        raise DataError(f"--clip={options.clip} does not exist.")
    photos = Folder(Path(options.photo_dir), "photo_dir", options.limit, options.max_side)
    style = None
    if options.style_dir:
        style = Folder(Path(options.style_dir), "style_dir", options.limit, options.max_side)
    outputs = [_outputs_candidate(name, photos) for name in options.outputs]
    networks = load_networks(options.vgg19_weights, options.features)
    hidden = not sys.stderr.isatty()
    styles = [_style_candidate(name, options) for name in tqdm(options.styles, "styles", leave=False, disable=hidden)]
    candidates = _with_own_names([*styles, *outputs], (*options.styles, *options.outputs))
    found = measure(candidates, photos, style, networks, sheet_photos=options.sheet_photos if options.sheet else 0)
    errors = films.warping_errors(_film(options, photos), _film_painters(candidates)) if options.clip else {}
    settings: dict[str, str | int | float] = {
        "backend": options.backend,
        "precision": options.precision,
        "threads": options.threads or os.cpu_count() or 1,
        "max_side": options.max_side,
        "clip": options.clip,
    }
    return replace(
        found,
        photos=replace(found.photos, warping_error=errors.get("")),
        results=tuple(replace(scores, warping_error=errors.get(scores.name)) for scores in found.results),
        settings=found.settings | settings,
    )


def measure(
    candidates: Sequence[Candidate],
    photos: Iterable[Photo],
    style: Iterable[Photo] | None,
    networks: Networks,
    *,
    sheet_photos: int = 0,
) -> Evaluation:
    """Returns the scores of `candidates` on pictures, each of which is looked at once and not kept.

    Args:
      candidates: of different names.
      photos, style: at least one picture each; `style` None: nothing is compared with a style.
      networks: see networks.load_networks.
      sheet_photos: rows of the contact sheet, which needs `photos` to have a length; 0: no sheet.
    """
    target = None if style is None else _tally(style, networks)
    own, results = Tally(networks), {candidate.name: Tally(networks) for candidate in candidates}
    shown = set(spread(range(len(photos)), sheet_photos)) if sheet_photos else set()  # type: ignore[arg-type]
    rows = []
    for number, photo in enumerate(photos):
        view = own.add(photo.pixels)
        painted = {candidate.name: candidate.paint(photo) for candidate in candidates}
        for name, pixels in painted.items():
            if pixels is not None:
                results[name].add(pixels, view)
        if number in shown:
            rows.append([report.thumbnail(pixels) for pixels in (photo.pixels, *painted.values())])
    for name, tally in results.items():
        if not tally.count:
            raise DataError(f"{name}: none of its results can be used.")
    return Evaluation(
        photos=own.scores("photos", style=target),
        style=target.scores("style set") if target else None,
        results=tuple(replace(results[c.name].scores(c.name, own, target), cost=c.cost) for c in candidates),
        settings={"features": networks.features},
        notes=tuple(_notes(own, target, results, networks)),
        sheet=report.contact_sheet(["photo", *results], rows) if rows else None,
    )


def _check_choices(options: EvaluateOptions) -> None:
    manifests = [read_manifest(find_style(name)) for name in options.styles]
    if options.label and not any(manifest.classes for manifest in manifests):
        raise ConfigError("--label is for a style that holds several, and none of --styles does.")
    if options.style_image and not any(find_file(options.backend, m, role="style_encoder") for m in manifests):
        raise ConfigError("--style_image is for a style that follows a style picture, and none of --styles does.")


def _tally(pictures: Iterable[Photo], networks: Networks) -> Tally:
    tally = Tally(networks)
    for picture in pictures:
        tally.add(picture.pixels)
    return tally


def _style_candidate(style: str, options: EvaluateOptions) -> Candidate:
    stylizer = Stylizer.load(style, options.backend, options.precision or None, options.threads or None)
    label = parse_label(",".join(options.label)) if options.label and stylizer.classes else None
    code = stylizer.encode(options.style_image) if options.style_image and stylizer.encodes_style else None
    look = stylizer.look(label, code)
    manifest = stylizer.manifest
    latency = measure_latency(lambda pixels: stylizer.stylize(pixels, look), options.rounds) if options.rounds else None
    cost = Cost(manifest.parameters, count_macs(find_style(style), manifest), file_sizes(manifest), latency)
    return Candidate(look.name, _painter(stylizer, look), films=True, cost=cost)


def _painter(stylizer: Stylizer, look: Look) -> Callable[[Photo], np.ndarray]:
    return lambda photo: stylizer.stylize(photo.pixels, look)


def _outputs_candidate(folder: str, photos: Folder) -> Candidate:
    files = match_outputs(photos.keys, Path(folder))

    def paint(photo: Photo) -> np.ndarray | None:
        if photo.key not in files:
            return None
        try:
            return read_output(files[photo.key], photo.pixels)
        except ImageError as error:
            tqdm.write(f"skipped: {error}", file=sys.stderr)
            return None

    return Candidate(Path(folder).resolve().name, paint)


def _with_own_names(candidates: Sequence[Candidate], given: Sequence[str]) -> list[Candidate]:
    """Returns `candidates`; those whose name another one has are called as they were given."""
    names = [candidate.name for candidate in candidates]
    if len(set(given)) < len(given):
        raise ConfigError("--styles and --outputs must name each style and folder once.")
    return [
        replace(candidate, name=text) if names.count(candidate.name) > 1 else candidate
        for candidate, text in zip(candidates, given, strict=True)
    ]


def _film(options: EvaluateOptions, photos: Folder) -> Iterator[films.Step]:
    """Yields the frames of --clip, or of several films made of photos, with a progress bar."""
    steps: Iterator[films.Step]
    if options.clip == SYNTHETIC:
        steps = (step for pixels in photos.sample(_SYNTHETIC_PHOTOS) for step in films.synthetic_film(pixels))
        total = films.SYNTHETIC_FRAMES * min(_SYNTHETIC_PHOTOS, len(photos))
    else:
        steps = films.estimated_film(films.read_frames(Path(options.clip), options.clip_frames, options.max_side))
        total = options.clip_frames
    yield from tqdm(steps, "clip", total, leave=False, unit="frame", disable=not sys.stderr.isatty())


def _film_painters(candidates: Sequence[Candidate]) -> dict[str, films.Paint]:
    """Returns name -> painter of frames; "" is the film itself."""

    def of(candidate: Candidate) -> films.Paint:
        def paint(frame: np.ndarray) -> np.ndarray:
            painted = candidate.paint(Photo(frame))
            assert painted is not None
            return painted

        return paint

    return {"": lambda frame: frame} | {c.name: of(c) for c in candidates if c.films}


def _notes(own: Tally, target: Tally | None, results: dict[str, Tally], networks: Networks) -> Iterator[str]:
    yield f"FID and KID by {networks.features}." if networks.features else "No FID and KID: no network for them."
    for name, tally in results.items():
        if tally.count < own.count:
            yield f"{name} has results of {tally.count} of the {own.count} photos."
    sets = [tally for tally in (own, target) if tally and tally.vectors]
    size = len(own.vectors[0]) if own.vectors else 0
    few = [tally.count for tally in sets if tally.count <= size]
    if few:
        yield (
            f"FID is biased upwards by few pictures ({min(few)} for {size} features): compare it within this table; "
            "KID is not biased."
        )
