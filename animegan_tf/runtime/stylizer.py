"""Stylizer: one loaded style, called with a picture of any kind.

Stylizer.load("hokusai")("photo.jpg")      writes photo_hokusai.jpg and returns its path
Stylizer.load("hokusai")(array)            returns an array; the same for PIL images and for bytes

A style that holds several styles is told which: stylizer("photo.jpg", label="monet"); one that follows a style
picture is given its code: stylizer("photo.jpg", code=stylizer.encode("wave.jpg")).
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from animegan_tf.errors import ImageError, UnknownNameError, UsageError
from animegan_tf.images import (
    MAX_PIXELS,
    MINIMUM_SIDE,
    Header,
    Picture,
    blend,
    check_encodable,
    encode_picture,
    from_pil,
    pad_to_multiple,
    read_header,
    read_picture,
    to_pil,
    write_picture,
)
from animegan_tf.manifest import MANIFEST_NAME, Manifest, read_manifest
from animegan_tf.runtime.backends import Backend, find_file, load_backend
from animegan_tf.runtime.codes import StyleCode, model_digests, picture_name
from animegan_tf.runtime.looks import Look, build_look
from animegan_tf.runtime.names import styled_name
from animegan_tf.runtime.tiling import Grid, Progress, Tile, build_grid, stylize_strips

ENCODER_SIDE = 512
"""Style pictures are shrunk to this before they are encoded: a code says how it is painted, not what is on it."""

_LOGGER = logging.getLogger(__name__)
_STYLES_FOLDER = Path(__file__).resolve().parent.parent / "styles"


def list_styles() -> dict[str, Path]:
    """Returns the styles that ship with the package, name to folder, sorted by name."""
    return {path.parent.name: path.parent for path in sorted(_STYLES_FOLDER.glob(f"*/{MANIFEST_NAME}"))}


def find_style(style: str | os.PathLike) -> Path:
    """Returns the folder of a style: a shipped name, or else an existing folder or anything with a path separator.

    A shipped name wins over a folder of that name; './hokusai' means the folder.

    Raises:
      UnknownNameError: neither a shipped style nor a folder; the message lists the shipped ones.
      UsageError: it is written as a folder, and there is none.
    """
    text, shipped = os.fspath(style), list_styles()
    if text in shipped:
        return shipped[text]
    if Path(text).is_dir() and text:
        return Path(text)
    if any(separator in text for separator in (os.sep, os.altsep) if separator):
        raise UsageError(f"{text}: no such style folder.")
    raise UnknownNameError("style", text, shipped)


def read_style(style: str | os.PathLike) -> Manifest:
    """Returns what a style (a shipped name or a folder) says about itself, without loading a model.

    Raises:
      UnknownNameError, UsageError: as `find_style`. StyleError: the folder has no usable manifest.
    """
    return read_manifest(find_style(style))


class Stylizer:
    """One style, loaded and ready. Calling it returns the same kind of picture as it was given."""

    def __init__(self, manifest: Manifest, backend: Backend, load_encoder: Callable[[], Backend] | None = None):
        self.manifest = manifest
        self.backend = backend
        self._load_encoder = load_encoder
        self._said_blended = False

    @classmethod
    def load(
        cls,
        style: str | os.PathLike,
        backend: str = "tflite",
        precision: str | None = None,
        threads: int | None = None,
    ) -> Stylizer:
        """Returns the stylizer of a shipped style or of a style folder.

        Args:
          style: name of a shipped style (see `list_styles`), or a folder that export wrote.
          backend: 'tflite', 'onnx' or 'saved_model'; 'auto' is the fastest of them here, see `choice.fastest_backend`.
          precision: 'float32', 'float16' (of the stored weights), 'dynamic_int8' (of weights and products) or 'int8'
            (TFLite: the fastest, a little less exact); None takes float32 where there is a choice.
          threads: CPU threads, None for all; 'saved_model' ignores it.

        Raises:
          UsageError: no such style or backend, or the style has no such file, or a package is missing.
          StyleError: the style folder is incomplete, changed, or cannot be run.
        """
        folder = find_style(style)
        manifest = read_manifest(folder)
        if backend == "auto":
            from animegan_tf.runtime.choice import fastest_backend

            backend = fastest_backend(folder, manifest, precision, threads)
        loaded = load_backend(backend, folder, manifest, precision, threads)
        if not find_file(backend, manifest, role="style_encoder"):
            return cls(manifest, loaded)
        # Of any precision, so that a code does not depend on the generator's.
        encoder = functools.partial(load_backend, backend, folder, manifest, threads=threads, role="style_encoder")
        return cls(manifest, loaded, encoder)

    @property
    def name(self) -> str:
        """The style's name, which is also part of the names of the files it writes."""
        return self.manifest.name

    @property
    def classes(self) -> tuple[str, ...]:
        """The styles to choose from with `label`; () for a style that is one."""
        return tuple(self.manifest.classes)

    @property
    def encodes_style(self) -> bool:
        """Whether `encode` works: the style follows a style picture, and this backend has its encoder."""
        return self._load_encoder is not None

    def encode(self, picture: str | os.PathLike | bytes | Image.Image | np.ndarray) -> StyleCode:
        """Returns the code of a style picture, for the argument `code`.

        Args:
          picture: a path, the bytes of a picture file, a PIL image, or [H, W, 3] uint8 RGB.

        Raises:
          UsageError: this style follows no style picture. ImageError: it cannot be read. StyleError: the model failed.
        """
        if self._load_encoder is None:
            raise UsageError(f"Style {self.name} encodes no style picture (--style-image).")
        name = picture_name(picture) if isinstance(picture, (str, os.PathLike)) else ""
        pixels = _shrink(_read(picture, MAX_PIXELS), ENCODER_SIDE).pixels
        values = self._encoder.encode(pad_to_multiple(pixels, 1, MINIMUM_SIDE)[None])[0]
        return StyleCode(values, self.name, model_digests(self.manifest), name)

    @functools.cached_property
    def _encoder(self) -> Backend:
        assert self._load_encoder is not None
        return self._load_encoder()

    def look(
        self,
        label: str | Mapping[str, float] | None = None,
        code: StyleCode | None = None,
        variation: int | None = None,
    ) -> Look:
        """Returns what the model's further inputs are for these choices; arguments as in a call of the stylizer.

        Raises:
          UsageError: a choice is missing, unknown, or not one that this style has.
        """
        return build_look(self.manifest, label, code, variation)

    def stylize(
        self, pixels: np.ndarray, look: Look | None = None, tile: Tile = "auto", progress: Progress | None = None
    ) -> np.ndarray:
        """Returns the stylized picture, [H, W, 3] uint8 RGB, the same size as `pixels`, of any size.

        Args:
          pixels: [H, W, 3] uint8 RGB.
          look: of this style, see the method; None for a style without choices.
          tile: see the call of the stylizer.
          progress: called after each tile, with the number of tiles done and of all.

        Raises:
          UsageError: another shape or dtype, or no look where one is needed.
          StyleError: the model failed on it. ImageError: not enough memory.
        """
        _check_pixels(pixels)
        height, width = pixels.shape[:2]
        with _enough_memory(f"a {width}x{height} picture"):
            stylized, row = np.empty_like(pixels), 0
            for strip in self.strips(lambda first, last: pixels[first:last], (height, width), look, tile, progress):
                stylized[row : row + len(strip)] = strip
                row += len(strip)
        return stylized

    def strips(
        self,
        read_rows: Callable[[int, int], np.ndarray],
        size: tuple[int, int],
        look: Look | None = None,
        tile: Tile = "auto",
        progress: Progress | None = None,
    ) -> Iterator[np.ndarray]:
        """Returns the stylized picture from top to bottom, in strips [n, W, 3] uint8: it need not fit in memory.

        Args:
          read_rows: (first, last) -> those rows of the picture, [last - first, W, 3] uint8 RGB; they are asked for from
            top to bottom, neighbouring strips share some.
          size: (height, width) of the picture.
          look, tile, progress: as in `stylize`, which also says what is raised, but for too little memory: MemoryError.
        """
        further = (look or self.look()).inputs
        grid = build_grid(self.manifest, size, tile, self.backend.takes_any_size)
        if grid.blended:
            self._say_blended(grid)
        return stylize_strips(read_rows, grid, lambda part: self.backend.run_pixels(part[None], **further)[0], progress)

    def warm_up(self, height: int = 512, width: int = 512) -> None:
        """Stylizes a black picture: the next ones of this size then take no longer than those after them."""
        blank = {name: np.zeros((1, *shape), np.float32) for name, shape in self.manifest.inputs.items()}
        self.stylize(np.zeros((height, width, 3), np.uint8), Look(self.name, blank))

    def _say_blended(self, grid: Grid) -> None:
        if not self._said_blended:
            _LOGGER.warning(
                "Style %s may depend on the whole picture at once: its %d tiles are blended, and differ a little from "
                "the picture in one piece (--tile off).",
                self.name,
                grid.tiles,
            )
        self._said_blended = True

    def __call__(
        self,
        image: str | os.PathLike | bytes | Image.Image | np.ndarray,
        *,
        label: str | Mapping[str, float] | None = None,
        code: StyleCode | None = None,
        variation: int | None = None,
        strength: float = 1.0,
        max_side: int | None = None,
        tile: Tile = "auto",
        output: str | os.PathLike | None = None,
        overwrite: bool = False,
        max_pixels: int = MAX_PIXELS,
        progress: Progress | None = None,
    ) -> Path | bytes | Image.Image | np.ndarray:
        """Returns the stylized picture, as the kind it was given, at its size unless `max_side` shrinks it.

        Args:
          image: a path (a file is written, its path returned), the bytes of a picture file (the same format
            returned, PNG for GIF), a PIL image (RGB returned, RGBA when it had alpha), or [H, W, 3] uint8 RGB.
            Files and PIL images come out upright, with ICC profile, EXIF and alpha where the format has them.
          label: for a style that holds several: one of `classes`, or a blend such as {"monet": 0.7, "hokusai": 0.3}.
          code: for a style that follows a style picture: what `encode` made of it.
          variation: seed of another way to paint it, for a style that has such; None is the plain one.
          strength: 0 is the photo, 1 the style, between them a linear blend.
          max_side: the long side is shrunk to this before stylizing; pictures are never enlarged.
          tile: side of the tiles in which the picture is stylized, in bounded memory, see `animegan_tf.runtime.tiling`;
            None for one piece; 'auto' tiles what has more than two megapixels.
          output: for a path only: the file to write; None writes `<stem>_<style><suffix>` beside the picture, the
            style followed by the label or the name of the code: photo_scenes-monet.jpg.
          overwrite: whether an existing file may be replaced.
          max_pixels: larger files and bytes are refused; paths to more than MAX_PIXELS go in strips (`runtime.large`).
          progress: called after each tile, with the number of tiles done and of all.

        Raises:
          UsageError: an argument is wrong.
          ImageError: the picture cannot be read or written. StyleError: the model failed on it.
        """
        _check_options(strength, max_side)
        look = self.look(label, code, variation)
        apply = functools.partial(self._apply, look=look, strength=strength, tile=tile, progress=progress)
        if isinstance(image, (str, os.PathLike)):
            target = _free_target(Path(image), output, look.name, overwrite)
            with _enough_memory(os.fspath(image)):
                header = _large_header(image, max_pixels)
                if header is None:
                    picture = _shrink(_read(image, max_pixels), max_side)
                    check_encodable(target.suffix, *picture.pixels.shape[:2])
                    write_picture(target, apply(picture))
                    return target
                from animegan_tf.runtime.large import stylize_file

                strips = functools.partial(self.strips, look=look, tile=tile, progress=progress)
                stylize_file(Path(image), header, target, strips, strength, max_side)
            return target
        if output is not None:
            raise UsageError("output is for a picture given by its path; other kinds are returned, not written.")
        picture = apply(_shrink(_read(image, max_pixels), max_side))
        if isinstance(image, (bytes, bytearray, memoryview)):
            return encode_picture(picture, picture.suffix)
        return to_pil(picture) if isinstance(image, Image.Image) else picture.pixels

    def _apply(
        self,
        picture: Picture,
        *,
        look: Look,
        strength: float,
        tile: Tile,
        progress: Progress | None,
    ) -> Picture:
        styled = self.stylize(picture.pixels, look, tile, progress)
        # In strips: as floats the two take eight times their memory.
        for row in range(0, len(styled) if strength < 1 else 0, 256):
            part = slice(row, row + 256)
            styled[part] = blend(picture.pixels[part], styled[part], strength)
        return dataclasses.replace(picture, pixels=styled)


@contextlib.contextmanager
def _enough_memory(picture: str) -> Iterator[None]:
    try:
        yield
    except MemoryError:
        raise ImageError(f"Not enough memory for {picture}: make tile or max_side smaller.") from None


def _read(image: object, max_pixels: int) -> Picture:
    if isinstance(image, (str, os.PathLike)):
        return read_picture(image, max_pixels)
    if isinstance(image, (bytes, bytearray, memoryview)):
        return read_picture(bytes(image), max_pixels)
    if isinstance(image, Image.Image):
        return from_pil(image)
    _check_pixels(image)
    assert isinstance(image, np.ndarray)
    return Picture(image)


def _large_header(path: str | os.PathLike, max_pixels: int) -> Header | None:
    """Returns the header of a picture that is allowed and too large for memory, and None for all others."""
    if max_pixels <= MAX_PIXELS:
        return None
    header = read_header(path, max_pixels)
    return header if header.width * header.height > MAX_PIXELS else None


def _check_options(strength: float, max_side: int | None) -> None:
    if not 0 <= strength <= 1:
        raise UsageError(f"strength must be between 0 (the photo) and 1 (the style), not {strength}.")
    if max_side is not None and max_side < 1:
        raise UsageError(f"max_side must be at least 1 pixel, not {max_side}.")


def _check_pixels(pixels: object) -> None:
    if not isinstance(pixels, np.ndarray):
        raise UsageError(f"A picture is a path, bytes, a PIL image or a NumPy array, not {type(pixels).__name__}.")
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise UsageError(f"An array must be uint8 RGB [height, width, 3], not {pixels.dtype} {list(pixels.shape)}.")


def _free_target(source: Path, output: str | os.PathLike | None, style: str, overwrite: bool) -> Path:
    target = source.parent / styled_name(source.name, style) if output is None else Path(output)
    if os.path.lexists(target) and not overwrite:
        raise ImageError(f"{target} exists already; --overwrite (overwrite=True) replaces it.")
    return target


def _shrink(picture: Picture, max_side: int | None) -> Picture:
    height, width = picture.pixels.shape[:2]
    if max_side is None or max(height, width) <= max_side:
        return picture
    scale = max_side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))

    def resized(plane: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.LANCZOS))

    alpha = None if picture.alpha is None else resized(picture.alpha)
    return dataclasses.replace(picture, pixels=resized(picture.pixels), alpha=alpha)
