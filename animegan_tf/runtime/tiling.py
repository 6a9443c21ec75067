"""Tiles: a picture of any size, stylized piece by piece in bounded memory.

A network without image-wide norms computes a pixel from its surroundings alone. Given these with every tile, on the
grid of its strides, and at the border of the picture the same padding as the whole picture has, the tiles equal the
picture stylized in one piece. The manifest's `receptive_radius` says how far the surroundings go.

A style that does not say so may normalise over the whole picture; then each tile comes out a little different. Such
tiles overlap by RAMP pixels, over which one fades into the next in a straight line: from one pixel to the next a seam
adds at most 255 / RAMP levels, that is one, however different the tiles are.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from animegan_tf.errors import UsageError
from animegan_tf.images import MINIMUM_SIDE, reflect_indices
from animegan_tf.manifest import Manifest

Tile = int | Literal["auto"] | None
Progress = Callable[[int, int], None]

AUTO_SIDE = 1024
"""Of tiles where none is asked for: with its surroundings such a tile takes the shipped style 0.6 GB."""

AUTO_PIXELS = 2**21
"""Pictures up to this size are stylized in one piece where nothing is asked for: 1920x1080 is one."""

RAMP = 256
# Next to the edge of a tile zero padding shows, and what is computed there is not used.
_EDGE = 16


class Span(NamedTuple):
    """One row or column of tiles, along its axis: what the network is given, and what of its result is used.

    Positions are pixels of the padded picture. weights: [last - first] float32 of a blend; None for equal tiles.
    """

    start: int
    stop: int
    first: int
    last: int
    weights: np.ndarray | None = None


@dataclass(frozen=True)
class Grid:
    """The tiles of a picture of `size` (height, width): rows by columns, top to bottom and left to right.

    rows_at, columns_at: for each position of the padded picture the pixel of the picture that is there.
    """

    size: tuple[int, int]
    rows: tuple[Span, ...]
    columns: tuple[Span, ...]
    rows_at: np.ndarray
    columns_at: np.ndarray

    @property
    def tiles(self) -> int:
        """Number of tiles; 1 is the picture in one piece."""
        return len(self.rows) * len(self.columns)

    @property
    def blended(self) -> bool:
        """Whether the tiles are not known to equal the whole picture, and so fade into each other."""
        return any(span.weights is not None for span in (*self.rows, *self.columns))


def build_grid(manifest: Manifest, size: tuple[int, int], tile: Tile = "auto", pads_itself: bool = False) -> Grid:
    """Returns the tiles of a picture.

    Args:
      manifest: of the style: size_multiple, margin, receptive_radius.
      size: (height, width) of the picture.
      tile: side of the tiles in pixels of the result, rounded up to the style's size_multiple; None for one piece;
        'auto' for tiles of AUTO_SIDE where the picture has more than AUTO_PIXELS.
      pads_itself: the model pads what it is given, as `images.pad_to_multiple` does.

    Raises:
      UsageError: a tile is not at least a pixel.
    """
    if isinstance(tile, str) and tile != "auto" or isinstance(tile, int) and tile < 1:
        raise UsageError(f"tile must be 'auto', None or a whole number of pixels from 1, not {tile!r}.")
    if tile == "auto":
        tile = AUTO_SIDE if math.prod(size) > AUTO_PIXELS else None
    axes = [_axis(manifest, length, tile, pads_itself) for length in size]
    (rows, rows_at), (columns, columns_at) = axes
    return Grid(size, rows, columns, rows_at, columns_at)


def stylize_strips(
    read_rows: Callable[[int, int], np.ndarray],
    grid: Grid,
    stylize: Callable[[np.ndarray], np.ndarray],
    progress: Progress | None = None,
) -> Iterator[np.ndarray]:
    """Returns the stylized picture from top to bottom, strip by strip: [n, W, 3] uint8 each.

    Args:
      read_rows: (first, last) -> those rows of the picture, [last - first, W, 3] uint8 RGB.
      grid: of `build_grid`.
      stylize: the network: [h, w, 3] uint8 RGB -> the same; h and w are multiples of the style's size_multiple.
      progress: called with the number of tiles done and of all.
    """
    pending = np.zeros((0, grid.size[1], 3), np.float32)
    done_tiles = itertools.count(1)

    def counted(window: np.ndarray) -> np.ndarray:
        styled = stylize(window)
        if progress:
            progress(next(done_tiles), grid.tiles)
        return styled

    for number, rows in enumerate(grid.rows):
        strip = _strip(read_rows, grid, rows, counted)
        if not grid.blended:
            yield strip
            continue
        if rows.weights is not None:
            strip *= rows.weights[:, None, None]
        strip[: len(pending)] += pending
        done = grid.rows[number + 1].first - rows.first if number + 1 < len(grid.rows) else len(strip)
        yield np.rint(strip[:done]).astype(np.uint8)
        pending = strip[done:]


def _strip(read_rows: Callable, grid: Grid, rows: Span, stylize: Callable) -> np.ndarray:
    """Returns what one row of tiles makes, [rows.last - rows.first, W, 3]: uint8, or float32 for a blend."""
    wanted = grid.rows_at[rows.start : rows.stop]
    top = int(wanted.min())
    pixels = read_rows(top, int(wanted.max()) + 1)
    size = rows.last - rows.first, grid.size[1], 3
    strip = np.zeros(size, np.float32 if grid.blended else np.uint8)  # untouched, it takes no memory and no time
    left = grid.columns[0].first
    for columns in grid.columns:
        window = _take(_take(pixels, wanted - top, 0), grid.columns_at[columns.start : columns.stop], 1)
        styled = stylize(np.ascontiguousarray(window))
        used = styled[rows.first - rows.start : rows.last - rows.start, columns.first - columns.start :]
        used = used[:, : columns.last - columns.first]
        if len(grid.columns) == 1 and not grid.blended:
            return used  # a copy less, of a frame a hundredth of the time
        place = strip[:, columns.first - left : columns.last - left]
        if columns.weights is None:
            place[:] = used
        else:
            place += used * columns.weights[:, None]
    return strip


def _take(pixels: np.ndarray, indices: np.ndarray, axis: int) -> np.ndarray:
    """Returns np.take(pixels, indices, axis), for indices that run on by one but for turns near their ends."""
    rising = np.diff(indices) == 1
    first = int(rising.argmax()) if rising.size else 0
    last = first + (len(indices) - 1 - first if rising[first:].all() else int(rising[first:].argmin()))
    # Between the turns a view saves a copy, or most of the time: picking pixel by pixel took 5 ms for 1280x720.
    inner = slice(int(indices[first]), int(indices[last]) + 1)
    run = pixels[inner] if axis == 0 else pixels[:, inner]
    if len(indices) == last + 1 - first:
        return run
    ends = np.take(pixels, indices[:first], axis), np.take(pixels, indices[last + 1 :], axis)
    return np.concatenate([ends[0], run, ends[1]], axis)


def _axis(manifest: Manifest, length: int, tile: int | None, pads_itself: bool) -> tuple[tuple[Span, ...], np.ndarray]:
    """Returns the tiles along one axis of `length` pixels, and which pixel of the picture is at each position."""
    multiple, margin = manifest.size_multiple, 0 if pads_itself else manifest.margin
    padded = length if pads_itself else _round_up(max(length + 2 * margin, MINIMUM_SIDE), multiple)
    at = reflect_indices(length, padded, margin)
    if tile is None:
        return (Span(0, padded, margin, margin + length),), at
    side = _round_up(tile, multiple)
    if manifest.receptive_radius is not None:
        ramp, overlap = 0, manifest.receptive_radius
    else:
        ramp = max(1, min(RAMP, side // 3))
        overlap = _EDGE + -(-ramp // 2)
    windows = _windows(padded, side, _round_up(overlap, multiple), multiple)
    spans = tuple(_used(windows, margin, margin + length, ramp))
    return (spans if len(spans) > 1 else (spans[0]._replace(weights=None),)), at


def _windows(length: int, side: int, overlap: int, multiple: int) -> list[tuple[int, int]]:
    """Returns (start, stop) of windows that cover `length` and share 2 x `overlap` or more, all of one size.

    One size, because a runtime plans its memory anew for another; the last may be larger by less than `multiple`.
    """
    window = max(side + 2 * overlap, _round_up(MINIMUM_SIDE, multiple))
    if window + multiple > length:
        return [(0, length)]
    count = -(-(length - window) // side) + 1
    # The smallest window of which as many still suffice.
    window = min(window, _round_up(-(-(length + 2 * overlap * (count - 1)) // count), multiple))
    steps = (length - window) // multiple
    starts = [steps * number // (count - 1) * multiple for number in range(count)]
    return [*((start, start + window) for start in starts[:-1]), (starts[-1], length)]


def _used(windows: list[tuple[int, int]], first: int, last: int, ramp: int) -> Iterator[Span]:
    """Returns the spans that together make [first, last): each up to the middle of what it shares, or ramp/2 more."""
    seams = [(stop + start) // 2 for (_, stop), (start, _) in zip(windows, windows[1:], strict=False)]
    before, after = ramp // 2, ramp - ramp // 2
    for (start, stop), low, high in zip(windows, [None, *seams], [*seams, None], strict=True):
        begin = first if low is None else max(first, low - before)
        end = last if high is None else min(last, high + after)
        if begin >= end:
            continue  # it holds nothing but margin
        weights = np.ones(end - begin, np.float32)
        at = np.arange(begin, end) + 0.5
        if ramp and low is not None:
            weights = np.minimum(weights, (at - (low - before)) / ramp)
        if ramp and high is not None:
            weights = np.minimum(weights, ((high + after) - at) / ramp)
        yield Span(start, stop, begin, end, weights.astype(np.float32) if ramp else None)


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
