"""The plot of a benchmark: a bar for each network and runtime, milliseconds on a logarithmic axis."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from animegan_tf.benchmark.report import three_digits

_COLOURS = {"style": "#2f6fb0", "system": "#8a9aa8", "published": "#c8743a"}
_MEANING = {"style": "shipped", "system": "other networks of this package", "published": "published by others"}
_LEFT, _WIDTH, _RIGHT = 430, 620, 110
_TOP, _BAR, _STEP, _BOTTOM = 92, 16, 24, 44
_INK, _GRID = "#222222", "#dddddd"


class _Axis(NamedTuple):
    """A logarithmic axis over whole decades: 10^first to 10^last ms."""

    first: int
    last: int

    def at(self, milliseconds: float) -> float:
        """Returns the place in the picture."""
        return _LEFT + _WIDTH * (math.log10(milliseconds) - self.first) / (self.last - self.first)


def draw_plot(part: dict, size: str) -> np.ndarray:
    """Returns the plot of one size of the section runtimes, [H, W, 3] uint8 RGB: bars to the median, lines between
    the quartiles, the fastest on top.

    Args:
      part: what `runtimes.measure_size` returns, with at least one row.
      size: for the title.
    """
    rows = sorted(part["rows"], key=lambda row: row["ms"]["median"])
    axis = _axis(min(row["ms"]["low"] for row in rows), max(row["ms"]["high"] for row in rows))
    bottom = _TOP + _STEP * len(rows)
    plot = Image.new("RGB", (_LEFT + _WIDTH + _RIGHT, bottom + _BOTTOM), "white")
    draw = ImageDraw.Draw(plot)
    title = f"{size if 'x' in size else f'{size}x{size}'} picture, uint8 array in and out: milliseconds (median)"
    draw.text((16, 14), title, _INK, ImageFont.load_default(22))
    _draw_legend(draw, [kind for kind in _COLOURS if any(row["kind"] == kind for row in rows)])
    _draw_grid(draw, axis, bottom)
    for number, row in enumerate(rows):
        _draw_bar(draw, axis, _TOP + _STEP * number, row)
    return np.asarray(plot)


def _axis(least: float, most: float) -> _Axis:
    first = math.floor(math.log10(least))
    return _Axis(first, max(math.ceil(math.log10(most)), first + 1))


def _draw_legend(draw: ImageDraw.ImageDraw, kinds: list[str]) -> None:
    left, font = 16.0, ImageFont.load_default(15)
    for kind in kinds:
        draw.rectangle((left, 54, left + 14, 68), _COLOURS[kind])
        draw.text((left + 22, 61), _MEANING[kind], _INK, font, anchor="lm")
        left += 50 + font.getlength(_MEANING[kind])


def _draw_grid(draw: ImageDraw.ImageDraw, axis: _Axis, bottom: int) -> None:
    font = ImageFont.load_default(14)
    for power in range(axis.first, axis.last + 1):
        place = axis.at(10**power)
        draw.line((place, _TOP - 6, place, bottom + 4), _GRID, 1)
        draw.text((place, bottom + 10), f"{10**power:,g}", _INK, font, anchor="mt")


def _draw_bar(draw: ImageDraw.ImageDraw, axis: _Axis, top: int, row: dict) -> None:
    font, found = ImageFont.load_default(15), row["ms"]
    middle, end = top + _BAR / 2, axis.at(found["median"])
    draw.text((_LEFT - 10, middle), f"{row['network']}, {row['runtime']}", _INK, font, anchor="rm")
    draw.rectangle((_LEFT, top, max(end, _LEFT + 1), top + _BAR), _COLOURS[row["kind"]])
    low, high = axis.at(found["low"]), axis.at(found["high"])
    draw.line((low, middle, high, middle), _INK, 2)
    draw.text((max(end, high) + 8, middle), three_digits(found["median"]), _INK, font, anchor="lm")
