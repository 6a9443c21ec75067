"""Stylizer: one loaded style, called with a picture of any kind.

Stylizer.load("hokusai")("photo.jpg")      writes photo_hokusai.jpg and returns its path
Stylizer.load("hokusai")(array)            returns an array; the same for PIL images and for bytes

A style that holds several styles is told which: stylizer("photo.jpg", label="monet"); one that follows a style
picture is given its code: stylizer("photo.jpg", code=stylizer.encode("wave.jpg")).
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from animegan_tf.errors import ImageError, UnknownNameError, UsageError
from animegan_tf.images import (
    IMAGE_SUFFIXES,
    MAX_PIXELS,
    MINIMUM_SIDE,
    Picture,
    encode_picture,
    from_pil,
    pad_to_multiple,
    read_picture,
    to_pil,
    write_picture,
)
from animegan_tf.manifest import MANIFEST_NAME, Manifest, read_manifest
from animegan_tf.runtime.backends import Backend, find_file, load_backend
from animegan_tf.runtime.codes import StyleCode, model_digests, picture_name
from animegan_tf.runtime.looks import Look, build_look

ENCODER_SIDE = 512
"""Style pictures are shrunk to this before they are encoded: a code says how it is painted, not what is on it."""

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


def styled_name(name: str, style: str) -> str:
    """Returns the default file name of a stylized picture: `<stem>_<style><suffix>`.

    The suffix becomes '.png' for GIF, whose 256 colours would spoil the result, and where it is not one we write.
    """
    stem, suffix = os.path.splitext(name)
    keeps = suffix.lower() in IMAGE_SUFFIXES and suffix.lower() != ".gif"
    return f"{stem}_{style}{suffix if keeps else '.png'}"


class Stylizer:
    """One style, loaded and ready. Calling it returns the same kind of picture as it was given."""

    def __init__(self, manifest: Manifest, backend: Backend, load_encoder: Callable[[], Backend] | None = None):
        self.manifest = manifest
        self.backend = backend
        self._load_encoder = load_encoder

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
          backend: 'tflite', 'onnx' or 'saved_model'.
          precision: 'float32', 'float16' (of the stored weights) or 'int8' (TFLite: the fastest, a little less
            exact); None takes float32 where there is a choice.
          threads: CPU threads, None for all; 'saved_model' ignores it.

        Raises:
          UsageError: no such style or backend, or the style has no such file, or a package is missing.
          StyleError: the style folder is incomplete, changed, or cannot be run.
        """
        folder = find_style(style)
        manifest = read_manifest(folder)
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

    def stylize(self, pixels: np.ndarray, look: Look | None = None) -> np.ndarray:
        """Returns the stylized picture, [H, W, 3] uint8 RGB, the same size as `pixels`, of any size.

        Args:
          pixels: [H, W, 3] uint8 RGB.
          look: of this style, see the method; None for a style without choices.

        Raises:
          UsageError: another shape or dtype, or no look where one is needed.
          StyleError: the model failed on it. ImageError: not enough memory.
        """
        _check_pixels(pixels)
        further = (look or self.look()).inputs
        height, width = pixels.shape[:2]
        try:
            if self.backend.takes_any_size:
                return self.backend.run_pixels(pixels[None], **further)[0]
            margin = self.manifest.margin
            padded = pad_to_multiple(pixels, self.manifest.size_multiple, MINIMUM_SIDE, margin)
            styled = self.backend.run_pixels(padded[None], **further)[0]
        except MemoryError:
            raise ImageError(f"Not enough memory for a {width}x{height} picture: limit its size (max_side).") from None
        return np.ascontiguousarray(styled[margin : margin + height, margin : margin + width])

    def __call__(
        self,
        image: str | os.PathLike | bytes | Image.Image | np.ndarray,
        *,
        label: str | Mapping[str, float] | None = None,
        code: StyleCode | None = None,
        variation: int | None = None,
        strength: float = 1.0,
        max_side: int | None = None,
        output: str | os.PathLike | None = None,
        overwrite: bool = False,
        max_pixels: int = MAX_PIXELS,
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
          output: for a path only: the file to write; None writes `<stem>_<style><suffix>` beside the picture, the
            style followed by the label or the name of the code: photo_scenes-monet.jpg.
          overwrite: whether an existing file may be replaced.
          max_pixels: larger files (and bytes) are refused before decoding.

        Raises:
          UsageError: an argument is wrong.
          ImageError: the picture cannot be read or written.
          StyleError: the model failed on it.
        """
        _check_options(strength, max_side)
        look = self.look(label, code, variation)
        if isinstance(image, (str, os.PathLike)):
            target = _free_target(Path(image), output, look.name, overwrite)
            write_picture(target, self._apply(_read(image, max_pixels), look, strength, max_side))
            return target
        if output is not None:
            raise UsageError("output is for a picture given by its path; other kinds are returned, not written.")
        picture = self._apply(_read(image, max_pixels), look, strength, max_side)
        if isinstance(image, (bytes, bytearray, memoryview)):
            return encode_picture(picture, picture.suffix)
        return to_pil(picture) if isinstance(image, Image.Image) else picture.pixels

    def _apply(self, picture: Picture, look: Look, strength: float, max_side: int | None) -> Picture:
        picture = _shrink(picture, max_side)
        styled = self.stylize(picture.pixels, look)
        return dataclasses.replace(picture, pixels=_blend(picture.pixels, styled, strength))


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


def _blend(photo: np.ndarray, styled: np.ndarray, strength: float) -> np.ndarray:
    if strength == 1:
        return styled
    photo, styled = photo.astype(np.float32), styled.astype(np.float32)
    return np.rint(photo + np.float32(strength) * (styled - photo)).astype(np.uint8)
