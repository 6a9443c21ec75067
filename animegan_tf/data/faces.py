"""Faces: five landmarks each, the files they are kept in, the map they make for training, and alignment by them.

Coordinates are (x, y) in pixels of the upright picture, measured from the outer corner of its first pixel: a picture
W wide ends at x = W, the centre of its first pixel is 0.5, and mirroring takes x to W - x.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce
from importlib import resources
from pathlib import Path

import numpy as np
from PIL import Image

from animegan_tf import images
from animegan_tf.data.edges import list_pictures
from animegan_tf.errors import DataError, ImageError, UsageError, needs_extra

LANDMARKS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
"""Order of the landmarks everywhere. Left and right are the viewer's: the left eye has the smaller x."""

# ArcFace's mean face (112 px; Deng et al. 2019), made symmetric and scaled to eyes at 37% and 63% of the width and
# 45% of the height. ArcFace's own crop ends at brow and lip; here chin and most of the hair are in the picture.
TEMPLATE = np.array([[0.37, 0.45], [0.63, 0.45], [0.5, 0.599], [0.392, 0.751], [0.608, 0.751]])
"""[5, 2]: where the landmarks of an aligned face are, as fractions of its side."""

_MAP_SIGMA = 0.25
_LEAST_SIGMA = 0.5  # pixels: the eyes of a face in profile may coincide
_DETECTION_SIDE = 1600  # larger photos are searched in a copy of this long side: time and memory
_DETECTION_FACE = 48  # side of the face that MTCNN's last network sees: a copy with smaller ones would lose detail
_PYRAMID_FACE = 20  # the only min_face_size with which mtcnn 1.0 works: with a larger one it misses all faces
_RESAMPLING_REACH = 3  # pixels of the aligned face that Lanczos looks at beyond its border


@dataclass(frozen=True)
class Face:
    """One face as a detector reports it.

    landmarks: [5, 2] float64, x and y in pixels, in the order of LANDMARKS. side: short side of its box in pixels.
    confidence: in [0, 1].
    """

    landmarks: np.ndarray
    side: float
    confidence: float


Detector = Callable[[np.ndarray], list[Face]]
"""[H, W, 3] uint8 RGB -> the faces in it, in any order."""


def landmark_path(photo: Path, photo_dir: Path, landmark_dir: Path) -> Path:
    """Returns where below `landmark_dir` the landmarks of `photo`, a file below `photo_dir`, are kept."""
    return (landmark_dir / photo.relative_to(photo_dir)).with_suffix(".json")


def read_landmarks(path: Path) -> np.ndarray:
    """Returns the landmarks in a file of `write_landmarks`, in a form that fits any resized copy of the picture.

    Returns:
      [5, 2] float32: x as a fraction of the width, y of the height, in the order of LANDMARKS.

    Raises:
      DataError: the file is missing or damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        size = np.array([content["width"], content["height"]], np.float64)
        points = np.array([content["landmarks"][name] for name in LANDMARKS], np.float64)
        if points.shape != (5, 2) or not np.isfinite(points).all() or not (np.isfinite(size) & (size > 0)).all():
            raise ValueError
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from None
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError):
        raise DataError(f"{path}: not a landmark file, or damaged; make it again by tools/align_faces.py.") from None
    return (points / size).astype(np.float32)


def write_landmarks(path: Path, landmarks: np.ndarray, width: int, height: int) -> None:
    """Writes {"width": W, "height": H, "landmarks": {name: [x, y], ...}}, in pixels of the picture they belong to.

    Args:
      path: file to write; its folder is made if needed.
      landmarks: [5, 2] float, x and y in pixels, in the order of LANDMARKS.
      width, height: of the upright picture.

    Raises:
      ImageError: the place cannot be written to.
    """
    points = {name: [round(float(x), 2), round(float(y), 2)] for name, (x, y) in zip(LANDMARKS, landmarks, strict=True)}
    text = json.dumps({"width": int(width), "height": int(height), "landmarks": points})
    images.write_atomic(path, (text + "\n").encode())


def landmark_map(landmarks: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns a picture of the landmarks: 255 at each, falling off as a Gaussian; the largest of the five counts.

    As a picture it can be cropped, mirrored and turned with its photo. Sigma is a quarter of the distance between
    the eyes, so that a spot covers an eye with its lids, or the corner of a mouth.

    Args:
      landmarks: [5, 2] float as of `read_landmarks`: fractions of width and height.
      height, width: of the map, in pixels.

    Returns:
      [height, width] uint8.
    """
    points = np.asarray(landmarks, np.float64) * (width, height)
    sigma = max(_MAP_SIGMA * math.dist(points[0], points[1]), _LEAST_SIGMA)
    across = np.exp(-((np.arange(width) + 0.5 - points[:, :1]) ** 2) / (2 * sigma**2))
    down = np.exp(-((np.arange(height) + 0.5 - points[:, 1:]) ** 2) / (2 * sigma**2))
    return np.rint(255 * reduce(np.maximum, map(np.outer, down, across))).astype(np.uint8)


def align_transform(landmarks_px: np.ndarray, size: int) -> np.ndarray:
    """Returns the similarity (turn, one scale, shift) that brings a face closest to TEMPLATE, in least squares.

    All five points vote: the line between the eyes alone is noise in a face seen from the side. The eyes of a face
    seen from the front come out level.

    Source: Umeyama 1991, in the plane and without mirroring, where it is linear: w = a z + b in complex numbers.

    Args:
      landmarks_px: [5, 2] float, x and y in pixels.
      size: side of the aligned picture.

    Returns:
      [2, 3] float64 that takes (x, y, 1) in pixels of the picture to pixels of the aligned one.

    Raises:
      DataError: the landmarks are one point, or not finite.
    """
    points, target = np.asarray(landmarks_px, np.float64), TEMPLATE * size
    source, wanted = points @ (1, 1j), target @ (1, 1j)
    centred = source - source.mean()
    spread = np.sum(np.abs(centred) ** 2)
    if not 0 < spread < math.inf:
        raise DataError("The five landmarks of a face must be different points: nothing can be aligned by these.")
    factor = np.sum(np.conj(centred) * (wanted - wanted.mean())) / spread
    shift = wanted.mean() - factor * source.mean()
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])


def align_face(pixels: np.ndarray, landmarks_px: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the face turned upright and scaled to `size`, and where its landmarks are now.

    What lies outside of the picture repeats its border: mirrored, a head cut off at the brow would get two more eyes.
    A large face is reduced before it is turned: interpolation alone would leave out pixels.

    Args:
      pixels: [H, W, 3] uint8 RGB.
      landmarks_px: [5, 2] float, x and y in pixels.
      size: side of the result.

    Returns:
      ([size, size, 3] uint8 RGB, [5, 2] float64 in its pixels).

    Raises:
      DataError: as `align_transform`.
    """
    matrix = align_transform(landmarks_px, size)
    back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    scale = math.hypot(matrix[0, 0], matrix[1, 0])
    corners = np.array([[0, 0, 1], [size, 0, 1], [0, size, 1], [size, size, 1]]) @ back[:2].T
    region, start = _region_around(pixels, corners, _RESAMPLING_REACH * max(1.0, 1 / scale))
    whole = np.array(region.size)
    if scale < 1:
        region = region.resize(np.maximum(1, np.rint(whole * scale).astype(int)).tolist(), Image.Resampling.LANCZOS)
    # Pillow wants the way back, from the aligned picture to `region`.
    way = back[:2]
    way[:, 2] -= start
    way *= (np.array(region.size) / whole)[:, None]
    aligned = [_interpolated(plane, way, size) for plane in np.moveaxis(np.asarray(region, np.float32), 2, 0)]
    points = np.asarray(landmarks_px, np.float64)
    return np.rint(np.stack(aligned, axis=-1)).clip(0, 255).astype(np.uint8), points @ matrix[:, :2].T + matrix[:, 2]


def load_detector(min_face_size: int = 40) -> Detector:
    """Returns MTCNN, which finds faces turned by up to about 45 degrees. Its weights come with the package mtcnn.

    Source: Joint face detection and alignment using multi-task cascaded convolutional networks (Zhang et al. 2016).

    Args:
      min_face_size: leave out faces with a smaller box, in pixels. Above 48 the search is faster, too.

    Raises:
      MissingExtraError: mtcnn or TensorFlow is not installed.
    """
    purpose = "Finding faces"
    with needs_extra("mtcnn", "mtcnn", "faces", purpose), needs_extra("tensorflow", "tensorflow", "faces", purpose):
        from mtcnn import MTCNN
        from mtcnn.stages import StageONet, StagePNet, StageRNet

    # Full paths: by name alone, mtcnn unpickles a file of that name in the current directory if there is one.
    folder = Path(str(resources.files("mtcnn"))) / "assets" / "weights"
    kinds = {"pnet": StagePNet, "rnet": StageRNet, "onet": StageONet}
    network = MTCNN(stages=[kind(weights=str(folder / f"{name}.lz4")) for name, kind in kinds.items()])

    def detect(pixels: np.ndarray) -> list[Face]:
        height, width = pixels.shape[:2]
        scale = min(1.0, _DETECTION_FACE / min_face_size, _DETECTION_SIDE / max(height, width))
        small = _reduced(pixels, scale)
        # 16 numbers a face: picture, box (x, y, x, y), confidence, five x, five y. The form with names is rounded.
        rows = network.detect_faces(small, output_type="numpy", box_format="xyxy", min_face_size=_PYRAMID_FACE)
        back = np.array([width / small.shape[1], height / small.shape[0]])
        faces = [Face(r[6:].reshape(2, 5).T * back, float(min((r[3:5] - r[1:3]) * back)), float(r[5])) for r in rows]
        return [face for face in faces if face.side >= min_face_size]

    return detect


@dataclass
class FolderResult:
    """What `align_folder` did.

    faces: files of landmarks written. pictures: in how many pictures. faceless: pictures without a face.
    failed: one sentence for each picture that could not be read, or whose faces could not be written.
    """

    faces: int = 0
    pictures: int = 0
    faceless: list[Path] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def align_folder(
    photo_dir: Path,
    out: Path,
    detect: Detector,
    *,
    size: int | None,
    suffix: str = ".png",
    min_confidence: float = 0.95,
    largest_only: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> FolderResult:
    """Writes the faces of every picture below `photo_dir`, aligned, with the landmarks of each in a file beside it.

    Args:
      photo_dir: folder of pictures.
      out: folder to write to, with the sub-folders of `photo_dir`; made if needed.
      detect: finds faces; see `load_detector`.
      size: side of the aligned faces; None writes no picture, and the landmarks of the original's largest face.
      suffix: of the aligned faces.
      min_confidence: faces of which the detector is less sure do not count.
      largest_only: one face per picture, with the picture's name; otherwise all, largest first, as name_0, name_1 ...
      overwrite: replace files that are there already.
      progress: show a progress bar on stderr.

    Raises:
      DataError: `photo_dir` is missing or holds no picture.
      UsageError: `out` holds files and `overwrite` is off, or aligned faces would be written into `photo_dir`.
    """
    from tqdm import tqdm

    result = FolderResult()
    largest_only = largest_only or size is None
    if size is not None and out.resolve().is_relative_to(photo_dir.resolve()):
        raise UsageError(f"--out={out} lies inside --photo_dir={photo_dir}: the faces would count as photos.")
    plan = _plan_files(photo_dir, out, largest_only, overwrite, result.failed)
    for path, target in tqdm(plan.items(), desc="faces", unit="picture", disable=not progress):
        try:
            picture = images.read_picture(path)
            faces = [face for face in detect(picture.pixels) if face.confidence >= min_confidence]
            faces = sorted(faces, key=lambda face: -face.side)[: 1 if largest_only else None]
            for number, face in enumerate(faces):
                _write_face(target if largest_only else _numbered(target, number), picture, face, size, suffix)
        except ImageError as error:
            result.failed.append(str(error))
            continue
        result.faces += len(faces)
        result.pictures += bool(faces)
        result.faceless += [] if faces else [path]
    return result


def _plan_files(photo_dir: Path, out: Path, largest_only: bool, overwrite: bool, failed: list[str]) -> dict[Path, Path]:
    plan: dict[Path, Path] = {}
    owners: dict[Path, Path] = {}
    for path in list_pictures(photo_dir, "photo_dir"):
        target = landmark_path(path, photo_dir, out)
        if target in owners:
            failed.append(f"{path}: its faces would have the names of those of {owners[target].name}; rename one.")
        else:
            plan[path], owners[target] = target, path
    firsts = [target if largest_only else _numbered(target, 0) for target in plan.values()]
    existing = [first.name for first in firsts if first.exists()]
    if existing and not overwrite:
        raise UsageError(f"--out={out} holds {existing[0]} already: pass --overwrite to replace what is there.")
    return plan


def _numbered(target: Path, number: int) -> Path:
    return target.with_name(f"{target.stem}_{number}{target.suffix}")


def _write_face(target: Path, picture: images.Picture, face: Face, size: int | None, suffix: str) -> None:
    if size is None:
        height, width = picture.pixels.shape[:2]
        write_landmarks(target, face.landmarks, width, height)
        return
    pixels, landmarks = align_face(picture.pixels, face.landmarks, size)
    # No EXIF: its thumbnail and place belong to the whole photo.
    images.write_picture(target.with_suffix(suffix), images.Picture(pixels, icc_profile=picture.icc_profile))
    write_landmarks(target, landmarks, size, size)


def _region_around(pixels: np.ndarray, corners: np.ndarray, reach: float) -> tuple[Image.Image, np.ndarray]:
    """Returns the upright rectangle around `corners` ([n, 2], x and y), `reach` wider, and where it starts: (x, y)."""
    left, top = start = np.floor(corners.min(axis=0) - reach).astype(int)
    right, bottom = np.ceil(corners.max(axis=0) + reach).astype(int)
    rows = np.arange(top, bottom).clip(0, pixels.shape[0] - 1)
    columns = np.arange(left, right).clip(0, pixels.shape[1] - 1)
    return Image.fromarray(pixels[rows][:, columns]), start


def _interpolated(plane: np.ndarray, way: np.ndarray, size: int) -> np.ndarray:
    """Returns [size, size] float32 from `plane`, float32: Pillow would round bytes down, half a level too dark."""
    image, kind = Image.fromarray(plane), Image.Transform.AFFINE
    return np.asarray(image.transform((size, size), kind, tuple(way.ravel()), Image.Resampling.BICUBIC))


def _reduced(pixels: np.ndarray, scale: float) -> np.ndarray:
    if scale == 1:
        return pixels
    height, width = pixels.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0))
