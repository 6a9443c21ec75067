"""Batches for training, by tf.data or by NumPy alone: both call samples.py and give the same bits.

A batch is a dict of float32 [B, S, S, 3] in [-1, 1], RGB: 'photo', 'anime', 'anime_gray', 'anime_smooth', and of
those of EXTRAS that a run asks for, all float32:
  label: [B, classes], one-hot, of the anime picture.
  noise: [B, NOISE_SIZE], standard normal.
  face: [B, S, S, 1] in [0, 1], large around the landmarks of a face in the photo, 0 where none is annotated.
  abstraction: [B, S, S, 3] in [-1, 1], RGB, the photo's calm areas and contour lines, see abstraction.py.
  photo_regions: [B, S, S, 3] in [-1, 1], RGB, the photo with every superpixel in its mean colour.
  teacher: [B, S, S, 3] in [-1, 1], RGB, what a teacher makes of the photo.
Batch k holds the samples k * B ... k * B + B - 1 of every stream, so a run resumes at step k by start=k.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from animegan_tf import images
from animegan_tf.data.abstraction import abstract
from animegan_tf.data.augment import Augmentation
from animegan_tf.data.edges import list_pictures
from animegan_tf.data.faces import landmark_map, landmark_path, read_landmarks
from animegan_tf.data.palette import Palette, match_palette
from animegan_tf.data.regions import superpixels
from animegan_tf.data.samples import PictureCache, Stream, StyleSamples
from animegan_tf.data.sampling import class_of, one_hot, photo_frequencies, select_styles
from animegan_tf.errors import AnimeganError, ConfigError, DataError, UnknownNameError

if TYPE_CHECKING:
    import tensorflow as tf

STREAMS = ("photo", "anime", "anime_gray", "anime_smooth")
EXTRAS = ("label", "noise", "face", "abstraction", "photo_regions", "teacher")
NOISE_SIZE = 16
_BATCHES_AHEAD = 2
_PALETTE_CROPS, _SPARSE = 256, 6  # crops of each set, and pixels from one sample of colours to the next

PhotoMap = Callable[[np.ndarray], np.ndarray]
"""[S, S, 3] uint8 RGB -> the same."""


@dataclass
class Samples:
    """The photo stream and the style's streams, read side by side, and the extras that go with a sample.

    extras: which of EXTRAS, in the order of the batch.
    classes: the style's classes in the order of the label; () when the run has none.
    landmark_dir: of 'face'. teacher: of 'teacher', abstraction: of 'abstraction', see build_samples.
    palette: what moves the colours of 'abstraction'; None leaves them, see `match_palette`.
    recolors_first: whether it does so before areas and contours are found, and not afterwards.
    failure: the first error of ours that a sample raised, or None. TensorFlow turns an exception inside a dataset
      into its own, with a stack in place of our sentence: see `user_errors`.
    """

    photo: Stream
    style: StyleSamples
    extras: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    landmark_dir: Path | None = None
    teacher: PhotoMap | None = None
    abstraction: Callable[..., np.ndarray] = abstract
    palette: Palette | None = None
    recolors_first: bool = False
    failure: AnimeganError | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def image_size(self) -> int:
        """Side of every sample in pixels."""
        return self.photo.augmentation.image_size

    @property
    def names(self) -> tuple[str, ...]:
        """What a batch holds, in its order."""
        return STREAMS + self.extras

    def spec(self, name: str) -> tuple[tuple[int, ...], type]:
        """Returns (shape, dtype) of the array `name` of one sample: uint8 for a picture, float32 for the rest."""
        side = self.image_size
        floats = {"label": (len(self.classes),), "noise": (NOISE_SIZE,), "face": (side, side, 1)}
        return (floats[name], np.float32) if name in floats else ((side, side, 3), np.uint8)

    def epoch_steps(self, batch_size: int) -> int:
        """Returns the steps after which the longer stream was seen once: floor(max(photos, styles) / batch)."""
        return max(1, max(len(self.photo), len(self.style)) // batch_size)

    def sample(self, index: int) -> tuple[np.ndarray, ...]:
        """Returns sample `index` of each of `names`, as `spec` says.

        Raises:
          DataError: see Stream and StyleSamples, or landmarks are damaged; also kept in `failure`.
          ConfigError: the teacher returns something else than such a picture; kept too.
        """
        try:
            file, picture = self.photo.source(index)
            photo = self.photo.augmentation(picture, self.photo.rng(index))
            style, style_file = self.style.sample_and_file(index)
            makers: dict[str, Callable[[], np.ndarray]] = {
                "label": lambda: one_hot(class_of(self.style.stream.folder, style_file), self.classes),
                "noise": lambda: self.photo.noise(index, NOISE_SIZE),
                "face": lambda: self._face(index, file, picture),
                "abstraction": lambda: self._abstract(photo),
                "photo_regions": lambda: superpixels(photo),
                "teacher": lambda: self._teach(photo),
            }
            return (photo, *style, *(makers[name]() for name in self.extras))
        except AnimeganError as error:
            with self._lock:
                self.failure = self.failure or error
            raise

    def match_palette(self, strength: float, seed: int, first: bool = False) -> None:
        """Moves the colours of 'abstraction' to the style's from now on, see palette.match_palette.

        Both sets are seen in the crops that training begins with. first: see `recolors_first`.
        """
        self.recolors_first = first
        crops = range(_PALETTE_CROPS)
        photos = (self.photo.sample(index) for index in crops)
        kept = photos if first else map(self.abstraction, photos)
        styles = (self.style.stream.sample(index) for index in crops)
        source, target = (
            np.concatenate([crop[::_SPARSE, ::_SPARSE].reshape(-1, 3) for crop in part]) for part in (kept, styles)
        )
        self.palette = match_palette(source, target, strength, seed)

    def broken(self) -> list[str]:
        """Returns one sentence for each file met so far that could not be read."""
        return [*self.photo.broken.values(), *self.style.stream.broken.values()]

    def _abstract(self, photo: np.ndarray) -> np.ndarray:
        if self.palette is None:
            return self.abstraction(photo)
        if self.recolors_first:
            return self.abstraction(photo, recolored=self.palette(photo))
        return self.palette(self.abstraction(photo))

    def _face(self, index: int, file: Path, picture: np.ndarray) -> np.ndarray:
        assert self.landmark_dir is not None  # _check_extras
        path = landmark_path(file, self.photo.folder, self.landmark_dir)
        if not path.exists():
            return np.zeros(*self.spec("face"))
        weights = landmark_map(read_landmarks(path), *picture.shape[:2])
        weights = self.photo.augmentation.geometry(weights[..., None], self.photo.rng(index))
        return weights.astype(np.float32) / np.float32(255)

    def _teach(self, photo: np.ndarray) -> np.ndarray:
        assert self.teacher is not None  # _check_extras
        taught = self.teacher(photo)
        if taught.shape != photo.shape or taught.dtype != np.uint8:
            raise ConfigError(f"The teacher makes {taught.dtype} {taught.shape} of a uint8 {photo.shape} photo.")
        return taught


def build_samples(
    *,
    photo_dir: Path,
    style_dir: Path,
    smooth_dir: Path | None,
    photo_augmentation: Augmentation,
    style_augmentation: Augmentation,
    seed: int,
    cache_mb: int = 0,
    classes: tuple[str, ...] = (),
    style_sampling: str = "uniform",
    style_weights: Path | None = None,
    smooth_salt: float = 0.0,
    extras: tuple[str, ...] = (),
    landmark_dir: Path | None = None,
    teacher: PhotoMap | None = None,
    abstraction: Callable[..., np.ndarray] = abstract,
    photo_sampling: str = "uniform",
) -> Samples:
    """Returns the samples of a training run. What is not asked for changes no bit of the rest.

    Args:
      photo_dir, style_dir: folders of photos and of style pictures.
      smooth_dir: folder of edge-smoothed copies of the style; None smooths on the fly.
      photo_augmentation, style_augmentation: random changes, to one image_size.
      seed: any integer; with the folders' content and the sample's index it fixes every sample.
      cache_mb: megabytes of decoded pictures kept in memory, over both folders.
      classes: sub-folders of style_dir to use, in the order of the label; (): all of them, sorted, when labels or
        balance need classes, and else every picture in the folder.
      style_sampling: 'uniform': each style picture once an epoch; 'balanced': each class equally often.
      style_weights: CSV file of picture,weight; see sampling.read_weights.
      smooth_salt: share of white specks in 'anime_smooth'.
      extras: which of EXTRAS a batch holds besides STREAMS, in this order.
      landmark_dir: folder of landmark files under the names of the photos; needed by 'face'.
      teacher: makes its picture of a photo for 'teacher'; called by several threads at once.
      abstraction: makes 'abstraction' of a photo: abstraction.abstract with its settings.
      photo_sampling: 'uniform': each photo once an epoch; 'balanced': each sub-folder equally often.

    Raises:
      DataError: a folder is missing, empty, lacks smooth copies, classes or landmarks, or the weights are wrong.
      ConfigError: the image sizes differ, or a value cannot work. UnknownNameError: no such extra or sampling.
    """
    if photo_augmentation.image_size != style_augmentation.image_size:
        raise ConfigError("Photo and style samples must have one image_size.")
    cache = PictureCache(cache_mb * 1_000_000)
    photos = list_pictures(photo_dir, "photo_dir")
    often = photo_frequencies(photo_dir, photos, photo_sampling)
    photo = Stream(photo_dir, "photo_dir", photo_augmentation, seed, "photo", cache, photos, often)
    _check_extras(extras, photo, landmark_dir, teacher)
    chosen = select_styles(
        style_dir,
        list_pictures(style_dir, "style_dir"),
        classes=classes,
        labels="label" in extras,
        sampling=style_sampling,
        weights_file=style_weights,
    )
    style = Stream(style_dir, "style_dir", style_augmentation, seed, "style", cache, chosen.files, chosen.frequencies)
    styles = StyleSamples(style, smooth_dir, smooth_salt)
    return Samples(photo, styles, extras, chosen.classes, landmark_dir, teacher, abstraction)


def array_batches(
    samples: Samples, batch_size: int, start: int = 0, threads: int = 2
) -> Generator[dict[str, np.ndarray], None, None]:
    """Yields batches without end, from batch number `start`, made by `threads` threads; TensorFlow is not needed.

    Close the iterator (or let it go) to stop the threads.

    Raises:
      DataError: as Samples.sample, when the batch is reached.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="samples")
    pending: deque = deque()
    index = start * batch_size
    try:
        while True:
            while len(pending) < batch_size * _BATCHES_AHEAD:
                pending.append(pool.submit(samples.sample, index))
                index += 1
            parts = [pending.popleft().result() for _ in range(batch_size)]
            stacks = [np.stack(arrays) for arrays in zip(*parts, strict=True)]
            yield {name: _to_float(stack) for name, stack in zip(samples.names, stacks, strict=True)}
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def build_dataset(
    samples: Samples, batch_size: int, start: int = 0, parallel: int | None = None, prefetch: int = _BATCHES_AHEAD
) -> tf.data.Dataset:
    """Returns an endless tf.data.Dataset of the batches of `array_batches`, from batch number `start`.

    Iterate it inside `with user_errors(samples):`.

    Args:
      samples: what to read.
      batch_size: B.
      start: first batch; a resumed run passes its step.
      parallel: samples made at the same time; None lets tf.data choose.
      prefetch: batches made ahead.
    """
    import tensorflow as tf

    specs = {name: samples.spec(name) for name in samples.names}
    # As tensors from outside: by a constant TensorFlow may multiply with its inverse, and a bit would differ from
    # images.to_float. Looking the values up in a table takes as long as making the rest of a sample.
    half, one = tf.constant(127.5), tf.constant(1.0)

    def load(index):
        kinds = [tf.as_dtype(kind) for _, kind in specs.values()]
        arrays = tf.numpy_function(lambda i: samples.sample(int(i)), [index], kinds)
        return {name: tf.ensure_shape(array, specs[name][0]) for name, array in zip(specs, arrays, strict=True)}

    def to_float(batch):
        return {
            name: tf.cast(array, tf.float32) / half - one if array.dtype == tf.uint8 else array
            for name, array in batch.items()
        }

    dataset = tf.data.Dataset.counter(start * batch_size)
    dataset = dataset.map(load, num_parallel_calls=parallel or tf.data.AUTOTUNE, deterministic=True)
    return dataset.batch(batch_size, drop_remainder=True).map(to_float).prefetch(prefetch)


@contextlib.contextmanager
def user_errors(samples: Samples) -> Iterator[None]:
    """Context in which an error from reading `samples` comes out as that error, and not as TensorFlow's stack."""
    try:
        yield
    except Exception as error:
        # Only TensorFlow's: reading ahead may have failed while the trainer stopped for a reason of its own.
        if samples.failure is not None and type(error).__module__.partition(".")[0] == "tensorflow":
            raise samples.failure from None
        raise


def _to_float(array: np.ndarray) -> np.ndarray:
    return images.to_float(array) if array.dtype == np.uint8 else array


def _check_extras(extras: tuple[str, ...], photo: Stream, landmark_dir: Path | None, teacher: PhotoMap | None) -> None:
    for name in extras:
        if name not in EXTRAS:
            raise UnknownNameError("extra of a batch", name, EXTRAS)
    if len(set(extras)) < len(extras):
        raise ConfigError(f"The extras of a batch name one twice: {', '.join(extras)}.")
    if "teacher" in extras and teacher is None:
        raise ConfigError("The extra 'teacher' needs a teacher.")
    if "face" not in extras:
        return
    if landmark_dir is None:
        raise ConfigError("--landmark_dir is needed: a folder made by tools/align_faces.py.")
    if not landmark_dir.is_dir():
        raise DataError(f"--landmark_dir={landmark_dir} is not a folder.")
    if not any(landmark_path(file, photo.folder, landmark_dir).exists() for file in photo.files):
        raise DataError(f"--landmark_dir={landmark_dir} holds no landmarks of any picture in {photo.folder}.")
