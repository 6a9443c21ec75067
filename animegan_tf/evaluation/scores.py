"""What is found: a Tally gathers a set of pictures one by one, Scores are its figures, an Evaluation is the table."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import fmean

import numpy as np

from animegan_tf.evaluation import gradients
from animegan_tf.evaluation.cost import Cost
from animegan_tf.evaluation.distributions import frechet_distance, kernel_distance
from animegan_tf.evaluation.grid import grid_strength
from animegan_tf.evaluation.metrics import CONTENT_LAYER, MeanGrams, content_distance, psnr, ssim, style_distance
from animegan_tf.evaluation.networks import Networks, Views


@dataclass(frozen=True)
class Scores:
    """The figures of one set of pictures; None where one does not apply. docs/evaluation.md says how each is measured.

    Against the photos, means over pairs: psnr (dB), ssim, edge_correlation, content_distance; and as whole sets:
    fid_photo, kid_photo. Against the style set: style_distance, style_ratio (its share of the photos' own), fid_style,
    kid_style, gradient_distance (levels). Of the pictures themselves: flatness, flatness_native, strong_edges (shares
    of pixels), mean_gradient, grid (levels). Of a film: warping_error (levels).
    """

    name: str
    pictures: int
    psnr: float | None = None
    ssim: float | None = None
    edge_correlation: float | None = None
    content_distance: float | None = None
    fid_photo: float | None = None
    kid_photo: float | None = None
    style_distance: float | None = None
    style_ratio: float | None = None
    fid_style: float | None = None
    kid_style: float | None = None
    gradient_distance: float | None = None
    flatness: float | None = None
    flatness_native: float | None = None
    strong_edges: float | None = None
    mean_gradient: float | None = None
    grid: float | None = None
    warping_error: float | None = None
    cost: Cost | None = None


@dataclass(frozen=True)
class Evaluation:
    """The scores of photos, style set and results; what was measured with; what a reader must know besides.

    style: None without style pictures. settings: 'features', 'backend', 'threads' ... -> value. sheet: the contact
    sheet, [H, W, 3] uint8 RGB, or None.
    """

    photos: Scores
    style: Scores | None
    results: tuple[Scores, ...]
    settings: dict[str, str | int | float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    sheet: np.ndarray | None = None

    @property
    def columns(self) -> list[Scores]:
        """All scores: the photos', the style set's, the results'."""
        return [self.photos, *([self.style] if self.style else []), *self.results]


@dataclass(frozen=True)
class View:
    """A picture, [H, W, 3] uint8 RGB, with all that is measured on it."""

    pixels: np.ndarray
    seen: Views
    gradients: np.ndarray


class Tally:
    """What is gathered of a set of pictures. Holds a feature vector of each and sums, never the pictures."""

    def __init__(self, networks: Networks):
        self.networks = networks
        self.count = 0
        self.grams = MeanGrams()
        self.gradients = gradients.GradientHistogram()
        self.vectors: list[np.ndarray] = []
        self._pairs: dict[str, list[float]] = {}
        self._native = 0.0
        self._grids: list[float] = []

    def add(self, pixels: np.ndarray, photo: View | None = None) -> View:
        """Adds a picture, [H, W, 3] uint8 RGB, as the result of `photo` where it is one; returns its view."""
        view = View(pixels, self.networks.look(pixels), gradients.reduced_gradients(pixels))
        self.count += 1
        self.grams.add(view.seen.layers)
        self.gradients.add(view.gradients)
        self._native += gradients.native_flatness(pixels)
        grid = grid_strength(pixels)
        if grid is not None:
            self._grids.append(grid)
        if view.seen.vector is not None:
            self.vectors.append(view.seen.vector)
        if photo:
            for name, value in _compare(photo, view).items():
                self._pairs.setdefault(name, []).append(value)
        return view

    def scores(self, name: str, photos: Tally | None = None, style: Tally | None = None) -> Scores:
        """Returns the scores of these pictures, which are results where `photos` is given.

        Args:
          name: heads the column.
          photos: theirs.
          style: the style set's, to compare with.
        """
        found: dict[str, float | None] = {key: fmean(values) for key, values in self._pairs.items()}
        found |= {"flatness": self.gradients.flatness, "strong_edges": self.gradients.strong}
        found |= {"mean_gradient": self.gradients.mean, "flatness_native": self._native / self.count}
        found["grid"] = fmean(self._grids) if self._grids else None
        if photos:
            found |= self._apart(photos, "photo")
        if style:
            found |= self._apart(style, "style")
            found["gradient_distance"] = self.gradients.distance(style.gradients)
            if style.grams.mean():
                found["style_distance"] = apart = style_distance(self.grams, style.grams)
                own = style_distance(photos.grams, style.grams) if photos else 0.0
                found["style_ratio"] = apart / own if own else None
        return Scores(name, self.count, **found)  # type: ignore[arg-type]

    def _apart(self, other: Tally, name: str) -> dict[str, float | None]:
        if min(len(self.vectors), len(other.vectors)) < 2:
            return {}
        pair = np.stack(self.vectors), np.stack(other.vectors)
        return {f"fid_{name}": frechet_distance(*pair), f"kid_{name}": kernel_distance(*pair)}


def _compare(photo: View, result: View) -> dict[str, float]:
    found = {"psnr": psnr(photo.pixels, result.pixels), "ssim": ssim(photo.pixels, result.pixels)}
    correlation = gradients.edge_correlation(photo.gradients, result.gradients)
    if correlation is not None:
        found["edge_correlation"] = correlation
    if CONTENT_LAYER in photo.seen.layers:
        pair = photo.seen.layers[CONTENT_LAYER], result.seen.layers[CONTENT_LAYER]
        found["content_distance"] = content_distance(*pair)
    return found
