"""Any training sample of any stream, from the seed and the sample's index alone.

No state is carried from sample to sample: every order of reading, any number of threads, TensorFlow or not, and a
run resumed in the middle all see the same pictures.
"""

from __future__ import annotations

import itertools
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from animegan_tf import images
from animegan_tf.data.augment import Augmentation
from animegan_tf.data.edges import add_salt, list_pictures, load_cv2, smooth_edges, smooth_path, to_gray
from animegan_tf.data.sampling import Frequencies
from animegan_tf.errors import ConfigError, DataError, ImageError

_Read = TypeVar("_Read")
_ORDER, _CHANGES, _SALT, _NOISE = range(4)  # keep the uses of one (seed, name, number) apart
_ORDERS_KEPT = 3  # reading ahead straddles the end of an epoch
_ASPECT_TOLERANCE = 0.02


class PictureCache:
    """Decoded pictures in memory, up to a number of bytes; threads may share it.

    What came first stays: in a random walk through all files, each once per epoch, a fixed part hits as often as
    its share of the files, while 'least recently used' would hit never.
    """

    def __init__(self, limit_bytes: int):
        self._free = limit_bytes
        self._pictures: dict[tuple[Path, int], np.ndarray] = {}
        self._lock = threading.Lock()

    def read(self, path: Path, short_side: int) -> np.ndarray:
        """Returns images.read_thumbnail(path, short_side), from memory if it is there."""
        key = (path, short_side)
        picture = self._pictures.get(key)
        if picture is not None:
            return picture
        picture = images.read_thumbnail(path, short_side)
        picture.flags.writeable = False  # a sample may be a view of it
        with self._lock:
            if key not in self._pictures and picture.nbytes <= self._free:
                self._free -= picture.nbytes
                self._pictures[key] = picture
        return picture


class Stream:
    """An endless, shuffled sequence of samples from the pictures below one folder.

    An epoch has len(stream) samples: every picture once, or as `frequencies` say. `broken` maps each file that could
    not be read, once it was met, to the sentence that says why; the next picture of the shuffle stands in for it.

    Args:
      folder: folder of pictures; sub-folders count.
      flag: the flag that named the folder, without dashes, for messages: 'photo_dir'.
      augmentation: makes a sample of a picture.
      seed: any integer.
      name: tells streams of one seed apart: each has its own shuffle and its own draws.
      cache: keeps decoded pictures; None decodes every time.
      files: the pictures of the folder to use; None uses all.
      frequencies: how often each of `files` comes.

    Raises:
      DataError: the folder is missing or holds no picture.
    """

    def __init__(
        self,
        folder: Path,
        flag: str,
        augmentation: Augmentation,
        seed: int,
        name: str,
        cache: PictureCache | None = None,
        files: list[Path] | None = None,
        frequencies: Frequencies | None = None,
    ):
        self.folder, self.flag, self.augmentation = Path(folder), flag, augmentation
        self.files = list_pictures(self.folder, flag) if files is None else files
        self.broken: dict[Path, str] = {}
        self._key = [seed % 2**64, zlib.crc32(name.encode())]
        self._cache = cache or PictureCache(0)
        self._frequencies = frequencies
        self._orders: dict[int, np.ndarray] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.files)

    def sample(self, index: int) -> np.ndarray:
        """Returns sample number `index` (from 0, endless): [S, S, 3] uint8 RGB.

        Raises:
          DataError: no picture of the folder can be read.
        """
        return self.augmentation(self.source(index)[1], self.rng(index))

    def source(self, index: int) -> tuple[Path, np.ndarray]:
        """Returns the file that sample `index` is really made of, and its picture as `read` gives it.

        Raises:
          DataError: as `sample`.
        """
        return self.first_readable(index, lambda path: (path, self.read(path)))

    def rng(self, index: int) -> np.random.Generator:
        """Returns a fresh generator of the random changes of sample `index`; two of them draw the same."""
        return self._generator(_CHANGES, index)

    def salt_rng(self, index: int) -> np.random.Generator:
        """Returns a fresh generator of the salt on sample `index`."""
        return self._generator(_SALT, index)

    def noise(self, index: int, length: int) -> np.ndarray:
        """Returns [length] float32, standard normal, that goes with sample `index`."""
        return self._generator(_NOISE, index).standard_normal(length, np.float32)

    def read(self, path: Path) -> np.ndarray:
        """Returns a picture, reduced to what the smallest crop needs: [H, W, 3] uint8 RGB.

        Raises:
          ImageError: the file cannot be read.
        """
        return self._cache.read(path, self.augmentation.decode_side)

    def first_readable(self, index: int, read: Callable[[Path], _Read]) -> _Read:
        """Returns read(file) of sample `index`, or of the next file in the shuffle for which `read` succeeds.

        Raises:
          DataError: `read` raises ImageError for every file.
        """
        epoch, position = divmod(index, len(self))
        order = self._order(epoch)
        # An epoch by frequencies may lack files: they come last, so that no readable one is passed over.
        for number in itertools.chain(order[position:], order[:position], range(len(self))):
            path = self.files[number]
            if path in self.broken:
                continue
            try:
                return read(path)
            except ImageError as error:
                self.mark_broken(path, str(error))
        reason = next(iter(self.broken.values()))
        raise DataError(f"--{self.flag}={self.folder}: none of its pictures can be read; the first: {reason}")

    def mark_broken(self, path: Path, reason: str) -> None:
        """Leaves `path` out from now on; only the first reason is kept."""
        with self._lock:
            self.broken.setdefault(path, reason)

    def _generator(self, use: int, number: int) -> np.random.Generator:
        return np.random.default_rng([*self._key, use, number])

    def _order(self, epoch: int) -> np.ndarray:
        with self._lock:
            if epoch not in self._orders:
                while len(self._orders) >= _ORDERS_KEPT:
                    del self._orders[next(iter(self._orders))]
                rng = self._generator(_ORDER, epoch)
                frequencies = self._frequencies
                self._orders[epoch] = rng.permutation(len(self)) if frequencies is None else frequencies.order(rng)
            return self._orders[epoch]


class StyleSamples:
    """Samples of a style in the three forms the discriminator sees: in colour, in grey, in grey with smooth edges.

    Differs: the published loaders shuffle the smooth pictures on their own; here they are the same crop of the same
    picture as the anime sample, so that the discriminator can tell the two apart by nothing but the edges.

    Args:
      stream: the style pictures.
      smooth_dir: folder written by tools/smooth_edges.py; None smooths each sample as it is made. Smoothing to files
        saves time only; its --size should be the stream's `augmentation.decode_side`.
      salt: share of white specks in the smooth sample, see edges.add_salt.

    Raises:
      DataError: `smooth_dir` lacks the copy of a readable picture, or two pictures would share one copy.
      ConfigError: `salt` is not between 0 and 1.
      UsageError: `smooth_dir` is None and OpenCV is missing.
    """

    def __init__(self, stream: Stream, smooth_dir: Path | None = None, salt: float = 0.0):
        if not 0 <= salt <= 1:
            raise ConfigError(f"smooth_salt={salt} must be between 0 and 1.")
        self.stream, self.salt = stream, salt
        self.smooth_dir = None if smooth_dir is None else Path(smooth_dir)
        self._copies: dict[Path, Path] = {}
        if self.smooth_dir is None:
            load_cv2()  # fail now and not in a worker thread
        else:
            self._copies = _pair_copies(stream, self.smooth_dir)

    def __len__(self) -> int:
        return len(self.stream)

    def sample(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns (anime, anime_gray, anime_smooth) of sample `index`: each [S, S, 3] uint8, RGB, grey, grey.

        Raises:
          DataError: no picture can be read, or a smooth copy is missing or has another shape.
        """
        return self.sample_and_file(index)[0]

    def sample_and_file(self, index: int) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], Path]:
        """Returns (`sample(index)`, the style picture that it is really made of).

        Raises:
          DataError: as `sample`.
        """
        augmentation, stream = self.stream.augmentation, self.stream
        path, picture, copy = stream.first_readable(index, self._read_pair)
        anime = augmentation(picture, stream.rng(index))
        smooth = smooth_edges(anime) if copy is None else augmentation(copy, stream.rng(index))
        salted = add_salt(smooth, stream.salt_rng(index), share=self.salt)
        return (anime, to_gray(anime), to_gray(salted)), path

    def _read_pair(self, path: Path) -> tuple[Path, np.ndarray, np.ndarray | None]:
        picture = self.stream.read(path)
        if self.smooth_dir is None:
            return path, picture, None
        copy_path = self._copies[path]
        copy = self.stream.read(copy_path)
        aspect = (copy.shape[0] * picture.shape[1]) / (copy.shape[1] * picture.shape[0])
        if abs(aspect - 1) > _ASPECT_TOLERANCE:
            raise DataError(f"{copy_path} has other proportions than {path}: make it again by tools/smooth_edges.py.")
        return path, picture, copy


def _pair_copies(stream: Stream, smooth_dir: Path) -> dict[Path, Path]:
    """Returns style file -> smooth file; a style file without one must be unreadable, and is marked as such."""
    by_stem = {path.with_suffix(""): path for path in list_pictures(smooth_dir, "smooth_dir")}
    copies: dict[Path, Path] = {}
    owners: dict[Path, Path] = {}
    for path in stream.files:
        stem = smooth_path(path, stream.folder, smooth_dir).with_suffix("")
        if stem in owners:
            raise DataError(f"{owners[stem]} and {path} would share one picture in --smooth_dir: rename one.")
        owners[stem] = path
        if stem in by_stem:
            copies[path] = by_stem[stem]
            continue
        try:
            stream.read(path)
        except ImageError as error:
            stream.mark_broken(path, str(error))
        else:
            raise DataError(f"--smooth_dir={smooth_dir} has no copy of {path}: make it by tools/smooth_edges.py.")
    return copies
