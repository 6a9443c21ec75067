"""Pictures on disk and in memory: the only place of the pixel convention.

Outside the networks a picture is uint8 RGB [H, W, 3] in [0, 255]; inside it is float32 RGB in [-1, 1],
x = uint8 / 127.5 - 1. Everything that reads or writes a picture file goes through here, so that EXIF
orientation, grey, palette, CMYK and 16-bit pictures, size limits and safe writing are handled once.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image

from animegan_tf.errors import ImageError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff")
MAX_PIXELS = 100_000_000
"""Pictures with more pixels are refused before decoding: 100 megapixels already need 0.3 GB as uint8."""

MINIMUM_SIDE = 32
"""Smaller pictures are padded to this before a network: image-wide statistics and deep strides need some pixels."""

JPEG_QUALITY = 95
_ORIENTATION = ExifTags.Base.Orientation
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_JPEG_EXIF_LIMIT = 65533
_MOST_PIXELS_A_SIDE = {".jpg": 65500, ".jpeg": 65500, ".webp": 16383, ".gif": 65535}
# A TIFF file has its EXIF tags among those that say how its pixels lie, and Pillow cannot write the blocks below.
_TIFF_TAGS = ("ImageDescription", "Make", "Model", "Software", "DateTime", "Artist", "Copyright")
# Of an MPO, a photo with a preview or a depth map behind it, nobody misses the rest.
_OF_MANY_FRAMES = ("GIF", "PNG", "TIFF", "WEBP")
# Decoders are named because Pillow also opens formats that start other programs (EPS runs Ghostscript).
_DECODERS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF")
_SUFFIX_OF_FORMAT = {"JPEG": ".jpg", "MPO": ".jpg", "WEBP": ".webp", "TIFF": ".tif"}
_OPEN_LOCK = threading.Lock()
_LOGGER = logging.getLogger(__name__)


class Header(NamedTuple):
    """What the first bytes of a picture file say; format: Pillow's name, 'PNG'."""

    format: str
    width: int
    height: int


@dataclass
class Picture:
    """A decoded picture and what must survive a round trip to disk.

    pixels: [H, W, 3] uint8 RGB, upright. alpha: [H, W] uint8 or None.
    icc_profile, exif: the raw blocks of the source file (orientation already applied and removed) or None.
    suffix: of the format to encode it in again, the source's own; '.png' for GIF and for what never was a file.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    icc_profile: bytes | None = None
    exif: bytes | None = None
    suffix: str = ".png"


def to_float(pixels: np.ndarray) -> np.ndarray:
    """Returns `pixels` (any shape, uint8) as float32 in [-1, 1]."""
    return pixels.astype(np.float32) / np.float32(127.5) - np.float32(1.0)


def to_uint8(values: np.ndarray) -> np.ndarray:
    """Returns `values` (any shape, float in [-1, 1], clipped) as uint8, rounded to the nearest level.

    Differs: the published scripts truncate, which darkens by half a level.
    """
    return np.rint(np.clip((values + 1.0) * 127.5, 0.0, 255.0)).astype(np.uint8)


def blend(photo: np.ndarray, styled: np.ndarray, strength: float) -> np.ndarray:
    """Returns photo + strength x (styled - photo), uint8 as both are, of their shape; strength in [0, 1]."""
    first, second = photo.astype(np.float32), styled.astype(np.float32)
    return np.rint(first + np.float32(strength) * (second - first)).astype(np.uint8)


def find_images(folder: Path) -> list[Path]:
    """Returns all picture files below `folder`, by suffix in any case, sorted; hidden files and folders left out.

    Linked folders are followed, each real folder once.
    """
    found: list[Path] = []
    seen = set()
    for root, folders, files in os.walk(folder, followlinks=True):
        # Sorted, so that of two names of one real folder the same one is taken everywhere.
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if os.path.realpath(root) in seen:
            folders.clear()
            continue
        seen.add(os.path.realpath(root))
        found += [Path(root, name) for name in files if not name.startswith(".")]
    return sorted(path for path in found if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())


def read_picture(source: str | os.PathLike | bytes, max_pixels: int = MAX_PIXELS) -> Picture:
    """Returns the first frame of a picture file (or of its bytes), upright, as a `Picture`.

    That an animation or a file of many pages has more is logged.

    Raises:
      ImageError: the file is missing, not a picture, truncated, or larger than `max_pixels`.
    """
    name = "picture bytes" if isinstance(source, bytes) else os.fspath(source)
    with _opened(source, name, max_pixels) as image:
        _say_frames(image, name)
        _decode(image, name)
        return from_pil(image)


def read_header(path: str | os.PathLike, max_pixels: int = MAX_PIXELS) -> Header:
    """Returns format and size of a picture file, which is not decoded. Raises ImageError as `read_picture`."""
    with _opened(path, os.fspath(path), max_pixels) as image:
        return Header(image.format or "", image.width, image.height)


def read_thumbnail(path: Path, short_side: int) -> np.ndarray:
    """Returns uint8 RGB [H, W, 3] whose short side is at most `short_side` (never enlarged).

    JPEG files are decoded at a reduced scale where that loses nothing, which is several times faster.

    Raises:
      ImageError: as `read_picture`.
    """
    name = os.fspath(path)
    with _opened(path, name, MAX_PIXELS) as image:
        image.draft("RGB", (short_side, short_side))
        _decode(image, name)
        pixels = from_pil(image).pixels
    height, width = pixels.shape[:2]
    scale = short_side / min(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0))


def from_pil(image: Image.Image) -> Picture:
    """Returns a PIL image of any mode as a `Picture` (upright RGB, alpha kept apart).

    Raises:
      ImageError: the image was opened from a file whose pixels cannot be decoded.
    """
    _decode(image, "the PIL image")
    suffix = _SUFFIX_OF_FORMAT.get(image.format or "", ".png")
    upright, exif = _apply_orientation(image)
    rgb, alpha = _split_alpha(_to_8_bit(upright))
    return Picture(rgb, alpha, _rgb_profile(image), exif, suffix)


def to_pil(picture: Picture) -> Image.Image:
    """Returns the `Picture` as a PIL image, mode RGB or RGBA."""
    image = Image.fromarray(picture.pixels)
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(picture.alpha))
    if picture.icc_profile:
        image.info["icc_profile"] = picture.icc_profile
    if picture.exif:
        image.info["exif"] = picture.exif
    return image


def encode_picture(picture: Picture, suffix: str) -> bytes:
    """Returns the file bytes of `picture` in the format of `suffix` ('.jpg', '.png', '.webp', '.gif', '.tif').

    Raises:
      ImageError: the suffix is not one we write, or its format cannot hold a picture of this size.
    """
    suffix = suffix.lower()
    height, width = picture.pixels.shape[:2]
    check_encodable(suffix, height, width)
    image = to_pil(picture)
    options: dict = {"icc_profile": picture.icc_profile} if picture.icc_profile else {}
    is_jpeg = suffix in (".jpg", ".jpeg")
    if picture.exif and suffix != ".gif" and not (is_jpeg and len(picture.exif) > _JPEG_EXIF_LIMIT):
        options["exif"] = picture.exif
    if is_jpeg:
        image = image.convert("RGB")
        options |= {"quality": JPEG_QUALITY, "subsampling": 0}
    elif suffix == ".webp":
        options |= {"quality": JPEG_QUALITY}
    elif suffix in (".tif", ".tiff"):
        options |= {"compression": "tiff_adobe_deflate"} | ({"exif": _tiff_tags(picture.exif)} if picture.exif else {})
    buffer = io.BytesIO()
    try:
        image.save(buffer, Image.registered_extensions()[suffix], **options)
    except (OSError, ValueError) as error:
        raise ImageError(f"A {image.width}x{image.height} picture cannot be written as {suffix} ({error}).") from None
    return buffer.getvalue()


def check_encodable(suffix: str, height: int, width: int) -> None:
    """Raises ImageError where a file with this suffix cannot hold a picture of this size, or is not one we write."""
    suffix = suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        raise ImageError(f"Cannot write {suffix or 'a file without suffix'}: use one of {', '.join(IMAGE_SUFFIXES)}.")
    most = _MOST_PIXELS_A_SIDE.get(suffix)
    if most and max(height, width) > most:
        raise ImageError(
            f"A {width}x{height} picture cannot be written as {suffix}, which ends at {most} pixels a side."
        )


def portable_bytes(picture: Picture, path: Path | None = None) -> bytes:
    """Returns an encoded picture that decodes to `picture.pixels` everywhere, also where EXIF rotation is unknown.

    The file `path` itself, unread so far, where it is an upright 8-bit RGB or grey JPEG or PNG; a PNG otherwise.

    Args:
      picture: its alpha, profile and EXIF are left out of a PNG.
      path: the file that `picture` was read from, if it was one.

    Raises:
      ImageError: as `read_picture`.
    """
    if path is not None and _is_plain(path):
        try:
            return path.read_bytes()
        except OSError as error:
            raise ImageError(f"{path}: cannot be read ({error.strerror or error}).") from None
    buffer = io.BytesIO()
    Image.fromarray(picture.pixels).save(buffer, "PNG", compress_level=1)  # of pictures little smaller at 6, and slow
    return buffer.getvalue()


def _is_plain(path: Path) -> bool:
    with _opened(path, os.fspath(path), MAX_PIXELS) as image:
        if image.format not in ("JPEG", "MPO", "PNG") or image.mode not in ("RGB", "L") or "transparency" in image.info:
            return False
        try:
            return image.getexif().get(_ORIENTATION, 1) == 1
        except Exception:  # damaged metadata, as in _apply_orientation
            return True


def write_picture(path: Path, picture: Picture) -> None:
    """Writes `picture` to `path` by way of a temporary file, so that a half-written file never shows.

    Raises:
      ImageError: unknown suffix, or the place cannot be written to.
    """
    write_atomic(path, encode_picture(picture, path.suffix))


def write_atomic(path: Path, data: bytes) -> None:
    """Writes `data` to `path` under a temporary name and moves it into place.

    Raises:
      ImageError: the folder cannot be made or written to.
    """
    temporary = path.with_name(f".{path.stem[:32]}-{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:
            file.write(data)
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or str(error)
        if isinstance(error, FileExistsError):  # mkdir's words for a file that stands where a folder should be
            reason = f"{path.parent} is not a folder"
        raise ImageError(f"Cannot write {path}: {reason}.") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()  # still there only when something above failed or was interrupted


def reflect_indices(size: int, padded: int, before: int = 0) -> np.ndarray:
    """Returns [padded] int indices into an axis of length `size` that continue it by reflection, `before` at its start.

    The edge sample is not repeated (as in NumPy's 'reflect'), and any `padded` works: the reflection goes
    back and forth, so that even a 1-pixel picture can be padded.
    """
    if size == 1:
        return np.zeros(padded, np.int64)
    period = 2 * (size - 1)
    position = (np.arange(padded) - before) % period
    return np.minimum(position, period - position)


def pad_to_multiple(pixels: np.ndarray, multiple: int, minimum: int = 0, margin: int = 0) -> np.ndarray:
    """Returns [H', W', C]: at least `margin` more on each side, continued by reflection up to a size a network takes.

    H' and W' are the next multiples of `multiple`, at least `minimum`. The picture begins at [margin, margin].
    """
    height, width = (-(-max(side + 2 * margin, minimum) // multiple) * multiple for side in pixels.shape[:2])
    if (height, width) == pixels.shape[:2]:
        return pixels
    rows = reflect_indices(pixels.shape[0], height, margin)
    columns = reflect_indices(pixels.shape[1], width, margin)
    return pixels[rows][:, columns]


def _opened(source: str | os.PathLike | bytes, name: str, max_pixels: int) -> Image.Image:
    try:
        image = _open_without_bomb_check(io.BytesIO(source) if isinstance(source, bytes) else source)
    except FileNotFoundError:
        raise ImageError(f"{name}: no such file.") from None
    except (Image.UnidentifiedImageError, SyntaxError, ValueError, EOFError):
        raise ImageError(f"{name}: not a picture that can be read (jpg, png, webp, gif, tif).") from None
    except OSError as error:
        raise ImageError(f"{name}: cannot be read ({error.strerror or error}).") from None
    if image.width * image.height > max_pixels:
        with image:
            raise ImageError(
                f"{name}: {image.width}x{image.height} has more than the limit of {max_pixels / 1e6:g} megapixels."
            )
    return image


def _open_without_bomb_check(file: str | os.PathLike | io.BytesIO) -> Image.Image:
    # Pillow's own limit is a process-wide constant with two thresholds; ours is an argument and one clear sentence.
    with _OPEN_LOCK:
        saved, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(file, formats=_DECODERS)
        finally:
            Image.MAX_IMAGE_PIXELS = saved


def _decode(image: Image.Image, name: str) -> None:
    try:
        image.load()
    except MemoryError:
        raise ImageError(f"{name}: not enough memory for its {image.width}x{image.height} pixels.") from None
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, struct.error, EOFError ...
        raise ImageError(f"{name}: the picture is damaged or truncated ({error}).") from None


def _apply_orientation(image: Image.Image) -> tuple[Image.Image, bytes | None]:
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged metadata (struct.error, SyntaxError, TypeError ...) must not cost the picture
        return image, None
    upright = image.copy() if turn is None else image.transpose(turn)
    try:  # nor must a single tag that cannot be written again cost more than the block
        exif = upright.getexif()
        exif.pop(_ORIENTATION, None)
        # Of a TIFF file these are all its tags, where its strips lie included: nothing for another file.
        return upright, exif.tobytes() if len(exif) and image.format != "TIFF" else None
    except Exception:
        return upright, None


def _tiff_tags(block: bytes) -> Image.Exif:
    """Returns of an EXIF block what describes the picture, to be written into a TIFF file."""
    source, kept = Image.Exif(), Image.Exif()
    source.load(block)
    found = {tag: source.get(tag) for tag in (ExifTags.Base[name] for name in _TIFF_TAGS)}
    kept.update({tag: value for tag, value in found.items() if isinstance(value, str)})
    return kept


def _say_frames(image: Image.Image, name: str) -> None:
    frames = 1
    with contextlib.suppress(Exception):  # damage behind the first frame; whether that one is whole is seen later
        frames = getattr(image, "n_frames", 1) if image.format in _OF_MANY_FRAMES else 1
    if frames > 1:
        _LOGGER.info("%s: only the first of its %d frames is read.", name, frames)


def _rgb_profile(image: Image.Image) -> bytes | None:
    # A grey, CMYK or LAB profile describes the source's colour space, not the RGB made from it; the ICC header says.
    profile = image.info.get("icc_profile")
    return profile if profile and profile[16:20] == b"RGB " else None


def _to_8_bit(image: Image.Image) -> Image.Image:
    # Pillow clips 16-bit grey to 255 when it converts; a 16-bit scan would come out white.
    if image.mode.startswith("I;16") or image.mode == "I":
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    return image


def _split_alpha(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = np.asarray(image.convert("RGBA"))
        return np.ascontiguousarray(rgba[..., :3]), np.ascontiguousarray(rgba[..., 3])
    return np.array(image.convert("RGB")), None
