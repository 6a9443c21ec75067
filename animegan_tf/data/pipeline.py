"""Batches for training, by tf.data or by NumPy alone: both call samples.py and give the same bits.

A batch is a dict of float32 [B, S, S, 3] in [-1, 1], RGB: 'photo', 'anime', 'anime_gray', 'anime_smooth'.
Batch k holds the samples k * B ... k * B + B - 1 of every stream, so a run resumes at step k by start=k.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from animegan_tf import images
from animegan_tf.data.augment import Augmentation
from animegan_tf.data.samples import PictureCache, Stream, StyleSamples
from animegan_tf.errors import AnimeganError, ConfigError

if TYPE_CHECKING:
    import tensorflow as tf

STREAMS = ("photo", "anime", "anime_gray", "anime_smooth")
_BATCHES_AHEAD = 2


@dataclass
class Samples:
    """The photo stream and the style's streams, read side by side.

    failure: the first error of ours that a sample raised, or None. TensorFlow turns an exception inside a dataset
      into its own, with a stack in place of our sentence: see `user_errors`.
    """

    photo: Stream
    style: StyleSamples
    failure: AnimeganError | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def image_size(self) -> int:
        """Side of every sample in pixels."""
        return self.photo.augmentation.image_size

    def epoch_steps(self, batch_size: int) -> int:
        """Returns the steps after which the longer stream was seen once: floor(max(photos, styles) / batch)."""
        return max(1, max(len(self.photo), len(self.style)) // batch_size)

    def sample(self, index: int) -> tuple[np.ndarray, ...]:
        """Returns sample `index` of each of STREAMS: uint8 RGB [S, S, 3].

        Raises:
          DataError: see Stream and StyleSamples; also kept in `failure`.
        """
        try:
            return (self.photo.sample(index), *self.style.sample(index))
        except AnimeganError as error:
            with self._lock:
                self.failure = self.failure or error
            raise

    def broken(self) -> list[str]:
        """Returns one sentence for each file met so far that could not be read."""
        return [*self.photo.broken.values(), *self.style.stream.broken.values()]


def build_samples(
    *,
    photo_dir: Path,
    style_dir: Path,
    smooth_dir: Path | None,
    photo_augmentation: Augmentation,
    style_augmentation: Augmentation,
    seed: int,
    cache_mb: int = 0,
) -> Samples:
    """Returns the samples of a training run.

    Args:
      photo_dir: folder of photos.
      style_dir: folder of style pictures.
      smooth_dir: folder of their edge-smoothed copies; None smooths on the fly.
      photo_augmentation: random changes of photos.
      style_augmentation: random changes of style pictures; same image_size.
      seed: any integer; with the folders' content and the sample's index it fixes every sample.
      cache_mb: megabytes of decoded pictures kept in memory, over both folders.

    Raises:
      DataError: a folder is missing, empty, or lacks smooth copies.
      ConfigError: the image sizes differ.
    """
    if photo_augmentation.image_size != style_augmentation.image_size:
        raise ConfigError("Photo and style samples must have one image_size.")
    cache = PictureCache(cache_mb * 1_000_000)
    photo = Stream(photo_dir, "photo_dir", photo_augmentation, seed, "photo", cache)
    style = Stream(style_dir, "style_dir", style_augmentation, seed, "style", cache)
    return Samples(photo, StyleSamples(style, smooth_dir))


def array_batches(
    samples: Samples, batch_size: int, start: int = 0, threads: int = 2
) -> Iterator[dict[str, np.ndarray]]:
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
            stacks = zip(*parts, strict=True)
            yield {name: images.to_float(np.stack(stack)) for name, stack in zip(STREAMS, stacks, strict=True)}
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

    shape = (samples.image_size, samples.image_size, 3)
    # A table and not x / 127.5 - 1: TensorFlow may rewrite the division, and a bit would differ from images.to_float.
    levels = tf.constant(images.to_float(np.arange(256, dtype=np.uint8)))

    def load(index):
        arrays = tf.numpy_function(lambda i: samples.sample(int(i)), [index], [tf.uint8] * len(STREAMS))
        return {name: tf.ensure_shape(array, shape) for name, array in zip(STREAMS, arrays, strict=True)}

    def to_float(batch):
        return {name: tf.gather(levels, tf.cast(array, tf.int32)) for name, array in batch.items()}

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
