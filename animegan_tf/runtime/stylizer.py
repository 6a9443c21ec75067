"""Stylizer: one loaded style, called with a picture of any kind.

Stylizer.load("hokusai")("photo.jpg")      writes photo_hokusai.jpg and returns its path
Stylizer.load("hokusai")(array)            returns an array; the same for PIL images and for bytes
"""

from __future__ import annotations

import dataclasses
import os
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
from animegan_tf.runtime.backends import Backend, load_backend

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

    def __init__(self, manifest: Manifest, backend: Backend):
        self.manifest = manifest
        self.backend = backend

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
          precision: 'float32' or 'float16' (of the stored weights); None takes float32 where there is a choice.
          threads: CPU threads, None for all; 'saved_model' ignores it.

        Raises:
          UsageError: no such style or backend, or the style has no such file, or a package is missing.
          StyleError: the style folder is incomplete, changed, or cannot be run.
        """
        folder = find_style(style)
        manifest = read_manifest(folder)
        return cls(manifest, load_backend(backend, folder, manifest, precision, threads))

    @property
    def name(self) -> str:
        """The style's name, which is also part of the names of the files it writes."""
        return self.manifest.name

    def stylize(self, pixels: np.ndarray) -> np.ndarray:
        """Returns the stylized picture, [H, W, 3] uint8 RGB, the same size as `pixels`, of any size.

        Args:
          pixels: [H, W, 3] uint8 RGB.

        Raises:
          UsageError: another shape or dtype. StyleError: the model failed on it. ImageError: not enough memory.
        """
        _check_pixels(pixels)
        height, width = pixels.shape[:2]
        try:
            if self.backend.takes_uint8:  # a SavedModel pads by itself, whoever serves it
                return self.backend.run_pixels(pixels[None])[0]
            margin = self.manifest.margin
            padded = pad_to_multiple(pixels, self.manifest.size_multiple, MINIMUM_SIDE, margin)
            styled = self.backend.run_pixels(padded[None])[0]
        except MemoryError:
            raise ImageError(f"Not enough memory for a {width}x{height} picture: limit its size (max_side).") from None
        return np.ascontiguousarray(styled[margin : margin + height, margin : margin + width])

    def __call__(
        self,
        image: str | os.PathLike | bytes | Image.Image | np.ndarray,
        *,
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
          strength: 0 is the photo, 1 the style, between them a linear blend.
          max_side: the long side is shrunk to this before stylizing; pictures are never enlarged.
          output: for a path only: the file to write; None writes `<stem>_<style><suffix>` beside the picture.
          overwrite: whether an existing file may be replaced.
          max_pixels: larger files (and bytes) are refused before decoding.

        Raises:
          UsageError: an argument is wrong.
          ImageError: the picture cannot be read or written.
          StyleError: the model failed on it.
        """
        _check_options(strength, max_side)
        if isinstance(image, (str, os.PathLike)):
            target = _free_target(Path(image), output, self.name, overwrite)
            write_picture(target, self._apply(read_picture(image, max_pixels), strength, max_side))
            return target
        if output is not None:
            raise UsageError("output is for a picture given by its path; other kinds are returned, not written.")
        if isinstance(image, (bytes, bytearray, memoryview)):
            picture = self._apply(read_picture(bytes(image), max_pixels), strength, max_side)
            return encode_picture(picture, picture.suffix)
        if isinstance(image, Image.Image):
            return to_pil(self._apply(from_pil(image), strength, max_side))
        _check_pixels(image)
        return self._apply(Picture(image), strength, max_side).pixels

    def _apply(self, picture: Picture, strength: float, max_side: int | None) -> Picture:
        picture = _shrink(picture, max_side)
        styled = self.stylize(picture.pixels)
        return dataclasses.replace(picture, pixels=_blend(picture.pixels, styled, strength))


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
