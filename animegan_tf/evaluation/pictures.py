"""The pictures an evaluation reads: photos, style pictures, and results that were made by whatever program."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from animegan_tf import images
from animegan_tf.data.edges import list_pictures
from animegan_tf.errors import DataError, ImageError


@dataclass(frozen=True)
class Photo:
    """A photo, [H, W, 3] uint8 RGB, and its path below its folder without the suffix."""

    pixels: np.ndarray
    key: str = ""


class Folder:
    """The pictures of a folder, read one by one each time they are gone through; what cannot be read is named once.

    Args:
      folder: searched recursively; `keys` are those of all its pictures.
      flag: the flag that named it.
      limit: at most so many, spread over the folder; 0: all.
      max_side: the long side is reduced to this; 0: as it is.

    Raises:
      DataError: the folder is missing or holds no picture.
    """

    def __init__(self, folder: Path, flag: str, limit: int = 0, max_side: int = 0):
        self.folder, self.flag, self.max_side = folder, flag, max_side
        found = list_pictures(folder, flag)
        self.keys = [path_key(path, folder) for path in found]
        self.files = spread(found, limit)

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[Photo]:
        """Yields the usable pictures with a progress bar. Raises DataError when there is none."""
        found = False
        hidden = not sys.stderr.isatty()
        for path in tqdm(self.files, desc=self.flag, unit="picture", leave=False, disable=hidden):
            try:
                pixels = read(path, self.max_side)
            except ImageError as error:
                tqdm.write(f"skipped: {error}", file=sys.stderr)
                continue
            found = True
            yield Photo(pixels, path_key(path, self.folder))
        if not found:
            raise DataError(f"--{self.flag}={self.folder}: none of its pictures can be used.")

    def sample(self, count: int) -> Iterator[np.ndarray]:
        """Yields up to `count` of its usable pictures, [H, W, 3] uint8 RGB, spread over it."""
        for path in spread(self.files, count):
            with contextlib.suppress(ImageError):  # it was named when the folder was gone through
                yield read(path, self.max_side)


def spread(items: Sequence, limit: int) -> list:
    """Returns at most `limit` of `items` at even distances: the first are often of one place and hour. 0: all."""
    if not limit or limit >= len(items):
        return list(items)
    return [items[number * len(items) // limit] for number in range(limit)]


def read(path: Path, max_side: int = 0) -> np.ndarray:
    """Returns a picture, [H, W, 3] uint8 RGB, its long side reduced to `max_side`.

    Raises:
      ImageError: it cannot be read, or is less than 32 pixels wide or high.
    """
    image = Image.fromarray(images.read_picture(path).pixels)
    if max_side:
        image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    if min(image.size) < images.MINIMUM_SIDE:
        size, needed = f"{image.width}x{image.height}", images.MINIMUM_SIDE
        raise ImageError(f"{path}: {size} is too small to judge; {needed} pixels a side are needed.")
    return np.asarray(image)


def path_key(path: Path, folder: Path) -> str:
    """Returns the path below `folder` without its suffix, with forward slashes."""
    return path.relative_to(folder).with_suffix("").as_posix()


def match_outputs(keys: Sequence[str], folder: Path) -> dict[str, Path]:
    """Returns photo key -> its result below `folder`, for the photos that have one.

    A result has its photo's name, with any suffix, or that and more behind an underscore, as `animegan image` writes
    it: trip/a.png and trip/a_hokusai.jpg for trip/a.jpg. Of photos a and a_b, a_b_hokusai belongs to a_b.

    Raises:
      DataError: the folder is missing, two results are of one photo, or none is of any.
    """
    known, found = set(keys), dict[str, Path]()
    for path in list_pictures(folder, "outputs"):
        key = path_key(path, folder)
        while key not in known and "_" in key.rpartition("/")[2]:
            key = key.rpartition("_")[0]
        if key not in known:
            continue
        if key in found:
            raise DataError(f"--outputs={folder}: {found[key].name} and {path.name} are both named after {key}.")
        found[key] = path
    if not found:
        raise DataError(f"--outputs={folder}: no picture there has the name of a photo.")
    return found


def read_output(path: Path, photo: np.ndarray) -> np.ndarray:
    """Returns a result at the size of its photo, [H, W, 3] uint8 RGB; resized where it has another.

    Raises:
      ImageError: it cannot be read, or shows another section: its proportions differ by more than 2 %.
    """
    pixels = images.read_picture(path).pixels
    if pixels.shape == photo.shape:
        return pixels
    (height, width), (photo_height, photo_width) = pixels.shape[:2], photo.shape[:2]
    if not 0.98 < (width / height) / (photo_width / photo_height) < 1.02:
        raise ImageError(
            f"{path}: {width}x{height} is no picture of the photo's proportions, {photo_width}x{photo_height}."
        )
    return np.asarray(Image.fromarray(pixels).resize((photo_width, photo_height), Image.Resampling.LANCZOS))
