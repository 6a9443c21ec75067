"""Edge smoothing: the fourth stream, which teaches the discriminator that blurred outlines are not anime."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from animegan_tf import images
from animegan_tf.errors import DataError, ImageError, MissingExtraError, UsageError

# OpenCV's fixed-point weights of cv2.cvtColor(..., COLOR_RGB2GRAY), 15 bits: 0.299, 0.587, 0.114.
_GRAY_WEIGHTS = np.array([9798, 19235, 3735], np.float32) / np.float32(1 << 15)


def load_cv2(purpose: str = "Edge smoothing"):
    """Returns the module cv2; imported on first use, since only training needs it, for the `purpose` in the message.

    Raises:
      UsageError: OpenCV is not installed (MissingExtraError), or its system libraries are not.
    """
    try:
        import cv2
    except ModuleNotFoundError:
        raise MissingExtraError("opencv-python", "train", purpose) from None
    except ImportError as error:  # a shared library such as libGL.so.1, absent from most server images
        raise UsageError(
            f"{purpose} cannot load OpenCV ({error}): apt-get install libgl1 libglib2.0-0, "
            "or replace the package opencv-python by opencv-python-headless."
        ) from None
    return cv2


def to_gray(image: np.ndarray) -> np.ndarray:
    """Returns the luma of `image` exactly as cv2.cvtColor rounds it, in three equal channels.

    Args:
      image: [H, W, 3] uint8 RGB.

    Returns:
      [H, W, 3] uint8.
    """
    # Exact: 23 bits hold every product and sum of them.
    luma = (image.reshape(-1, 3).astype(np.float32) @ _GRAY_WEIGHTS + np.float32(0.5)).astype(np.uint8)
    return np.repeat(luma, 3).reshape(image.shape)


def smooth_edges(
    image: np.ndarray,
    *,
    canny_low: int = 100,
    canny_high: int = 200,
    dilate: int = 5,
    kernel: int = 5,
) -> np.ndarray:
    """Returns `image` blurred on and beside its edges, and unchanged everywhere else.

    The blur is a few pixels wide, so it must happen at the resolution the network sees: smoothed at 1080 lines
    and reduced to 256 afterwards, the outlines would be as sharp as before.

    Source: CartoonGAN (Chen et al. 2018), section 3.2; AnimeGAN tools/edge_smooth.py.
    Differs: no resize to 256 x 256 in here; averages are rounded to the nearest level, the script truncates them.

    Args:
      image: [H, W, 3] uint8 RGB.
      canny_low: lower hysteresis threshold of Canny's edge detector, on grey levels.
      canny_high: upper threshold.
      dilate: side of the square by which edges are widened, in pixels.
      kernel: side of the Gaussian, odd. For 5 OpenCV takes the binomial (1, 4, 6, 4, 1) / 16.

    Returns:
      [H, W, 3] uint8 RGB.
    """
    cv2 = load_cv2()
    image = np.ascontiguousarray(image)  # OpenCV takes no view with negative strides, such as a flipped picture
    edges = cv2.Canny(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), canny_low, canny_high)
    near_edge = cv2.dilate(edges, np.ones((dilate, dilate), np.uint8))
    # On bytes GaussianBlur is fixed-point and bit-exact everywhere; sepFilter2D rounds halves differently by column.
    blurred = cv2.GaussianBlur(image, (kernel, kernel), 0, borderType=cv2.BORDER_REFLECT_101)
    return cv2.copyTo(blurred, near_edge, image.copy())  # np.where takes as long as all the rest


def add_salt(image: np.ndarray, rng: np.random.Generator, *, share: float) -> np.ndarray:
    """Returns a copy of `image` with white pixels strewn over it; the border of one pixel stays.

    Source: AnimeGANv3's Shinkai training, whose smooth pictures carry 10% of salt: a discriminator that calls them
    fake teaches the generator to leave no specks.

    Args:
      image: [H, W, 3] uint8, at least 3 x 3.
      rng: source of the places; one place may be drawn twice.
      share: number of draws as a fraction of H * W.

    Returns:
      [H, W, 3] uint8; `image` itself when no pixel is drawn.
    """
    height, width = image.shape[:2]
    count = round(share * height * width)
    if not count:
        return image
    salted = image.copy()
    salted[rng.integers(1, height - 1, count), rng.integers(1, width - 1, count)] = 255
    return salted


def smooth_folder(
    source: Path, target: Path, *, size: int | None, overwrite: bool, progress: bool
) -> tuple[list[Path], list[str]]:
    """Writes the edge-smoothed copy of every picture below `source` to `target`, under the same relative names.

    The copies are PNG whatever the source is: JPEG would ring at just the edges that were smoothed.

    Args:
      source: folder of style pictures.
      target: folder to write to; made if needed.
      size: pictures with a longer short side are reduced to it before smoothing, in proportion; None leaves them.
      overwrite: replace files that are there already.
      progress: show a progress bar on stderr.

    Returns:
      (the files written, one sentence for each picture that could not be).

    Raises:
      DataError: `source` is missing or holds no picture.
      UsageError: `target` lies inside `source`, or holds files and `overwrite` is off, or OpenCV is missing.
    """
    load_cv2()
    plan, failed = _plan_copies(source, target, overwrite)
    written = []
    for path, copy in _with_progress(plan.items(), "smoothing", progress):
        try:
            picture = images.read_thumbnail(path, size) if size else images.read_picture(path).pixels
            images.write_picture(copy, images.Picture(smooth_edges(picture)))
            written.append(copy)
        except ImageError as error:
            failed.append(str(error))
    return written, failed


def smooth_path(path: Path, source: Path, target: Path) -> Path:
    """Returns where below `target` the smoothed copy of `path`, a file below `source`, is written."""
    return (target / path.relative_to(source)).with_suffix(".png")


def list_pictures(folder: Path, flag: str) -> list[Path]:
    """Returns the pictures below `folder`, sorted, at least one.

    Args:
      folder: any folder; sub-folders count.
      flag: the flag that named it, without dashes, for the message.

    Raises:
      DataError: the folder is missing or holds no picture.
    """
    if not folder.exists():
        raise DataError(f"--{flag}={folder} does not exist.")
    if not folder.is_dir():
        raise DataError(f"--{flag}={folder} is not a folder.")
    found = images.find_images(folder)
    if not found:
        kinds = ", ".join(suffix[1:] for suffix in images.IMAGE_SUFFIXES)
        raise DataError(f"--{flag}={folder} holds no picture ({kinds}).")
    return found


def _plan_copies(source: Path, target: Path, overwrite: bool) -> tuple[dict[Path, Path], list[str]]:
    files = list_pictures(source, "style_dir")
    if target.resolve().is_relative_to(source.resolve()):
        raise UsageError(f"--out={target} lies inside --style_dir={source}: the copies would count as style pictures.")
    plan: dict[Path, Path] = {}
    owners: dict[Path, Path] = {}
    clashes: list[str] = []
    for path in files:
        copy = smooth_path(path, source, target)
        if copy in owners:
            clashes.append(f"{path}: its copy would have the name of the one of {owners[copy].name}; rename one.")
        else:
            plan[path], owners[copy] = copy, path
    existing = [copy for copy in plan.values() if copy.exists()]
    if existing and not overwrite:
        raise UsageError(f"--out={target} holds {existing[0].name} already: pass --overwrite to replace what is there.")
    return plan, clashes


def _with_progress(items, label: str, progress: bool):
    if not progress:
        return items
    from tqdm import tqdm

    return tqdm(items, desc=label, unit="picture")
