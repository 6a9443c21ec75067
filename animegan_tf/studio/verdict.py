"""The verdict on a new style in words: what its figures mean, and which flag to try next."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from animegan_tf.config import TrainConfig

STYLE_RATIO, STYLE_RATIO_FAIR = 0.45, 0.6
SSIM = 0.6
INT8_ERROR = 0.012
GRID = 0.15
_SSIM_TO_SPARE = 0.7
_FEW_STEPS = 1000
_KEPT_FLATNESS, _KEPT_COLOR, _GRAYER = 0.7, 0.6, 0.8
_LOSING = 0.1
_TAIL = 0.2  # of the log: how training ended
# The loss of a discriminator that says of all pictures the same, what costs it least.
_UNDECIDED = {"lsgan": 0.25, "lsgan_soft": 0.16, "hinge": 1.0, "vanilla": 0.693}


@dataclass(frozen=True)
class Figures:
    """What a verdict is made of; None where it was not measured.

    steps: of the training. style_ratio: style distance of the results as a share of the photos' own.
    ssim: of the luminance of photo and result.
    flatness, color: of (results, photos, style pictures): share of flat pixels; mean of `colorfulness`.
    int8_error: mean error of the int8 file in [-1, 1]. grid: in calm areas, levels, see evaluation.grid.
    discriminator: its loss on style pictures and results at the end, as a share of that of one that cannot tell them
    apart.
    """

    steps: int
    style_ratio: float | None
    ssim: float
    flatness: tuple[float, float, float]
    color: tuple[float, float, float]
    int8_error: float | None = None
    grid: float | None = None
    discriminator: float | None = None


def judge(figures: Figures, config: TrainConfig) -> list[str]:
    """Returns the verdict, a sentence for each thing worth saying; advice names flags and values to try."""
    found = [_style(figures, config), _content(figures, config), _calm(figures, config), _colors(figures, config)]
    found += [_grid(figures, config), _judged(figures, config), _small(figures)]
    return [sentence for sentence in found if sentence]


def colorfulness(pixels: np.ndarray) -> float:
    """Returns the mean difference between the largest and the smallest of a pixel's RGB values, 0 (grey) to 255.

    Args:
      pixels: [H, W, 3] uint8 RGB.
    """
    return float((pixels.max(-1).astype(float) - pixels.min(-1)).mean())


def discriminator_share(log: Path, config: TrainConfig) -> float | None:
    """Returns `Figures.discriminator` from the end of a run's log.txt; None where there is no such thing.

    0 says that it tells all pictures apart, so that the generator learns nothing from it, and 1 that it tells none.
    """
    undecided = _UNDECIDED.get(config.adversarial_loss)
    multipliers = config.discriminator_anime_weight + config.discriminator_stylized_weight
    if not config.adversarial or undecided is None or not multipliers or not log.is_file():
        return None
    lines = log.read_text(encoding="utf-8").splitlines()
    both = [_values(line) for line in lines if "loss/d/stylized=" in line]
    if not both:
        return None
    last = both[-max(1, int(_TAIL * len(both))) :]
    return fmean(sum(values) for values in last) / (config.discriminator_weight * multipliers * undecided)


def _values(line: str) -> list[float]:
    return [float(text) for text in re.findall(r"loss/d/(?:anime|stylized)=(\S+)", line)]


def _style(figures: Figures, config: TrainConfig) -> str:
    ratio = figures.style_ratio
    if ratio is None:
        return ""
    told = f"its distance to the style pictures is {ratio:.2f} of the photos' own"
    if ratio <= STYLE_RATIO:
        return f"The style is strong: {told}."
    how = "could be stronger" if ratio <= STYLE_RATIO_FAIR else "is weak"
    return f"The style {how}: {told} ({STYLE_RATIO} is good). {_stronger(figures, config)}"


def _stronger(figures: Figures, config: TrainConfig) -> str:
    if figures.steps < _FEW_STEPS:
        return f"{figures.steps} steps are few: give it more --minutes."
    if figures.ssim < _SSIM_TO_SPARE:
        return "Give it more --minutes, or style pictures that are more alike: no content is left to trade for it."
    return f"Try {_try('gram_weight', config, 1.6)}, or more --minutes."


def _content(figures: Figures, config: TrainConfig) -> str:
    told = f"luminance SSIM to the photo {figures.ssim:.2f}"
    if figures.ssim >= SSIM:
        return f"The content is kept: {told}."
    holding = "likeness_weight" if config.likeness_weight else "content_weight"
    return (
        f"The content suffers: {told} ({SSIM} is good). "
        f"Try {_try(holding, config, 1.5, start=1.0)}, or {_try('gram_weight', config, 0.7)}."
    )


def _calm(figures: Figures, config: TrainConfig) -> str:
    result, photos, style = figures.flatness
    if result >= _KEPT_FLATNESS * min(photos, style):
        return ""
    return (
        f"Calm areas are restless: {result:.2f} of the pixels are flat, of the photos' {photos:.2f} and of the "
        f"style's {style:.2f}. Try {_try('flat_weight', config, 1.6, start=4.0)} "
        f"or {_try('tv_weight', config, 2.0, start=0.3)}."
    )


def _colors(figures: Figures, config: TrainConfig) -> str:
    result, photos, style = figures.color
    if result < _KEPT_COLOR * min(photos, style):
        return (
            f"The colours die: their strength is {result:.0f}, the photos' {photos:.0f} and the style's {style:.0f}. "
            f"Try {_try('chroma_weight', config, 2.0, start=3.0)}, and leave pictures without colour out of the style."
        )
    if style > photos and result < _GRAYER * photos:
        return (
            f"The colours are paler than the photos' ({result:.0f} against {photos:.0f}) though the style's are "
            f"stronger ({style:.0f}). Try {_try('gram_weight', config, 1.6)}."
        )
    return ""


def _grid(figures: Figures, config: TrainConfig) -> str:
    if figures.grid is None or figures.grid <= GRID:
        return ""
    return (
        f"A grid of dots lies over calm areas: {figures.grid:.2f} levels ({GRID} is good). "
        f"Try {_try('grid_weight', config, 2.0, start=60.0)} or {_try('gram_weight', config, 0.5)}."
    )


def _judged(figures: Figures, config: TrainConfig) -> str:
    if figures.discriminator is None or figures.discriminator >= _LOSING:
        return ""
    return (
        f"The discriminator won: its loss is {figures.discriminator:.2f} of an undecided one's, so it teaches little. "
        f"Try {_try('discriminator_lr', config, 0.25)} or {_try('adversarial_weight', config, 0.5)}."
    )


def _small(figures: Figures) -> str:
    if figures.int8_error is None or figures.int8_error <= INT8_ERROR:
        return ""
    return (
        f"The int8 file differs from the others by {figures.int8_error:.3f} on average ({INT8_ERROR} is good): "
        "look for bands in its skies, or use float16."
    )


def _try(name: str, config: TrainConfig, factor: float, start: float = 0.0) -> str:
    """Returns '--name=value': the recipe's value times `factor`, or `start` where that is 0."""
    return f"--{name}={float(f'{getattr(config, name) * factor or start:.2g}'):g}"


def mean_color(pictures: Sequence[np.ndarray]) -> float:
    """Returns the mean `colorfulness` of pictures, 0 for none."""
    return fmean(colorfulness(pixels) for pixels in pictures) if pictures else 0.0
