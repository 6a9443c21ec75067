"""Pictures that stand for photos where none are given: as hard to decode as photos, and the same every time."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from animegan_tf import images

COUNT, HEIGHT, WIDTH = 64, 480, 640
_GRAIN = 14.0


def made_picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Returns [height, width, 3] uint8 RGB: areas of colour with hard edges, gradients and grain.

    A JPEG of quality 90 and 640x480 has about 140 kB, as such photos have.
    """
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    areas, light = (
        np.asarray(Image.fromarray(coarse).resize((width, height), kind))
        for kind in (Image.Resampling.NEAREST, Image.Resampling.BICUBIC)
    )
    grain = random.standard_normal((min(height, 512), min(width, 512), 1), np.float32) * _GRAIN
    tiled = np.tile(grain, (-(-height // len(grain)), -(-width // grain.shape[1]), 1))[:height, :width]
    # In place of one float picture more: of 7680x4320 each takes 0.4 GB.
    tiled = tiled + (areas // 2)
    tiled += light // 2
    return tiled.clip(0, 255).astype(np.uint8)


@contextlib.contextmanager
def made_file(height: int, width: int) -> Iterator[Path]:
    """Context with a JPEG of that size in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo.jpg"
        images.write_picture(path, images.Picture(made_picture(height, width)))
        yield path


@contextlib.contextmanager
def made_folder(count: int = COUNT) -> Iterator[Path]:
    """Context with a folder of JPEGs of 640x480."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(count):
            picture = Image.fromarray(made_picture(HEIGHT, WIDTH, number))
            picture.save(folder / f"{number:03d}.jpg", quality=90)
        yield folder
