"""Style codes: what a style picture was encoded to. They can be kept in a file, used again and blended.

code = stylizer.encode("wave.jpg")         stylizer("photo.jpg", code=code)
write_code("wave.json", code)              blend_codes([(code, 0.7), (read_code("monet.json"), 0.3)])
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from animegan_tf.errors import StyleError, UsageError
from animegan_tf.images import write_atomic
from animegan_tf.manifest import Manifest

_KIND = "animegan style code"
_FORMAT_VERSION = 1
_MAX_BYTES = 1_000_000
_MAX_NAME = 60


@dataclass(frozen=True, eq=False)
class StyleCode:
    """The code of a style picture, or a blend of some; only the model that made it understands it.

    values: [n] float32. style: name of the style that made it. models: beginnings of the SHA-256 of that style's
    generator files: one of them must be among those of the style it is used with. name: for file names, the style
    picture's stem; '' for a picture without one.
    """

    values: np.ndarray
    style: str
    models: tuple[str, ...]
    name: str = ""

    def check_fits(self, manifest: Manifest) -> None:
        """Raises UsageError when this code was made by another model than that of `manifest`."""
        if set(self.models).isdisjoint(model_digests(manifest)):
            other = f"style {self.style}" if self.style != manifest.name else f"another version of style {self.style}"
            raise UsageError(
                f"The style code {self.name!r} was made by {other}, not by this style {manifest.name}: "
                "encode its picture again."
            )
        if self.values.shape != tuple(manifest.inputs["code"]):
            raise StyleError(f"The style code {self.name!r} is damaged: it has {len(self.values)} values.")


def model_digests(manifest: Manifest) -> tuple[str, ...]:
    """Returns the first 16 digits of the SHA-256 of each generator file of a style, sorted.

    All of them, because a code made with the TFLite file is as good for the ONNX file of the same network.
    """
    return tuple(sorted(file.sha256[:16] for file in manifest.files if file.role == "generator"))


def normalised(weights: Sequence[float], what: str) -> np.ndarray:
    """Returns the weights of a blend, float32 that sum to 1; `what` names them in the message.

    Raises:
      UsageError: one is negative or no number, or all are 0.
    """
    values = np.asarray(weights, np.float64)
    if not (np.isfinite(values).all() and (values >= 0).all() and values.any()):
        raise UsageError(f"The weights of {what} must be 0 or more and not all 0, not {', '.join(map(str, weights))}.")
    values = values / values.max()  # so that the sum of very large ones stays finite
    return (values / values.sum()).astype(np.float32)


def blend_name(names: Sequence[str], weights: np.ndarray) -> str:
    """Returns a part of a file name: 'monet', or 'monet70-hokusai30' for a blend; names without weight are left out."""
    used = [(name, round(100 * float(weight))) for name, weight in zip(names, weights, strict=True) if weight > 0]
    if len(used) == 1:
        return used[0][0]
    return "-".join(f"{name}{percent}" for name, percent in used)[:_MAX_NAME]


def blend_codes(codes: Iterable[tuple[StyleCode, float]]) -> StyleCode:
    """Returns the weighted mean of (code, weight) pairs; the weights are scaled to sum to 1.

    Raises:
      UsageError: no codes, codes of different models, or weights that are negative or all 0.
    """
    pairs = list(codes)
    if not pairs:
        raise UsageError("There are no style codes to blend.")
    parts = [code for code, _ in pairs]
    weights = normalised([weight for _, weight in pairs], "a blend of style codes")
    if len(parts) == 1:
        return parts[0]
    models = set.intersection(*(set(code.models) for code in parts))
    if not models or len({code.values.shape for code in parts}) > 1:
        styles = ", ".join(sorted({code.style for code in parts}))
        raise UsageError(f"The style codes were made by different models, so they cannot be blended: {styles}.")
    values = weights @ np.stack([code.values for code in parts])
    name = blend_name([code.name or "code" for code in parts], weights)
    return StyleCode(values, parts[0].style, tuple(sorted(models)), name)


def picture_name(path: str | os.PathLike) -> str:
    """Returns the name of a code for the picture `path`: its stem, cut where file names would get too long."""
    return Path(path).stem[:_MAX_NAME]


def write_code(path: str | os.PathLike, code: StyleCode) -> None:
    """Writes `code` to `path` as JSON; an existing file is replaced.

    Raises:
      ImageError: the place cannot be written to.
    """
    # Escaped, because the name of a file need not be UTF-8.
    # str of a float32 has as many digits as it takes to read the same float32 again.
    data = {
        "kind": _KIND,
        "format_version": _FORMAT_VERSION,
        "style": code.style,
        "models": code.models,
        "name": code.name,
        "values": [float(str(value)) for value in code.values],
    }
    write_atomic(Path(path), (json.dumps(data, indent=1) + "\n").encode("ascii"))


def read_code(path: str | os.PathLike) -> StyleCode:
    """Returns the code that `write_code` wrote to `path`.

    Raises:
      UsageError: no such file. StyleError: it is no style code, damaged, or of a newer version.
    """
    try:
        with open(path, "rb") as file:
            text = file.read(_MAX_BYTES)
    except FileNotFoundError:
        raise UsageError(f"{os.fspath(path)}: no such file.") from None
    except OSError as error:
        raise StyleError(f"{os.fspath(path)}: cannot be read ({error.strerror or error}).") from None
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict) or data.get("kind") != _KIND:
        raise StyleError(f"{os.fspath(path)} is not a style code: --save-code (write_code) makes such files.")
    if data.get("format_version") != _FORMAT_VERSION:
        raise StyleError(f"{os.fspath(path)} is a style code of an unknown version: update animegan-tf.")
    code = _parse(data)
    if code is None:
        raise StyleError(f"{os.fspath(path)} is a damaged style code: encode the style picture again.")
    return code


def _parse(data: dict) -> StyleCode | None:
    values, models, style, name = (data.get(key) for key in ("values", "models", "style", "name"))
    if not (isinstance(style, str) and isinstance(name, str)):
        return None
    if not (isinstance(models, list) and models and all(isinstance(model, str) for model in models)):
        return None
    if not (isinstance(values, list) and values and all(type(value) in (int, float) for value in values)):
        return None
    try:
        with np.errstate(over="ignore"):
            array = np.array(values, np.float32)
    except OverflowError:  # an int of hundreds of digits
        return None
    return StyleCode(array, style, tuple(models), name) if np.isfinite(array).all() else None
