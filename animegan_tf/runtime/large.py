"""Picture files too large for memory: decoded, stylized and encoded in strips, with libvips.

The rows of the result are kept in a temporary file beside the target until all are there, uncompressed: three bytes a
pixel, four with alpha. A picture that has to be turned (EXIF orientation) needs all its rows at once; libvips then
decodes it to a temporary file of its own.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from animegan_tf.errors import ImageError, MissingExtraError, needs_extra
from animegan_tf.images import JPEG_QUALITY, Header, blend, check_encodable

_LOADERS = {"JPEG": "jpegload", "MPO": "jpegload", "PNG": "pngload", "TIFF": "tiffload", "WEBP": "webpload"}
_LOSSY = {"Q": JPEG_QUALITY}
_JPEG = ("jpegsave", _LOSSY | {"subsample_mode": "off"})
_TIFF = ("tiffsave", {"compression": "deflate", "predictor": "horizontal"})
_SAVERS: dict[str, tuple[str, dict[str, Any]]] = {
    **{".png": ("pngsave", {}), ".webp": ("webpsave", _LOSSY)},
    **{".jpg": _JPEG, ".jpeg": _JPEG, ".tif": _TIFF, ".tiff": _TIFF},
}
_ALPHA = (".png", ".webp", ".tif", ".tiff")
# Offsets in a plain TIFF file are 32 bits.
_BIG_TIFF = 2**32 - 2**24

Strips = Callable[[Callable[[int, int], np.ndarray], tuple[int, int]], Iterator[np.ndarray]]


def stylize_file(
    source: Path, header: Header, target: Path, strips: Strips, strength: float = 1.0, max_side: int | None = None
) -> None:
    """Writes the stylized picture `source` to `target`, moved into place when it is complete.

    It comes out upright, with ICC profile, EXIF and, but for JPEG, alpha.

    Args:
      source: a JPEG, PNG, TIFF or WebP file.
      header: of `images.read_header`.
      target: the file to write; its suffix says as what.
      strips: (read_rows, (height, width)) -> the stylized rows, see `Stylizer.strips`.
      strength, max_side: as in the call of a stylizer.

    Raises:
      MissingExtraError: pyvips is not installed.
      ImageError: the picture cannot be read, or not be written to `target`.
    """
    vips = _import_vips()
    if header.format not in _LOADERS or target.suffix.lower() not in _SAVERS:
        kind = header.format if header.format not in _LOADERS else target.suffix
        known = ", ".join(sorted(_SAVERS))
        raise ImageError(f"{source}: a picture of this size is read and written as {known}, not as {kind}.")
    try:
        image = _opened(vips, source, header, max_side)
        check_encodable(target.suffix, image.height, image.width)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".animegan-", dir=target.parent) as folder:
            raw, result = Path(folder, "rows"), Path(folder, f"result{target.suffix.lower()}")
            bands = _write_rows(raw, _Rows(vips, image), strips, strength, with_alpha=target.suffix.lower() in _ALPHA)
            _encode(vips, image, raw, bands, result)
            os.replace(result, target)
    except vips.Error as error:
        raise ImageError(f"{source} cannot be stylized to {target} ({_said(error)}).") from None
    except OSError as error:
        raise ImageError(f"Cannot write {target}: {error.strerror or error}.") from None


class _Rows:
    """The rows of an image that is decoded once, from top to bottom; what was given last can be asked for again."""

    def __init__(self, vips: Any, image: Any):
        self.size = (image.height, image.width)
        self._region, self._bands = vips.Region.new(image), image.bands
        self._first, self._kept = 0, np.zeros((0, image.width, image.bands), np.uint8)

    def __call__(self, first: int, last: int) -> np.ndarray:
        """Returns rows [first, last) as [n, W, bands] uint8."""
        end = self._first + len(self._kept)
        if last > end:
            # Rows that were skipped are decoded, too: the file can be read in no other order.
            more = np.frombuffer(self._region.fetch(0, end, self.size[1], last - end), np.uint8)
            more = more.reshape(last - end, self.size[1], self._bands)[max(0, first - end) :]
            self._kept = np.concatenate([self._kept[first - self._first :], more])
            self._first = first
        return self._kept[first - self._first : last - self._first]


def _import_vips() -> Any:
    purpose = "A picture of more than 100 megapixels"
    with needs_extra("pyvips", "pyvips", "large", purpose):
        try:
            import pyvips
        except OSError:  # pyvips is there, libvips is not
            raise MissingExtraError("libvips", "large", purpose) from None
    return pyvips


def _opened(vips: Any, source: Path, header: Header, max_side: int | None) -> Any:
    """Returns the picture as a vips image that is decoded when asked: upright, 8-bit RGB or RGBA."""
    load = getattr(vips.Image, _LOADERS[header.format])
    options = {"fail_on": "truncated", "revalidate": True}
    image = load(os.fspath(source), access="sequential", **options)
    if image.get_typeof("orientation") and image.get("orientation") > 1:
        image = load(os.fspath(source), **options).autorot()
    image = _to_8_bit_rgb(image)
    if max_side and max(image.width, image.height) > max_side:
        image = image.thumbnail_image(max_side, height=max_side, size="down", no_rotate=True)
    return image if image.bands in (3, 4) else image[:3]


def _to_8_bit_rgb(image: Any) -> Any:
    """Returns the vips image in RGB, by the rules of `images.from_pil`: the same file must not depend on its size."""
    if image.format in ("short", "int", "uint") or (image.format, image.interpretation) == ("ushort", "cmyk"):
        image = (image >> 8).cast("uchar")
    if image.interpretation == "cmyk":
        # libvips goes by way of a printer's profile, which Pillow knows nothing of.
        light = image[3].invert()
        image = (light - (image[:3] * light / 255).rint()).copy(interpretation="srgb")
    # Floating point and 32 bits stay what they are in `colourspace`.
    return image.colourspace("srgb").cast("uchar")


def _write_rows(raw: Path, rows: _Rows, strips: Strips, strength: float, with_alpha: bool) -> int:
    """Writes the stylized rows to the file `raw`, and returns how many bands they have."""
    with open(raw, "xb") as file:
        row, bands = 0, 3
        for strip in strips(lambda first, last: rows(first, last)[..., :3], rows.size):
            photo = rows(row, row + len(strip))
            if strength < 1:
                strip = blend(photo[..., :3], strip, strength)
            if with_alpha and photo.shape[-1] == 4:
                strip = np.concatenate([strip, photo[..., 3:]], axis=-1)
            file.write(np.ascontiguousarray(strip).data)
            row, bands = row + len(strip), strip.shape[-1]
    return bands


def _encode(vips: Any, image: Any, raw: Path, bands: int, result: Path) -> None:
    """Encodes the rows in `raw` to the file `result`, with the metadata of `image`."""
    styled = vips.Image.rawload(os.fspath(raw), image.width, image.height, bands).copy(interpretation="srgb")
    for name in image.get_fields():
        if name.startswith("exif-") or name == "icc-profile-data" and image.get(name)[16:20] == b"RGB ":
            styled.set_type(image.get_typeof(name), name, image.get(name))
    # The EXIF block is the source's own; this is what its tag becomes.
    styled.set_type(vips.GValue.gint_type, "orientation", 1)
    saver, options = _SAVERS[result.suffix]
    if saver == "tiffsave" and raw.stat().st_size > _BIG_TIFF:
        options = options | {"bigtiff": True}
    getattr(styled, saver)(os.fspath(result), **options)


def _said(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__
