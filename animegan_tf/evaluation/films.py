"""Flicker: how much a painted film changes where the film itself only moves.

The painted frame before is moved along to where the next frame's pixels came from, and compared with that frame as
painted. For real films the motion is estimated; a film made from a photo has a motion that is known exactly.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from animegan_tf import images
from animegan_tf.data.edges import load_cv2
from animegan_tf.errors import DataError, ImageError, needs_extra
from animegan_tf.native import silent_stderr

SYNTHETIC_FRAMES = 6
SYNTHETIC_SHIFT = (1.3, 0.7)
SYNTHETIC_ZOOM = 0.004

Paint = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Step:
    """A frame, [H, W, 3] uint8 RGB, and where its pixels were in the frame before it.

    origins: [H, W, 2] float, x and y in pixels; None for the first frame. valid: [H, W] bool, pixels that were seen
    before: inside the picture, and not hidden.
    """

    frame: np.ndarray
    origins: np.ndarray | None = None
    valid: np.ndarray | None = None


def warping_errors(steps: Iterable[Step], painters: Mapping[str, Paint]) -> dict[str, float | None]:
    """Returns the warping error of each painter, in levels of 255; None where no pixel was seen twice.

    The root of the mean squared difference over valid pixels and colours, averaged over pairs of frames. The error of
    the film itself (a painter that changes nothing) is what interpolation and wrong motion alone make: compare with it.

    Source: Lai et al. 2018, section 4.2. Differs: the root is taken, so that it reads in levels.

    Args:
      steps: several films may follow each other.
      painters: each [H, W, 3] uint8 RGB -> the same.
    """
    errors: dict[str, list[float]] = {name: [] for name in painters}
    before: dict[str, np.ndarray] = {}
    for step in steps:
        for name, paint in painters.items():
            painted = paint(step.frame).astype(np.float32)
            if step.origins is not None and step.valid is not None and step.valid.any():
                change = (painted - warp(before[name], step.origins))[step.valid]
                errors[name].append(float(np.sqrt(np.square(change).mean())))
            before[name] = painted
    return {name: float(np.mean(values)) if values else None for name, values in errors.items()}


def warp(values: np.ndarray, origins: np.ndarray) -> np.ndarray:
    """Returns [H, W, C]: `values`, [h, w, C] float, at `origins`, [H, W, 2] (x, y), bilinear; its border continues.

    Differs: cv2.remap rounds places to 1/32 pixel.
    """
    height, width = values.shape[:2]
    x = np.clip(origins[..., 0], 0, width - 1)
    y = np.clip(origins[..., 1], 0, height - 1)
    left, top = np.minimum(x.astype(np.int64), width - 2), np.minimum(y.astype(np.int64), height - 2)
    right_share, below_share = ((x - left)[..., None], (y - top)[..., None])
    above = values[top, left] * (1 - right_share) + values[top, left + 1] * right_share
    below = values[top + 1, left] * (1 - right_share) + values[top + 1, left + 1] * right_share
    return above * (1 - below_share) + below * below_share


def synthetic_film(
    photo: np.ndarray,
    frames: int = SYNTHETIC_FRAMES,
    shift: tuple[float, float] = SYNTHETIC_SHIFT,
    zoom: float = SYNTHETIC_ZOOM,
) -> Iterator[Step]:
    """Yields a film made of a photo: the camera pans by `shift` pixels a frame and comes nearer by the share `zoom`.

    Frames are the photo less the margin that the pan needs, sampled by cubic splines: Pillow's and OpenCV's bicubic
    weights do not keep a ramp, which would look like wrong motion.

    Args:
      photo: [H, W, 3] uint8 RGB.
      shift: x and y, at least 0.
    """
    height, width = photo.shape[:2]
    margin = [int(np.ceil((frames - 1) * part)) + 2 for part in shift]
    size = np.array([width - 2 * margin[0], height - 2 * margin[1]])
    if size.min() < 2:
        return
    grid = np.stack(np.meshgrid(np.arange(size[0]), np.arange(size[1])), -1).astype(np.float64)
    place = None
    for number in range(frames):
        # Pixel p of a frame is seen at gain * p + offset of the photo.
        gain = 1 / (1 + zoom * number)
        offset = (np.array([width, height]) - 1) / 2 + number * np.array(shift) - gain * (size - 1) / 2
        origins = None if place is None else (gain * grid + offset - place[1]) / place[0]
        yield Step(_seen(photo, gain, offset, size), origins, None if origins is None else _inside(origins, size))
        place = (gain, offset)


def _seen(photo: np.ndarray, gain: float, offset: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Returns the frame, [size y, size x, 3] uint8, whose pixel p is what `photo` shows at gain * p + offset (x, y)."""
    with needs_extra("scipy", "scipy", "train", "Evaluation"):
        from scipy.ndimage import affine_transform

    place = {"offset": tuple(offset[::-1]), "output_shape": tuple(size[::-1])}
    planes = [
        affine_transform(photo[..., color].astype(np.float64), (gain, gain), **place, order=3, mode="mirror")
        for color in range(3)
    ]
    return np.rint(np.clip(np.stack(planes, -1), 0, 255)).astype(np.uint8)


def estimated_film(frames: Iterable[np.ndarray]) -> Iterator[Step]:
    """Yields `frames`, [H, W, 3] uint8 RGB of one size, with their motion estimated by OpenCV's DIS optical flow.

    A pixel is valid where the motions to and fro cancel out: |f + b|^2 <= 0.01 (|f|^2 + |b|^2) + 0.5.

    Source: Kroeger et al. 2016 (DIS); Sundaram et al. 2010, eq. 5 (the check).
    """
    cv2 = load_cv2("Evaluation")
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    before = None
    for frame in frames:
        gray = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)
        if before is None:
            yield Step(frame)
        else:
            back, forth = flow.calc(gray, before, None), flow.calc(before, gray, None)
            yield Step(frame, *_followed(back, forth))
        before = gray


def read_frames(path: Path, limit: int, max_side: int) -> Iterator[np.ndarray]:
    """Yields up to `limit` frames, [H, W, 3] uint8 RGB, of a video file or of a folder of pictures in their order.

    Args:
      max_side: the long side is reduced to this; 0: as it is.

    Raises:
      DataError: neither such a folder nor a video that OpenCV reads, fewer than two frames, or frames of two sizes.
    """
    frames = _folder_frames(path) if path.is_dir() else _video_frames(path)
    size, count = None, 0
    for frame in itertools.islice(frames, limit):
        if max_side and max(frame.shape[:2]) > max_side:
            image = Image.fromarray(frame)
            image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
            frame = np.asarray(image)
        if size not in (None, frame.shape):
            raise DataError(f"--clip={path}: its frames have several sizes.")
        size, count = frame.shape, count + 1
        yield frame
    if count < 2:
        raise DataError(f"--clip={path} is no folder of pictures and no video with at least two frames.")


def _folder_frames(path: Path) -> Iterator[np.ndarray]:
    for file in images.find_images(path):
        try:
            yield images.read_picture(file).pixels
        except ImageError as error:
            raise DataError(f"--clip={path}: {error}") from None


def _video_frames(path: Path) -> Iterator[np.ndarray]:
    cv2 = load_cv2("Evaluation")
    with silent_stderr():
        video = cv2.VideoCapture(str(path))
    try:
        while True:
            found, frame = video.read()
            if not found:
                return
            yield np.ascontiguousarray(frame[..., ::-1])
    finally:
        video.release()


def _followed(back: np.ndarray, forth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns (origins, valid) of a frame from the flow back to the frame before it and that one's flow forth."""
    height, width = back.shape[:2]
    origins = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1) + back.astype(np.float64)
    returned = warp(forth, origins)
    tolerance = 0.01 * (np.square(back).sum(-1) + np.square(returned).sum(-1)) + 0.5
    agrees = np.square(back + returned).sum(-1) <= tolerance
    return origins, agrees & _inside(origins, np.array([width, height]))


def _inside(origins: np.ndarray, size: np.ndarray) -> np.ndarray:
    return np.all((origins >= 0) & (origins <= size - 1), axis=-1)
